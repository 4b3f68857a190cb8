import HansaCore
import HansaCrypto
import HansaDocuments
import HansaStore
import HansaSync
import HansaTestSupport
import Testing

/// What was lost at either side is found and made good, and nothing that is there is sent again (SYNC.md §3, L2, S8).
@Suite struct RepairTests {
    struct Cities {
        let world: World
        let view: Digest
        var releases: [Digest] = []
        var kitchener: WorldNode { world.nodes[0] }
        var auckland: WorldNode { world.nodes[1] }

        /// `count` packages, published at different moments and synchronised.
        init(packages count: Int, seed: UInt64 = 1) throws {
            world = try Exchange.cities(seed: seed)
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
            for number in 0..<count {
                releases.append(try world.nodes[0].publish("p/\(number)", RepairTests.small(number)))
                world.run(milliseconds: 3)
            }
            let views = try world.nodes[0].metadata.read { try $0.publishedViews() }
            view = try #require(views.first).id
            world.connect(0, 1)
            try settle()
        }

        func settle() throws {
            #expect(world.run(seconds: 120) { (try? world.differences().isEmpty) == true && world.links[0].isConnected })
            world.run(seconds: 3)
            #expect(try world.differences() == [])
            #expect(world.findings == [])
            #expect(world.violations == [])
        }

        /// Frames since then, of one type.
        func sent(_ type: FrameType, since: Int) -> [Frame] { world.sent[since...].map(\.frame).filter { $0.type == type } }

        func statuses(since: Int) throws -> [Feed.Status] { try sent(.feed, since: since).map { try Feed($0).status } }

        /// Nothing was told from its beginning, no content went over, and nobody has to look.
        func expectRepaired(since: Int, talks: Bool = true) throws {
            #expect(sent(.chunks, since: since) == [])
            #expect(try !statuses(since: since).contains(.reset))
            #expect(try statuses(since: since).contains(.repair) == talks)
            for frame in sent(.reconcile, since: since) {
                #expect(try Reconcile(frame).round <= Reconciliation.roundsMax)
                #expect(try Reconcile(frame).state != .declined)
            }
            #expect(try kitchener.metadata.read { try $0.publishedView(view) }?.mismatches == 0)
        }

        func memory(_ node: WorldNode) throws -> MemoryMetadataStore { try #require(node.metadata as? MemoryMetadataStore) }
    }

    static func small(_ number: Int) -> WorldContent { WorldContent(chunks: [WorldContent.chunk(UInt64(number), count: 300)]) }

    @Test func aRecipientThatLostHoldingsHasThemAgainWithoutTheirContent() throws {
        let cities = try Cities(packages: 12)
        let mark = cities.world.sent.count
        let memory = try cities.memory(cities.auckland)
        for place in [0, 5, 11] { memory.lose(holding: cities.releases[place], in: cities.view) }
        cities.auckland.crash()
        cities.auckland.restart()
        try cities.settle()
        try cities.expectRepaired(since: mark)
        #expect(cities.sent(.getReleases, since: mark) == [])
        let additions = try cities.sent(.feed, since: mark).flatMap { try Feed($0).changes }
        #expect(additions.count == 3)
    }

    @Test func aLargeViewIsComparedByRanges() throws {
        let cities = try Cities(packages: 420)
        let mark = cities.world.sent.count
        let memory = try cities.memory(cities.auckland)
        for place in 200..<210 { memory.lose(holding: cities.releases[place], in: cities.view) }
        cities.auckland.crash()
        cities.auckland.restart()
        try cities.settle()
        try cities.expectRepaired(since: mark)
        #expect(try cities.sent(.feed, since: mark).flatMap { try Feed($0).changes }.count == 10)
        #expect(cities.sent(.reconcile, since: mark).count <= 4)
    }

    @Test func aPublisherThatLostMembersPlacesThemAgain() throws {
        let cities = try Cities(packages: 6)
        let mark = cities.world.sent.count
        try cities.memory(cities.kitchener).lose(member: cities.releases[2], in: cities.view)
        cities.kitchener.crash()
        cities.kitchener.restart()
        try cities.settle()
        // It is offered anew, as a feed does, and the recipient has it.
        try cities.expectRepaired(since: mark, talks: false)
        #expect(cities.sent(.getReleases, since: mark) == [])
    }

