internal import HansaCore
internal import HansaNode
internal import Synchronization

/// Keeps a refused account from flooding the log: one note a minute for an account and command, a bounded number of them remembered.
final class RefusalNotes: Sendable {
    private struct Key: Hashable {
        let uid: UInt32
        let command: String?
    }

    private static let quietNanoseconds: UInt64 = 60_000_000_000
    private static let keysMax = 1024
    private let notedAt = Mutex<[Key: UInt64]>([:])

    func note(_ services: any Services, uid: UInt32, account: String, role: Role?, command: String?) {
        let now = Deadline.now
        let due = notedAt.withLock { noted in
            let key = Key(uid: uid, command: command)
            if let last = noted[key], now < last + RefusalNotes.quietNanoseconds { return false }
            if noted.count >= RefusalNotes.keysMax { noted = noted.filter { now < $0.value + RefusalNotes.quietNanoseconds } }
            // Full of recent ones: more accounts than a machine has people, so nothing is lost by silence.
            guard noted.count < RefusalNotes.keysMax else { return false }
            noted[key] = now
            return true
        }
        if due { services.noteRefusal(uid: uid, account: account, role: role, command: command) }
    }
}
