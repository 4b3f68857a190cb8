// What a session's workers do in one job: so much of what waits as a job may take, and what is left is for the next.
//
// A job is one turn on the threads that all partners share (`FairWorkers`), so it has bounds of its own, whatever a partner sends: frames, bytes, and
// time, looked at between events. Frames of six bytes can cost much, and frames of a megabyte little.
internal import HansaCore
internal import HansaSync
internal import NIOCore

/// What one job may take.
struct JobBudget {
    static let framesMax = 512
    static let bytesMax = 2 * 1024 * 1024
    /// After so long a job takes nothing more. What it has begun it ends.
    static let timeMax = Duration.milliseconds(50)

    private let clock: () -> ContinuousClock.Instant
    private let begin: ContinuousClock.Instant

    /// Begins now. `clock` does not go back.
    init(clock: @escaping () -> ContinuousClock.Instant = { .now }) {
        self.clock = clock
        begin = clock()
    }

    var isSpent: Bool { begin.duration(to: clock()) >= JobBudget.timeMax }

    /// The first events of an inbox, as many as a job takes: at least one, of whatever size. O(taken).
    static func take<Event>(from inbox: inout CircularBuffer<Event>, bytes: (Event) -> Int) -> [Event] {
        var taken: [Event] = []
        var total = 0
        while taken.count < framesMax, let event = inbox.first {
            total += bytes(event)
            if !taken.isEmpty, total > bytesMax { break }
            taken.append(inbox.removeFirst())
        }
        return taken
    }
}

enum PublishEvent: Sendable {
    case frame(Frame)
    case viewsChanged(Set<Digest>)
    /// Content that was made and has not left: made anew, so that what was revoked meanwhile stays.
    case requeue([Frame])
    case announce

    /// A receipt or an acknowledgement: what the partner said of what it has, and will not say again.
    var isWord: Bool {
        if case .frame(let frame) = self {
            frame.type == .receipt || frame.type == .accepted || frame.type == .feedAcknowledged
        } else {
            false
        }
    }

    /// Of the inbox; what was made here before costs no place in it.
    var bytes: Int { if case .frame(let frame) = self { frame.bodyCount } else { 0 } }
}

enum PullEvent: Sendable {
    case frame(Frame)
    case documents(Frame)
    case documentsAcknowledged(Frame)
    case witness(Frame)
    /// Our turn to have our log witnessed.
    case witnessDue
    /// What the hello said of keyrings.
    case opened(held: UInt64, theirs: UInt64)
    case ask
    case sendDocuments
    case tick
    /// Somebody asks what is under way.
    case look(@Sendable (Puller) -> Void)

    var bytes: Int {
        switch self {
        case .frame(let frame), .documents(let frame), .documentsAcknowledged(let frame), .witness(let frame): frame.bodyCount
        case .ask, .opened, .sendDocuments, .tick, .witnessDue, .look: 0
        }
    }
}

struct PullJob: Sendable {
    var events: [PullEvent]
    /// Only documents go over: views are not asked for.
    var documentsOnly: Bool
    var now: Timestamp
    /// Frames that the puller is given at once: time is looked at after them.
    static let batchFramesMax = 64

    struct Result: Sendable {
        var frames: [Frame] = []
        /// Events that were not looked at.
        var left: [PullEvent] = []
        var changes = ExchangeChanges()
        var fault: ExchangeFault?
        var progress = PullProgress()
        /// Rounds that were asked for from outside and are begun.
        var asks = 0
        var areDocumentsOut = false
    }
}

struct PublishJob: Sendable {
    var events: [PublishEvent]
    /// Bytes of content that may be made, and of short content before it.
    var allowance: Int
    var shortAllowance: Int
    var now: Timestamp
    /// Answers of which no more are made until they can be sent.
    static let answersBytesMax = 1024 * 1024
    /// About what index frames one job makes.
    static let indexBatchBytes = 1024 * 1024

    struct Result: Sendable {
        var frames: [Frame] = []
        var content: [Frame] = []
        var short: [Frame] = []
        var hasContent = false
        var hasShortContent = false
        var hasIndex = false
        /// Events that were not looked at.
        var left: [PublishEvent] = []
        var changes = ExchangeChanges()
        var fault: ExchangeFault?
        var releasesSent = 0
        var contentBytesSent: UInt64 = 0
    }
}

/// What the workers of one session own.
final class SessionParts: @unchecked Sendable {
    // @unchecked: there is one job of each kind at a time; publishing touches the publisher alone, pulling all else.
    let publisher: Publisher
    let puller: Puller
    let documents: DocumentExchange
    let witness: LogWitness
    /// Rounds begun, or asked for while one was under way.
    private(set) var rounds = 0

    init(_ context: ExchangeContext, _ peer: CityID, _ secret: RepairSecret?, _ witnessing: Witnessing, documentsOnly: Bool) {
        witness = LogWitness(context, peer: peer, witnessing)
        publisher = Publisher(context, peer: peer, secret: secret)
        puller = Puller(context, peer: peer, secret: secret)
        documents = DocumentExchange(context, peer: peer, documentsOnly: documentsOnly)
    }

