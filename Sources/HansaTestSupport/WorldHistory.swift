// A history that a seed tells: cities publish, grant, revoke, agree, withdraw and terminate while links break, disks fill and lie, clocks jump, nodes
// lose power and partners lie; then everything heals, and all honest pairs must come to hold the same. Used by the tests and by `hansa-simulator`.
//
// Each step draws from a source of its own, so that a step can be left out and the others stay what they are: `WorldShrink` does.
public import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

public struct WorldHistory {
    public struct Options: Sendable {
        public var kind = WorldKind.mixed
        public var steps = 40
        /// 2 to 12; nil: the seed decides.
        public var cities: Int?
        public var engine = World.Engine.memory
        /// False: the kind's troubles stay away.
        public var faults = true
        /// Looks into every frame: slower.
        public var watchesTaint = true
        /// Tells the last frames too.
        public var tellsFrames = false
        /// Steps that are left out, by number.
        public var without: Set<Int> = []
        public init() {}
    }

    public struct Outcome: Sendable {
        public let seed: UInt64
        public let trace: Digest
        public let frames: Int
        public let events: Int
        public let sessions: Int
        public let restarts: Int
        public let releases: Int
        public let smallFrames: Int
        /// Releases that were made whole again by a partner, and passes of collection.
        public let healed: Int
        public let collections: Int
        public let segmentsCollected: Int
        /// Repairs between honest cities, and the rounds that the longest took.
        public let repairs: Int
        public let repairRoundsMost: Int
        public let cities: Int
        public let troubles: Set<Trouble>
        /// Virtual seconds from the end of faults until all pairs were equal.
        public let healSeconds: Int64
        let healRounds: Int
        /// Steps that were come to, left out ones included.
        public let stepsTaken: Int
        /// Empty when everything held. Each begins with the name of an `Invariant`.
        public let findings: [String]
        /// What was done, in order.
        public let story: [String]
    }

    let world: World
    let options: Options
    let troubles: Set<Trouble>
    let choices: [(Deed, Int)]
    var random: SplitMix64
    var stepNumber = 0
    private var story: [String] = []
    var agreements: [(digest: Digest, parties: [Int])] = []
    var region: Region?
    var grants: [(node: Int, id: String)] = []
    var paths: [Int: Set<String>] = [:]
    var backups: [Int: WorldBackup] = [:]
    /// Those of two that run from one backup that wait for their turn.
    var twins: [Int: WorldBackup] = [:]
    var lastIssued = World.start
    private var findings: [String] = []
    let watch: WorldWatch
    private let taint: TaintWatch?
    /// How long this history took to heal when it was told before: now only its trace is wanted.
    private let knownRounds: Int?

    private static let cities = [
        "kitchener.ca", "auckland.nz", "boston.gov", "dublin.ie", "espoo.fi", "fukuoka.jp", "ghent.be", "helsinki.fi", "izmir.tr",
        "jena.de", "kigali.rw", "lisbon.pt",
    ]
    public static let citiesMax = cities.count

    public static func run(seed: UInt64, options: Options = Options()) throws -> Outcome {
        var history = try WorldHistory(seed: seed, options: options)
        return history.tell()
    }

    /// The trace of the same history told again. Where everything held, the watches are left out: they see and do not touch, and saw it all the
    /// first time.
    public static func retrace(_ outcome: Outcome, options: Options = Options()) throws -> Digest {
        guard outcome.findings.isEmpty else { return try run(seed: outcome.seed, options: options).trace }
        var history = try WorldHistory(seed: outcome.seed, options: options, knownRounds: outcome.healRounds)
        return history.tell().trace
    }

