// The bodies of frames. Each message encodes itself and reads itself back; `decode` refuses every other spelling of the same value.
// Long because every message of the wire stands here with its codec, in the order of the frame types: one place to compare with PROTOCOL.md.
public import HansaContent
public import HansaCore
public import HansaDocuments

/// A frame's body as a value.
public protocol Message: Sendable, Equatable {
    static var type: FrameType { get }
    func encode(to writer: inout ByteWriter)
    init(from reader: inout ByteReader) throws(ByteFault)
}

extension Message {
    public var frame: Frame {
        var writer = ByteWriter(reserving: 64)
        encode(to: &writer)
        return Frame(Self.type, body: writer.bytes)
    }

    public init(_ frame: Frame) throws(ProtocolFault) {
        precondition(frame.type == Self.type, "a \(frame.type) frame read as \(Self.type)")
        var reader = ByteReader(frame.body)
        do {
            self = try Self(from: &reader)
            try reader.end()
        } catch {
            throw ProtocolFault.malformed(frame.type, "\(error)")
        }
    }
}

/// Who speaks, to whom, and what of each other's keyring is known. The first frame either way.
public struct Hello: Message {
    public static let type = FrameType.hello
    public static let versions: [UInt64] = [1]

    public var versions: [UInt64]
    public var from: CityID
    public var to: CityID
    /// The version of the speaker's own keyring, and of the listener's that the speaker holds.
    public var keyring: UInt64
    public var peerKeyring: UInt64
    public var nonce: [UInt8]
    /// Bytes of content that the listener may send before it is granted more.
    public var contentCredit: UInt64
    /// The speaker's wall clock, for the listener's diagnosis only: clocks order display, never safety.
    public var clock: Timestamp

    public static let nonceBytes = 32

    public init(
        from: CityID, to: CityID, keyring: UInt64, peerKeyring: UInt64, nonce: [UInt8], contentCredit: UInt64, clock: Timestamp
    ) {
        versions = Hello.versions
        self.from = from
        self.to = to
        self.keyring = keyring
        self.peerKeyring = peerKeyring
        self.nonce = nonce
        self.contentCredit = contentCredit
        self.clock = clock
    }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(versions.count)
        for version in versions { writer.varint(version) }
        writer.prefixed(from.text)
        writer.prefixed(to.text)
        writer.varint(keyring)
        writer.varint(peerKeyring)
        writer.raw(nonce)
        writer.varint(contentCredit)
        writer.u64(UInt64(bitPattern: clock.milliseconds))
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        versions = []
        for _ in 0..<(try reader.count(max: 16)) { versions.append(try reader.varint()) }
        from = try reader.city()
        to = try reader.city()
        keyring = try reader.varint()
        peerKeyring = try reader.varint()
        nonce = Array(try reader.raw(Hello.nonceBytes))
        contentCredit = try reader.varint()
        clock = Timestamp(milliseconds: Int64(bitPattern: try reader.u64()))
    }
}

/// Signed documents: pushed until acknowledged, never fetched. Each carries the sender's number for it.
public struct Documents: Message {
    public static let type = FrameType.documents
    public static let countMax = 64
    public struct Item: Sendable, Equatable {
        public var id: UInt64
        public var envelope: Envelope
        public init(id: UInt64, envelope: Envelope) {
            self.id = id
            self.envelope = envelope
        }
    }
    public var items: [Item]
    public init(items: [Item]) { self.items = items }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(items.count)
        for item in items {
            writer.varint(item.id)
            writer.prefixed(item.envelope.binary())
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        items = []
        for _ in 0..<(try reader.count(max: Documents.countMax)) {
            let id = try reader.varint()
            items.append(Item(id: id, envelope: try reader.envelope()))
        }
    }
}

/// The documents with these numbers are durable here, or were refused (and why).
public struct DocumentsAcknowledged: Message {
    public static let type = FrameType.documentsAcknowledged
    public struct Item: Sendable, Equatable {
        public var id: UInt64
        /// Nil: taken. Otherwise a word of the catalogue in PROTOCOL.md.
        public var refusal: String?
        public init(id: UInt64, refusal: String?) {
            self.id = id
            self.refusal = refusal
        }
    }
    public var items: [Item]
    public init(items: [Item]) { self.items = items }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(items.count)
        for item in items {
            writer.varint(item.id)
            writer.prefixed(item.refusal ?? "")
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        items = []
        for _ in 0..<(try reader.count(max: Documents.countMax)) {
            let id = try reader.varint()
            let refusal = try reader.text(max: 100)
            items.append(Item(id: id, refusal: refusal.isEmpty ? nil : refusal))
        }
    }
}

