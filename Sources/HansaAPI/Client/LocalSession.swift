// A command without a running node: the same handlers in this process, over a socket pair, so that there is one code path and one result
// (CLI.md §16). The caller holds the home's lock through the services it opened.
internal import Foundation
public import HansaCore
public import HansaNode
internal import Synchronization

public final class LocalSession: Sendable {
    public let client: AdminClient
    private let ended = NSCondition()
    private let isEnded = Mutex(false)
    private let isStopping = Atomic<Bool>(false)

    /// Serves `services` to this process, as admin. Only for the uid that owns the home, or root: `AdminSession` checks it.
    public convenience init(services: any Services, home: String) throws(Problem) {
        // The real one: root may act as the home's owner.
        let uid = PeerCredentials.ownUID
        try self.init(services: services, home: home, caller: Caller(role: .admin, uid: uid, account: Accounts.name(of: uid)))
    }

    init(services: any Services, home: String?, caller: Caller, patience: Patience = Patience()) throws(Problem) {
        guard let (near, far) = UnixSocket.pair() else { throw Problem(.inputOutput, "cannot make a socket pair") }
        client = AdminClient(FrameChannel(owning: near))
        let channel = FrameChannel(owning: far)
        // Both ends die with this process, so nothing here needs a deadline of its own.
        Thread.detachNewThread { [self] in
            let handler = RequestHandler(
                services: services, homeGuard: { home.map { HomeGuard(home: $0) } }, patience: patience,
                stopping: { self.isStopping.load(ordering: .relaxed) }, refusals: RefusalNotes())
            handler.serve(channel, for: caller)
            channel.hangUp()
            ended.lock()
            isEnded.withLock { $0 = true }
            ended.broadcast()
            ended.unlock()
        }
    }

    /// Ends the session and waits until the handler has: false when it did not within that time.
    @discardableResult public func close(waitingSeconds: Double = 20) -> Bool {
        isStopping.store(true, ordering: .relaxed)
        client.interrupt()
        ended.lock()
        defer { ended.unlock() }
        let deadline = Date(timeIntervalSinceNow: waitingSeconds)
        while !isEnded.withLock({ $0 }) { if !ended.wait(until: deadline) { return false } }
        return true
    }
}