    func run(_ job: PullJob, within budget: JobBudget) -> PullJob.Result {
        var result = PullJob.Result()
        do throws(ExchangeFault) { try pull(job, within: budget, &result) } catch { result.fault = error }
        result.changes.formUnion(puller.takeChanges())
        result.progress = PullProgress(puller)
        return result
    }

    private func pull(_ job: PullJob, within budget: JobBudget, _ result: inout PullJob.Result) throws(ExchangeFault) {
        let now = job.now
        let acknowledged = documents.acknowledgedCount
        var batch: [Frame] = []
        for (number, event) in job.events.enumerated() {
            if case .frame(let frame) = event, batch.count < PullJob.batchFramesMax {
                batch.append(frame)
                continue
            }
            if !batch.isEmpty {
                result.frames += try puller.receive(batch, at: now)
                batch = []
            }
            if number > 0, budget.isSpent {
                result.left = Array(job.events[number...])
                break
            }
            switch event {
            case .frame(let frame): batch.append(frame)
            case .documents(let frame):
                let (answer, changes) = try documents.receive(frame, at: now)
                result.frames.append(answer)
                result.changes.formUnion(changes)
            case .documentsAcknowledged(let frame): result.changes.formUnion(try documents.acknowledged(frame, at: now))
            case .witness(let frame): result.frames += try witness.receive(frame, at: now)
            case .witnessDue:
                do { result.frames += try witness.due() } catch { throw ExchangeFault.store(error) }
            case .opened(let held, let theirs): try documents.opened(held: held, theirs: theirs, at: now)
            case .sendDocuments:
                result.frames += try documents.pending()
                result.areDocumentsOut = documents.areOut
            case .ask:
                result.frames += try ask(at: now)
                result.asks += 1
            case .tick: result.frames += try puller.tick(at: now)
            case .look(let body): body(puller)
            }
        }
        if !batch.isEmpty { result.frames += try puller.receive(batch, at: now) }
        // Once for all of the job, and only where something that we sent has arrived: whoever acknowledges nothing a thousand times is asked nothing.
        guard documents.acknowledgedCount > acknowledged else { return }
        result.frames += try documents.pending()
        result.areDocumentsOut = documents.areOut
        // Our earlier round may have met a partner that did not know the agreement yet.
        if !job.documentsOnly { result.frames += try ask(at: now) }
    }

    private func ask(at now: Timestamp) throws(ExchangeFault) -> [Frame] {
        rounds += 1
        return try puller.ask(at: now)
    }

    func run(_ job: PublishJob, within budget: JobBudget) -> PublishJob.Result {
        var result = PublishJob.Result()
        do throws(ExchangeFault) { try publish(job, within: budget, &result) } catch { result.fault = error }
        result.hasContent = publisher.hasContent
        result.hasShortContent = publisher.hasShortContent()
        result.hasIndex = publisher.hasIndex
        result.changes = publisher.takeChanges()
        result.releasesSent = publisher.releasesSent
        result.contentBytesSent = publisher.contentBytesSent
        return result
    }

    private func publish(_ job: PublishJob, within budget: JobBudget, _ result: inout PublishJob.Result) throws(ExchangeFault) {
        let now = job.now
        var made = 0
        for (number, event) in job.events.enumerated() {
            // A few bytes ask for much: answers are made as they can be sent.
            if made >= PublishJob.answersBytesMax || (number > 0 && budget.isSpent) {
                result.left = Array(job.events[number...])
                break
            }
            let before = result.frames.count
            switch event {
            case .frame(let frame): result.frames += try publisher.receive(frame, at: now)
            case .requeue(let frames): publisher.requeue(frames)
            case .viewsChanged(let views): result.frames += try publisher.viewsChanged(views, at: now)
            case .announce: result.frames += try publisher.announcement().map { [$0] } ?? []
            }
            made += result.frames[before...].reduce(0) { $0 + $1.bodyCount }
        }
        if publisher.hasIndex { result.frames += try publisher.index(upTo: PublishJob.indexBatchBytes, at: now) }
        if job.shortAllowance > 0 {
            result.short = try publisher.content(upTo: job.shortAllowance, shortOnly: true, at: now)
        }
        let left = job.allowance - result.short.reduce(0) { $0 + $1.bodyCount }
        if left > 0 { result.content = try publisher.content(upTo: left, at: now) }
    }

    /// The words with which a partner left. What is returned was not heard yet.
    func hear(_ words: [PublishEvent], within budget: JobBudget, at now: Timestamp) throws(ExchangeFault) -> [PublishEvent] {
        for (number, event) in words.enumerated() {
            if number > 0, budget.isSpent { return Array(words[number...]) }
            if case .frame(let frame) = event { _ = try publisher.receive(frame, at: now) }
        }
        return []
    }
}
