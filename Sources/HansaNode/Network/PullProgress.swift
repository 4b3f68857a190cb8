internal import HansaCore
internal import HansaSync

/// What a pulling session has reached, for `sync` and `status`.
struct PullProgress: Sendable, Equatable {
    var standings: [Digest: Puller.Standing] = [:]
    var isSettled = false
    /// What is not settled only waits for its time to come.
    var isOnlyParked = false
    /// Of these, what the publisher could not hand out.
    var putOff = 0
    /// Rounds begun in this session.
    var asks = 0
    var nextDue: Timestamp?
    var releasesReceived = 0
    var contentBytesReceived: UInt64 = 0
    var chunksHeld = 0
    var chunksTotal = 0

    init() {}

    init(_ puller: Puller) {
        standings = Dictionary(uniqueKeysWithValues: puller.standings.map { ($0.view, $0.standing) })
        isSettled = puller.isSettled
        isOnlyParked = puller.isOnlyParked
        putOff = puller.putOffCount
        nextDue = puller.nextDue
        releasesReceived = puller.releasesReceived
        contentBytesReceived = puller.contentBytesReceived
        (chunksHeld, chunksTotal) = puller.progress
    }

    /// Whether every view was found equal: a publisher that says there is none is not (SYNC.md §8, S13).
    var isEqual: Bool { isSettled && standings.values.allSatisfy { $0 == .equal } }

    /// The same for the views that there should be, whatever the session met before.
    func isEqual(in views: [Digest]) -> Bool { isSettled && views.allSatisfy { standings[$0] == .equal } }

    /// Whether nothing but counts of bytes and chunks differs.
    func isOnlyFurther(than before: PullProgress) -> Bool {
        var same = self
        same.contentBytesReceived = before.contentBytesReceived
        same.chunksHeld = before.chunksHeld
        same.chunksTotal = before.chunksTotal
        return same == before
    }
}
