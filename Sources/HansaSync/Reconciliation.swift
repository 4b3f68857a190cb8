// Repair of a view: publisher and recipient find out in a few rounds where their members differ (SYNC.md §3), as two values that are fed ranges.
//
//   publisher  start() ─ fingerprints or ask ─▶            recipient
//              ◀─ fingerprints (parts), lists ─ receive()
//   receive()  ─ fingerprints (parts), ask, answers ─▶     … until nothing is open
//
// Ranges in which fingerprint and count are equal are left out. Only the recipient lists: the publisher's answer then settles a range, and the
// publisher tells what is lacking in its feed, where it is logged as offered. A range with no member on one side is settled at once by a
// fingerprint of count 0. Every answer lies within what was left open and is narrower, or settles it.
//
// Short ids that collide are never believed: the answer has the fingerprint of what the publisher took for common, and where the recipient's
// own differs it declines, and the view is told from its beginning. The view's digest is compared after all this in any case.
public import HansaCore

public enum Reconciliation {
    /// Round trips of one repair.
    public static let roundsMax = 8
    public static let itemsMax = 1 << 32
    /// Parts of a range, at most.
    static let parts = 64
    /// Spans and listed ids in all frames of one round; what needs more is told from its beginning.
    static let spansMax = 1 << 16
    static let listedMax = 1 << 19
    /// Lists of a round above this are first narrowed down: differences are scattered then, and one round trip saves most of the bytes.
    static let listBytesAim = 128 * 1024
    static let fineCount = 16

    /// A range and what is said of it.
    public struct Span: Sendable, Equatable {
        public var lower: ReconciliationBound
        public var upper: ReconciliationBound
        public var content: ReconciliationRange.Content

        public init(lower: ReconciliationBound, upper: ReconciliationBound, content: ReconciliationRange.Content) {
            self.lower = lower
            self.upper = upper
            self.content = content
        }
    }

    /// What the other side did wrong.
    public enum Fault: Error, Sendable, Equatable {
        /// Ranges that overlap or do not ascend.
        case disorder
        /// A range that was not left open.
        case notOpen
        /// An answer that is as wide as the question.
        case notShrinking
        /// A list or a range that was asked for and did not come.
        case unanswered
        /// A content that is the other side's to say, or an answer that fits no list.
        case outOfPlace
        case round
        case tooMuch
    }

    /// A differing range, before it is decided how to go on with it.
    fileprivate struct Differing {
        var lower: ReconciliationBound
        var upper: ReconciliationBound
        var range: Range<Int>
        /// Members on the other side; nil where it asked.
        var theirs: Int?
    }

    fileprivate enum Word {
        case say(Span)
        case decide(Differing)
    }

    /// What a side left open with its last word.
    fileprivate struct Open {
        enum Kind: Equatable {
            case fingerprint
            case ask
            /// The recipient's items that it listed.
            case list(Range<Int>)
        }
        var lower: ReconciliationBound
        var upper: ReconciliationBound
        var kind: Kind
        var isAnswered = false
    }

    /// Finds the open range in which `span` lies, and that the order is kept.
    fileprivate static func match(
        _ span: Span, in open: inout [Open], from place: inout Int, after last: inout ReconciliationBound
    )
        throws(Fault) -> Open
    {
        guard last <= span.lower, span.lower < span.upper else { throw .disorder }
        last = span.upper
        while place < open.count, open[place].upper <= span.lower { place += 1 }
        guard place < open.count, open[place].lower <= span.lower, span.upper <= open[place].upper else { throw .notOpen }
        open[place].isAnswered = true
        let found = open[place]
        if case .fingerprint(let count, _) = span.content, count > 0, span.lower == found.lower, span.upper == found.upper {
            throw .notShrinking
        }
        return found
    }

    fileprivate static func split(_ differing: Differing, _ set: ReconciliationSet, _ count: Int) -> [Span] {
        var lower = differing.lower
        let parts = ReconciliationSet.parts(of: differing.range, count)
        return parts.enumerated().map { number, part in
            let upper = number == parts.count - 1 ? differing.upper : set.bound(before: part.upperBound)
            defer { lower = upper }
            return Span(lower: lower, upper: upper, content: .fingerprint(count: part.count, set.fingerprint(part)))
        }
    }
}

