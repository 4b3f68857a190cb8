// What a connection asks of the node.
internal import HansaCore
internal import HansaSync

/// What a connection needs of the node. Called on the connection's event loop; implementations do not block.
protocol ConnectionHost: AnyObject, Sendable {
    var now: Timestamp { get }
    var sending: SendingBudget { get }
    var witnessing: Witnessing { get }
    /// How often a session announces its views, in seconds, give or take a quarter.
    var announceSeconds: Int64 { get }
    /// Raw bytes of chunks that a new session may have asked for.
    var contentAskedBytes: Int { get }
    func acquaintance(of city: CityID) -> Session.Acquaintance?
    /// When a version of our own keyring ends.
    func expiry(ofOwnKeyring version: Int) -> Timestamp?
    /// False: another session between this pair stays.
    func connectionOpened(_ connection: Connection, peer: CityID, theirs: Hello) -> Bool
    func connectionClosed(_ connection: Connection, peer: CityID?, reason: String)
    func connectionFailed(_ connection: Connection, error: any Error)
    func connectionViolated(_ connection: Connection, peer: CityID?, fault: ProtocolFault)
    func pulled(_ connection: Connection, peer: CityID, progress: PullProgress, changes: ExchangeChanges)
    func published(_ connection: Connection, peer: CityID, releasesSent: Int, contentBytesSent: UInt64, changes: ExchangeChanges)
    func storeFailed(_ error: any Error)
}
