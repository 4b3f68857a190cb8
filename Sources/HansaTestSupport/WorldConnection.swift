// One end of a session: what `Connection` in HansaNode does around the exchange, without sockets and threads. Same order: hello, documents,
// views; frames to a publishing and a pulling worker, each one job at a time over a batch; content by credit, one batch ahead; park on close.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync

final class WorldConnection {
    private unowned let world: World
    unowned let node: WorldNode
    private unowned let link: WorldLink
    private let line: WorldLink.Line
    let side: Int
    /// Which city dialled: of two sessions between one pair the one dialled by the smaller id stays.
    let dialler: CityID
    private let role: HansaSync.Session.Role
    private var session: HansaSync.Session
    private var random: SplitMix64
    private var spki: Digest?
    private(set) var peer: CityID?
    private var parts: Parts?
    private(set) var documentsOnly = false

    private struct Parts {
        let publisher: Publisher
        let puller: Puller
        let documents: DocumentExchange
    }

    private enum PublishEvent {
        case frame(Frame)
        case viewsChanged(Set<Digest>)
        case requeue([Frame])
        case announce
    }

    private enum PullEvent {
        case frame(Frame)
        case documents(Frame)
        case documentsAcknowledged(Frame)
        case opened(held: UInt64, theirs: UInt64)
        case ask, sendDocuments, tick
    }

    private var publishInbox: [PublishEvent] = []
    private var pullInbox: [PullEvent] = []
    /// As in the node: the partner's round is answered after what waited for it.
    private var areDocumentsOut = false
    private var isPublishing = false
    private var isPulling = false
    private var isClosing = false
    private var isDead = false
    private var hasContent = false
    private var hasIndex = false
    private var contentReady: [Frame] = []
    /// Counts changes after which content that was made is to be judged again.
    private var contentGeneration = 0
    private var isWritingContent = false
    /// Turns of the publishing worker in which content was wanted, the partner had credit, and none was made.
    private var idleTurns = 0

    init(
        _ world: World, _ node: WorldNode, link: WorldLink, line: WorldLink.Line, side: Int, dialler: CityID,
        role: HansaSync.Session.Role, seed: UInt64
    ) {
        self.world = world
        self.node = node
        self.link = link
        self.line = line
        self.side = side
        self.dialler = dialler
        self.role = role
        random = SplitMix64(seed: seed)
        session = HansaSync.Session(
            own: node.city, keyring: node.keyring.version, role: role,
            nonce: DeterministicRandom(seed: random.next()).bytes(Hello.nonceBytes),
            contentCreditBytes: world.options.limits.contentCreditBytes,
            ownExpiry: { [unowned node] in node.expiry(ofOwnKeyring: $0) })
    }

    /// L3: what keeps content from a partner that has credit; nil where nothing does.
    var neglect: String? {
        guard let parts, !isClosing, !isDead else { return nil }
        if idleTurns > World.idleTurnsMax { return "\(idleTurns) turns without content" }
        guard parts.publisher.hasContent, !isPublishing, contentReady.isEmpty, !isWritingContent, session.contentAllowance > 0
        else { return nil }
        return "content is wanted, there is credit, and no turn comes"
    }

    var puller: Puller? { parts?.puller }
    var publisher: Publisher? { parts?.publisher }
    /// The hello was taken.
    var isOpen: Bool { parts != nil && !isClosing }
    /// A job is under way whose news the node has not heard.
    var isPullingNow: Bool { isPulling && !isDead }

    // MARK: Channel

    func handshakeCompleted(_ spki: Digest) {
        self.spki = spki
        let known = node.acquaintance(of: peerOfLink)?.keyring ?? 0
        if let hello = session.start(peerKeyring: known, at: node.now) { send([hello], to: peerOfLink) }
    }

    private var peerNode: WorldNode { link.left === node ? link.right : link.left }
    private var peerOfLink: CityID { peerNode.city }

