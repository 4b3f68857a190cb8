// Digests cut out of the bytes of a block.
//
// Manifests spell out, in hex that does not compress, the digests of other files of their package. Where such a file is a chunk of the same block,
// whoever unpacks the block has its id: it is listed beside the block, or made from the bytes that came before. So the block names the chunk:
//
//     0xFF ‖ varint d    d ≥ 1: 64 lower-case hex digits, the id of the chunk d places before the one in which this stands
//                        d = 0: the byte 0xFF
//
// Every other byte stands for itself. A name lies within one chunk, and only chunks before it can be named, so filling in ends and needs no second
// pass. Nothing of it is trusted: the filled bytes are compared with the chunks' ids as any others are.
internal import HansaCore

#if canImport(Glibc)
    internal import Glibc
#endif

enum CutDigests {
    static let mark: UInt8 = 0xFF
    static let hexCount = 2 * Digest.byteCount

    /// Nil where no chunk's digest is spelled out behind it, or nothing becomes shorter.
    /// - Precondition: the chunks are these bytes, one after the other. O(n), about a look at every 64th byte of a text without digests.
    static func cut(_ raw: UnsafeRawBufferPointer, chunks: [ChunkEntry]) -> [UInt8]? {
        guard chunks.count > 1 else { return nil }
        var known: [Digest: Int] = [:]
        known.reserveCapacity(chunks.count)
        var writer = ByteWriter(reserving: raw.count)
        var (start, copied, cuts) = (0, 0, 0)
        for (number, chunk) in chunks.enumerated() {
            let end = start + Int(chunk.length)
            var from = start
            while let place = Hex.nextDigest(in: raw, from: from, to: end) {
                from = place + hexCount
                guard let digest = Digest(hexDigits: UnsafeRawBufferPointer(rebasing: raw[place..<from])),
                    let named = known[digest]
                else { continue }
                copy(raw, copied..<place, to: &writer)
                writer.u8(mark)
                writer.varint(number - named)
                copied = from
                cuts += 1
            }
            known[chunk.id] = number
            start = end
        }
        guard cuts > 0 else { return nil }
        copy(raw, copied..<raw.count, to: &writer)
        return writer.bytes.count < raw.count ? writer.bytes : nil
    }

    private static func copy(_ raw: UnsafeRawBufferPointer, _ range: Range<Int>, to writer: inout ByteWriter) {
        var rest = UnsafeRawBufferPointer(rebasing: raw[range])
        while let place = find(in: rest) {
            writer.raw(rest[..<place])
            writer.u8(mark)
            writer.varint(0)
            rest = UnsafeRawBufferPointer(rebasing: rest[(place + 1)...])
        }
        writer.raw(rest)
    }

    private static func find(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress, let place = memchr(base, CInt(mark), bytes.count) else { return nil }
        return UnsafeRawPointer(place) - base
    }

    /// Fills in what was cut, chunk by chunk.
    struct Filling {
        private let text: UnsafeRawBufferPointer
        private var position = 0

        init(_ text: UnsafeRawBufferPointer) { self.text = text }

        /// The bytes of one chunk; `ids` begins with those of all chunks before it, `count` of them.
        mutating func fill(_ target: UnsafeMutableRawBufferPointer, ids: [Digest], count: Int) throws(BlockFault) {
            var filled = 0
            while filled < target.count {
                let run = UnsafeRawBufferPointer(rebasing: text[position..<min(text.count, position + target.count - filled)])
                guard !run.isEmpty else { throw .corrupt("bytes are missing") }
                let plain = find(in: run) ?? run.count
                UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + plain)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: run[..<plain]))
                filled += plain
                position += plain
                guard plain < run.count else { continue }
                position += 1
                let distance = try distance()
                if distance == 0 {
                    target[filled] = mark
                    filled += 1
                    continue
                }
                guard distance <= count, target.count - filled >= hexCount else { throw .corrupt("a digest of no chunk") }
                write(ids[count - distance], to: UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + hexCount)]))
                filled += hexCount
            }
        }

        func end() throws(BlockFault) { if position != text.count { throw .corrupt("bytes after the last chunk") } }

        /// A varint of one byte or two: a block has at most 4,096 chunks.
        private mutating func distance() throws(BlockFault) -> Int {
            guard position < text.count else { throw .corrupt("a mark at the end") }
            let first = Int(text[position])
            position += 1
            switch first >> 6 {
            case 0: return first
            case 1 where position < text.count:
                let value = (first & 0x3F) << 8 | Int(text[position])
                position += 1
                guard value >= 64 else { throw .corrupt("an overlong distance") }
                return value
            default: throw .corrupt("a distance beyond the block")
            }
        }

        private func write(_ digest: Digest, to target: UnsafeMutableRawBufferPointer) {
            digest.withUnsafeBytes { bytes in
                for index in bytes.indices {
                    target[2 * index] = Filling.digit(bytes[index] >> 4)
                    target[2 * index + 1] = Filling.digit(bytes[index] & 15)
                }
            }
        }

        private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
    }
}
