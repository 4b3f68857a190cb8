// Cities in memory: two or three nodes with their stores and disks, joined by links that a seed makes slow, cut and join again.
//
// Everything runs on one thread in virtual time: an event is a closure with a moment, and events of one moment run in the order in which they
// were made. Randomness comes from the seed, and each link has a source of its own, so that what happens on one link changes nothing on
// another. The same seed gives the same `traceHash`.
//
//   let world = try World(seed: 7, cities: ["kitchener.ca", "auckland.nz"])
//   let agreement = try world.agree(0, 1)
//   try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
//   try world.nodes[0].publish("roads", content)
//   world.connect(0, 1); world.run(seconds: 60)
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
public import HansaSync

public final class World {
    public enum Engine: String, Sendable { case memory, sqlite }

    /// A frame that a node made, at the moment at which it left the exchange.
    public struct Sent {
        public let at: Timestamp
        public let from: CityID
        public let to: CityID
        public let frame: Frame

        /// For people.
        var words: String {
            var what = ""
            if frame.type == .feed, let feed = try? Feed(frame) {
                let adds = feed.changes.count { if case .add = $0 { true } else { false } }
                what = ": view \(feed.view.short), round \(feed.round), \(feed.status), \(adds) added, "
                what +=
                    "\(feed.changes.count - adds) dropped, from \(Hex.encode(feed.since.prefix(4))) to \(Hex.encode(feed.cursor.prefix(4)))"
            }
            if frame.type == .views, let views = try? Views(frame) {
                what = views.lines.map { ": view \($0.view.short), round \(views.round), at \(Hex.encode($0.cursor.prefix(4)))" }
                    .joined()
            }
            return "\(at) \(from) → \(to): \(frame.type), \(frame.bodyCount) bytes\(what)"
        }
    }

    public struct Options: Sendable {
        public var engine = Engine.memory
        /// Longest delay of a frame on a link.
        public var delayMillisecondsMax: UInt64 = 80
        /// Longest time a worker takes.
        public var jobMillisecondsMax: UInt64 = 30
        public var limits = ExchangeLimits()
        /// Where a segment is sealed, and how long collection waits: `StoreCollection.Settings`.
        public var segmentBytesTarget = SegmentFormat.segmentBytesTarget
        public var collectionGraceMilliseconds: Int64 = 3_600_000
        /// Every other node asks for index and content of small releases together: both ways are walked.
        public var asksForSmall = false
        public init() {}
    }

    public let seed: UInt64
    public let options: Options
    public private(set) var nodes: [WorldNode] = []
    public private(set) var links: [WorldLink] = []
    public internal(set) var sent: [Sent] = []
    /// False where nobody looks at what was sent.
    var keepsSent = true
    /// Sessions that ended because a peer broke the rules; among honest nodes there are none.
    public internal(set) var violations: [String] = []
    /// What a check found; a history stops at the first.
    public internal(set) var findings: [String] = []
    /// What cities published, in order: for checks.
    public internal(set) var publications: [WorldPublication] = []
    /// Called for each frame when it leaves a node.
    var leaves: ((WorldConnection, Frame) -> Void)?
    /// How often sessions look at their timers. Waits of hours are run with fewer of them.
    var tickMilliseconds: UInt64 = 1000
    /// Called for every batch of frames that a node made, before they leave.
    public var onFrames: ((WorldNode, CityID, [Frame], Timestamp) -> Void)?

    public private(set) var now = World.start
    private var queue = EventQueue()
    private var trace = SHA256()
    private var words: [UInt8] = []
    private static let frameNames: [[UInt8]] = {
        var names = [[UInt8]](repeating: [], count: 256)
        for type in FrameType.allCases { names[Int(type.rawValue)] = Array("\(type)".utf8) }
        return names
    }()
    public private(set) var frameCount = 0
    /// Of these, frames of small releases that came together.
    public private(set) var smallFrameCount = 0
    public private(set) var eventCount = 0

    /// L3: so many turns a partner with credit may wait.
    static let idleTurnsMax = 2
    /// L2: so many rounds a repair may take.
    static let repairRoundsMax = 8
    /// Proofs of one package that a city keeps.
    static let disputesMax = 16

    public static let start = Timestamp(milliseconds: 1_790_000_000_000)

    public init(seed: UInt64, cities: [String], options: Options = Options()) throws {
        self.seed = seed
        self.options = options
        for (number, text) in cities.enumerated() {
            nodes.append(try WorldNode(self, number: number, city: CityID(text), seed: World.mix(seed, UInt64(number) + 1)))
        }
        for node in nodes { for other in nodes where other !== node { try node.learn(other) } }
        for left in nodes.indices {
            for right in nodes.indices where right > left {
                links.append(WorldLink(self, nodes[left], nodes[right], seed: World.mix(seed, UInt64(left * 16 + right) + 1000)))
            }
        }
    }

