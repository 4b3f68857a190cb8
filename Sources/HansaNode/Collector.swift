internal import HansaCore
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import Synchronization

/// Collection in a serving node, on a thread of its own: every hour where something waits for it, every day in any case. It reads, copies and deletes
/// at `limits.collectRate`: a disk that serves partners notices nothing.
final class Collector: Sendable {
    private static let lookSeconds = 10.0
    private static let dayMilliseconds: Int64 = 86_400_000

    private struct Stopped: Error {}

    private let node: Node
    private let worker = Worker()
    private let pace: StorePace

    init(_ node: Node, pace: StorePace) {
        self.node = node
        self.pace = pace
    }

    func start() { worker.start { _ in self.run() } }
    /// Waits for the batch that is being copied.
    func stop() { worker.stop() }

    private func run() {
        do { try node.checkLostSegments() } catch { node.storeFailed(error) }
        let (first, every) = (Int64(pace.firstSeconds * 1000), Int64(pace.everySeconds * 1000))
        var next = node.clock.now.adding(milliseconds: first)
        var lastWhole: Timestamp?
        while worker.pause(seconds: min(Collector.lookSeconds, pace.everySeconds)) {
            let now = node.clock.now
            // A clock that was set back by more than the pause would otherwise stop it for as long.
            guard now >= next || next.milliseconds - now.milliseconds > max(first, every) else { continue }
            next = now.adding(milliseconds: every)
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
    }

    private func collect(at now: Timestamp) throws {
        // A check or a rebuild reads places that must not move meanwhile: the next round does it.
        var owed: UInt64 = 0
        let bytesPerSecond = node.configuration.withLock { $0.limits.collectBytesPerSecond }
        let report = try node.surveying.withLockIfAvailable { _ in
            try node.collect(at: now, isAlone: false) { bytes in
                owed += bytes
                guard owed >= 1 << 20 || bytes == 0 else { return }
                let seconds = bytesPerSecond.map { Double(owed) / Double($0) } ?? 0
                guard self.worker.pause(seconds: seconds) else { throw Stopped() }
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
