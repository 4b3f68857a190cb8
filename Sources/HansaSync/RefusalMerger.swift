// Refusals of partners, merged so that no partner can fill the log (FORMATS.md §11): of each (partner, view, event, reason) the first in a minute
// is logged at once and whole, the others are counted and become one entry when the minute has ended. So is what ends of it: that a refused release
// has left a view.
//
// One for the node, shared by all sessions: a partner that comes back begins no new count.
public import HansaCore
internal import HansaCrypto
internal import HansaLog
internal import Synchronization

public final class RefusalMerger: Sendable {
    /// Kinds of refusal kept apart; what goes beyond is counted together, so that memory has a bound too.
    public static let kindsMax = 4096

    private struct Key: Hashable {
        let partner: CityID?
        let view: Digest?
        let event: LogEvent
        let reason: String
    }

    private struct Count {
        var minute: Int64
        var more = 0
        /// The first of the minute: outcome, agreement and clause are its.
        let outcome: LogEntry.Outcome
        let agreement: Digest?
        let clause: String?
        /// Order of arrival: entries come out in it.
        let order: UInt64
    }

    private struct State {
        var counts: [Key: Count] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    public init() {}

    /// The entries to log for this refusal now: what an earlier minute counted, and the refusal itself if it is the first of its minute.
    public func admit(_ draft: LogDraft, view: Digest? = nil, at now: Timestamp) -> [LogDraft] {
        let minute = RefusalMerger.minute(of: now)
        return state.withLock { state in
            var key = Key(partner: draft.partner, view: view, event: draft.event, reason: draft.reason ?? "")
            if state.counts[key] == nil, state.counts.count >= RefusalMerger.kindsMax {
                key = Key(partner: nil, view: nil, event: draft.event, reason: "many-kinds")
            }
            var drafts: [LogDraft] = []
            if var known = state.counts[key] {
                if known.minute == minute {
                    known.more += 1
                    state.counts[key] = known
                    return []
                }
                if known.more > 0 { drafts.append(RefusalMerger.entry(key, known)) }
            }
            state.next += 1
            state.counts[key] = Count(
                minute: minute, outcome: draft.outcome, agreement: draft.agreement, clause: draft.clause, order: state.next)
            return drafts + [draft]
        }
    }

    /// The entries of minutes that have ended by now; `all`: of every minute, as before a stop.
    public func take(at now: Timestamp, all: Bool = false) -> [LogDraft] {
        let minute = RefusalMerger.minute(of: now)
        return state.withLock { state in
            let ended = state.counts.filter { all || $0.value.minute != minute }.sorted { $0.value.order < $1.value.order }
            for (key, _) in ended { state.counts[key] = nil }
            return ended.compactMap { $1.more > 0 ? RefusalMerger.entry($0, $1) : nil }
        }
    }

    private static func minute(of now: Timestamp) -> Int64 { now.milliseconds / 60_000 }

    private static func entry(_ key: Key, _ count: Count) -> LogDraft {
        LogDraft(
            key.event, outcome: count.outcome, partner: key.partner, agreement: count.agreement, clause: count.clause,
            reason: key.reason.isEmpty ? nil : key.reason, details: ["count": JSONValue(count.more)])
    }
}

extension ExchangeContext {
    /// Logs a refusal in a transaction of its own, if anything is to be logged now.
    public func logRefusal(_ draft: LogDraft, view: Digest? = nil, at now: Timestamp) throws {
        try log(refusals.admit(draft, view: view, at: now), at: now)
    }

    /// Logs what was counted in minutes that have ended; `all`: in every minute. The shell calls it now and then, and with `all` before it stops.
    public func flushRefusals(at now: Timestamp, all: Bool = false) throws { try log(refusals.take(at: now, all: all), at: now) }

    private func log(_ drafts: [LogDraft], at now: Timestamp) throws {
        guard !drafts.isEmpty else { return }
        try metadata.write(at: now) { tx in for draft in drafts { try tx.log(draft) } }
    }
}
