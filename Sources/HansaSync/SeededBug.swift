// Bugs that a build can carry to see whether the simulator finds them: `make simulate-bugs`. They are there only in a build with HANSA_SEEDED_BUGS=1
// in its environment; in every other one `isOn` is false before the optimiser looks.
#if HANSA_SEEDED_BUGS
    internal import Synchronization
#endif

/// What is left out or done wrong where the exchange asks `isOn`.
public enum SeededBug: String, CaseIterable, Sendable {
    /// A commit does not wait until its bytes are durable.
    case droppedFsync
    /// Marks of chunks are written before the chunks are durable.
    case marksBeforeFsync
    /// A withdrawal is acknowledged before its document is durable.
    case withdrawalBeforeFsync
    /// The cursor moves when a page comes, not when it is done.
    case cursorBeforeCommit
    /// A publisher hands out what left the view.
    case skippedPolicyCheck
    /// A publisher looks for the release, and not for whose view it is.
    case anyonesView
    /// A recipient does not compare a release with the agreement.
    case skippedTerms
    case skippedSignature
    /// Two releases of one number are both taken.
    case forkAccepted
    /// A withdrawal ends nothing of what is held.
    case forgottenWithdrawal
    /// What was withdrawn is taken when its content was under way.
    case resurrection
    /// A page begins one place too late.
    case offByOneFeed
    /// The last chunk of a run that takes several frames is not sent.
    case offByOneRange
    /// A stored block goes out as it lies when it begins with what was asked for.
    case storedBlockWithNeighbours
    /// Chunks that came from others are not asked for.
    case dedupAcrossPublishers
    /// Chunks are marked before they are compared with their ids.
    case marksBeforeCheck
    /// The end of a membership is not looked at when content is asked for.
    case expiredMembershipServed
    /// A feed does not look at the clock for memberships that have run out.
    case lateClockNotChecked
    case transferNumberReused
    /// Refused releases do not count in the digest.
    case refusedLeftOut
    case dropNotApplied
    /// A new level changes the row and not the digest.
    case levelNotMoved
    /// Content that is queued goes out whatever was revoked meanwhile.
    case revocationNotForQueue
    /// Releases are offered, and the log does not say so.
    case offeredWithoutLog
    /// Documents leave the outbox when they are sent, not when they have arrived.
    case outboxForgotten
    /// After a whole list, what was not in it stays.
    case resetKeepsRest
    /// The index of a small release that came with its content is not compared with the signed one.
    case smallUnverified
    /// Chunks that come to heal are not compared with their ids, nor the files with theirs.
    case healingUnchecked
    /// What came to heal is counted, and not where it lies.
    case healedWithoutPlaces
    /// What has come of a transfer that is not done is collected.
    case collectionForgetsTransfers

    #if HANSA_SEEDED_BUGS
        package static let isBuiltIn = true
        private static let active = Atomic<Int>(-1)

        package static func set(_ bug: SeededBug?) {
            active.store(bug.flatMap { SeededBug.allCases.firstIndex(of: $0) } ?? -1, ordering: .relaxed)
        }

        package static func isOn(_ bug: SeededBug) -> Bool {
            let number = active.load(ordering: .relaxed)
            return number >= 0 && SeededBug.allCases[number] == bug
        }
    #else
        package static let isBuiltIn = false
        package static func set(_ bug: SeededBug?) {}
        @inline(__always) package static func isOn(_ bug: SeededBug) -> Bool { false }
    #endif
}