/// A recipient says where it stands in each view: the whole hot path is this and its answer.
public struct Views: Message {
    public static let type = FrameType.views
    public static let countMax = 1024
    public struct Line: Sendable, Equatable {
        public var view: Digest
        public var policyEpoch: Digest
        /// As the publisher gave it; empty at first.
        public var cursor: [UInt8]
        public var digest: Digest
        public init(view: Digest, policyEpoch: Digest, cursor: [UInt8], digest: Digest) {
            self.view = view
            self.policyEpoch = policyEpoch
            self.cursor = cursor
            self.digest = digest
        }
    }
    /// Chosen by the recipient; the answers carry it.
    public var round: UInt64
    public var lines: [Line]
    public init(round: UInt64, lines: [Line]) {
        self.round = round
        self.lines = lines
    }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(round)
        writer.varint(lines.count)
        for line in lines {
            writer.digest(line.view)
            writer.digest(line.policyEpoch)
            writer.prefixed(line.cursor)
            writer.digest(line.digest)
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        round = try reader.varint()
        lines = []
        for _ in 0..<(try reader.count(max: Views.countMax)) {
            let view = try reader.digest()
            let epoch = try reader.digest()
            let cursor = Array(try reader.prefixed(max: Cursor.byteCount))
            lines.append(Line(view: view, policyEpoch: epoch, cursor: cursor, digest: try reader.digest()))
        }
    }
}

/// The publisher's answer for one view, or its push of a change: net changes after a cursor, a page at a time.
public struct Feed: Message {
    public static let type = FrameType.feed
    public static let changesMax = 4096

    public enum Status: UInt8, Sendable {
        /// Nothing after the cursor, and the digests are equal.
        case equal = 0
        /// Net changes after `since`.
        case changes = 1
        /// The cursor is unknown or digests differed: the whole view follows from its beginning; what is not listed is not in it.
        case reset = 2
        /// The policy epochs differ: exchange documents first, then ask again.
        case policy = 3
        /// There is no such view for you.
        case none = 4
        /// Stopped after digests differed twice; a person must look.
        case quarantined = 5
    }
    public enum Change: Sendable, Equatable {
        case add(release: Digest, level: UInt8, transfer: [UInt8])
        case drop(release: Digest, level: UInt8)
    }

    /// The round of the `views` that this answers; 0 for a push.
    public var round: UInt64
    public var view: Digest
    public var status: Status
    /// The cursor after which these changes come; the recipient takes a page only where it stands there.
    public var since: [UInt8]
    public var changes: [Change]
    public var cursor: [UInt8]
    /// More pages follow at once.
    public var more: Bool
    /// The view's digest at `cursor`; zero while more follows.
    public var digest: Digest

    public init(
        round: UInt64, view: Digest, status: Status, since: [UInt8] = [], changes: [Change] = [], cursor: [UInt8] = [],
        more: Bool = false, digest: Digest = .zero
    ) {
        self.round = round
        self.view = view
        self.status = status
        self.since = since
        self.changes = changes
        self.cursor = cursor
        self.more = more
        self.digest = digest
    }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(round)
        writer.digest(view)
        writer.u8(status.rawValue)
        guard status == .changes || status == .reset else { return }
        writer.prefixed(since)
        writer.varint(changes.count)
        for change in changes {
            switch change {
            case .add(let release, let level, let transfer):
                writer.u8(level)
                writer.digest(release)
                writer.raw(transfer)
            case .drop(let release, let level):
                writer.u8(0x80 | level)
                writer.digest(release)
            }
        }
        writer.prefixed(cursor)
        writer.u8(more ? 1 : 0)
        writer.digest(digest)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        round = try reader.varint()
        view = try reader.digest()
        guard let status = Status(rawValue: try reader.u8()) else { throw .malformed("status") }
        self.status = status
        (since, changes, cursor, more, digest) = ([], [], [], false, .zero)
        guard status == .changes || status == .reset else { return }
        since = Array(try reader.prefixed(max: Cursor.byteCount))
        for _ in 0..<(try reader.count(max: Feed.changesMax)) {
            let mark = try reader.u8()
            let level = mark & 0x7F
            guard level == 1 || level == 2 else { throw .malformed("level") }
            let release = try reader.digest()
            changes.append(
                mark & 0x80 == 0
                    ? .add(release: release, level: level, transfer: Array(try reader.raw(16)))
                    : .drop(release: release, level: level))
        }
        cursor = Array(try reader.prefixed(max: Cursor.byteCount))
        guard cursor.count == Cursor.byteCount else { throw .malformed("cursor") }
        switch try reader.u8() {
        case 0: more = false
        case 1: more = true
        default: throw .malformed("more")
        }
        digest = try reader.digest()
    }
}

