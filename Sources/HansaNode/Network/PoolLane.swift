internal import Foundation
internal import HansaSync
internal import NIOPosix

/// A lane on the process's pool of threads, of which it takes one while there is something to do.
///
/// What runs on it only computes and waits for nobody, so the pool's threads always come free.
final class PoolLane: WorkLane, @unchecked Sendable {
    // @unchecked: the state below is read and written under `condition` alone.

    /// What may be under way: a few blocks, so that neither end of the lane waits for the other at each.
    private static let bytesMax = 8 << 20
    /// Less than this is done at once, when the lane is free: another thread would cost more.
    private static let bytesMin = 64 << 10

    private let condition = NSCondition()
    private var queue: [(bytes: Int, work: @Sendable () -> Void)] = []
    private var bytesPending = 0
    private var isRunning = false

    func run(bytes: Int, _ work: @escaping @Sendable () -> Void) {
        condition.lock()
        if !isRunning, bytes < PoolLane.bytesMin {
            condition.unlock()
            return work()
        }
        while bytesPending > 0, bytesPending + bytes > PoolLane.bytesMax { condition.wait() }
        queue.append((bytes, work))
        bytesPending += bytes
        let begins = !isRunning
        isRunning = true
        condition.unlock()
        // The pool is the process's and never shut down.
        if begins { NIOThreadPool.singleton.submit { [self] _ in drain() } }
    }

    func wait() {
        condition.lock()
        while isRunning { condition.wait() }
        condition.unlock()
    }

    private func drain() {
        condition.lock()
        while !queue.isEmpty {
            let next = queue.removeFirst()
            condition.unlock()
            next.work()
            condition.lock()
            bytesPending -= next.bytes
            condition.broadcast()
        }
        isRunning = false
        condition.broadcast()
        condition.unlock()
    }
}
