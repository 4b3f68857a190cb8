// Transcripts: what a person would see, command by command, in Transcripts/*.txt.
//
// `$ hansa …` is a command; the lines after it are its stdout, those with `2| ` in front its stderr, `? N` its exit code when not 0. `$ cat FILE`
// shows a file. A first line `# no node` leaves the home away. $DIR is the working directory. HANSA_RECORD_TRANSCRIPTS=1 writes what is
// printed now; look at the difference before it is committed.
import Foundation
import HansaCore
import Testing

@testable import HansaAPI

struct TranscriptTests {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
        "Transcripts")

    static let names: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []).filter { $0.hasSuffix(".txt") }.sorted()

    @Test func transcriptsAreThere() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names) func aTranscriptIsWhatIsPrinted(name: String) throws {
        let file = Self.directory.appendingPathComponent(name)
        let expected = try String(contentsOf: file, encoding: .utf8)
        let harness = try CommandLineHarness(serving: !expected.hasPrefix("# no node"))
        var printed = ""
        for line in expected.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("#") { printed += line + "\n" }
            guard line.hasPrefix("$ ") else { continue }
            if !printed.isEmpty, !printed.hasSuffix("\n\n") { printed += "\n" }
            printed +=
                line + "\n"
                + (try Self.run(Self.words(String(line.dropFirst(2))), harness)).replacing(harness.directory, with: "$DIR")
        }
        if ProcessInfo.processInfo.environment["HANSA_RECORD_TRANSCRIPTS"] == "1" {
            try printed.write(to: file, atomically: true, encoding: .utf8)
        } else {
            #expect(printed == expected, "\(name)")
        }
    }

    private static func run(_ words: [String], _ harness: CommandLineHarness) throws -> String {
        if words.first == "cat" { return harness.text(words.last ?? "") ?? "(no such file)\n" }
        let result = try harness.run(Array(words.dropFirst()))
        var text = result.standardOutput
        if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        for line in result.standardError.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            text += "2| \(line)\n"
        }
        return text + (result.status == 0 ? "" : "? \(result.status)\n")
    }

    /// Words as a shell splits them, with single and double quotes.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var quote: Character?
        var started = false
        for character in line {
            if let open = quote {
                if character == open { quote = nil } else { word.append(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                started = true
            } else if character == " " {
                if started { words.append(word) }
                word = ""
                started = false
            } else {
                word.append(character)
                started = true
            }
        }
        return started ? words + [word] : words
    }
}
