/// Why the log stops. None of these is retried: the node says so and ends, for a log that goes on after one of them could
/// contradict itself.
public enum LogFault: Error, Sendable, CustomStringConvertible {
    /// Reading or writing failed.
    case storage(path: String, cause: any Error)
    /// The checkpoint on disk is not ours, or not whole.
    case badCheckpoint(NoteFault)
    /// No checkpoint, though entries below this index have left the table: a file of the log was lost.
    case checkpointMissing(first: LeafIndex)
    /// The checkpoint counts entries that the database never gave out: the database is older than the log.
    case aheadOfTable(checkpoint: TreeSize, next: LeafIndex)
    /// Entries between checkpoint and table are gone: the log on disk is older than the database.
    case entriesLost(checkpoint: TreeSize, first: LeafIndex)
    /// A file is missing or is not what the checkpoint says.
    case damaged(path: String, why: String)
    /// The table holds another entry than the log at this index: two histories.
    case forked(LeafIndex)
    /// The caller's entries are not in sequence.
    case outOfOrder(expected: LeafIndex, found: LeafIndex)
    case entryTooLong(LeafIndex, bytes: Int)
    /// Someone else wrote the checkpoint since we did: another process on this home, or a hand.
    case checkpointReplaced
    /// What was written does not extend the last checkpoint; it was not signed.
    case inconsistent(from: TreeSize, to: TreeSize)
    /// An earlier call failed.
    case stopped

    public var description: String {
        switch self {
        case .storage(let path, let cause): "cannot read or write \(path) of the log: \(cause)"
        case .badCheckpoint(let fault): "the log's checkpoint cannot be trusted: \(fault)"
        case .checkpointMissing(let first): "the log's checkpoint is missing, and entries before \(first) are only in the log"
        case .aheadOfTable(let checkpoint, let next):
            "the log has \(checkpoint) entries but the database gave out only \(next): the database is older than the log"
        case .entriesLost(let checkpoint, let first):
            "the log has \(checkpoint) entries but the database continues at \(first): the log is older than the database"
        case .damaged(let path, let why): "\(path) of the log is damaged: \(why)"
        case .forked(let index): "entry \(index) in the database is not entry \(index) of the log"
        case .outOfOrder(let expected, let found): "log entry \(found) came where \(expected) was due"
        case .entryTooLong(let index, let bytes): "log entry \(index) has \(bytes) bytes, more than a bundle can hold"
        case .checkpointReplaced: "the log's checkpoint was changed by someone else while we held the log"
        case .inconsistent(let from, let to): "the log of \(to) entries does not extend the signed one of \(from)"
        case .stopped: "the log stopped after an earlier failure"
        }
    }
}
