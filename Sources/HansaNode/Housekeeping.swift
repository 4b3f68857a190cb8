internal import CLinux
internal import Foundation
internal import HansaCore
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Logging
internal import Synchronization

/// What time alone brings, once a second on a thread of its own: dialling, memberships that begin or end, the hourly summary of strangers.
final class Housekeeping: Sendable {
    private static let summaryMilliseconds: Int64 = 3_600_000
    /// What a large file's blocks leave free between others goes back to the system when it is more than this.
    private static let freeHeapBytes = 32 << 20
    /// After a change of memberships that failed.
    private static let retrySeconds: Int64 = 60

    private let node: Node
    private let worker = Worker()

    init(_ node: Node) { self.node = node }

    func start() { worker.start { _ in self.run() } }
    func stop() { worker.stop() }

    private func run() {
        var summarised = node.clock.now
        var refreshed = node.clock.now
        var entriesSeen: UInt64?
        var changeNotBefore = node.clock.now
        repeat {
            if let network = node.network.withLock({ $0 }) {
                network.dialDue()
                let now = node.clock.now
                if now >= changeNotBefore, isChangeDue(at: now), !membershipsChange() {
                    changeNotBefore = now.adding(seconds: Housekeeping.retrySeconds)
                }
                if now.milliseconds - refreshed.milliseconds >= 60_000 {
                    refreshed = now
                    // Pins and keyrings run out by time alone.
                    do {
                        try network.refreshPartners()
                        try node.remember(network.settledTimes)
                    } catch {
                        node.storeFailed(error)
                    }
                }
                flushRefusals(all: false)
                lookAtDamage(at: now)
                node.keepPolicy()
                signAgain()
                if now.milliseconds % 5000 < 1000 {
                    // A release that came stands in the log. A long merge holds up this loop: what it would do meanwhile may be late.
                    mergeWhatCame(&entriesSeen)
                    hansa_trim_heap(Housekeeping.freeHeapBytes)
                }
                if now.milliseconds - summarised.milliseconds >= Housekeeping.summaryMilliseconds {
                    summarised = now
                    summarise(network.takeStrangers())
                }
            }
        } while worker.pause(seconds: 1)
        flushRefusals(all: true)
    }

    /// Refusals of partners are merged by the minute (FORMATS.md §11): those of minutes that have ended go to the log.
    private func flushRefusals(all: Bool) {
        do { try node.context.flushRefusals(at: node.clock.now, all: all) } catch { node.storeFailed(error) }
    }

    /// What readers met goes into rows; what can be read again, or is here again, leaves them.
    private func lookAtDamage(at now: Timestamp) {
        do {
            try node.context.recordDamage(at: now)
            try node.context.lookAgain(at: now)
        } catch {
            node.storeFailed(error)
        }
    }

    private func signAgain() {
        do throws(Problem) { try node.signAgain(batches: 1) } catch {
            node.log.error("not signed again", metadata: ["error": "\(error.message)"])
        }
    }

    private func mergeWhatCame(_ entriesSeen: inout UInt64?) {
        do {
            let entries = try node.metadata.read { try $0.logSize }
            guard entries != entriesSeen else { return }
            entriesSeen = entries
            node.mergeByItself()
        } catch {
            node.storeFailed(error)
        }
    }

    private func isChangeDue(at now: Timestamp) -> Bool {
        do { return try node.metadata.read { try MembershipUpdate.isDue(at: now, $0) } } catch {
            node.storeFailed(error)
            return false
        }
    }

    /// False where it could not be done.
    private func membershipsChange() -> Bool {
        do throws(Problem) {
            try node.change { tx in
                let update = try MembershipUpdate(self.node.context, tx)
                try update.timePassed()
                var changes = ExchangeChanges()
                changes.views = try update.finish()
                changes.policies = Set(try tx.partners().map(\.city))
                return ((), changes)
            }
            try node.guarded { try node.network.withLock { $0 }?.refreshPartners() }
            return true
        } catch {
            node.log.error("memberships could not be brought up to date", metadata: ["error": "\(error.message)"])
            return false
        }
    }

    /// Strangers cannot fill the log: one entry an hour, with counts.
    private func summarise(_ strangers: [String: Int]) {
        guard !strangers.isEmpty else { return }
        let counts = JSONValue.object(strangers.keys.sorted().map { JSONMember($0, JSONValue(strangers[$0] ?? 0)) })
        do throws(Problem) {
            try node.change { tx in
                try tx.log(
                    LogDraft(
                        .strangersRefused, outcome: .refused,
                        details: ["count": JSONValue(strangers.values.reduce(0, +)), "by": counts]))
                return ((), ExchangeChanges())
            }
        } catch {
            node.log.error("the summary of refused strangers could not be logged", metadata: ["error": "\(error.message)"])
        }
    }
}