    @Test func aPublisherFromAnOldBackupHasWhatItLostAgain() throws {
        let cities = try Cities(packages: 5)
        let backup = try cities.memory(cities.kitchener).backup()
        let late = try cities.kitchener.publish("late", Self.small(77))
        try cities.settle()
        #expect(try cities.auckland.metadata.read { try $0.holding(cities.view, late) }?.state == .accepted)
        let mark = cities.world.sent.count
        cities.kitchener.restore(backup)
        try cities.settle()
        #expect(cities.world.run(seconds: 60) { (try? cities.kitchener.files(of: late)) == Self.small(77) })
        try cities.settle()
        #expect(try !cities.statuses(since: mark).contains(.reset))
        // One ask, by the city that signed it; its partner has it still, or again.
        #expect(cities.sent(.getReleases, since: mark).count == 1)
        #expect(try cities.auckland.metadata.read { try $0.holding(cities.view, late) }?.state == .accepted)
        #expect(try cities.kitchener.metadata.read { try $0.disputes(of: nil) }.allSatisfy { $0.resolved != nil })
    }

    @Test func aPublisherFromAnOldBackupThatWentOnIsRepairedToo() throws {
        let cities = try Cities(packages: 5)
        let backup = try cities.memory(cities.kitchener).backup()
        try cities.kitchener.publish("late", Self.small(77))
        try cities.settle()
        let mark = cities.world.sent.count
        cities.world.link(0, 1).cut()
        cities.kitchener.restore(backup)
        // Its position passes the cursor that the recipient has.
        for number in 0..<3 { try cities.kitchener.publish("other/\(number)", Self.small(80 + number)) }
        cities.world.link(0, 1).join()
        try cities.settle()
        #expect(try !cities.statuses(since: mark).contains(.reset))
        #expect(try cities.statuses(since: mark).contains(.repair))
    }

    @Test func aRecipientFromAnOldBackupFetchesWhatItLacks() throws {
        let cities = try Cities(packages: 5)
        let backup = try cities.memory(cities.auckland).backup()
        for number in 0..<3 { try cities.kitchener.publish("late/\(number)", Self.small(80 + number)) }
        try cities.kitchener.withdraw("p/1")
        try cities.settle()
        cities.auckland.restore(backup)
        try cities.settle()
        // And once more after a repair has begun a new feed epoch, which the backup does not know.
        try cities.memory(cities.auckland).lose(holding: cities.releases[0], in: cities.view)
        cities.auckland.crash()
        cities.auckland.restart()
        try cities.settle()
        let mark = cities.world.sent.count
        cities.auckland.restore(backup)
        try cities.settle()
        #expect(try !cities.statuses(since: mark).contains(.reset))
        #expect(try cities.statuses(since: mark).contains(.repair))
        // What the backup lacks came, and no more.
        let asked = try cities.sent(.getReleases, since: mark).flatMap { try GetReleases($0).releases }
        #expect(asked.count <= 3)
    }

    @Test(arguments: [0, 1]) func aDigestThatIsWrongWhileTheRowsAreRightIsMadeAnew(side: Int) throws {
        let cities = try Cities(packages: 4)
        // Found without a start: the repair says that the rows are equal, and then the set is made from them.
        _ = try cities.world.nodes[side].change { tx in
            if side == 0 {
                var view = try #require(try tx.publishedView(cities.view))
                view.members.insert(SHA256.hash([1]))
                try tx.put(view)
            } else {
                var view = try #require(try tx.subscribedView(cities.view))
                view.members.insert(SHA256.hash([1]))
                try tx.put(view)
            }
            return ExchangeChanges()
        }
        let mark = cities.world.sent.count
        cities.world.link(0, 1).breakNow()
        try cities.settle()
        #expect(cities.sent(.chunks, since: mark) == [])
        #expect(try cities.kitchener.metadata.read { try $0.publishedView(cities.view) }?.mismatches == 0)
    }

    @Test func aRefusedReleaseStaysRefusedAndIsNotFetchedAgain() throws {
        let cities = try Cities(packages: 4)
        _ = try cities.auckland.change { tx in
            var row = try #require(try tx.holding(cities.view, cities.releases[1]))
            (row.state, row.reason) = (.refused, "terms-ended")
            try tx.put(row)
            return ExchangeChanges()
        }
        let mark = cities.world.sent.count
        try cities.memory(cities.auckland).lose(holding: cities.releases[3], in: cities.view)
        cities.auckland.crash()
        cities.auckland.restart()
        cities.world.run(seconds: 60)
        #expect(cities.sent(.getReleases, since: mark) == [])
        #expect(try cities.auckland.metadata.read { try $0.holding(cities.view, cities.releases[1]) }?.state == .refused)
        #expect(try cities.auckland.metadata.read { try $0.holding(cities.view, cities.releases[3]) }?.state == .accepted)
    }

