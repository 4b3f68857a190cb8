internal import Foundation
internal import Synchronization

/// A thread of its own for what is done now and then until the node ends: what it does is a loop around `pause` or `waitForWake`.
///
/// `start` once, then `wake` and `stop` from any thread but its own.
final class Worker: Sendable {
    private struct State {
        var isAwake = false
        var isStopping = false
        var isRunning = false
    }

    private let condition = NSCondition()
    private let state = Mutex(State())

    /// Runs the body on a thread of its own. It returns soon after `pause` or `waitForWake` gave false.
    func start(_ body: @escaping @Sendable (Worker) -> Void) {
        state.withLock { state in
            precondition(!state.isRunning && !state.isStopping, "a worker is started once")
            state.isRunning = true
        }
        Thread.detachNewThread {
            body(self)
            self.change { $0.isRunning = false }
        }
    }

    /// There is something to do. Counts also where nobody waits yet.
    func wake() { change { $0.isAwake = true } }

    /// Ends the waiting, and returns when the body has returned; at once where it was never started.
    func stop() {
        condition.lock()
        defer { condition.unlock() }
        state.withLock { $0.isStopping = true }
        condition.broadcast()
        while state.withLock({ $0.isRunning }) { condition.wait() }
    }

    // MARK: For the body

    /// Waits so long; `wake` does not end it. False, and at once, where the worker is being stopped.
    func pause(seconds: Double) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        return wait(seconds: seconds)
    }

    /// Waits for a `wake`, and so long after it, so that those that come with it are taken with it. False, and at once, where the worker is
    /// being stopped.
    func waitForWake(gatheringSeconds: Double) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        while !state.withLock({ $0.isAwake || $0.isStopping }) { condition.wait() }
        let goesOn = wait(seconds: gatheringSeconds)
        state.withLock { $0.isAwake = false }
        return goesOn
    }

    // MARK: Inside

    private func wait(seconds: Double) -> Bool {
        let due = Date(timeIntervalSinceNow: seconds)
        while !state.withLock({ $0.isStopping }), condition.wait(until: due) {}
        return !state.withLock { $0.isStopping }
    }

    private func change(_ body: (inout State) -> Void) {
        condition.lock()
        state.withLock { body(&$0) }
        condition.broadcast()
        condition.unlock()
    }
}
