// What a session keeps in memory for its partner, for those who check its bounds: the simulator.
internal import HansaCore

package struct PullLoad: Sendable, Equatable {
    package let outstanding: Int
    package let transfers: Int
    package let contentAskedBytes: Int
    package let documentBytes: Int
    package let indexBytes: Int
    /// Pages of feeds that are not done, over all views.
    package let openPages: Int
    /// Releases and raw bytes that are owed for transfers that ended; releases that the publisher had nothing of; rounds that were asked in.
    package let lateReleases: Int
    package let lateBytes: Int
    package let putOff: Int
    package let askedRounds: Int
    /// Places in the lines of what is to be asked for.
    package let queued: Int
    package let forkEvidence: Int
}

extension Puller {
    package var load: PullLoad {
        PullLoad(
            outstanding: outstandingCount, transfers: transfers.count, contentAskedBytes: contentAskedBytes,
            documentBytes: documentBytes, indexBytes: indexBytesAdmitted,
            openPages: views.values.reduce(0) { $0 + $1.pages.count }, lateReleases: late.count, lateBytes: late.bytes,
            putOff: putOffTimes.count, askedRounds: views.values.reduce(0) { $0 + $1.answers.count },
            queued: wantedQueue.count + smallQueue.count + indexOrder.count + contentOrder.count,
            forkEvidence: forkEvidence.count)
    }
}

extension Publisher {
    /// Runs of chunks, and indexes, that were asked for and are not handed out.
    package var queuedRuns: Int { queuedRunsCount + deltaQueue.reduce(0) { $0 + $1.runs.count } + smallQueue.count }
    package var queuedIndexAsks: Int { indexQueue.count }
}

extension Puller {
    /// What each listed release that is not settled waits for, for whoever looks for a fault: nothing among the words is one.
    package var waits: [String] {
        views.keys.sorted().flatMap { id in
            (views[id]?.pages.left.sorted() ?? []).map { release in
                let words: [String?] = [
                    wanted[release] == nil ? nil : "wanted", parked[release].map { "parked until \($0.until)" },
                    transfers[release] == nil ? nil : "transfer", settled.contains { $0.digest == release } ? "settled" : nil,
                    underWay[release].map { $0 == id ? "under way" : "under way in \($0.short)" },
                    waiting[release].map { "waiting in \($0.map(\.view.short).joined(separator: " "))" },
                    ready.contains { $0.release == release } ? "ready" : nil,
                ]
                return "\(id.short) \(release.short) \(words.compactMap(\.self).joined(separator: ", "))"
            }
        }
    }
}
