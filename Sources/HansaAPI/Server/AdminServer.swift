// The admin socket of a running node (DESIGN.md §5): accepts on a thread of its own, serves each client on another, a bounded number of them.
//
// Call order: `start()`, then `stop()`, then `waitUntilStopped()`; or `run()`, which does all three under ServiceLifecycle. Credentials decide the
// role before a thread is spent on a client, so strangers cost one system call each; one account other than the owner's gets at most half the
// threads. A client that stalls loses its connection at a deadline (`Patience`) and holds up nobody but itself.
internal import CLinux
internal import Foundation
internal import Glibc
public import HansaCore
public import HansaNode
public import Logging
public import ServiceLifecycle
internal import Synchronization

public final class AdminServer: Service {
    public struct Options: Sendable {
        /// Clients at one time.
        public var clientsMax: Int
        /// How long running requests may take to end after `stop()`.
        public var drainMilliseconds: Int
        var patience: Patience

        public init(clientsMax: Int = 32, drainMilliseconds: Int = 20_000) {
            self.clientsMax = clientsMax
            self.drainMilliseconds = drainMilliseconds
            patience = Patience()
        }
    }

    private struct Client {
        let uid: UInt32
        let channel: FrameChannel
    }

    private struct State {
        var clients: [UInt64: Client] = [:]
        var nextClient: UInt64 = 0
        var stopping = false
        var started = false
        var stopped = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let services: any Services
    private let home: String
    private let socketPath: String
    private let policy: @Sendable () -> RolePolicy
    private let options: Options
    private let logger: Logger
    private let refusals = RefusalNotes()
    private let state = Mutex(State())
    private let stopping = Atomic<Bool>(false)
    /// Written once by `stop()`, polled by the accept thread: -1 before `start()`.
    private let wake: CInt
    private let quiet = NSCondition()

    /// Roles come from the node's configuration at each connection: the home's owner and root are admins.
    public convenience init(
        services: any Services, home: String, socketPath: String, options: Options = Options(), logger: Logger
    ) {
        var status = stat()
        let owner = lstat(home, &status) == 0 ? status.st_uid : geteuid()
        self.init(
            services: services, home: home, socketPath: socketPath,
            policy: { RolePolicy(owner: owner, rules: services.roleRules()) },
            options: options, logger: logger)
    }

    init(
        services: any Services, home: String, socketPath: String, policy: @escaping @Sendable () -> RolePolicy, options: Options,
        logger: Logger
    ) {
        self.services = services
        self.home = home
        self.socketPath = socketPath
        self.policy = policy
        self.options = options
        self.logger = logger
        wake = hansa_event()
    }

    deinit { if wake >= 0 { close(wake) } }

    // MARK: Life