extension ReconciliationSet {
    func indices(_ span: Reconciliation.Span) -> Range<Int> { index(of: span.lower)..<index(of: span.upper) }
    func shortIDs(_ range: Range<Int>) -> [UInt64] {
        var ids: [UInt64] = []
        ids.reserveCapacity(range.count)
        each(in: range) { ids.append(ReconciliationSet.shortID($1)) }
        return ids
    }

    static func shortID(_ tag: UInt128) -> UInt64 {
        UInt64(truncatingIfNeeded: tag >> UInt128(128 - 8 * ReconciliationRange.shortIDBytes))
    }
}

// MARK: - Publisher

/// The publisher's side of one repair. Feed it the recipient's words in turn; the round is its to count.
public struct ReconciliationPublisher {
    public enum Step: Sendable, Equatable {
        case say([Reconciliation.Span])
        /// The last word, perhaps nothing: `additions` are what the recipient lacks.
        case done([Reconciliation.Span])
        case declined
    }

    private let set: ReconciliationSet
    private var open: [Reconciliation.Open] = []
    /// Ranges of `set` that the recipient lacks.
    private var lacking: [Range<Int>] = []
    public private(set) var round = 0

    public init(_ set: ReconciliationSet) { self.set = set }

    /// Releases and levels that the recipient lacks, as far as found.
    public var additions: [ReconciliationItem] { lacking.flatMap { set.items[$0] } }

    public mutating func start() -> Step {
        let whole = Reconciliation.Differing(lower: .start, upper: .end, range: 0..<set.count, theirs: nil)
        if set.count > ReconciliationRange.listMax {
            return finish(Reconciliation.split(whole, set, Reconciliation.parts))
        }
        let content = set.count == 0 ? ReconciliationRange.Content.fingerprint(count: 0, 0) : .ask
        return finish([Reconciliation.Span(lower: .start, upper: .end, content: content)])
    }

    /// The recipient's answer to the last word.
    public mutating func receive(_ spans: [Reconciliation.Span]) throws(Reconciliation.Fault) -> Step {
        var (place, last) = (0, ReconciliationBound.start)
        var words: [Reconciliation.Word] = []
        for span in spans {
            let found = try Reconciliation.match(span, in: &open, from: &place, after: &last)
            let range = set.indices(span)
            switch span.content {
            case .fingerprint(let count, let value):
                if count == 0 {
                    if !range.isEmpty { lacking.append(range) }
                } else if range.isEmpty {
                    words.append(.say(.init(lower: span.lower, upper: span.upper, content: .fingerprint(count: 0, 0))))
                } else if count != range.count || value != set.fingerprint(range) {
                    words.append(.decide(.init(lower: span.lower, upper: span.upper, range: range, theirs: count)))
                }
            case .list(let ids):
                if found.kind == .ask, (span.lower, span.upper) != (found.lower, found.upper) { throw .outOfPlace }
                words.append(.say(.init(lower: span.lower, upper: span.upper, content: settle(ids, range))))
            case .skip, .ask, .answer: throw .outOfPlace
            }
        }
        guard open.allSatisfy({ $0.kind != .ask || $0.isAnswered }) else { throw .unanswered }
        return finish(decided(words))
    }

    /// Compares a list with our members of the range.
    private mutating func settle(_ ids: [UInt64], _ range: Range<Int>) -> ReconciliationRange.Content {
        var places: [UInt64: Int] = [:]
        for (place, id) in ids.enumerated() { places[id] = place }
        var isExtra = [Bool](repeating: true, count: ids.count)
        var common: UInt128 = 0
        set.each(in: range) { index, tag in
            if let place = places[ReconciliationSet.shortID(tag)], isExtra[place] {
                isExtra[place] = false
                common &+= tag
            } else if let before = lacking.last, before.upperBound == index {
                lacking[lacking.count - 1] = before.lowerBound..<index + 1
            } else {
                lacking.append(index..<index + 1)
            }
        }
        return .answer(extra: isExtra.indices.filter { isExtra[$0] }, common: ReconciliationSet.fingerprint(common))
    }

