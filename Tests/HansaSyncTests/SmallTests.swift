import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// Index and content of small releases, many in a frame.
@Suite struct SmallTests {
    static func limits() -> ExchangeLimits {
        var limits = ExchangeLimits()
        limits.smallReleaseBytesMax = Limits.smallReleaseBytesMax
        return limits
    }

    /// Three files of a chunk each, which much of every other release repeats.
    static func content(_ number: UInt64, edited: Bool = false) -> WorldContent {
        var first = DeltaTests.chunk(number, count: 900)
        if edited { first[7] ^= 0x55 }
        return WorldContent([
            (path: "data/a.bin", chunks: [first]), (path: "data/b.bin", chunks: [DeltaTests.chunk(1, count: 2000)]),
            (path: "data/c.bin", chunks: [DeltaTests.chunk(number + 1000, count: 50)]),
        ])
    }

    struct Cities {
        let world: World
        let exchange: Exchange
        let agreement: Digest
        var kitchener: WorldNode { world.nodes[0] }

        init(limits: ExchangeLimits = SmallTests.limits()) throws {
            world = try Exchange.cities(limits: limits)
            agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/open/**", under: agreement)
            exchange = Exchange(world)
        }

        /// What a listed release is asked for by.
        func name(of release: Digest) throws -> Digest? {
            try kitchener.metadata.read { store in
                try store.publishedViews().lazy.compactMap { try? store.member($0.id, release) }.first.flatMap {
                    OfferName.of($0.transfer)
                }
            }
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

        func expectHeld(_ releases: [Digest], _ contents: [WorldContent]) throws {
            for (release, content) in zip(releases, contents) {
                #expect(try exchange.holding(release)?.state == .accepted)
                #expect(try world.nodes[1].files(of: release) == content)
            }
        }
    }

    @Test func manySmallReleasesComeInOneFrame() throws {
        let cities = try Cities()
        let contents = (0..<40).map { Self.content($0) }
        let releases = try contents.enumerated().map { try cities.kitchener.publish("open/p\($0.offset)", $0.element) }
        let (asks, answers) = try cities.round()
        #expect(try asks.filter { $0.type == .getSmall }.flatMap { try GetSmall($0).asks }.count == 40)
        #expect(!asks.contains { [.getIndex, .getChunks, .getDelta].contains($0.type) })
        let frames = try answers.filter { $0.type == .small }.map { try Small($0) }
        #expect(frames.count == 1)
        // What they repeat is there once: 40 × 950 bytes of their own, and 2,000 of all.
        #expect(frames[0].bytes.count < 42_500)
        try cities.expectHeld(releases, contents)
    }

    /// In two views of one partner: the answer to the ask in the view that it left says nothing of the other one's.
    @Test func anAnswerFromTheViewBeforeLeavesTheOtherAskStanding() throws {
        let cities = try Cities()
        let other = try cities.world.agree(0, 1, id: "exchange-2")
        let grants = try [cities.agreement, other].map {
            try cities.kitchener.grant(cities.world.nodes[1].city, "kitchener.ca/shared/**", under: $0)
        }
        let release = try cities.kitchener.publish("shared/x", Self.content(1))
        let exchange = cities.exchange
        var asks = try exchange.asks(after: try exchange.answers(to: try exchange.puller.ask(at: cities.world.now)))
        #expect(asks.map(\.type) == [.getReleases])
        asks = try exchange.asks(after: try exchange.answers(to: asks))
        let first = try #require(asks.first { $0.type == .getSmall })
        let view = try GetSmall(first).view
        // The view in which it was asked for loses it, while that ask is on its way.
        let views = try cities.kitchener.metadata.read { store in
            try [cities.agreement, other].map { agreement in
                try #require(try store.publishedViews().first { $0.agreement == agreement }?.id)
            }
        }
        let left = try #require(views.firstIndex(of: view))
        try cities.kitchener.revoke(grants[left])
        let dropped = try exchange.publisher.viewsChanged([view], at: cities.world.now)
        asks = try exchange.asks(after: dropped)
        asks = try exchange.asks(after: try exchange.answers(to: asks.filter { $0.type == .getReleases }))
        let second = try #require(asks.first { $0.type == .getSmall })
        #expect(try GetSmall(second).view != view)
        let late = try exchange.answers(to: [first])
        #expect(try late.filter { $0.type == .small }.flatMap { try Small($0).items.map(\.form) } == [.absent])
        try exchange.run(try exchange.asks(after: late + exchange.answers(to: [second])))
        #expect(try exchange.holding(release, in: try GetSmall(second).view)?.state == .accepted)
    }

    /// While the lane makes the index of a small release nobody else looks at it.
    @Test func chunksOfWhatIsBeingCheckedArePassedOver() throws {
        let cities = try Cities()
        let content = Self.content(1)
        let release = try cities.kitchener.publish("open/x", content)
        let exchange = LaneTests.exchange(cities.world)
        var asks = try exchange.asks(after: try exchange.answers(to: try exchange.puller.ask(at: cities.world.now)))
        asks = try exchange.asks(after: try exchange.answers(to: asks))
        let ask = try #require(asks.first { $0.type == .getSmall })
        let answers = try exchange.answers(to: [ask])
        let chunk = content.files[0].chunks[0]
        let unasked = Chunks(
            view: try GetSmall(ask).view, release: release, first: 0, count: 1, codec: .raw, rawLength: UInt32(chunk.count),
            bytes: chunk)
        try exchange.run(try exchange.asks(after: answers + [unasked.frame]))
        #expect(try exchange.holding(release)?.state == .accepted)
    }

    @Test func whatIsNotSmallIsAskedForAsEver() throws {
        let cities = try Cities()
        let long = Exchange.content(7, chunks: 30)
        let parted = Exchange.content(9, chunks: 3)
        let one = try cities.kitchener.publish("open/long", long)
        // Small by its document; a file of several chunks travels apart.
        let other = try cities.kitchener.publish("open/parted", parted)
        let (asks, answers) = try cities.round()
        #expect(
            try asks.filter { $0.type == .getSmall }.flatMap { try GetSmall($0).asks.map(\.release) } == [cities.name(of: other)])
        #expect(try answers.filter { $0.type == .small }.flatMap { try Small($0).items.map(\.form) } == [.apart])
        try cities.expectHeld([one, other], [long, parted])
    }

    @Test func aNewVersionIsToldByTheLastOne() throws {
        let cities = try Cities()
        let before = (0..<10).map { Self.content($0) }
        for (number, content) in before.enumerated() { _ = try cities.kitchener.publish("open/p\(number)", content) }
        _ = try cities.round()
        let after = (0..<10).map { Self.content($0, edited: $0 % 2 == 0) } + [Self.content(77)]
        let releases = try after.enumerated().map { try cities.kitchener.publish("open/p\($0.offset)", $0.element) }
        let answers = try cities.round().answers
        let small = try #require(try answers.filter { $0.type == .small }.map { try Small($0) }.first)
        #expect(small.items.map(\.form) == Array(repeating: .againstBase, count: 10) + [.whole])
        #expect(small.bytes.count < 1800, "the new one has 950 bytes of its own")
        try cities.expectHeld(releases, after)
    }

    /// The bytes of hidden packages that lie beside, and are equal to, what is shown never show: the frame is the same as without them.
    @Test func whatIsHiddenLeavesNoTrace() throws {
        func frames(hidden: Bool) throws -> [[UInt8]] {
            let cities = try Cities()
            for number in 0..<12 {
                if hidden { _ = try cities.kitchener.publish("closed/p\(number)", Self.content(UInt64(number))) }
                _ = try cities.kitchener.publish("open/p\(number)", Self.content(UInt64(number)))
            }
            return try cities.round().answers.filter { $0.type == .small }.map(\.body)
        }
        #expect(try frames(hidden: true) == frames(hidden: false))
    }

    @Test func whatMayNotBeSeenAndWhatIsNotThereAnswerAlike() throws {
        let cities = try Cities()
        let hidden = try cities.kitchener.publish("closed/one", Self.content(1))
        _ = try cities.kitchener.publish("open/one", Self.content(1))
        _ = try cities.round()
        let view = try #require(try cities.kitchener.metadata.read { try $0.publishedViews() }.first?.id)
        for release in [hidden, SHA256.hash([1])] {
            let answers = try cities.exchange.answers(to: [GetSmall(view: view, asks: [.init(release: release)]).frame])
            #expect(try answers.flatMap { try Small($0).items } == [.init(release: release, form: .absent)])
        }
    }

    /// A base that the partner does not hold, or may not have, is no base: what is asked for comes as without one.
    @Test func aBaseThatIsNotHeldIsNotUsed() throws {
        let cities = try Cities()
        let hidden = try cities.kitchener.publish("closed/one", Self.content(5))
        let other = try cities.kitchener.publish("open/two", Self.content(6))
        let release = try cities.kitchener.publish("open/one", Self.content(5))
        _ = try cities.round()
        let view = try #require(try cities.kitchener.metadata.read { try $0.publishedViews() }.first?.id)
        func body(_ base: Digest?) throws -> [[UInt8]] {
            try cities.exchange.answers(to: [GetSmall(view: view, asks: [.init(release: release, base: base)]).frame]).map(\.body)
        }
        for base in [hidden, other, release, SHA256.hash([9])] { #expect(try body(base) == body(nil)) }
    }

    /// Other bytes, other sizes, other names and a flipped bit never commit; what was asked for comes by index and chunks instead.
    @Test func aFrameThatLiesIsAskedForOnceMoreApart() throws {
        let lies: [(String, (inout Small) -> Void)] = [
            ("a flipped bit", { $0.bytes[$0.bytes.startIndex + 20] ^= 1 }),
            ("another name", { $0.items[0].files[0].path = "data/aa.bin" }),
            ("a name that leads out", { $0.items[0].files[0].path = "../../out" }),
            ("another profile", { $0.items[0].files[0].profile = .line16k }),
            ("sizes that move", { ($0.items[0].files[0].size, $0.items[0].files[1].size) = (901, 1999) }),
            ("a base that nobody named", { $0.items[0].form = .againstBase }),
            ("no file", { $0.items[0] = .init(release: $0.items[0].release, form: .apart) }),
        ]
        for (what, lie) in lies {
            let cities = try Cities()
            let contents = (0..<3).map { Self.content($0) }
            let releases = try contents.enumerated().map { try cities.kitchener.publish("open/p\($0.offset)", $0.element) }
            _ = try cities.round { frame in
                guard frame.type == .small else { return [frame] }
                var message = try Small(frame)
                lie(&message)
                // What nobody could have read is refused before it comes here.
                guard (try? Small(message.frame)) != nil else { return [frame] }
                return [message.frame]
            }
            try cities.expectHeld(releases, contents)
            #expect(cities.exchange.puller.isSettled, "\(what)")
        }
    }

    /// Digests of other files that a file spells out do not travel, and what arrives is stored as it came.
    @Test func whatAManifestSpellsOutDoesNotTravel() throws {
        let cities = try Cities()
        var contents: [WorldContent] = []
        for number in 0..<30 {
            let data = Array("id,value\n\(number),\(number * 7)\n".utf8)
            let manifest = Array("\(SHA256.hash(data).hex)  data/a.csv\n".utf8)
            let tags = Array("\(SHA256.hash(manifest).hex)  manifest.txt\n\(SHA256.hash(data).hex) \u{FF}\n".utf8)
            contents.append(
                WorldContent([
                    (path: "data/a.csv", chunks: [data]), (path: "manifest.txt", chunks: [manifest]),
                    (path: "tags.txt", chunks: [tags]),
                ]))
        }
        let releases = try contents.enumerated().map { try cities.kitchener.publish("open/p\($0.offset)", $0.element) }
        let answers = try cities.round().answers
        let small = try #require(try answers.filter { $0.type == .small }.map { try Small($0) }.first)
        #expect(small.codec == .zstdCut)
        #expect(small.bytes.count < 1000, "30 × 3 digests are 2,880 bytes that do not compress")
        try cities.expectHeld(releases, contents)
        // What is stored so goes on as it lies where another asks for exactly these chunks, and unpacked where not.
        let block = try cities.world.nodes[1].metadata.read { store in
            try store.chunkLocations(of: cities.kitchener.city, [SHA256.hash(Array("id,value\n3,21\n".utf8))])[0]?.block
        }
        #expect(try cities.world.nodes[1].content.block(at: #require(block)).codec == .zstdCut)
    }

    @Test func aFrameThatDidNotLeaveIsMadeAnew() throws {
        let cities = try Cities()
        let releases = try (0..<5).map { try cities.kitchener.publish("open/p\($0)", Self.content($0)) }
        let view = try #require(try cities.kitchener.metadata.read { try $0.publishedViews() }.first?.id)
        _ = try cities.exchange.answers(to: cities.exchange.puller.ask(at: cities.world.now))
        let ask = GetSmall(view: view, asks: releases.map { .init(release: $0) }).frame
        let frames = try cities.exchange.answers(to: [ask])
        #expect(try frames.flatMap { try Small($0).items.map(\.form) } == Array(repeating: .whole, count: 5))
        cities.exchange.publisher.requeue(frames)
        #expect(try cities.exchange.answers(to: []) == frames)
        // The grant is gone before it leaves: nothing of it does.
        cities.exchange.publisher.requeue(frames)
        for grant in try cities.kitchener.metadata.read({ try $0.grants() }) { try cities.kitchener.revoke(grant.id) }
        #expect(
            try cities.exchange.answers(to: []).flatMap { try Small($0).items.map(\.form) } == Array(repeating: .absent, count: 5)
        )
    }
}
