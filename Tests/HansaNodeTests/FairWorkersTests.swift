import Dispatch
import HansaCore
import HansaTestSupport
import Synchronization
import Testing

@testable import HansaNode

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
}
