import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// Where views stand: equal, behind, unknown, different; and what ends while something is under way.
@Suite struct ViewTests {
    static func shared(until: Timestamp? = nil, chunks: UInt64 = 4) throws -> (
        exchange: Exchange, agreement: Digest, grant: String, release: Digest
    ) {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let grant = try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement, until: until)
        let release = try world.nodes[0].publish("roads", Exchange.content(1, chunks: chunks))
        return (Exchange(world), agreement, grant, release)
    }

    static func view(_ exchange: Exchange) throws -> PublishedView {
        try #require(
            try exchange.kitchener.metadata.read { try $0.publishedViews() }.first { $0.recipient == exchange.auckland.city })
    }

    static func line(_ exchange: Exchange) throws -> Views.Line {
        let ask = try #require(try Puller(exchange.auckland.context, peer: exchange.kitchener.city).ask(at: exchange.now).first)
        return try #require(try Views(ask).lines.first)
    }

    static func answer(_ exchange: Exchange, _ line: Views.Line) throws -> Feed {
        try Feed(try #require(try exchange.answers(to: [Views(round: 9, lines: [line]).frame]).first))
    }

    @Test func equalCostsOneRoundTrip() throws {
        let (exchange, _, _, _) = try Self.shared()
        try exchange.run()
        let again = Exchange(exchange.world)
        let ask = try again.puller.ask(at: again.now)
        let answers = try again.answers(to: ask)
        #expect(answers.count == 1)
        #expect(try again.asks(after: answers) == [])
        #expect(again.puller.isSettled)
        #expect((ask + answers).reduce(0) { $0 + $1.encoded.count } < 120)
    }

    /// Papers may wait there: that nothing is known here is no answer.
    @Test func aRoundWithoutAViewEndsWithTheirAnswer() throws {
        let exchange = Exchange(try Exchange.cities())
        let ask = try exchange.puller.ask(at: exchange.now)
        #expect(ask == [Views(round: 1, lines: []).frame])
        #expect(!exchange.puller.isSettled)
        #expect(try exchange.puller.ask(at: exchange.now) == [])
        let answers = try exchange.answers(to: ask)
        #expect(answers == [EqualViews(round: 1, lines: []).frame])
        #expect(try exchange.asks(after: answers) == [])
        #expect(exchange.puller.isSettled)
    }

    /// Many agreements: what is equal is answered together, what differs by itself.
    @Test func equalViewsHaveOneAnswer() throws {
        let world = try Exchange.cities()
        let agreements = try (0..<20).map { try world.agree(0, 1, id: "exchange-\($0)") }
        for agreement in agreements { try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/roads/**", under: agreement) }
        try world.nodes[0].publish("roads/one", Exchange.content(1))
        try Exchange(world).run()
        let exchange = Exchange(world)
        var ask = try exchange.puller.ask(at: world.now)
        #expect(ask.count == 1)
        #expect(try exchange.answers(to: ask) == [EqualViews(round: 1, lines: Array(0..<20)).frame])
        #expect(ask[0].encoded.count < 20 * 90)
        // Two views change, one of them after its line was answered.
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/water", under: agreements[7])
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/air", under: agreements[3])
        let water = try world.nodes[0].publish("water", Exchange.content(2))
        let lines = try Views(ask[0]).lines
        let views = try agreements.map { agreement in
            try #require(try world.nodes[0].metadata.read { try $0.agreement(agreement) })
                .viewID(publisher: world.nodes[0].city, recipient: world.nodes[1].city)
        }
        var answers = try exchange.answers(to: ask)
        let changed = try #require(lines.firstIndex { $0.view == views[7] })
        #expect(answers.map(\.type) == [.equal, .feed])
        #expect(try EqualViews(answers[0]) == EqualViews(round: 1, lines: (0..<20).filter { $0 != changed }))
        #expect(try Feed(answers[1]).view == views[7])
        let air = try world.nodes[0].publish("air", Exchange.content(3))
        answers += try exchange.publisher.viewsChanged(Set(views), at: world.now)
        ask = try exchange.asks(after: answers)
        try exchange.run(ask)
        for release in [water, air] { #expect(try exchange.holding(release)?.state == .accepted) }
        #expect(exchange.puller.standings.count { $0.standing == .equal } == 20)
        // The same answer again, one to an older question, and one to none.
        #expect(try exchange.puller.receive([EqualViews(round: 1, lines: [0]).frame], at: world.now) == [])
        #expect(throws: ExchangeFault.self) {
            try exchange.puller.receive([EqualViews(round: 9, lines: [0]).frame], at: world.now)
        }
    }

    /// An answer that says nothing of a line leaves its view open; a bit beyond the lines says nothing.
    @Test func anAnswerSpeaksOnlyOfTheLinesOfItsRound() throws {
        let world = try Exchange.cities()
        for number in 0..<3 { _ = try world.agree(0, 1, id: "exchange-\(number)") }
        let exchange = Exchange(world)
        let ask = try exchange.puller.ask(at: world.now)
        let view = try Views(ask[0]).lines[1].view
        #expect(try exchange.puller.receive([EqualViews(round: 1, lines: [1, 1023]).frame], at: world.now) == [])
        #expect(exchange.puller.standings.filter { $0.standing == .equal }.map(\.view) == [view])
        #expect(!exchange.puller.isSettled)
    }

    @Test func aCursorThatNobodyKnowsBringsTheWholeView() throws {
        let (exchange, _, _, release) = try Self.shared()
        try exchange.run()
        var line = try Self.line(exchange)
        line.cursor = [UInt8](repeating: 5, count: 16)
        let feed = try Self.answer(exchange, line)
        #expect(feed.status == .reset)
        #expect(feed.since == [])
        #expect(feed.changes.count == 1)
        if case .add(release, 2, _) = feed.changes.first {} else { Issue.record("the release is not listed") }
    }

    @Test func digestsThatDifferAreToldAgainOnceAndStopTheViewTheSecondTime() throws {
        let (exchange, _, _, _) = try Self.shared()
        try exchange.run()
        let key = try Self.view(exchange).feedKey
        var line = try Self.line(exchange)
        line.digest = SHA256.hash([1])
        let first = try Self.answer(exchange, line)
        #expect(first.status == .reset)
        #expect(try Self.view(exchange).feedKey != key)
        line.cursor = first.cursor
        #expect(try Self.answer(exchange, line).status == .quarantined)
        #expect(try Self.view(exchange).quarantine != nil)
        // Nothing leaves a stopped view, asked for or not.
        let (_, release) = (0, try exchange.kitchener.publish("roads", Exchange.content(2)))
        let get = try exchange.answers(to: [GetReleases(view: line.view, releases: [release]).frame])
        #expect(try Releases(try #require(get.first)).items == [.init(release: release, envelope: nil)])
    }

    /// One wrong word of a publisher must not stop a view for good: both administrators have it begin anew.
    @Test func aViewThatWasStoppedBeginsAnewWhenBothSaySo() throws {
        let (exchange, _, _, release) = try Self.shared()
        try exchange.run()
        let id = try Self.view(exchange).id
        _ = try exchange.kitchener.change { tx in
            var view = try #require(try tx.publishedView(id))
            (view.quarantine, view.mismatches) = ("digests differ after a full list", 2)
            try tx.put(view)
            return ExchangeChanges()
        }
        let next = try exchange.kitchener.publish("parks", Exchange.content(2))
        func standing() throws -> Puller.Standing? {
            let again = Exchange(exchange.world)
            try again.run()
            return again.puller.standings.first?.standing
        }
        func resume(_ node: WorldNode, _ partner: WorldNode) throws -> Int {
            var count = 0
            _ = try node.change { tx in
                count = try tx.resumeViews(with: partner.city, by: "admin:1")
                return ExchangeChanges()
            }
            return count
        }
        func isStopped(_ standing: Puller.Standing?) -> Bool { if case .quarantined = standing { true } else { false } }
        #expect(isStopped(try standing()))
        // The recipient alone asks anew, and is told the same; the publisher alone is not asked.
        #expect(try resume(exchange.auckland, exchange.kitchener) == 1)
        #expect(isStopped(try standing()))
        #expect(try resume(exchange.kitchener, exchange.auckland) == 1)
        #expect(isStopped(try standing()))
        #expect(try resume(exchange.auckland, exchange.kitchener) == 1)
        #expect(try standing() == .equal)
        for one in [release, next] { #expect(try exchange.holding(one)?.state == .accepted) }
        #expect(try Self.view(exchange).mismatches == 0 && exchange.world.differences() == [])
        // Nothing is stopped: nothing is written.
        #expect(try resume(exchange.kitchener, exchange.auckland) == 0)
    }

    /// Within one session, in which the agreement's view stood equal before it ended.
    @Test func aViewWhoseAgreementEndedStandsNowhere() throws {
        let (exchange, agreement, _, _) = try Self.shared()
        _ = try exchange.world.agree(0, 1, id: "second")
        try exchange.run()
        #expect(exchange.puller.standings.map(\.standing) == [.equal, .equal])
        _ = try exchange.auckland.terminate(agreement)
        try exchange.run()
        #expect(exchange.puller.standings.map(\.standing) == [.equal])
    }

    @Test func aRecipientThatLostARowIsBroughtBackByOneReset() throws {
        let (exchange, _, _, release) = try Self.shared()
        try exchange.run()
        let view = try Self.view(exchange).id
        // As after a fault of ours: the row and the digest forget the release.
        _ = try exchange.auckland.change { tx in
            var row = try #require(try tx.holding(view, release))
            row.state = .ended
            try tx.put(row)
            var subscribed = try #require(try tx.subscribedView(view))
            subscribed.members.remove(MemberSet.memberID(release: release, level: 2))
            try tx.put(subscribed)
            return ExchangeChanges()
        }
        let again = Exchange(exchange.world)
        try again.run()
        #expect(try exchange.world.differences() == [])
        #expect(try Self.view(exchange).mismatches == 0)
    }

    @Test func aGrantThatExpiresBetweenFeedAndFetchGivesNothing() throws {
        let (exchange, _, _, release) = try Self.shared(until: World.start.adding(seconds: 10))
        let asks = try exchange.asks(after: try exchange.answers(to: try exchange.puller.ask(at: exchange.now)))
        #expect(asks.contains { $0.type == .getReleases })
        exchange.world.run(seconds: 11)
        // No timer has run: the clock is looked at again.
        let answers = try exchange.answers(to: asks)
        #expect(
            try answers.filter { $0.type == .releases }.flatMap { try Releases($0).items }
                == asks.filter { $0.type == .getReleases }.flatMap { try GetReleases($0).releases }.map {
                    .init(release: $0, envelope: nil)
                })
        try exchange.run(try exchange.asks(after: answers))
        #expect(try exchange.holding(release) == nil)
        let again = Exchange(exchange.world)
        try again.run()
        #expect(try exchange.world.differences() == [])
        #expect(try Self.view(exchange).quarantine == nil)
    }

    /// What one session finds run out it decides for all: the timer has nothing left to tell the others.
    @Test(arguments: ["feed", "repair"]) func whatRanOutIsToldToAllWhomItConcerns(how: String) throws {
        let world = try World(seed: 1, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let node = world.nodes[0]
        for other in [1, 2] {
            let agreement = try world.agree(0, other, id: "with-\(other)")
            try node.grant(world.nodes[other].city, "kitchener.ca/**", under: agreement, until: World.start.adding(seconds: 10))
        }
        try node.publish("roads", Exchange.content(1))
        let exchange = Exchange(world, publisherSecret: RepairTests.secret, pullerSecret: RepairTests.secret)
        try exchange.run()
        _ = exchange.publisher.takeChanges()
        let views = try node.metadata.read { try $0.publishedViews() }
        world.run(seconds: 11)
        let own = try #require(views.first { $0.recipient == world.nodes[1].city })
        let epoch = try #require(try node.metadata.read { try $0.agreement(own.agreement) }).policyEpoch
        let cursor =
            how == "feed" ? Cursor.make(own.position, feedKey: own.feedKey) : [UInt8](repeating: 7, count: Cursor.byteCount)
        let line = Views.Line(view: own.id, policyEpoch: epoch, cursor: cursor, digest: .zero)
        _ = try exchange.answers(to: [Views(round: 9, lines: [line]).frame])
        #expect(exchange.publisher.takeChanges().views == Dictionary(uniqueKeysWithValues: views.map { ($0.recipient, [$0.id]) }))
        try node.timePasses()
        #expect(try node.metadata.read { try $0.publishedViews() }.allSatisfy { $0.members.count == 0 })
    }

    @Test(arguments: ["revoke", "terminate", "withdraw"]) func noFurtherByteLeavesOnceAccessEnds(how: String) throws {
        var options = World.Options()
        options.limits.contentAskedBytesMax = 40_000
        let world = try World(seed: 3, cities: ["kitchener.ca", "auckland.nz"], options: options)
        let watch = TaintWatch(world)
        let agreement = try world.agree(0, 1)
        let (kitchener, auckland) = (world.nodes[0], world.nodes[1])
        let grant = try kitchener.grant(auckland.city, "kitchener.ca/**", under: agreement)
        let release = try kitchener.publish("roads", Exchange.content(1, chunks: 300))
        world.connect(0, 1)
        #expect(world.run(seconds: 60) { world.sent.count { $0.frame.type == .chunks } > 5 })
        let before = world.sent.count
        switch how {
        case "revoke": try kitchener.revoke(grant)
        case "terminate": try kitchener.terminate(agreement)
        default: try kitchener.withdraw("roads")
        }
        world.run(seconds: 120)
        // Frames made before may still arrive; none with content is made after.
        let content = try world.sent[before...].filter { $0.frame.type == .chunks && $0.from == kitchener.city }.filter {
            try Chunks($0.frame).count > 0
        }
        #expect(content.isEmpty)
        #expect(world.findings == [])
        #expect(world.violations == [])
        #expect(try auckland.metadata.read { try $0.release(release) } == nil)
        #expect(try world.differences() == [])
        #expect(watch.framesChecked > 0)
        let puller = try #require(auckland.puller(to: kitchener.city))
        #expect(puller.isSettled)
    }

    @Test func dropNamesOnlyWhatWasSent() throws {
        let (exchange, agreement, grant, release) = try Self.shared()
        try exchange.run()
        // Comes and goes before the partner asks again; the other one it knows.
        let more = try exchange.kitchener.grant(
            exchange.auckland.city, "kitchener.ca/roads", under: agreement, until: World.start.adding(seconds: 900_000))
        let unseen = try exchange.kitchener.publish("water", Exchange.content(2))
        try exchange.kitchener.revoke(grant)
        try exchange.kitchener.revoke(more)
        let line = try Self.line(exchange)
        let feed = try Self.answer(exchange, line)
        #expect(feed.changes == [.drop(release: release, level: 2)])
        #expect(!feed.frame.body.contains(unseen.bytes))
        try exchange.run(try exchange.puller.ask(at: exchange.now))
        #expect(try exchange.holding(release)?.state == .ended)
    }

    @Test func anAgreementSignedByOnePartyOnlySharesNothing() throws {
        let world = try Exchange.cities()
        let agreement = try world.propose(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].publish("roads", Exchange.content(1))
        world.connect(0, 1)
        world.run(seconds: 30)
        #expect(!world.sent.contains { [.feed, .releases, .index, .chunks].contains($0.frame.type) })
        #expect(try world.nodes[1].accept(agreement))
        world.run(seconds: 30)
        #expect(try world.differences() == [])
        #expect(world.sent.contains { $0.frame.type == .chunks })
    }

    /// Time that crosses no boundary decides nothing anew: a membership that somebody took away behind our back stays away until one is crossed.
    @Test func timeThatCrossesNoBoundaryDecidesNothing() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let node = world.nodes[0]
        try node.grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let until = world.now.adding(seconds: 3600)
        try node.grant(world.nodes[1].city, "kitchener.ca/water/**", under: agreement, until: until)
        let release = try node.publish("roads", Exchange.content(1))
        try node.timePasses()
        let view = try #require(try node.metadata.read { try $0.publishedViews() }.first?.id)
        func isMember() throws -> Bool { try node.metadata.read { try $0.member(view, release) } != nil }
        #expect(try isMember())
        try node.metadata.write(at: world.now) { try $0.removeMember(view, release) }
        world.run(seconds: 60)
        try node.timePasses()
        #expect(try !isMember())
        // The end of a grant is a boundary of its agreement.
        world.run(seconds: 3600)
        try node.timePasses()
        #expect(try isMember())
        // So is a clock that was set back behind the last decision, and a program with other rules.
        for bytes in [[1, 0x7F] + [UInt8](repeating: 0xFF, count: 7), [0] + [UInt8](repeating: 0, count: 8), []] {
            try node.metadata.write(at: world.now) { tx in
                try tx.removeMember(view, release)
                try tx.setValue("memberships.decided", bytes)
            }
            try node.timePasses()
            #expect(try isMember(), "\(bytes)")
        }
    }

    @Test func aGrantThatIsMadeAfterTheLastDecisionEndsAtItsMoment() throws {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        let node = world.nodes[0]
        let release = try node.publish("roads", Exchange.content(1))
        try node.timePasses()
        func isDue() throws -> Bool { try node.metadata.read { try MembershipUpdate.isDue(at: world.now, $0) } }
        #expect(try !isDue())
        try node.grant(
            world.nodes[1].city, "kitchener.ca/**", under: agreement, until: world.now.adding(seconds: 20))
        let view = try #require(try node.metadata.read { try $0.publishedViews() }.first?.id)
        func isMember() throws -> Bool {
            try node.metadata.read { try $0.member(view, release).map { $0.dropped == nil } ?? false }
        }
        world.run(seconds: 19)
        #expect(try !isDue())
        try node.keepHouse()
        #expect(try isMember())
        world.run(seconds: 1)
        #expect(try isDue())
        try node.keepHouse()
        #expect(try !isMember())
        #expect(try !isDue())
        // A node whose clock was far ahead when it decided has to decide again, and one that never did.
        try node.metadata.write(at: world.now) { tx in
            try tx.setValue("memberships.decided", [1, 0x7F] + [UInt8](repeating: 0xFF, count: 7))
        }
        #expect(try isDue())
        try node.metadata.write(at: world.now) { try $0.setValue("memberships.decided", []) }
        #expect(try isDue())
    }

    @Test func anAgreementBeginsToShareOnItsFirstDay() throws {
        let world = try Exchange.cities()
        // World.start is 2026-09-21.
        let agreement = try world.agree(0, 1, effective: "2026-09-22")
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        world.connect(0, 1)
        world.run(seconds: 30)
        #expect(try world.nodes[1].metadata.read { try $0.release(release) } == nil)
        // Kitchener's clock is an hour ahead: it offers what Auckland may not take yet, and Auckland does not refuse it for good.
        let day = CalendarDate("2026-09-22")?.start.milliseconds ?? 0
        world.run(milliseconds: day - world.now.milliseconds - 1_800_000)
        world.nodes[0].clockOffsetMilliseconds = 3_600_000
        try world.nodes[0].timePasses()
        world.run(seconds: 60)
        #expect(try world.nodes[1].metadata.read { try $0.release(release) } == nil)
        world.run(seconds: 3600)
        #expect(try world.nodes[1].files(of: release) == Exchange.content(1))
        #expect(try world.differences() == [])
    }
}
