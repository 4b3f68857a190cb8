internal import HansaCore
internal import HansaNode
internal import Synchronization

/// Keeps a refused account from flooding the log: one note a minute for an account and kind of refusal, with the number of those that were merged
/// into it since the note before (FORMATS.md §11); a bounded number of accounts remembered.
final class RefusalNotes: Sendable {
    private struct Key: Hashable {
        let uid: UInt32
        /// It has a role, and not one for the command.
        let hasRole: Bool
    }

    private struct Noted {
        var at: UInt64
        var merged = 0
    }

    private static let quietNanoseconds: UInt64 = 60_000_000_000
    private static let keysMax = 1024
    private let noted = Mutex<[Key: Noted]>([:])

    func note(_ services: any Services, uid: UInt32, account: String, role: Role?, command: String?) {
        let now = Deadline.now
        let key = Key(uid: uid, hasRole: role != nil)
        // Nil while the last note is fresh.
        let merged = noted.withLock { noted -> Int? in
            if let last = noted[key] {
                guard now >= last.at + RefusalNotes.quietNanoseconds else {
                    noted[key] = Noted(at: last.at, merged: last.merged + 1)
                    return nil
                }
                noted[key] = Noted(at: now)
                return last.merged
            }
            if noted.count >= RefusalNotes.keysMax { noted = noted.filter { now < $0.value.at + RefusalNotes.quietNanoseconds } }
            // Full of recent ones: more accounts than a machine has people, so nothing is lost by silence.
            guard noted.count < RefusalNotes.keysMax else { return nil }
            noted[key] = Noted(at: now)
            return 0
        }
        if let merged { services.noteRefusal(uid: uid, account: account, role: role, command: command, merged: merged) }
    }
}
