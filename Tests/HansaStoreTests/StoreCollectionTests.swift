import Foundation
import GRDB
import HansaContent
import HansaCore
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

@testable import HansaStore

/// Bytes that no release needs leave the disk, and no others: whatever stops in between.
@Suite struct StoreCollectionTests {
    /// Two cities over SQLite; the second subscribes to the first.
    private final class Pair {
        let world: World
        let publisher: WorldNode
        let recipient: WorldNode

        init(seed: UInt64 = 1) throws {
            var options = World.Options()
            options.engine = .sqlite
            world = try World(seed: seed, cities: ["auckland.nz", "kitchener.ca"], options: options)
            (publisher, recipient) = (world.nodes[0], world.nodes[1])
            let agreement = try world.agree(0, 1)
            try publisher.grant(recipient.city, "auckland.nz/**", under: agreement)
        }

        func sync() {
            world.connect(0, 1)
            world.run(seconds: 30)
        }
    }

    private static let hour: Int64 = 3_600_000

    private static func text(_ number: UInt64, chunks: UInt64 = 4) -> WorldContent {
        WorldContent(chunks: (0..<chunks).map { WorldContent.chunk(number * 100 + $0, count: 5000) })
    }

    private static func stores(_ node: WorldNode) throws -> (SQLiteStore, SegmentStore) {
        (try #require(node.metadata as? SQLiteStore), try #require(node.content as? SegmentStore))
    }

    private static func collection(_ node: WorldNode, graceMilliseconds: Int64 = hour) throws -> StoreCollection {
        let (metadata, content) = try stores(node)
        var settings = StoreCollection.Settings()
        settings.graceMilliseconds = graceMilliseconds
        return StoreCollection(metadata, content, settings: settings)
    }

    @discardableResult
    private static func collect(_ collection: StoreCollection, _ now: Timestamp, isAlone: Bool = true) throws
        -> StoreCollection.Report
    {
        try collection.run(
            at: now, isAlone: isAlone,
            unlessPublishing: { sweep in
                try sweep()
                return true
            }, proceed: { _ in })
    }

    private static func expectSound(_ node: WorldNode, _ place: String = "") throws {
        let (metadata, content) = try stores(node)
        let check = try StoreCheck(of: metadata, content)
        #expect(check.isSound, "\(place) \(check.findings)")
    }

    /// Every chunk that stands in a block on the disk, in a file of whatever state.
    private static func chunksOnDisk(_ node: WorldNode) throws -> Set<Digest> {
        let store = try SegmentStore.open(disk: node.disk, directory: "segments") { _ in .known(0) }.store
        var found: Set<Digest> = []
        _ = try store.scanAll { _, record in if case .block(let block) = record { found.formUnion(block.chunks.map(\.id)) } }
        return found
    }

    private static func ids(_ content: WorldContent) -> Set<Digest> {
        Set(content.files.flatMap(\.chunks).map { chunk in chunk.withUnsafeBytes { ChunkEntry(of: $0).id } })
    }

    @Test func withdrawnContentLeavesTheDisksOfBothAndNothingElseDoes() throws {
        let pair = try Pair()
        let (roads, bikes) = (Self.text(1, chunks: 9), Self.text(2, chunks: 9))
        // `roads` and `both` share chunks, in blocks of `roads`.
        let both = WorldContent(chunks: Array(roads.files[0].chunks[2...3]) + [WorldContent.chunk(999, count: 5000)])
        try pair.publisher.publish("roads", roads)
        let kept = [try pair.publisher.publish("bikes", bikes): bikes, try pair.publisher.publish("both", both): both]
        pair.sync()
        try pair.publisher.withdraw("roads")
        pair.world.run(seconds: 30)
        for node in [pair.publisher, pair.recipient] {
            let collection = try Self.collection(node)
            let plan = try collection.plan {}
            let report = try Self.collect(collection, pair.world.now)
            #expect(report.releasesGivenUp == 1)
            #expect(report.chunksSwept == 7)
            #expect(plan.chunksSwept == 7 && plan.bytesFreed > 0 && report.bytesDeleted > 0)
            let onDisk = try Self.chunksOnDisk(node)
            #expect(onDisk == Self.ids(bikes).union(Self.ids(both)), "\(node.city)")
            for (release, content) in kept { #expect(try node.files(of: release) == content) }
            try Self.expectSound(node)
            // Again there is nothing to do.
            #expect(try !Self.collect(collection, pair.world.now).hasChanged)
            let (metadata, _) = try Self.stores(node)
            #expect(try metadata.read { try $0.logSize } > 0)
        }
        // And the exchange goes on from there: the same again, under a new number, comes over and is stored.
        let again = try pair.publisher.publish("roads", roads)
        pair.world.run(seconds: 30)
        #expect(try pair.recipient.files(of: again) == roads)
        for node in pair.world.nodes { try Self.expectSound(node) }
        #expect(pair.world.findings == [] && pair.world.violations == [])
    }

    @Test func besideANodeThatWorksEverythingWaitsItsHour() throws {
        let pair = try Pair()
        let node = pair.publisher
        try node.publish("roads", Self.text(1))
        try node.publish("bikes", Self.text(2))
        let (metadata, content) = try Self.stores(node)
        let collection = try Self.collection(node)
        var now = pair.world.now
        #expect(try !collection.hasWork())
        try node.withdraw("roads")
        #expect(try collection.hasWork())
        let place = try #require(
            try metadata.read { try $0.chunkLocations(of: node.city, Array(Self.ids(Self.text(2)))) }.compactMap { $0 }.first)
        let block = try content.block(at: place.block)

        let first = try Self.collect(collection, now, isAlone: false)
        #expect(first.releasesGivenUp == 1 && first.chunksSwept == 0 && first.chunksWaiting == 4)
        // Who looks for what it need not fetch does not count on them any more; who reads, reads.
        let condemned = Array(Self.ids(Self.text(1)))
        #expect(try metadata.read { try $0.heldLocations(of: node.city, condemned) }.allSatisfy { $0 == nil })
        #expect(try metadata.read { try $0.chunkLocations(of: node.city, condemned) }.allSatisfy { $0 != nil })

        now = now.adding(milliseconds: Self.hour)
        let second = try Self.collect(collection, now, isAlone: false)
        #expect(second.chunksSwept == 4 && second.bytesWaiting > 0)
        #expect(content.moved.fate(of: place.block.segment, offset: place.block.offset) == .stands)
        now = now.adding(milliseconds: Self.hour)
        let third = try Self.collect(collection, now, isAlone: false)
        #expect(third.segmentsRewritten > 0)
        #expect(try node.disk.status(Self.path(place.block.segment)) != nil)
        // A place that was read before is led to where the record is now, by reads and by rows.
        #expect(try content.block(at: place.block) == block)
        #expect(content.moved.fate(of: place.block.segment, offset: place.block.offset) != .stands)
        now = now.adding(milliseconds: Self.hour)
        let fourth = try Self.collect(collection, now, isAlone: false)
        #expect(fourth.bytesDeleted > 0)
        #expect(try content.block(at: place.block) == block)
        #expect(try Self.chunksOnDisk(node) == Self.ids(Self.text(2)))
        try Self.expectSound(node)
        #expect(try !collection.hasWork())
    }

    /// Seed 6415: what is set aside is fetched again, its row stays the old one, and the transfer that counts on it is written down only later.
    @Test func whatComesAgainWhileItIsSetAsideCountsAsNew() throws {
        let pair = try Pair()
        let node = pair.publisher
        try node.publish("roads", Self.text(1))
        let metadata = try Self.stores(node).0
        let collection = try Self.collection(node)
        try node.withdraw("roads")
        var now = pair.world.now
        #expect(try Self.collect(collection, now, isAlone: false).chunksWaiting == 4)

        let ids = Array(Self.ids(Self.text(1)))
        let again = Array(ids.prefix(2))
        let place = try #require(try metadata.read { try $0.chunkLocations(of: node.city, [again[0]]) }[0])
        let entries = again.map { ChunkEntry(id: $0, length: 1) }
        // A transaction that is not committed brings nothing.
        struct Undone: Error {}
        #expect(throws: Undone.self) {
            try metadata.write(at: now) { tx in
                try tx.insertChunks(of: node.city, block: place.block, [ChunkEntry(id: ids[2], length: 1)])
                throw Undone()
            }
        }
        try metadata.write(at: now) { try $0.insertChunks(of: node.city, block: place.block, entries) }
        #expect(try metadata.read { try $0.heldLocations(of: node.city, ids) }.map { $0 != nil } == [true, true, false, false])

        now = now.adding(milliseconds: Self.hour)
        let second = try Self.collect(collection, now, isAlone: false)
        #expect(second.chunksSwept == 2 && second.chunksWaiting == 2)
        #expect(try metadata.read { try $0.chunkLocations(of: node.city, again) }.allSatisfy { $0 != nil })
        // And they wait their whole time anew.
        now = now.adding(milliseconds: Self.hour - 1)
        #expect(try Self.collect(collection, now, isAlone: false).chunksSwept == 0)
        now = now.adding(milliseconds: 1)
        #expect(try Self.collect(collection, now, isAlone: false).chunksSwept == 2)
        try Self.expectSound(node)
    }

