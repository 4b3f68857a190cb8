// One TLS connection to a partner: a channel handler on the event loop that feeds frames to the pure `Session` machine, and two workers
// (publishing, pulling) that block on the stores elsewhere.
//
// All of this type's state is the event loop's. A worker's object (`Publisher`, `Puller`, `DocumentExchange`) is touched only inside its job
// (`SessionParts`), and there is at most one job of each kind at a time: the loop hands over a batch of what waits and takes the answer back, and what
// the job left. The loop never blocks.
//
//   socket ─ ByteCounter ─ TLSHandler ─ Connection ─┬─▶ publishing job ─▶ frames
//                                                   └─▶ pulling job    ─▶ frames
//
// Long because everything that touches one event loop's state stands together.
internal import Dispatch
internal import HansaCore
internal import HansaCrypto
internal import HansaSync
internal import HansaTLS
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

final class Connection: ChannelDuplexHandler, @unchecked Sendable {
    // @unchecked: every stored property is read and written on `eventLoop` alone (asserted), but for the immutable ones and `traffic`,
    // whose counters are the loop's too and read through `snapshot`.
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Control frames from the peer that may wait for a worker before we stop reading.
    private static let inboxFramesMax = 512
    private static let inboxBytesMax = 24 * 1024 * 1024
    /// Content handed to the channel and not yet written to the socket: a control frame waits behind no more than this and one frame.
    private static let contentPendingBytesMax = 256 * 1024
    /// Content made at once, and made ahead: the next is made while the last is being encrypted, when less than this is left of it.
    private static let contentBatchBytes = 2 * 1024 * 1024
    private static let helloSeconds: Int64 = 10

    private let host: any ConnectionHost
    private let role: Session.Role
    private let context: ExchangeContext
    private let tls: TLSHandler
    let traffic: Traffic
    private let workers: FairWorkers
    private var log: Logger

    private var session: Session
    private(set) var channel: (any Channel)?
    private var handlerContext: ChannelHandlerContext?
    private(set) var spki: Digest?
    private var assembler = FrameAssembler()
    private var received = FrameTally()
    private var sent = FrameTally()
    /// The key of ours that this connection shows.
    let ownSPKI: Digest
    /// A keyring has expired: nothing but documents goes over.
    private(set) var isDocumentsOnly = false
    private var isReadHeld = false
    private(set) var peer: CityID?
    private var share: FairWorkers.Key { peer.map { .partner($0) } ?? .strangers }
    private var isClosing = false
    private var closeReason: String?

    private var parts: SessionParts?
    private var publishInbox = CircularBuffer<PublishEvent>()
    private var pullInbox = CircularBuffer<PullEvent>()
    private var inboxBytes = 0
    private var isPublishing = false
    private var isPulling = false
    /// The documents that waited for the partner have been handed to the channel. Its round is answered after that: else it could end, with everything said to be equal,
    /// while an agreement is still on its way.
    private var areDocumentsOut = false
    private var contentReady = CircularBuffer<Frame>()
    /// Content of short transfers, which does not wait behind what was made ahead of a long one.
    private var shortReady = CircularBuffer<Frame>()
    private static let shortReadyBytesMax = 256 * 1024
    /// Of both.
    private var contentReadyBytes = 0
    private var shortReadyBytes = 0
    private var contentPending = 0
    /// Bytes of answers handed to the channel and not yet on the socket. A peer that asks and never reads makes no more of them.
    private var answersPending = 0
    private static let answersPendingBytesMax = PublishJob.answersBytesMax
    /// Reading does not wait for our own output: two nodes that both did could wait for ever. Only far beyond what answers can reach.
    private static let answersLastResortBytes = 32 * 1024 * 1024
    private var hasContent = false
    private var hasShortContent = false
    private var contentGeneration: UInt64 = 0
    /// Parts of indexes were asked for and are made as they go.
    private var hasIndex = false
    private var timer: RepeatedTask?
    private var announcement: Scheduled<Void>?
    /// Content waits for the rate of sending.
    private var slowed: Scheduled<Void>?
    /// The first round is begun by the session itself.
    private let asksRequested = Atomic<Int>(1)
    private var asks = 0

    /// Why a session ended that met our own full disk.
    static let diskFullReason = "our disk is full: nothing is taken until there is room"

    /// What holds up content that the partner asked for.
    enum Brake: Sendable, Equatable {
        /// It takes no more for now.
        case credit
        /// `limits.sendRate` and its like.
        case rate
    }

