internal import Foundation
internal import HansaLog
internal import HansaStore
internal import Logging
internal import Synchronization

/// Carries committed entries into tiles and a signed checkpoint on a thread of its own: soon after commits, not for each of them.
final class LogKeeper: Sendable {
    /// Each growth writes the right edge of the tree and the index anew, whether for one entry or for a thousand.
    private static let delaySeconds = 0.2

    private let service: LogService
    private let log: Logger
    private let condition = NSCondition()
    private struct State {
        var isWaiting = false
        var isStopping = false
        var hasEnded = false
    }
    private let state = Mutex(State())

    init(_ service: LogService, _ log: Logger) {
        self.service = service
        self.log = log
        Thread.detachNewThread { self.run() }
    }

    /// Entries were committed.
    func wake() {
        condition.lock()
        state.withLock { $0.isWaiting = true }
        condition.broadcast()
        condition.unlock()
    }

    /// Ends the thread after a last advance; returns when it has ended.
    func stop() {
        condition.lock()
        state.withLock { $0.isStopping = true }
        condition.broadcast()
        while !state.withLock({ $0.hasEnded }) { condition.wait() }
        condition.unlock()
    }

    private func run() {
        while true {
            condition.lock()
            while !state.withLock({ $0.isWaiting || $0.isStopping }) { condition.wait() }
            // A little later there are more entries, and one checkpoint covers them all.
            // Further commits wake this thread too, and do not end its wait.
            let due = Date(timeIntervalSinceNow: LogKeeper.delaySeconds)
            while !state.withLock({ $0.isStopping }), condition.wait(until: due) {}
            let isLast = state.withLock { state in
                state.isWaiting = false
                return state.isStopping
            }
            condition.unlock()
            do { try service.advance() } catch { log.error("the log could not be carried on", metadata: ["error": "\(error)"]) }
            if isLast { break }
        }
        condition.lock()
        state.withLock { $0.hasEnded = true }
        condition.broadcast()
        condition.unlock()
    }
}
