import HansaCore
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// Packages that several cities write, and releases that one city passes on for another.
struct WritersTests {
    private let content = ConvergenceTests.content

    private func world(
        seed: UInt64, engine: World.Engine, redistribution: JSONValue = ["to": "none"], maintainers: JSONValue? = nil
    ) throws
        -> (World, Digest, TaintWatch)
    {
        var options = World.Options()
        options.engine = engine
        let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz", "waterloo.ca"], options: options)
        let watch = TaintWatch(world)
        let agreement = try world.propose(0, 1, 2, redistribution: redistribution, maintainers: maintainers)
        try world.signByAll(agreement, [0, 1, 2])
        return (world, agreement, watch)
    }

    private static func maintainers(_ rule: String) -> JSONValue {
        [["packages": ["kitchener.ca/regional/**"], "cities": ["kitchener.ca", "auckland.nz"], "rule": .string(rule)]]
    }

    private func heads(_ world: World, _ package: PackageID) throws -> [PackageRow?] {
        try world.nodes.map { node in try node.metadata.read { try $0.package(package) } }
    }

    @Test(arguments: [World.Engine.memory, .sqlite], ["any", "owner"])
    func concurrentReleasesGiveTheSameHeadsInEveryCity(engine: World.Engine, rule: String) throws {
        let (world, agreement, watch) = try world(seed: 7, engine: engine, maintainers: Self.maintainers(rule))
        let (kitchener, auckland, waterloo) = (world.nodes[0], world.nodes[1], world.nodes[2])
        let package = try PackageID("kitchener.ca/regional/assets")
        for (one, other) in [(kitchener, auckland), (kitchener, waterloo), (auckland, kitchener), (auckland, waterloo)] {
            try one.grant(other.city, "kitchener.ca/regional/**", under: agreement)
        }
        for (one, other) in [(0, 1), (0, 2), (1, 2)] { world.connect(one, other) }
        try kitchener.publish("regional/assets", content(1))
        world.run(seconds: 20)
        let mine = try kitchener.publish("regional/assets", content(2))
        let yours = try auckland.publish("regional/assets", of: kitchener.city, content(3))
        world.run(seconds: 20)
        #expect(try world.differences() == [] && world.findings == [] && world.violations == [])
        let rows = try heads(world, package)
        #expect(Set(rows.compactMap { $0?.head }).count == 1)
        if rule == "owner" { #expect(rows[2]?.head == mine) }
        for node in world.nodes {
            // No head is lost: both are here whole, and the graph has both.
            #expect(try node.files(of: mine) == content(2) && node.files(of: yours) == content(3))
            let state = try node.metadata.read { try node.context.heads(of: package, in: $0, at: node.now) }
            #expect(Set(state.graph.heads.flatMap(\.releases)) == [mine, yours], "\(node.city)")
        }
        // A crash between, and a merge by the maintainer; the owner publishes upon it.
        waterloo.crash()
        let merged = try auckland.publish("regional/assets", of: kitchener.city, content(4), merging: true)
        world.run(seconds: 5)
        waterloo.restart()
        world.run(seconds: 20)
        for node in world.nodes {
            let state = try node.metadata.read { try node.context.heads(of: package, in: $0, at: node.now) }
            #expect(state.graph.heads.flatMap(\.releases) == [merged], "\(node.city)")
        }
        let last = try kitchener.publish("regional/assets", of: kitchener.city, content(5), merging: true)
        world.run(seconds: 20)
        #expect(try heads(world, package).allSatisfy { $0?.head == last })
        #expect(try kitchener.withdraw("regional/assets"))
        world.run(seconds: 20)
        #expect(try heads(world, package).allSatisfy { $0?.isWithdrawn == true })
        #expect(try world.differences() == [] && world.findings == [] && world.violations == [])
        #expect(watch.framesChecked > 0)
    }

    @Test(arguments: [World.Engine.memory, .sqlite])
    func aReleasePassesThroughOneCityToAnotherAsItsTermAllows(engine: World.Engine) throws {
        let (world, agreement, watch) = try world(seed: 8, engine: engine, redistribution: ["to": "parties", "maxHops": 1])
        let (kitchener, auckland, waterloo) = (world.nodes[0], world.nodes[1], world.nodes[2])
        let granted = try kitchener.grant(auckland.city, "kitchener.ca/roads/**", under: agreement)
        try auckland.grant(waterloo.city, "kitchener.ca/**", under: agreement)
        let first = try kitchener.publish("roads/breaks", content(1))
        try kitchener.publish("secret/plans", content(1))
        world.connect(0, 1)
        world.connect(1, 2)
        world.run(seconds: 20)
        #expect(try waterloo.files(of: first) == content(1))
        let row = try waterloo.metadata.read { try $0.release(first) }
        #expect(row?.release.writer == kitchener.city && row?.servedBy == auckland.city)
        // Pushed on while the sessions live.
        let second = try kitchener.publish("roads/breaks", content(2))
        world.run(seconds: 20)
        #expect(try waterloo.files(of: second) == content(2))
        // The writer itself comes to share it: nothing of what is here is fetched again.
        try kitchener.grant(waterloo.city, "kitchener.ca/roads/**", under: agreement)
        let before = world.sent.count
        world.connect(0, 2)
        world.run(seconds: 20)
        #expect(
            !world.sent[before...].contains { $0.from == kitchener.city && $0.to == waterloo.city && $0.frame.type == .chunks })
        #expect(try world.differences() == [])
        // What is no longer shared with the one in the middle, it passes on no longer.
        try kitchener.revoke(granted)
        world.run(seconds: 20)
        let view = try auckland.metadata.read { store in
            try store.agreement(agreement).flatMap {
                try store.publishedView($0.viewID(publisher: auckland.city, recipient: waterloo.city))
            }
        }
        #expect(view?.members.count == 0)
        #expect(try world.differences() == [] && world.findings == [] && world.violations == [])
        #expect(watch.framesChecked > 10)
    }

