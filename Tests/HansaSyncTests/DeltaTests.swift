import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// A new release by what it has in common with one that the recipient holds.
@Suite struct DeltaTests {
    /// Chunks that do not compress, so that only a base makes them short.
    static func chunk(_ seed: UInt64, count: Int = 5000) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    static func edited(_ chunks: [[UInt8]], _ numbers: [Int]) -> WorldContent {
        var chunks = chunks
        for number in numbers { chunks[number][number * 7 % 4000] ^= 0x55 }
        return WorldContent(chunks: chunks)
    }

    struct Versions {
        let world: World
        let exchange: Exchange
        let view: Digest
        let first: Digest
        let chunks: [[UInt8]]
        var kitchener: WorldNode { world.nodes[0] }

        /// The first version is held by Auckland.
        init(chunks count: UInt64 = 40, size: Int = 5000) throws {
            world = try Exchange.cities()
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
            chunks = (0..<count).map { DeltaTests.chunk($0, count: size) }
            first = try world.nodes[0].publish("roads", WorldContent(chunks: chunks))
            try Exchange(world).run()
            exchange = Exchange(world)
            view = try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
        }

        /// All frames of a round, the asks and the answers.
        func round(change: (Frame) throws -> [Frame] = { [$0] }) throws -> (asks: [Frame], answers: [Frame]) {
            var all: (asks: [Frame], answers: [Frame]) = ([], [])
            var asks = try exchange.puller.ask(at: world.now)
            for _ in 0..<200 where !asks.isEmpty {
                all.asks += asks
                let answers = try exchange.answers(to: asks).flatMap(change)
                all.answers += answers
                asks = try exchange.asks(after: answers)
            }
            #expect(asks.isEmpty, "the exchange does not end")
            return all
        }

        func answers(base: Digest, of release: Digest, runs: [Range<Int>]) throws -> [Frame] {
            let ask = GetDelta.Ask(release: release, base: base, runs: runs)
            return try exchange.answers(to: [GetDelta(view: view, asks: [ask]).frame])
        }
    }

    @Test func editedChunksComeAsADelta() throws {
        let versions = try Versions()
        let content = Self.edited(versions.chunks, [0, 3, 10, 11, 39])
        let second = try versions.kitchener.publish("roads", content)
        let (asks, answers) = try versions.round()
        let asked = try asks.filter { $0.type == .getDelta }.flatMap { try GetDelta($0).asks }
        #expect(asked == [.init(release: second, base: versions.first, runs: [0..<1, 3..<4, 10..<12, 39..<40])])
        #expect(!asks.contains { $0.type == .getChunks })
        let deltas = try answers.filter { $0.type == .delta }.map { try Delta($0) }
        #expect(deltas.map(\.rawLength) == [25_000])
        #expect(deltas.map(\.reference) == [[0..<1, 3..<4, 10..<12, 39..<40]])
        #expect(deltas.reduce(0) { $0 + $1.bytes.count } < 300)
        #expect(!answers.contains { $0.type == .chunks })
        #expect(try versions.world.nodes[1].files(of: second) == content)
        #expect(try versions.exchange.holding(second)?.state == .accepted)
    }

    /// What is new goes as it lies; what is edited beside it does not.
    @Test func whatIsNewGoesWithoutABase() throws {
        let versions = try Versions()
        let edited = Self.edited(versions.chunks, [5])
        let new = (0..<8).map { Self.chunk(1000 + $0) }
        let content = WorldContent(chunks: edited.files[0].chunks + new)
        let second = try versions.kitchener.publish("roads", content)
        let answers = try versions.round().answers
        #expect(try answers.filter { $0.type == .delta }.map { try Delta($0).runs } == [[5..<6]])
        #expect(try answers.filter { $0.type == .chunks }.map { try Chunks($0).count } == [8])
        #expect(try versions.world.nodes[1].files(of: second) == content)
    }

    /// Another content under the same name: tried a few times and then left.
    @Test func whatHasNothingInCommonGoesWithoutABase() throws {
        let versions = try Versions(chunks: 60, size: 60_000)
        let content = WorldContent(chunks: (0..<60).map { Self.chunk(5000 + $0, count: 60_000) })
        let second = try versions.kitchener.publish("roads", content)
        let answers = try versions.round().answers
        #expect(!answers.contains { $0.type == .delta })
        #expect(try versions.world.nodes[1].files(of: second) == content)
    }

    @Test func anUnshiftedIndexComesWithoutItsPages() throws {
        let versions = try Versions(chunks: 2100, size: 4096)
        let content = WorldContent(chunks: [Self.chunk(9999, count: 4200)] + versions.chunks)
        let second = try versions.kitchener.publish("roads", content)
        let (asks, answers) = try versions.round()
        #expect(try asks.filter { $0.type == .getIndex }.flatMap { try GetIndex($0).asks.map(\.base) } == [versions.first])
        let index = answers.filter { $0.type == .index }
        let parts = try index.flatMap { try IndexParts($0).parts }
        #expect(parts.count { if case .pageDelta = $0 { true } else { false } } == 3)
        #expect(index.reduce(0) { $0 + $1.bodyCount } < 600)
        #expect(try versions.world.nodes[1].files(of: second) == content)
    }