    func arrived(_ bytes: [UInt8]) {
        guard !isClosing, !isDead, let spki else { return }
        let frame: Frame
        do {
            let header = try FrameHeader(bytes.prefix(FrameHeader.byteCount))
            frame = Frame(header.type, body: Array(bytes.dropFirst(FrameHeader.byteCount)))
        } catch {
            return violated(error, CloseMessage(reason: error.word).frame)
        }
        switch session.receive(frame, spki: spki, at: node.now, acquaintance: node.acquaintance(of:)) {
        case .opened(let peer, let theirs, let reply, let documentsOnly):
            self.peer = peer
            self.documentsOnly = documentsOnly
            if let reply { send([reply], to: peer) }
            guard node.opened(self, peer: peer) else { return end() }
            // What TLS would export.
            let secret = RepairSecret(SHA256.hash(session.nonces(with: theirs)).bytes)
            parts = Parts(
                publisher: Publisher(node.context, peer: peer, secret: secret),
                puller: Puller(node.context, peer: peer, secret: secret),
                documents: DocumentExchange(node.context, peer: peer, documentsOnly: documentsOnly))
            scheduleTick()
            enqueue(pull: .opened(held: theirs.peerKeyring, theirs: theirs.keyring))
            enqueue(pull: .sendDocuments)
            if !documentsOnly { enqueue(pull: .ask) }
        case .publish(let frame): enqueue(publish: .frame(frame))
        case .pull(let frame): enqueue(pull: .frame(frame))
        case .documents(let frame): enqueue(pull: .documents(frame))
        case .documentsAcknowledged(let frame): enqueue(pull: .documentsAcknowledged(frame))
        // Logs are witnessed by the node's shell, which the simulator does not have.
        case .witness: break
        case .resumeContent: pumpContent()
        case .peerError: break
        case .peerClosed: end()
        case .violation(let fault, let farewell): violated(fault, farewell)
        case .ignore: break
        }
    }

    private func violated(_ fault: ProtocolFault, _ farewell: Frame) {
        // Who gave up a TLS key, or forgot a partner's when it was put back, needs the card by hand until then. The refusal comes to the other end
        // before any hello.
        if case .pinUnknown = fault, peerNode.hasGivenUpTLS || node.restores > 0 { line.isRefused = true }
        if !line.isDisturbed, !line.isRefused, !link.isHostile {
            world.violations.append("\(node.city) from \(peerOfLink): \(fault)")
        }
        world.note("violation \(fault)")
        send([farewell], to: peerOfLink)
        end()
    }

    /// As `Network.refreshPartners`, after the partner's keyring changed.
    func checkPins() {
        guard !isClosing, !isDead, let peer, let spki, let known = node.acquaintance(of: peer) else { return }
        guard known.isActive, known.pins.contains(spki), !documentsOnly || known.expires <= node.now else {
            if let frame = session.close("keyring") { send([frame], to: peer) }
            return end()
        }
    }

    private func end() {
        guard !isClosing else { return }
        isClosing = true
        contentReady = []
        link.closed(self, line)
        if !isPulling { park() }
    }

    /// We end it, and say so.
    func close(_ reason: String) {
        guard !isClosing else { return }
        if let frame = session.close(reason) { send([frame], to: peerOfLink) }
        end()
    }

    /// The connection is gone, whoever ended it.
    func peerGone() {
        if node.connections[peerOfLink] === self { node.connections[peerOfLink] = nil }
        guard !isClosing else { return }
        isClosing = true
        contentReady = []
        if !isPulling { park() }
    }

    /// The process is gone: nothing runs any more.
    func kill() {
        isDead = true
        isClosing = true
    }

    private func park() {
        guard !isDead, let parts else { return }
        let now = node.now
        do throws(ExchangeFault) { try parts.puller.park(at: now) } catch { node.failed(error) }
    }

