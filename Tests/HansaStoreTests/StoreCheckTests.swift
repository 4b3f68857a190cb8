import GRDB
import HansaContent
import HansaCore
import HansaSync
import HansaTestSupport
import Testing

@testable import HansaStore

@Suite struct StoreCheckTests {
    private let world: World
    private let node: WorldNode
    private let metadata: SQLiteStore
    private let content: SegmentStore

    init() throws {
        var options = World.Options()
        options.engine = .sqlite
        world = try World(seed: 1, cities: ["kitchener.ca", "auckland.nz"], options: options)
        node = world.nodes[0]
        metadata = try #require(node.metadata as? SQLiteStore)
        content = try #require(node.content as? SegmentStore)
    }

    private static func text(_ number: UInt64, chunks: UInt64 = 4) -> WorldContent {
        WorldContent(chunks: (0..<chunks).map { WorldContent.chunk(number * 100 + $0, count: 5000) })
    }

    private func check() throws -> StoreCheck { try StoreCheck(of: metadata, content) }

    private func place(of package: String) throws -> ReleaseRow {
        let id = try PackageID(city: node.city, path: package)
        return try #require(try metadata.read { try $0.releases(of: id) }.first)
    }

    /// The place of one of its chunks.
    private func chunk(of package: String) throws -> ChunkLocation {
        let row = try place(of: package)
        let entries = try IndexPage.decode(try content.body(at: row.pages[0]))
        return try #require(try metadata.read { try $0.chunkLocations(of: row.release.writer, [entries[0].id]) }[0])
    }

    private func flip(_ location: ContentLocation, byte: Int) {
        let digits = String(location.segment, radix: 16)
        node.disk.flipBit(
            "segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg", byte: Int(location.offset) + byte,
            bit: 3)
    }

    @Test func aStoreThatIsWholeIsFoundSo() throws {
        #expect(try check().isSound)
        for number in 1...5 { try node.publish("roads-\(number)", Self.text(UInt64(number))) }
        let check = try check()
        #expect(check.isSound, "\(check.findings)")
        #expect(check.releases == 5)
        #expect(check.chunks >= 20)
        #expect(check.records >= 20)
    }

    @Test func everyDamagedRecordIsNamedWithItsPackage() throws {
        for name in ["bikes", "roads", "trees", "water"] { try node.publish(name, Self.text(UInt64(name.utf8.count * 7))) }
        let before = [try place(of: "bikes").document, try place(of: "roads").pages[0], try place(of: "trees").table[0]]
        for place in before { flip(place, byte: 40) }
        flip(try chunk(of: "water").block, byte: 30)
        let check = try check()
        #expect(!check.isSound)
        #expect(Set(check.findings.compactMap { $0.package?.path }) == ["bikes", "roads", "trees", "water"], "\(check.findings)")
        // And the first damage in each segment is told by its place.
        #expect(check.findings.contains { $0.segment != nil && $0.offset != nil })
    }

    @Test func aSegmentThatIsGoneIsNamed() throws {
        try node.publish("roads", Self.text(1))
        let place = try chunk(of: "roads").block
        let digits = String(place.segment, radix: 16)
        try content.seal(.content)
        try node.disk.remove("segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg")
        let check = try StoreCheck(of: metadata, content)
        #expect(check.findings.contains { $0.segment == place.segment && $0.problem.contains("missing") }, "\(check.findings)")
        #expect(check.findings.contains { $0.package?.path == "roads" })
    }

    @Test func lostRowsOfChunksAreMadeAgainFromTheSegments() throws {
        for name in ["bikes", "roads"] { try node.publish(name, Self.text(UInt64(name.utf8.count * 7), chunks: 9)) }
        try metadata.transaction { database in (try database.execute(sql: "DELETE FROM chunk WHERE raw_offset > 0"), {}) }
        #expect(try check().findings.compactMap { $0.package?.path } == ["bikes", "roads"])
        let dry = try StoreRebuild(of: metadata, content, dryRun: true)
        #expect(dry.placed > 0 && dry.stillLost == 0)
        #expect(try !check().isSound)
        let rebuild = try StoreRebuild(of: metadata, content, dryRun: false)
        #expect(rebuild.placed == dry.placed)
        #expect(try check().isSound)
        // Again there is nothing to do.
        #expect(try StoreRebuild(of: metadata, content, dryRun: false).placed == 0)
    }

