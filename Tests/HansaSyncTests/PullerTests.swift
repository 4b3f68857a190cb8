import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@Suite struct PullerTests {
    /// Two agreements over the same packages, so that each release is in two views.
    @Test func aReleaseInTwoViewsIsDoneInBoth() throws {
        let world = try Exchange.cities()
        let one = try world.agree(0, 1, id: "one")
        let two = try world.agree(0, 1, id: "two")
        for agreement in [one, two] { try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement) }
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        let holdings = try world.nodes[1].metadata.read { try $0.holdings(of: release) }
        #expect(holdings.map(\.state) == [.accepted, .accepted])
        #expect(exchange.puller.standings.map(\.standing) == [.equal, .equal])
        #expect(exchange.puller.isSettled)
    }

    /// A publisher that lists again what it withdrew: it comes back neither here nor in another view.
    /// A few bytes that are here already part neither the ask nor the stored block; a chunk of some size does.
    @Test func aSmallHeldChunkIsAskedForBesideAMissingOne() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let small = WorldContent.chunk(1, count: 100)
        let large = WorldContent.chunk(2, count: 5000)
        func new(_ number: UInt64) -> [UInt8] { WorldContent.chunk(100 + number, count: 6000) }
        // A file each: but for a file's last, no chunk is small.
        func files(_ chunks: [[UInt8]]) -> WorldContent { WorldContent(chunks.enumerated().map { ("data/\($0)", [$1]) }) }
        try world.nodes[0].publish("first", files([small, new(1), large]))
        try Exchange(world).run()
        let content = files([new(2), small, new(3), large, new(4), large, small])
        let second = try world.nodes[0].publish("second", content)
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var runs: [GetChunks.Run] = []
        var blocks = 0
        while !asks.isEmpty {
            for frame in asks where frame.type == .getChunks { runs += try GetChunks(frame).runs }
            let answers = try exchange.answers(to: asks)
            blocks += answers.count { $0.type == .chunks }
            asks = try exchange.asks(after: answers)
        }
        #expect(
            runs == [
                GetChunks.Run(release: second, first: 0, count: 3), GetChunks.Run(release: second, first: 4, count: 1),
            ])
        #expect(blocks == 2)
        #expect(try world.nodes[1].files(of: second) == content)
    }

    @Test func aWithdrawnReleaseThatIsListedAgainIsRefused() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.state == .accepted)
        let view = try #require(
            try world.nodes[1].metadata.read { try $0.subscribedViews() }.first { $0.publisher == world.nodes[0].city })

        try world.nodes[0].withdraw("roads")
        let documents = DocumentExchange(world.nodes[0].context, peer: world.nodes[1].city)
        let taking = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        for frame in try documents.pending() { _ = try taking.receive(frame, at: world.now) }
        #expect(try exchange.holding(release)?.state == .ended)

        let puller = Puller(world.nodes[1].context, peer: world.nodes[0].city)
        _ = try puller.ask(at: world.now)
        let listed = Feed(
            round: 1, view: view.id, status: .changes, since: view.cursor,
            changes: [.add(release: release, level: 2, transfer: [UInt8](repeating: 7, count: 16))],
            cursor: [UInt8](repeating: 1, count: 16), more: false,
            digest: .zero)
        _ = try puller.receive([listed.frame], at: world.now)
        let holding = try exchange.holding(release)
        #expect(holding?.state == .refused)
        #expect(holding?.reason == "withdrawn")
    }

    /// Withdrawn at seq 2, published again at seq 3: seq 1 stays gone.
    @Test func aNewReleaseDoesNotUndoAnEarlierWithdrawal() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let first = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        try world.nodes[0].withdraw("roads")
        let documents = DocumentExchange(world.nodes[0].context, peer: world.nodes[1].city)
        let taking = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
        for frame in try documents.pending() { _ = try taking.receive(frame, at: world.now) }
        let second = try world.nodes[0].publish("roads", Exchange.content(2))
        try exchange.run()
        for node in world.nodes {
            let row = try #require(try node.metadata.read { try $0.package(PackageID(city: world.nodes[0].city, path: "roads")) })
            #expect(row.withdrawnSeq == 2)
            #expect(row.head == second)
            #expect(!row.isWithdrawn)
        }
        #expect(try exchange.holding(first)?.state == .ended)
        #expect(try exchange.holding(second)?.state == .accepted)
    }

    /// The id stays, its level changes: the holding and the view's digest follow, without a transfer.
    @Test func aReleaseThatIsListedWithAnotherLevelMoves() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let partner = world.nodes[1].city
        let grant = try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement)
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement, level: .discover)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.level == .sync)
        let view = try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
        func push() throws {
            let pushed = try exchange.publisher.viewsChanged([view], at: world.now)
            #expect(try pushed.map { try Feed($0).changes.count } == [1])
            try exchange.run(try exchange.puller.receive(pushed, at: world.now))
            #expect(exchange.puller.standings.map(\.standing) == [.equal])
            let sides = try world.nodes.map { node in
                try node.metadata.read { try $0.publishedView(view)?.members ?? $0.subscribedView(view)?.members }
            }
            #expect(sides[0] == sides[1])
        }
        try world.nodes[0].revoke(grant)
        try push()
        #expect(try exchange.holding(release)?.level == .discover)
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement)
        try push()
        #expect(try exchange.holding(release)?.level == .sync)
        #expect(try exchange.holding(release)?.state == .accepted)
    }

    /// Level `discover` gives the document and nothing of the content; with `sync` the content follows, and a new release of either level comes alike.
    @Test func whatIsOnlyShownComesWithoutContentUntilItIsShared() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let partner = world.nodes[1].city
        let shown = try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement, level: .discover)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        try exchange.run()
        let recipient = world.nodes[1]
        #expect(exchange.puller.standings.map(\.standing) == [.equal])
        #expect(try exchange.holding(release)?.level == .discover)
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(try recipient.metadata.read { try $0.release(release) }?.hasContent == false)
        #expect(exchange.puller.contentBytesReceived == 0)
        // Asked for all the same, index and content answer as for no such release.
        let view = try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
        for id in [release, Digest.zero] {
            let asks = [
                GetIndex(view: view, asks: [.init(release: id, tableFrom: 0, firstPage: 0, pageCount: 1)]).frame,
                GetChunks(view: view, runs: [.init(release: id, first: 0, count: 1)]).frame,
            ]
            for answer in try exchange.answers(to: asks) {
                switch answer.type {
                case .index: #expect(try IndexParts(answer).parts == [.absent(release: id)])
                case .chunks: #expect(try Chunks(answer).count == 0)
                default: Issue.record("an answer of type \(answer.type)")
                }
            }
        }

        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement)
        func push() throws {
            try exchange.run(try exchange.puller.receive(exchange.publisher.viewsChanged([view], at: world.now), at: world.now))
            #expect(exchange.puller.standings.map(\.standing) == [.equal])
        }
        try push()
        #expect(try exchange.holding(release)?.level == .sync)
        #expect(try recipient.files(of: release) == world.nodes[0].files(of: release))
        #expect(try recipient.metadata.read { try $0.transfers() }.isEmpty)

        // Back to being shown only: what is here stays, and what is new comes by its document.
        let grants = try world.nodes[0].metadata.read { try $0.grants() }
        for grant in grants where grant.id != shown { try world.nodes[0].revoke(grant.id) }
        let second = try world.nodes[0].publish("roads", Exchange.content(2))
        try push()
        #expect(try exchange.holding(release)?.level == .discover)
        #expect(try recipient.metadata.read { try $0.release(release) }?.hasContent == true)
        #expect(try exchange.holding(second)?.level == .discover)
        #expect(try recipient.metadata.read { try $0.release(second) }?.hasContent == false)
        #expect(try world.differences() == [])
    }

    /// Listed in two views and asked for in one, which it leaves: the answer "not there" speaks of that view, and the other goes on.
    @Test(arguments: [GetReleases.type, GetIndex.type]) func aReleaseThatLeavesOneViewIsFetchedInTheOther(
        leaves moment: FrameType
    ) throws {
        let world = try Exchange.cities()
        let partner = world.nodes[1].city
        let grants = try ["one", "two"].map { name in
            try world.nodes[0].grant(partner, "kitchener.ca/**", under: try world.agree(0, 1, id: name))
        }
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.contains(where: { $0.type == moment }) {
            asks = try exchange.puller.receive(exchange.answers(to: asks), at: world.now)
        }
        let ask = try #require(asks.first { $0.type == moment })
        let views = try world.nodes[0].metadata.read { try $0.publishedViews() }
        let left = try #require(views.first { Array(ask.body.prefix(Digest.byteCount)) == $0.id.bytes })
        let grant = try #require(
            try world.nodes[0].metadata.read { try $0.grants() }.first {
                $0.agreement == left.agreement && grants.contains($0.id)
            })
        try world.nodes[0].revoke(grant.id)
        // The drop leaves before the answer, as the publisher's worker does it.
        let drop = try exchange.publisher.viewsChanged([left.id], at: world.now)
        try exchange.run(try exchange.puller.receive(drop + exchange.answers(to: asks), at: world.now))
        let other = try #require(views.first { $0.id != left.id })
        #expect(try exchange.holding(release, in: other.id)?.state == .accepted)
        #expect(try world.nodes[1].files(of: release) == world.nodes[0].files(of: release))
        #expect(try world.differences() == [])
    }

    /// The level changes while the content is under way, both ways.
    @Test func aTransferFollowsALevelThatChangesUnderIt() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let partner = world.nodes[1].city
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement, level: .discover)
        let shared = try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement)
        let release = try world.nodes[0].publish("roads", Exchange.content(1, chunks: 400))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        // Until the first chunks are asked for.
        while !asks.contains(where: { $0.type == .getChunks }) {
            asks = try exchange.puller.receive(exchange.answers(to: asks), at: world.now)
        }
        let view = try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
        try world.nodes[0].revoke(shared)
        asks += try exchange.puller.receive(exchange.publisher.viewsChanged([view], at: world.now), at: world.now)
        try exchange.run(asks)
        #expect(exchange.puller.standings.map(\.standing) == [.equal])
        #expect(try exchange.holding(release)?.level == .discover)
        #expect(try world.nodes[1].metadata.read { try $0.release(release) }?.hasContent == false)
        try world.nodes[0].grant(partner, "kitchener.ca/**", under: agreement)
        try exchange.run(try exchange.puller.receive(exchange.publisher.viewsChanged([view], at: world.now), at: world.now))
        #expect(try exchange.holding(release)?.level == .sync)
        #expect(try world.nodes[1].files(of: release) == world.nodes[0].files(of: release))
    }

    @Test func aChunksFrameThatIsRepeatedEndsTheSession() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        // Two files of different blocks, so that the transfer is not complete after the first frame.
        try world.nodes[0].publish("roads", Exchange.content(1, chunks: 400))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var chunks: Frame?
        while chunks == nil {
            let answers = try exchange.answers(to: asks)
            chunks = answers.first { $0.type == .chunks }
            if chunks == nil { asks = try exchange.puller.receive(answers, at: world.now) }
        }
        let frame = try #require(chunks)
        _ = try exchange.puller.receive([frame], at: world.now)
        let used = world.nodes[1].disk.usedBytes
        #expect(throws: ExchangeFault.self) { try exchange.puller.receive([frame], at: world.now) }
        #expect(world.nodes[1].disk.usedBytes == used)
    }

    @Test func contentBeyondTheCreditEndsTheSession() throws {
        var limits = ExchangeLimits()
        limits.contentCreditBytes = 1024
        let world = try Exchange.cities(limits: limits)
        let puller = Exchange(world).puller
        let frame = Chunks(
            view: .zero, release: .zero, first: 0, count: 1, codec: .raw, rawLength: 500_000,
            bytes: [UInt8](repeating: 0, count: 500_000)
        ).frame
        // One frame may begin on the last byte of credit; content of nothing we know is otherwise passed over.
        #expect(throws: ExchangeFault.self) { try puller.receive([frame, frame, frame, frame], at: world.now) }
    }

    /// Content asked for a release that is dropped meanwhile is asked for no more, and the window is open for others when the ask was answered.
    @Test func droppedTransfersGiveTheirWindowBack() throws {
        var limits = ExchangeLimits()
        limits.contentAskedBytesMax = 64 * 1024
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        let grant = try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/old", under: agreement)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/new", under: agreement)
        try world.nodes[0].publish("old", Exchange.content(1, chunks: 40))
        let exchange = Exchange(world)
        // Until content was asked for; the ask is late.
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.contains(where: { $0.type == .getChunks }) {
            asks = try exchange.asks(after: try exchange.answers(to: asks))
        }
        try world.nodes[0].revoke(grant)
        let release = try world.nodes[0].publish("new", Exchange.content(2))
        let views = Set(try world.nodes[0].metadata.read { try $0.publishedViews() }.map(\.id))
        let pushed = try exchange.publisher.viewsChanged(views, at: world.now)
        try exchange.run(try exchange.puller.receive(pushed, at: world.now))
        #expect(try exchange.holding(release) == nil)
        #expect(exchange.puller.load.lateBytes > 0)
        try exchange.run(asks)
        #expect(exchange.puller.load.lateBytes == 0)
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(exchange.puller.isSettled)
    }

    /// A publisher that had to cut elsewhere would unpack its blocks and pack them anew.
    @Test func asksInPartsAreCutWhereOneAskIs() throws {
        func cuts(askedMax: Int) throws -> [Range<UInt64>] {
            var limits = ExchangeLimits()
            limits.contentAskedBytesMax = askedMax
            let world = try Exchange.cities(limits: limits)
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
            let release = try world.nodes[0].publish("roads", Exchange.content(1, chunks: 1500))
            var cuts: [Range<UInt64>] = []
            let exchange = Exchange(world)
            var asks = try exchange.puller.ask(at: world.now)
            while !asks.isEmpty {
                let answers = try exchange.answers(to: asks)
                for case let frame in answers where frame.type == .chunks {
                    let chunks = try Chunks(frame)
                    cuts.append(chunks.first..<(chunks.first + chunks.count))
                }
                asks = try exchange.asks(after: answers)
            }
            #expect(try exchange.holding(release)?.state == .accepted)
            return cuts
        }
        let whole = try cuts(askedMax: 1 << 30)
        #expect(whole.count > 2)
        #expect(try cuts(askedMax: 1 << 20) == whole)
        #expect(try cuts(askedMax: 64 << 10).count > whole.count)
    }

    /// A small release is not held back by a large one that takes its time.
    @Test func whatIsCompleteIsCommittedWhileATransferRuns() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let small = try world.nodes[0].publish("small", Exchange.content(1))
        let large = try world.nodes[0].publish("large", Exchange.content(2, chunks: 300))
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        while !asks.isEmpty {
            let answers = try exchange.answers(to: asks).filter { frame in
                guard frame.type == .chunks, let chunks = try? Chunks(frame) else { return true }
                return chunks.release != large
            }
            asks = try exchange.asks(after: answers)
        }
        #expect(try exchange.holding(small) == nil)
        _ = try exchange.puller.tick(at: world.now.adding(milliseconds: 300))
        let receipts = try exchange.documents.pending()
        #expect(receipts.contains { $0.type == .receipt || $0.type == .accepted })
        #expect(try exchange.holding(small)?.state == .accepted)
        #expect(try exchange.holding(large) == nil)
    }
}