    private func send(_ frames: [Frame], to peer: CityID) {
        guard !frames.isEmpty else { return }
        for frame in frames {
            world.leaves?(self, frame)
            guard let hostility = node.hostility, isOpen else {
                link.send(frame.encoded, from: self, line)
                continue
            }
            let isKept = hostility.keeps(frame) { [self] in
                guard !self.isClosing, !self.isDead else { return }
                self.link.send(frame.encoded, from: self, self.line)
            }
            if isKept { continue }
            for bytes in hostility.change(frame, to: peer) { link.send(bytes, from: self, line) }
        }
    }

    private func scheduleTick() {
        world.after(world.tickMilliseconds) { [self] in
            guard !self.isClosing else { return }
            if self.pullInbox.isEmpty, !self.isPulling { self.enqueue(pull: .tick) }
            self.scheduleTick()
        }
    }

    // MARK: From the node

    func viewsChanged(_ views: Set<Digest>) {
        guard parts != nil, !isClosing else { return }
        // What was made before the change is judged again; so is what a running job is making.
        let concerned = contentReady.contains { frame in Digest(frame.body.prefix(Digest.byteCount)).map(views.contains) != false
        }
        if concerned || isPublishing { contentGeneration += 1 }
        if concerned {
            publishInbox.append(.requeue(contentReady))
            contentReady = []
        }
        enqueue(publish: .viewsChanged(views))
    }
    func documentsWait() { if parts != nil, !isClosing { enqueue(pull: .sendDocuments) } }
    func ask() { if parts != nil, !isClosing, !documentsOnly { enqueue(pull: .ask) } }
    func announce() { if parts != nil, !isClosing { enqueue(publish: .announce) } }

    // MARK: Workers

    private func jobDelay() -> UInt64 { 1 + random.next() % (world.options.jobMillisecondsMax + node.slowness) }

    private func enqueue(pull event: PullEvent) {
        pullInbox.append(event)
        runPulling()
    }

    private func enqueue(publish event: PublishEvent) {
        publishInbox.append(event)
        runPublishing()
    }

    private func runPulling() {
        guard !isPulling, !pullInbox.isEmpty, !isClosing, let parts, let peer else { return }
        isPulling = true
        let events = pullInbox
        pullInbox = []
        // A job runs to its end also when the session is gone.
        world.after(jobDelay()) { [self] in
            guard !self.isDead else { return }
            let now = self.node.now
            var frames: [Frame] = []
            var changes = ExchangeChanges()
            var fault: ExchangeFault?
            var areOut = false
            do throws(ExchangeFault) {
                var batch: [Frame] = []
                for event in events {
                    if case .frame(let frame) = event {
                        batch.append(frame)
                        continue
                    }
                    if !batch.isEmpty {
                        frames += try parts.puller.receive(batch, at: now)
                        batch = []
                    }
                    switch event {
                    case .frame: break
                    case .documents(let frame):
                        let (answer, more) = try parts.documents.receive(frame, at: now)
                        frames.append(answer)
                        changes.formUnion(more)
                    case .documentsAcknowledged(let frame):
                        changes.formUnion(try parts.documents.acknowledged(frame, at: now))
                        frames += try parts.documents.pending()
                        areOut = parts.documents.areOut
                    case .opened(let held, let theirs): try parts.documents.opened(held: held, theirs: theirs, at: now)
                    case .sendDocuments:
                        frames += try parts.documents.pending()
                        areOut = parts.documents.areOut
                    case .ask: frames += try parts.puller.ask(at: now)
                    case .tick: frames += try parts.puller.tick(at: now)
                    }
                }
                if !batch.isEmpty { frames += try parts.puller.receive(batch, at: now) }
            } catch {
                fault = error
            }
            changes.formUnion(parts.puller.takeChanges())
            self.world.record(self.node, to: peer, frames)
            // Nothing that could be lost.
            if frames.isEmpty, changes.isEmpty, fault == nil {
                if areOut { self.areDocumentsOut = true }
                return self.pulled(frames, changes, fault)
            }
            // Between the work and its frames the process may end.
            self.world.after(self.jobDelay()) {
                if areOut { self.areDocumentsOut = true }
                self.pulled(frames, changes, fault)
            }
        }
    }

