import GRDB
import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@testable import HansaStore

/// The database from nothing, over a world's segments; the log of a world has no files, so its entries are handed over as a storage in memory.
@Suite struct DatabaseRemakeTests {
    /// A world's log as tiles: what `LogService` would have written.
    private static func log(of node: WorldNode) throws -> DatabaseRemake.Log {
        let metadata = try #require(node.metadata as? SQLiteStore)
        let root = MemoryDisk(seed: 1)
        let storage = try FileTileStorage(disk: root)
        let key = try Ed25519PrivateKey(seed: [UInt8](repeating: 7, count: 32))
        let service = try LogService(
            store: metadata, storage: storage, signer: LogSigner(origin: "\(node.city)/log", key: key), onFatal: { _ in })
        let checkpoint = try service.advance()
        return DatabaseRemake.Log(storage, checkpoint.size)
    }

    private static func text(_ number: UInt64) -> WorldContent {
        WorldContent(chunks: (0..<6).map { WorldContent.chunk(number * 100 + $0, count: 5000) })
    }

    /// What rows say of packages, releases and chunks.
    private static func said(_ metadata: SQLiteStore) throws -> [String] {
        try metadata.read { store in
            var lines: [String] = []
            for var package in try store.packages(of: nil, after: nil, limit: 1000) {
                // But for the gap after which our own numbers go on.
                package.lastSeq &= OwnChains.gap - 1
                lines.append("\(package)")
                for release in try store.releases(of: package.package) {
                    lines.append(
                        "\(release.digest) \(release.release) \(release.servedBy) \(release.hasContent) \(release.committed)")
                    for holding in try store.holdings(of: release.digest) { lines.append("\(holding)") }
                }
            }
            return lines
        }
    }