    /// Serves until graceful shutdown, then drains.
    public func run() async throws {
        try start()
        // Cancelled when another service of the group failed: that ends us just as well.
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await waitUntilStopped()
            } onGracefulShutdown: {
                self.stop()
            }
        } onCancel: {
            self.stop()
        }
    }

    /// Binds the socket and begins to accept. The caller holds the home's lock: only then is a socket that nobody answers known to be stale.
    public func start() throws(Problem) {
        let listener = try bind()
        state.withLock { $0.started = true }
        Thread.detachNewThread { self.accept(on: listener) }
    }

    /// Stops accepting and lets running requests end. Safe to call twice, and from any thread.
    public func stop() {
        let first = state.withLock { state in
            defer { state.stopping = true }
            return !state.stopping
        }
        guard first else { return }
        stopping.store(true, ordering: .relaxed)
        var one: UInt64 = 1
        _ = Glibc.write(wake, &one, 8)
    }

    /// Returns when the accept thread has ended: no client is served any more.
    public func waitUntilStopped() async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Bool in
                if state.stopped || !state.started { return true }
                state.waiter = continuation
                return false
            }
            if now { continuation.resume() }
        }
    }

    // MARK: The socket

    private func bind() throws(Problem) -> CInt {
        guard wake >= 0 else { throw Problem(.inputOutput, "cannot make an event descriptor: \(SystemFault.text(-wake))") }
        let listener = UnixSocket.make()
        guard listener >= 0 else { throw Problem(.inputOutput, "cannot make the admin socket: \(SystemFault.text(-listener))") }
        do throws(Problem) {
            var result = hansa_unix_bind(listener, socketPath)
            if result == -EADDRINUSE, try removeStaleSocket() { result = hansa_unix_bind(listener, socketPath) }
            guard result == 0 else {
                throw Problem(.inputOutput, "cannot bind the admin socket \(socketPath): \(SystemFault.text(-result))")
            }
            // Everybody may connect; credentials decide. The mode is set before anybody can: a connection needs listen().
            guard chmod(socketPath, 0o666) == 0, listen(listener, 128) == 0 else {
                throw Problem(.inputOutput, "cannot open the admin socket \(socketPath): \(SystemFault.text(errno))")
            }
            return listener
        } catch {
            close(listener)
            throw error
        }
    }

    /// Removes a socket file that nobody listens on. Anything else at that path stays, and so does a socket somebody answers on.
    private func removeStaleSocket() throws(Problem) -> Bool {
        var status = stat()
        guard lstat(socketPath, &status) == 0 else { return errno == ENOENT }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw Problem(.homeUnsafe, "\(socketPath) is no socket", try: "move it away")
        }
        let probe = UnixSocket.make()
        defer { if probe >= 0 { close(probe) } }
        let result = probe < 0 ? probe : hansa_unix_connect(probe, socketPath)
        guard result == -ECONNREFUSED else {
            throw Problem(.homeInUse, "another node answers on \(socketPath)", try: "hansa status --home \(home)")
        }
        return unlink(socketPath) == 0
    }

    // MARK: Accepting

    private func accept(on listener: CInt) {
        var entries = [
            pollfd(fd: listener, events: CShort(POLLIN), revents: 0), pollfd(fd: wake, events: CShort(POLLIN), revents: 0),
        ]
        while !stopping.load(ordering: .relaxed) {
            let ready = poll(&entries, 2, -1)
            if ready < 0, errno != EINTR { break }
            guard ready > 0, entries[0].revents != 0 else { continue }
            let socket = hansa_accept(listener)
            if socket >= 0 {
                admit(socket)
            } else if [EMFILE, ENFILE, ENOMEM, ENOBUFS].contains(-socket) {
                // Out of descriptors: those waiting stay in the backlog, and we look again when one may have been closed.
                logger.warning("admin socket: \(SystemFault.text(-socket))")
                _ = poll(&entries[1], 1, 100)
            }
        }
        // Unlinked before it is closed: from here a command finds no node and waits for the lock instead.
        unlink(socketPath)
        close(listener)
        drain()
        let waiter = state.withLock { state in
            state.stopped = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    private func admit(_ socket: CInt) {
        let channel = FrameChannel(owning: socket)
        guard let peer = PeerCredentials(ofSocket: socket) else { return }
        let policy = policy()
        guard let role = policy.role(of: peer) else {
            let account = Accounts.name(of: peer.uid)
            refusals.note(services, uid: peer.uid, account: account, role: nil, command: nil)
            refuse(
                channel,
                Problem(
                    .notAuthorised, "account \(account) has no role on this node",
                    try: "an administrator can give it one: hansa config set roles.auditor.users \(account)"))
            return
        }
        let isOwner = peer.uid == policy.owner || peer.uid == 0
        let number = state.withLock { state -> UInt64? in
            let own = state.clients.values.count { $0.uid == peer.uid }
            guard !state.stopping, state.clients.count < options.clientsMax, isOwner || own < max(1, options.clientsMax / 2)
            else { return nil }
            state.nextClient += 1
            state.clients[state.nextClient] = Client(uid: peer.uid, channel: channel)
            return state.nextClient
        }
        guard let number else {
            refuse(
                channel,
                Problem(
                    .tooManyClients, "the node serves \(options.clientsMax) commands already", try: "run it again in a moment"))
            return
        }
        Thread.detachNewThread { self.serve(channel, number: number, uid: peer.uid, role: role) }
    }

    private func serve(_ channel: FrameChannel, number: UInt64, uid: UInt32, role: Role) {
        let home = home
        let handler = RequestHandler(
            services: services, homeGuard: { HomeGuard(home: home) }, patience: options.patience,
            stopping: { [weak self] in self?.stopping.load(ordering: .relaxed) ?? true }, refusals: refusals)
        handler.serve(channel, for: Caller(role: role, uid: uid, account: Accounts.name(of: uid)))
        channel.hangUp()
        quiet.lock()
        state.withLock { _ = $0.clients.removeValue(forKey: number) }
        quiet.broadcast()
        quiet.unlock()
    }

    private func refuse(_ channel: FrameChannel, _ problem: Problem) {
        // The socket is new and its buffer empty, so this never waits.
        try? channel.send(.problem, ProblemCodec.encode(problem), within: 0)
    }

    /// Waits for the clients that are being served; those that stay beyond the deadline lose their connection, which ends what they wait for.
    private func drain() {
        quiet.lock()
        defer { quiet.unlock() }
        let clients = { self.state.withLock { $0.clients.values.map(\.channel) } }
        let deadline = Date(timeIntervalSinceNow: Double(options.drainMilliseconds) / 1000)
        while !clients().isEmpty, quiet.wait(until: deadline) {}
        for channel in clients() { channel.hangUp() }
        let last = Date(timeIntervalSinceNow: 2)
        while !clients().isEmpty, quiet.wait(until: last) {}
    }
}

enum UnixSocket {
    /// A stream socket, or a negative errno.
    static func make() -> CInt {
        let made = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        return made < 0 ? -errno : made
    }

    static func pair() -> (CInt, CInt)? {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else { return nil }
        return (ends[0], ends[1])
    }
}