    /// A recipient with a transfer of `roads`, four chunks, and a sound rest.
    private static func fetching() throws -> (Pair, TransferRow) {
        let pair = try Pair()
        let release = try pair.publisher.publish("roads", text(1))
        pair.sync()
        let metadata = try stores(pair.recipient).0
        let row = try #require(try metadata.read { try $0.release(release) })
        let view = try #require(try metadata.read { try $0.subscribedViews() }.first)
        var transfer = Samples.transfer(view.id, release)
        (transfer.document, transfer.table, transfer.pages) = (row.document, row.table, row.pages)
        try metadata.write(at: pair.world.now) { try $0.put(transfer) }
        try metadata.transaction { database in
            try database.execute(sql: "DELETE FROM release; DELETE FROM holding")
            return ((), {})
        }
        return (pair, transfer)
    }

    enum End: CaseIterable { case termination, removal, withdrawal }

    @Test(arguments: End.allCases) func aTransferOfWhichNothingMoreComesKeepsNothing(_ end: End) throws {
        let (pair, transfer) = try Self.fetching()
        let node = pair.recipient
        let metadata = try Self.stores(node).0
        let collection = try Self.collection(node)
        let before = try Self.collect(collection, pair.world.now)
        #expect(before.transfersGivenUp == 0 && before.chunksSwept == 0)
        pair.world.link(0, 1).cut()
        switch end {
        case .termination:
            try node.terminate(try #require(try metadata.read { try $0.agreements() }.first?.digest))
        case .removal:
            try metadata.write(at: pair.world.now) { tx in
                var partner = try #require(try tx.partner(pair.publisher.city))
                partner.state = .removed
                try tx.put(partner)
            }
        case .withdrawal:
            try metadata.write(at: pair.world.now) { tx in
                var row = try #require(try tx.package(PackageID(city: pair.publisher.city, path: "roads")))
                row.withdrawnSeq = 1
                try tx.put(row)
            }
        }
        let after = try Self.collect(collection, pair.world.now)
        #expect(after.transfersGivenUp == 1 && after.chunksSwept == 4)
        #expect(try metadata.read { try $0.transfer(transfer.view, transfer.release) } == nil)
        #expect(try Self.chunksOnDisk(node).isEmpty)
    }

    @Test func aPageOfATransferThatCannotBeReadKeepsItsCitysChunksAndNoOthers() throws {
        let (pair, transfer) = try Self.fetching()
        let node = pair.recipient
        try node.publish("bikes", Self.text(2))
        try node.withdraw("bikes")
        let (metadata, _) = try Self.stores(node)
        let page = transfer.pages[0]
        node.disk.flipBit(Self.path(page.segment), byte: Int(page.offset) + 40, bit: 2)
        #expect(try Self.collect(try Self.collection(node), pair.world.now).chunksSwept == 4)
        let theirs = try metadata.read { try $0.chunkLocations(of: pair.publisher.city, Array(Self.ids(Self.text(1)))) }
        #expect(theirs.count == 4 && theirs.allSatisfy { $0 != nil })
    }

    @Test func aSegmentThatIsGoneIsNoWork() throws {
        let pair = try Pair()
        let metadata = try Self.stores(pair.publisher).0
        try metadata.transaction { database in
            try database.execute(sql: "INSERT INTO setting VALUES ('store.rewrite', x'000003e7')")
            return ((), {})
        }
        let collection = try Self.collection(pair.publisher)
        #expect(try collection.hasWork())
        try Self.collect(collection, pair.world.now)
        #expect(try !collection.hasWork())
    }

    /// An index is told by a base that was withdrawn, and collected, while the answer was awaited: it is asked for without one.
    @Test func aBaseThatWasGivenUpIsNoBase() throws {
        let pair = try Pair()
        // Two pages of an index, so that the second version is told by the first.
        func chunks(_ edited: Int) -> WorldContent {
            WorldContent(chunks: (0..<1100).map { WorldContent.chunk($0 == edited ? 99_999 : $0, count: 4200) })
        }
        let first = try pair.publisher.publish("roads", chunks(-1))
        pair.sync()
        #expect(try pair.recipient.files(of: first) != nil)
        let second = try pair.publisher.publish("roads", chunks(700))
        let publisher = Publisher(pair.publisher.context, peer: pair.recipient.city, secret: nil)
        let puller = Puller(pair.recipient.context, peer: pair.publisher.city, secret: nil)
        func answers(to asks: [Frame]) throws -> [Frame] {
            var frames = try asks.filter { $0.type != .credit }.flatMap { try publisher.receive($0, at: pair.world.now) }
            while publisher.hasIndex { frames += try publisher.index(upTo: 1 << 20, at: pair.world.now) }
            while publisher.hasContent { frames += try publisher.content(upTo: 1 << 20, at: pair.world.now) }
            return frames
        }
        var asks = try puller.ask(at: pair.world.now)
        while !asks.contains(where: { $0.type == .getIndex }) {
            asks = try puller.receive(try answers(to: asks), at: pair.world.now)
            try #require(!asks.isEmpty)
        }
        let index = try answers(to: asks)
        #expect(try index.flatMap { try IndexParts($0).parts }.contains { if case .pageDelta = $0 { true } else { false } })
        // The word that withdraws the first version comes, and a pass of collection.
        let metadata = try Self.stores(pair.recipient).0
        try metadata.write(at: pair.world.now) { tx in
            let release = try #require(try tx.release(first))
            var row = try #require(try tx.package(release.release.package))
            row.withdrawnSeq = 1
            try tx.put(row)
        }
        #expect(try Self.collect(try Self.collection(pair.recipient), pair.world.now, isAlone: false).releasesGivenUp == 1)
        asks = try puller.receive(index, at: pair.world.now)
        for _ in 0..<20 where !asks.isEmpty { asks = try puller.receive(try answers(to: asks), at: pair.world.now) }
        #expect(try pair.recipient.files(of: second) == chunks(700))
    }

    @Test func aRowCanNotNameWhatWasGivenUp() throws {
        let pair = try Pair()
        let node = pair.publisher
        try node.publish("bikes", Self.text(2))
        let (metadata, content) = try Self.stores(node)
        let chunk = ChunkEntry(id: Samples.digest(7), length: 100)
        let loose = try content.append(
            block: StoredBlock(codec: .raw, rawLength: 100, chunks: [chunk], bytes: [UInt8](repeating: 1, count: 100)))
        let row = try #require(try metadata.read { try $0.releases(of: PackageID(city: node.city, path: "bikes")) }.first)
        try content.seal(.content)
        try content.seal(.documents)
        // The loose block lies beside what is needed; the segment is rewritten because of what was withdrawn from it.
        try node.publish("roads", Self.text(1))
        try metadata.transaction { database in
            var bytes: [UInt8] = []
            for segment in try content.segments() { withUnsafeBytes(of: segment.bigEndian) { bytes += Array($0) } }
            try database.execute(sql: "INSERT OR REPLACE INTO setting VALUES ('store.rewrite', ?)", arguments: [Data(bytes)])
            return ((), {})
        }
        try Self.collect(try Self.collection(node), pair.world.now)
        #expect(throws: StoreFault.self) {
            try metadata.write(at: pair.world.now) { try $0.insertChunks(of: node.city, block: loose, [chunk]) }
        }
        // A document that stands elsewhere now is named where it stands.
        var transfer = Samples.transfer(Samples.digest(1, 10), Samples.digest(2))
        transfer.document = row.document
        transfer.table = row.table
        transfer.pages = row.pages
        try metadata.write(at: pair.world.now) { try $0.put(transfer) }
        let kept = try #require(try metadata.read { try $0.transfer(transfer.view, transfer.release) })
        #expect(kept.document != row.document)
        #expect(try content.body(at: kept.document) == content.body(at: row.document))
    }

