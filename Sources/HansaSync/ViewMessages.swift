// Messages about where views stand: lines, feeds, acknowledgements, announcements.
public import HansaCore

/// A recipient says where it stands in each view: the whole hot path is this and its answer.
public struct Views: Message {
    public static let type = FrameType.views
    public static let countMax = 1024
    public struct Line: Sendable, Equatable {
        public var view: Digest
        /// The beginning of the policy epoch: enough to see that the two differ. That they are equal is bound by the digest, which has it whole.
        public var epochMark: UInt64
        /// As the publisher gave it; empty at first.
        public var cursor: [UInt8]
        public var digest: Digest
        public init(view: Digest, policyEpoch: Digest, cursor: [UInt8], digest: Digest) {
            self.view = view
            epochMark = Line.mark(of: policyEpoch)
            self.cursor = cursor
            self.digest = digest
        }
        init(from reader: inout ByteReader) throws(ByteFault) {
            view = try reader.digest()
            epochMark = try reader.u64()
            cursor = Array(try reader.prefixed(max: Cursor.byteCount))
            digest = try reader.digest()
        }
        /// The first eight bytes of an epoch, as an integer.
        public static func mark(of epoch: Digest) -> UInt64 { epoch.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
    }
    /// Chosen by the recipient, another for each frame; the answers carry it.
    public var round: UInt64
    public var lines: [Line]
    public init(round: UInt64, lines: [Line]) {
        self.round = round
        self.lines = lines
    }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(round)
        writer.list(lines) { writer, line in
            writer.digest(line.view)
            writer.u64(line.epochMark)
            writer.prefixed(line.cursor)
            writer.digest(line.digest)
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        round = try reader.varint()
        lines = try reader.list(max: Views.countMax) { reader throws(ByteFault) in
            try Line(from: &reader)
        }
    }
}

/// The publisher's answer for all lines of one `views` frame where nothing is new: their places in it.
public struct EqualViews: Message {
    public static let type = FrameType.equal
    /// The round of the `views` that this answers.
    public var round: UInt64
    /// Bit 7 of the first byte is the first line; it ends with the last byte in which a bit is set. Empty for a round that had no line.
    private var bitmap: [UInt8]

    /// Lines count from 0, below `Views.countMax`; none where the round had none.
    public init(round: UInt64, lines: [Int]) {
        self.round = round
        bitmap = [UInt8](repeating: 0, count: lines.max().map { $0 / 8 + 1 } ?? 0)
        for line in lines { bitmap[line / 8] |= 0x80 >> UInt8(line % 8) }
    }

    public func contains(line: Int) -> Bool { line / 8 < bitmap.count && bitmap[line / 8] & 0x80 >> UInt8(line % 8) != 0 }

    public func encode(to writer: inout ByteWriter) {
        writer.varint(round)
        writer.prefixed(bitmap)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        round = try reader.varint()
        bitmap = Array(try reader.prefixed(max: Views.countMax / 8))
        guard bitmap.last != 0 else { throw .malformed("bitmap") }
    }
}

/// The publisher's answer for one view that is not equal, or its push of a change: net changes after a cursor, a page at a time.
public struct Feed: Message {
    public static let type = FrameType.feed
    public static let changesMax = 4096

    public enum Status: UInt8, Sendable {
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
        /// Digests differ or the cursor is unknown: what differs is found by `reconcile`, and pages of changes of this round follow it.
        case repair = 6
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
        writer.list(changes) { writer, change in
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
        changes = try reader.list(max: Feed.changesMax) { reader throws(ByteFault) in
            let mark = try reader.u8()
            let level = mark & 0x7F
            guard level == 1 || level == 2 else { throw .malformed("level") }
            let release = try reader.digest()
            return mark & 0x80 == 0
                ? .add(release: release, level: level, transfer: Array(try reader.raw(16)))
                : .drop(release: release, level: level)
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
        writer.list(lines) { writer, line in
            writer.digest(line.view)
            writer.digest(line.digest)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        lines = try reader.list(max: Views.countMax) { reader throws(ByteFault) in
            Line(view: try reader.digest(), digest: try reader.digest())
        }
    }
}
