// The records of a segment and their bodies:
//
//     1 block        u8 codec ‖ u32 raw length ‖ u16 number of chunks ‖ stored bytes ‖ number × (32 bytes chunk id ‖ u32 raw length)
//     2 document     32 bytes SHA-256 of the payload ‖ the envelope in its binary form
//     3 table part   32 bytes SHA-256 of the encoded file table ‖ u16 part, from 0 ‖ u16 parts ‖ up to 1 MiB of the table
//     4 page         32 bytes SHA-256 of the page ‖ the page
//     5 index        32 bytes root ‖ 32 bytes SHA-256 of the encoded table ‖ u32 chunks ‖ pages × 32 bytes SHA-256 of the page
//     6 other        32 bytes id ‖ bytes of its writer's choice
//
// In a block the list stands last, so that stored bytes are read straight into the memory they are sent from.
public import HansaCore
internal import HansaCrypto

/// A block as it is stored, and as it may go over the wire.
public struct BlockRecord: Hashable, Sendable {
    /// As many as chunks of the smallest profile in 1 MiB, with room for small files side by side.
    public static let chunksMax = 4096

    public let codec: Block.Codec
    /// The sum of the chunks' lengths, 1 to `Limits.blockRawBytesMax`.
    public let rawLength: Int
    /// In the order of the raw bytes.
    public let chunks: [ChunkEntry]
    /// As stored: compressed or raw. A slice, so that what came in a larger piece is kept and written where it lies.
    public let bytes: ArraySlice<UInt8>

    public init(codec: Block.Codec, rawLength: Int, chunks: [ChunkEntry], bytes: [UInt8]) {
        self.init(codec: codec, rawLength: rawLength, chunks: chunks, bytes: bytes[...])
    }

    public init(codec: Block.Codec, rawLength: Int, chunks: [ChunkEntry], bytes: ArraySlice<UInt8>) {
        self.codec = codec
        self.rawLength = rawLength
        self.chunks = chunks
        self.bytes = bytes
    }

    /// The raw bytes of all chunks. That they are the chunks' is for the caller to check against their ids.
    public func raw() throws(BlockFault) -> [UInt8] { try Block.decode(codec, bytes, chunks: chunks) }
}

/// One record, to be written or as it was read.
public enum SegmentRecord: Hashable, Sendable {
    case block(BlockRecord)
    /// A signed document: the digest of its payload, and the envelope's binary form.
    case document(digest: Digest, bytes: [UInt8])
    /// A part of an encoded file table, under the digest of the whole.
    case tablePart(table: Digest, part: Int, parts: Int, bytes: [UInt8])
    /// A page of a chunk index, under its own digest.
    case page(digest: Digest, bytes: [UInt8])
    /// What an index consists of, under its root.
    case index(root: Digest, table: Digest, chunks: Int, pages: [Digest])
    case other(id: Digest, bytes: [UInt8])

