// A command's way to the handlers: the running node's socket, or the same handlers in this process (CLI.md §16, DESIGN.md §5).
internal import CLinux
internal import Glibc
public import HansaCore
public import HansaNode
internal import Synchronization

public final class AdminSession: Sendable {
    /// A handle that `NodeBootstrap.openForCommand` gave, and how to let go of it.
    public struct Opened: Sendable {
        let services: any Services
        let close: @Sendable () throws(Problem) -> Void

        public init(services: any Services, close: @escaping @Sendable () throws(Problem) -> Void) {
            self.services = services
            self.close = close
        }
    }

    /// How long a command waits for another one, or for a node that is starting, to let it in.
    private static let patienceSeconds = 10.0
    /// How long the handlers of an interrupted command may take to notice.
    private static let interruptedSeconds = 1.0

    public let client: AdminClient
    /// True when a node answers; false when the handlers run here.
    public let isRemote: Bool
    private let local: (session: LocalSession, close: @Sendable () throws(Problem) -> Void)?

    private init(client: AdminClient, local: (session: LocalSession, close: @Sendable () throws(Problem) -> Void)?) {
        self.client = client
        self.local = local
        isRemote = local == nil
    }

    /// Finds the node of this home. `open` takes the home's lock and fails with `.homeInUse` while another process has it; then the socket is
    /// tried again, for ten seconds.
    public static func open(
        home: String, socketPath: String, open: (String) throws(Problem) -> Opened
    ) throws(Problem) -> AdminSession {
        let deadline = Deadline(milliseconds: Int(patienceSeconds * 1000))
        while true {
            if let client = try AdminClient.connect(socketPath: socketPath) { return AdminSession(client: client, local: nil) }
            do throws(Problem) {
                try checkOwner(of: home)
                return try asOwner(of: home) { () throws(Problem) in try local(try open(home), home: home) }
            } catch {
                guard error.code == .homeInUse, deadline.millisecondsLeft > 0 else { throw error }
                usleep(100_000)
            }
        }
    }

    private static func local(_ opened: Opened, home: String) throws(Problem) -> AdminSession {
        do throws(Problem) {
            let session = try LocalSession(services: opened.services, home: home)
            return AdminSession(
                client: session.client, local: (session, { () throws(Problem) in try asOwner(of: home, opened.close) }))
        } catch {
            // The first fault is the one to tell.
            try? opened.close()
            throw error
        }
    }

    /// Root without a node: the handlers run as the home's owner, or they would leave files that the node cannot read; this thread, which reads
    /// and writes the user's files, is root again afterwards. Threads inherit from the one that makes them, so the handlers' stay the owner's.
    private static func asOwner<T>(of home: String, _ body: () throws(Problem) -> T) throws(Problem) -> T {
        var status = stat()
        guard geteuid() == 0, stat(home, &status) == 0, status.st_uid != 0 else { return try body() }
        let result = hansa_act_as(status.st_uid, status.st_gid)
        guard result == 0 else {
            throw Problem(
                .notAuthorised,
                "cannot act as \(Accounts.name(of: status.st_uid)), who owns \(home): \(SystemFault.text(-result))")
        }
        defer { _ = hansa_thread_act_as_root() }
        return try body()
    }

    /// Only the uid that owns the home, or root, may run handlers itself.
    private static func checkOwner(of home: String) throws(Problem) {
        var status = stat()
        guard lstat(home, &status) == 0 else {
            if errno == EACCES {
                throw Problem(
                    .notAuthorised, "no node runs at \(home), and this account may not look there",
                    try: "run it as the account that owns the home, or name your own with --home")
            }
            throw Problem(
                .homeMissing, "there is no Hansa home at \(home)", try: "hansa init --home \(home) --city ID --name TEXT")
        }
        // The home itself may be a link that its owner made.
        guard stat(home, &status) == 0, status.st_uid == geteuid() || geteuid() == 0 else {
            throw Problem(
                .notAuthorised,
                "no node runs at \(home), and only \(Accounts.name(of: status.st_uid)), who owns it, may act without one",
                try: "sudo -u \(Accounts.name(of: status.st_uid)) hansa serve"
                    + (home == HomeLocation.systemHome ? "" : " --home \(home)"))
        }
    }

    /// Lets go: of the connection, or of the handlers and the home's lock.
    public func close() throws(Problem) {
        guard let local else {
            client.interrupt()
            return
        }
        // Interrupted, a command ends at once: handlers that do not notice soon end with the process, as by a kill, which they must survive anyhow.
        // Nothing is closed under them.
        guard local.session.close(waitingSeconds: client.isInterrupted ? Self.interruptedSeconds : 60) else { return }
        try local.close()
    }
}