/// After the recipient's fsync: every id up to this cursor is committed or refused, and this is its digest.
public struct FeedAcknowledged: Message {
    public static let type = FrameType.feedAcknowledged
    public var view: Digest
    public var cursor: [UInt8]
    public var digest: Digest
    public init(view: Digest, cursor: [UInt8], digest: Digest) {
        self.view = view
        self.cursor = cursor
        self.digest = digest
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.prefixed(cursor)
        writer.digest(digest)
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        cursor = Array(try reader.prefixed(max: Cursor.byteCount))
        digest = try reader.digest()
    }
}

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
        writer.varint(releases.count)
        for release in releases { writer.digest(release) }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        releases = []
        for _ in 0..<(try reader.count(max: GetReleases.countMax)) { releases.append(try reader.digest()) }
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
        raw.varint(items.count)
        for item in items {
            raw.digest(item.release)
            raw.prefixed(item.envelope?.binary() ?? [])
        }
        Packed.write(raw.bytes, to: &writer)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var raw = ByteReader(try Packed.read(from: &reader, rawBytesMax: Releases.rawBytesMax))
        items = []
        for _ in 0..<(try raw.count(max: GetReleases.countMax)) {
            let release = try raw.digest()
            let bytes = try raw.prefixed(max: Limits.documentBytesMax)
            items.append(Item(release: release, envelope: bytes.isEmpty ? nil : try ByteReader.envelope(bytes)))
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
        public init(release: Digest, tableFrom: UInt64, firstPage: UInt64, pageCount: UInt64) {
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
        writer.varint(asks.count)
        for ask in asks {
            writer.digest(ask.release)
            writer.varint(ask.tableFrom)
            writer.varint(ask.firstPage)
            writer.varint(ask.pageCount)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        asks = []
        for _ in 0..<(try reader.count(max: GetIndex.countMax)) {
            let release = try reader.digest()
            let from = try reader.varint()
            let first = try reader.varint()
            asks.append(Ask(release: release, tableFrom: from, firstPage: first, pageCount: try reader.varint()))
        }
    }
}

/// Parts of indexes, compressed together.
public struct IndexParts: Message {
    public static let type = FrameType.index
    public static let rawBytesMax = 1024 * 1024
    /// What one frame carries of one index at most.
    public static let partBytesMax = 160 * 1024
    public enum Part: Sendable, Equatable {
        case table(release: Digest, total: UInt64, from: UInt64, bytes: [UInt8])
        case page(release: Digest, number: UInt64, bytes: [UInt8])
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
        raw.varint(parts.count)
        for part in parts {
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
            }
        }
        Packed.write(raw.bytes, to: &writer)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var raw = ByteReader(try Packed.read(from: &reader, rawBytesMax: IndexParts.rawBytesMax))
        parts = []
        for _ in 0..<(try raw.count(max: 4096)) {
            let mark = try raw.u8()
            let release = try raw.digest()
            switch mark {
            case 0:
                let total = try raw.varint()
                let from = try raw.varint()
                parts.append(
                    .table(
                        release: release, total: total, from: from, bytes: Array(try raw.prefixed(max: IndexParts.rawBytesMax))))
            case 1:
                let number = try raw.varint()
                parts.append(
                    .page(release: release, number: number, bytes: Array(try raw.prefixed(max: Limits.indexPageChunks * 36))))
            case 2: parts.append(.absent(release: release))
            default: throw .malformed("part")
            }
        }
        try raw.end()
    }
}

