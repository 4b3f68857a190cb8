import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaTerms
import HansaTestSupport
import Testing

@testable import HansaSync

/// What a partner can make us keep in memory.
@Suite struct BoundsTests {
    private func granted(_ limits: ExchangeLimits = ExchangeLimits()) throws -> World {
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        return world
    }

    private func view(_ world: World) throws -> Digest {
        try #require(try world.nodes[0].metadata.read { try $0.publishedViews() }.first?.id)
    }

    /// What it asks of its only view.
    private func firstLine(of puller: Puller, _ world: World) throws -> Views.Line {
        let ask = try #require(try puller.ask(at: world.now).first)
        return try #require(try Views(ask).lines.first)
    }

    @Test func theSameThingAskedTwiceInOneFrameIsAFault() throws {
        let world = try granted()
        let release = try world.nodes[0].publish("roads", Exchange.content(1))
        let view = try view(world)
        let publisher = Exchange(world).publisher
        let line = Views.Line(view: view, policyEpoch: .zero, cursor: [], digest: .zero)
        let ask = GetIndex.Ask(release: release, tableFrom: 0, firstPage: 0, pageCount: 1)
        for frame in [
            Views(round: 1, lines: [line, line]).frame, GetReleases(view: view, releases: [release, release]).frame,
            GetIndex(view: view, asks: [ask, ask]).frame,
        ] {
            #expect(throws: ExchangeFault.self) { try publisher.receive(frame, at: world.now) }
        }
    }

    @Test func indexesAreHandedOutAsTheyGo() throws {
        let world = try granted()
        let releases = try (0..<40).map { try world.nodes[0].publish("roads/\($0)", Exchange.content(UInt64($0), chunks: 60)) }
        let exchange = Exchange(world)
        _ = try exchange.answers(to: try exchange.puller.ask(at: world.now))
        let asks = releases.map { GetIndex.Ask(release: $0, tableFrom: 0, firstPage: 0, pageCount: 1) }
        #expect(try exchange.publisher.receive(GetIndex(view: try view(world), asks: asks).frame, at: world.now) == [])
        var seen: Set<Digest> = []
        var rounds = 0
        while exchange.publisher.hasIndex {
            rounds += 1
            for frame in try exchange.publisher.index(upTo: 8 * 1024, at: world.now) {
                for case .page(let release, _, _) in try IndexParts(frame).parts { seen.insert(release) }
            }
        }
        #expect(rounds > 8)
        #expect(seen == Set(releases))
    }

    /// A long table is told in several calls; what was asked for after it may be anything.
    @Test func pagesBeyondTheLastAreNoPages() throws {
        let world = try granted()
        let files = (0..<2000).map { ("data/\(String(repeating: "x", count: 100))\($0).csv", [WorldContent.chunk(1, count: 64)]) }
        let release = try world.nodes[0].publish("roads", WorldContent(files))
        let exchange = Exchange(world)
        _ = try exchange.answers(to: try exchange.puller.ask(at: world.now))
        _ = try exchange.answers(to: [GetReleases(view: try view(world), releases: [release]).frame])
        let ask = GetIndex.Ask(release: release, tableFrom: 0, firstPage: 1 << 40, pageCount: 1 << 60)
        #expect(try exchange.publisher.receive(GetIndex(view: try view(world), asks: [ask]).frame, at: world.now) == [])
        var table = 0
        var total: UInt64 = 0
        var calls = 0
        while exchange.publisher.hasIndex {
            calls += 1
            for frame in try exchange.publisher.index(upTo: 8 * 1024, at: world.now) {
                for part in try IndexParts(frame).parts {
                    guard case .table(_, let whole, _, let bytes) = part else {
                        Issue.record("not a part of the table: \(part)")
                        continue
                    }
                    table += bytes.count
                    total = whole
                }
            }
        }
        #expect(calls > 1)
        #expect(UInt64(table) == total && total > 0)
    }

