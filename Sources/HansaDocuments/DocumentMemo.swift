internal import Synchronization

/// A memory of documents that were read, for simulations, where every city of every history reads the same payloads: what a payload says is a function
/// of its bytes, so what is remembered is what would be read. Refusals are not remembered. Nothing is unless `remember()` was called, which no product
/// does.
package enum DocumentMemo {
    /// Documents of one generation; two are kept.
    private static let entriesMax = 1 << 13

    private struct Key: Hashable, Sendable {
        let type: ObjectIdentifier
        let payload: [UInt8]

        func hash(into hasher: inout Hasher) {
            hasher.combine(type)
            payload.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    private struct Memory {
        var young: [Key: any SignedDocument] = [:]
        var old: [Key: any SignedDocument] = [:]
    }

    private static let isOn = Atomic<Bool>(false)
    private static let memory = Mutex(Memory())

    package static func remember() { isOn.store(true, ordering: .relaxed) }

    static func document<D: SignedDocument>(_ payload: [UInt8], _ read: () throws(DocumentFault) -> D) throws(DocumentFault) -> D
    {
        guard isOn.load(ordering: .relaxed) else { return try read() }
        let key = Key(type: ObjectIdentifier(D.self), payload: payload)
        if let known = memory.withLock({ $0.young[key] ?? $0.old[key] }) as? D { return known }
        let document = try read()
        memory.withLock { memory in
            if memory.young.count >= entriesMax { (memory.old, memory.young) = (memory.young, [:]) }
            memory.young[key] = document
        }
        return document
    }
}