/// Asks for runs of chunks of releases. `base` names a release the recipient holds, for deltas (later; zero now).
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
        writer.varint(runs.count)
        for run in runs {
            writer.digest(run.release)
            writer.digest(.zero)
            writer.varint(run.first)
            writer.varint(run.count)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        runs = []
        for _ in 0..<(try reader.count(max: GetChunks.countMax)) {
            let release = try reader.digest()
            guard try reader.digest() == .zero else { throw .malformed("a base: deltas are not spoken in version 1") }
            let first = try reader.varint()
            let count = try reader.varint()
            guard count > 0, first <= UInt64(Limits.chunksMax), count <= UInt64(Limits.chunksMax) else { throw .malformed("run") }
            runs.append(Run(release: release, first: first, count: count))
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
    public var bytes: [UInt8]

    public init(
        view: Digest, release: Digest, first: UInt64, count: UInt64, codec: Block.Codec, rawLength: UInt32, bytes: [UInt8]
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
        writer.digest(view)
        writer.digest(release)
        writer.varint(first)
        writer.varint(count)
        writer.u8(codec.rawValue)
        writer.varint(UInt64(rawLength))
        writer.raw(bytes)
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
        bytes = Array(reader.rest())
    }
}

/// A signed receipt, with the sender's number for it: sent in every session until `documents-ack` names that number.
public struct ReceiptMessage: Message {
    public static let type = FrameType.receipt
    public var id: UInt64
    public var envelope: Envelope
    public init(id: UInt64, envelope: Envelope) {
        self.id = id
        self.envelope = envelope
    }
    public func encode(to writer: inout ByteWriter) {
        writer.varint(id)
        writer.prefixed(envelope.binary())
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        id = try reader.varint()
        envelope = try reader.envelope()
    }
}

/// The publisher's word, now and then, of where its views stand: push is a hint, the digest is the truth.
public struct Announce: Message {
    public static let type = FrameType.announce
    public struct Line: Sendable, Equatable {
        public var view: Digest
        public var digest: Digest
        public init(view: Digest, digest: Digest) {
            self.view = view
            self.digest = digest
        }
    }
    public var lines: [Line]
    public init(lines: [Line]) { self.lines = lines }
    public func encode(to writer: inout ByteWriter) {
        writer.varint(lines.count)
        for line in lines {
            writer.digest(line.view)
            writer.digest(line.digest)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        lines = []
        for _ in 0..<(try reader.count(max: Views.countMax)) {
            let view = try reader.digest()
            lines.append(Line(view: view, digest: try reader.digest()))
        }
    }
}

/// Grants the other side more bytes of content.
public struct Credit: Message {
    public static let type = FrameType.credit
    public var bytes: UInt64
    public init(bytes: UInt64) { self.bytes = bytes }
    public func encode(to writer: inout ByteWriter) { writer.varint(bytes) }
    public init(from reader: inout ByteReader) throws(ByteFault) { bytes = try reader.varint() }
}

/// Something of the peer's could not be done; the session goes on.
public struct ErrorMessage: Message {
    public static let type = FrameType.error
    public var code: String
    public var view: Digest
    public var retryAfterSeconds: UInt64
    public init(code: String, view: Digest, retryAfterSeconds: UInt64) {
        self.code = code
        self.view = view
        self.retryAfterSeconds = retryAfterSeconds
    }
    public func encode(to writer: inout ByteWriter) {
        writer.prefixed(code)
        writer.digest(view)
        writer.varint(retryAfterSeconds)
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        code = try reader.text(max: 64)
        view = try reader.digest()
        retryAfterSeconds = try reader.varint()
    }
}

/// The last frame: why the speaker ends the session.
public struct CloseMessage: Message {
    public static let type = FrameType.close
    public var reason: String
    public init(reason: String) { self.reason = reason }
    public func encode(to writer: inout ByteWriter) { writer.prefixed(reason) }
    public init(from reader: inout ByteReader) throws(ByteFault) { reason = try reader.text(max: 200) }
}

/// `varint raw length ‖ u8 codec ‖ bytes`: bodies that repeat themselves go compressed.
enum Packed {
    static func write(_ raw: [UInt8], to writer: inout ByteWriter) {
        let packed = raw.withUnsafeBytes { Block.encode(raw: $0, level: 1) }
        writer.varint(raw.count)
        writer.u8(packed.codec.rawValue)
        writer.raw(packed.bytes)
    }

    static func read(from reader: inout ByteReader, rawBytesMax: Int) throws(ByteFault) -> [UInt8] {
        let count = try reader.count(max: rawBytesMax)
        guard let codec = Block.Codec(rawValue: try reader.u8()) else { throw .malformed("codec") }
        do {
            return try Block.decode(codec, Array(reader.rest()), rawLength: count)
        } catch {
            throw .malformed("packed body: \(error)")
        }
    }
}

extension ByteReader {
    fileprivate mutating func city() throws(ByteFault) -> CityID {
        let text = try text(max: 253)
        do { return try CityID(text) } catch { throw .malformed("city id") }
    }

    fileprivate mutating func envelope() throws(ByteFault) -> Envelope {
        try ByteReader.envelope(try prefixed(max: Limits.documentBytesMax))
    }

    fileprivate static func envelope(_ bytes: ArraySlice<UInt8>) throws(ByteFault) -> Envelope {
        do { return try Envelope(binary: Array(bytes)) } catch { throw .malformed("envelope: \(error)") }
    }
}