    private func decided(_ words: [Reconciliation.Word]) -> [Reconciliation.Span] {
        var toList = 0
        for case .decide(let differing) in words {
            let theirs = differing.theirs ?? 0
            if theirs <= ReconciliationRange.listMax { toList += theirs }
        }
        let isScattered = toList * ReconciliationRange.shortIDBytes > Reconciliation.listBytesAim
        var spans: [Reconciliation.Span] = []
        for word in words {
            switch word {
            case .say(let span): spans.append(span)
            case .decide(let differing):
                let (ours, theirs) = (differing.range.count, differing.theirs ?? 0)
                if theirs > ReconciliationRange.listMax, ours > 1 {
                    spans += Reconciliation.split(differing, set, Reconciliation.parts)
                } else if isScattered, min(ours, theirs) > 2 * Reconciliation.fineCount {
                    spans += Reconciliation.split(differing, set, min(Reconciliation.parts, ours / Reconciliation.fineCount))
                } else {
                    spans.append(.init(lower: differing.lower, upper: differing.upper, content: .ask))
                }
            }
        }
        return spans
    }

    private mutating func finish(_ spans: [Reconciliation.Span]) -> Step {
        guard spans.count <= Reconciliation.spansMax else { return .declined }
        open = spans.compactMap { span in
            switch span.content {
            case .fingerprint(let count, _) where count > 0: .init(lower: span.lower, upper: span.upper, kind: .fingerprint)
            case .ask: .init(lower: span.lower, upper: span.upper, kind: .ask)
            default: nil
            }
        }
        guard round < Reconciliation.roundsMax else { return .declined }
        round += 1
        return open.isEmpty ? .done(spans) : .say(spans)
    }
}

// MARK: - Recipient

/// The recipient's side of one repair.
public struct ReconciliationRecipient {
    public enum Step: Sendable, Equatable {
        case say([Reconciliation.Span])
        /// Everything is settled; what is lacking comes by the feed.
        case done
        /// Beyond the bounds, or two short ids were the same: the whole view must be told.
        case declined
    }

    private let set: ReconciliationSet
    private var open: [Reconciliation.Open]
    public private(set) var round = 0
    /// What the publisher's words say it does not have: taken when the repair is done.
    private var surplus: [Range<Int>] = []

    public init(_ set: ReconciliationSet) {
        self.set = set
        open = [.init(lower: .start, upper: .end, kind: .fingerprint)]
    }

    /// Members that are to end, as far as found.
    public var extras: [ReconciliationItem] { surplus.flatMap { set.items[$0] } }
    /// Nothing waits for the publisher's word.
    public var isSettled: Bool { round > 0 && !open.contains { if case .list = $0.kind { true } else { false } } }

    /// The publisher's word of the round that follows.
    public mutating func receive(_ spans: [Reconciliation.Span], round next: Int) throws(Reconciliation.Fault) -> Step {
        guard next == round + 1 else { throw .round }
        round = next
        var (place, last) = (0, ReconciliationBound.start)
        var words: [Reconciliation.Word] = []
        var isOpen = false
        for span in spans {
            let found = try Reconciliation.match(span, in: &open, from: &place, after: &last)
            if case .list(let listed) = found.kind {
                guard case .answer(let extra, let common) = span.content, (span.lower, span.upper) == (found.lower, found.upper),
                    extra.last ?? -1 < listed.count
                else { throw .outOfPlace }
                guard take(extra, of: listed, common: common) else { return .declined }
                continue
            }
            let range = set.indices(span)
            switch span.content {
            case .fingerprint(let count, let value):
                if count == 0 {
                    if !range.isEmpty { surplus.append(range) }
                    continue
                }
                isOpen = true
                if range.isEmpty {
                    words.append(.say(.init(lower: span.lower, upper: span.upper, content: .fingerprint(count: 0, 0))))
                } else if count != range.count || value != set.fingerprint(range) {
                    words.append(.decide(.init(lower: span.lower, upper: span.upper, range: range, theirs: count)))
                }
            case .ask:
                isOpen = true
                words.append(.decide(.init(lower: span.lower, upper: span.upper, range: range, theirs: nil)))
            case .skip, .list, .answer: throw .outOfPlace
            }
        }
        for open in open { if case .list = open.kind, !open.isAnswered { throw .unanswered } }
        open = []
        guard isOpen else { return .done }
        return finish(decided(words))
    }

