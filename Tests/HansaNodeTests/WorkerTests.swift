import Foundation
import HansaStore
import Synchronization
import Testing

@testable import HansaNode

@Suite struct WorkerTests {
    /// What the body did, and a way to wait for it.
    private final class Steps: Sendable {
        private let count = Mutex(0)
        private let done = DispatchSemaphore(value: 0)

        var number: Int { count.withLock { $0 } }
        func add() {
            count.withLock { $0 += 1 }
            done.signal()
        }
        func next() { done.wait() }
    }

    @Test func stoppingEndsAPauseAtOnceAndReturnsWhenTheBodyHasReturned() {
        let worker = Worker()
        let steps = Steps()
        worker.start { worker in
            steps.add()
            while worker.pause(seconds: 1_000_000) { Issue.record("the pause ended by itself") }
            steps.add()
        }
        steps.next()
        worker.stop()
        #expect(steps.number == 2)
    }

    @Test func aWorkerThatWasNeverStartedStopsAtOnce() { Worker().stop() }

    @Test func aPauseEndsByItselfAndNotByAWake() {
        let worker = Worker()
        let steps = Steps()
        worker.start { worker in
            for _ in 0..<3 { if worker.pause(seconds: 0) { steps.add() } }
            let begun = ContinuousClock.now
            worker.wake()
            if worker.pause(seconds: 0.05), ContinuousClock.now - begun >= .milliseconds(50) { steps.add() }
        }
        for _ in 0..<4 { steps.next() }
        worker.stop()
        #expect(steps.number == 4)
    }

    @Test func wakesAreNotLostAndThoseThatComeTogetherCountOnce() {
        let worker = Worker()
        let steps = Steps()
        let entered = DispatchSemaphore(value: 0)
        let released = DispatchSemaphore(value: 0)
        // Before anybody waits.
        worker.wake()
        worker.wake()
        worker.start { worker in
            while worker.waitForWake(gatheringSeconds: 0) {
                steps.add()
                entered.signal()
                released.wait()
            }
            steps.add()
        }
        entered.wait()
        // While the body is at work.
        worker.wake()
        released.signal()
        entered.wait()
        #expect(steps.number == 2)
        released.signal()
        worker.stop()
        #expect(steps.number == 3)
    }

    @Test func stoppingEndsTheWaitForAWakeAndTheGathering() {
        let worker = Worker()
        let steps = Steps()
        worker.start { worker in
            #expect(!worker.waitForWake(gatheringSeconds: 1_000_000))
            steps.add()
        }
        worker.wake()
        worker.stop()
        #expect(steps.number == 1)
    }

    @Test func wordsOfThePaceAreReadAndOthersPassedOver() {
        var pace = StorePace()
        #expect(StorePace("") == pace)
        #expect(StorePace("grace=-1 first every=x what=3") == pace)
        (pace.segmentBytes, pace.firstSeconds, pace.everySeconds, pace.graceSeconds) = (65_536, 0, 0.2, 0)
        #expect(StorePace("segmentBytes=65536 first=0 every=0.2 grace=0") == pace)
        #expect(pace.collection.graceMilliseconds == 0)
    }
}
