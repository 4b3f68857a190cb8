import HansaCore
import HansaCrypto
import HansaSync
import HansaTestSupport
import Testing

/// Two sides of a repair in memory, over the frames as they travel.
struct ReconciliationPair {
    let view = SHA256.hash([9])
    var publisher: ReconciliationPublisher
    var recipient: ReconciliationRecipient
    private(set) var bytes = 0
    private(set) var rounds = 0
    private(set) var declined = false

    init(_ ours: [ReconciliationItem], _ theirs: [ReconciliationItem], key: [UInt8] = [UInt8](repeating: 7, count: 16)) {
        publisher = ReconciliationPublisher(ReconciliationSet(key: key, items: ours))
        recipient = ReconciliationRecipient(ReconciliationSet(key: key, items: theirs))
    }

    /// What the recipient reads of what was said.
    private mutating func travel(_ spans: [Reconciliation.Span], _ speaker: Reconcile.Speaker, round: Int) throws
        -> [Reconciliation.Span]
    {
        var joiner = Reconciliation.Joiner()
        for frame in Reconciliation.frames(spans, from: speaker, of: view, number: 1, round: round) {
            bytes += frame.encoded.count
            #expect(frame.body.count <= FrameType.reconcile.bodyBytesMax)
            let message = try Reconcile(frame)
            #expect(message.frame == frame)
            if let whole = try joiner.add(message) { return whole }
        }
        Issue.record("a word without an end")
        return []
    }

    mutating func run() throws {
        var step = publisher.start()
        while true {
            let (said, isDone): ([Reconciliation.Span], Bool)
            switch step {
            case .say(let spans): (said, isDone) = (spans, false)
            case .done(let spans): (said, isDone) = (spans, true)
            case .declined:
                declined = true
                return
            }
            rounds = publisher.round
            if isDone, said.isEmpty {
                #expect(recipient.isSettled)
                return
            }
            let answer = try recipient.receive(try travel(said, .publisher, round: publisher.round), round: publisher.round)
            switch answer {
            case .say(let spans):
                #expect(!isDone)
                step = try publisher.receive(try travel(spans, .recipient, round: recipient.round))
            case .done:
                #expect(isDone)
                return
            case .declined:
                declined = true
                return
            }
        }
    }
}

@Suite struct ReconciliationTests {
    static func items(_ count: Int, _ random: inout SplitMix64, spread: UInt64 = 90_000_000_000) -> [ReconciliationItem] {
        (0..<count).map { _ in
            ReconciliationItem(
                issued: Timestamp(milliseconds: 1_700_000_000_000 + Int64(random.next() % spread)),
                release: Digest(random.next(), random.next(), random.next(), random.next()), level: UInt8(1 + random.next() % 2))
        }
    }

    static func key(_ item: ReconciliationItem) -> [UInt8] { item.release.bytes + [item.level] }

    /// Runs a pair and compares with plain sets.
    static func check(_ ours: [ReconciliationItem], _ theirs: [ReconciliationItem], _ seed: UInt64) throws {
        var pair = ReconciliationPair(ours, theirs)
        try pair.run()
        #expect(!pair.declined, "seed \(seed)")
        #expect(pair.rounds <= Reconciliation.roundsMax, "seed \(seed)")
        let (left, right) = (Set(ours.map(key)), Set(theirs.map(key)))
        #expect(Set(pair.publisher.additions.map(key)) == left.subtracting(right), "seed \(seed)")
        #expect(Set(pair.recipient.extras.map(key)) == right.subtracting(left), "seed \(seed)")
        #expect(pair.publisher.additions.count == left.subtracting(right).count, "seed \(seed)")
        #expect(pair.recipient.extras.count == right.subtracting(left).count, "seed \(seed)")
    }

