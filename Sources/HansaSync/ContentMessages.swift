// Messages that fetch: release documents, indexes, chunks.
public import HansaContent
public import HansaCore
public import HansaDocuments

public struct GetReleases: Message {
    public static let type = FrameType.getReleases
    public static let countMax = 256
    public var view: Digest
    public var releases: [Digest]
    public init(view: Digest, releases: [Digest]) {
        self.view = view
        self.releases = releases
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.list(releases) { $0.digest($1) }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        releases = try reader.list(max: GetReleases.countMax) { reader throws(ByteFault) in try reader.digest() }
    }
}

/// Release documents, compressed together: they repeat one another. An id without a document: there is no such release for you.
public struct Releases: Message {
    public static let type = FrameType.releases
    public static let rawBytesMax = 1024 * 1024
    public struct Item: Sendable, Equatable {
        public var release: Digest
        public var envelope: Envelope?
        public init(release: Digest, envelope: Envelope?) {
            self.release = release
            self.envelope = envelope
        }
    }
    public var view: Digest
    public var items: [Item]
    public init(view: Digest, items: [Item]) {
        self.view = view
        self.items = items
    }

    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        var raw = ByteWriter(reserving: items.count * 900)
        raw.list(items) { raw, item in
            raw.digest(item.release)
            raw.prefixed(item.envelope?.binary() ?? [])
        }
        Packed.write(raw.bytes, to: &writer)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var raw = ByteReader(try Packed.read(from: &reader, rawBytesMax: Releases.rawBytesMax))
        items = try raw.list(max: GetReleases.countMax) { raw throws(ByteFault) in
            let release = try raw.digest()
            let bytes = try raw.prefixed(max: Limits.documentBytesMax)
            return Item(release: release, envelope: bytes.isEmpty ? nil : try ByteReader.envelope(bytes))
        }
        try raw.end()
    }
}

/// Asks for tables and pages, several releases in one frame: small packages are many.
public struct GetIndex: Message {
    public static let type = FrameType.getIndex
    public static let countMax = 256
    public struct Ask: Sendable, Equatable {
        public var release: Digest
        /// From which byte of the encoded table on; the table's size stands in the first part.
        public var tableFrom: UInt64
        public var firstPage: UInt64
        public var pageCount: UInt64
        /// A release of the package that the recipient holds: what its pages have in common with these need not be sent.
        public var base: Digest?
        public init(release: Digest, tableFrom: UInt64, firstPage: UInt64, pageCount: UInt64, base: Digest? = nil) {
            self.base = base
            self.release = release
            self.tableFrom = tableFrom
            self.firstPage = firstPage
            self.pageCount = pageCount
        }
    }
    public var view: Digest
    public var asks: [Ask]
    public init(view: Digest, asks: [Ask]) {
        self.view = view
        self.asks = asks
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.list(asks) { writer, ask in
            writer.digest(ask.release)
            writer.varint(ask.tableFrom)
            writer.varint(ask.firstPage)
            writer.varint(ask.pageCount)
            writer.u8(ask.base == nil ? 0 : 1)
            if let base = ask.base { writer.digest(base) }
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        asks = try reader.list(max: GetIndex.countMax) { reader throws(ByteFault) in
            var ask = Ask(
                release: try reader.digest(), tableFrom: try reader.varint(), firstPage: try reader.varint(),
                pageCount: try reader.varint())
            switch try reader.u8() {
            case 0: break
            case 1: ask.base = try reader.digest()
            default: throw .malformed("base")
            }
            return ask
        }
    }
}

/// Parts of indexes, compressed together.
public struct IndexParts: Message {
    public static let type = FrameType.index
    public static let rawBytesMax = 1024 * 1024
    public static let countMax = 4096
    /// What one frame carries of one index at most.
    public static let partBytesMax = 160 * 1024
    public enum Part: Sendable, Equatable {
        case table(release: Digest, total: UInt64, from: UInt64, bytes: [UInt8])
        case page(release: Digest, number: UInt64, bytes: [UInt8])
        /// A page by what it has in common with the index of the base that was named in the ask (`PageDelta`).
        case pageDelta(release: Digest, number: UInt64, bytes: [UInt8])
        /// There is no such release for you.
        case absent(release: Digest)
    }
    public var view: Digest
    public var parts: [Part]
    public init(view: Digest, parts: [Part]) {
        self.view = view
        self.parts = parts
    }

    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        var raw = ByteWriter(reserving: 4096)
        raw.list(parts) { raw, part in
            switch part {
            case .table(let release, let total, let from, let bytes):
                raw.u8(0)
                raw.digest(release)
                raw.varint(total)
                raw.varint(from)
                raw.prefixed(bytes)
            case .page(let release, let number, let bytes):
                raw.u8(1)
                raw.digest(release)
                raw.varint(number)
                raw.prefixed(bytes)
            case .absent(let release):
                raw.u8(2)
                raw.digest(release)
            case .pageDelta(let release, let number, let bytes):
                raw.u8(3)
                raw.digest(release)
                raw.varint(number)
                raw.prefixed(bytes)
            }
        }
        Packed.write(raw.bytes, to: &writer)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var raw = ByteReader(try Packed.read(from: &reader, rawBytesMax: IndexParts.rawBytesMax))
        parts = try raw.list(max: IndexParts.countMax) { raw throws(ByteFault) in
            let mark = try raw.u8()
            let release = try raw.digest()
            switch mark {
            case 0:
                let total = try raw.varint()
                let from = try raw.varint()
                return .table(
                    release: release, total: total, from: from, bytes: Array(try raw.prefixed(max: IndexParts.rawBytesMax)))
            case 1:
                let number = try raw.varint()
                return .page(release: release, number: number, bytes: Array(try raw.prefixed(max: Limits.indexPageChunks * 36)))
            case 2: return .absent(release: release)
            case 3:
                let number = try raw.varint()
                return .pageDelta(
                    release: release, number: number, bytes: Array(try raw.prefixed(max: Limits.indexPageChunks * 36)))
            default: throw .malformed("part")
            }
        }
        try raw.end()
    }
}