    /// `bikes` (2) is needed beside `roads` (1), which was withdrawn; a bit of one of them has turned.
    private static func damaged(_ number: UInt64) throws -> (Pair, ChunkLocation) {
        let pair = try Pair()
        let node = pair.publisher
        try node.publish("bikes", text(2))
        try node.publish("roads", text(1))
        let (metadata, content) = try stores(node)
        let place = try #require(
            try metadata.read { try $0.chunkLocations(of: node.city, Array(ids(text(number)))) }.compactMap { $0 }.first)
        try node.withdraw("roads")
        try content.seal(.content)
        node.disk.flipBit(path(place.block.segment), byte: Int(place.block.offset) + 40, bit: 2)
        return (pair, place)
    }

    @Test func aDamagedRecordThatIsNeededStaysWithItsSegment() throws {
        let (pair, place) = try Self.damaged(2)
        let (metadata, content) = try Self.stores(pair.publisher)
        let collection = try Self.collection(pair.publisher)
        let report = try Self.collect(collection, pair.world.now)
        #expect(report.damaged.count == 1)
        // It is not looked at again each hour.
        #expect(try !collection.hasWork())
        #expect(try content.segments().contains(place.block.segment))
        let check = try StoreCheck(of: metadata, content)
        #expect(Set(check.findings.compactMap { $0.package?.path }) == ["bikes"])
    }

    @Test func damageWhereNothingLiesThatIsNeededKeepsNoSegment() throws {
        let (pair, place) = try Self.damaged(1)
        let (metadata, content) = try Self.stores(pair.publisher)
        let report = try Self.collect(try Self.collection(pair.publisher), pair.world.now)
        #expect(report.damaged.isEmpty)
        #expect(try !content.segments().contains(place.block.segment))
        #expect(try StoreCheck(of: metadata, content).findings.isEmpty)
    }

    @Test func whatMayBeReadableAgainStaysWithItsSegmentForAsLongAsItIsNeeded() throws {
        let pair = try Pair()
        let node = pair.publisher
        try node.publish("bikes", Self.text(2))
        try node.publish("roads", Self.text(1))
        let (metadata, content) = try Self.stores(node)
        func places(_ number: UInt64) throws -> [ContentLocation] {
            try metadata.read { try $0.chunkLocations(of: node.city, Array(Self.ids(Self.text(number)))) }.compactMap {
                $0?.block
            }
        }
        let (needed, withdrawn) = (try places(2), try places(1))
        try content.seal(.content)
        try metadata.write(at: pair.world.now) { try $0.loseChunks(in: Array(Set(needed + withdrawn))) }
        try node.withdraw("roads")
        let collection = try Self.collection(node)
        try Self.collect(collection, pair.world.now)
        #expect(try Set(metadata.read { try $0.lostBlocks(limit: 10) }) == Set(needed))
        #expect(try content.segments().contains(needed[0].segment))
        // As if the disk had been mounted again.
        try metadata.write(at: pair.world.now) { for block in Set(needed) { try $0.restoreChunks(in: block) } }
        try Self.expectSound(node)
        #expect(try places(2) == needed)
    }

    private static func path(_ segment: UInt32) -> String {
        "segments/" + String(String(UInt64(segment) + 0x1_0000_0000, radix: 16).dropFirst()) + ".seg"
    }

    // MARK: Crashes

    /// A node with withdrawn content in sealed and open segments, and content that must stay.
    private static func prepared(_ seed: UInt64) throws -> (Pair, kept: [Digest: WorldContent], gone: Set<Digest>) {
        let pair = try Pair(seed: seed)
        var kept: [Digest: WorldContent] = [:]
        for number in UInt64(1)...3 {
            let content = Self.text(number, chunks: 5)
            kept[try pair.publisher.publish("kept-\(number)", content)] = content
            try pair.publisher.publish("gone-\(number)", Self.text(100 + number, chunks: 5))
            if number == 2 {
                let (_, store) = try Self.stores(pair.publisher)
                try store.seal(.content)
                try store.seal(.documents)
            }
        }
        for number in 1...3 { try pair.publisher.withdraw("gone-\(number)") }
        return (pair, kept, Set((1...3).flatMap { Self.ids(Self.text(100 + UInt64($0), chunks: 5)) }))
    }

    @Test func aCrashAtEveryOperationOfAPassLosesNothingAndLeavesNothing() throws {
        let dry = try Self.prepared(1)
        let before = dry.0.publisher.disk.operations
        try Self.collect(try Self.collection(dry.0.publisher), dry.0.world.now)
        let operations = dry.0.publisher.disk.operations - before
        #expect(operations > 10)
        for stop in 1...operations {
            let (pair, kept, gone) = try Self.prepared(1)
            let node = pair.publisher
            node.disk.faults.stopAtOperation = node.disk.operations + stop
            do { try Self.collect(try Self.collection(node), pair.world.now) } catch {}
            node.crash()
            node.restart()
            let place = "operation \(stop) of \(operations)"
            #expect(pair.world.findings == [], "\(place)")
            for (release, content) in kept { #expect(try node.files(of: release) == content, "\(place)") }
            try Self.expectSound(node, place)
            // The next pass ends it.
            try Self.collect(try Self.collection(node), pair.world.now)
            for (release, content) in kept { #expect(try node.files(of: release) == content, "\(place)") }
            try Self.expectSound(node, place)
            #expect(try Self.chunksOnDisk(node).isDisjoint(with: gone), "\(place)")
            node.crash()
            node.restart()
            for (release, content) in kept { #expect(try node.files(of: release) == content, "\(place), again") }
        }
    }

    @Test func aDiskThatIsFullStopsAPassAndNothingElse() throws {
        let dry = try Self.prepared(1)
        let node = dry.0.publisher
        node.disk.faults.capacityBytes = 1
        #expect(throws: (any Error).self) { try Self.collect(try Self.collection(node), dry.0.world.now) }
        node.disk.faults.capacityBytes = nil
        for (release, content) in dry.kept { #expect(try node.files(of: release) == content) }
        // What could not be sealed is sealed at the next start.
        node.crash()
        node.restart()
        for (release, content) in dry.kept { #expect(try node.files(of: release) == content) }
        try Self.collect(try Self.collection(node), dry.0.world.now)
        for (release, content) in dry.kept { #expect(try node.files(of: release) == content) }
        #expect(try Self.chunksOnDisk(node).isDisjoint(with: dry.gone))
    }

    /// S11: whatever happens in whatever order, what a release needs is there; and in the end nothing else is.
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func noCollectionTakesWhatAReleaseNeeds(_ seed: UInt64) throws {
        let pair = try Pair(seed: seed)
        var random = SplitMix64(seed: seed)
        var live: [String: (release: Digest, content: WorldContent)] = [:]
        var collections = [
            try Self.collection(pair.publisher, graceMilliseconds: 10_000),
            try Self.collection(pair.recipient, graceMilliseconds: 10_000),
        ]
        pair.world.connect(0, 1)
        func content() -> WorldContent {
            // Of few chunks, so that packages share.
            WorldContent(
                chunks: (0..<Int.random(in: 1...8, using: &random)).map { _ in
                    WorldContent.chunk(UInt64.random(in: 0..<40, using: &random), count: 4500)
                })
        }
        for step in 0..<60 {
            let place = "seed \(seed), step \(step)"
            let node = pair.world.nodes[Int.random(in: 0...1, using: &random)]
            let name = "p-\(Int.random(in: 0..<6, using: &random))"
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2:
                let content = content()
                live[name] = (try pair.publisher.publish(name, content), content)
            case 3:
                try pair.publisher.withdraw(name)
                live[name] = nil
            case 4: try Self.stores(node).1.seal(Bool.random(using: &random) ? .content : .documents)
            case 5:
                if Bool.random(using: &random) {
                    node.disk.faults.stopAtOperation = node.disk.operations + Int.random(in: 1...30, using: &random)
                }
                do { try Self.collect(collections[node.number], pair.world.now) } catch {}
                node.crash()
                node.restart()
                collections[node.number] = try Self.collection(node, graceMilliseconds: 10_000)
            case 6, 7:
                pair.world.run(seconds: 10)
                do { try Self.collect(collections[node.number], pair.world.now, isAlone: false) } catch {
                    Issue.record("\(place): \(error)")
                }
            default: pair.world.run(seconds: Int64.random(in: 1...20, using: &random))
            }
            for (name, item) in live {
                #expect(try pair.publisher.files(of: item.release) == item.content, "\(place): \(name)")
            }
        }
        pair.world.run(seconds: 120)
        #expect(pair.world.findings == [] && pair.world.violations == [], "seed \(seed): \(pair.world.findings)")
        let needed = live.values.reduce(into: Set<Digest>()) { $0.formUnion(Self.ids($1.content)) }
        for node in pair.world.nodes {
            for (name, item) in live {
                #expect(try node.files(of: item.release) == item.content, "seed \(seed): \(node.city) \(name)")
            }
            // Earlier versions of packages stay: what they need is needed.
            let (metadata, content) = try Self.stores(node)
            node.crash()
            node.restart()
            try Self.collect(try Self.collection(node), pair.world.now)
            try Self.expectSound(node, "seed \(seed) \(node.city)")
            var kept = needed
            for path in 0..<6 {
                for row in try metadata.read({ try $0.releases(of: PackageID(city: pair.publisher.city, path: "p-\(path)")) }) {
                    for page in row.pages {
                        kept.formUnion(try IndexPage.decode(try #require(node.content as? SegmentStore).body(at: page)).map(\.id))
                    }
                }
            }
            _ = content
            #expect(try Self.chunksOnDisk(node).subtracting(kept).isEmpty, "seed \(seed): \(node.city)")
        }
    }
}