    @Test(arguments: 1...60 as ClosedRange<UInt64>) func randomSetsConverge(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let sizes = [0, 1, 2, 3, 10, 60, 255, 256, 257, 300, 1000, 5000]
        func size() -> Int { sizes[Int(random.next() % UInt64(sizes.count))] }
        // Few moments, so that many releases share one.
        let spread: UInt64 = random.next() % 3 == 0 ? 5 : 90_000_000
        let common = Self.items(size(), &random, spread: spread)
        let left = common + Self.items(size(), &random, spread: spread)
        let right = common + Self.items(size(), &random, spread: spread)
        try Self.check(left, right.reversed(), seed)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>) func scatteredAndClusteredDifferencesAreFound(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var all = Self.items(30_000, &random)
        all.sort { ($0.time, $0.release) < ($1.time, $1.release) }
        var (left, right) = (all, all)
        if seed % 2 == 0 {
            let start = Int(random.next() % 28_000)
            left.removeSubrange(start..<start + 300)
            right.removeSubrange(start + 300..<start + 700)
        } else {
            left = left.filter { _ in random.next() % 50 != 0 }
            right = right.filter { _ in random.next() % 50 != 0 }
        }
        try Self.check(left, right, seed)
        try Self.check(left, left, seed)
        try Self.check(left, [], seed)
        try Self.check([], left, seed)
    }

    @Test func aReleaseAtAnotherLevelOrTimeIsADifference() throws {
        var random = SplitMix64(seed: 5)
        let all = Self.items(400, &random)
        let moment = Timestamp(milliseconds: 1_700_000_000_000)
        let first = ReconciliationItem(issued: moment, release: all[0].release, level: 1)
        let second = ReconciliationItem(issued: moment, release: all[0].release, level: 2)
        try Self.check(all[1...] + [first], all[1...] + [second], 5)
        // A time that one side does not know is no difference where both stand in one list.
        var pair = ReconciliationPair(all[1...] + [first], all[1...] + [.init(issued: nil, release: first.release, level: 1)])
        try pair.run()
        #expect(pair.publisher.additions == [])
        #expect(pair.recipient.extras == [])
    }

    @Test func orderIsByTimeThenReleaseWhateverTheStoreGives() {
        for seed in 1...6 as ClosedRange<UInt64> {
            var random = SplitMix64(seed: seed)
            let items = Self.items(5000, &random, spread: [1, 40, 1 << 20, 1 << 40, 1 << 59][Int(seed % 5)])
            let sorted = items.sorted { ($0.time, $0.release) < ($1.time, $1.release) }
            let key = [UInt8](repeating: 1, count: 16)
            #expect(ReconciliationSet(key: key, items: items).items == sorted, "seed \(seed)")
            #expect(ReconciliationSet(key: key, items: sorted).items == sorted, "seed \(seed)")
        }
    }

    @Test func anotherKeyGivesOtherWords() throws {
        var random = SplitMix64(seed: 8)
        let items = Self.items(1000, &random)
        let words = [1, 2].map { (key: UInt8) in
            var publisher = ReconciliationPublisher(
                ReconciliationSet(key: [UInt8](repeating: key, count: 16), items: items))
            return publisher.start()
        }
        #expect(words[0] != words[1])
    }

    // MARK: Hostile words

    static let low = ReconciliationBound(time: 1_700_000_000_000, prefix: .zero)
    static let high = ReconciliationBound(time: 1_700_090_000_000, prefix: .zero)

    /// A publisher that has told fingerprints of 64 parts, and the spans that it told.
    static func talking() -> (ReconciliationPublisher, [Reconciliation.Span]) {
        var random = SplitMix64(seed: 3)
        var publisher = ReconciliationPublisher(
            ReconciliationSet(key: [UInt8](repeating: 7, count: 16), items: items(4000, &random)))
        guard case .say(let spans) = publisher.start() else { return (publisher, []) }
        return (publisher, spans)
    }

    @Test func anAnswerThatDoesNotShrinkIsAFault() {
        var (publisher, spans) = Self.talking()
        var same = spans[3]
        same.content = .fingerprint(count: 17, 4)
        #expect(throws: Reconciliation.Fault.notShrinking) { _ = try publisher.receive([same]) }
    }

