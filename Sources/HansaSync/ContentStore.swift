// Where bytes lie, and what the exchange asks of it: blocks, documents and indexes are appended, and read by their places.
public import HansaContent
public import HansaCore
internal import HansaCrypto

/// Where bytes lie: append-only records with checksums. `SegmentStore` implements it over a disk, real or in memory.
public protocol ContentStore: Sendable {
    /// Not durable before `sync` returns.
    func append(block: StoredBlock) throws -> ContentLocation
    func append(document: [UInt8], digest: Digest) throws -> ContentLocation
    func append(table: [UInt8], release: Digest) throws -> [ContentLocation]
    func append(page: [UInt8], release: Digest) throws -> ContentLocation
    /// What an index consists of, under the root that its release signs: no row names it, but a database that is lost can be made again from it.
    func append(index root: Digest, table: Digest, chunks: Int, pages: [Digest]) throws
    /// A block with the indexes of the small releases in it, with one write where the store can. Places are in their order.
    func append(block: StoredBlock, small: [SmallIndex]) throws -> (
        block: ContentLocation, indexes: [(table: [ContentLocation], page: ContentLocation)]
    )
    /// Everything appended before the call, by anyone, is durable when it returns.
    func sync() throws
    func block(at location: ContentLocation) throws -> StoredBlock
    /// The body of a document, table part or page record.
    func body(at location: ContentLocation) throws -> [UInt8]
}

extension ContentStore {
    public func append(index root: Digest, table: Digest, chunks: Int, pages: [Digest]) throws {}

    public func append(block: StoredBlock, small: [SmallIndex]) throws -> (
        block: ContentLocation, indexes: [(table: [ContentLocation], page: ContentLocation)]
    ) {
        let place = try append(block: block)
        return (
            place,
            try small.map { one in
                let table = try append(table: one.table, release: one.release)
                let page = try append(page: one.page, release: one.release)
                try append(index: one.root, table: SHA256.hash(one.table), chunks: one.chunks, pages: [SHA256.hash(one.page)])
                return (table, page)
            }
        )
    }
}

/// A place in the content store. `length` counts the whole record.
public struct ContentLocation: Hashable, Sendable {
    public let segment: UInt32
    public let offset: UInt32
    public let length: UInt32

    public init(segment: UInt32, offset: UInt32, length: UInt32) {
        self.segment = segment
        self.offset = offset
        self.length = length
    }
}

/// Where a chunk lies: in which stored block, from which byte of its raw content.
public struct ChunkLocation: Hashable, Sendable {
    public let block: ContentLocation
    public let offset: UInt32
    public let length: UInt32

    public init(block: ContentLocation, offset: UInt32, length: UInt32) {
        self.block = block
        self.offset = offset
        self.length = length
    }
}

/// The index of a release whose chunks fill one page at most.
public struct SmallIndex: Sendable {
    public let release: Digest
    public let root: Digest
    public let chunks: Int
    public let table: [UInt8]
    public let page: [UInt8]

    public init(release: Digest, root: Digest, chunks: Int, table: [UInt8], page: [UInt8]) {
        self.release = release
        self.root = root
        self.chunks = chunks
        self.table = table
        self.page = page
    }
}

/// Neighbouring chunks compressed together, as they lie in the store and may go over the wire.
public struct StoredBlock: Sendable, Equatable {
    public let codec: Block.Codec
    public let rawLength: Int
    public let chunks: [ChunkEntry]
    /// A slice, so that a block is stored from the frame that brought it.
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

    /// As a segment holds it.
    public var record: BlockRecord { BlockRecord(codec: codec, rawLength: rawLength, chunks: chunks, bytes: bytes) }
}
