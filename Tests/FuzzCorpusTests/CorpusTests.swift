import Foundation
import FuzzTargets
import Testing

/// What `make fuzz` begins with and what it found, through the same entry points, in every test run. A file of the corpus that traps here ends the
/// process: its name stands in the line that the test printed last.
@Suite struct CorpusTests {
    static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
        path: "Fuzz/Corpus")

    @Test(arguments: FuzzTarget.allCases) func everyFileOfTheCorpusIsReadOrRefused(_ target: FuzzTarget) throws {
        let directory = Self.corpus.appending(path: target.rawValue)
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
        #expect(!names.isEmpty, "Tests/Fuzz/seeds writes the corpus")
        for name in names {
            let bytes = [UInt8](try Data(contentsOf: directory.appending(path: name)))
            do { try target.run(bytes) } catch { Issue.record("\(target.rawValue)/\(name): \(error)") }
        }
    }

    /// A frame that changed, or a new one, is where faults are.
    @Test func everyExampleOfAFrameIsInTheCorpus() throws {
        struct Example: Decodable { let name, hex: String }
        let vectors = Self.corpus.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/frames.json")
        let examples = try JSONDecoder().decode([Example].self, from: Data(contentsOf: vectors))
        #expect(!examples.isEmpty)
        for example in examples {
            let name = example.name.replacing(" ", with: "-").replacing(",", with: "")
            let bytes = try? Data(contentsOf: Self.corpus.appending(path: "frame/\(name)"))
            #expect(bytes?.map { String(format: "%02x", $0) }.joined() == example.hex, "\(name): run Tests/Fuzz/seeds")
        }
    }

    /// Each file cut short, and with single bytes changed: the cheapest inventions, without a fuzzer.
    @Test(arguments: FuzzTarget.allCases) func damagedFilesOfTheCorpusAreReadOrRefused(_ target: FuzzTarget) throws {
        let directory = Self.corpus.appending(path: target.rawValue)
        for (place, name) in try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted().enumerated() {
            let bytes = [UInt8](try Data(contentsOf: directory.appending(path: name)))
            guard !bytes.isEmpty, bytes.count <= 4096 else { continue }
            var random = UInt64(place + 1)
            for _ in 0..<24 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let at = Int(random >> 33) % bytes.count
                var changed = bytes
                changed[at] ^= 1 << UInt8(truncatingIfNeeded: random >> 29 & 7)
                for input in [Array(bytes[..<at]), changed] {
                    do { try target.run(input) } catch {
                        Issue.record("\(target.rawValue)/\(name), cut or changed at \(at), seed \(place + 1): \(error)")
                    }
                }
            }
        }
    }
}
