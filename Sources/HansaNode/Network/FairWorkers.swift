internal import HansaCore
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Whose work is next on threads that all share: of those that wait, the one that had least of the threads since it began to wait (start-time fair queueing). So
/// a partner whose every ask costs much (deltas, repairs, bad signatures) makes nobody wait for more than the work that is under way; and of that
/// no key has more than `perKeyMax` at once, also where nobody else waits yet: who comes then finds a thread.
///
/// Pure: the time is told by the caller, in nanoseconds of a clock that does not go back.
struct FairQueue<Key: Hashable & Sendable, Work> {
    private struct Line {
        var works: [(order: UInt64, work: Work)] = []
        var head = 0
        /// Nanoseconds of threads, on a scale that all share, without what is under way.
        var used: UInt64
        /// When each of the works began that were handed out and are not done.
        var begun: [UInt64] = []

        var first: (order: UInt64, work: Work)? { head < works.count ? works[head] : nil }
        /// What runs counts while it runs: else who has the longest works would seem to use least.
        func used(at now: UInt64) -> UInt64 { begun.reduce(used) { $0 + (now > $1 ? now - $1 : 0) } }
    }

    /// Works of one key that may be under way at once.
    let perKeyMax: Int
    private var lines: [Key: Line] = [:]
    private var orders: UInt64 = 0
    /// Where the one stood that was served last: who comes anew begins here, and has saved up nothing.
    private var floor: UInt64 = 0

    init(perKeyMax: Int = .max) { self.perKeyMax = perKeyMax }

    var isEmpty: Bool { lines.values.allSatisfy { $0.first == nil } }
    /// Whose work waits or is under way.
    var keyCount: Int { lines.count }

    mutating func add(_ work: Work, of key: Key) {
        orders += 1
        var line = lines[key] ?? Line(used: floor)
        if line.first == nil, line.begun.isEmpty { line.used = max(line.used, floor) }
        line.works.append((orders, work))
        lines[key] = line
    }

    /// One of a key's works after the other, in their order; several may be under way. Nil: none waits but of keys that have as much under way as they
    /// may. O(keys that wait).
    mutating func next(at now: UInt64) -> (key: Key, work: Work)? {
        var best: (key: Key, used: UInt64, order: UInt64)?
        for (key, line) in lines {
            guard let first = line.first, line.begun.count < perKeyMax else { continue }
            let used = line.used(at: now)
            if let best, (best.used, best.order) < (used, first.order) { continue }
            best = (key, used, first.order)
        }
        guard let best, var line = lines.removeValue(forKey: best.key), let first = line.first else { return nil }
        floor = max(floor, best.used)
        line.head += 1
        line.begun.append(now)
        if line.head == line.works.count {
            line.works.removeAll(keepingCapacity: true)
            line.head = 0
        }
        lines[best.key] = line
        return (best.key, first.work)
    }

    /// A work that was handed out at `begin` is done.
    mutating func done(_ key: Key, begun begin: UInt64, at now: UInt64) {
        guard var line = lines[key], let place = line.begun.firstIndex(of: begin) else { return }
        line.begun.remove(at: place)
        line.used += now > begin ? now - begin : 0
        // Nothing of it is left: forgotten, unless what it used would let it begin ahead of the others.
        let isIdle = line.first == nil && line.begun.isEmpty
        lines[key] = isIdle && line.used <= floor ? nil : line
        if isIdle { forgetIdle() }
    }

    /// Those that used more than the floor are kept while anybody else is here, so that a short pause is no fresh start.
    private mutating func forgetIdle() {
        let isIdle = lines.values.allSatisfy { $0.first == nil && $0.begun.isEmpty }
        if isIdle {
            lines = [:]
            floor = 0
        } else {
            lines = lines.filter { $1.first != nil || !$1.begun.isEmpty || $1.used > floor }
        }
    }
}

/// The threads on which sessions decide, read and write: a fair part for each partner, and one part for all whose name is not known yet.
final class FairWorkers: Sendable {
    enum Key: Hashable {
        case partner(CityID)
        case strangers
        /// The node's own.
        case own
    }

    /// A session has two jobs at most, and one that was replaced may end its own beside them. Half of the threads at the least is for the others.
    static let perKeyMax = 2

    private struct State {
        var queue = FairQueue<Key, @Sendable () -> Void>(perKeyMax: FairWorkers.perKeyMax)
        /// Turns that found only works of keys that had enough under way: each comes again when one of those is done.
        var turnsOwed = 0
    }

    private let pool: NIOThreadPool
    private let state = Mutex(State())
    private let begin = ContinuousClock.now

    init(threads: Int) {
        pool = NIOThreadPool(numberOfThreads: threads)
        pool.start()
    }

    private var now: UInt64 { UInt64(max(0, begin.duration(to: .now) / .nanoseconds(1))) }

    /// Dropped where the threads are shut down before its turn.
    func submit(of key: Key, _ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.queue.add(work, of: key) }
        takeTurn()
    }

    /// As many turns as works that wait: which work a turn is for is decided when it comes.
    private func takeTurn() {
        pool.submit { [self] pool in
            guard case .active = pool else { return }
            let start = now
            let next = state.withLock { state in
                let next = state.queue.next(at: start)
                if next == nil { state.turnsOwed += 1 }
                return next
            }
            guard let (key, work) = next else { return }
            work()
            let end = now
            let comesAgain = state.withLock { state in
                state.queue.done(key, begun: start, at: end)
                guard state.turnsOwed > 0 else { return false }
                state.turnsOwed -= 1
                return true
            }
            if comesAgain { takeTurn() }
        }
    }

    /// Runs `work` on a thread, then `done` with its result on the loop.
    func submit<T: Sendable>(
        of key: Key, on loop: any EventLoop, _ work: @escaping @Sendable () -> T, done: @escaping (T) -> Void
    ) {
        // The closure is called on the loop that made it, where its captures belong.
        let bound = NIOLoopBound(done, eventLoop: loop)
        submit(of: key) {
            let result = work()
            loop.execute { bound.value(result) }
        }
    }

    func shutDown() async throws { try await pool.shutdownGracefully() }
}
