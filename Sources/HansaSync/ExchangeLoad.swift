// What a session keeps in memory for its partner, for those who check its bounds: the simulator.
internal import HansaCore

package struct PullLoad: Sendable, Equatable {
    package let outstanding: Int
    package let transfers: Int
    package let contentAskedBytes: Int
    package let documentBytes: Int
    package let indexBytes: Int
}

extension Puller {
    package var load: PullLoad {
        PullLoad(
            outstanding: outstandingCount, transfers: transfers.count, contentAskedBytes: contentAskedBytes,
            documentBytes: documentBytes, indexBytes: indexBytesAdmitted)
    }
}

extension Publisher {
    /// Runs of chunks, and indexes, that were asked for and are not handed out.
    package var queuedRuns: Int { queuedRunsCount + deltaQueue.reduce(0) { $0 + $1.runs.count } + smallQueue.count }
    package var queuedIndexAsks: Int { indexQueue.count }
}