    init(
        host: any ConnectionHost, context: ExchangeContext, role: Session.Role, ownSPKI: Digest, tls: TLSHandler,
        traffic: Traffic, workers: FairWorkers, log: Logger
    ) {
        self.host = host
        self.context = context
        self.role = role
        self.ownSPKI = ownSPKI
        self.tls = tls
        self.traffic = traffic
        self.workers = workers
        self.log = log
        session = Session(
            own: context.own, keyring: context.signing.current.keyring, role: role,
            nonce: context.random.bytes(Hello.nonceBytes), contentCreditBytes: context.limits.contentCreditBytes,
            ownExpiry: { [host] in host.expiry(ofOwnKeyring: $0) })
    }

    var roleForHost: Session.Role { role }

    /// The city that dialled: the rule for two sessions between one pair needs it.
    var dialler: CityID? {
        switch role {
        case .dialled: context.own
        case .accepted: peer
        }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        channel = context.channel
        handlerContext = context
    }

    func handlerRemoved(context: ChannelHandlerContext) { handlerContext = nil }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event as? TLSEvent {
        case .handshakeCompleted(let peer):
            spki = peer.spki
            let known: Int
            if case .dialled(let city) = role { known = host.acquaintance(of: city)?.keyring ?? 0 } else { known = 0 }
            if let hello = session.start(peerKeyring: known, at: host.now) { send([hello]) }
            context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(Connection.helloSeconds)) { [weak self] in
                guard let self, self.peer == nil else { return }
                self.end("no hello in time")
            }
        case .inputClosed: end("the peer closed")
        case nil: context.fireUserInboundEventTriggered(event)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        do throws(ProtocolFault) {
            while !isClosing, let frame = try assembler.next(&bytes, reserving: peer != nil) { take(frame) }
        } catch {
            violated(error, farewell: CloseMessage(reason: error.word).frame)
        }
    }

    /// Reads are held while the workers are behind: the peer's window then closes, and memory stays bounded.
    func read(context: ChannelHandlerContext) {
        if publishInbox.count + pullInbox.count > Connection.inboxFramesMax || inboxBytes > Connection.inboxBytesMax
            || answersPending > Connection.answersLastResortBytes
        {
            isReadHeld = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        pumpContent()
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(closeReason ?? "connection closed")
        timer?.cancel()
        announcement?.cancel()
        slowed?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        host.connectionFailed(self, error: error)
        end("\(error)")
    }

    // MARK: Frames

    private func take(_ frame: Frame) {
        guard let spki else { return end("frames before the handshake ended") }
        received.add(frame)
        switch session.receive(frame, spki: spki, at: host.now, acquaintance: host.acquaintance(of:)) {
        case .opened(let peer, let theirs, let reply, let documentsOnly):
            self.peer = peer
            isDocumentsOnly = documentsOnly
            log[metadataKey: "partner"] = "\(peer)"
            if let reply { send([reply]) }
            guard host.connectionOpened(self, peer: peer, theirs: theirs) else { return end("duplicate") }
            // Without it views that differ are told from their beginning; a session that has sent its hello can export.
            let material = try? tls.exportKeyingMaterial(
                label: RepairSecret.label, context: session.nonces(with: theirs), count: RepairSecret.byteCount)
            var context = context
            context.limits.contentAskedBytesMax = host.contentAskedBytes
            context.limits.smallReleaseBytesMax = Limits.smallReleaseBytesMax
            parts = SessionParts(
                context, peer, material.map(RepairSecret.init), host.witnessing, documentsOnly: documentsOnly)
            startTimers()
            enqueue(pull: .opened(held: theirs.peerKeyring, theirs: theirs.keyring))
            enqueue(pull: .sendDocuments)
            if !documentsOnly {
                enqueue(pull: .ask)
                enqueue(pull: .witnessDue)
            }
        case .publish(let frame): enqueue(publish: .frame(frame), bytes: frame.bodyCount)
        case .pull(let frame): enqueue(pull: .frame(frame), bytes: frame.bodyCount)
        case .documents(let frame): enqueue(pull: .documents(frame), bytes: frame.bodyCount)
        case .documentsAcknowledged(let frame): enqueue(pull: .documentsAcknowledged(frame), bytes: frame.bodyCount)
        case .witness(let frame): enqueue(pull: .witness(frame), bytes: frame.bodyCount)
        case .resumeContent: pumpContent()
        case .peerError(let error): log.debug("the partner could not", metadata: ["code": "\(error.code.printable())"])
        case .peerClosed(let reason): end("the partner closed: \(reason.printable())")
        case .violation(let fault, let farewell): violated(fault, farewell: farewell)
        case .ignore: break
        }
    }

    private func violated(_ fault: ProtocolFault, farewell: Frame) {
        host.connectionViolated(self, peer: peer, fault: fault)
        send([farewell])
        end("protocol: \(fault)")
    }

    /// Ends the session from anywhere; says farewell, closes after what was written.
    func close(_ reason: String) {
        guard let channel else { return }
        channel.eventLoop.execute { [self] in
            if let frame = session.close(reason) { send([frame]) }
            end(reason)
        }
    }

    private func end(_ reason: String) {
        guard !isClosing else { return }
        isClosing = true
        closeReason = reason
        log.debug("session ends", metadata: ["reason": "\(reason)", "received": "\(received)", "sent": "\(sent)"])
        channel?.close(promise: nil)
        takeReady()
        guard let parts else {
            host.connectionClosed(self, peer: peer, reason: reason)
            return
        }
        // What has arrived is made durable before the session is forgotten, so that the next one goes on from there; and the partner's last
        // words, who may have closed right after its receipts, are heard.
        pullInbox = []
        runAfterJobs {
            // What the last job left is in the inbox again by now.
            let last = self.publishInbox.filter(\.isWord)
            self.publishInbox = []
            self.hear(CircularBuffer(last), parts, reason)
        }
    }

    /// The last words in jobs like all others, then what arrived is parked.
    private func hear(_ words: CircularBuffer<PublishEvent>, _ parts: SessionParts, _ reason: String) {
        let now = host.now
        var rest = words
        let batch = JobBudget.take(from: &rest, bytes: \.bytes)
        let isLast = rest.isEmpty
        workers.submit(of: share, on: eventLoop) { [host] () -> [PublishEvent] in
            do throws(ExchangeFault) {
                let left = try parts.hear(batch, within: JobBudget(), at: now)
                if left.isEmpty, isLast { try parts.puller.park(at: now) }
                return left
            } catch {
                // A fault of the peer's ends nothing more than this session, which is over.
                if case .store(let error) = error { host.storeFailed(error) }
                return []
            }
        } done: { [self, rest] left in
            if left.isEmpty, isLast {
                host.connectionClosed(self, peer: peer, reason: reason)
            } else {
                hear(CircularBuffer(left) + rest, parts, reason)
            }
        }
    }

    private var afterJobs: (() -> Void)?

    private func runAfterJobs(_ body: @escaping () -> Void) { if isPulling || isPublishing { afterJobs = body } else { body() } }

    /// True when the session is over: the last job to end does what is left.
    private func isOver() -> Bool {
        guard isClosing else { return false }
        if !isPulling, !isPublishing, let after = afterJobs {
            afterJobs = nil
            after()
        }
        return true
    }

    private var eventLoop: any EventLoop {
        guard let channel else { preconditionFailure("a connection is used after it was added to a channel") }
        return channel.eventLoop
    }

    private func send(_ frames: [Frame]) {
        guard let context = handlerContext, !frames.isEmpty else { return }
        var out = context.channel.allocator.buffer(capacity: frames.reduce(0) { $0 + $1.bodyCount + FrameHeader.byteCount })
        for frame in frames {
            sent.add(frame)
            out.writeBytes(frame.header)
            out.writeBytes(frame.head)
            out.writeBytes(frame.tail)
        }
        let size = out.readableBytes
        answersPending += size
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [weak self] _ in
            guard let self else { return }
            self.answersPending -= size
            if self.answersPending <= Connection.answersPendingBytesMax / 2 { self.resumeAfterDrain() }
        }
        context.writeAndFlush(Self.wrapOutboundOut(out), promise: written)
    }

    private var isDrained: Bool { answersPending <= Connection.answersPendingBytesMax }

    private func resumeAfterDrain() {
        releaseRead()
        runPublishing()
        runPulling()
    }

    private func startTimers() {
        timer = eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in
            guard let self, !self.isClosing, self.pullInbox.isEmpty, !self.isPulling else { return }
            self.enqueue(pull: .tick)
        }
        scheduleAnnouncement()
    }

    /// Every 15 minutes, or as configured, ± 25 % (SYNC.md §7).
    private func scheduleAnnouncement() {
        let interval = host.announceSeconds * 1000
        let random = Int64(context.random.bytes(4).reduce(0) { $0 << 8 | Int($1) })
        let milliseconds = interval * 3 / 4 + random % max(1, interval / 2)
        announcement = eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) { [weak self] in
            guard let self, !self.isClosing else { return }
            self.enqueue(publish: .announce)
            if !self.isDocumentsOnly { self.enqueue(pull: .witnessDue) }
            self.scheduleAnnouncement()
        }
    }

    // MARK: From the node

    func viewsChanged(_ views: Set<Digest>) {
        onLoop {
            // What was made before the change is judged again; so is what a running job is making (`contentGeneration`).
            // A chunks body begins with its view: what other views prepared goes on.
            let isConcerned = { (frame: Frame) in Digest(frame.head.prefix(Digest.byteCount)).map(views.contains) != false }
            let concerned = self.shortReady.contains(where: isConcerned) || self.contentReady.contains(where: isConcerned)
            if concerned || self.isPublishing { self.contentGeneration += 1 }
            if concerned {
                self.enqueue(publish: .requeue(self.takeReady()))
            }
            self.enqueue(publish: .viewsChanged(views))
        }
    }
    func documentsWait() { onLoop { self.enqueue(pull: .sendDocuments) } }
    /// A fresh round: where do all views stand?
    /// Returns its number: `PullProgress.asks` reaches it once the round was begun.
    @discardableResult
    func ask() -> Int {
        onLoop { if !self.isDocumentsOnly { self.enqueue(pull: .ask) } }
        return asksRequested.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Asks the session's puller, between two of its jobs. Blocks, so from no event loop and no worker; nil where no answer came in time.
    func look<T: Sendable>(withinSeconds seconds: Int, _ body: @escaping @Sendable (Puller) -> T) -> T? {
        let answer = Answer<T>()
        onLoop { self.enqueue(pull: .look { answer.give(body($0)) }) }
        return answer.wait(seconds)
    }

    /// What holds up what the partner asked for; nil where nothing does. Blocks likewise.
    func brake(withinSeconds seconds: Int) -> Brake? {
        let answer = Answer<Brake?>()
        onLoop {
            let waits = self.hasContent || self.hasShortContent || self.contentReadyBytes > 0
            answer.give(self.slowed != nil ? .rate : waits && self.session.contentAllowance <= 0 ? .credit : nil)
        }
        return answer.wait(seconds) ?? nil
    }

    /// One value from a loop or worker to a thread that waits for it.
    private final class Answer<T: Sendable>: Sendable {
        private let value = Mutex<T?>(nil)
        private let isGiven = DispatchSemaphore(value: 0)

        func give(_ given: T) {
            value.withLock { $0 = given }
            isGiven.signal()
        }

        func wait(_ seconds: Int) -> T? {
            guard isGiven.wait(timeout: .now() + .seconds(seconds)) == .success else { return nil }
            return value.withLock { $0 }
        }
    }

    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        channel?.eventLoop.execute {
            if !self.isClosing, self.parts != nil { body() }
        }
    }

    // MARK: Pulling

    private func enqueue(pull event: PullEvent, bytes: Int = 0) {
        inboxBytes += bytes
        pullInbox.append(event)
        runPulling()
    }

    private func runPulling() {
        guard !isPulling, !pullInbox.isEmpty, !isClosing, let parts else { return }
        isPulling = true
        let events = JobBudget.take(from: &pullInbox, bytes: \.bytes)
        let job = PullJob(events: events, documentsOnly: isDocumentsOnly, now: host.now)
        workers.submit(of: share, on: eventLoop) {
            parts.run(job, within: JobBudget())
        } done: { [self] result in
            isPulling = false
            inboxBytes -= events.reduce(0) { $0 + $1.bytes } - result.left.reduce(0) { $0 + $1.bytes }
            send(result.frames)
            // What was not looked at yet goes before what came meanwhile.
            for event in result.left.reversed() { pullInbox.prepend(event) }
            asks += result.asks
            var progress = result.progress
            progress.asks = asks
            if let peer { host.pulled(self, peer: peer, progress: progress, changes: result.changes) }
            if let fault = result.fault { failed(fault) }
            if isOver() { return }
            releaseRead()
            runPulling()
            if result.areDocumentsOut, !areDocumentsOut {
                areDocumentsOut = true
                runPublishing()
            }
        }
    }

    // MARK: Publishing

    private func enqueue(publish event: PublishEvent, bytes: Int = 0) {
        inboxBytes += bytes
        publishInbox.append(event)
        runPublishing()
    }

    private func runPublishing() {
        guard !isPublishing, areDocumentsOut, !isClosing, isDrained, let parts else { return }
        // One batch ahead, never more; what is ready has not cost its credit yet.
        let isDue = hasContent && contentReadyBytes < Connection.contentBatchBytes
        let credit = session.contentAllowance - contentReadyBytes
        let allowance = isDue ? min(credit, Connection.contentBatchBytes) : 0
        let shortAllowance = min(credit, Connection.shortReadyBytesMax - shortReadyBytes)
        guard !publishInbox.isEmpty || allowance > 0 || hasIndex || hasShortContent && shortAllowance > 0 else { return }
        isPublishing = true
        let generation = contentGeneration
        let events = JobBudget.take(from: &publishInbox, bytes: \.bytes)
        let job = PublishJob(events: events, allowance: allowance, shortAllowance: shortAllowance, now: host.now)
        workers.submit(of: share, on: eventLoop) {
            parts.run(job, within: JobBudget())
        } done: { [self] result in
            isPublishing = false
            inboxBytes -= events.reduce(0) { $0 + $1.bytes } - result.left.reduce(0) { $0 + $1.bytes }
            send(result.frames)
            hasContent = result.hasContent
            hasShortContent = result.hasShortContent
            hasIndex = result.hasIndex
            // What was not answered yet goes before what came meanwhile.
            for event in result.left.reversed() { publishInbox.prepend(event) }
            if generation == contentGeneration {
                let shortBytes = result.short.reduce(0) { $0 + $1.bodyCount }
                contentReady += result.content
                shortReady += result.short
                shortReadyBytes += shortBytes
                contentReadyBytes += shortBytes + result.content.reduce(0) { $0 + $1.bodyCount }
            } else if !result.content.isEmpty || !result.short.isEmpty {
                publishInbox.prepend(.requeue(result.short + result.content))
            }
            if let peer {
                host.published(
                    self, peer: peer, releasesSent: result.releasesSent, contentBytesSent: result.contentBytesSent,
                    changes: result.changes)
            }
            if let fault = result.fault { failed(fault) }
            if isOver() { return }
            if result.changes.outboxes.contains(where: { $0 == peer }) { enqueue(pull: .sendDocuments) }
            releaseRead()
            pumpContent()
            runPublishing()
        }
    }

    /// Writes prepared content when little is waiting before it.
    private func pumpContent() {
        guard !isClosing, let context = handlerContext else { return }
        var hasWritten = false
        while contentPending < Connection.contentPendingBytesMax {
            guard let peer, let first = shortReady.first ?? contentReady.first else { break }
            if let delay = host.sending.take(first.bodyCount, for: peer, at: .now, host.now) {
                sendLater(delay)
                break
            }
            let frame = first
            let size = frame.bodyCount
            contentReadyBytes -= size
            if shortReady.isEmpty {
                contentReady.removeFirst()
            } else {
                shortReady.removeFirst()
                shortReadyBytes -= size
            }
            session.sent(contentBytes: size)
            sent.add(frame)
            contentPending += size
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenComplete { [weak self] _ in
                guard let self else { return }
                self.contentPending -= size
                self.pumpContent()
            }
            // Past the pipeline, to the handler that is next in it: the block is encrypted from where it was read to.
            tls.write((frame.header + frame.head)[...], promise: nil)
            tls.write(frame.tail, promise: written)
            hasWritten = true
        }
        if hasWritten { tls.flush() }
        if contentReadyBytes < Connection.contentBatchBytes { runPublishing() }
    }

    /// The rate allows no more now: the next look is when it may.
    private func sendLater(_ delay: Duration) {
        guard slowed == nil else { return }
        let nanoseconds = Int64(min(delay, .seconds(60)) / .nanoseconds(1))
        slowed = eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(max(1000, nanoseconds))) { [weak self] in
            self?.slowed = nil
            self?.pumpContent()
        }
    }

    /// What was made and has not left.
    @discardableResult
    private func takeReady() -> [Frame] {
        defer {
            contentReady.removeAll()
            shortReady.removeAll()
            contentReadyBytes = 0
            shortReadyBytes = 0
        }
        return Array(shortReady) + Array(contentReady)
    }

    private func releaseRead() {
        guard isReadHeld, answersPending <= Connection.answersLastResortBytes,
            publishInbox.count + pullInbox.count <= Connection.inboxFramesMax / 2, inboxBytes <= Connection.inboxBytesMax / 2
        else {
            return
        }
        isReadHeld = false
        handlerContext?.read()
    }

    private func failed(_ fault: ExchangeFault) {
        switch fault {
        case .peer(let fault): violated(fault, farewell: CloseMessage(reason: fault.word).frame)
        case .store(let error):
            host.storeFailed(error)
            if let frame = session.close("internal") { send([frame]) }
            end(Node.isDiskFull(error) ? Connection.diskFullReason : "store: \(error)")
        }
    }
}