    private func pulled(_ frames: [Frame], _ changes: ExchangeChanges, _ fault: ExchangeFault?) {
        guard !isDead, let peer else { return }
        isPulling = false
        if isClosing {
            if !changes.isEmpty { node.notify(changes) }
            return park()
        }
        send(frames, to: peer)
        if !changes.isEmpty { node.notify(changes) }
        if let fault { return failed(fault) }
        runPulling()
        runPublishing()
    }

    private func runPublishing() {
        guard !isPublishing, areDocumentsOut, !isClosing, let parts, let peer else { return }
        let allowance = contentReady.isEmpty && hasContent ? min(session.contentAllowance, 1024 * 1024) : 0
        guard !publishInbox.isEmpty || allowance > 0 || hasIndex else { return }
        isPublishing = true
        let events = publishInbox
        let generation = contentGeneration
        publishInbox = []
        // A job runs to its end also when the session is gone.
        world.after(jobDelay()) { [self] in
            guard !self.isDead else { return }
            let now = self.node.now
            var frames: [Frame] = []
            var content: [Frame] = []
            var fault: ExchangeFault?
            do throws(ExchangeFault) {
                for event in events {
                    switch event {
                    case .frame(let frame): frames += try parts.publisher.receive(frame, at: now)
                    case .viewsChanged(let views): frames += try parts.publisher.viewsChanged(views, at: now)
                    case .requeue(let frames): parts.publisher.requeue(frames)
                    case .announce: frames += try parts.publisher.announcement().map { [$0] } ?? []
                    }
                }
                if parts.publisher.hasIndex { frames += try parts.publisher.index(upTo: 1024 * 1024, at: now) }
                let hadContent = parts.publisher.hasContent
                if allowance > 0 { content = try parts.publisher.content(upTo: allowance, at: now) }
                self.idleTurns = hadContent && allowance > 0 && content.isEmpty ? self.idleTurns + 1 : 0
            } catch {
                fault = error
            }
            self.world.record(self.node, to: peer, frames + content)
            let hasContent = parts.publisher.hasContent
            let hasIndex = parts.publisher.hasIndex
            let changes = parts.publisher.takeChanges()
            self.world.after(self.jobDelay()) {
                guard !self.isDead else { return }
                self.isPublishing = false
                guard !self.isClosing else {
                    if !changes.isEmpty { self.node.notify(changes) }
                    return
                }
                self.send(frames, to: peer)
                self.hasContent = hasContent
                self.hasIndex = hasIndex
                if generation == self.contentGeneration {
                    self.contentReady += content
                } else if !content.isEmpty {
                    self.publishInbox.insert(.requeue(content), at: 0)
                }
                if !changes.isEmpty { self.node.notify(changes) }
                if let fault { return self.failed(fault) }
                self.pumpContent()
                self.runPublishing()
            }
        }
    }

    private func pumpContent() {
        guard !isClosing, let peer else { return }
        if !contentReady.isEmpty, !isWritingContent {
            let frame = contentReady.removeFirst()
            session.sent(contentBytes: frame.body.count)
            send([frame], to: peer)
            isWritingContent = true
            world.after(1 + random.next() % 5) { [self] in
                guard !self.isDead else { return }
                self.isWritingContent = false
                self.pumpContent()
            }
        }
        if contentReady.isEmpty { runPublishing() }
    }

    private func failed(_ fault: ExchangeFault) {
        switch fault {
        case .peer(let fault): violated(fault, CloseMessage(reason: fault.word).frame)
        case .store:
            if let frame = session.close("internal") { send([frame], to: peerOfLink) }
            end()
            node.failed(fault)
        }
    }
}
