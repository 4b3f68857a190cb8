internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import Synchronization

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
            if let known = memory.chunks[key], known.bytes == chunk { return known.entry }
            if memory.chunks.count >= entriesMax { memory.chunks = [:] }
            let entry = chunk.withUnsafeBytes { ChunkEntry(of: $0) }
            memory.chunks[key] = (chunk, entry)
            return entry
        }
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

    static func packed(_ raw: [UInt8], _ ids: [Digest]) -> (codec: Block.Codec, bytes: [UInt8]) {
        memory.withLock { memory in
            if let known = memory.blocks[ids] { return known }
            if memory.blocks.count >= entriesMax { memory.blocks = [:] }
            let packed = Block.encode(raw: raw)
            memory.blocks[ids] = packed
            return packed
        }
    }
}
