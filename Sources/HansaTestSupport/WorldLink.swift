internal import HansaCore
internal import HansaSync

/// What joins two nodes: at most one session at a time, its two directions, and what goes wrong with them.
public final class WorldLink {
    private unowned let world: World
    let left: WorldNode
    let right: WorldNode
    private var random: SplitMix64
    private(set) var ends: [WorldConnection] = []
    /// Bytes arrive in order within a direction.
    private var lastArrival: [Int64] = [0, 0]
    /// While it is cut no session begins; one that runs ends.
    public private(set) var isCut = false
    /// Sessions are begun again by themselves after they ended.
    public var redials = true
    private var isDialling = false
    public private(set) var sessions = 0
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

    public var isConnected: Bool { !ends.isEmpty }

    func connect() {
        guard ends.isEmpty, !isCut, !left.isDown, !right.isDown else { return dialLater() }
        sessions += 1
        begun = world.now.milliseconds
        let seed = random.next()
        let leftDials = random.next() & 1 == 0
        lastArrival = [0, 0]
        let one = WorldConnection(
            world, left, link: self, side: 0, role: leftDials ? .dialled(right.city) : .accepted, seed: World.mix(seed, 1))
        let two = WorldConnection(
            world, right, link: self, side: 1, role: leftDials ? .accepted : .dialled(left.city), seed: World.mix(seed, 2))
        ends = [one, two]
        left.connections[right.city] = one
        right.connections[left.city] = two
        one.handshakeCompleted(right.spki(shownTo: left.city))
        two.handshakeCompleted(left.spki(shownTo: right.city))
    }

    /// Waits longer after each session that did not last, up to a minute.
    private func dialLater() {
        guard redials, !isDialling else { return }
        isDialling = true
        failures = world.now.milliseconds - begun > 10_000 ? 0 : min(failures + 1, 6)
        world.after(200 + random.next() % (1000 << failures)) { [weak self] in
            guard let self else { return }
            self.isDialling = false
            if self.ends.isEmpty { self.connect() }
        }
    }

    /// What is under way is lost.
    public func breakNow() {
        guard !ends.isEmpty else { return }
        world.note("break \(left.city) \(right.city)")
        let (one, two) = (ends[0], ends[1])
        ends = []
        one.peerGone()
        two.peerGone()
        dialLater()
    }

    public func cut() {
        isCut = true
        breakNow()
    }

    public func join() {
        isCut = false
        if ends.isEmpty { connect() }
    }

    /// An end closed after it wrote: what it wrote still arrives, then the other end sees the close.
    func closed(_ end: WorldConnection) {
        guard ends.contains(where: { $0 === end }) else { return }
        let other = ends[1 - end.side]
        let wait = max(0, lastArrival[end.side] - world.now.milliseconds) + 1
        world.after(UInt64(wait)) { [weak self] in
            guard let self, self.ends.contains(where: { $0 === other }) else { return }
            self.ends = []
            other.peerGone()
            end.peerGone()
            self.dialLater()
        }
    }

    func send(_ bytes: [UInt8], from end: WorldConnection) {
        guard ends.contains(where: { $0 === end }) else { return }
        let other = ends[1 - end.side]
        let arrival = max(
            lastArrival[end.side], world.now.milliseconds + 1 + Int64(random.next() % world.options.delayMillisecondsMax))
        lastArrival[end.side] = arrival
        world.after(UInt64(arrival - world.now.milliseconds)) { [weak self, weak other] in
            guard let self, let other, self.ends.contains(where: { $0 === other }) else { return }
            other.arrived(bytes)
        }
    }
}
