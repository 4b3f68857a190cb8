internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// What publishing the same chunks again and again would compute anew: histories draw them from one pool. All of it is a function of the bytes,
/// or of ids that name them.
enum ContentMemo {
    private struct Key: Hashable {
        let head: UInt64
        let count: Int
    }

    private struct Memory {
        var chunks: [Key: (bytes: [UInt8], entry: ChunkEntry)] = [:]
        var made: [Key: [UInt8]] = [:]
        var files: [[Digest]: Digest] = [:]
        var blocks: [[Digest]: (Block.Codec, [UInt8])] = [:]
        var contents: [Digest: [UInt8]] = [:]
        var payloads: [String: [UInt8]] = [:]
    }

    private static let memory = Mutex(Memory())
    private static let entriesMax = 4096

    static func chunk(_ number: UInt64, count: Int) -> [UInt8] {
        let key = Key(head: number, count: count)
        return memory.withLock { memory in
            if let known = memory.made[key] { return known }
            if memory.made.count >= entriesMax { memory.made = [:] }
            let bytes =
                DeterministicRandom(seed: number).bytes(64)
                + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count - 64)
            memory.made[key] = bytes
            return bytes
        }
    }

    static func entry(of chunk: [UInt8]) -> ChunkEntry {
        let key = Key(head: chunk.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, count: chunk.count)
        return memory.withLock { memory in
            // Equal heads and lengths are not yet equal bytes.
            if let known = memory.chunks[key], isSame(known.bytes[...], chunk[...]) { return known.entry }
            if memory.chunks.count >= entriesMax { memory.chunks = [:] }
            let entry = chunk.withUnsafeBytes { ChunkEntry(of: $0) }
            memory.chunks[key] = (chunk, entry)
            if memory.contents.count >= entriesMax { memory.contents = [:] }
            memory.contents[entry.id] = chunk
            return entry
        }
    }

    /// Whether these bytes are what the id says: compared with what is known to have it, or else hashed.
    static func isChunk(_ bytes: ArraySlice<UInt8>, _ entry: ChunkEntry) -> Bool {
        guard bytes.count == Int(entry.length) else { return false }
        if let known = memory.withLock({ $0.contents[entry.id] }) { return isSame(bytes, known[...]) }
        return SHA256.hash(bytes) == entry.id
    }

    static func isSame(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        return left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                guard let one = left.baseAddress, let other = right.baseAddress else { return true }
                return memcmp(one, other, left.count) == 0
            }
        }
    }

    static func contains(_ bytes: [UInt8], _ words: String) -> Bool {
        let words = Array(words.utf8)
        guard bytes.count >= words.count else { return false }
        return (0...(bytes.count - words.count)).contains { start in
            bytes[start] == words[0] && isSame(bytes[start..<(start + words.count)], words[...])
        }
    }

    /// The payload that these words decide.
    static func payload(_ words: String, _ make: () throws -> [UInt8]) rethrows -> [UInt8] {
        if let known = memory.withLock({ $0.payloads[words] }) { return known }
        let made = try make()
        memory.withLock { memory in
            if memory.payloads.count >= entriesMax { memory.payloads = [:] }
            memory.payloads[words] = made
        }
        return made
    }

    static func digest(of chunks: [[UInt8]], _ ids: [Digest]) -> Digest {
        memory.withLock { memory in
            if let known = memory.files[ids] { return known }
            if memory.files.count >= entriesMax { memory.files = [:] }
            let digest = SHA256.hash(chunks)
            memory.files[ids] = digest
            return digest
        }
    }

    static func packed(_ parts: [[UInt8]], _ ids: [Digest]) -> (codec: Block.Codec, bytes: [UInt8]) {
        memory.withLock { memory in
            if let known = memory.blocks[ids] { return known }
            if memory.blocks.count >= entriesMax { memory.blocks = [:] }
            var raw: [UInt8] = []
            raw.reserveCapacity(parts.reduce(0) { $0 + $1.count })
            for part in parts { raw += part }
            let packed = Block.encode(raw: raw)
            memory.blocks[ids] = packed
            return packed
        }
    }
}
