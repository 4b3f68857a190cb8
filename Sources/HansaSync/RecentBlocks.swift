internal import Synchronization

/// Unpacked blocks that were wanted last. A file that was edited here and there lies by turns in an old block and in newer ones: with one block in
/// memory each would be unpacked a dozen times.
public final class RecentBlocks: Sendable {
    private let max: Int
    /// The one that was wanted last at the end.
    private let blocks = Mutex<[(location: ContentLocation, raw: ArraySlice<UInt8>)]>([])

    public init(max: Int = 8) { self.max = max }

    /// The block's chunks, one after the other: from memory, or as `unpack` gives them. Two threads may unpack one at the same time.
    public func raw(at location: ContentLocation, unpack: () throws -> ArraySlice<UInt8>) rethrows -> ArraySlice<UInt8> {
        let known = blocks.withLock { blocks -> ArraySlice<UInt8>? in
            guard let index = blocks.lastIndex(where: { $0.location == location }) else { return nil }
            let block = blocks.remove(at: index)
            blocks.append(block)
            return block.raw
        }
        if let known { return known }
        let raw = try unpack()
        blocks.withLock { blocks in
            guard !blocks.contains(where: { $0.location == location }) else { return }
            if blocks.count >= max { blocks.removeFirst() }
            blocks.append((location, raw))
        }
        return raw
    }

    public func removeAll() { blocks.withLock { $0 = [] } }
}