    private init(seed: UInt64, options: Options, knownRounds: Int? = nil) throws {
        self.options = options
        self.knownRounds = knownRounds
        random = SplitMix64(seed: World.mix(seed, 77))
        let chosen = options.kind.troubles(&random)
        var familyRandom = SplitMix64(seed: World.mix(seed, 79))
        let ofFamily = options.kind.family(&familyRandom)?.troubles(&familyRandom)
        let troubles = options.faults ? ofFamily ?? chosen : []
        let drawn = options.kind.nodes(&random, troubles)
        let least = troubles.isDisjoint(with: Trouble.ofThree) ? 2 : 3
        let count = max(least, options.cities ?? drawn)
        // Stores in SQLite can be put back as files only, which a world in memory has none of.
        self.troubles =
            options.engine == .sqlite || troubles.contains(.collection)
            ? troubles.subtracting([.restores, .clones, .commitFaults]) : troubles
        var world = World.Options()
        world.asksForSmall = true
        world.engine = options.engine
        if troubles.contains(.collection) {
            world.engine = .sqlite
            world.segmentBytesTarget = 128 * 1024
            world.collectionGraceMilliseconds = 3000
        }
        choices = WorldHistory.choices(self.troubles)
        // Small batches and windows now and then, so that their edges are met by small histories.
        if random.next() % 2 == 0 {
            world.limits.contentAskedBytesMax = 64 * 1024
            world.limits.contentCreditBytes = 64 * 1024
            world.limits.flushBytes = 40 * 1024
            world.limits.flushMilliseconds = 1500
            world.limits.releaseAsksMax = 1
            world.limits.indexAsksMax = 1
        }
        if random.next() % 3 == 0 { world.limits.commitReleasesMax = 2 }
        world.jobMillisecondsMax = 1 + random.next() % 200
        world.delayMillisecondsMax = 1 + random.next() % 300
        let made = try World(seed: seed, cities: Array(WorldHistory.cities.prefix(count)), options: world)
        self.world = made
        made.keepsSent = knownRounds == nil
        watch = WorldWatch(made)
        taint = options.watchesTaint && knownRounds == nil ? TaintWatch(made) : nil
        if self.troubles.contains(.hostility), let last = made.nodes.last {
            last.hostility = WorldHostility(made, last, seed: World.mix(seed, 88))
        }
    }

    mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    mutating func chance(_ one: Int, in all: Int) -> Bool { below(all) < one }

    mutating func tell(_ line: String) {
        let seconds = (world.now.milliseconds - World.start.milliseconds) / 1000
        story.append("[\(stepNumber)] \(seconds) s: \(line)")
        world.note(line)
    }

    private mutating func tell() -> Outcome {
        var healing: (seconds: Int64, rounds: Int) = (0, 0)
        // What a step throws past the node that met it is a finding, with its story, and no end of the search.
        do { healing = try play() } catch { findings.append("THROWN: \(error)") }
        if options.tellsFrames, knownRounds == nil { story += world.sent.suffix(400).map(\.words) }
        findings = world.violations.map { "WIRE: violation among honest cities: \($0)" } + world.findings + findings
        return Outcome(
            seed: world.seed, trace: world.traceHash, frames: world.frameCount, events: world.eventCount,
            sessions: world.links.reduce(0) { $0 + $1.sessions },
            restarts: world.nodes.reduce(0) { $0 + $1.restarts }, releases: world.publications.count,
            smallFrames: world.smallFrameCount, healed: knownRounds == nil ? world.healedByPartners : 0,
            collections: world.nodes.reduce(0) { $0 + $1.passes },
            segmentsCollected: world.nodes.reduce(0) { $0 + $1.segmentsRewritten },
            repairs: watch.repairs, repairRoundsMost: watch.roundsMost, cities: world.nodes.count,
            troubles: troubles, healSeconds: healing.seconds, healRounds: healing.rounds, stepsTaken: stepNumber,
            findings: findings, story: story)
    }