/// Asks for runs of chunks of releases.
public struct GetChunks: Message {
    public static let type = FrameType.getChunks
    public static let countMax = 1024
    public struct Run: Sendable, Equatable {
        public var release: Digest
        public var first: UInt64
        public var count: UInt64
        public init(release: Digest, first: UInt64, count: UInt64) {
            self.release = release
            self.first = first
            self.count = count
        }
    }
    public var view: Digest
    public var runs: [Run]
    public init(view: Digest, runs: [Run]) {
        self.view = view
        self.runs = runs
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.list(runs) { writer, run in
            writer.digest(run.release)
            writer.varint(run.first)
            writer.varint(run.count)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        runs = try reader.list(max: GetChunks.countMax) { reader throws(ByteFault) in
            let release = try reader.digest()
            let first = try reader.varint()
            let count = try reader.varint()
            guard count > 0, first <= UInt64(Limits.chunksMax), count <= UInt64(Limits.chunksMax) else { throw .malformed("run") }
            return Run(release: release, first: first, count: count)
        }
    }
}

/// Content: neighbouring chunks of one release, raw or compressed together. Their ids and lengths stand in the index.
public struct Chunks: Message {
    public static let type = FrameType.chunks
    public var view: Digest
    public var release: Digest
    public var first: UInt64
    /// 0: there is no such release, or the chunk cannot be read here; `bytes` is empty then.
    public var count: UInt64
    public var codec: Block.Codec
    public var rawLength: UInt32
    /// A slice of the frame, or of the block that was read: a megabyte is copied neither in nor out.
    public var bytes: ArraySlice<UInt8>

    public init(
        view: Digest, release: Digest, first: UInt64, count: UInt64, codec: Block.Codec, rawLength: UInt32, bytes: [UInt8]
    ) {
        self.init(view: view, release: release, first: first, count: count, codec: codec, rawLength: rawLength, bytes: bytes[...])
    }

    public init(
        view: Digest, release: Digest, first: UInt64, count: UInt64, codec: Block.Codec, rawLength: UInt32,
        bytes: ArraySlice<UInt8>
    ) {
        self.view = view
        self.release = release
        self.first = first
        self.count = count
        self.codec = codec
        self.rawLength = rawLength
        self.bytes = bytes
    }

    public func encode(to writer: inout ByteWriter) {
        encodeHead(to: &writer)
        writer.raw(bytes)
    }

    private func encodeHead(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.digest(release)
        writer.varint(first)
        writer.varint(count)
        writer.u8(codec.rawValue)
        writer.varint(UInt64(rawLength))
    }

    public var frame: Frame {
        var writer = ByteWriter(reserving: 96)
        encodeHead(to: &writer)
        return Frame(Self.type, body: writer.bytes, tail: bytes)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        release = try reader.digest()
        first = try reader.varint()
        count = try reader.varint()
        guard let codec = Block.Codec(rawValue: try reader.u8()) else { throw .malformed("codec") }
        self.codec = codec
        let raw = try reader.count(max: Limits.blockRawBytesMax)
        rawLength = UInt32(raw)
        guard first <= UInt64(Limits.chunksMax), count <= UInt64(Limits.blockRawBytesMax), codec != .raw || reader.left == raw
        else {
            throw .malformed("chunks")
        }
        bytes = reader.rest()
    }
}
