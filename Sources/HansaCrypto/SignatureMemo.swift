internal import HansaCore
internal import Synchronization

/// A memory of signatures and of verdicts on them, for simulations: both are functions of their arguments, so what is remembered is what would be
/// computed. Nothing is remembered unless `remember()` was called, which no product does.
package enum SignatureMemo {
    private static let entriesMax = 1 << 17

    private struct Memory {
        var verdicts: [Digest: Bool] = [:]
        var signatures: [Digest: [UInt8]] = [:]
        var keys: [[UInt8]: Ed25519PublicKey] = [:]
    }

    private static let isOn = Atomic<Bool>(false)
    private static let memory = Mutex(Memory())

    package static func remember() { isOn.store(true, ordering: .relaxed) }

    /// A key that was found fit once is fit; one that was not is looked at anew.
    static func key(_ bytes: [UInt8], _ make: () throws(KeyFault) -> Ed25519PublicKey) throws(KeyFault) -> Ed25519PublicKey {
        guard isOn.load(ordering: .relaxed) else { return try make() }
        if let known = memory.withLock({ $0.keys[bytes] }) { return known }
        let key = try make()
        memory.withLock { memory in
            if memory.keys.count >= entriesMax { memory.keys = [:] }
            memory.keys[bytes] = key
        }
        return key
    }

    static func verdict(_ key: Digest, _ signature: [UInt8], _ message: [UInt8], _ compute: () -> Bool) -> Bool {
        guard isOn.load(ordering: .relaxed) else { return compute() }
        let name = SHA256.hash([key.bytes, signature, message])
        if let known = memory.withLock({ $0.verdicts[name] }) { return known }
        let verdict = compute()
        memory.withLock { memory in
            if memory.verdicts.count >= entriesMax { memory.verdicts = [:] }
            memory.verdicts[name] = verdict
        }
        return verdict
    }

    static func signature(_ key: Digest, _ message: [UInt8], _ compute: () -> [UInt8]) -> [UInt8] {
        guard isOn.load(ordering: .relaxed) else { return compute() }
        let name = SHA256.hash([key.bytes, message])
        if let known = memory.withLock({ $0.signatures[name] }) { return known }
        let signature = compute()
        memory.withLock { memory in
            if memory.signatures.count >= entriesMax { memory.signatures = [:] }
            if memory.verdicts.count >= entriesMax { memory.verdicts = [:] }
            memory.signatures[name] = signature
            // What a key has signed is valid under it (RFC 8032 §5.1.7).
            memory.verdicts[SHA256.hash([key.bytes, signature, message])] = true
        }
        return signature
    }
}
