import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaTerms
import HansaTestSupport
import Synchronization
import Testing

@testable import HansaSync

/// What a publisher that lists, drops and does not answer can make a puller keep, compute and write: counts, never times.
@Suite struct PullBoundsTests {
    /// A puller whose publisher is played by the test, page after page.
    private final class Told {
        let world: World
        let exchange: Exchange
        let line: Views.Line
        private var cursors = 0
        var puller: Puller { exchange.puller }

        init(_ limits: ExchangeLimits = ExchangeLimits()) throws {
            world = try Exchange.cities(limits: limits)
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
            exchange = Exchange(world)
            let ask = try #require(try exchange.puller.ask(at: world.now).first)
            line = try #require(try Views(ask).lines.first)
        }

        /// Round 0 is a push.
        @discardableResult
        func tell(_ changes: [Feed.Change], round: UInt64 = 0, since: [UInt8]? = nil, more: Bool = false) throws -> [Frame] {
            try puller.receive([try page(changes, round: round, since: since, more: more)], at: world.now)
        }

        func page(_ changes: [Feed.Change], round: UInt64 = 0, since: [UInt8]? = nil, more: Bool = false) throws -> Frame {
            cursors += 1
            let state = try #require(puller.views[line.view])
            return Feed(
                round: round, view: line.view, status: .changes, since: since ?? state.received, changes: changes,
                cursor: Array(SHA256.hash(Array("cursor \(cursors)".utf8)).bytes.prefix(16)), more: more, digest: .zero
            ).frame
        }

        static func number(_ number: Int) -> [UInt8] { Array(SHA256.hash(Array("transfer \(number)".utf8)).bytes.prefix(16)) }
        static func id(_ number: Int) -> Digest { SHA256.hash(Array("release \(number)".utf8)) }
        static func add(_ number: Int) -> Feed.Change { .add(release: id(number), level: 2, transfer: Self.number(number)) }
        static func drop(_ number: Int) -> Feed.Change { .drop(release: id(number), level: 2) }

        var logSize: UInt64 { get throws { try world.nodes[1].metadata.read { try $0.logSize } } }
    }

    // MARK: Pages

    @Test func pushesThatAreNeverAnsweredOpenFewPages() throws {
        let told = try Told()
        for number in 0..<20_000 { try told.tell([Told.add(number)]) }
        #expect(told.puller.load.openPages == Puller.pushedPagesMax)
        #expect(told.puller.load.outstanding == Puller.pushedPagesMax)
        // The rest is for asking, and what the answer drops leaves the pages that are open.
        let asks = try told.tell((0..<4096).map(Told.drop), round: 1, since: told.line.cursor)
        #expect(told.puller.load.openPages == 0 && told.puller.load.outstanding == 0)
        #expect(asks.contains { $0.type == .views })
    }

