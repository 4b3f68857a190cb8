import HansaCore
import HansaCrypto
import HansaDocuments
import HansaTestSupport
import Testing

@testable import HansaSync

@Suite struct VersionGraphTests {
    private static let cities = ["a.example", "b.example", "c.example"].map { try! CityID($0) }  // Names that are some.

    private static func node(
        _ name: String, _ writer: Int, _ seq: UInt64, _ parents: [VersionGraph.Node] = [], clock: [ClockEntry]? = nil,
        content: String? = nil, operation: Release.Operation = .publish
    ) -> VersionGraph.Node {
        var entries: [CityID: UInt64] = [:]
        for parent in parents { for entry in parent.clock { entries[entry.city] = max(entries[entry.city] ?? 0, entry.seq) } }
        entries[cities[writer]] = seq
        return VersionGraph.Node(
            digest: SHA256.hash(Array(name.utf8)), writer: cities[writer], seq: seq, parents: parents.map(\.digest),
            clock: clock ?? entries.keys.sorted().map { ClockEntry(city: $0, seq: entries[$0] ?? 0) }, operation: operation,
            content: operation == .withdraw ? nil : SHA256.hash(Array((content ?? name).utf8)))
    }

    private func graph(_ nodes: [VersionGraph.Node]) -> VersionGraph {
        var graph = VersionGraph()
        for node in nodes { graph.insert(node) }
        return graph
    }

    @Test func aChainHasOneHeadAlsoWithGaps() {
        let one = Self.node("1", 0, 1)
        let two = Self.node("2", 0, 2, [one])
        let three = Self.node("3", 0, 3, [two])
        #expect(graph([three, one]).heads == [.init(releases: [three.digest])])
        #expect(graph([one, two, three]).canonical(by: .any) == .head(three.digest))
        #expect(graph([]).canonical(by: .any) == .none)
        #expect(graph([one, three]).misclocked == [])
    }

    @Test func concurrentReleasesAreBothHeadsUntilAMergeFollowsThem() {
        let base = Self.node("base", 0, 1)
        let left = Self.node("left", 0, 2, [base])
        let right = Self.node("right", 1, 1, [base])
        let both = graph([base, left, right])
        #expect(both.heads.count == 2 && both.canonical(by: .owner(Self.cities[0])) == .conflicted(left.digest))
        let merge = Self.node("merge", 0, 3, [left, right], operation: .merge)
        #expect(graph([base, left, right, merge]).heads == [.init(releases: [merge.digest])])
        // What another maintainer adds waits for the owner, and is no conflict.
        let added = Self.node("added", 1, 2, [merge])
        #expect(graph([base, left, right, merge, added]).canonical(by: .owner(Self.cities[0])) == .head(merge.digest))
    }

    @Test func headsWithEqualContentAreOne() {
        let base = Self.node("base", 0, 1)
        let left = Self.node("left", 0, 2, [base], content: "same")
        let right = Self.node("right", 1, 1, [base], content: "same")
        #expect(graph([base, left, right]).heads == [.init(releases: [left.digest, right.digest].sorted())])
        // Two withdrawals have no content to be equal.
        let gone = Self.node("gone", 0, 2, [base], operation: .withdraw)
        let also = Self.node("also", 1, 1, [base], operation: .withdraw)
        #expect(graph([base, gone, also]).heads.count == 2)
    }

    @Test func twoReleasesOfOneNumberAreAForkAndNothingFromThereOnCounts() {
        let one = Self.node("1", 0, 1)
        let two = Self.node("2", 0, 2, [one])
        let twin = Self.node("2'", 0, 2, [one])
        let three = Self.node("3", 0, 3, [two])
        let forked = graph([three, twin, one, two])
        #expect(forked.forks == [.init(writer: Self.cities[0], seq: 2, releases: [two.digest, twin.digest].sorted())])
        #expect(forked.canonical(by: .any) == .frozen(one.digest))
        // Neither branch is lost, though the clock of the third covers both.
        #expect(Set(forked.heads.flatMap(\.releases)) == [three.digest, twin.digest])
        let first = Self.node("1'", 0, 1)
        #expect(graph([one, first]).canonical(by: .any) == .frozen(nil))
    }

