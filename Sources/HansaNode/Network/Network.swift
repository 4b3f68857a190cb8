// The sessions of a node: the listener, a dialler for each partner, and the registry that keeps one session for each pair.
//
// State is behind one mutex and small; nothing under it blocks. `waitForChange` lets admin threads wait for sessions without polling.
internal import Foundation
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTLS
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

final class Network: ConnectionHost {
    /// What is known of the link to one partner.
    struct Link: Sendable {
        var connection: Connection?
        var connectedSince: Timestamp?
        var progress = PullProgress()
        var releasesSent = 0
        var contentBytesSent: UInt64 = 0
        /// Why the last attempt or session ended.
        var lastError: String?
        /// The TLS library's own words on that, where they say more to whoever looks for a fault.
        var lastErrorDetail: String?
        /// When a round last ended with every view equal, in this process.
        var lastSettled: Timestamp?
        /// The peer (or we) said no: wrong key, paused, another city.
        var wasRefused = false
        var failures = 0
        var isDialling = false
        /// Counts attempts: an older one that ends late says nothing about the one under way.
        var attempt: UInt64 = 0
        var spki: Digest?
        /// The key of ours that the session shows.
        var ownSPKI: Digest?
        var isDocumentsOnly = false
        var nextDial: ContinuousClock.Instant?
    }

    struct State {
        var acquaintances: [CityID: Session.Acquaintance] = [:]
        var endpoints: [CityID: [String]] = [:]
        /// When each version of our own keyring ends.
        var ownExpiries: [Int: Timestamp] = [:]
        /// By the key they show; and which one each partner is shown when we dial it, and whoever dials us.
        var contexts: [Digest: TLSContext] = [:]
        var dialContexts: [CityID: Digest] = [:]
        var acceptContext: Digest?
        /// Keys of ours that are no longer pinned, and since when: sessions that show them were told of the new one.
        var dropped: [Digest: ContinuousClock.Instant] = [:]
        var links: [CityID: Link] = [:]
        var strangers: [String: Int] = [:]
        /// Oldest first.
        var unrecognised: [(id: ObjectIdentifier, address: String, channel: any Channel)] = []
        var arrivals: [String: (window: ContinuousClock.Instant, count: Int)] = [:]
        var listening: (any Channel)?
        var isStopping = false
        var generation: UInt64 = 0
    }

    /// Bounds against strangers (ATTACKS.md, Transport).
    struct Bounds: Sendable {
        var unrecognisedMax = 128
        /// More arrivals than this from one address within a minute leave it fewer places.
        var arrivalsPerMinuteAndAddress = 240
        var placesPerAddress = 32
        var placesPerFastAddress = 8
        var connectSeconds: Int64 = 5
        var retrySecondsMax: Int64 = 15 * 60
        /// Sessions and strangers together.
        var connectionsMax = 256
        var announceSeconds: Int64 = 15 * 60
        /// Content asked for and not yet written, over all partners.
        var contentBytesInFlight = 256 << 20
    }

    let context: ExchangeContext
    let witnessing: Witnessing
    let sending: SendingBudget
    let clock: any WallClock
    let identities: @Sendable () -> [TLSIdentity]
    private let group: MultiThreadedEventLoopGroup
    let workers: FairWorkers
    private let bounds: Bounds
    private let log: Logger
    let state = Mutex(State())
    private let condition = NSCondition()
    let storeFault: @Sendable (any Error) -> Void
    private let onChanges: @Sendable (ExchangeChanges) -> Void

    init(
        context: ExchangeContext, clock: any WallClock, identities: @escaping @Sendable () -> [TLSIdentity], bounds: Bounds,
        sending: SendingBudget, witnessing: Witnessing,
        log: Logger,
        onStoreFault: @escaping @Sendable (any Error) -> Void, onChanges: @escaping @Sendable (ExchangeChanges) -> Void
    ) throws {
        self.context = context
        self.clock = clock
        self.bounds = bounds
        self.sending = sending
        self.witnessing = witnessing
        self.log = log
        storeFault = onStoreFault
        self.onChanges = onChanges
        self.identities = identities
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        workers = FairWorkers(threads: 4)
    }

