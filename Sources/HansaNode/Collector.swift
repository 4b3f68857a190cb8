internal import Foundation
internal import HansaCore
internal import HansaStore
internal import HansaSync
internal import Logging
internal import Synchronization

/// Collection in a serving node, on a thread of its own: every hour where something waits for it, every day in any case.
final class Collector: Sendable {
    /// Not at once: a node that starts has better things to do.
    private static let firstMilliseconds: Int64 = 600_000
    private static let hourMilliseconds: Int64 = 3_600_000
    private static let dayMilliseconds: Int64 = 86_400_000
    /// Read, copied and deleted: a disk that serves partners notices nothing.
    private static let bytesPerSecond = 32.0e6

    private struct Stopped: Error {}

    private let node: Node
    private let condition = NSCondition()
    private let state = Mutex((isStopping: false, hasEnded: true))

    init(_ node: Node) { self.node = node }

    func start() {
        state.withLock { $0.hasEnded = false }
        Thread.detachNewThread { self.run() }
    }

    /// Waits for the batch that is being copied.
    func stop() {
        condition.lock()
        state.withLock { $0.isStopping = true }
        condition.broadcast()
        while !state.withLock({ $0.hasEnded }) { condition.wait() }
        condition.unlock()
    }

    /// False where the node stops meanwhile.
    private func pause(seconds: Double) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        if !state.withLock({ $0.isStopping }) { _ = condition.wait(until: Date(timeIntervalSinceNow: seconds)) }
        return !state.withLock { $0.isStopping }
    }

    private func run() {
        var next = node.clock.now.adding(milliseconds: Collector.firstMilliseconds)
        var lastWhole: Timestamp?
        while pause(seconds: 10) {
            let now = node.clock.now
            // A clock that was set back by more than the pause would otherwise stop it for as long.
            guard now >= next || next.milliseconds - now.milliseconds > Collector.hourMilliseconds else { continue }
            next = now.adding(milliseconds: Collector.hourMilliseconds)
            do {
                let isWhole =
                    lastWhole.map { now.milliseconds - $0.milliseconds >= Collector.dayMilliseconds || now < $0 } ?? true
                guard try isWhole || node.collection.hasWork() else { continue }
                lastWhole = now
                try collect(at: now)
            } catch is Stopped {
                continue
            } catch {
                node.storeFailed(error)
            }
        }
        condition.lock()
        state.withLock { $0.hasEnded = true }
        condition.broadcast()
        condition.unlock()
    }

    private func collect(at now: Timestamp) throws {
        // A check or a rebuild reads places that must not move meanwhile: the next round does it.
        var owed: UInt64 = 0
        let report = try node.surveying.withLockIfAvailable { _ in
            try node.collect(at: now, isAlone: false) { bytes in
                owed += bytes
                guard owed >= 1 << 20 || bytes == 0 else { return }
                guard self.pause(seconds: Double(owed) / Collector.bytesPerSecond) else { throw Stopped() }
                owed = 0
            }
        }
        guard let report, report.hasChanged || !report.damaged.isEmpty else { return }
        node.log.info(
            "collected",
            metadata: [
                "releases": "\(report.releasesGivenUp)", "chunks": "\(report.chunksSwept)",
                "segments": "\(report.segmentsRewritten)",
                "bytesFreed": "\(report.bytesFreed)", "bytesDeleted": "\(report.bytesDeleted)",
                "bytesCopied": "\(report.bytesCopied)",
            ])
        for place in report.damaged.prefix(10) {
            node.log.warning(
                "a damaged record is needed, and its segment stays",
                metadata: ["segment": "\(place.segment)", "offset": "\(place.offset)"])
        }
    }
}

extension Node {
    /// One pass. The caller holds `surveying`.
    func collect(at now: Timestamp, isAlone: Bool, proceed: (UInt64) throws -> Void) throws -> StoreCollection.Report {
        let report = try collection.run(
            at: now, isAlone: isAlone,
            unlessPublishing: { sweep in try publishing.withLockIfAvailable { _ in try sweep() } != nil }, proceed: proceed)
        keeper.wake()
        return report
    }
}
