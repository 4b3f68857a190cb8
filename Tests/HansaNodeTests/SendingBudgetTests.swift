import HansaCore
import HansaYAML
import Testing

@testable import HansaNode

/// Rates of sending on a clock that stands still until it is told.
@Suite struct SendingBudgetTests {
    static let frame = 1 << 20
    static let now = Timestamp(milliseconds: 1_790_000_000_000)
    static let cities = ["auckland.nz", "boston.gov", "oslo.no"].map { try! CityID($0) }  // Names that are ones.

    static func budget(node: UInt64? = nil, partner: UInt64? = nil, own: [CityID: UInt64?] = [:]) -> SendingBudget {
        var rates = SendingRates()
        (rates.node, rates.partner, rates.partners) = (node, partner, own)
        return SendingBudget { [rates] in rates }
    }

    /// Cities that always have a frame to send, each trying again when it was told to: bytes sent by each within a time.
    static func run(
        _ budget: SendingBudget, _ senders: [(city: CityID, bytes: Int)], from start: ContinuousClock.Instant = .now,
        seconds: Double
    ) -> [CityID: Int] {
        let end = start + .seconds(seconds)
        var due = Array(repeating: start, count: senders.count)
        var sent: [CityID: Int] = [:]
        while let next = due.indices.min(by: { due[$0] < due[$1] }), due[next] < end {
            let instant = due[next]
            if let delay = budget.take(senders[next].bytes, for: senders[next].city, at: instant, now) {
                #expect(delay > .zero)
                // A timer is never early, and a little late.
                due[next] = instant + delay + .microseconds(50)
            } else {
                sent[senders[next].city, default: 0] += senders[next].bytes
                due[next] = instant + .microseconds(100)
            }
        }
        return sent
    }

    @Test func withoutARateNothingWaits() {
        let budget = Self.budget()
        let instant = ContinuousClock.now
        for _ in 0..<1000 { #expect(budget.take(Self.frame, for: Self.cities[0], at: instant, Self.now) == nil) }
    }

    /// Over ten seconds the rate is kept to within its burst and one frame, also where a frame is more than a burst.
    @Test(arguments: [200_000, 5_000_000, 100_000_000] as [UInt64])
    func theNodesRateIsKept(_ rate: UInt64) throws {
        let sent = Self.run(Self.budget(node: rate), [(Self.cities[0], Self.frame)], seconds: 10)
        let bytes = try #require(sent[Self.cities[0]])
        let slack = Int(rate) / 20 + Self.frame
        #expect(bytes <= Int(rate) * 10 + slack)
        #expect(bytes >= Int(Double(rate) * 9.9) - slack)
    }

    @Test func aPartnersOwnRateHoldsUpNobodyElse() throws {
        let (slow, fast) = (Self.cities[0], Self.cities[1])
        let budget = Self.budget(node: 10_000_000, partner: nil, own: [slow: 1_000_000])
        let sent = Self.run(budget, [(slow, 100_000), (fast, 100_000)], seconds: 10)
        #expect(abs(try #require(sent[slow]) - 10_000_000) < 300_000)
        #expect(abs(try #require(sent[fast]) - 90_000_000) < 1_500_000)
    }

    /// One sends large frames, one small ones: they share evenly by bytes, not by frames. So do those who come later, at once.
    @Test func partnersShareTheNodesRateEvenly() throws {
        let budget = Self.budget(node: 20_000_000)
        let (first, second, late) = (Self.cities[0], Self.cities[1], Self.cities[2])
        let start = ContinuousClock.now
        _ = Self.run(budget, [(first, Self.frame)], from: start, seconds: 5)
        let sent = Self.run(
            budget, [(first, Self.frame), (second, 64 << 10), (late, 256 << 10)], from: start + .seconds(5), seconds: 9)
        let total = sent.values.reduce(0, +)
        #expect(abs(total - 180_000_000) < 4_000_000)
        for city in [first, second, late] {
            #expect(abs(try #require(sent[city]) - 60_000_000) < 3_000_000, "\(sent)")
        }
    }

    /// Three times the weight is three times the bytes, whatever the sizes of frames.
    @Test func weightsDivideTheNodesRate() throws {
        var rates = SendingRates()
        (rates.node, rates.weights) = (20_000_000, [Self.cities[0]: 3])
        let sent = Self.run(
            SendingBudget { [rates] in rates },
            [(Self.cities[0], 64 << 10), (Self.cities[1], Self.frame), (Self.cities[2], 256 << 10)], seconds: 20)
        for (city, bytes) in zip(Self.cities, [240_000_000, 80_000_000, 80_000_000]) {
            #expect(abs(try #require(sent[city]) - bytes) < 6_000_000, "\(sent)")
        }
    }

    /// One that was told to come again and does not leaves its turn to the others; so does one that has gone.
    @Test func aTurnThatIsNotTakenLapses() throws {
        let budget = Self.budget(node: 10_000_000)
        let start = ContinuousClock.now
        #expect(budget.take(Self.frame, for: Self.cities[0], at: start, Self.now) == nil)
        #expect(budget.take(Self.frame, for: Self.cities[1], at: start, Self.now) != nil)
        let sent = Self.run(budget, [(Self.cities[0], Self.frame)], seconds: 5)
        #expect(try #require(sent[Self.cities[0]]) > 46_000_000)
        budget.leave(Self.cities[1])
        #expect(budget.take(1, for: Self.cities[1], at: start + .seconds(60), Self.now) == nil)
    }

    /// A cycle gives each partner a frame at most. Whoever has something to send and is told to wait is passed by each other for two cycles
    /// and no more, whatever the sizes of their frames.
    @Test(arguments: 1...24 as ClosedRange<UInt64>) func nobodyWaitsMoreThanTwoCycles(seed: UInt64) throws {
        var random = seed
        func next(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % bound
        }
        let cities = try (0..<(2 + next(6))).map { try CityID("city-\($0).example") }
        let budget = Self.budget(node: UInt64(1_000_000 << next(6)))
        // Some send large frames only, some small ones, some both.
        let largest = cities.map { _ in [2_000, 64 << 10, Self.frame][next(3)] }
        var due = cities.map { _ in ContinuousClock.now }
        var sizes = largest.map { 1 + next($0) }
        // While it waits: what each other was given.
        var passed: [Int: [Int: Int]] = [:]
        for _ in 0..<4000 {
            let sender = try #require(due.indices.min { due[$0] < due[$1] })
            let instant = due[sender]
            if let delay = budget.take(sizes[sender], for: cities[sender], at: instant, Self.now) {
                if passed[sender] == nil { passed[sender] = [:] }
                due[sender] = instant + delay + .microseconds(50)
            } else {
                passed[sender] = nil
                for waiting in Array(passed.keys) {
                    passed[waiting]?[sender, default: 0] += sizes[sender]
                    let bytes = passed[waiting]?[sender] ?? 0
                    #expect(bytes <= 2 * Self.frame, "seed \(seed): \(waiting) waits, \(sender) was given \(bytes)")
                }
                sizes[sender] = 1 + next(largest[sender])
                due[sender] = instant + .microseconds(100)
            }
        }
    }
}