    @Test func aClockThatIsNotItsParentsAndItsOwnCountsForNothing() {
        let base = Self.node("base", 0, 1)
        let right = Self.node("right", 1, 1, [base])
        // Claims to have seen what it does not name.
        let boast = Self.node(
            "boast", 0, 2, [base], clock: [ClockEntry(city: Self.cities[0], seq: 2), ClockEntry(city: Self.cities[1], seq: 1)])
        #expect(graph([base, right, boast]).misclocked == [boast.digest])
        #expect(graph([base, right, boast]).heads == [.init(releases: [right.digest])])
        // Forgets what its parent had seen; says its own number again.
        let forgets = Self.node("forgets", 0, 2, [right], clock: [ClockEntry(city: Self.cities[0], seq: 2)])
        #expect(graph([base, right, forgets]).misclocked == [forgets.digest])
        let back = Self.node("back", 0, 1, [right])
        #expect(graph([right, back]).misclocked == [back.digest])
        // A parent that is not known may hold what the clock says.
        #expect(graph([base, Self.node("merge", 0, 3, [Self.node("unseen", 2, 7), base])]).misclocked == [])
    }

    @Test func clocksAreOrderedByEveryCity() {
        func clock(_ a: UInt64, _ b: UInt64) -> [ClockEntry] {
            zip(Self.cities, [a, b]).filter { $0.1 > 0 }.map { ClockEntry(city: $0.0, seq: $0.1) }
        }
        #expect(ClockOrder(clock(1, 2), clock(1, 2)) == .equal)
        #expect(ClockOrder(clock(1, 0), clock(1, 2)) == .before)
        #expect(ClockOrder(clock(0, 2), clock(1, 2)) == .before)
        #expect(ClockOrder(clock(2, 2), clock(1, 2)) == .after)
        #expect(ClockOrder(clock(0, 2), clock(1, 1)) == .concurrent)
        #expect(ClockOrder(clock(1, 0), clock(0, 1)) == .concurrent)
    }

    // S5, S6, S7 over seeded histories.
    @Test(arguments: 0..<120) func everyOrderOfArrivalEndsWithTheSameHeads(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let forks = seed % 3 == 0
        var nodes: [VersionGraph.Node] = []
        var seqs: [UInt64] = [0, 0, 0]
        for index in 0..<Int.random(in: 1...24, using: &random) {
            let writer = Int.random(in: 0...2, using: &random)
            var parents = (0..<Int.random(in: 0...2, using: &random)).compactMap { _ in nodes.randomElement(using: &random) }
            // A writer builds upon its own last release.
            if let own = nodes.last(where: { $0.writer == Self.cities[writer] && $0.seq == seqs[writer] }) { parents.append(own) }
            parents = Dictionary(parents.map { ($0.digest, $0) }, uniquingKeysWith: { $1 }).sorted { $0.key < $1.key }.map(
                \.value)
            let forksNow = forks && seqs[writer] > 0 && Int.random(in: 0...5, using: &random) == 0
            if forksNow { parents.removeAll { $0.clock.contains { $0.city == Self.cities[writer] && $0.seq >= seqs[writer] } } }
            if !forksNow { seqs[writer] += 1 }
            nodes.append(
                Self.node("\(seed).\(index)", writer, seqs[writer], parents, content: "\(Int.random(in: 0...9, using: &random))"))
        }
        let graph = graph(nodes)
        var numbers: [String: Int] = [:]
        for node in nodes { numbers["\(node.writer) \(node.seq)", default: 0] += 1 }
        #expect(Set(graph.forks.map { "\($0.writer) \($0.seq)" }) == Set(numbers.filter { $0.value > 1 }.keys), "seed \(seed)")
        for rule in [VersionGraph.Rule.any, .owner(Self.cities[1])] {
            let canonical = graph.canonical(by: rule)
            for _ in 0..<4 {
                let other = self.graph(nodes.shuffled(using: &random))
                #expect(other.heads == graph.heads && other.canonical(by: rule) == canonical, "seed \(seed)")
                #expect(other.misclocked == graph.misclocked, "seed \(seed)")
            }
        }
        guard graph.forks.isEmpty else { return }
        // By clock or by ancestry: the same heads, and none is lost.
        #expect(graph.misclocked == [], "seed \(seed)")
        let followed = Set(nodes.flatMap(\.parents))
        #expect(Set(graph.heads.flatMap(\.releases)) == Set(nodes.map(\.digest)).subtracting(followed), "seed \(seed)")
    }
}
