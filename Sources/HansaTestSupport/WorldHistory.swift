// A history that a seed tells: cities publish, grant, revoke, agree, withdraw and terminate while links break, disks fill, clocks jump and nodes
// lose power; then everything heals, and all pairs must come to hold the same. Used by the tests and by `hansa-simulator`.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import HansaTerms

public struct WorldHistory {
    public struct Options: Sendable {
        public var steps = 40
        /// Two or three; nil: the seed decides.
        public var cities: Int?
        public var engine = World.Engine.memory
        public var faults = true
        /// Looks into every frame: slower.
        public var watchesTaint = true
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
        /// Virtual seconds from the end of faults until all pairs were equal.
        public let healSeconds: Int64
        /// Empty when everything held.
        public let findings: [String]
        /// What was done, in order.
        public let story: [String]
    }

    private let world: World
    private let options: Options
    private var random: SplitMix64
    private var story: [String] = []
    private var agreements: [(digest: Digest, parties: [Int])] = []
    private var grants: [(node: Int, id: String)] = []
    private var published: [Digest: WorldContent] = [:]
    private var paths: [Int: Set<String>] = [:]
    private var receiptsChecked = 0
    private var lastIssued = World.start
    private var findings: [String] = []
    private let watch: TaintWatch?

    public static func run(seed: UInt64, options: Options = Options()) throws -> Outcome {
        var history = try WorldHistory(seed: seed, options: options)
        return try history.tell()
    }