    /// The type byte.
    public enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        case block = 1
        case document = 2
        case tablePart = 3
        case page = 4
        case index = 5
        case other = 6
    }

    public static let tablePartBytesMax = 1 << 20

    public var kind: Kind {
        switch self {
        case .block: .block
        case .document: .document
        case .tablePart: .tablePart
        case .page: .page
        case .index: .index
        case .other: .other
        }
    }

    /// What the footer lists the record under: for a block each of its chunks.
    public var ids: [Digest] {
        switch self {
        case .block(let block): block.chunks.map(\.id)
        case .document(let id, _), .tablePart(let id, _, _, _), .page(let id, _), .index(let id, _, _, _), .other(let id, _): [id]
        }
    }

    /// An encoded file table as the records that hold it: one, unless it is larger than 1 MiB.
    public static func tableParts(_ encoded: [UInt8]) -> [SegmentRecord] { tableParts(encoded, digest: SHA256.hash(encoded)) }

    /// The same where the table's SHA-256 is known already.
    public static func tableParts(_ encoded: [UInt8], digest: Digest) -> [SegmentRecord] {
        let parts = Swift.max(1, (encoded.count + tablePartBytesMax - 1) / tablePartBytesMax)
        return (0..<parts).map { part in
            let range = (part * tablePartBytesMax)..<Swift.min((part + 1) * tablePartBytesMax, encoded.count)
            return .tablePart(table: digest, part: part, parts: parts, bytes: Array(encoded[range]))
        }
    }

    // MARK: - Encoding

    /// The body in three pieces, any of which may be empty; the middle one may be large, and is where it was.
    /// - Precondition: the record is within the format's bounds: a block has 1 to 4,096 chunks whose lengths make up its raw length.
    private var pieces: (head: [UInt8], middle: ArraySlice<UInt8>, tail: [UInt8]) {
        switch self {
        case .block(let block):
            precondition(block.rawLength <= Limits.blockRawBytesMax && (1...BlockRecord.chunksMax).contains(block.chunks.count))
            precondition(
                block.chunks.reduce(0) { $0 + Int($1.length) } == block.rawLength, "chunks that do not make up their block")
            var head = ByteWriter(reserving: 7)
            head.u8(block.codec.rawValue)
            head.u32(UInt32(block.rawLength))
            head.u16(UInt16(block.chunks.count))
            var list = ByteWriter(reserving: block.chunks.count * ChunkEntry.byteCount)
            for chunk in block.chunks {
                list.digest(chunk.id)
                list.u32(chunk.length)
            }
            return (head.bytes, block.bytes, list.bytes)
        case .document(let id, let bytes), .page(let id, let bytes), .other(let id, let bytes): return (id.bytes, bytes[...], [])
        case .tablePart(let table, let part, let parts, let bytes):
            var head = ByteWriter(reserving: 36)
            head.digest(table)
            head.u16(UInt16(part))
            head.u16(UInt16(parts))
            return (head.bytes, bytes[...], [])
        case .index(let root, let table, let chunks, let pages):
            var head = ByteWriter(reserving: 68 + pages.count * Digest.byteCount)
            head.digest(root)
            head.digest(table)
            head.u32(UInt32(chunks))
            for page in pages { head.digest(page) }
            return (head.bytes, [], [])
        }
    }

    /// Calls `body` with the parts of the encoded record, in order: small ones made here, large ones where they lie.
    /// - Precondition: the record is within the format's bounds: a block has 1 to 4,096 chunks whose lengths make up its raw length.
    public func withEncoded<T>(_ body: ([UnsafeRawBufferPointer]) throws -> T) rethrows -> T {
        let (head, middle, tail) = pieces
        return try head.withUnsafeBytes { head in
            try middle.withUnsafeBytes { middle in
                try tail.withUnsafeBytes { tail in
                    let parts = [head, middle, tail].filter { !$0.isEmpty }
                    return try SegmentFormat.framing(type: kind.rawValue, parts: parts).withUnsafeBytes { try body([$0] + parts) }
                }
            }
        }
    }

    /// Appends the encoded record: for small ones that are written together.
    /// - Precondition: as for `withEncoded`.
    public func append(to bytes: inout [UInt8]) {
        let (head, middle, tail) = pieces
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: SegmentFormat.framingBytes))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: middle)
        bytes.append(contentsOf: tail)
        bytes.withUnsafeMutableBytes { bytes in
            let body = UnsafeRawBufferPointer(rebasing: bytes[(start + SegmentFormat.framingBytes)...])
            let framing = SegmentFormat.framing(type: kind.rawValue, parts: [body])
            UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + framing.count)]).copyBytes(from: framing)
        }
    }

    /// The encoded record in one piece. Large records are better written with `withEncoded`.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    // MARK: - Decoding

    /// Reads a whole record, framing included.
    public init(encoded bytes: [UInt8]) throws(SegmentFault) { try self.init(encoded: bytes[...]) }

    public init(encoded bytes: ArraySlice<UInt8>) throws(SegmentFault) {
        let kind = try bytes.withUnsafeBytes { buffer -> Result<Kind, SegmentFault> in
            Result { () throws(SegmentFault) -> Kind in
                let (type, bodyBytes, checksum) = try SegmentFormat.readFraming(buffer)
                let body = UnsafeRawBufferPointer(rebasing: buffer[SegmentFormat.framingBytes...])
                guard body.count >= bodyBytes else { throw .truncated }
                guard body.count == bodyBytes, let kind = Kind(rawValue: type) else { throw .framing }
                guard SegmentFormat.isIntact(framing: buffer, body: [body], checksum: checksum) else { throw .checksum }
                return kind
            }
        }.get()
        try self.init(kind, body: bytes.dropFirst(SegmentFormat.framingBytes))
    }

    /// Reads a body whose checksum has been found right.
    init(_ kind: Kind, body: ArraySlice<UInt8>) throws(SegmentFault) {
        do throws(ByteFault) {
            var reader = ByteReader(body)
            switch kind {
            case .block: self = .block(try SegmentRecord.readBlock(&reader))
            case .document: self = .document(digest: try reader.digest(), bytes: Array(reader.rest()))
            case .page: self = .page(digest: try reader.digest(), bytes: Array(reader.rest()))
            case .other: self = .other(id: try reader.digest(), bytes: Array(reader.rest()))
            case .tablePart:
                let table = try reader.digest()
                let part = Int(try reader.u16())
                let parts = Int(try reader.u16())
                guard part < parts, reader.left <= SegmentRecord.tablePartBytesMax else {
                    throw ByteFault.malformed("part of a table")
                }
                self = .tablePart(table: table, part: part, parts: parts, bytes: Array(reader.rest()))
            case .index:
                let root = try reader.digest()
                let table = try reader.digest()
                let chunks = Int(try reader.u32())
                guard chunks <= Limits.chunksMax, reader.left == IndexPage.count(forChunks: chunks) * Digest.byteCount else {
                    throw ByteFault.malformed("pages of an index")
                }
                var pages: [Digest] = []
                pages.reserveCapacity(reader.left / Digest.byteCount)
                while !reader.isAtEnd { pages.append(try reader.digest()) }
                self = .index(root: root, table: table, chunks: chunks, pages: pages)
            }
        } catch {
            throw .body("\(error)")
        }
    }

    private static func readBlock(_ reader: inout ByteReader) throws(ByteFault) -> BlockRecord {
        let head = try BlockHead(reader.raw(BlockHead.byteCount), bodyBytes: reader.left + BlockHead.byteCount)
        let bytes = try reader.raw(head.storedBytes)
        return BlockRecord(codec: head.codec, rawLength: head.rawLength, chunks: try head.chunks(reader.rest()), bytes: bytes)
    }
}

