import HansaCore
import HansaDocuments
import HansaSync
import HansaTestSupport
import NIOCore
import Testing

@testable import HansaNode

/// What one job of a session takes, and leaves for the next.
@Suite struct SessionJobsTests {
    /// A clock that goes on by so much each time it is looked at.
    private final class Steps {
        private var now = ContinuousClock.Instant.now
        private let step: Duration
        init(_ step: Duration) { self.step = step }
        func next() -> ContinuousClock.Instant {
            now += step
            return now
        }
    }

    private let kitchener: TestHome
    private let auckland: TestHome
    private let parts: SessionParts
    private var now: Timestamp { kitchener.node.clock.now }

    init() throws {
        (kitchener, auckland) = try TestHome.pair()
        try auckland.grant("auckland.nz/**", to: kitchener, under: Self.agree(kitchener, auckland))
        parts = SessionParts(kitchener.node.context, auckland.city, nil, kitchener.node.witnessing, documentsOnly: false)
    }

    private static func agree(_ one: TestHome, _ other: TestHome) throws -> String {
        let agreement = try one.propose(to: other)
        try exchange(one, other)
        _ = try other.node.agreementAccept(other.caller, id: agreement, officerKey: nil, dryRun: false)
        try exchange(one, other)
        return agreement
    }

    /// Runs jobs until nothing is left: how many, and all that they made.
    private func runAll(_ events: [PullEvent], step: Duration = .zero) -> (jobs: Int, results: [PullJob.Result]) {
        var inbox = CircularBuffer(events)
        var results: [PullJob.Result] = []
        while !inbox.isEmpty {
            let taken = JobBudget.take(from: &inbox, bytes: \.bytes)
            let clock = Steps(step)
            let result = parts.run(
                PullJob(events: taken, documentsOnly: false, now: now), within: JobBudget(clock: { clock.next() }))
            #expect(result.fault == nil)
            #expect(result.left.count < taken.count, "a job does something")
            for event in result.left.reversed() { inbox.prepend(event) }
            results.append(result)
        }
        return (results.count, results)
    }

    private static func acknowledgement(_ ids: [UInt64]) -> PullEvent {
        .documentsAcknowledged(DocumentsAcknowledged(items: ids.map { .init(id: $0, refusal: nil) }).frame)
    }

    @Test func aJobTakesSoManyFramesAndBytes() {
        func take(_ sizes: [Int]) -> [Int] {
            var inbox = CircularBuffer(sizes)
            return JobBudget.take(from: &inbox, bytes: { $0 })
        }
        #expect(take([Int](repeating: 6, count: 175_000)).count == JobBudget.framesMax)
        #expect(take([Int](repeating: 1 << 20, count: 24)).count == 2)
        #expect(take([3 << 20, 1]) == [3 << 20], "one at least")
        #expect(take([1, 3 << 20]) == [1])
        #expect(take([]) == [])
    }

    @Test func aHundredThousandEmptyAcknowledgementsAskNothing() throws {
        let first = runAll([.opened(held: 1, theirs: 1), .sendDocuments, .ask])
        #expect(first.results[0].frames.contains { $0.type == .views })
        #expect(parts.rounds == 1)
        let empty = runAll([PullEvent](repeating: Self.acknowledgement([]), count: 100_000))
        let unknown = runAll((0..<1000).map { Self.acknowledgement([$0 + 1_000_000]) })
        #expect(parts.rounds == 1)
        #expect(empty.jobs == 100_000 / JobBudget.framesMax + 1)
        for result in empty.results + unknown.results { #expect(result.frames == []) }
    }

    /// What was ours is followed by a round, one for all that a job hears of.
    @Test func acknowledgementsOfOursAreFollowedByOneRound() throws {
        for number in 0..<5 { _ = try kitchener.propose(to: auckland).isEmpty || number > 5 }
        let sent = runAll([.opened(held: 1, theirs: 1), .sendDocuments]).results.flatMap(\.frames)
        let items = try sent.filter { $0.type == .documents }.flatMap { try Documents($0).items }
        #expect(items.count >= 5)
        let heard = runAll(items.map { Self.acknowledgement([$0.id]) })
        #expect(heard.jobs == 1 && parts.rounds == 1)
        #expect(heard.results[0].frames.contains { $0.type == .views } && heard.results[0].areDocumentsOut)
        // The same word again says nothing.
        _ = runAll(items.map { Self.acknowledgement([$0.id]) })
        #expect(parts.rounds == 1)
    }

    @Test func aJobWhoseTimeIsUpLeavesTheRestInOrder() throws {
        let items = (0..<40).map { number in
            Documents.Item(id: UInt64(number + 1), envelope: Envelope(type: .receipt, payload: [UInt8(number)], signatures: []))
        }
        let events = items.map { PullEvent.documents(Documents(items: [$0]).frame) }
        // Looked at between events: 30 ms, 60 ms.
        let slow = runAll(events, step: .milliseconds(30))
        #expect(slow.jobs == 20)
        let answered = try slow.results.flatMap(\.frames).flatMap { try DocumentsAcknowledged($0).items.map(\.id) }
        #expect(answered == items.map(\.id))
        #expect(runAll(events).jobs == 1)
    }

    /// Frames for the puller go in batches, so that time is looked at between them too.
    @Test func framesOfAPublisherAreTakenInBatches() throws {
        _ = runAll([.ask])
        let announce = PullEvent.frame(Announce(lines: [.init(view: Digest.zero, digest: .zero)]).frame)
        let events = [PullEvent](repeating: announce, count: 300)
        #expect(runAll(events, step: .milliseconds(60)).jobs == 5)
        #expect(runAll(events).jobs == 1)
    }

    @Test func aPublishingJobLeavesWhatItHasNoTimeFor() throws {
        let views = Views(round: 1, lines: []).frame
        let events = [PublishEvent](repeating: .frame(views), count: 10)
        let clock = Steps(.milliseconds(20))
        let job = PublishJob(events: events, allowance: 0, shortAllowance: 0, now: now)
        let result = parts.run(job, within: JobBudget(clock: { clock.next() }))
        #expect(result.fault == nil && result.frames.count == 3 && result.left.count == 7)
        // The last words of a session are heard in jobs like any other.
        let last = Steps(.milliseconds(60))
        #expect(try parts.hear(events, within: JobBudget(clock: { last.next() }), at: now).count == 9)
        #expect(try parts.hear(events, within: JobBudget(), at: now).isEmpty)
    }
}