    private init(seed: UInt64, options: Options) throws {
        self.options = options
        random = SplitMix64(seed: World.mix(seed, 77))
        let isThree = random.next() % 3 == 0
        let count = options.cities ?? (isThree ? 3 : 2)
        var world = World.Options()
        world.engine = options.engine
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
        let made = try World(
            seed: seed, cities: Array(["kitchener.ca", "auckland.nz", "boston.gov"].prefix(count)), options: world)
        self.world = made
        watch = options.watchesTaint ? TaintWatch(made) : nil
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    private mutating func chance(_ one: Int, in all: Int) -> Bool { below(all) < one }

    private mutating func tell() throws -> Outcome {
        for left in world.nodes.indices {
            for right in world.nodes.indices where right > left {
                agreements.append((try world.agree(left, right, id: "exchange-\(left)-\(right)"), [left, right]))
                world.connect(left, right)
            }
        }
        for _ in 0..<options.steps {
            try step()
            if !world.findings.isEmpty { break }
            world.run(milliseconds: Int64(below(chance(1, in: 4) ? 8000 : 900)))
            for node in world.nodes where !node.isDown { attempt(node) { try node.timePasses() } }
            checkReceipts()
        }
        let healed = world.now
        if world.findings.isEmpty {
            story.append("heal")
            let untilIssued = lastIssued.milliseconds - world.now.milliseconds
            if untilIssued > 0 { world.run(milliseconds: untilIssued) }
            findings += try world.heal()
        }
        let healSeconds = (world.now.milliseconds - healed.milliseconds) / 1000
        if world.findings.isEmpty, findings.isEmpty { try checkQuiet() }
        checkReceipts()
        findings += world.findings
        findings += world.violations.map { "violation among honest nodes: \($0)" }
        return Outcome(
            seed: world.seed, trace: world.traceHash, frames: world.frameCount, events: world.eventCount,
            sessions: world.links.reduce(0) { $0 + $1.sessions },
            restarts: world.nodes.reduce(0) { $0 + $1.restarts }, releases: published.count, healSeconds: healSeconds,
            findings: findings, story: story)
    }

    /// A command at a node that may fail with its disk: then the process ends and begins again, as `hansa serve` under systemd.
    private func attempt(_ node: WorldNode, _ body: () throws -> Void) {
        guard !node.isDown else { return }
        do { try body() } catch { node.failed(.store(error)) }
    }

    // MARK: Steps

    private mutating func step() throws {
        let number = below(world.nodes.count)
        let node = world.nodes[number]
        guard !node.isDown else { return }
        switch below(options.faults ? 100 : 62) {
        case 0..<24: publish(number)
        case 24..<38: grant(number)
        case 38..<44:
            guard !grants.isEmpty else { return }
            let (owner, id) = grants[below(grants.count)]
            tell("\(world.nodes[owner].city) revokes \(id)")
            attempt(world.nodes[owner]) { try world.nodes[owner].revoke(id) }
        case 44..<48:
            guard let path = (paths[number] ?? []).sorted().first else { return }
            tell("\(node.city) withdraws \(path)")
            attempt(node) { try node.withdraw(path) }
        case 48..<51: agree(number)
        case 51..<53:
            let (digest, parties) = agreements[below(agreements.count)]
            guard parties.contains(number), agreements.count > 2 || chance(1, in: 3) else { return }
            tell("\(node.city) terminates \(digest.short)")
            attempt(node) { try node.terminate(digest) }
        case 53..<57: node.askAll()
        case 57..<62: node.announceAll()
        case 62..<70:
            let link = world.links[below(world.links.count)]
            tell("a link breaks")
            link.breakNow()
        case 70..<73:
            let link = world.links[below(world.links.count)]
            tell("a link is cut or joined")
            if link.isCut { link.join() } else { link.cut() }
        case 73..<81: crash(node)
        case 81..<86:
            let more = 1 + below(12)
            tell("\(node.city) will stop at disk operation +\(more)")
            node.disk.faults.stopAtOperation = node.disk.operations + more
        case 86..<90:
            if node.disk.faults.capacityBytes == nil {
                // 256 bytes to 64 KiB are left: some appends fit, others do not.
                let left = UInt64(256 << below(9))
                tell("\(node.city) has \(left) bytes left")
                node.disk.faults.capacityBytes = node.disk.usedBytes + left
            } else {
                tell("\(node.city) has room again")
                node.disk.faults.capacityBytes = nil
            }
        case 90..<92:
            tell("\(node.city) cannot fsync")
            node.disk.faults.failsSync = true
        case 92..<95:
            let jump = Int64(below(7_200_000)) - 3_600_000
            tell("\(node.city)'s clock jumps by \(jump / 1000) s")
            node.clockOffsetMilliseconds = jump
        default:
            node.slowness = node.slowness == 0 ? UInt64(below(3000)) : 0
            tell("\(node.city) is slow by \(node.slowness) ms")
        }
    }

    private mutating func tell(_ line: String) {
        story.append("\((world.now.milliseconds - World.start.milliseconds) / 1000) s: \(line)")
        world.note(line)
    }

    private mutating func crash(_ node: WorldNode) {
        tell("\(node.city) loses power")
        node.crash()
        if chance(1, in: 2) { node.restart() } else { world.after(UInt64(below(6000))) { node.restart() } }
    }

    private mutating func publish(_ number: Int) {
        let node = world.nodes[number]
        let path = ["roads/a", "roads/b", "water/a", "water/deep/b", "plans"][below(5)]
        // Chunks from one pool for all: packages, versions and cities share some of them.
        let big = chance(1, in: 12)
        var files: [(String, [[UInt8]])] = []
        for file in 0..<(1 + below(3)) {
            let chunks = (0..<(1 + below(big ? 40 : 5))).map { _ -> [UInt8] in
                let id = UInt64(below(60))
                return WorldContent.chunk(id, count: 4200 + Int(id) * (big ? 600 : 90))
            }
            files.append(("data/\(file).csv", chunks))
        }
        files.append(("datapackage.json", [WorldContent.chunk(UInt64(1000 + below(20)), count: 300)]))
        let content = WorldContent(files)
        let issued = chance(1, in: 15) ? node.now.adding(seconds: 3600) : nil
        attempt(node) {
            // Nothing is published twice: every one of its releases would look alike.
            let digest = try node.publish(path, content, tlp: chance(1, in: 6) ? .red : .green, issued: issued)
            published[digest] = content
            paths[number, default: []].insert(path)
            if let issued { lastIssued = max(lastIssued, issued) }
            tell("\(node.city) publishes \(path) as \(digest.short)\(issued == nil ? "" : ", an hour ahead")")
        }
    }

    private mutating func grant(_ number: Int) {
        let own = agreements.filter { $0.parties.contains(number) }
        guard !own.isEmpty else { return }
        let (digest, parties) = own[below(own.count)]
        guard let other = parties.first(where: { $0 != number }) else { return }
        let node = world.nodes[number]
        let pattern = ["\(node.city)/**", "\(node.city)/roads/**", "\(node.city)/water/**", "\(node.city)/plans"][below(4)]
        let until = chance(1, in: 4) ? node.now.adding(seconds: Int64(1 + below(30))) : nil
        let level: Grant.Level = chance(1, in: 5) ? .discover : .sync
        attempt(node) {
            let id = try node.grant(world.nodes[other].city, pattern, under: digest, level: level, until: until)
            grants.append((number, id))
            tell("\(node.city) grants \(level) of \(pattern) under \(digest.short)\(until.map { " until \($0)" } ?? "")")
        }
    }

    private mutating func agree(_ number: Int) {
        // A proposal that waits for us is accepted; otherwise we make one.
        let node = world.nodes[number]
        let waiting =
            (try? node.metadata.read { store in
                try store.agreements().filter {
                    $0.state(at: node.now) == .proposed && !$0.signedBy.contains(node.city) && $0.isParty(node.city)
                }
            })?.first
        if let waiting {
            if chance(1, in: 5) {
                tell("\(node.city) rejects \(waiting.digest.short)")
                attempt(node) { try node.reject(waiting.digest) }
            } else {
                tell("\(node.city) accepts \(waiting.digest.short)")
                attempt(node) { try node.accept(waiting.digest) }
            }
            return
        }
        let other = (number + 1 + below(world.nodes.count - 1)) % world.nodes.count
        let id = "more-\(story.count)"
        attempt(node) {
            let digest = try world.propose(number, other, id: id)
            agreements.append((digest, [number, other]))
            tell("\(node.city) proposes \(digest.short) to \(world.nodes[other].city)")
        }
    }

    // MARK: Checks

    /// S2: what a receipt frame says is accepted is here, whole, whatever happened since.
    private mutating func checkReceipts() {
        for sent in world.sent[receiptsChecked...] where sent.frame.type == .receipt {
            guard let node = world.nodes.first(where: { $0.city == sent.from }), let message = try? ReceiptMessage(sent.frame),
                let receipt = try? Receipt(payload: message.envelope.payload)
            else { continue }
            if node.isDown { return }
            for item in receipt.items where item.outcome == .accepted {
                do {
                    // What was only shown is acknowledged by its document alone.
                    let isShown = try node.metadata.read { store in
                        try store.release(item.release)?.hasContent == false
                            && store.holdings(of: item.release).allSatisfy { $0.state != .accepted || $0.level == .discover }
                    }
                    if try !isShown && node.files(of: item.release) != published[item.release] {
                        findings.append("S2: \(node.city) acknowledged \(item.release.short) and does not hold it whole")
                    }
                } catch {
                    // A disk that has stopped answers nothing until its restart.
                    if node.disk.faults.stopAtOperation == nil {
                        findings.append("S2: \(node.city), \(item.release.short): \(error)")
                    }
                }
            }
        }
        receiptsChecked = world.sent.count
    }

    private mutating func checkQuiet() throws {
        // S4: nothing of a withdrawn package is live anywhere.
        for publisher in world.nodes {
            for package in try publisher.metadata.read({ try $0.packages(of: publisher.city, after: nil, limit: .max) }) {
                let releases = try publisher.metadata.read { try $0.releases(of: package.package) }
                guard let withdrawn = releases.last(where: { $0.release.operation == .withdraw })?.release.seq else { continue }
                for recipient in world.nodes where recipient !== publisher {
                    try recipient.metadata.read { store in
                        for holding in try store.holdings(of: package.package) where holding.state == .accepted {
                            if let release = try store.release(holding.release), release.release.seq <= withdrawn {
                                findings.append(
                                    "S4: \(recipient.city) still holds \(package.package) seq \(release.release.seq), withdrawn at \(withdrawn)"
                                )
                            }
                        }
                    }
                }
            }
        }
        // News of the last second are still under way.
        world.run(seconds: 120)
        // S13 and completion: nothing says it is behind when the digests are equal.
        for node in world.nodes {
            for peer in world.nodes where peer !== node {
                guard let puller = node.puller(to: peer.city) else { continue }
                for (view, standing) in puller.standings {
                    let record = try node.metadata.read { store in
                        try store.subscribedView(view).flatMap { try store.agreement($0.agreement) }
                    }
                    guard record?.state(at: node.now) == .active else { continue }
                    if standing != .equal { findings.append("standing: \(node.city) of \(peer.city): \(standing)") }
                }
            }
        }
        // L5: nothing moves when all is equal.
        let before = world.frameCount
        world.run(seconds: 60)
        if world.frameCount != before {
            let types = world.sent.suffix(world.frameCount - before).map { "\($0.from) \($0.frame.type)" }
            findings.append(
                "L5: \(world.frameCount - before) frames while all was equal: \(types.prefix(8).joined(separator: ", "))")
        }
    }
}
