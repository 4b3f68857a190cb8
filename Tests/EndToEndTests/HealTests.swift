// Bits that flip on the disk of a city: each is found, and what it damaged comes back from whoever has it.
import Foundation
import Testing

extension EndToEndTests {
    struct HealTests {
        /// How many bits are flipped at each city. The bar is 100.
        private static let flips = ProcessInfo.processInfo.environment["HANSA_FLIPS"].flatMap { Int($0) } ?? 6
        /// One segment is sealed with it.
        private static let datasetBytes = 70 * 1000 * 1000

        private struct Flip {
            let file: URL
            let byte: UInt64
            let bit: UInt8

            var value: UInt8 {
                get throws {
                    let handle = try FileHandle(forReadingFrom: file)
                    defer { try? handle.close() }
                    try handle.seek(toOffset: byte)
                    return try #require(try handle.read(upToCount: 1)?.first)
                }
            }

            func apply() throws {
                let handle = try FileHandle(forUpdating: file)
                defer { try? handle.close() }
                try handle.seek(toOffset: byte)
                var value = try #require(try handle.read(upToCount: 1)?.first)
                value ^= 1 << bit
                try handle.seek(toOffset: byte)
                try handle.write(contentsOf: Data([value]))
            }
        }

        /// Places over all segments, by their bytes.
        private static func places(_ count: Int, in city: City, _ random: inout SeededBytes) throws -> [Flip] {
            let segments = city.home.appending(path: "segments")
            let files = try FileManager.default.contentsOfDirectory(atPath: segments.path).filter { $0.hasSuffix(".seg") }
                .sorted()
                .map { segments.appending(path: $0) }
            let sizes = try files.map { try ($0.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0) }
            let total = sizes.reduce(0, +)
            return (0..<count).map { _ in
                var place = Int(random.next() % UInt64(total))
                var index = 0
                while place >= sizes[index] {
                    place -= sizes[index]
                    index += 1
                }
                return Flip(file: files[index], byte: UInt64(place), bit: UInt8(random.next() % 8))
            }
        }

        private static func check(_ city: City) throws -> Document {
            try city.run(["store", "check", "--json"], seconds: 120).json
        }

        @Test func flippedBitsAreFoundAndHealedFromThePartner() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            var random = SeededBytes(seed: UInt64.random(in: 0 ... .max))
            let seed = random.seed
            let source = world.directory.appending(path: "source")
            try FileManager.default.createDirectory(at: source, withIntermediateDirectories: false)
            try random.write(Self.datasetBytes, to: source.appending(path: "measurements.bin"))
            let table = (0..<40_000).map { "\($0),station \($0 % 97),\($0 * 7919 % 100_003)" }.joined(separator: "\n")
            try ("id,station,reading\n" + table + "\n").write(
                to: source.appending(path: "readings.csv"), atomically: true, encoding: .utf8)
            try auckland.hansa(["package", "publish", source.path, "--name", "measurements"], seconds: 300)
            try london.hansa(["sync", "auckland.nz", "--wait"], seconds: 300)
            try eventually("auckland has the receipt", within: 60) { try auckland.events().contains("receipt.received") }

            // First the recipient's disk, then the publisher's: each is healed from the other.
            for city in [london, auckland] {
                try city.stop()
                let flips = try Self.places(Self.flips, in: city, &random)
                for flip in flips {
                    let before = try flip.value
                    try flip.apply()
                    let size = try flip.file.resourceValues(forKeys: [.fileSizeKey]).fileSize
                    let found = try Self.check(city)
                    let after = try URL(filePath: flip.file.path).resourceValues(forKeys: [.fileSizeKey]).fileSize
                    // A header, a damaged end that no row names, or a list of records, is made anew when the store is opened or checked.
                    let isMended = try size != after || flip.value == before
                    #expect(
                        found["findingsCount"].integer ?? 0 > 0 || isMended,
                        "\(city.id): byte \(flip.byte) of \(flip.file.lastPathComponent) is not found; seed \(seed)")
                    if !isMended { try flip.apply() }
                }
                for flip in flips { try flip.apply() }
                let damaged = try Self.check(city)
                #expect(damaged["valid"].bool == false || Self.flips < 3, "seed \(seed)")
                try city.serve()
                try eventually("\(city.id) is whole again; seed \(seed)", within: 240) {
                    try Self.check(city)["valid"].bool == true
                }
                #expect(try city.events().contains("content.healed"), "seed \(seed)")
                let out = world.directory.appending(path: "out-\(city.id)")
                try city.hansa(["package", "checkout", "auckland.nz/measurements", out.path, "--payload"], seconds: 120)
                for name in ["measurements.bin", "readings.csv"] {
                    #expect(
                        FileManager.default.contentsEqual(
                            atPath: source.appending(path: name).path, andPath: out.appending(path: name).path),
                        "\(name) at \(city.id); seed \(seed)")
                }
                try city.expectSoundLog()
            }
        }

        @Test func whatNobodyElseHasIsHealedByPublishingItsDirectoryAgain() throws {
            let world = try World()
            let lone = try world.city("auckland.nz", serves: false)
            let source = world.directory.appending(path: "source")
            try FileManager.default.createDirectory(at: source, withIntermediateDirectories: false)
            var random = SeededBytes(seed: UInt64.random(in: 0 ... .max))
            try random.write(3_000_000, to: source.appending(path: "measurements.bin"))
            try lone.hansa(["package", "publish", source.path, "--name", "measurements"])
            let before = try lone.version(of: "auckland.nz/measurements")
            let flips = try Self.places(4, in: lone, &random).filter { $0.file.lastPathComponent == "00000001.seg" }
            for flip in flips { try flip.apply() }
            guard try Self.check(lone)["valid"].bool == false else { return }
            let out = world.directory.appending(path: "out")
            let refused = try lone.run(["package", "checkout", "auckland.nz/measurements", out.path, "--payload"])
            #expect(refused.status != 0)
            #expect(refused.description.contains("publish its directory again"), "\(refused)")
            #expect(try lone.hansa(["status"]).output.contains("cannot be read in part"))
            try lone.hansa(["package", "publish", source.path, "--name", "measurements"])
            #expect(try lone.version(of: "auckland.nz/measurements") == before)
            #expect(try Self.check(lone)["valid"].bool == true)
            try lone.hansa(["package", "checkout", "auckland.nz/measurements", out.path, "--payload"])
            #expect(
                FileManager.default.contentsEqual(
                    atPath: source.appending(path: "measurements.bin").path, andPath: out.appending(path: "measurements.bin").path
                ))
        }
    }
}