    private mutating func take(_ extra: [Int], of listed: Range<Int>, common: UInt64) -> Bool {
        var sum: UInt128 = 0
        var next = extra[...]
        set.each(in: listed) { index, tag in
            if next.first == index - listed.lowerBound { next.removeFirst() } else { sum &+= tag }
        }
        for place in extra { surplus.append(listed.lowerBound + place..<listed.lowerBound + place + 1) }
        return ReconciliationSet.fingerprint(sum) == common
    }

    private func decided(_ words: [Reconciliation.Word]) -> [Reconciliation.Span] {
        var toList = 0
        for case .decide(let differing) in words where differing.range.count <= ReconciliationRange.listMax {
            toList += differing.range.count
        }
        let isScattered = toList * ReconciliationRange.shortIDBytes > Reconciliation.listBytesAim
        var spans: [Reconciliation.Span] = []
        for word in words {
            switch word {
            case .say(let span): spans.append(span)
            case .decide(let differing):
                let ours = differing.range.count
                if ours > ReconciliationRange.listMax {
                    spans += Reconciliation.split(differing, set, Reconciliation.parts)
                } else if isScattered, let theirs = differing.theirs, min(ours, theirs) > 2 * Reconciliation.fineCount {
                    spans += Reconciliation.split(differing, set, min(Reconciliation.parts, ours / Reconciliation.fineCount))
                } else {
                    spans.append(
                        .init(lower: differing.lower, upper: differing.upper, content: .list(set.shortIDs(differing.range))))
                }
            }
        }
        return spans
    }

    private mutating func finish(_ spans: [Reconciliation.Span]) -> Step {
        var listed = 0
        open = spans.compactMap { span in
            switch span.content {
            case .fingerprint(let count, _) where count > 0:
                return .init(lower: span.lower, upper: span.upper, kind: .fingerprint)
            case .list(let ids):
                listed += ids.count
                return .init(lower: span.lower, upper: span.upper, kind: .list(set.indices(span)))
            default: return nil
            }
        }
        return spans.count <= Reconciliation.spansMax && listed <= Reconciliation.listedMax ? .say(spans) : .declined
    }
}

// MARK: - Frames

extension Reconciliation {
    /// Joins the frames of one word, and checks that they are in order and not too many.
    public struct Joiner: Sendable {
        private var spans: [Span] = []
        private var listed = 0

        public init() {}

        /// The whole word with its last frame; nil while more follows.
        public mutating func add(_ frame: Reconcile) throws(Fault) -> [Span]? {
            var lower = ReconciliationBound.start
            for range in frame.ranges {
                defer { lower = range.upper }
                if case .skip = range.content { continue }
                if case .list(let ids) = range.content { listed += ids.count }
                guard (spans.last?.upper ?? .start) <= lower else { throw .disorder }
                spans.append(Span(lower: lower, upper: range.upper, content: range.content))
            }
            guard spans.count <= spansMax, listed <= listedMax else { throw .tooMuch }
            guard frame.state != .more else { return nil }
            defer { self = Joiner() }
            return spans
        }
    }

    /// The frames of one word; at least one.
    public static func frames(_ spans: [Span], from speaker: Reconcile.Speaker, of view: Digest, number: UInt64, round: Int)
        -> [Frame]
    {
        var groups: [[ReconciliationRange]] = []
        var ranges: [ReconciliationRange] = []
        var bytes = 0
        var last = ReconciliationBound.start
        for span in spans {
            let size = span.content.bytesMax
            if bytes + size > Limits.controlBodyBytesMax - 256 || ranges.count + 2 > Reconcile.rangesMax {
                groups.append(ranges)
                (ranges, bytes, last) = ([], 0, .start)
            }
            if last < span.lower {
                ranges.append(ReconciliationRange(upper: span.lower, content: .skip))
                bytes += 64
            }
            ranges.append(ReconciliationRange(upper: span.upper, content: span.content))
            bytes += size
            last = span.upper
        }
        groups.append(ranges)
        return groups.indices.map { group in
            Reconcile(
                speaker: speaker, view: view, number: number, round: round, state: group == groups.count - 1 ? .whole : .more,
                ranges: groups[group]
            ).frame
        }
    }
}

extension ReconciliationRange.Content {
    /// With its bound; more than it will be.
    fileprivate var bytesMax: Int {
        switch self {
        case .list(let ids): 64 + ids.count * ReconciliationRange.shortIDBytes
        case .answer(let extra, _): 64 + extra.count * 2
        default: 64
        }
    }
}