    @Test func anAnswerOfEndlessPagesEndsTheSession() throws {
        let told = try Told()
        var pages = 0
        #expect(throws: ExchangeFault.self) {
            for number in 0..<10_000 {
                try told.tell([Told.add(number)], round: 1, more: true)
                pages += 1
            }
        }
        #expect(pages == Puller.pagesMax)
    }

    /// An id that is told again before it is done is done once, on all the pages that told it.
    @Test func pagesAreDoneInTheirOrder() throws {
        var pages = OpenPages()
        func end(_ number: UInt8) -> OpenPages.End { OpenPages.End(cursor: [number], more: number < 4, digest: .zero) }
        pages.add(end(1), [Told.id(1), Told.id(2)])
        pages.add(end(2), [Told.id(2), Told.id(3)])
        pages.add(end(3), [])
        pages.add(end(4), [Told.id(1)])
        #expect(pages.count == 4 && pages.left.count == 3)
        #expect(pages.end(without: []) == nil)
        #expect(pages.end(without: [Told.id(3), Told.id(9)]) == nil)
        #expect(pages.end(without: [Told.id(1), Told.id(2)])?.end.cursor == [1])
        let all = try #require(pages.end(without: [Told.id(1), Told.id(2), Told.id(3)]))
        #expect(all.end.cursor == [4] && all.isLast && !all.end.more)
        // Joining keeps the order, and finds ids on the pages that are left.
        var hasRoom = pages.hasRoom(of: 1)
        #expect(!hasRoom && pages.count == 2)
        hasRoom = pages.hasRoom(of: 3)
        #expect(hasRoom)
        let removed = [Told.id(1), Told.id(2), Told.id(2)].map { pages.remove($0) }
        #expect(removed == [true, true, false])
        #expect(pages.isFirstDone)
        pages.removeDone()
        #expect(pages.count == 1 && !pages.isFirstDone && pages.contains(Told.id(3)))
        pages.remove(Told.id(3))
        #expect(pages.end(without: [])?.end.cursor == [4])
        pages.removeDone()
        #expect(pages.isEmpty)
    }

    // MARK: What is remembered

    @Test func roundsThatAreNeverAnsweredAreForgotten() throws {
        let told = try Told()
        for _ in 0..<300 {
            try told.tell([])
            #expect(try !told.puller.ask(at: told.world.now).isEmpty)
        }
        #expect(told.puller.load.askedRounds == 64)
    }

    /// Content that was asked for and is owed takes its part of the window: nothing more is asked for until it has come.
    @Test func contentThatIsNeverAnsweredIsAskedForOnce() throws {
        var limits = ExchangeLimits()
        limits.contentAskedBytesMax = 64 * 1024
        let told = try Told(limits)
        let (world, exchange) = (told.world, told.exchange)
        for number in 0..<20 { try world.nodes[0].publish("roads/\(number)", Exchange.content(UInt64(number))) }
        let first = try exchange.publisher.receive(
            Views(round: 1, lines: [told.line]).frame, at: world.now)
        let listed = try first.filter { $0.type == .feed }.flatMap { try Feed($0).changes }
        #expect(listed.count == 20)
        var asked = 0
        /// All but content.
        func answer(_ frames: [Frame]) throws {
            var asks = frames
            while !asks.isEmpty {
                asked += asks.count { $0.type == .getChunks }
                let answers = try exchange.answers(to: asks.filter { ![.getChunks, .getDelta].contains($0.type) })
                asks = try exchange.asks(after: answers)
            }
        }
        try answer(try exchange.asks(after: first))
        #expect(asked > 0)
        let owed = told.puller.load.contentAskedBytes
        asked = 0
        let drops = listed.compactMap { change -> Feed.Change? in
            if case .add(let release, let level, _) = change { .drop(release: release, level: level) } else { nil }
        }
        for _ in 0..<50 {
            try answer(try told.tell(drops))
            #expect(told.puller.load.contentAskedBytes == 0)
            try answer(try told.tell(listed))
            #expect(told.puller.load.transfers == 20)
        }
        #expect(asked < 20)
        let load = told.puller.load
        #expect(load.lateBytes >= owed && load.lateBytes + load.contentAskedBytes <= 2 * limits.contentAskedBytesMax)
        #expect(load.lateReleases <= 20)
        #expect(load.queued <= 200)
    }

    @Test func whatIsOwedIsCounted() {
        var owed = OwedAnswers()
        let (one, two) = (Told.id(1), Told.id(2))
        owed.add(0, of: one)
        #expect(owed.count == 0)
        owed.add(100, of: one)
        owed.add(50, of: two)
        owed.came(30, of: one)
        #expect(owed.bytes == 120 && owed.covers(70, of: one) && !owed.covers(71, of: one))
        // Said not to come of one ask: another may be answered, and nothing waits for it.
        owed.isAbsent(one)
        #expect(owed.bytes == 50 && owed.covers(70, of: one))
        owed.came(60, of: one)
        #expect(owed.covers(10, of: one) && owed.contains(one))
        owed.came(10, of: one)
        owed.came(50, of: two)
        owed.came(1, of: two)
        #expect(owed.bytes == 0 && owed.count == 0)
        // Of one byte each: there is a bound for releases too.
        for number in 0..<OwedAnswers.releasesMax { owed.add(1, of: Told.id(number)) }
        #expect(owed.isFull && owed.bytes == OwedAnswers.releasesMax)
        for number in 0..<20_000 {
            owed.add(1, of: Told.id(number))
            owed.isAbsent(Told.id(number))
        }
        #expect(!owed.isFull && owed.bytes == 0)
        #expect(owed.count <= OwedAnswers.releasesMax + 1)
        #expect(owed.contains(Told.id(19_999)) && !owed.contains(Told.id(0)))
    }

    @Test func whatThePublisherHasNothingOfIsNotRememberedForEver() throws {
        var limits = ExchangeLimits()
        limits.outstandingMax = 1000
        let told = try Told(limits)
        var (round, since, next) = (UInt64(1), told.line.cursor, 0)
        for _ in 0..<20 {
            var asks = try told.tell((next..<(next + 400)).map(Told.add), round: round, since: since)
            next += 400
            // Twice nothing of any of it, and the list is asked for anew.
            for _ in 0..<200 {
                var answers: [Frame] = []
                for frame in asks where frame.type == .getReleases {
                    let ask = try GetReleases(frame)
                    answers.append(
                        Releases(
                            view: ask.view, items: ask.releases.map { Releases.Item(release: $0, envelope: nil) }
                        ).frame)
                }
                if let frame = asks.first(where: { $0.type == .views }) {
                    let views = try Views(frame)
                    (round, since) = (views.round, try #require(views.lines.first).cursor)
                    break
                }
                asks = try told.puller.receive(answers, at: told.world.now)
                if asks.isEmpty {
                    told.world.run(seconds: 6)
                    asks = try told.puller.tick(at: told.world.now)
                }
            }
        }
        #expect(next == 8000)
        #expect(told.puller.load.putOff <= limits.outstandingMax)
    }

    // MARK: What is written

    @Test func refusalsOfWhatWasNeverHeldAreMergedInTheLog() throws {
        let told = try Told()
        let count = 12_000
        let documents = (0..<count).map { Envelope(type: .release, payload: Array("{\"a\":\($0)}".utf8), signatures: []) }
        var named: [Digest: Envelope] = [:]
        let changes = documents.enumerated().map { number, document -> Feed.Change in
            if let name = OfferName.of(Told.number(number)) { named[name] = document }
            return .add(release: document.digest, level: 2, transfer: Told.number(number))
        }
        let before = try told.logSize
        for start in stride(from: 0, to: count, by: 3000) {
            var asks = try told.tell(Array(changes[start..<(start + 3000)]))
            while asks.contains(where: { $0.type == .getReleases }) {
                let answers = try asks.filter { $0.type == .getReleases }.map { frame in
                    let ask = try GetReleases(frame)
                    return Releases(
                        view: ask.view,
                        items: ask.releases.compactMap { named[$0] }.map { Releases.Item(release: $0.digest, envelope: $0) }
                    ).frame
                }
                asks = try told.puller.receive(answers, at: told.world.now)
            }
        }
        let node = told.world.nodes[1]
        #expect(try node.metadata.read { try $0.holdingCount(told.line.view) } == count)
        #expect(try told.logSize - before < 10)
        // What leaves the view again was never here either.
        for start in stride(from: 0, to: count, by: 3000) {
            try told.tell(documents[start..<(start + 3000)].map { .drop(release: $0.digest, level: 2) })
        }
        #expect(try node.metadata.read { try $0.holdingCount(told.line.view) } == 0)
        #expect(try told.logSize - before < 10)
        // All of them are counted, and the first of each kind stands whole.
        try node.context.flushRefusals(at: told.world.now, all: true)
        let entries = try #require(node.metadata as? MemoryMetadataStore).logEntries.map { try LogEntry($0) }.filter {
            [.releaseRefused, .accessEnded].contains($0.event)
        }
        for event in [LogEvent.releaseRefused, .accessEnded] {
            let kind = entries.filter { $0.event == event }
            #expect(kind.first?.release != nil && kind.first?.details == nil)
            let counted = kind.dropFirst().compactMap { $0.details?["count"]?.integer }.reduce(0, +)
            #expect(counted == Int64(count) - 1)
        }
    }

    @Test func changesWithoutEndAreWaitedFor() throws {
        var limits = ExchangeLimits()
        limits.idleChangesMax = 100
        let told = try Told(limits)
        let (world, exchange) = (told.world, told.exchange)
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let first = try exchange.publisher.receive(Views(round: 1, lines: [told.line]).frame, at: world.now)
        let number = try #require(
            try first.filter { $0.type == .feed }.flatMap { try Feed($0).changes }.compactMap { change -> [UInt8]? in
                if case .add(_, _, let number) = change { number } else { nil }
            }.first)
        try exchange.run(try exchange.asks(after: first))
        #expect(try exchange.holding(release)?.state == .accepted)
        let before = try told.logSize
        for step in 0..<10_000 { try told.tell([.add(release: release, level: UInt8(1 + step % 2), transfer: number)]) }
        #expect(try told.logSize - before == 100)
        #expect(told.puller.standings.map(\.standing) == [.behind("too-many-changes")])
        // It is asked all the same: the answer tells of what has left.
        #expect(try told.puller.ask(at: world.now).map(\.type) == [.views])
        // What has left the view has left it all the same.
        try told.tell([.drop(release: release, level: 2)])
        #expect(try exchange.holding(release)?.state == .ended)
        // It may come again when the partner has been quiet for a while.
        world.run(seconds: 61)
        #expect(try told.puller.tick(at: world.now).contains { $0.type == .views })
    }

    @Test func theBudgetFillsWithTimeAndNoFurther() throws {
        var limits = ExchangeLimits()
        (limits.idleChangesMax, limits.idleChangesPerSecond) = (10, 2)
        let budget = ChangeBudget()
        let city = try CityID("kitchener.ca")
        let start = Timestamp(milliseconds: 1_790_000_040_000)
        budget.charge(city, 9, limits, at: start)
        #expect(!budget.isSpent(city, limits, at: start))
        // What goes beyond is owed.
        budget.charge(city, 5, limits, at: start)
        #expect(budget.isSpent(city, limits, at: start.adding(seconds: 2)))
        #expect(!budget.isSpent(city, limits, at: start.adding(seconds: 3)))
        #expect(!budget.isSpent(try CityID("boston.gov"), limits, at: start))
        budget.charge(city, 10, limits, at: start.adding(seconds: 86_400))
        #expect(budget.isSpent(city, limits, at: start.adding(seconds: 86_400)))
        // A clock that goes back gives nothing.
        #expect(budget.isSpent(city, limits, at: start))
    }

    // MARK: Proofs of forks

    /// A publisher that signs number 2 of each package anew; the recipient holds the first of that number.
    private func forked(_ packages: [String], limits: ExchangeLimits = ExchangeLimits()) throws -> (Exchange, [Digest]) {
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        let node = world.nodes[0]
        try node.grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        for (number, path) in packages.enumerated() {
            for version in 0..<2 { try node.publish(path, Exchange.content(UInt64(10 * number + version))) }
        }
        try Exchange(world).run()
        let releases = try packages.enumerated().map { number, path in
            let package = try PackageID(city: node.city, path: path)
            try node.change { tx in
                guard var row = try tx.package(package) else { return ExchangeChanges() }
                (row.lastSeq, row.headSeq) = (1, 1)
                try tx.put(row)
                return ExchangeChanges()
            }
            return try node.publish(path, Exchange.content(UInt64(10 * number + 2)))
        }
        return (Exchange(world), releases)
    }

    /// A proof belongs to its refusal, and ends with it where that is dropped: it takes no place of another.
    @Test func forksThatAreDroppedLeaveRoomForTheProofOfAnother() throws {
        let (exchange, releases) = try forked((0...Disputes.ofPackageMax).map { "roads/\($0)" })
        let world = exchange.world
        var asks = try exchange.puller.ask(at: world.now)
        var held: [Frame] = []
        while held.isEmpty {
            let answers = try exchange.answers(to: asks)
            held = answers.filter { $0.type == .releases }
            if held.isEmpty { asks = try exchange.asks(after: answers) }
        }
        let items = try held.flatMap { try Releases($0).items }
        let view = try Releases(try #require(held.first)).view
        #expect(items.count == releases.count)
        let gone = items.dropLast().map(\.release)
        let last = try #require(items.last)
        let state = try #require(exchange.puller.views[view])
        let drop = Feed(
            round: 0, view: view, status: .changes, since: state.received,
            changes: gone.map { .drop(release: $0, level: 2) }, cursor: [UInt8](repeating: 7, count: 16))
        _ = try exchange.puller.receive(
            [Releases(view: view, items: Array(items.dropLast())).frame, drop.frame], at: world.now)
        #expect(exchange.puller.load.forkEvidence == 0)
        _ = try exchange.puller.receive([Releases(view: view, items: [last]).frame], at: world.now)
        #expect(try exchange.holding(last.release)?.reason == "fork")
        #expect(try exchange.auckland.metadata.read { try $0.disputes(of: nil) }.map(\.other) == [last.release])
        #expect(exchange.puller.load.forkEvidence == 0)
    }

    /// Loses blocks of chunks as a transaction begins: between the last look at a batch and its commit.
    private final class Losing: MetadataStore {
        let store: any MetadataStore
        let blocks = Mutex<[ContentLocation]>([])
        init(_ store: any MetadataStore) { self.store = store }
        var chunkRemovals: UInt64 { store.chunkRemovals }
        func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T { try store.read(body) }
        func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
            let lost = blocks.withLock { blocks in
                defer { blocks = [] }
                return blocks
            }
            if !lost.isEmpty { try store.write(at: now) { try $0.loseChunks(in: lost) } }
            return try store.write(at: now, body)
        }
    }

    @Test func aForkIsProvedAlsoWhereItsBatchIsLookedAtAgain() throws {
        let (before, forks) = try forked(["roads", "old"])
        let node = before.world.nodes[1]
        let losing = Losing(node.metadata)
        node.wrap(metadata: { _ in losing }, content: { $0 })
        // Of the same bytes as a release that is here: all of it is held, until it is lost.
        let copied = try before.world.nodes[0].publish("copy", Exchange.content(11))
        let exchange = Exchange(before.world)
        let city = before.world.nodes[0].city
        let blocks = try node.metadata.read { store -> [ContentLocation] in
            let package = try PackageID(city: city, path: "old")
            guard let here = try store.releaseDigest(of: package, writer: city, seq: 2), let row = try store.release(here) else {
                return []
            }
            let ids = try row.pages.flatMap { try IndexPage.decode(node.context.content.body(at: $0)).map(\.id) }
            return try store.chunkLocations(of: city, ids).compactMap { $0?.block }
        }
        #expect(!blocks.isEmpty)
        let removals = node.metadata.chunkRemovals
        var asks = try exchange.puller.ask(at: before.world.now)
        while !asks.isEmpty {
            let answers = try exchange.answers(to: asks)
            if answers.contains(where: { $0.type == .index }) { losing.blocks.withLock { $0 = blocks } }
            asks = try exchange.asks(after: answers)
        }
        #expect(losing.chunkRemovals > removals)
        #expect(try exchange.holding(copied)?.state == .accepted)
        #expect(try node.metadata.read { try $0.disputes(of: nil) }.map(\.other).sorted() == forks.sorted())
    }
}
