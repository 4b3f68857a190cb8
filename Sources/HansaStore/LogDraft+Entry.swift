package import HansaCore
internal import HansaLog
package import HansaSync

extension LogDraft {
    /// The entry's bytes. Throws `.logUnavailable` when it is too long: what cannot be logged is not done.
    package func entry(index: UInt64, at now: Timestamp, salt: [UInt8]) throws(StoreFault) -> [UInt8] {
        let entry = LogEntry(
            index: LeafIndex(index), time: now, event: event, outcome: outcome, actor: actor, partner: partner, package: package,
            release: release, agreement: agreement, clause: clause, grant: grant, transfer: transfer, reason: reason,
            details: details, salt: salt)
        do { return try entry.encoded() } catch { throw .logUnavailable(error.description) }
    }
}