    @Test(arguments: [false, true]) func everythingThatRowsSaidIsSaidAgain(afterCollection: Bool) throws {
        var options = World.Options()
        options.engine = .sqlite
        let world = try World(seed: 3, cities: ["auckland.nz", "kitchener.ca"], options: options)
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "auckland.nz/**", under: agreement)
        var kept: [Digest: WorldContent] = [:]
        world.connect(0, 1)
        for number in UInt64(1)...6 {
            let content = Self.text(number)
            let digest = try world.nodes[0].publish("p-\(number % 4)", content)
            if number % 4 != 1 { kept[digest] = content }
            world.run(seconds: 10)
        }
        try world.nodes[0].withdraw("p-1")
        world.run(seconds: 20)
        for node in world.nodes {
            let metadata = try #require(node.metadata as? SQLiteStore)
            let content = try #require(node.content as? SegmentStore)
            try metadata.keepPolicy(in: content)
            if afterCollection {
                let report = try StoreCollection(metadata, content).run(
                    at: world.now, isAlone: true,
                    unlessPublishing: { sweep in
                        try sweep()
                        return true
                    }, proceed: { _ in })
                #expect(report.segmentsRewritten > 0)
            }
            let log = try Self.log(of: node)
            let again = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 9))
            let own = try metadata.read { try $0.keyringEnvelopes(of: node.city) }
            let remake = try DatabaseRemake(into: again, from: content, logs: [log], own: node.city, keyrings: own, at: world.now)
            #expect(remake.missing == 0 && remake.hasArchive && remake.partners == 1 && remake.agreements == 1)
            let withdrawn = try PackageID(city: world.nodes[0].city, path: "p-1")
            // Without a collection the content of what was withdrawn still stands in the segments.
            func isOfWithdrawn(_ line: String) -> Bool { line.contains("\(withdrawn)") || line.contains("p-1") }
            #expect(try Self.said(again).filter { !isOfWithdrawn($0) } == Self.said(metadata).filter { !isOfWithdrawn($0) })
            if afterCollection { #expect(try Self.said(again) == Self.said(metadata)) }
            #expect(try again.read { try $0.package(withdrawn)?.isWithdrawn } == true)
            #expect(try again.read { try $0.logSize } == metadata.read { try $0.logSize })
            #expect(try again.read { try $0.policy().agreements.count } == 1)
            let check = try StoreCheck(of: again, content)
            #expect(check.isSound, "\(check.findings)")
            #expect(check.releases == (try StoreCheck(of: metadata, content)).releases)
            // Receipts, ours and theirs, are named again, and what they said stands with the members.
            let places = try [metadata, again].map { try $0.namedPlaces().filter { $0.release == nil }.map(\.place) }
            #expect(places[0] == places[1] && places[0].count == remake.receipts && remake.receipts > 0)
            if node === world.nodes[0] {
                let view = try #require(try metadata.read { try $0.publishedViews() }.first?.id)
                for release in kept.keys {
                    let outcomes = try [metadata, again].map { store in try store.read { try $0.member(view, release)?.outcome } }
                    #expect(outcomes == [.accepted, .accepted])
                }
                #expect(try again.read { try $0.recipients(everSent: withdrawn) } == [world.nodes[1].city])
            }
        }
    }

    /// The archive is a second old as a rule, or older where the disk was full: what the log ended since then does not come to life with it.
    @Test func whatTheLogEndedAfterTheArchiveStaysEnded() throws {
        var options = World.Options()
        options.engine = .sqlite
        let world = try World(seed: 5, cities: ["auckland.nz", "kitchener.ca", "porto.pt", "riga.lv"], options: options)
        let node = world.nodes[0]
        var agreements: [Digest] = []
        var grants: [String] = []
        for partner in 1...3 {
            agreements.append(try world.agree(0, partner))
            grants.append(try node.grant(world.nodes[partner].city, "auckland.nz/**", under: agreements[partner - 1]))
        }
        let kept = try node.grant(world.nodes[3].city, "auckland.nz/water/**", under: agreements[2])
        let metadata = try #require(node.metadata as? SQLiteStore)
        let content = try #require(node.content as? SegmentStore)
        try metadata.keepPolicy(in: content)
        // Afterwards, with no archive: a revocation, a termination, a pause, and a card that the archive lacks.
        try node.revoke(grants[2])
        try node.terminate(agreements[0])
        try metadata.write(at: world.now) { tx in
            try tx.log(LogDraft(.partnerPaused, partner: world.nodes[1].city))
            try tx.log(LogDraft(.partnerResumed, partner: world.nodes[1].city))
            try tx.log(LogDraft(.partnerPaused, partner: world.nodes[2].city))
            try tx.log(
                LogDraft(
                    .keyringAccepted, partner: world.nodes[2].city,
                    details: ["keyring": 9, "city": .string(world.nodes[3].city.text)]))
        }
        let own = try metadata.read { try $0.keyringEnvelopes(of: node.city) }
        let again = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 9))
        let remake = try DatabaseRemake(
            into: again, from: content, logs: [try Self.log(of: node)], own: node.city, keyrings: own, at: world.now)
        #expect(remake.grants == 4 && remake.grantsEnded == 2 && remake.partnersHeld == 2)
        let live = try again.read { try $0.grants() }.filter { $0.ended == nil }.map(\.id)
        #expect(Set(live) == [grants[1], kept])
        let states = try again.read { store in try world.nodes[1...].map { try store.partner($0.city)?.state } }
        #expect(states == [.active, .paused, .paused])
    }

    /// What cannot be read was given out all the same: neither its number nor what it took back comes again.
    @Test(arguments: [false, true]) func noNumberIsSignedTwiceAndNothingIsTakenBackInVain(wasRestored: Bool) throws {
        var options = World.Options()
        options.engine = .sqlite
        let world = try World(seed: 8, cities: ["auckland.nz"], options: options)
        let node = world.nodes[0]
        let first = try node.publish("roads", Self.text(1))
        let second = try node.publish("roads", Self.text(2))
        try node.publish("bikes", Self.text(3))
        try node.withdraw("bikes")
        let (roads, bikes) = (try PackageID(city: node.city, path: "roads"), try PackageID(city: node.city, path: "bikes"))
        let metadata = try #require(node.metadata as? SQLiteStore)
        let content = try #require(node.content as? SegmentStore)
        let withdrawal = try #require(try metadata.read { try $0.package(bikes)?.last })
        for release in [second, withdrawal] {
            let place = try #require(try metadata.read { try $0.release(release)?.document })
            let name = String(String(UInt64(place.segment) + 0x1_0000_0000, radix: 16).dropFirst())
            node.disk.flipBit("segments/\(name).seg", byte: Int(place.offset) + 40, bit: 2)
        }
        // No document tells how far numbers were raised before; the log says how often.
        if wasRestored { _ = try metadata.write(at: world.now) { try $0.log(LogDraft(.homeRestored)) } }
        let own = try metadata.read { try $0.keyringEnvelopes(of: node.city) }
        let again = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 9))
        let remake = try DatabaseRemake(
            into: again, from: content, logs: [try Self.log(of: node)], own: node.city, keyrings: own, at: world.now)
        #expect(remake.missing == 2 && remake.raised == 2)
        let row = try #require(try again.read { try $0.package(roads) })
        #expect(row.head == first && row.lastSeq == 1 + (wasRestored ? 2 : 1) * OwnChains.gap)
        #expect(try again.read { try $0.package(bikes)?.isWithdrawn } == true)
    }

    /// What a partner took back, or showed us less of, is not brought back with its documents.
    @Test func whatIsSharedWithUsNoLongerDoesNotComeBack() throws {
        var options = World.Options()
        options.engine = .sqlite
        let world = try World(seed: 7, cities: ["auckland.nz", "kitchener.ca", "porto.pt"], options: options)
        let (one, two, three) = (world.nodes[0], world.nodes[1], world.nodes[2])
        let agreement = try world.agree(0, 1)
        let other = try world.agree(2, 1, id: "other")
        var releases: [String: Digest] = [:]
        var grants: [String: String] = [:]
        for (number, name) in ["again", "dropped", "kept", "moved", "unheard"].enumerated() {
            grants[name] = try one.grant(two.city, "auckland.nz/\(name)", under: agreement)
            releases[name] = try one.publish(name, Self.text(UInt64(number) + 1))
        }
        try one.grant(two.city, "auckland.nz/moved", under: agreement, level: .discover)
        try three.grant(two.city, "porto.pt/**", under: other)
        let roads = try three.publish("roads", Self.text(9))
        world.connect(0, 1)
        world.connect(1, 2)
        world.run(seconds: 30)
        let metadata = try #require(two.metadata as? SQLiteStore)
        let content = try #require(two.content as? SegmentStore)
        try metadata.keepPolicy(in: content)

        func revoke(_ name: String) throws { try one.revoke(try #require(grants[name])) }
        for name in ["again", "dropped", "moved"] { try revoke(name) }
        world.run(seconds: 30)
        _ = try one.grant(two.city, "auckland.nz/again", under: agreement)
        world.run(seconds: 30)
        // One leaves the view while nobody listens, and the whole view is told again.
        world.link(0, 1).cut()
        world.run(seconds: 10)
        try revoke("unheard")
        let view = ViewIdentity.viewID(agreement: agreement, publisher: one.city, recipient: two.city)
        try metadata.write(at: world.now) { tx in
            var row = try #require(try tx.subscribedView(view))
            row.cursor = []
            try tx.put(row)
        }
        world.link(0, 1).join()
        world.connect(0, 1)
        world.run(seconds: 60)
        world.link(1, 2).cut()
        world.run(seconds: 10)
        try two.terminate(other)

        func holding(_ store: SQLiteStore, _ release: Digest) throws -> HoldingRow? {
            try store.read { try $0.holdings(of: release) }.first
        }
        let again = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 9))
        let own = try metadata.read { try $0.keyringEnvelopes(of: two.city) }
        _ = try DatabaseRemake(
            into: again, from: content, logs: [try Self.log(of: two)], own: two.city, keyrings: own, at: world.now)
        for (name, release) in releases.sorted(by: { $0.key < $1.key }) {
            let rows = try [metadata, again].map { try holding($0, release) }
            #expect(rows[0] != nil && rows[0] == rows[1], "\(name)")
        }
        for store in [metadata, again] {
            let states = try ["again", "dropped", "kept", "moved", "unheard"].map { name in
                try holding(store, try #require(releases[name])).map { $0.state == .accepted ? "\($0.level)" : "\($0.state)" }
            }
            #expect(states == ["sync", "ended", "sync", "discover", "ended"])
        }
        // The archive does not know of the termination, so that nothing else says that it is over.
        #expect(try holding(again, roads)?.state == .ended)
        #expect(world.findings == [] && world.violations == [])
    }

    /// A withdrawal under the number of a release lies in the proof of that fork alone, and stays a withdrawal.
    @Test func aForkThatTookBackStillDoes() throws {
        var options = World.Options()
        options.engine = .sqlite
        let world = try World(seed: 6, cities: ["auckland.nz", "kitchener.ca"], options: options)
        let (one, two) = (world.nodes[0], world.nodes[1])
        let agreement = try world.agree(0, 1)
        try one.grant(two.city, "auckland.nz/**", under: agreement)
        try one.publish("roads", Self.text(1))
        let release = try one.publish("roads", Self.text(2))
        world.connect(0, 1)
        world.run(seconds: 20)
        let package = try PackageID(city: one.city, path: "roads")
        try one.change { tx in
            guard var row = try tx.package(package), let first = try tx.releaseDigest(of: package, writer: one.city, seq: 1)
            else { return ExchangeChanges() }
            (row.lastSeq, row.headSeq, row.last, row.head) = (1, 1, first, first)
            try tx.put(row)
            return ExchangeChanges()
        }
        try one.withdraw("roads")
        world.run(seconds: 20)
        let metadata = try #require(two.metadata as? SQLiteStore)
        let content = try #require(two.content as? SegmentStore)
        #expect(try metadata.read { try $0.disputes(of: package).map(\.kind) } == [.fork])
        try metadata.keepPolicy(in: content)
        let again = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 9))
        let own = try metadata.read { try $0.keyringEnvelopes(of: two.city) }
        let remake = try DatabaseRemake(
            into: again, from: content, logs: [try Self.log(of: two)], own: two.city, keyrings: own, at: world.now)
        #expect(remake.missing == 0 && remake.disputes == 1)
        for store in [metadata, again] {
            #expect(try store.read { try $0.package(package)?.withdrawnSeq } == 2)
            #expect(try store.read { try $0.holdings(of: release).map(\.state) } == [.ended])
        }
    }

    /// One was written, and the commit that would have said so failed: the next has the same number, and is the one that rows name.
    @Test func ofTwoArchivesUnderOneNumberTheLaterCounts() throws {
        let disk = MemoryDisk(seed: 1)
        let content = try SegmentStore.open(disk: disk) { _ in .known(0) }.store
        let store = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        func newest() throws -> (number: UInt64, contents: [UInt8], places: [ContentLocation])? {
            var archive = PolicyArchive()
            _ = try content.scanAll { location, record in
                if case .other(let id, let bytes) = record { archive.take(id, bytes, at: ContentLocation(location)) }
            }
            return archive.newest()
        }
        func learn(_ version: Int) throws {
            try store.write(at: Samples.start) { tx in
                let (envelope, keyring) = try Samples.keyring(Samples.kitchener, version: version)
                try tx.insertKeyring(envelope, keyring)
            }
        }
        try learn(1)
        try store.transaction { database in
            try database.execute(
                sql: """
                    CREATE TRIGGER full BEFORE INSERT ON setting WHEN NEW.name = 'store.policy'
                    BEGIN SELECT RAISE(ABORT, 'no room'); END
                    """)
            return ((), {})
        }
        var records: [Int] = []
        for _ in 0..<3 {
            #expect(throws: StoreFault.self) { try store.keepPolicy(in: content) }
            var count = 0
            _ = try content.scanAll { _, record in if case .other = record { count += 1 } }
            records.append(count)
        }
        // Each second would have written it once more.
        #expect(records == [1, 1, 1])
        try learn(2)
        #expect(throws: StoreFault.self) { try store.keepPolicy(in: content) }
        let wanted = try store.query { try PolicyArchive.contents(SQLiteReading($0, store.shared)) }
        #expect(try newest()?.number == 1 && newest()?.contents == wanted)
        try store.transaction { database in (try database.execute(sql: "DROP TRIGGER full"), {}) }
        try store.keepPolicy(in: content)
        #expect(try newest()?.contents == wanted)
        #expect(try newest()?.places == store.policyArchivePlaces())
    }

    @Test func theNewestWholeArchiveCounts() throws {
        let disk = MemoryDisk(seed: 1)
        let content = try SegmentStore.open(disk: disk) { _ in .known(0) }.store
        let store = try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1))
        var archive = PolicyArchive()
        func scan() throws {
            archive = PolicyArchive()
            _ = try content.scanAll { location, record in
                if case .other(let id, let bytes) = record { archive.take(id, bytes, at: ContentLocation(location)) }
            }
        }
        for number in 1...3 {
            try store.write(at: Samples.start) { tx in
                let (envelope, keyring) = try Samples.keyring(Samples.kitchener, version: number)
                try tx.insertKeyring(envelope, keyring)
            }
            try store.keepPolicy(in: content)
            try store.keepPolicy(in: content)
            try scan()
            #expect(archive.newest()?.number == UInt64(number))
        }
        // Of several parts one that is missing lets the one before count.
        let long = [UInt8](repeating: 5, count: 2_500_000)
        let parts = PolicyArchive.records(long, number: 9)
        #expect(parts.count == 3)
        _ = try content.append(Array(parts.dropLast()))
        try scan()
        #expect(archive.newest()?.number == 3)
        _ = try content.append([parts[2]])
        try scan()
        #expect(archive.newest()?.contents == long)
    }
}