    // MARK: Frame by frame

    static let secret = RepairSecret([UInt8](repeating: 3, count: RepairSecret.byteCount))

    /// A world whose recipient lost a row, and a session with secrets.
    static func torn(packages: Int = 4) throws -> (cities: Cities, exchange: Exchange) {
        let cities = try Cities(packages: packages)
        cities.world.link(0, 1).redials = false
        cities.world.link(0, 1).breakNow()
        try cities.memory(cities.auckland).lose(holding: cities.releases[1], in: cities.view)
        cities.auckland.crash()
        cities.auckland.restart()
        return (cities, Exchange(cities.world, publisherSecret: secret, pullerSecret: secret))
    }

    @Test func theWordsAreInTurn() throws {
        let (cities, exchange) = try Self.torn()
        let first = try exchange.answers(to: try exchange.puller.ask(at: exchange.now))
        #expect(first.map(\.type) == [.feed, .reconcile])
        #expect(try Feed(first[0]).status == .repair)
        let list = try exchange.asks(after: first)
        // Beside it the publisher is shown what is held of its packages, should it come from an old backup.
        #expect(list.map(\.type) == [.reconcile, .documents])
        #expect(exchange.puller.standings.map(\.standing) == [.behind("repair")])
        // Asking meanwhile asks nothing.
        #expect(try exchange.puller.ask(at: exchange.now) == [])
        let end = try exchange.answers(to: list)
        #expect(end.map(\.type) == [.reconcile, .feed, .feed])
        try exchange.run(try exchange.asks(after: end))
        #expect(try cities.world.differences() == [])
    }

    @Test func aSessionThatBreaksOffInARepairLeavesNothingBehind() throws {
        for steps in 1...4 {
            let (cities, exchange) = try Self.torn()
            var asks = try exchange.puller.ask(at: exchange.now)
            for _ in 0..<steps { asks = try exchange.asks(after: try exchange.answers(to: asks)) }
            let again = Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret)
            try again.run()
            #expect(try cities.world.differences() == [], "\(steps) steps")
        }
    }

    @Test func whoHasNoPlaceIsToldTheWholeView() throws {
        for side in 0...2 {
            let (cities, _) = try Self.torn()
            let exchange = Exchange(
                cities.world, publisherSecret: side == 0 ? nil : Self.secret, pullerSecret: side == 1 ? nil : Self.secret)
            let gates = [cities.kitchener.context.repairs, cities.auckland.context.repairs]
            let taken = side == 2 ? (0..<RepairGate.repairsMax).compactMap { _ in gates[1].enter() } : []
            #expect(taken.count == (side == 2 ? 4 : 0))
            try exchange.run()
            #expect(try cities.world.differences() == [])
        }
    }

    @Test func placesAreFourAndComeBack() {
        let gate = RepairGate()
        var permits = (0..<RepairGate.repairsMax).map { _ in gate.enter() }
        #expect(permits.allSatisfy { $0 != nil })
        #expect(gate.enter() == nil)
        permits.removeLast()
        #expect(gate.enter() != nil)
    }