    /// What was written while it looked is durable before a row names it.
    @Test func aPlaceThatWasWrittenMeanwhileSurvivesACrash() throws {
        try node.publish("roads", Self.text(1))
        let lost = try chunk(of: "roads")
        let block = try content.block(at: lost.block)
        try content.seal(.content)
        // In a segment that takes more.
        try node.publish("bikes", Self.text(2))
        flip(lost.block, byte: 30)
        #expect(try check().findings.compactMap { $0.package?.path } == ["roads"])
        var calls = 0
        let dry = try StoreRebuild(of: metadata, content, dryRun: true) { _, _ in calls += 1 }
        #expect(dry.placed == 0)
        let first = calls - (try content.segments().count) + 1
        calls = 0
        let rebuild = try StoreRebuild(of: metadata, content, dryRun: false) { _, _ in
            calls += 1
            if calls >= first { _ = try content.append(block: block) }
        }
        #expect(rebuild.placed > 0 && rebuild.stillLost == 0)
        let place = try chunk(of: "roads").block
        #expect(place != lost.block)
        node.crash()
        let again = try SegmentStore.open(disk: node.disk, directory: "segments") { _ in .known(0) }.store
        #expect(try again.block(at: place) == block)
    }

    /// The same chunks are kept once for each city that served them: one copy's damage is the other's place.
    @Test func aDamagedChunkIsFoundInAnotherWholeRecord() throws {
        let agreement = try world.agree(0, 1)
        try world.nodes[1].grant(node.city, "auckland.nz/**", under: agreement)
        try world.nodes[1].publish("roads", Self.text(1))
        world.connect(0, 1)
        world.run(seconds: 60)
        try node.publish("mine", Self.text(1))
        #expect(try check().isSound)
        flip(try chunk(of: "mine").block, byte: 30)
        #expect(try check().findings.compactMap { $0.package?.path } == ["mine"])
        let rebuild = try StoreRebuild(of: metadata, content, dryRun: false)
        #expect(rebuild.placed > 0 && rebuild.stillLost == 0)
        // The damaged bytes are still told; the package can be handed out.
        let after = try check()
        #expect(after.findings.allSatisfy { $0.package == nil }, "\(after.findings)")
    }

    @Test func aReaderOfEverythingEndsWhenItIsToldTo() throws {
        struct Enough: Error {}
        try node.publish("roads", Self.text(1))
        #expect(throws: Enough.self) { _ = try StoreCheck(of: metadata, content) { _, _ in throw Enough() } }
    }

    @Test func whatPackagesShareIsCountedForEach() throws {
        try node.publish("bikes", Self.text(1))
        try node.publish("roads", Self.text(1, chunks: 6))
        try node.publish("trees", Self.text(9))
        let stats = try StoreStatistics(of: metadata, content)
        #expect(stats.packages.map(\.package.path) == ["bikes", "roads", "trees"])
        #expect(stats.packages.map(\.releases) == [1, 1, 1])
        #expect(stats.packages[0].sharedBytes >= 20_000)
        #expect(stats.packages[1].sharedBytes == stats.packages[0].sharedBytes)
        #expect(stats.packages[1].rawBytes >= stats.packages[0].rawBytes + 10_000)
        #expect(stats.packages.allSatisfy { $0.storedBytes > 0 && $0.bytes >= $0.rawBytes })
        #expect(stats.rawBytes + stats.packages[0].sharedBytes == stats.packages.reduce(0) { $0 + $1.rawBytes })
        #expect(stats.diskBytes > stats.storedBytes)
    }
}
