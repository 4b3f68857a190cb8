internal import Foundation
internal import HansaCore
internal import Logging
internal import Synchronization

/// What a command without a node has to say besides its result: each warning once, as commands write theirs.
struct CommandLog: LogHandler {
    /// Only what is wrong: the operational log is the serving node's.
    var logLevel: Logger.Level = .error
    var metadata: Logger.Metadata = [:]
    private let said = Said()

    private final class Said: Sendable {
        let texts = Mutex<Set<String>>([])
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    static func logger() -> Logger { Logger(label: "hansa") { _ in CommandLog() } }

    func log(event: LogEvent) {
        let text = "\(event.message)"
        guard said.texts.withLock({ $0.insert(text).inserted }) else { return }
        let details = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }.map { "\($0): \($1)" }
        let line = details.isEmpty ? text : "\(text) (\(details.joined(separator: ", ")))"
        FileHandle.standardError.write(Data("warning: \(line.printable(charactersMax: 2000))\n".utf8))
    }
}
