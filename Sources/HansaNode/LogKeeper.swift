internal import HansaLog
internal import HansaStore
internal import Logging

/// Carries committed entries into tiles and a signed checkpoint on a thread of its own: soon after commits, not for each of them.
final class LogKeeper: Sendable {
    /// Each growth writes the right edge of the tree and the index anew, whether for one entry or for a thousand.
    private static let delaySeconds = 0.2

    private let service: LogService
    private let log: Logger
    private let worker = Worker()

    init(_ service: LogService, _ log: Logger) {
        self.service = service
        self.log = log
        worker.start { worker in
            // A little after the first there are more entries, and one checkpoint covers them all.
            while worker.waitForWake(gatheringSeconds: LogKeeper.delaySeconds) { self.advance() }
            self.advance()
        }
    }

    /// Entries were committed.
    func wake() { worker.wake() }

    /// Ends the thread after a last advance; returns when it has ended.
    func stop() { worker.stop() }

    private func advance() {
        do { try service.advance() } catch { log.error("the log could not be carried on", metadata: ["error": "\(error)"]) }
    }
}