    // MARK: Partners (`refreshPartners` is in Network+Partners.swift)

    func acquaintance(of city: CityID) -> Session.Acquaintance? { state.withLock { $0.acquaintances[city] } }
    func link(to city: CityID) -> Link { state.withLock { $0.links[city] ?? Link() } }
    func hasEndpoint(_ city: CityID) -> Bool { state.withLock { !($0.endpoints[city] ?? []).isEmpty } }
    var now: Timestamp { clock.now }
    var announceSeconds: Int64 { bounds.announceSeconds }
    /// What one session may have asked for: an even share among the partners, but enough to keep a line busy.
    var contentAskedBytes: Int {
        let partners = state.withLock { $0.acquaintances.values.count(where: \.isActive) }
        return min(context.limits.contentAskedBytesMax, max(4 << 20, bounds.contentBytesInFlight / max(1, partners)))
    }

    /// Tells the sessions concerned that views, policies or outboxes changed.
    func notify(_ changes: ExchangeChanges) {
        guard !changes.isEmpty else { return }
        let links = state.withLock { state in state.links.compactMap { city, link in link.connection.map { (city, $0) } } }
        for (city, connection) in links {
            // A new keyring of ours is for everybody.
            if changes.outboxes.contains(city) || changes.keyrings.contains(context.own) { connection.documentsWait() }
            // Only its own views: a job for nothing would show in the time of its next frame.
            if let views = changes.views[city] { connection.viewsChanged(views) }
            if changes.policies.contains(city) { connection.ask() }
        }
    }