    // A session and its line hold each other while it runs.
    deinit { for link in links { link.forgetLines() } }

    /// A seed for a part of the world; parts do not share their randomness.
    public static func mix(_ seed: UInt64, _ part: UInt64) -> UInt64 {
        var generator = SplitMix64(seed: seed &+ part &* 0xD134_2543_DE82_EF95)
        return generator.next()
    }

    public func link(_ left: Int, _ right: Int) -> WorldLink {
        guard let link = links.first(where: { $0.joins(nodes[left].city, nodes[right].city) }) else {
            preconditionFailure("a node has no link to itself")
        }
        return link
    }

    func link(_ left: CityID, _ right: CityID) -> WorldLink? { links.first { $0.joins(left, right) } }

    public func connect(_ left: Int, _ right: Int) { link(left, right).connect() }

    // MARK: Time

    func after(_ milliseconds: UInt64, _ body: @escaping () -> Void) {
        queue.add(at: now.milliseconds + Int64(milliseconds), body)
    }

    /// Runs what happens within this time; the clock stands at its end afterwards.
    public func run(milliseconds: Int64) {
        let end = now.milliseconds + milliseconds
        while let event = queue.next(until: end) {
            now = Timestamp(milliseconds: event.at)
            eventCount += 1
            event.body()
        }
        now = Timestamp(milliseconds: end)
    }

    public func run(seconds: Int64) { run(milliseconds: seconds * 1000) }

    /// Runs until `isDone` holds, looking once a second; false when it does not within this time.
    public func run(seconds: Int64, until isDone: () -> Bool) -> Bool {
        for _ in 0..<seconds {
            if isDone() { return true }
            run(seconds: 1)
        }
        return isDone()
    }

    // MARK: Record

    func record(_ node: WorldNode, to peer: CityID, _ frames: [Frame]) {
        guard !frames.isEmpty else { return }
        for frame in frames {
            if keepsSent { sent.append(Sent(at: now, from: node.city, to: peer, frame: frame)) }
            frameCount += 1
            if frame.type == .small { smallFrameCount += 1 }
            // As `note("\(milliseconds) \(from) \(to) \(type)", body)`: texts are costly to put together, and these are many.
            words.removeAll(keepingCapacity: true)
            words.append(contentsOf: String(now.milliseconds).utf8)
            words.append(0x20)
            words.append(contentsOf: node.city.text.utf8)
            words.append(0x20)
            words.append(contentsOf: peer.text.utf8)
            words.append(0x20)
            words.append(contentsOf: World.frameNames[Int(frame.type.rawValue)])
            words.append(0)
            trace.update(words)
            trace.update(frame.head)
            trace.update(frame.tail)
        }
        onFrames?(node, peer, frames, node.now)
    }

    /// Makes something part of the trace.
    func note(_ text: String, _ bytes: [UInt8] = []) {
        trace.update(Array(text.utf8))
        trace.update(byte: 0)
        trace.update(bytes)
    }

    /// Over every frame and every fault, with its time.
    public var traceHash: Digest { trace.copy().finish() }
}

/// A heap of events by time, then by order of making. The closures lie beside it, so that the heap moves plain words.
private struct EventQueue {
    struct Event {
        let at: Int64
        let body: () -> Void
    }

    private struct Key {
        let at: Int64
        let order: UInt64
        let place: Int

        func comesBefore(_ other: Key) -> Bool { (at, order) < (other.at, other.order) }
    }

    private var heap: [Key] = []
    private var bodies: [(() -> Void)?] = []
    private var free: [Int] = []
    private var made: UInt64 = 0

    mutating func add(at moment: Int64, _ body: @escaping () -> Void) {
        made += 1
        let place = free.popLast() ?? bodies.count
        if place == bodies.count { bodies.append(body) } else { bodies[place] = body }
        heap.append(Key(at: moment, order: made, place: place))
        var child = heap.count - 1
        while child > 0, heap[child].comesBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next(until end: Int64) -> Event? {
        guard let first = heap.first, first.at <= end, let body = bodies[first.place] else { return nil }
        bodies[first.place] = nil
        free.append(first.place)
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in (2 * parent + 1)...(2 * parent + 2) where child < heap.count && heap[child].comesBefore(heap[least])
                {
                    least = child
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return Event(at: first.at, body: body)
    }
}
