// The frame `reconcile`: ranges of a view's members, told by the publisher or the recipient (PROTOCOL.md, section on repair).
public import HansaCore

/// What is said of the members between the bound before and `upper`.
public struct ReconciliationRange: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        /// Nothing to say: equal, or done with.
        case skip
        /// So many members, and the first half of the sum of their tags.
        case fingerprint(count: Int, UInt64)
        /// The publisher's: go on from your side, with a list or with parts.
        case ask
        /// The recipient's: the first six bytes of each member's tag, in order of the members.
        case list([UInt64])
        /// The publisher's, to a list: the places in it of those that it does not have, ascending; and the fingerprint of the others.
        case answer(extra: [Int], common: UInt64)
    }

    public var upper: ReconciliationBound
    public var content: Content

    public init(upper: ReconciliationBound, content: Content) {
        self.upper = upper
        self.content = content
    }

    /// Bytes of a short id. Two members of one range share one about once in 2^33 ranges; a fingerprint finds it.
    public static let shortIDBytes = 6
    public static let listMax = 256
}

public struct Reconcile: Message {
    public static let type = FrameType.reconcile
    public static let rangesMax = 4096

    public enum Speaker: UInt8, Sendable {
        case publisher = 0
        case recipient = 1
    }
    public enum State: UInt8, Sendable {
        /// The round's last or only frame.
        case whole = 0
        /// More ranges of this round follow in the next frame.
        case more = 1
        /// Beyond what this side does: tell the whole view instead. Without ranges.
        case declined = 2
    }

    /// First, so that a session knows for whom the frame is.
    public var speaker: Speaker
    public var view: Digest
    /// The publisher's for this repair; the recipient says it again.
    public var number: UInt64
    /// 1 for the publisher's first word; the recipient answers in the same round.
    public var round: Int
    public var state: State
    public var ranges: [ReconciliationRange]

    public init(speaker: Speaker, view: Digest, number: UInt64, round: Int, state: State, ranges: [ReconciliationRange]) {
        self.speaker = speaker
        self.view = view
        self.number = number
        self.round = round
        self.state = state
        self.ranges = ranges
    }

    public func encode(to writer: inout ByteWriter) {
        writer.u8(speaker.rawValue)
        writer.digest(view)
        writer.varint(number)
        writer.u8(UInt8(round))
        writer.u8(state.rawValue)
        var time: UInt64 = 0
        writer.list(ranges) { writer, range in
            range.upper.encode(after: &time, to: &writer)
            range.content.encode(to: &writer)
        }
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        guard let speaker = Speaker(rawValue: try reader.u8()) else { throw .malformed("speaker") }
        self.speaker = speaker
        view = try reader.digest()
        number = try reader.varint()
        round = Int(try reader.u8())
        guard (1...Reconciliation.roundsMax).contains(round) else { throw .malformed("round") }
        guard let state = State(rawValue: try reader.u8()) else { throw .malformed("state") }
        self.state = state
        ranges = []
        var last = ReconciliationBound.start
        for _ in 0..<(try reader.count(max: Reconcile.rangesMax)) {
            let upper = try ReconciliationBound(after: last, from: &reader)
            let content = try ReconciliationRange.Content(from: &reader)
            // One spelling: what is skipped together is one range, and a frame ends with something said.
            if content == .skip, ranges.last?.content == .skip { throw .malformed("two skips together") }
            ranges.append(ReconciliationRange(upper: upper, content: content))
            last = upper
        }
        if ranges.last?.content == .skip { throw .malformed("a skip at the end") }
        if state == .more, ranges.isEmpty { throw .malformed("more after nothing") }
        if state == .declined, !ranges.isEmpty { throw .malformed("ranges of what is declined") }
    }

    /// Before it is read: whether the frame is for the half of the session that publishes.
    static func isForPublisher(_ frame: Frame) -> Bool { frame.body.first == Speaker.recipient.rawValue }
}

extension ReconciliationBound {
    /// `varint 0` for the end, else `varint 1 + time − time of the bound before ‖ u8 count ‖ bytes of the prefix` without zeros at its end.
    func encode(after time: inout UInt64, to writer: inout ByteWriter) {
        guard self != .end else { return writer.varint(UInt64(0)) }
        writer.varint(1 + self.time - time)
        time = self.time
        let bytes = prefix.bytes
        let count = (bytes.lastIndex { $0 != 0 } ?? -1) + 1
        writer.u8(UInt8(count))
        writer.raw(bytes.prefix(count))
    }

    init(after last: ReconciliationBound, from reader: inout ByteReader) throws(ByteFault) {
        guard last != .end else { throw .malformed("a range after the end") }
        let delta = try reader.varint()
        guard delta > 0 else {
            self = .end
            return
        }
        guard delta - 1 <= ReconciliationBound.timeMax - last.time else { throw .malformed("time of a bound") }
        let count = Int(try reader.u8())
        guard count <= Digest.byteCount else { throw .malformed("bound") }
        let bytes = try reader.raw(count)
        if bytes.last == 0 { throw .malformed("bound with zeros at its end") }
        guard let prefix = Digest(bytes + [UInt8](repeating: 0, count: Digest.byteCount - count)) else {
            throw .malformed("bound")
        }
        self.init(time: last.time + delta - 1, prefix: prefix)
        guard last < self else { throw .malformed("bounds that do not ascend") }
    }
}

extension ReconciliationRange.Content {
    func encode(to writer: inout ByteWriter) {
        switch self {
        case .skip: writer.u8(0)
        case .fingerprint(let count, let value):
            writer.u8(1)
            writer.varint(count)
            writer.u64(value)
        case .ask: writer.u8(2)
        case .list(let ids):
            writer.u8(3)
            writer.list(ids) { writer, id in
                writer.u24(UInt32(id >> 24))
                writer.u24(UInt32(id & 0xFF_FFFF))
            }
        case .answer(let extra, let common):
            writer.u8(4)
            writer.varint(extra.count)
            var next = 0
            for index in extra {
                writer.varint(index - next)
                next = index + 1
            }
            writer.u64(common)
        }
    }

    init(from reader: inout ByteReader) throws(ByteFault) {
        switch try reader.u8() {
        case 0: self = .skip
        case 1:
            let count = try reader.count(max: Reconciliation.itemsMax)
            self = .fingerprint(count: count, try reader.u64())
        case 2: self = .ask
        case 3:
            self = .list(
                try reader.list(max: ReconciliationRange.listMax) { reader throws(ByteFault) in
                    UInt64(try reader.u24()) << 24 | UInt64(try reader.u24())
                })
        case 4:
            var next = 0
            let extra = try reader.list(max: ReconciliationRange.listMax) { reader throws(ByteFault) in
                let index = next + (try reader.count(max: ReconciliationRange.listMax))
                guard index < ReconciliationRange.listMax else { throw .malformed("place in a list") }
                next = index + 1
                return index
            }
            self = .answer(extra: extra, common: try reader.u64())
        default: throw .malformed("range")
        }
    }
}
