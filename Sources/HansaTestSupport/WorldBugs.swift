internal import HansaSync

/// How soon histories find a bug that was built in: by which seed, and as what.
public enum WorldBugs {
    /// False in every build but one with HANSA_SEEDED_BUGS=1.
    public static var isBuiltIn: Bool { SeededBug.isBuiltIn }
    public static var names: [String] { SeededBug.allCases.map(\.rawValue) }

    public struct Finding: Sendable {
        /// Histories that were run, the failing one included.
        public let seeds: UInt64
        public let finding: String
        public let steps: Int
    }

    /// Runs histories with one bug until one fails; nil when none does. The bug is off afterwards.
    public static func search(_ name: String, seeds: UInt64, options: WorldHistory.Options) throws -> Finding? {
        guard let bug = SeededBug(rawValue: name) else { preconditionFailure("no bug is called \(name)") }
        defer { SeededBug.set(nil) }
        for seed in 1...seeds {
            SeededBug.set(bug)
            let outcome = try WorldHistory.run(seed: seed, options: options)
            guard let first = outcome.findings.first else { continue }
            // What fails without it was not found because of it.
            SeededBug.set(nil)
            if try WorldHistory.run(seed: seed, options: options).findings.isEmpty {
                return Finding(seeds: seed, finding: first, steps: outcome.stepsTaken)
            }
        }
        return nil
    }
}
