import Foundation
import HansaTestSupport
import Testing

/// Histories of two and three cities; HANSA_SEEDS=10000 runs more of them, HANSA_SEED=42 only that one.
@Suite struct HistoryTests {
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let one = environment["HANSA_SEED"].flatMap({ UInt64($0) }) { return [one] }
        return Array(1...(environment["HANSA_SEEDS"].flatMap { UInt64($0) } ?? 200))
    }()

    private static func check(_ outcome: WorldHistory.Outcome) {
        #expect(
            outcome.findings.isEmpty,
            "seed \(outcome.seed): \(outcome.findings.prefix(3)); hansa-simulator --seed \(outcome.seed) --story tells it")
    }

    @Test(arguments: seeds) func allPairsHoldTheSameAfterFaultsEnd(seed: UInt64) throws {
        Self.check(try WorldHistory.run(seed: seed))
    }

    @Test(arguments: [1, 7, 12, 30] as [UInt64]) func theSameHoldsWithRowsInSQLite(seed: UInt64) throws {
        var options = WorldHistory.Options()
        options.engine = .sqlite
        Self.check(try WorldHistory.run(seed: seed, options: options))
    }

    @Test(arguments: [3, 14, 54] as [UInt64]) func aSeedTellsTheSameHistoryTwice(seed: UInt64) throws {
        let first = try WorldHistory.run(seed: seed)
        let second = try WorldHistory.run(seed: seed)
        #expect(first.trace == second.trace)
        #expect(first.frames == second.frames)
    }

    /// Seeds that once failed, and what they found.
    @Test(
        arguments: [
            5,  // A push between a question and its answer was taken for a page that does not follow.
            54,  // Chunks got rows before they were durable when a page needed no release.
        ] as [UInt64]) func seedsThatOnceFailedHold(seed: UInt64) throws
    {
        Self.check(try WorldHistory.run(seed: seed))
    }
}
