import Foundation
import HansaContent
import HansaCore
import HansaCrypto
import HansaPackages
import HansaStore
import HansaSync
import Testing

@testable import HansaNode

/// A large file that is taken in on all cores comes out as one that is read chunk by chunk.
@Suite struct FileIntakeTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func reader(_ name: String) throws -> FileReader {
        try FileReader(open(data.path + "/" + name, O_RDONLY), path: name)
    }

    /// The windows of a package that begins with tag files, as they are handed on.
    private final class Windows {
        var taken: [PackageContent.Window] = []
        lazy var content = PackageContent(reserving: 0) { [unowned self] in taken += $0.takeWindows() }
        func end() { taken += content.takeWindows() }
    }

    @Test(arguments: ["table.csv", "photo.bin"], [0, 1, 2])
    func windowsChunksAndDigestAreTheSame(name: String, seed: Int) throws {
        var random = SystemRandomNumberGenerator()
        let printed = UInt64.random(in: 0...UInt64.max, using: &random)
        var state = printed
        let size = [FileIntake.bytesMin, FileIntake.bytesMin + 1, 11 << 20][seed]
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            for index in buffer.indices {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                buffer[index] = name.hasSuffix("csv") ? (index % 50 == 49 ? 0x0A : 0x20 + UInt8(state >> 59)) : UInt8(state >> 56)
            }
            count = Int(size)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: data.path + "/" + name))
        let tag = [UInt8](repeating: 7, count: 55)

        let (one, other) = (Windows(), Windows())
        for windows in [one, other] { for _ in 0..<2 { _ = try tag.withUnsafeBytes { try windows.content.add($0) } } }
        let read = try FileIntake(reader(name), path: name, into: one.content, nil, memory: nil).run {}
        var chunks: [ChunkEntry] = []
        var profile: ChunkProfile?
        _ = try ChunkReader().read(
            reader(name), path: name,
            profile: { probe in
                profile = .choose(fileName: name, size: size, probe: probe.prefix(ChunkProfile.probeBytes))
                return profile ?? .fastcdc64k
            }, piece: { _ in }, chunk: { bytes, _ in chunks.append(try other.content.add(bytes)) })
        for windows in [one, other] {
            for _ in 0..<3 { _ = try tag.withUnsafeBytes { try windows.content.add($0) } }
            windows.end()
        }
        #expect(read.size == size && read.profile == profile && read.digest == SHA256.hash(bytes), "seed \(printed)")
        #expect(Array(read.chunks) == chunks && chunks.count > 16, "seed \(printed)")
        #expect(one.taken.map(\.chunks) == other.taken.map(\.chunks), "seed \(printed)")
        #expect(one.taken.map(\.raw) == other.taken.map(\.raw), "seed \(printed)")
        #expect(one.content.counts == other.content.counts)
        #expect(one.taken.allSatisfy { $0.raw.count <= Limits.blockRawBytesMax })
    }

    @Test func whoGivesUpLeavesNothingBehindThatIsWaitedFor() throws {
        struct Fault: Error {}
        try Data([UInt8](repeating: 0x61, count: 8 << 20)).write(to: URL(fileURLWithPath: data.path + "/a.csv"))
        let windows = Windows()
        let inference = FileInference(path: "a.csv", size: 8 << 20)
        var calls = 0
        #expect(throws: Fault.self) {
            try FileIntake(reader("a.csv"), path: "a.csv", into: windows.content, inference, memory: nil).run {
                calls += 1
                if calls == 3 { throw Fault() }
            }
        }
    }

    // MARK: Long tables

    private static let header = "district,count\n"
    /// More rows than a key is looked for in.
    private static let rows: [String] = (0..<1_060_000).map { "\($0 % 97),\($0 % 8)\n" }

    private func publish(_ text: [String], at home: TestHome) throws -> (row: JSONValue, schema: JSONValue?) {
        try data.write("counts/x.csv", Self.header + text.joined())
        let row = try home.publish([data.path + "/counts"])
        let target = Folder()
        try home.checkout("kitchener.ca/counts", into: target)
        #expect(try home.verify(target.path)["valid"] == true)
        let document = try JSONDecoder().decode(JSONValue.self, from: Data((target.text("datapackage.json") ?? "").utf8))
        return (row, document["resources"]?.array?.first?["schema"])
    }

    @Test func theNextVersionOfALongTableIsToldByWhatChanged() throws {
        var rows = Self.rows
        _ = try publish(rows, at: home)
        let package = try PackageID("kitchener.ca/counts")
        let noted = try home.node.metadata.read { try $0.value(TableMemory.name(package)) }
        #expect(noted.map { $0.count < 10_000 } == true)
        let memory = try #require(TableMemory(home.node, package, path: "data/x.csv"))
        #expect(memory.delimiter == UInt8(ascii: ","))
        #expect(TableMemory(home.node, package, path: "data/y.csv") == nil)
        // A row on top, one that makes its column text, and the same taken back: as a city that never saw the versions before tells them.
        for (version, edit) in [(0, "5,7\n"), (1, "6,many\n"), (2, "6,2.5\n")] {
            if version == 0 { rows.insert(edit, at: 0) } else { rows[500_000] = edit }
            let (row, schema) = try publish(rows, at: home)
            #expect((row["newChunks"]?.integer ?? 99) < 9)
            let fresh = try TestHome("kitchener.ca", "City of Kitchener")
            #expect(try publish(rows, at: fresh).schema == schema)
            #expect(schema?["fields"]?.array?.last?["type"]?.string == ["integer", "string", "number"][version])
        }
        _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/counts", reason: "a test", dryRun: false)
        #expect(TableMemory(home.node, package, path: "data/x.csv") == nil)
    }
}