    @Test func aWithdrawalAndATerminationComeTheWayTheReleaseCame() throws {
        let (world, agreement, watch) = try world(seed: 9, engine: .memory, redistribution: ["to": "parties", "maxHops": 1])
        let (kitchener, auckland, waterloo) = (world.nodes[0], world.nodes[1], world.nodes[2])
        try kitchener.grant(auckland.city, "kitchener.ca/**", under: agreement)
        try auckland.grant(waterloo.city, "kitchener.ca/**", under: agreement)
        let release = try kitchener.publish("roads/breaks", content(1))
        let other = try kitchener.publish("water", content(2))
        world.connect(0, 1)
        world.connect(1, 2)
        world.run(seconds: 20)
        #expect(try waterloo.files(of: release) == content(1) && waterloo.files(of: other) == content(2))
        try kitchener.withdraw("roads/breaks")
        world.run(seconds: 20)
        #expect(try waterloo.metadata.read { try $0.package(PackageID("kitchener.ca/roads/breaks")) }?.isWithdrawn == true)
        #expect(try world.differences() == [] && world.findings == [] && world.violations == [])
        try kitchener.terminate(agreement)
        world.run(seconds: 60)
        #expect(try waterloo.metadata.read { try $0.agreement(agreement) }?.state(at: waterloo.now) == .terminated)
        #expect(world.findings == [] && world.violations == [])
        #expect(watch.framesChecked > 0)
    }

    @Test func whatATermDoesNotLetPassOnStaysWhereItIs() throws {
        let (world, agreement, watch) = try world(seed: 10, engine: .memory)
        let (kitchener, auckland, waterloo) = (world.nodes[0], world.nodes[1], world.nodes[2])
        try kitchener.grant(auckland.city, "kitchener.ca/**", under: agreement)
        // As if the home's rows had been edited: no command makes such a grant.
        try auckland.grant(waterloo.city, "kitchener.ca/**", under: agreement)
        let release = try kitchener.publish("roads/breaks", content(1))
        world.connect(0, 1)
        world.connect(1, 2)
        world.run(seconds: 20)
        #expect(try auckland.files(of: release) == content(1))
        #expect(try waterloo.metadata.read { try $0.release(release) } == nil)
        // And one that lists it all the same is refused: the recipient reads the same term.
        try auckland.offer(release, to: waterloo.city)
        world.run(seconds: 20)
        #expect(try waterloo.metadata.read { try $0.release(release) } == nil)
        #expect(try waterloo.metadata.read { try $0.holdings(of: release) }.map(\.reason) == ["not-writer"])
        #expect(watch.framesChecked > 0)
    }
}