    /// Versions that came while the recipient was away: each is told by the one that it holds.
    @Test func theNewestHeldReleaseIsTheBaseWhereTheOneBeforeIsNot() throws {
        let versions = try Versions()
        let second = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [1]))
        let third = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [1, 2]))
        let asked = try versions.round().asks.filter { $0.type == .getDelta }.flatMap { try GetDelta($0).asks }
        #expect(Set(asked.map(\.release)) == [second, third])
        #expect(asked.allSatisfy { $0.base == versions.first })
        for release in [second, third] { #expect(try versions.exchange.holding(release)?.state == .accepted) }
    }

    // MARK: What may be a base

    @Test func onlyWhatTheRecipientMayHaveAndHasAcceptedIsABase() throws {
        let versions = try Versions()
        let other = try versions.kitchener.publish("water", WorldContent(chunks: versions.chunks))
        let second = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [3]))
        func types(_ base: Digest) throws -> Set<FrameType> {
            Set(try versions.answers(base: base, of: second, runs: [3..<4]).map(\.type))
        }
        _ = try versions.exchange.answers(to: try versions.exchange.puller.ask(at: versions.world.now))
        // Of another package; not accepted yet; unknown; itself; and the one that may be.
        for base in [other, second, SHA256.hash([1])] { #expect(try types(base) == [.chunks]) }
        #expect(try types(versions.first) == [.delta])
        // The base has left the view: the release may still be had, and tells nothing of it.
        let view = versions.view
        try versions.kitchener.change { tx in
            var row = try #require(try tx.member(view, versions.first))
            row.dropped = row.added + 1
            try tx.put(row)
            return ExchangeChanges()
        }
        #expect(try types(versions.first) == [.chunks])
    }

    /// Another base each time has each put in order anew: a call does so much of that, and the rest is for the next.
    @Test func basesThatChangeByTurnsAreReadOnlySoOftenInACall() throws {
        let versions = try Versions(chunks: 1100, size: 4096)
        let second = try versions.kitchener.publish(
            "roads", WorldContent(chunks: [Self.chunk(9999, count: 4200)] + versions.chunks))
        _ = try versions.round()
        let third = try versions.kitchener.publish(
            "roads", WorldContent(chunks: [Self.chunk(9998, count: 4200)] + versions.chunks))
        _ = try versions.round()
        let view = versions.view
        /// All answers, and how many parts each call made, for a partner who may cause so much effort.
        func answers(effort: Int, _ ask: Frame, _ more: Frame) throws -> (parts: [Int], bodies: [[UInt8]]) {
            var context = versions.kitchener.context
            context.limits.effortBytesMax = effort
            let publisher = Publisher(context, peer: versions.world.nodes[1].city)
            for _ in 0..<4 { for frame in [ask, more] { _ = try publisher.receive(frame, at: versions.world.now) } }
            var (parts, bodies): ([Int], [[UInt8]]) = ([], [])
            while publisher.hasIndex {
                let made = try publisher.index(upTo: 1 << 20, at: versions.world.now).flatMap { try IndexParts($0).parts }
                parts.append(made.count)
            }
            while publisher.hasContent {
                let made = try publisher.content(upTo: 1 << 20, at: versions.world.now)
                parts.append(made.count)
                bodies += made.map(\.body)
            }
            return (parts, bodies)
        }
        func index(_ base: Digest) -> Frame {
            GetIndex(
                view: view, asks: [.init(release: third, tableFrom: 1 << 20, firstPage: 0, pageCount: 1, base: base)]
            ).frame
        }
        #expect(try answers(effort: 1 << 30, index(versions.first), index(second)).parts == [8])
        // One page's index is about 140 KB of effort to put in order: a call ends with the one that went beyond.
        #expect(try answers(effort: 1, index(versions.first), index(second)).parts == [Int](repeating: 1, count: 8))
        #expect(try answers(effort: 300_000, index(versions.first), index(second)).parts.allSatisfy { $0 <= 2 })
        func delta(_ base: Digest) -> Frame {
            GetDelta(view: view, asks: [.init(release: third, base: base, runs: [1..<3])]).frame
        }
        let (whole, parts) = (
            try answers(effort: 1 << 30, delta(versions.first), delta(second)),
            try answers(effort: 1, delta(versions.first), delta(second))
        )
        #expect(parts.parts == [Int](repeating: 1, count: parts.parts.count) && parts.bodies.count == whole.bodies.count)
        #expect(parts.bodies == whole.bodies && whole.parts == [8])
    }

    @Test func aReleaseThatMayNotBeHadIsAbsentAgainstAnyBase() throws {
        let versions = try Versions()
        let hidden = SHA256.hash([7])
        let answers = try versions.answers(base: versions.first, of: hidden, runs: [0..<1, 4..<9])
        #expect(try answers.map { try Chunks($0).count } == [0, 0])
        let beyond = try versions.answers(base: versions.first, of: versions.first, runs: [0..<1, 4000..<4001])
        #expect(beyond.allSatisfy { $0.type == .chunks })
    }

    @Test func whatWasMadeAndRevokedIsNotSent() throws {
        let versions = try Versions()
        let second = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [3]))
        _ = try versions.exchange.answers(to: try versions.exchange.puller.ask(at: versions.world.now))
        let made = try versions.answers(base: versions.first, of: second, runs: [3..<4])
        #expect(made.map(\.type) == [.delta])
        try versions.kitchener.withdraw("roads")
        versions.exchange.publisher.requeue(made)
        let again = try versions.exchange.publisher.content(upTo: 1 << 20, at: versions.world.now)
        #expect(try again.map { try Chunks($0).count } == [0])
    }

    // MARK: A publisher that lies

    enum Lie: CaseIterable { case otherReference, otherBytes, shorterReference }

    @Test(arguments: Lie.allCases) func aDeltaThatIsNotWhatTheIndexSaysIsAskedForAgainAsItLies(lie: Lie) throws {
        let versions = try Versions()
        let content = Self.edited(versions.chunks, [3, 10])
        let second = try versions.kitchener.publish("roads", content)
        let (asks, _) = try versions.round { frame in
            guard frame.type == .delta else { return [frame] }
            var delta = try Delta(frame)
            switch lie {
            case .otherReference: delta.reference = [20..<22]
            case .shorterReference: delta.reference = [3..<4]
            case .otherBytes: delta.bytes = Array(repeating: 7, count: 100)[...]
            }
            return [delta.frame]
        }
        #expect(asks.contains { $0.type == .getChunks })
        #expect(try versions.world.nodes[1].files(of: second) == content)
        #expect(try versions.exchange.holding(second)?.state == .accepted)
    }

    enum Violation: CaseIterable { case beyondTheBase, beyondTheIndex, unasked, bomb, tooMuchOfTheBase }

    @Test(arguments: Violation.allCases) func aDeltaOutOfBoundsEndsTheSession(violation: Violation) throws {
        let versions = try Versions(chunks: 100, size: 60_000)
        let second = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [3, 10]))
        #expect(throws: ExchangeFault.self, "\(violation)") {
            _ = try versions.round { frame in
                guard frame.type == .delta else { return [frame] }
                var delta = try Delta(frame)
                switch violation {
                case .beyondTheBase: delta.reference = [3..<4, 99..<101]
                case .beyondTheIndex: delta.runs = [3..<4, 99..<101]
                case .unasked: delta.runs = [3..<5]
                case .bomb: delta.rawLength = 1 << 20
                case .tooMuchOfTheBase: delta.reference = [0..<100]
                }
                return [delta.frame]
            }
        }
        #expect(try versions.exchange.holding(second) == nil)
    }

    /// An index page against a base that is not what it was: all of the index is asked for, once.
    @Test func aPageThatDoesNotGiveTheSignedIndexIsAskedForAgain() throws {
        let versions = try Versions()
        let second = try versions.kitchener.publish("roads", Self.edited(versions.chunks, [3]))
        let (asks, _) = try versions.round { frame in
            guard frame.type == .index, var message = try? IndexParts(frame) else { return [frame] }
            for index in message.parts.indices {
                guard case .pageDelta(let release, let number, var bytes) = message.parts[index] else { continue }
                bytes[bytes.count / 2] ^= 1
                message.parts[index] = .pageDelta(release: release, number: number, bytes: bytes)
            }
            return [message.frame]
        }
        #expect(try asks.filter { $0.type == .getIndex }.flatMap { try GetIndex($0).asks.map(\.base) } == [versions.first, nil])
        #expect(try versions.exchange.holding(second)?.state == .accepted)
    }

    @Test func runsHaveOneSpelling() throws {
        let head = Digest.zero.bytes + [1] + Digest.zero.bytes + Digest.zero.bytes
        for runs in [[0], [1, 0, 0], [2, 0, 1, 0, 1], [1, 0x84, 0, 0, 0, 1], [2, 0, 1, 1]] as [[UInt8]] {
            #expect(throws: ProtocolFault.self, "\(runs)") { try GetDelta(Frame(.getDelta, body: head + runs)) }
        }
        #expect(try GetDelta(Frame(.getDelta, body: head + [2, 0, 1, 1, 1])).asks[0].runs == [0..<1, 2..<3])
    }
}
