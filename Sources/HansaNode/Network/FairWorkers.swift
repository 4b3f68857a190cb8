internal import HansaCore
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Whose work is next on threads that all share: of those that wait, the one that had least of the threads since it began to wait (start-time fair queueing). So
/// a partner whose every ask costs much (deltas, repairs, bad signatures) makes nobody wait for more than the work that is under way, and
/// threads that nobody else wants are all its own.
///
/// Pure: what work costs is told by the caller, in nanoseconds.
struct FairQueue<Key: Hashable & Sendable, Work> {
    private struct Line {
        var works: [(order: UInt64, work: Work)] = []
        var head = 0
        /// Nanoseconds of threads, on a scale that all share.
        var used: UInt64
        /// Works that were handed out and are not done.
        var underWay = 0

        var first: (order: UInt64, work: Work)? { head < works.count ? works[head] : nil }
    }

    private var lines: [Key: Line] = [:]
    private var orders: UInt64 = 0
    /// Where the one stood that was served last: who comes anew begins here, and has saved up nothing.
    private var floor: UInt64 = 0

    var isEmpty: Bool { lines.values.allSatisfy { $0.first == nil } }
    /// Whose work waits or is under way.
    var keyCount: Int { lines.count }

    mutating func add(_ work: Work, of key: Key) {
        orders += 1
        var line = lines[key] ?? Line(used: floor)
        if line.first == nil, line.underWay == 0 { line.used = max(line.used, floor) }
        line.works.append((orders, work))
        lines[key] = line
    }

    /// One of a key's works after the other, in their order; several may be under way. O(keys that wait).
    mutating func next() -> (key: Key, work: Work)? {
        var best: (key: Key, used: UInt64, order: UInt64)?
        for (key, line) in lines {
            guard let first = line.first else { continue }
            if let best, (best.used, best.order) < (line.used, first.order) { continue }
            best = (key, line.used, first.order)
        }
        guard let key = best?.key, var line = lines.removeValue(forKey: key), let first = line.first else { return nil }
        floor = max(floor, line.used)
        line.head += 1
        line.underWay += 1
        if line.head == line.works.count {
            line.works.removeAll(keepingCapacity: true)
            line.head = 0
        }
        lines[key] = line
        return (key, first.work)
    }

    mutating func done(_ key: Key, cost nanoseconds: UInt64) {
        guard var line = lines[key] else { return }
        line.used += nanoseconds
        line.underWay -= 1
        // Nothing of it is left: forgotten, unless what it used would let it begin ahead of the others.
        lines[key] = line.first == nil && line.underWay == 0 && line.used <= floor ? nil : line
        if line.first == nil, line.underWay == 0 { forgetIdle() }
    }

    /// Those that used more than the floor are kept while anybody else is here, so that a short pause is no fresh start.
    private mutating func forgetIdle() {
        let isIdle = lines.values.allSatisfy { $0.first == nil && $0.underWay == 0 }
        if isIdle {
            lines = [:]
            floor = 0
        } else {
            lines = lines.filter { $1.first != nil || $1.underWay > 0 || $1.used > floor }
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

    private let pool: NIOThreadPool
    private let queue = Mutex(FairQueue<Key, @Sendable () -> Void>())

    init(threads: Int) {
        pool = NIOThreadPool(numberOfThreads: threads)
        pool.start()
    }

    /// Dropped where the threads are shut down before its turn.
    func submit(of key: Key, _ work: @escaping @Sendable () -> Void) {
        queue.withLock { $0.add(work, of: key) }
        // As many turns as works: which work a turn is for is decided when it comes.
        pool.submit { [self] state in
            guard case .active = state, let (key, work) = queue.withLock({ $0.next() }) else { return }
            let start = ContinuousClock.now
            work()
            let cost = start.duration(to: .now) / .nanoseconds(1)
            queue.withLock { $0.done(key, cost: UInt64(max(1, cost))) }
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
