import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// Bytes on a disk of ours that are not what was written there.
@Suite struct HealingTests {
    typealias Versions = DeltaTests.Versions

    static func flip(_ node: WorldNode, _ place: ContentLocation, byte: Int = 30) {
        let digits = String(place.segment, radix: 16)
        node.disk.flipBit(
            "segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg", byte: Int(place.offset) + byte,
            bit: 3)
    }

    static func row(_ node: WorldNode, _ release: Digest) throws -> ReleaseRow {
        try #require(try node.metadata.read { try $0.release(release) })
    }

    /// The blocks in which a release's chunks lie, each once.
    static func blocks(_ node: WorldNode, _ release: Digest) throws -> [ContentLocation] {
        let row = try row(node, release)
        let entries = try row.pages.flatMap { try IndexPage.decode(node.context.content.body(at: $0)) }
        let places = try node.metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
        var blocks: [ContentLocation] = []
        for place in places { if let block = place?.block, !blocks.contains(block) { blocks.append(block) } }
        return blocks
    }

    static func damages(_ node: WorldNode) throws -> [Digest] { try node.metadata.read { try $0.damages().map(\.release) } }

    static func events(_ node: WorldNode, _ event: String) -> Int {
        ((node.metadata as? MemoryMetadataStore)?.logEntries ?? []).count {
            String(decoding: $0, as: UTF8.self).contains("\"\(event)\"")
        }
    }

    /// Lets time pass.
    static func settle(_ versions: Versions, seconds: Int64 = 60) throws {
        for _ in 0..<(seconds / 6) {
            versions.world.run(seconds: 6)
            try versions.exchange.run(try versions.exchange.puller.tick(at: versions.world.now))
        }
    }

    // MARK: A transfer that runs

    /// Another reader finds a block damaged in which a running transfer has chunks: they come again before the release counts.
    @Test func whatIsLostWhileATransferRunsComesAgainBeforeItCounts() throws {
        let world = try Exchange.cities()
        let (one, two) = (world.nodes[0], world.nodes[1])
        let agreement = try world.agree(0, 1)
        try one.grant(two.city, "kitchener.ca/**", under: agreement)
        // Of one chunk each: no file is hashed beyond its chunks, so that nothing else looks for them.
        let content = WorldContent((0..<300).map { ("data/\($0).csv", [WorldContent.chunk(UInt64($0), count: 15_000)]) })
        let release = try one.publish("roads", content)
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var answers: [Frame] = []
        for _ in 0..<10 where !answers.contains(where: { $0.type == .chunks }) {
            answers = try exchange.answers(to: asks)
            if !answers.contains(where: { $0.type == .chunks }) { asks = try exchange.asks(after: answers) }
        }
        let end = answers.popLast()
        let last = try #require(end)
        #expect(last.type == .chunks && answers.contains { $0.type == .chunks })
        asks = try exchange.asks(after: answers)
        world.run(seconds: 6)
        asks += try exchange.puller.tick(at: world.now)
        let transfer = try #require(try two.metadata.read { try $0.transfers() }.first)
        let ids = try transfer.pages.flatMap { try IndexPage.decode(two.context.content.body(at: $0)).map(\.id) }
        let places = try two.metadata.read { try $0.chunkLocations(of: one.city, ids) }.compactMap { $0 }
        #expect(!places.isEmpty && places.count < ids.count)
        let lost = try #require(places.first).block
        try two.metadata.write(at: world.now) { try $0.loseChunks(in: [lost]) }
        try exchange.run(asks + exchange.asks(after: [last]))
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(try two.files(of: release) == content)
        #expect(world.findings == [] && world.violations == [])
    }

    // MARK: The base of a delta

    enum Side: CaseIterable { case recipient, publisher }
    enum Part: CaseIterable { case content, page }

