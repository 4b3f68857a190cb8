internal import HansaCore
internal import HansaYAML
internal import Synchronization

/// Tokens for bytes that may leave: filled by time up to what 50 ms bring, and overdrawn by at most what is taken at once, which the time after it
/// pays back. So a limit at the speed of the line costs nothing, and a large frame does not wait for a bucket that cannot hold it.
struct TokenBucket {
    static let burst = Duration.milliseconds(50)

    private var tokens = 0.0
    private var filled: ContinuousClock.Instant?

    /// Nil when something may leave now; else how long until then.
    mutating func delay(_ rate: UInt64, at instant: ContinuousClock.Instant) -> Duration? {
        let burst = Double(rate) * (TokenBucket.burst / .seconds(1))
        if let filled {
            tokens = min(burst, tokens + Double(rate) * (filled.duration(to: instant) / .seconds(1)))
        } else {
            tokens = burst
        }
        filled = instant
        return tokens > 0 ? nil : .seconds((1 - tokens) / Double(rate))
    }

    mutating func charge(_ bytes: Int) { tokens -= Double(bytes) }
}

/// The node's and the partners' rates of sending. Where the node's rate is the narrow place, partners share it by their weights, evenly without: of those that wait, the one
/// goes next that was given least for its weight since it began to wait (start-time fair queueing), so that one who catches up on 20 GB holds up nobody.
final class SendingBudget: Sendable {
    private struct State {
        var node = TokenBucket()
        var partners: [CityID: TokenBucket] = [:]
        /// Bytes given, on a scale that all share.
        var given: [CityID: UInt64] = [:]
        var virtual: UInt64 = 0
        /// Who was told to come again, and when: one that does not come has nothing to send any more.
        var waiting: [CityID: ContinuousClock.Instant] = [:]
    }

    /// A waiting partner's turn lapses when it is this late.
    private static let grace = Duration.milliseconds(20)

    private let rates: @Sendable () -> SendingRates
    private let state = Mutex(State())

    /// `rates` is asked for each frame, so that a change of the configuration counts at once.
    init(_ rates: @escaping @Sendable () -> SendingRates) { self.rates = rates }

    /// Nil: so many bytes may leave to the partner now, and are charged. Else: ask again after this long.
    func take(_ bytes: Int, for city: CityID, at instant: ContinuousClock.Instant, _ now: Timestamp) -> Duration? {
        let rates = rates()
        let (nodeRate, partnerRate) = (rates.node(at: now), rates.partner(city))
        if nodeRate == nil, partnerRate == nil { return nil }
        return state.withLock { state in
            if let partnerRate {
                var bucket = state.partners[city] ?? TokenBucket()
                let delay = bucket.delay(partnerRate, at: instant)
                state.partners[city] = bucket
                if let delay {
                    state.waiting[city] = nil
                    return delay
                }
            }
            if let nodeRate {
                let own = max(state.given[city] ?? 0, state.virtual)
                var delay = state.node.delay(nodeRate, at: instant)
                if delay == nil {
                    let isOvertaken = state.waiting.contains { other, until in
                        other != city && instant <= until + SendingBudget.grace && (state.given[other] ?? 0) < own
                    }
                    if isOvertaken { delay = .milliseconds(1) }
                }
                if let delay {
                    state.given[city] = own
                    state.waiting[city] = instant + delay
                    return delay
                }
                state.node.charge(bytes)
                state.virtual = own
                // Who counts twice is charged half.
                state.given[city] = own + UInt64(bytes) * SendingRates.weightMax / rates.weight(city)
                state.waiting[city] = nil
            }
            if partnerRate != nil { state.partners[city]?.charge(bytes) }
            return nil
        }
    }

    /// The partner's session has ended.
    func leave(_ city: CityID) {
        state.withLock { state in
            state.partners[city] = nil
            state.waiting[city] = nil
            state.given[city] = nil
        }
    }
}