    // A partner whose machine vanished is found in a minute, not in the kernel's two hours (tcp(7)).
    private static let keepIdle = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_KEEPIDLE))
    private static let keepInterval = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_KEEPINTVL))
    private static let keepCount = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_KEEPCNT))
    /// The kernel keeps little that it has not sent: otherwise megabytes of content leave after a revocation, and control waits behind them.
    private static let notSent = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_NOTSENT_LOWAT))
    private static let userTimeout = ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_USER_TIMEOUT))

    // MARK: Listening

    /// Binds `host:port`. Returns the address bound: port 0 asks the system for one.
    func listen(on endpoint: String) async throws -> String {
        let (host, port) = try Endpoint.parse(endpoint)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(Network.keepIdle, value: 30)
            .childChannelOption(Network.keepInterval, value: 10)
            .childChannelOption(Network.keepCount, value: 3)
            .childChannelOption(Network.userTimeout, value: 120_000)
            .childChannelOption(Network.notSent, value: 256 * 1024)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 256 * 1024))
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 128 * 1024, high: 512 * 1024))
            .childChannelInitializer { [self] channel in
                guard admits(channel) else { return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
                return add(to: channel, role: .accepted)
            }
        let channel = try await bootstrap.bind(host: host, port: port).get()
        state.withLock { $0.listening = channel }
        guard let address = channel.localAddress, let bound = address.port else { return endpoint }
        return Endpoint.format(host: host, port: bound)
    }

    /// A stranger's connection costs little, and strangers together cost a bounded amount. Where they are too many, the newest takes the place of
    /// the oldest, first of those from its own address: a handshake between partners takes milliseconds, and who floods evicts himself.
    private func admits(_ channel: any Channel) -> Bool {
        let address = channel.remoteAddress?.ipAddress ?? "unknown"
        let evicted = state.withLock { state -> [any Channel]? in
            let instant = ContinuousClock.now
            guard !state.isStopping else { return nil }
            if state.arrivals.count > 4096 { state.arrivals = state.arrivals.filter { instant - $0.value.window < .seconds(60) } }
            var arrival = state.arrivals[address] ?? (instant, 0)
            if instant - arrival.window >= .seconds(60) { arrival = (instant, 0) }
            arrival.count += 1
            state.arrivals[address] = arrival
            let placesHere =
                arrival.count > bounds.arrivalsPerMinuteAndAddress ? bounds.placesPerFastAddress : bounds.placesPerAddress
            var evicted: [any Channel] = []
            while state.unrecognised.count(where: { $0.address == address }) >= placesHere,
                let oldest = state.unrecognised.firstIndex(where: { $0.address == address })
            {
                evicted.append(state.unrecognised.remove(at: oldest).channel)
            }
            let sessions = state.links.values.count { $0.connection != nil }
            while !state.unrecognised.isEmpty,
                state.unrecognised.count >= min(bounds.unrecognisedMax, bounds.connectionsMax - sessions)
            {
                evicted.append(state.unrecognised.removeFirst().channel)
            }
            // Full of sessions: no room for one more, whoever it is.
            guard sessions < bounds.connectionsMax else { return nil }
            state.strangers["too-many", default: 0] += evicted.count
            state.unrecognised.append((ObjectIdentifier(channel), address, channel))
            return evicted
        }
        guard let evicted else { return false }
        for channel in evicted { channel.close(promise: nil) }
        return true
    }

    private func add(to channel: any Channel, role: Session.Role) -> EventLoopFuture<Void> {
        let traffic = Traffic()
        let shown = state.withLock { state -> (key: Digest, context: TLSContext)? in
            let key =
                switch role {
                case .dialled(let city): state.dialContexts[city]
                case .accepted: state.acceptContext
                }
            guard let key, let context = state.contexts[key] else { return nil }
            return (key, context)
        }
        guard let shown else { return channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
        let handler = TLSHandler(context: shown.context, role: role == .accepted ? .server : .client) { [self] peer in
            state.withLock { state in
                switch role {
                case .dialled(let city): state.acquaintances[city]?.pins.contains(peer.spki) == true
                // Which city it is comes with the hello; a key that nobody pinned goes no further than this.
                case .accepted: state.acquaintances.values.contains { $0.isActive && $0.pins.contains(peer.spki) }
                }
            }
        }
        let connection = Connection(
            host: self, context: context, role: role, ownSPKI: shown.key, tls: handler, traffic: traffic, workers: workers,
            log: log)
        let key = ObjectIdentifier(channel)
        channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.unrecognised.removeAll { $0.id == key } } }
        return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers([traffic, handler, connection])
        }
    }

    // MARK: Dialling

    /// Dials every partner that is due; called once a second and after changes.
    func dialDue() {
        let instant = ContinuousClock.now
        let due = state.withLock { state -> [CityID] in
            guard !state.isStopping else { return [] }
            return state.endpoints.keys.sorted().filter { city in
                let link = state.links[city] ?? Link()
                guard link.connection == nil, !link.isDialling, !(state.endpoints[city] ?? []).isEmpty else { return false }
                if let next = link.nextDial { return next <= instant }
                // The larger id waits a little: of two sessions the one dialled by the smaller stays.
                guard city < context.own else { return true }
                state.links[city, default: Link()].nextDial = instant + .milliseconds(1500)
                return false
            }
        }
        for city in due { dial(city) }
    }

    /// Dials now, whatever the back-off says; nothing happens when a session or an attempt is there.
    func dial(_ city: CityID) {
        let begun = state.withLock { state -> (endpoints: [String], number: UInt64)? in
            guard !state.isStopping, state.links[city]?.connection == nil, state.links[city]?.isDialling != true else {
                return nil
            }
            var link = state.links[city] ?? Link()
            link.isDialling = true
            link.attempt += 1
            link.wasRefused = false
            state.links[city] = link
            return (state.endpoints[city] ?? [], link.attempt)
        }
        guard let begun else { return }
        guard !begun.endpoints.isEmpty else { return ended(city, begun.number, error: "no address is known for \(city)") }
        attempt(city, begun.number, begun.endpoints[...])
    }

    private func attempt(_ city: CityID, _ number: UInt64, _ endpoints: ArraySlice<String>) {
        guard let endpoint = endpoints.first, let (host, port) = try? Endpoint.parse(endpoint) else {
            return ended(city, number, error: "no address of \(city) answers")
        }
        ClientBootstrap(group: group)
            .connectTimeout(.seconds(bounds.connectSeconds))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(Network.keepIdle, value: 30)
            .channelOption(Network.keepInterval, value: 10)
            .channelOption(Network.keepCount, value: 3)
            .channelOption(Network.userTimeout, value: 120_000)
            .channelOption(Network.notSent, value: 256 * 1024)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 256 * 1024))
            .channelOption(.writeBufferWaterMark, value: .init(low: 128 * 1024, high: 512 * 1024))
            .channelInitializer { [self] channel in add(to: channel, role: .dialled(city)) }
            .connect(host: host, port: port)
            .whenComplete { [self] result in
                switch result {
                case .success(let channel):
                    // Connected is not recognised: that comes with the peer's hello, or the channel closes and says so here.
                    channel.closeFuture.whenComplete { [self] _ in
                        let isOpen = state.withLock { $0.links[city]?.isDialling == true && $0.links[city]?.attempt == number }
                        if isOpen { ended(city, number, error: nil) }
                    }
                case .failure(let error):
                    if endpoints.count > 1 { return attempt(city, number, endpoints.dropFirst()) }
                    ended(city, number, error: "\(endpoint): \(Network.plain(error))")
                }
            }
    }

    static func plain(_ error: any Error) -> String {
        if let io = error as? IOError { return String(cString: strerror(io.errnoCode)) }
        if let connect = error as? NIOConnectionError, let first = connect.connectionErrors.first {
            if let io = first.error as? IOError { return String(cString: strerror(io.errnoCode)) }
            return "\(first.error)"
        }
        return "\(error)".printable()
    }

    private func ended(_ city: CityID, _ number: UInt64, error: String?) {
        state.withLock { state in
            var link = state.links[city] ?? Link()
            guard link.attempt == number, link.isDialling else { return }
            link.isDialling = false
            link.failures += 1
            if let error { (link.lastError, link.lastErrorDetail) = (error, nil) }
            // Full jitter, 1 s → 15 min.
            let ceiling = min(Double(bounds.retrySecondsMax), pow(2, Double(min(link.failures, 20))))
            let random = context.random.bytes(4).reduce(0) { $0 << 8 | UInt32($1) }
            link.nextDial =
                ContinuousClock.now + .milliseconds(Int64(1000 * max(0.2, ceiling * Double(random) / Double(UInt32.max))))
            state.links[city] = link
        }
        signal()
    }

    // MARK: ConnectionHost

    func connectionOpened(_ connection: Connection, peer: CityID, theirs: Hello) -> Bool {
        let (stays, loser) = state.withLock { state -> (Bool, Connection?) in
            guard !state.isStopping else { return (false, nil) }
            var link = state.links[peer] ?? Link()
            let before = link.connection
            if let before, before !== connection, let dialler = connection.dialler {
                // Both ends judge alike: the session dialled by the smaller city id stays; a second one by the same dialler replaces the first,
                // whose other end may be long gone.
                let smaller = min(context.own, peer)
                if dialler != smaller, before.dialler == smaller { return (false, nil) }
            }
            link.connection = connection
            link.spki = connection.spki
            link.ownSPKI = connection.ownSPKI
            link.isDocumentsOnly = connection.isDocumentsOnly
            if let channel = connection.channel {
                let key = ObjectIdentifier(channel)
                state.unrecognised.removeAll { $0.id == key }
            }
            link.connectedSince = clock.now
            link.isDialling = false
            link.failures = 0
            link.nextDial = nil
            link.lastError = nil
            link.lastErrorDetail = nil
            link.wasRefused = false
            link.progress = PullProgress()
            link.releasesSent = 0
            link.contentBytesSent = 0
            state.links[peer] = link
            return (true, before)
        }
        loser?.close("duplicate")
        if stays {
            log.info("partner connected", metadata: ["partner": "\(peer)", "dialled": "\(connection.dialler == context.own)"])
            let skew = theirs.clock.milliseconds(since: clock.now)
            if skew.magnitude > 5 * 60 * 1000 {
                log.warning(
                    "the partner's clock differs from ours", metadata: ["partner": "\(peer)", "seconds": "\(skew / 1000)"])
            }
        }
        signal()
        return stays
    }

    func connectionClosed(_ connection: Connection, peer: CityID?, reason: String) {
        guard let peer else { return }
        sending.leave(peer)
        let wasCurrent = state.withLock { state -> Bool in
            guard var link = state.links[peer], link.connection === connection else { return false }
            link.connection = nil
            link.lastError = reason
            link.lastErrorDetail = nil
            link.wasRefused = reason == "the partner closed: refused"
            link.spki = nil
            link.ownSPKI = nil
            link.progress = PullProgress()
            link.releasesSent = 0
            link.contentBytesSent = 0
            // A session that lasted ends the back-off; one that broke at once goes on with it.
            let lasted = link.connectedSince.map { clock.now.milliseconds - $0.milliseconds > 10_000 } ?? false
            link.failures = lasted ? 0 : link.failures + 1
            let random = context.random.bytes(2).reduce(0) { $0 << 8 | UInt32($1) }
            let ceiling = min(Double(bounds.retrySecondsMax), pow(2, Double(min(link.failures, 20))))
            link.nextDial = ContinuousClock.now + .milliseconds(Int64(1000 * max(0.2, ceiling * Double(random) / 65535)))
            state.links[peer] = link
            return true
        }
        if wasCurrent { log.info("partner disconnected", metadata: ["partner": "\(peer)", "reason": "\(reason)"]) }
        signal()
    }

    func connectionFailed(_ connection: Connection, error: any Error) {
        // Only a word about us is a refusal: everything else may be better the next time.
        let refused =
            switch error as? TLSFault {
            case .alert(let number, _): Network.refusingAlerts.contains(number)
            case .peerRefused: true
            default: false
            }
        let words = "\(error)"
        var isAlert = false
        if case .alert = error as? TLSFault { isAlert = true }
        if let peer = connection.peer {
            log.notice("session failed", metadata: ["partner": "\(peer)", "error": "\(words)"])
        } else {
            // No name stands in the log before the hello was checked.
            log.debug("connection failed before anyone was recognised", metadata: ["error": "\(words)"])
            state.withLock { $0.strangers["tls", default: 0] += 1 }
        }
        if case .dialled(let city) = connection.roleForHost {
            state.withLock { state in
                var link = state.links[city] ?? Link()
                // It does not say which of the two.
                link.lastError =
                    refused && isAlert ? "the partner refused our key: it paused us, or does not hold our card" : words
                link.lastErrorDetail = refused && isAlert ? words : nil
                if refused { link.wasRefused = true }
                state.links[city] = link
            }
        }
    }

    /// bad_certificate, certificate_revoked, certificate_expired, certificate_unknown, unknown_ca, access_denied, certificate_required (RFC 8446 §6.2).
    private static let refusingAlerts: Set<UInt8> = [42, 44, 45, 46, 48, 49, 116]

    func connectionViolated(_ connection: Connection, peer: CityID?, fault: ProtocolFault) {
        log.warning("protocol violation", metadata: ["partner": "\(peer?.text ?? "unrecognised")", "fault": "\(fault)"])
        state.withLock { $0.strangers[fault.word, default: 0] += peer == nil ? 1 : 0 }
        guard let peer else {
            if case .dialled(let city) = connection.roleForHost, fault == .pinUnknown || fault == .notWhomWeDialled {
                state.withLock { state in
                    state.links[city, default: Link()].lastError = "\(fault)"
                    state.links[city]?.wasRefused = true
                }
            }
            return
        }
        let now = clock.now
        workers.submit(of: .partner(peer)) { [context, storeFault] in
            do {
                // Merged by the minute: who breaks the rules in a loop does not fill the log.
                try context.logRefusal(LogDraft(.sessionRefused, outcome: .refused, partner: peer, reason: fault.word), at: now)
            } catch { storeFault(error) }
        }
    }

    func pulled(_ connection: Connection, peer: CityID, progress: PullProgress, changes: ExchangeChanges) {
        let isNews = state.withLock { state in
            guard let link = state.links[peer], link.connection === connection else { return true }
            state.links[peer]?.progress = progress
            let isNews = !progress.isOnlyFurther(than: link.progress)
            if progress.isEqual, progress.asks > 0, isNews { state.links[peer]?.lastSettled = clock.now }
            return isNews
        }
        if !changes.isEmpty { onChanges(changes) }
        // Nobody waits for bytes, and who waits looks at the database each time.
        if isNews || !changes.isEmpty { signal() }
    }

    func published(_ connection: Connection, peer: CityID, releasesSent: Int, contentBytesSent: UInt64, changes: ExchangeChanges)
    {
        state.withLock { state in
            guard state.links[peer]?.connection === connection else { return }
            state.links[peer]?.releasesSent = releasesSent
            state.links[peer]?.contentBytesSent = contentBytesSent
        }
        if !changes.isEmpty { onChanges(changes) }
        signal()
    }

    func storeFailed(_ error: any Error) { storeFault(error) }

    /// When a round with each partner last ended with every view equal.
    var settledTimes: [CityID: Timestamp] { state.withLock { $0.links.compactMapValues(\.lastSettled) } }

    /// Refusals of strangers since the last call, by word: one summary entry an hour.
    func takeStrangers() -> [String: Int] {
        state.withLock { state in
            defer { state.strangers = [:] }
            return state.strangers
        }
    }

    // MARK: Waiting and stopping

    private func signal() {
        condition.lock()
        state.withLock { $0.generation += 1 }
        condition.broadcast()
        condition.unlock()
    }

    var generation: UInt64 { state.withLock { $0.generation } }

    /// Returns when something changed since `generation`, or at the deadline.
    func waitForChange(since generation: UInt64, until deadline: Date) {
        condition.lock()
        defer { condition.unlock() }
        while state.withLock({ $0.generation }) == generation {
            if !condition.wait(until: deadline) { return }
        }
    }

    /// No new sessions; those that are there say farewell and make durable what arrived.
    func stop() async {
        let (listening, connections, strangers) = state.withLock { state in
            state.isStopping = true
            defer { state.listening = nil }
            return (state.listening, state.links.values.compactMap(\.connection), state.unrecognised.map(\.channel))
        }
        try? await listening?.close()
        for connection in connections { connection.close("stopping") }
        for channel in strangers { channel.close(promise: nil) }
        let deadline = Date(timeIntervalSinceNow: 10)
        while Date() < deadline {
            let seen = generation
            if state.withLock({ $0.links.values.allSatisfy { $0.connection == nil } }) { break }
            await waitOffPool(since: seen, until: min(deadline, Date(timeIntervalSinceNow: 1)))
        }
        try? await workers.shutDown()
        try? await group.shutdownGracefully()
    }

    private func waitOffPool(since generation: UInt64, until deadline: Date) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                self.waitForChange(since: generation, until: deadline)
                continuation.resume()
            }
        }
    }
}

/// `host:port`, `[v6]:port`.
enum Endpoint {
    static func parse(_ text: String) throws(Problem) -> (host: String, port: Int) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port)
        else {
            throw Problem(.usage, "'\(text.printable())' is no address: write HOST:PORT")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard !host.isEmpty else { throw Problem(.usage, "'\(text.printable())' names no host: write HOST:PORT") }
        return (host, port)
    }

    static func format(host: String, port: Int) -> String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