extension BlockRecord {
    /// Bytes of a block's record before its stored bytes: 16.
    public static let prefixBytes = SegmentFormat.framingBytes + BlockHead.byteCount

    /// Reads a block record that was read in two parts, without copying the stored bytes.
    ///
    /// - Parameters:
    ///   - prefix: the record's first `prefixBytes` bytes.
    ///   - rest: all bytes after them.
    public init(prefix: UnsafeRawBufferPointer, rest: [UInt8]) throws(SegmentFault) {
        let (type, bodyBytes, checksum) = try SegmentFormat.readFraming(prefix)
        guard prefix.count == BlockRecord.prefixBytes, type == SegmentRecord.Kind.block.rawValue,
            bodyBytes == BlockHead.byteCount + rest.count
        else { throw .framing }
        let start = UnsafeRawBufferPointer(rebasing: prefix[SegmentFormat.framingBytes...])
        guard rest.withUnsafeBytes({ SegmentFormat.isIntact(framing: prefix, body: [start, $0], checksum: checksum) }) else {
            throw .checksum
        }
        do throws(ByteFault) {
            let head = try BlockHead(Array(start)[...], bodyBytes: bodyBytes)
            chunks = try head.chunks(rest[head.storedBytes...])
            codec = head.codec
            rawLength = head.rawLength
            // With the list behind it: to cut that off would copy the rest.
            bytes = rest[..<head.storedBytes]
        } catch {
            throw .body("\(error)")
        }
    }
}

/// The first bytes of a block's body, which say how the rest is divided.
struct BlockHead {
    static let byteCount = 7

    let codec: Block.Codec
    let rawLength: Int
    let chunkCount: Int
    let storedBytes: Int

    init(_ bytes: ArraySlice<UInt8>, bodyBytes: Int) throws(ByteFault) {
        var reader = ByteReader(bytes)
        let code = try reader.u8()
        guard let codec = Block.Codec(rawValue: code) else { throw .malformed("codec of a block") }
        self.codec = codec
        rawLength = Int(try reader.u32())
        chunkCount = Int(try reader.u16())
        storedBytes = bodyBytes - BlockHead.byteCount - chunkCount * ChunkEntry.byteCount
        guard (1...Limits.blockRawBytesMax).contains(rawLength), (1...BlockRecord.chunksMax).contains(chunkCount),
            storedBytes >= 0,
            storedBytes <= Limits.blockRawBytesMax
        else { throw .malformed("lengths of a block") }
    }

    func chunks(_ list: ArraySlice<UInt8>) throws(ByteFault) -> [ChunkEntry] {
        guard list.count == chunkCount * ChunkEntry.byteCount, let chunks = try? IndexPage.entries(list),
            chunks.reduce(0, { $0 + Int($1.length) }) == rawLength
        else { throw .malformed("chunks of a block") }
        return chunks
    }
}
