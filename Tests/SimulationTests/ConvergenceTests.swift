import HansaCore
import HansaSync
import HansaTestSupport
import Testing

@Suite struct ConvergenceTests {
    static func content(_ number: UInt64) -> WorldContent {
        WorldContent([
            ("data/a.csv", (0..<5).map { WorldContent.chunk(number * 10 + $0, count: 5000 + Int($0) * 700) }),
            ("data/b.csv", (3..<7).map { WorldContent.chunk(number * 10 + $0, count: 5000 + Int($0) * 700) }),
            ("datapackage.json", [WorldContent.chunk(number + 77, count: 900)]),
        ])
    }

    @Test(arguments: [World.Engine.memory, .sqlite]) func twoCitiesComeToHoldTheSame(engine: World.Engine) throws {
        var options = World.Options()
        options.engine = engine
        let world = try World(seed: 1, cities: ["kitchener.ca", "auckland.nz"], options: options)
        let watch = TaintWatch(world)
        let agreement = try world.agree(0, 1)
        let (kitchener, auckland) = (world.nodes[0], world.nodes[1])
        try kitchener.grant(auckland.city, "kitchener.ca/roads/**", under: agreement)
        let first = try kitchener.publish("roads/breaks", Self.content(1))
        try kitchener.publish("secret/plans", Self.content(1))
        world.connect(0, 1)
        world.run(seconds: 20)
        #expect(try world.differences() == [])
        #expect(try auckland.files(of: first) == Self.content(1))
        // Pushed while the session lives.
        let second = try kitchener.publish("roads/breaks", Self.content(2))
        world.run(seconds: 20)
        #expect(try auckland.files(of: second) == Self.content(2))
        #expect(try world.differences() == [])
        #expect(world.findings == [])
        #expect(world.violations == [])
        #expect(watch.framesChecked > 10)
    }

    @Test func anAgreementIsProposedAndAcceptedOverTheWire() throws {
        let world = try World(seed: 2, cities: ["kitchener.ca", "auckland.nz"])
        world.connect(0, 1)
        let agreement = try world.propose(0, 1)
        world.run(seconds: 5)
        #expect(try world.nodes[1].accept(agreement))
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[1].grant(world.nodes[0].city, "auckland.nz/**", under: agreement)
        let one = try world.nodes[0].publish("a", Self.content(3))
        let two = try world.nodes[1].publish("b", Self.content(4))
        world.run(seconds: 20)
        #expect(try world.differences() == [])
        #expect(try world.nodes[1].files(of: one) == Self.content(3))
        #expect(try world.nodes[0].files(of: two) == Self.content(4))
        #expect(world.violations == [])
    }

    /// A command that ends with its first round must not say "in sync" while the paper that waited for it is on its way.
    @Test func aRoundEndsAfterThePapersThatWaitedForIt() throws {
        for seed in UInt64(0)..<50 {
            let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"])
            let (kitchener, auckland) = (world.nodes[0], world.nodes[1])
            _ = try world.agree(0, 1)
            let waiting = try world.propose(0, 1, id: "another")
            world.connect(0, 1)
            var steps = 0
            func hasEnded() -> Bool {
                auckland.puller(to: kitchener.city).map { !$0.standings.isEmpty && $0.isSettled } ?? false
            }
            while !hasEnded(), steps < 60_000 {
                world.run(milliseconds: 1)
                steps += 1
            }
            #expect(steps < 60_000, "seed \(seed): no round ended")
            #expect(try auckland.metadata.read { try $0.agreement(waiting) } != nil, "seed \(seed)")
        }
    }
}
