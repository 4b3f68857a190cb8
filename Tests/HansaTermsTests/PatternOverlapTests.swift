import HansaCore
import HansaTerms
import Testing

@Suite struct PatternOverlapTests {
    @Test(arguments: [
        ("a.ca/**", "a.ca/**", true, true),
        ("a.ca/**", "b.ca/**", false, false),
        ("a.ca/**", "a.ca/roads/x", true, true),
        ("a.ca/roads/x", "a.ca/**", true, false),
        ("a.ca/roads/*", "a.ca/roads/breaks", true, true),
        ("a.ca/roads/*", "a.ca/*/breaks", true, false),
        ("a.ca/roads/**", "a.ca/parks/**", false, false),
        ("a.ca/roads/**", "a.ca/roads", true, true),
        ("a.ca/*", "a.ca/roads/breaks", false, false),
        ("a.ca/r*", "a.ca/*s", true, false),
        ("a.ca/r*s", "a.ca/ro*ds", true, true),
        ("a.ca/ro*ds", "a.ca/r*s", true, false),
        ("a.ca/ab*", "a.ca/ac*", false, false),
        ("a.ca/**/x", "a.ca/y/**", true, false),
        ("a.ca/**/x", "a.ca/a/*/x", true, true),
        ("a.ca/**/x", "a.ca/y", false, false),
        ("a.ca/*/*", "a.ca/**", true, false),
        ("a.ca/**", "a.ca/*/*", true, true),
        ("a.ca/*", "a.ca/**", true, false),
    ])
    func twoPatternsMeetOrOneCoversTheOther(left: String, right: String, meet: Bool, cover: Bool) throws {
        let (left, right) = (try PackagePattern(left), try PackagePattern(right))
        #expect(PatternOverlap.intersects(left, right) == meet)
        #expect(PatternOverlap.intersects(right, left) == meet)
        #expect(PatternOverlap.covers(left, right) == cover)
    }

    /// Against every path over a small alphabet: `intersects` never denies a common package, `covers` never claims one that
    /// is not covered.
    @Test(arguments: 1...6) func noCommonPackageIsMissedAndNoneIsClaimed(seed: UInt64) throws {
        var random = Seeded(seed)
        let segments = ["a", "b", "ab", "ba", "aab"]
        var paths: [PackageID] = []
        let city = try CityID("a.ca")
        for first in segments {
            paths.append(try PackageID(city: city, path: first))
            for second in segments {
                paths.append(try PackageID(city: city, path: "\(first)/\(second)"))
                for third in segments { paths.append(try PackageID(city: city, path: "\(first)/\(second)/\(third)")) }
            }
        }
        func pattern() throws -> PackagePattern {
            let parts = (0..<(1 + random.below(3))).map { _ in random.pick(["**", "*", "a", "b", "a*", "*b", "a*b", "*a*", "ab"])
            }
            return try PackagePattern("a.ca/" + parts.joined(separator: "/"))
        }
        for _ in 0..<300 {
            let (left, right) = (try pattern(), try pattern())
            let common = paths.contains { left.matches($0) && right.matches($0) }
            if common { #expect(PatternOverlap.intersects(left, right), "seed \(seed): \(left) \(right)") }
            if PatternOverlap.covers(left, right) {
                #expect(paths.allSatisfy { !right.matches($0) || left.matches($0) }, "seed \(seed): \(left) \(right)")
            }
        }
    }
}
