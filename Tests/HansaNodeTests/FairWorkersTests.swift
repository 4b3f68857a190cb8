import Dispatch
import HansaCore
import HansaTestSupport
import Synchronization
import Testing

@testable import HansaNode

extension FairQueue {
    /// Works that all begin at one moment and say in the end what they cost.
    fileprivate mutating func next() -> (key: Key, work: Work)? { next(at: 0) }
    fileprivate mutating func done(_ key: Key, cost: UInt64) { done(key, begun: 0, at: cost) }
}

@Suite struct FairWorkersTests {
    /// Keys that always have work: what each had of the threads after so many works.
    private static func serve(_ costs: [String: UInt64], works: Int) -> [String: UInt64] {
        var queue = FairQueue<String, Int>()
        for key in costs.keys.sorted() { queue.add(0, of: key) }
        var used: [String: UInt64] = [:]
        for number in 1...works {
            guard let (key, _) = queue.next() else { break }
            queue.add(number, of: key)
            queue.done(key, cost: costs[key] ?? 0)
            used[key, default: 0] += costs[key] ?? 0
        }
        return used
    }

    @Test func whoseWorkCostsMuchHasNoMoreOfTheThreads() throws {
        let costs: [String: UInt64] = ["dear": 100_000, "cheap": 1000, "middle": 7000]
        let used = Self.serve(costs, works: 50_000)
        let (least, most) = (try #require(used.values.min()), try #require(used.values.max()))
        #expect(used.count == 3 && most - least <= 100_000)
    }

    @Test func aKeysWorksKeepTheirOrderAndSomebodyNewWaitsForOneWorkOnly() {
        var queue = FairQueue<String, Int>()
        for number in 0..<100 { queue.add(number, of: "busy") }
        for expected in 0..<10 {
            let next = queue.next()
            #expect(next?.work == expected)
            queue.done("busy", cost: 5_000_000)
        }
        queue.add(1000, of: "new")
        #expect(queue.next()?.key == "new")
        queue.done("new", cost: 1)
        #expect(queue.next()?.work == 10)
    }

    /// Who was away has saved up nothing: it does not have the threads alone until it has caught up.
    @Test func timeAwayIsNoCredit() {
        var queue = FairQueue<String, Int>()
        for number in 0..<1000 { queue.add(number, of: "steady") }
        for _ in 0..<900 {
            _ = queue.next()
            queue.done("steady", cost: 1000)
        }
        for number in 0..<100 { queue.add(number, of: "back") }
        var turns = 0
        for _ in 0..<20 {
            guard let key = queue.next()?.key else { break }
            turns += key == "back" ? 1 : 0
            queue.done(key, cost: 1000)
        }
        #expect((9...11).contains(turns))
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5]) func everyWorkIsHandedOutOnceInItsKeysOrder(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var queue = FairQueue<UInt64, UInt64>()
        var (added, taken): ([UInt64: UInt64], [UInt64: UInt64]) = ([:], [:])
        var underWay: [UInt64] = []
        var left = 0
        for _ in 0..<5000 {
            switch random.next() % 3 {
            case 0:
                let key = random.next() % 7
                queue.add(added[key, default: 0], of: key)
                added[key, default: 0] += 1
                left += 1
            case 1:
                guard let (key, work) = queue.next() else {
                    #expect(left == 0, "seed \(seed)")
                    continue
                }
                #expect(work == taken[key, default: 0], "seed \(seed)")
                taken[key, default: 0] += 1
                underWay.append(key)
                left -= 1
            default:
                if !underWay.isEmpty {
                    queue.done(underWay.remove(at: Int(random.next() % UInt64(underWay.count))), cost: random.next() % 1000)
                }
            }
        }
        while let (key, work) = queue.next() {
            #expect(work == taken[key, default: 0], "seed \(seed)")
            taken[key, default: 0] += 1
            queue.done(key, cost: 1)
        }
        for key in underWay { queue.done(key, cost: 1) }
        #expect(taken == added && queue.isEmpty && queue.keyCount == 0, "seed \(seed)")
    }

