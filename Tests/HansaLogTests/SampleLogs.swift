import Foundation
import HansaLog
import Testing

/// Writes logs for the check by foreign tools (`Tests/Foreign/check_log.sh`): below $HANSA_SAMPLES/log, when that is set.
@Suite struct SampleLogs {
    static let directory = ProcessInfo.processInfo.environment["HANSA_SAMPLES"]

    @Test(.enabled(if: directory != nil, "HANSA_SAMPLES names no directory"))
    func sampleLogsAreWrittenForForeignTools() throws {
        let root = URL(fileURLWithPath: try #require(Self.directory)).appendingPathComponent("log")
        for (name, steps) in [("empty", [0]), ("one", [1]), ("grown", [1, 69, 186, 1, 300]), ("levels", [65_536, 464])] {
            let (storage, _) = try Sample.log(growing: steps)
            for (path, bytes) in storage.files {
                let file = root.appendingPathComponent(name).appendingPathComponent(path)
                try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(bytes).write(to: file)
            }
            try Data(Sample.signer().verifierKey.text.utf8).write(
                to: root.appendingPathComponent(name).appendingPathComponent("vkey"))
        }
    }
}
