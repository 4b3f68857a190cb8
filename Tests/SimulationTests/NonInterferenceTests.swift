import HansaCore
import HansaSync
import HansaTestSupport
import Testing

/// What a city is sent does not depend on what it may not know: two worlds of three cities with equal seeds, one with hidden packages,
/// agreements, grants and sessions beside what Boston may see, send Boston the same bytes at the same moments (SYNC.md §8, S1).
@Suite struct NonInterferenceTests {
    struct Story {
        let world: World
        let agreement: Digest
        var random: SplitMix64

        init(seed: UInt64) throws {
            world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz", "boston.gov"])
            agreement = try world.agree(0, 2, id: "open")
            random = SplitMix64(seed: seed)
        }

        mutating func pick(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    }

    /// Chunks from one pool: hidden and visible packages share some, and versions of one package too.
    static func content(_ random: inout SplitMix64) -> WorldContent {
        WorldContent([
            ("data/a.csv", (0..<(1 + random.next() % 30)).map { _ in WorldContent.chunk(random.next() % 40, count: 20_000) }),
            ("datapackage.json", [WorldContent.chunk(100 + random.next() % 4, count: 700)]),
        ])
    }

    static func tell(seed: UInt64, hidden: Bool) throws -> [World.Sent] {
        var story = try Story(seed: seed)
        let world = story.world
        let (kitchener, auckland, boston) = (world.nodes[0], world.nodes[1], world.nodes[2])
        var secret = SplitMix64(seed: seed ^ 0xABCD)
        var hiddenAgreement: Digest?
        var hiddenGrant: String?
        var visibleGrant: String?
        try kitchener.grant(boston.city, "kitchener.ca/open/**", under: story.agreement)
        world.connect(0, 2)
        for step in 0..<14 {
            if hidden {
                // Draws come from a source of its own, so that the visible story is the same.
                switch secret.next() % 7 {
                case 0 where hiddenAgreement == nil:
                    hiddenAgreement = try world.agree(0, 1, id: "closed")
                    world.connect(0, 1)
                case 1, 2: try kitchener.publish("secret/\(secret.next() % 3)", content(&secret))
                case 3:
                    if let hiddenAgreement {
                        hiddenGrant = try kitchener.grant(auckland.city, "kitchener.ca/**", under: hiddenAgreement)
                    }
                case 4: if let hiddenGrant { try kitchener.revoke(hiddenGrant) }
                case 5: try kitchener.withdraw("secret/\(secret.next() % 3)")
                default: try auckland.publish("roads/\(secret.next() % 2)", content(&secret))
                }
            }
            switch story.pick(6) {
            case 0, 1, 2: try kitchener.publish("open/\(story.pick(3))", content(&story.random))
            case 3: visibleGrant = try kitchener.grant(boston.city, "kitchener.ca/more/**", under: story.agreement)
            case 4: if let visibleGrant { try kitchener.revoke(visibleGrant) }
            default: try kitchener.publish("more/\(story.pick(2))", content(&story.random), tlp: .red)
            }
            if step == 6 { world.link(0, 2).breakNow() }
            world.run(seconds: 3)
        }
        world.run(seconds: 60)
        #expect(try world.differences() == [], "seed \(seed)")
        #expect(world.violations == [], "seed \(seed)")
        return world.sent.filter { $0.to == boston.city || $0.from == boston.city }
    }

    @Test(arguments: 1...25 as ClosedRange<UInt64>) func hiddenWorkChangesNoByteOfWhatAnotherCityIsSent(seed: UInt64) throws {
        let without = try Self.tell(seed: seed, hidden: false)
        let with = try Self.tell(seed: seed, hidden: true)
        #expect(without.contains { $0.frame.type == .chunks })
        #expect(without.count == with.count, "seed \(seed)")
        for (number, (left, right)) in zip(without, with).enumerated() {
            guard left.frame == right.frame, left.at == right.at, left.from == right.from else {
                Issue.record(
                    "seed \(seed): frame \(number) differs: \(left.from) \(left.frame.type) at \(left.at), \(right.from) \(right.frame.type) at \(right.at)"
                )
                return
            }
        }
    }
}