    @Test func onOneThreadAPartnerThatAsksALotLetsAnotherGoBetween() async throws {
        let workers = FairWorkers(threads: 1)
        let names = try ["auckland.nz", "boston.gov"].map { try CityID($0) }
        let order = Mutex<[String]>([])
        let (begun, gate, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchGroup())
        workers.submit(of: .partner(names[0])) {
            begun.signal()
            gate.wait()
        }
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                begun.wait()
                continuation.resume()
            }
        }
        // The thread is taken: all of these wait.
        for name in [names[0], names[0], names[0], names[1]] {
            done.enter()
            workers.submit(of: .partner(name)) {
                order.withLock { $0.append(name.text) }
                done.leave()
            }
        }
        gate.signal()
        await withCheckedContinuation { continuation in done.notify(queue: .global()) { continuation.resume() } }
        #expect(order.withLock { $0 } == ["boston.gov", "auckland.nz", "auckland.nz", "auckland.nz"])
        try await workers.shutDown()
    }

    @Test func aKeyWithTwoUnderWayGetsNoThird() {
        var queue = FairQueue<String, Int>(perKeyMax: 2)
        for number in 0..<4 { queue.add(number, of: "greedy") }
        #expect(queue.next(at: 0)?.work == 0)
        #expect(queue.next(at: 1)?.work == 1)
        // Not even while nobody else is there: who comes next would have to wait for it.
        #expect(queue.next(at: 2) == nil)
        queue.add(100, of: "honest")
        #expect(queue.next(at: 3)?.key == "honest")
        queue.done("greedy", begun: 1, at: 4)
        #expect(queue.next(at: 5)?.work == 2)
        #expect(queue.next(at: 6) == nil)
    }

    /// A work that takes for ever is seen to take, not when it is done.
    @Test func whatRunsCountsWhileItRuns() {
        var queue = FairQueue<String, Int>(perKeyMax: 2)
        queue.add(0, of: "long")
        #expect(queue.next(at: 0)?.key == "long")
        queue.add(1, of: "short")
        #expect(queue.next(at: 0)?.key == "short")
        queue.done("short", begun: 0, at: 1_000_000)
        queue.add(2, of: "long")
        queue.add(3, of: "short")
        #expect(queue.next(at: 5_000_000)?.key == "short")
        queue.done("short", begun: 5_000_000, at: 5_000_001)
        #expect(queue.next(at: 5_000_002)?.key == "long")
        queue.add(5, of: "late")
        // Told twice it is not: what it used is the same when it is done.
        queue.done("long", begun: 0, at: 6_000_000)
        queue.done("long", begun: 5_000_002, at: 6_000_000)
        queue.add(4, of: "long")
        #expect(queue.next(at: 6_000_000)?.key == "late")
    }

    /// A partner whose sessions each left a long job behind has two threads; another's work is done while they are held, and in the end all of its own.
    @Test func whoHoldsItsThreadsLeavesTheOthersFree() async throws {
        let workers = FairWorkers(threads: 4)
        let names = try ["auckland.nz", "boston.gov"].map { try CityID($0) }
        let gate = DispatchSemaphore(value: 0)
        let underWay = Mutex((now: 0, most: 0))
        let greedy = DispatchGroup()
        for _ in 0..<8 {
            greedy.enter()
            workers.submit(of: .partner(names[0])) {
                underWay.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                gate.wait()
                underWay.withLock { $0.now -= 1 }
                greedy.leave()
            }
        }
        for _ in 0..<20 {
            await withCheckedContinuation { continuation in
                workers.submit(of: .partner(names[1])) { continuation.resume() }
            }
        }
        for _ in 0..<8 { gate.signal() }
        await withCheckedContinuation { continuation in greedy.notify(queue: .global()) { continuation.resume() } }
        #expect(underWay.withLock { $0.most } <= FairWorkers.perKeyMax)
        try await workers.shutDown()
    }
}