    @Test func anAnswerToARepairThatWasBegunAnewIsLeft() throws {
        let (cities, exchange) = try Self.torn()
        let ask = try exchange.puller.ask(at: exchange.now)
        let list = try exchange.asks(after: try exchange.answers(to: ask))
        // The same question again: the publisher begins a second repair, and what belongs to the first means nothing.
        _ = try exchange.answers(to: ask)
        #expect(try exchange.answers(to: list) == [])
        let again = Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret)
        try again.run()
        #expect(try cities.world.differences() == [])
    }

    /// Each repair reads the whole view: whoever asks for one after the other, in this session or the next, waits. Nobody else does.
    @Test func aViewIsComparedOnlySoOften() throws {
        let (cities, exchange) = try Self.torn()
        let ask = try exchange.puller.ask(at: exchange.now)
        var statuses: [Feed.Status] = []
        for number in 0..<100 {
            let session =
                number % 10 == 0 ? Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret) : exchange
            statuses += try session.answers(to: ask).filter { $0.type == .feed }.map { try Feed($0).status }
        }
        #expect(statuses.count { $0 == .repair } == RepairGate.beginsMax)
        #expect(statuses.count { $0 == .policy } == 100 - RepairGate.beginsMax)
        cities.world.run(milliseconds: Int64(RepairGate.beginMilliseconds))
        let after = try exchange.answers(to: ask + ask).filter { $0.type == .feed }.map { try Feed($0).status }
        #expect(after == [.repair, .policy])
        cities.world.run(milliseconds: Int64(RepairGate.beginMilliseconds))
        // An honest recipient that met the bound asks again, and is repaired.
        let again = Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret)
        try again.run()
        #expect(try cities.world.differences() == [])
    }

    /// A publisher that says again and again that it begins: the recipient reads its view a few times, and declines after that.
    @Test func aRecipientReadsItsViewOnlySoOften() throws {
        let (cities, exchange) = try Self.torn()
        let first = try exchange.answers(to: try exchange.puller.ask(at: exchange.now))
        let round = try Feed(first[0]).round
        let word = first.filter { $0.type == .reconcile }
        var declined = 0
        for _ in 0..<50 {
            let begin = Feed(round: round, view: cities.view, status: .repair).frame
            let said = try exchange.asks(after: [begin] + word).filter { $0.type == .reconcile }.map { try Reconcile($0).state }
            declined += said == [.declined] ? 1 : 0
        }
        #expect(declined == 50 - RepairGate.beginsMax)
    }

    /// It met the bound by itself: the answer tells it to ask again, and the view is equal in the end.
    @Test func whoWasTornOftenIsRepairedAfterAWhile() throws {
        let cities = try Cities(packages: 6)
        for number in 0..<8 {
            try cities.memory(cities.auckland).lose(holding: cities.releases[number % 6], in: cities.view)
            cities.auckland.crash()
            cities.auckland.restart()
            cities.world.run(seconds: 2)
        }
        try cities.settle()
        #expect(try cities.kitchener.metadata.read { try $0.publishedView(cities.view) }?.quarantine == nil)
    }

    @Test func wordsOutOfTurnOrOfPlaceEndTheSession() throws {
        let (cities, exchange) = try Self.torn()
        _ = try exchange.answers(to: try exchange.puller.ask(at: exchange.now))
        func word(_ round: Int, _ content: ReconciliationRange.Content, _ speaker: Reconcile.Speaker = .recipient) -> Frame {
            Reconcile(
                speaker: speaker, view: cities.view, number: 1, round: round, state: .whole,
                ranges: [.init(upper: .end, content: content)]
            ).frame
        }
        #expect(throws: ExchangeFault.self) { _ = try exchange.answers(to: [word(2, .list([]))]) }
        for content in [ReconciliationRange.Content.ask, .fingerprint(count: 9, 9), .answer(extra: [], common: 0)] {
            let fresh = Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret)
            _ = try fresh.answers(to: try fresh.puller.ask(at: fresh.now))
            #expect(throws: ExchangeFault.self) { _ = try fresh.answers(to: [word(1, content)]) }
        }
        // What nobody began is nobody's: left, and never a trap.
        let fresh = Exchange(cities.world, publisherSecret: Self.secret, pullerSecret: Self.secret)
        #expect(try fresh.answers(to: [word(1, .list([]))]) == [])
        #expect(try fresh.asks(after: [word(1, .ask, .publisher)]) == [])
    }

    /// The recipient is told nothing of what is not in its view: with and without hidden packages the words are the same bytes.
    @Test func hiddenPackagesDoNotShowInARepair() throws {
        func words(hidden: Bool) throws -> [[UInt8]] {
            let world = try World(seed: 11, cities: ["kitchener.ca", "auckland.nz"])
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/open/**", under: agreement)
            for number in 0..<300 {
                if hidden, number % 3 == 0 { try world.nodes[0].publish("closed/\(number)", Self.small(5000 + number)) }
                try world.nodes[0].publish("open/\(number)", Self.small(number))
                world.run(milliseconds: 2)
            }
            world.connect(0, 1)
            world.run(seconds: 60)
            #expect(try world.differences() == [])
            let view = try #require(
                try world.nodes[1].metadata.read { try $0.subscribedViews() }.first { $0.publisher == world.nodes[0].city })
            let held = try world.nodes[1].metadata.read { try $0.holdings(in: view.id, state: .accepted, after: nil, limit: 300) }
            let mark = world.sent.count
            for row in held.prefix(7) {
                (world.nodes[1].metadata as? MemoryMetadataStore)?.lose(holding: row.release, in: view.id)
            }
            world.nodes[1].crash()
            world.nodes[1].restart()
            world.run(seconds: 60)
            #expect(try world.differences() == [])
            let talk = world.sent[mark...].filter {
                $0.from == world.nodes[0].city && [.reconcile, .feed].contains($0.frame.type)
            }
            #expect(talk.contains { $0.frame.type == .reconcile })
            return talk.map(\.frame.body)
        }
        #expect(try words(hidden: true) == words(hidden: false))
    }
}
