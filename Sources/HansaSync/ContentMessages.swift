// Messages that fetch: release documents, indexes, chunks.
public import HansaContent
public import HansaCore
public import HansaDocuments

public struct GetReleases: Message {
    public static let type = FrameType.getReleases
    public static let countMax = 256
    public var view: Digest
    /// Digests, or names of offers.
    public var releases: [Digest]
    public init(view: Digest, releases: [Digest]) {
        self.view = view
        self.releases = releases
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.list(releases) { $0.name($1) }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        releases = try reader.list(max: GetReleases.countMax) { reader throws(ByteFault) in
            let mark = try reader.u8()
            guard mark < 2 else { throw .malformed("name of a release") }
            return try reader.name(isOffer: mark == 1)
        }
    }
}

/// Release documents, compressed together: they repeat one another. A name without a document: there is no such release for you.
public struct Releases: Message {
    public static let type = FrameType.releases
    private static let absentOfferMark: UInt8 = 0x80
    public static let rawBytesMax = 1024 * 1024
    public struct Item: Sendable, Equatable {
        /// The document's digest; without a document, as it was asked for.
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
        // Digests and signatures do not compress: they stand apart from what does.
        var texts = ByteWriter(reserving: items.count * 700)
        var digests = DigestColumn.Writer(reserving: items.count * 160)
        texts.list(items) { texts, item in
            guard let envelope = item.envelope else {
                return texts.name(item.release, mark: 0, bit: Releases.absentOfferMark)
            }
            precondition(envelope.digest == item.release, "a document under another release's digest")
            texts.u8(envelope.type.code)
            texts.prefixed(digests.cut(envelope.payload))
            texts.varint(envelope.signatures.count)
            for signature in envelope.signatures {
                texts.digest(signature.keyID)
                digests.column.raw(signature.signature)
            }
        }
        var packed = ByteWriter(reserving: texts.bytes.count / 8)
        Packed.write(texts.bytes, to: &packed)
        writer.prefixed(packed.bytes)
        writer.raw(digests.column.bytes)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var packed = ByteReader(try reader.prefixed(max: Releases.rawBytesMax))
        var texts = ByteReader(try Packed.read(from: &packed, rawBytesMax: Releases.rawBytesMax))
        var digests = DigestColumn.Reader(reader.rest(), bytesMax: Releases.rawBytesMax)
        items = try texts.list(max: GetReleases.countMax) { texts throws(ByteFault) in
            let type = try texts.u8()
            if type == 0 || type == Releases.absentOfferMark {
                return Item(release: try texts.name(isOffer: type != 0), envelope: nil)
            }
            let payload = try digests.fill(try texts.prefixed(max: Limits.documentBytesMax))
            let count = try texts.count(max: Limits.signaturesMax)
            // In the envelope's own form, whose reader has all its rules.
            var binary = ByteWriter(reserving: payload.count + 8 + count * 96)
            binary.u8(type)
            binary.prefixed(payload)
            binary.varint(count)
            for _ in 0..<count {
                binary.digest(try texts.digest())
                binary.raw(try digests.column.raw(64))
            }
            let envelope = try ByteReader.envelope(binary.bytes[...])
            return Item(release: envelope.digest, envelope: envelope)
        }
        try texts.end()
        try digests.column.end()
    }
}

/// Digests that texts spell out in hex, as bytes in a column of their own.
///
/// In the text stands `0xFF ‖ varint n` instead: n = 0 is the byte 0xFF, 1 the next digest of the column, and n > 1 once more the one that was taken n − 1
/// before the next.
enum DigestColumn {
    private static let mark: UInt8 = 0xFF
    /// So far back is looked for a digest that was told before.
    private static let repeatsMax = 8

    struct Writer {
        var column: ByteWriter
        private var told: [Digest] = []

        init(reserving count: Int) { column = ByteWriter(reserving: count) }

        mutating func cut(_ text: [UInt8]) -> [UInt8] {
            text.withUnsafeBytes { bytes in
                var writer = ByteWriter(reserving: bytes.count)
                var (copied, from) = (0, 0)
                while let place = Hex.nextDigest(in: bytes, from: from, to: bytes.count) {
                    from = place + 2 * Digest.byteCount
                    guard let digest = Digest(hexDigits: UnsafeRawBufferPointer(rebasing: bytes[place..<from])) else { continue }
                    copy(bytes[copied..<place], to: &writer)
                    copied = from
                    writer.u8(DigestColumn.mark)
                    if let again = told.suffix(DigestColumn.repeatsMax).lastIndex(of: digest) {
                        writer.varint(1 + told.count - again)
                    } else {
                        writer.varint(1)
                        told.append(digest)
                        column.digest(digest)
                    }
                }
                copy(bytes[copied...], to: &writer)
                return writer.bytes
            }
        }

        private func copy(_ bytes: Slice<UnsafeRawBufferPointer>, to writer: inout ByteWriter) {
            guard bytes.contains(DigestColumn.mark) else { return writer.raw(bytes) }
            for byte in bytes {
                writer.u8(byte)
                if byte == DigestColumn.mark { writer.varint(0) }
            }
        }
    }

    struct Reader {
        var column: ByteReader
        private var told: [Digest] = []
        private var bytesLeft: Int

        /// `bytesMax`: of all texts that are filled.
        init(_ column: ArraySlice<UInt8>, bytesMax: Int) {
            self.column = ByteReader(column)
            bytesLeft = bytesMax
        }

        mutating func fill(_ text: ArraySlice<UInt8>) throws(ByteFault) -> [UInt8] {
            var writer = ByteWriter(reserving: text.count + 256)
            var rest = text
            while let place = rest.firstIndex(of: DigestColumn.mark) {
                try take(rest[..<place].count)
                writer.raw(rest[..<place])
                var reader = ByteReader(rest[(place + 1)...])
                let number = try reader.varint()
                rest = reader.rest()
                if number == 0 {
                    try take(1)
                    writer.u8(DigestColumn.mark)
                    continue
                }
                try take(2 * Digest.byteCount)
                if number == 1 { told.append(try column.digest()) }
                let back = max(1, number - 1)
                guard back <= UInt64(told.count) else { throw .malformed("a digest that was not told") }
                writer.raw(told[told.count - Int(back)].hex.utf8)
            }
            try take(rest.count)
            writer.raw(rest)
            return writer.bytes
        }

        private mutating func take(_ count: Int) throws(ByteFault) {
            guard count <= bytesLeft else { throw .malformed("documents that are too long together") }
            bytesLeft -= count
        }
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
