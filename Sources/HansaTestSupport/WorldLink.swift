internal import HansaCore
internal import HansaSync

/// What joins two nodes: sessions, mostly one at a time, their two directions, and what goes wrong with them.
public final class WorldLink {
    /// One TLS connection: bytes arrive in order within a direction, unless the seed repeats or swaps them.
    final class Line {
        fileprivate(set) var ends: [WorldConnection] = []
        fileprivate var lastArrival: [Int64] = [0, 0]
        /// Frames were repeated or came out of order: what the ends say of each other's manners means nothing.
        fileprivate(set) var isDisturbed = false
        fileprivate var isOver = false
        /// One end's TLS key was given up while the session began.
        var isRefused = false
    }

    private unowned let world: World
    let left: WorldNode
    let right: WorldNode
    private var random: SplitMix64
    private(set) var lines: [Line] = []
    /// While it is cut no session begins; one that runs ends.
    public private(set) var isCut = false
    /// Sessions are begun again by themselves after they ended.
    public var redials = true
    /// So many of the next frames may come twice, or after their successors: a peer's bug, since TLS does neither.
    public var framesDisturbed = 0
    private var isDialling = false
    public private(set) var sessions = 0
    /// Somebody wanted a session over it.
    public private(set) var isUsed = false
    /// Frames were repeated or came out of order at some time.
    public private(set) var wasDisturbed = false
    private var begun: Int64 = 0
    private var failures: UInt64 = 0

    init(_ world: World, _ left: WorldNode, _ right: WorldNode, seed: UInt64) {
        self.world = world
        self.left = left
        self.right = right
        random = SplitMix64(seed: seed)
    }

    func joins(_ one: CityID, _ other: CityID) -> Bool {
        (left.city == one && right.city == other) || (left.city == other && right.city == one)
    }

    public var isConnected: Bool { !lines.isEmpty }
    var isHostile: Bool { left.isHostile || right.isHostile }

    func connect() {
        isUsed = true
        guard lines.isEmpty, !isCut, !left.isDown, !right.isDown else {
            // An attempt as much as one that a partner refuses: the next one waits longer.
            begun = world.now.milliseconds
            return dialLater()
        }
        dial()
    }

    /// Another session beside one that runs, as when both cities dial at once.
    public func dialAgain() { if !isCut, !left.isDown, !right.isDown { dial() } }

    private func dial() {
        sessions += 1
        begun = world.now.milliseconds
        let seed = random.next()
        let leftDials = random.next() & 1 == 0
        let line = Line()
        let dialler = leftDials ? left : right
        line.ends = [
            WorldConnection(
                world, left, link: self, line: line, side: 0, dialler: dialler.city,
                role: leftDials ? .dialled(right.city) : .accepted,
                seed: World.mix(seed, 1)),
            WorldConnection(
                world, right, link: self, line: line, side: 1, dialler: dialler.city,
                role: leftDials ? .accepted : .dialled(left.city), seed: World.mix(seed, 2)),
        ]
        lines.append(line)
        line.ends[0].handshakeCompleted(right.spki(shownTo: left.city))
        line.ends[1].handshakeCompleted(left.spki(shownTo: right.city))
    }

    /// Waits longer after each session that did not last, up to a minute.
    private func dialLater() {
        guard redials, !isDialling else { return }
        isDialling = true
        failures = world.now.milliseconds - begun > 10_000 ? 0 : min(failures + 1, 6)
        world.after(200 + random.next() % (1000 << failures)) { [self] in
            self.isDialling = false
            if self.lines.isEmpty { self.connect() }
        }
    }

    /// What is under way is lost.
    public func breakNow() {
        guard !lines.isEmpty else { return }
        world.note("break \(left.city) \(right.city)")
        let all = lines
        lines = []
        for line in all {
            end(line)
        }
        dialLater()
    }

    private func end(_ line: Line) {
        line.isOver = true
        let ends = line.ends
        line.ends = []
        for end in ends { end.peerGone() }
    }

    /// The world ends.
    func forgetLines() {
        for line in lines { line.ends = [] }
        lines = []
    }

    public func cut() {
        isCut = true
        breakNow()
    }

    public func join() {
        isCut = false
        if lines.isEmpty { connect() }
    }

    /// The ends that stand at a node.
    func ends(at node: WorldNode) -> [WorldConnection] { lines.flatMap { $0.ends.filter { $0.node === node } } }

    /// An end closed after it wrote: what it wrote still arrives, then the other end sees the close.
    func closed(_ end: WorldConnection, _ line: Line) {
        guard !line.isOver else { return }
        let wait = max(0, line.lastArrival[end.side] - world.now.milliseconds) + 1
        world.after(UInt64(wait)) { [self] in
            guard !line.isOver else { return }
            self.lines.removeAll { $0 === line }
            self.end(line)
            if self.lines.isEmpty { self.dialLater() }
        }
    }

    func send(_ bytes: [UInt8], from end: WorldConnection, _ line: Line) {
        guard !line.isOver else { return }
        let other = line.ends[1 - end.side]
        var arrival = max(
            line.lastArrival[end.side], world.now.milliseconds + 1 + Int64(random.next() % world.options.delayMillisecondsMax))
        if framesDisturbed > 0, end.isOpen {
            framesDisturbed -= 1
            switch random.next() % 6 {
            case 0:
                (line.isDisturbed, wasDisturbed) = (true, true)
                deliver(bytes, to: other, line, at: arrival + Int64(random.next() % 400))
            case 1:
                // It comes late: what follows overtakes it.
                (line.isDisturbed, wasDisturbed) = (true, true)
                return deliver(bytes, to: other, line, at: arrival + 1 + Int64(random.next() % 400))
            default: break
            }
        }
        if line.isDisturbed { arrival = max(arrival, line.lastArrival[end.side]) }
        line.lastArrival[end.side] = arrival
        deliver(bytes, to: other, line, at: arrival)
    }

    private func deliver(_ bytes: [UInt8], to other: WorldConnection, _ line: Line, at arrival: Int64) {
        world.after(UInt64(arrival - world.now.milliseconds)) {
            if !line.isOver { other.arrived(bytes) }
        }
    }
}
