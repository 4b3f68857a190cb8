// How much a partner can make us write that costs it nothing: releases that we refuse, that change their level, and that come again after they had left a
// view. Each leaves a row, an entry of the log or a line of a signed receipt, and for none of them did the partner have to make a release.
//
// What is beyond is owed. While a partner owes, its views wait: nothing that they list is taken up, but for what has left them.
//
// One for the node, shared by all sessions: a partner that comes back begins no new count.
internal import HansaCore
internal import Synchronization

public final class ChangeBudget: Sendable {
    private struct Account {
        /// In thousandths.
        var left: Int64
        var at: Timestamp
    }

    private let accounts = Mutex<[CityID: Account]>([:])

    public init() {}

    /// Such changes were written.
    func charge(_ city: CityID, _ count: Int, _ limits: ExchangeLimits, at now: Timestamp) {
        guard count > 0 else { return }
        accounts.withLock { accounts in
            var account = ChangeBudget.filled(accounts[city], limits, at: now)
            account.left -= Int64(count) * 1000
            accounts[city] = account
        }
    }

    func isSpent(_ city: CityID, _ limits: ExchangeLimits, at now: Timestamp) -> Bool {
        accounts.withLock { accounts in
            guard let account = accounts[city] else { return false }
            return ChangeBudget.filled(account, limits, at: now).left <= 0
        }
    }

    /// A clock that went back gives nothing, and counts from there.
    private static func filled(_ account: Account?, _ limits: ExchangeLimits, at now: Timestamp) -> Account {
        let most = Int64(limits.idleChangesMax) * 1000
        guard let account else { return Account(left: most, at: now) }
        let passed = max(0, now.milliseconds - account.at.milliseconds)
        // No longer than it takes to pay what any partner can owe.
        let refill = min(passed, 1 << 40) * Int64(limits.idleChangesPerSecond)
        return Account(left: min(most, account.left + refill), at: now)
    }
}