    /// All steps, and the end. Returns the virtual time and the rounds that healing took.
    private mutating func play() throws -> (seconds: Int64, rounds: Int) {
        for left in world.nodes.indices {
            for right in world.nodes.indices where right > left {
                // Few cities all know each other; of many each knows its neighbours and some others.
                guard
                    world.nodes.count <= 4 || right == left + 1 || (left == 0 && right == world.nodes.count - 1)
                        || chance(1, in: 5)
                else { continue }
                agreements.append((try world.agree(left, right, id: "exchange-\(left)-\(right)"), [left, right]))
                world.connect(left, right)
            }
        }
        try beginRegion()
        // Who lies shows all that it has, and is shown something: else there would be little to lie about.
        if let liar = world.nodes.last, liar.isHostile {
            for (agreement, parties) in agreements where parties.contains(liar.number) {
                guard let other = parties.first(where: { $0 != liar.number }).map({ world.nodes[$0] }) else { continue }
                try liar.grant(other.city, "\(liar.city)/**", under: agreement)
                try other.grant(liar.city, "\(other.city)/roads/**", under: agreement)
            }
        }
        // Many cities do more between two looks at them.
        let stepsMax = options.steps * max(1, world.nodes.count / 3)
        while stepNumber < stepsMax, world.findings.isEmpty {
            defer { stepNumber += 1 }
            guard !options.without.contains(stepNumber) else { continue }
            random = SplitMix64(seed: World.mix(world.seed, 10_000 + UInt64(stepNumber)))
            try step()
            world.run(milliseconds: Int64(below(chance(1, in: 4) ? 8000 : 900)))
            for node in world.nodes where !node.isDown { attempt(node) { try node.keepHouse() } }
            if knownRounds == nil { watch.afterStep() }
        }
        let healed = world.now
        var healRounds = 0
        if world.findings.isEmpty {
            story.append("heal")
            let untilIssued = lastIssued.milliseconds - world.now.milliseconds
            if untilIssued > 0 { world.runLong(milliseconds: untilIssued) }
            let (left, rounds) = try world.heal(knownRounds: knownRounds)
            healRounds = rounds
            if knownRounds == nil { watch.afterStep() }
            // With a liar among them, that the others are held up is his doing.
            let isHostile = world.nodes.contains(where: \.isHostile)
            findings += left.map { isHostile && $0.hasPrefix("L1") ? "L4" + $0.dropFirst(2) : $0 }
        }
        let healSeconds = (world.now.milliseconds - healed.milliseconds) / 1000
        if world.findings.isEmpty, findings.isEmpty { try checkQuiet() }
        return (healSeconds, healRounds)
    }

    /// A command at a node that may fail with its disk: then the process ends and begins again, as `hansa serve` under systemd.
    func attempt(_ node: WorldNode, _ body: () throws -> Void) {
        guard !node.isDown else { return }
        do { try body() } catch { node.failed(.store(error)) }
    }

    private mutating func checkQuiet() throws {
        // News of the last second are still under way.
        world.runLong(milliseconds: 120_000, tickMilliseconds: 5000)
        guard knownRounds == nil else { return world.runLong(milliseconds: 60_000, tickMilliseconds: 5000) }
        watch.afterStep()
        // S13 and completion: nothing says it is behind when the digests are equal.
        for node in world.nodes where !node.isHostile {
            for peer in world.nodes where peer !== node && !peer.isHostile {
                guard let puller = node.puller(to: peer.city) else { continue }
                for (view, standing) in puller.standings {
                    let record = try node.metadata.read { store in
                        try store.subscribedView(view).flatMap { try store.agreement($0.agreement) }
                    }
                    guard let record, record.state(at: node.now) == .active else { continue }
                    // A partner that was put back has forgotten an agreement that was new; a person brings it again.
                    if peer.restores > 0, try peer.metadata.read({ try $0.agreement(record.digest) }) == nil { continue }
                    if standing != .equal {
                        findings.append("S13: \(node.city) of \(peer.city): \(standing); \(puller.load); \(puller.waits)")
                    }
                }
            }
        }
        // Entries are JSON, and slow to read: every other seed reads them.
        try watch.checkEnd(readsLogs: world.seed % 2 == 0)
        // L5: nothing moves when all is equal.
        let before = world.frameCount
        world.runLong(milliseconds: 60_000, tickMilliseconds: 5000)
        let moved = world.sent.suffix(world.frameCount - before).filter { sent in
            !world.nodes.contains { $0.isHostile && [sent.from, sent.to].contains($0.city) }
        }
        if !moved.isEmpty {
            let types = moved.prefix(8).map { "\($0.from) \($0.frame.type)" }
            findings.append("L5: \(moved.count) frames while all was equal: \(types.joined(separator: ", "))")
        }
    }
}