    /// Further pages wait until the recipient asks on; in the end all is told.
    @Test func aFeedIsToldInParts() throws {
        var limits = ExchangeLimits()
        limits.feedPagesMax = 1
        let world = try granted(limits)
        let count = 4600
        // Members without content behind them: enough to see the pages.
        let view = try view(world)
        let documents = (0..<count).map { Envelope(type: .release, payload: Array("release \($0)".utf8), signatures: []) }
        let releases = documents.map(\.digest)
        try world.nodes[0].metadata.write(at: world.now) { tx in
            var row = try #require(try tx.publishedView(view))
            for release in releases {
                row.position += 1
                row.members.insert(MemberSet.memberID(release: release, level: 2))
                try tx.put(
                    MemberRow(
                        view: view, release: release, package: try PackageID(city: world.nodes[0].city, path: "p"), level: .sync,
                        clause: "1", grant: "",
                        until: nil, added: row.position))
            }
            try tx.put(row)
        }
        // What stands for their documents is refused, and done with.
        let known = Dictionary(uniqueKeysWithValues: documents.map { ($0.digest, $0) })
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var listed = 0
        var offers: [Digest: Digest] = [:]
        for _ in 0..<200 where !asks.isEmpty {
            let answers = try exchange.answers(to: asks).map { frame in
                if frame.type == .feed {
                    for case .add(let release, _, let transfer) in try Feed(frame).changes {
                        offers[try #require(OfferName.of(transfer))] = release
                    }
                }
                guard frame.type == .releases else { return frame }
                let message = try Releases(frame)
                let items = message.items.map { item in
                    let release = offers[item.release] ?? item.release
                    return Releases.Item(release: release, envelope: known[release])
                }
                return Releases(view: message.view, items: items).frame
            }
            let pages = try answers.filter { $0.type == .feed }.map { try Feed($0) }.filter { $0.status == .changes }.map(
                \.changes.count)
            #expect(pages.count <= 1)
            listed += pages.reduce(0, +)
            asks = try exchange.puller.receive(answers, at: world.now)
        }
        #expect(listed >= count)
    }

    @Test func endlessListsEndTheSession() throws {
        var limits = ExchangeLimits()
        limits.outstandingMax = 5000
        let world = try granted(limits)
        let puller = Exchange(world).puller
        let ask = try puller.ask(at: world.now)
        let frame = try #require(ask.first)
        let line = try #require(try Views(frame).lines.first)
        var since = line.cursor
        var pages = 0
        #expect(throws: ExchangeFault.self) {
            for number in 0..<100 {
                let cursor = [UInt8](repeating: UInt8(number + 1), count: 16)
                let changes = (0..<1000).map {
                    Feed.Change.add(
                        release: SHA256.hash(Array("\(number) \($0)".utf8)), level: 2, transfer: [UInt8](repeating: 1, count: 16))
                }
                _ = try puller.receive(
                    [
                        Feed(
                            round: 1, view: line.view, status: .changes, since: since, changes: changes, cursor: cursor,
                            more: true, digest: .zero
                        ).frame
                    ],
                    at: world.now)
                since = cursor
                pages += 1
            }
        }
        #expect(pages == 5)
    }

    /// Each list that begins anew forgets the pages before it, and what was under way goes on: both count.
    @Test func aViewThatIsToldAnewWithoutEndEndsTheSession() throws {
        var limits = ExchangeLimits()
        limits.outstandingMax = 5000
        let world = try granted(limits)
        let puller = Exchange(world).puller
        let line = try firstLine(of: puller, world)
        var lists = 0
        #expect(throws: ExchangeFault.self) {
            for number in 0..<100 {
                let changes = (0..<1000).map {
                    Feed.Change.add(
                        release: SHA256.hash(Array("\(number) \($0)".utf8)), level: 2, transfer: [UInt8](repeating: 1, count: 16))
                }
                let cursor = [UInt8](repeating: UInt8(number + 1), count: 16)
                _ = try puller.receive(
                    [
                        Feed(
                            round: 0, view: line.view, status: .reset, since: [], changes: changes, cursor: cursor, more: true,
                            digest: .zero
                        ).frame
                    ], at: world.now)
                lists += 1
            }
        }
        #expect(lists == 5)
    }

    @Test func aReleaseThatIsListedTwiceInOnePageIsAFault() throws {
        let world = try granted()
        let puller = Exchange(world).puller
        let line = try firstLine(of: puller, world)
        let change = Feed.Change.add(release: SHA256.hash([1]), level: 2, transfer: [UInt8](repeating: 1, count: 16))
        let feed = Feed(
            round: 1, view: line.view, status: .changes, since: line.cursor, changes: [change, change],
            cursor: [UInt8](repeating: 1, count: 16), more: true, digest: .zero)
        #expect(throws: ExchangeFault.self) {
            try puller.receive([feed.frame], at: world.now)
        }
    }

    /// Pages behind one that never ends, and a release that comes and goes while nothing is answered: neither takes room.
    @Test func whatIsListedAndDroppedAgainTakesNoRoom() throws {
        let world = try granted()
        let puller = Exchange(world).puller
        let line = try firstLine(of: puller, world)
        var since = line.cursor
        func tell(_ changes: [Feed.Change]) throws {
            let cursor = Array(SHA256.hash(since).bytes.prefix(16))
            _ = try puller.receive(
                [
                    Feed(
                        round: 1, view: line.view, status: .changes, since: since, changes: changes, cursor: cursor, more: true,
                        digest: .zero
                    ).frame
                ], at: world.now)
            since = cursor
        }
        func add(_ number: Int) -> Feed.Change {
            .add(release: SHA256.hash(Array("\(number)".utf8)), level: 2, transfer: [UInt8](repeating: 1, count: 16))
        }
        // More than may be asked for at once: the rest waits in the queue.
        try tell((0..<2000).map(add))
        for _ in 0..<3000 { try tell([add(5000)]); try tell([.drop(release: SHA256.hash(Array("5000".utf8)), level: 2)]) }
        #expect(puller.wantedQueue.count < 4500)
        #expect((puller.views[line.view]?.pages.count ?? 0) <= 66)
    }

    /// Indexes are asked for as far as there is room for them, and all come in the end.
    @Test func indexesAreAskedForWhileThereIsRoom() throws {
        var limits = ExchangeLimits()
        limits.indexBytesMax = 100_000
        let world = try granted(limits)
        let releases = try (0..<20).map { try world.nodes[0].publish("roads/\($0)", Exchange.content(UInt64($0))) }
        let exchange = Exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var most = 0
        while !asks.isEmpty {
            most = try max(most, asks.filter { $0.type == .getIndex }.reduce(0) { try $0 + GetIndex($1).asks.count })
            asks = try exchange.puller.receive(try exchange.answers(to: asks), at: world.now)
        }
        #expect(most > 0 && most < 8)
        for release in releases { #expect(try exchange.holding(release)?.state == .accepted) }
        #expect(exchange.puller.isSettled)
    }
}
