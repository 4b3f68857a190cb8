import Synchronization
import Testing

@testable import HansaNode

@Suite struct WorkAheadTests {
    private struct Fault: Error {}

    @Test func resultsComeInTheOrderInWhichTheWorkWasGiven() throws {
        let ahead = WorkAhead<Int>(helpersMax: 3)
        var taken: [Int] = []
        for number in 0..<1000 {
            // Uneven, so that later ones are done before earlier ones.
            ahead.add { (0..<(number % 7 * 500)).reduce(number) { $0 ^ $1 ^ $1 } }
            while ahead.count > 8, let result = try ahead.next() { taken.append(result) }
        }
        while let result = try ahead.next() { taken.append(result) }
        #expect(taken == Array(0..<1000))
        #expect(ahead.count == 0)
    }

    @Test func withoutHelpersTheOwnerDoesAll() throws {
        let ahead = WorkAhead<Int>(helpersMax: 0)
        for number in 0..<5 { ahead.add { number * number } }
        #expect(try (0..<5).map { _ in try ahead.next() } == [0, 1, 4, 9, 16])
        #expect(try ahead.next() == nil)
    }

    @Test func eachPieceIsDoneOnce() throws {
        let done = Mutex([Int](repeating: 0, count: 500))
        let ahead = WorkAhead<Void>(helpersMax: 2)
        for number in 0..<500 { ahead.add { done.withLock { $0[number] += 1 } } }
        while try ahead.next() != nil {}
        #expect(done.withLock { $0 } == [Int](repeating: 1, count: 500))
    }

    @Test func aFaultIsThrownInItsTurnAndTheRestStays() throws {
        let ahead = WorkAhead<Int>(helpersMax: 1)
        ahead.add { 1 }
        ahead.add { throw Fault() }
        ahead.add { 3 }
        #expect(try ahead.next() == 1)
        #expect(throws: Fault.self) { try ahead.next() }
        #expect(try ahead.next() == 3)
    }
}