    @Test func rangesThatWereNotAskedAboutOverlapOrDescendAreFaults() {
        let wide = Reconciliation.Span(lower: .start, upper: .end, content: .list([]))
        let (talking, spans) = Self.talking()
        func receive(_ spans: [Reconciliation.Span]) throws { var publisher = talking; _ = try publisher.receive(spans) }
        let lists = spans.map { Reconciliation.Span(lower: $0.lower, upper: $0.upper, content: .list([])) }
        #expect(throws: Reconciliation.Fault.notOpen) { try receive([wide]) }
        #expect(throws: Reconciliation.Fault.disorder) { try receive([lists[4], lists[3]]) }
        #expect(throws: Reconciliation.Fault.disorder) { try receive([lists[4], lists[4]]) }
        #expect(throws: Reconciliation.Fault.disorder) {
            try receive([.init(lower: lists[4].upper, upper: lists[4].lower, content: .list([]))])
        }
        #expect(throws: Reconciliation.Fault.outOfPlace) {
            try receive([.init(lower: spans[0].lower, upper: spans[0].upper, content: .ask)])
        }
        #expect(throws: Reconciliation.Fault.outOfPlace) {
            try receive([.init(lower: spans[0].lower, upper: spans[0].upper, content: .answer(extra: [], common: 0))])
        }
    }

    @Test func aRecipientTakesOnlyWhatItAskedForAndInItsRound() throws {
        var random = SplitMix64(seed: 4)
        let recipient = ReconciliationRecipient(
            ReconciliationSet(key: [UInt8](repeating: 7, count: 16), items: Self.items(100, &random)))
        func receive(_ content: ReconciliationRange.Content, round: Int = 1) throws {
            var recipient = recipient
            _ = try recipient.receive([.init(lower: .start, upper: .end, content: content)], round: round)
        }
        #expect(throws: Reconciliation.Fault.round) { try receive(.ask, round: 2) }
        #expect(throws: Reconciliation.Fault.outOfPlace) { try receive(.answer(extra: [], common: 0)) }
        #expect(throws: Reconciliation.Fault.outOfPlace) { try receive(.list([])) }
        #expect(throws: Reconciliation.Fault.notShrinking) { try receive(.fingerprint(count: 5, 5)) }
        try receive(.fingerprint(count: 0, 0))
        var listing = recipient
        _ = try listing.receive([.init(lower: .start, upper: .end, content: .ask)], round: 1)
        #expect(!listing.isSettled)
        let listed = listing
        func answer(_ spans: [Reconciliation.Span]) throws { var listing = listed; _ = try listing.receive(spans, round: 2) }
        #expect(throws: Reconciliation.Fault.unanswered) { try answer([]) }
        #expect(throws: Reconciliation.Fault.outOfPlace) { try answer([.init(lower: .start, upper: .end, content: .ask)]) }
        #expect(throws: Reconciliation.Fault.outOfPlace) {
            try answer([.init(lower: .start, upper: .end, content: .answer(extra: [100], common: 0))])
        }
        #expect(throws: Reconciliation.Fault.outOfPlace) {
            try answer([.init(lower: .start, upper: Self.high, content: .answer(extra: [], common: 0))])
        }
    }

    @Test func anAskThatIsNotAnsweredIsAFault() throws {
        var random = SplitMix64(seed: 4)
        var publisher = ReconciliationPublisher(
            ReconciliationSet(key: [UInt8](repeating: 7, count: 16), items: Self.items(10, &random)))
        _ = publisher.start()
        #expect(throws: Reconciliation.Fault.unanswered) { _ = try publisher.receive([]) }
    }

    /// Two releases with one short id: the fingerprint of what is common finds it.
    @Test func aShortIdThatCollidesIsNotBelieved() throws {
        var random = SplitMix64(seed: 4)
        let items = Self.items(20, &random)
        var recipient = ReconciliationRecipient(ReconciliationSet(key: [UInt8](repeating: 7, count: 16), items: items))
        _ = try recipient.receive([.init(lower: .start, upper: .end, content: .ask)], round: 1)
        // A publisher that took another release for the recipient's third has its tag in the sum.
        let step = try recipient.receive([.init(lower: .start, upper: .end, content: .answer(extra: [], common: 42))], round: 2)
        #expect(step == .declined)
    }

    @Test func aPublisherThatNeverEndsIsCutOff() throws {
        // A recipient that answers every part with two parts of its own invention is out of rounds after eight.
        var random = SplitMix64(seed: 12)
        var publisher = ReconciliationPublisher(
            ReconciliationSet(key: [UInt8](repeating: 7, count: 16), items: Self.items(60_000, &random)))
        var step = publisher.start()
        var rounds = 0
        while case .say(let spans) = step {
            rounds += 1
            try #require(rounds <= Reconciliation.roundsMax)
            let open = spans.first { if case .fingerprint(let count, _) = $0.content { count > 0 } else { false } }
            guard let span = open else { break }
            let middle = ReconciliationBound(
                time: (max(span.lower.time, 1_700_000_000_000) + min(span.upper.time, 1_790_000_000_000)) / 2, prefix: .zero)
            guard span.lower < middle, middle < span.upper else { break }
            step = try publisher.receive([
                .init(lower: span.lower, upper: middle, content: .fingerprint(count: 1_000_000, 1)),
                .init(lower: middle, upper: span.upper, content: .fingerprint(count: 1_000_000, 1)),
            ])
        }
        #expect(rounds <= Reconciliation.roundsMax)
    }

    @Test func framesThatOverlapOrAreTooManyAreFaults() throws {
        let view = SHA256.hash([1])
        func frame(_ upper: ReconciliationBound, _ state: Reconcile.State) -> Reconcile {
            Reconcile(
                speaker: .recipient, view: view, number: 1, round: 1, state: state,
                ranges: [.init(upper: upper, content: .list([UInt64](repeating: 1, count: 256)))])
        }
        var joiner = Reconciliation.Joiner()
        #expect(try joiner.add(frame(Self.high, .more)) == nil)
        #expect(throws: Reconciliation.Fault.disorder) { _ = try joiner.add(frame(.end, .whole)) }
        joiner = Reconciliation.Joiner()
        #expect(throws: Reconciliation.Fault.tooMuch) {
            for number in 0..<5000 as Range<UInt64> {
                let lower = ReconciliationBound(time: 1 + 2 * number, prefix: .zero)
                let upper = ReconciliationBound(time: 2 + 2 * number, prefix: .zero)
                _ = try joiner.add(
                    Reconcile(
                        speaker: .recipient, view: view, number: 1, round: 1, state: .more,
                        ranges: [
                            .init(upper: lower, content: .skip),
                            .init(upper: upper, content: .list([UInt64](repeating: 1, count: 256))),
                        ]))
            }
        }
    }

    // MARK: Bytes

    /// The example of PROTOCOL.md.
    static func described() throws -> Reconcile {
        let ab = try #require(Digest([0xAB, 0x01] + [UInt8](repeating: 0, count: 30)))
        return Reconcile(
            speaker: .recipient, view: SHA256.hash([1]), number: 77, round: 2, state: .whole,
            ranges: [
                .init(upper: .init(time: 1000, prefix: .zero), content: .skip),
                .init(upper: .init(time: 1000, prefix: ab), content: .fingerprint(count: 244, 0x0102_0304_0506_0708)),
                .init(upper: .init(time: 1900, prefix: .zero), content: .list([0x0A0B_0C0D_0E0F])),
                .init(upper: .init(time: 1901, prefix: .zero), content: .ask),
                .init(upper: .end, content: .answer(extra: [0, 3, 255], common: 9)),
            ]
        )
    }

    @Test func theFrameIsAsDescribed() throws {
        let frame = try Self.described().frame
        #expect(
            Hex.encode(frame.body)
                == "01" + SHA256.hash([1]).hex + "404d" + "0200" + "05" + "43e90000" + "0102ab010140f40102030405060708"
                + "43850003010a0b0c0d0e0f" + "020002" + "000403000240fb0000000000000009")
        #expect(try Reconcile(frame).frame == frame)
    }

    @Test(arguments: [
        // Speaker, round 0, round 9, state, more without ranges, declined with ranges.
        ("02", "0100", "00"), ("00", "0000", "00"), ("00", "0900", "00"), ("00", "0103", "00"), ("00", "0101", "00"),
        ("00", "0102", "010002"),
        // A skip at the end, two skips, a range after the end, a bound that stands still, zeros at a bound's end, a time out of bounds.
        ("00", "0100", "010000"), ("00", "0100", "030200000300000002"), ("00", "0100", "0200020002"),
        ("00", "0100", "020200020100" + "02"), ("00", "0100", "01020200" + "0002"),
        ("00", "0100", "01d0000000000000020002"),
        // An unknown content, a list that is too long, a place in a list beyond it, more ranges than a frame holds.
        ("00", "0100", "010005"), ("00", "0100", "0100034101"), ("00", "0100", "01000402" + "40ff00" + "0000000000000000"),
        ("00", "0100", "5001"),
    ])
    func framesThatAreSpeltOtherwiseAreRefused(speaker: String, head: String, ranges: String) throws {
        let body = try #require(Hex.decode(speaker + SHA256.hash([1]).hex + "01" + head + ranges))
        #expect(throws: ProtocolFault.self) { _ = try Reconcile(Frame(.reconcile, body: body)) }
    }
}
