/// Makes a history that fails shorter: leaves out steps, in ever smaller groups, as long as it fails in the same invariant (Zeller and Hildebrandt
/// 2002, "Simplifying and isolating failure-inducing input").
public struct WorldShrink {
    public private(set) var options: WorldHistory.Options
    public private(set) var outcome: WorldHistory.Outcome
    /// Histories that were run for it.
    public private(set) var runs = 0

    private let seed: UInt64
    private let invariant: Invariant?
    private let runsMax: Int

    /// - Parameter outcome: of a history that failed.
    public init(_ outcome: WorldHistory.Outcome, options: WorldHistory.Options, runsMax: Int = 300) throws {
        self.outcome = outcome
        self.options = options
        self.runsMax = runsMax
        seed = outcome.seed
        invariant = outcome.findings.first.flatMap(Invariant.named)
        try shrink()
    }

    /// The steps that are left.
    public var steps: [Int] { (0..<outcome.stepsTaken).filter { !options.without.contains($0) } }

    private mutating func shrink() throws {
        // What the seed decided with the number of steps stays decided.
        var group = max(1, steps.count / 2)
        while runs < runsMax {
            var hasShrunk = false
            var from = 0
            while from < steps.count, runs < runsMax {
                let candidate = steps[from..<min(from + group, steps.count)]
                if try holds(without: options.without.union(candidate)) {
                    hasShrunk = true
                } else {
                    from += group
                }
            }
            if group == 1, !hasShrunk { return }
            group = max(1, group / 2)
        }
    }

    /// Tries; keeps what still fails.
    private mutating func holds(without: Set<Int>) throws -> Bool {
        runs += 1
        var trial = options
        trial.without = without
        let result = try WorldHistory.run(seed: seed, options: trial)
        guard let first = result.findings.first, Invariant.named(in: first) == invariant else { return false }
        (options, outcome) = (trial, result)
        return true
    }
}
