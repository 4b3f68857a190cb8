internal import Foundation
internal import HansaCore
internal import Logging
internal import Synchronization

/// The operational log: one line an event on stderr, RFC 3339 UTC first, then level, message and `key=value`; systemd's journal keeps it.
/// Text from outside is made printable, so that a partner's name cannot draw on a terminal.
struct StructuredLog: LogHandler {
    /// One for all copies of a logger: `logLevel` of hansa.yaml counts as soon as it is read again.
    var logLevel: Logger.Level {
        get { level.value.withLock { $0 } }
        set { level.value.withLock { $0 = newValue } }
    }
    var metadata: Logger.Metadata = [:]
    private let level = Level()

    private final class Level: Sendable {
        let value = Mutex<Logger.Level>(.info)
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = "\(SystemClock().now) \(event.level) \("\(event.message)".printable(charactersMax: 500))"
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for key in all.keys.sorted() {
            let value = (all[key].map { "\($0)" } ?? "").printable(charactersMax: 2000)
            line +=
                " \(key)="
                + (value.contains(" ") || value.contains("\"") || value.isEmpty
                    ? "\"" + value.replacingOccurrences(of: "\"", with: "'") + "\"" : value)
        }
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