    @Test(arguments: Side.allCases, Part.allCases) func aDamagedBaseIsDoneWithout(side: Side, part: Part) throws {
        let versions = try Versions(chunks: 80, size: 30_000)
        let node = versions.world.nodes[side == .recipient ? 1 : 0]
        let content = DeltaTests.edited(versions.chunks, [3, 50])
        let second = try versions.kitchener.publish("roads", content)
        switch part {
        case .content: for block in try Self.blocks(node, versions.first) { Self.flip(node, block) }
        case .page: Self.flip(node, try Self.row(node, versions.first).pages[0])
        }
        let (asks, answers) = try versions.round()
        if side == .recipient || part == .page { #expect(try versions.exchange.holding(second)?.state == .accepted) }
        #expect(try Self.damages(node).contains(versions.first))
        if part == .page {
            #expect(!answers.contains { $0.type == .delta } || side == .recipient)
            #expect(try versions.world.nodes[1].files(of: second) == content)
        }
        if side == .recipient {
            #expect(asks.contains { $0.type == .getChunks })
            #expect(try versions.world.nodes[1].files(of: second) == content)
            try Self.settle(versions)
            #expect(try Self.damages(node) == [])
            #expect(try node.files(of: versions.first) == WorldContent(chunks: versions.chunks))
        }
    }

    /// Chunks that came with an earlier release are read for the digest of a file that has them too.
    @Test func whatWasHeldAndCannotBeReadIsFetchedWithTheNextRelease() throws {
        let versions = try Versions(chunks: 120, size: 30_000)
        let content = WorldContent(chunks: versions.chunks + [DeltaTests.chunk(777)])
        let second = try versions.kitchener.publish("roads", content)
        let blocks = try Self.blocks(versions.world.nodes[1], versions.first)
        #expect(blocks.count > 2)
        for block in blocks.dropFirst() { Self.flip(versions.world.nodes[1], block, byte: 1000) }
        _ = try versions.round()
        #expect(try versions.exchange.holding(second)?.state == .accepted)
        for (release, whole) in [(versions.first, WorldContent(chunks: versions.chunks)), (second, content)] {
            #expect(try versions.world.nodes[1].files(of: release) == whole)
        }
    }

    // MARK: Healing

    @Test(arguments: [30, 5, 0], [1, 2, 3]) func whatIsDamagedComesAnewFromTheCityThatServedIt(byte: Int, part: Int) throws {
        let versions = try Versions(chunks: 80, size: 30_000)
        let node = versions.world.nodes[1]
        let row = try Self.row(node, versions.first)
        let places = part == 1 ? try Self.blocks(node, versions.first) : part == 2 ? row.pages : row.table + [row.document]
        for place in places { Self.flip(node, place, byte: byte) }
        node.context.damage.note(versions.first, block: part == 1 ? places[0] : nil, "noted by a test")
        if part == 1 { for place in places { node.context.damage.note(versions.first, block: place, "noted by a test") } }
        let exchange = Exchange(versions.world)
        try exchange.run()
        for _ in 0..<10 {
            versions.world.run(seconds: 6)
            try exchange.run(try exchange.puller.tick(at: versions.world.now))
        }
        #expect(try Self.damages(node) == [])
        #expect(try node.files(of: versions.first) == WorldContent(chunks: versions.chunks))
        #expect(try node.context.content.body(at: Self.row(node, versions.first).document).count > 0)
        #expect(Self.events(node, "content.damaged") == 1)
        #expect(Self.events(node, "content.healed") == 1)
        #expect(try node.metadata.read { try $0.lostBlocks(limit: 9) } == [])
    }

    @Test func ourOwnComesBackFromARecipientThatAcceptedIt() throws {
        let versions = try Versions(chunks: 80, size: 30_000)
        let world = versions.world
        let kitchener = world.nodes[0]
        for block in try Self.blocks(kitchener, versions.first) {
            Self.flip(kitchener, block)
            kitchener.context.damage.note(versions.first, block: block, "noted by a test")
        }
        try kitchener.context.recordDamage(at: world.now)
        #expect(throws: (any Error).self) { try kitchener.files(of: versions.first) }
        world.connect(0, 1)
        #expect(world.run(seconds: 120) { (try? Self.damages(kitchener)) == [] })
        #expect(try kitchener.files(of: versions.first) == WorldContent(chunks: versions.chunks))
        #expect(world.violations == [])
    }

    /// Nobody has it: it stays listed, and what the partner wants of it waits while all else comes.
    @Test func whatThePublisherCannotReadWaitsAndAllElseComes() throws {
        let versions = try Versions()
        let kitchener = versions.world.nodes[0]
        let bad = try kitchener.publish("water", WorldContent(chunks: (0..<40).map { DeltaTests.chunk(3000 + $0) }))
        let blocks = try Self.blocks(kitchener, bad)
        for block in blocks { Self.flip(kitchener, block) }
        let good = try kitchener.publish("parks", Exchange.content(3))
        _ = try versions.round()
        #expect(try versions.exchange.holding(good)?.state == .accepted)
        #expect(try versions.exchange.holding(bad) == nil)
        #expect(try Self.damages(kitchener) == [bad])
        #expect(versions.exchange.puller.standings.map(\.standing) == [.behind("fetching")])
        #expect(versions.exchange.puller.isOnlyParked)
        let water = try versions.exchange.puller.waiting(for: PackageID(city: kitchener.city, path: "water"))
        if case .unavailableThere = water {} else { Issue.record("what is put off is said to be \(String(describing: water))") }
        #expect(try versions.exchange.puller.waiting(for: PackageID(city: kitchener.city, path: "parks")) == nil)
        // Asked for again now and then, and told once.
        try Self.settle(versions)
        #expect(Self.events(kitchener, "content.damaged") == 1)
        // The disk is as it was: nothing was forgotten for good.
        for block in blocks { Self.flip(kitchener, block) }
        versions.world.run(seconds: 6)
        try kitchener.context.lookAgain(at: versions.world.now)
        #expect(try Self.damages(kitchener) == [])
        try Self.settle(versions, seconds: 600)
        #expect(try versions.exchange.holding(bad)?.state == .accepted)
        #expect(versions.exchange.puller.standings.map(\.standing) == [.equal])
    }
}
