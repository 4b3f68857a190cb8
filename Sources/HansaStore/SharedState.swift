internal import HansaCore
internal import HansaSync
internal import Synchronization

/// What all connections of one store share: values of committed transactions, each with the version it belongs to.
final class SharedState: Sendable {
    private struct Values {
        var names = KnownNames()
        var policy: (version: Int64, state: PolicyState)?
        var logFault: String?
    }

    private let values = Mutex(Values())

    var names: KnownNames { values.withLock { $0.names } }

    func learn(_ names: KnownNames) {
        values.withLock { values in
            // Transactions end in any order; the larger value knows more, and what a smaller one adds is found again by a query.
            if names.count > values.names.count { values.names = names }
        }
    }

    func policy(version: Int64) -> PolicyState? {
        values.withLock { values in
            guard let held = values.policy, held.version == version else { return nil }
            return held.state
        }
    }

    /// Keeps the value unless a newer one is held.
    func offer(_ policy: PolicyState, version: Int64) {
        values.withLock { values in
            if let held = values.policy, held.version > version { return }
            values.policy = (version, policy)
        }
    }

    /// Why nothing may be logged any more.
    var logFault: String? { values.withLock { $0.logFault } }
    func setLogFault(_ reason: String) { values.withLock { $0.logFault = $0.logFault ?? reason } }
}
