internal import Glibc
// A node: one city's home, opened. Services are methods on it, a file for each noun (`Node+Packages.swift`, …); the sessions live in `Network`.
//
// One process holds a home (its lock). Inside, every method may be called from any thread: the stores serialise writes, the rest is immutable
// or behind a mutex.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import Synchronization

public final class Node: NodeHandle {
    let paths: HomePaths
    let lock: HomeLock
    let configuration: Mutex<NodeConfiguration>
    /// Who we are now: changes with each version of our keyring. Whatever needs a key and the version that names it reads it once.
    let identity: Mutex<NodeIdentity>
    /// One new version of our keyring at a time.
    let rotating = Mutex<Void>(())
    let metadata: SQLiteStore
    let content: SegmentStore
    let collection: StoreCollection
    /// Of these segments something that was durable is gone.
    let lostSegments: Set<UInt32>
    /// Held by whoever reads the store as a whole, or moves what lies in it.
    let surveying = Mutex<Void>(())
    let logService: LogService
    let keeper: LogKeeper
    let context: ExchangeContext
    let clock: any WallClock
    let random: any RandomSource
    let log: Logger
    let fatal: FatalSwitch
    /// Set while serving or syncing: commands without a session do not need it.
    let network = Mutex<Network?>(nil)
    /// One publish at a time: two would race for the next seq of one package.
    let publishing = Mutex<Void>(())
    /// The heads of each package that was last tried to be merged without a person: not again before one more came.
    let mergesTried = Mutex<[PackageID: [Digest]]>([:])
    /// What checkouts wrote and nobody touched since.
    let writtenFiles = WrittenFiles()
    /// What the listener bound, for `status`.
    let listening = Mutex<[String]>([])

    var city: CityID { context.own }
    var currentIdentity: NodeIdentity { identity.withLock { $0 } }
    var keyring: Keyring { identity.withLock { $0.keyring } }
    var keys: NodeKeys { identity.withLock { $0.keys } }

    init(
        paths: HomePaths, lock: HomeLock, configuration: NodeConfiguration, identity: NodeIdentity, metadata: SQLiteStore,
        content: SegmentStore, lostSegments: Set<UInt32>, logService: LogService, clock: any WallClock, random: any RandomSource,
        log: Logger,
        fatal: FatalSwitch
    ) {
        self.paths = paths
        self.lock = lock
        self.configuration = Mutex(configuration)
        self.identity = Mutex(identity)
        self.metadata = metadata
        self.content = content
        self.lostSegments = lostSegments
        collection = StoreCollection(metadata, content, settings: StorePace.current.collection)
        self.logService = logService
        keeper = LogKeeper(logService, log)
        self.clock = clock
        self.random = random
        self.log = log
        self.fatal = fatal
        context = ExchangeContext(
            own: configuration.city,
            signing: SigningIdentity(
                SigningIdentity.Current(keyring: identity.keyring.version, packageKey: identity.keys.package)),
            metadata: metadata, content: content, random: random, makeLane: { PoolLane() })
        context.damage.whenFound { [log] in log.error("stored content cannot be read", metadata: ["what": "\($0)"]) }
    }

    // MARK: Doing things durably

    /// One logged transaction; what it says changed is told to the sessions after it is durable.
    @discardableResult
    func change<T>(_ body: (any MetadataWriting) throws -> (T, ExchangeChanges)) throws(Problem) -> T {
        let (value, changes) = try guarded { try metadata.write(at: clock.now, body) }
        changed(changes)
        return value
    }

    func read<T>(_ body: (any MetadataReading) throws -> T) throws(Problem) -> T { try guarded { try metadata.read(body) } }

    /// The log has grown and sessions may have news: both are told, neither is waited for.
    func changed(_ changes: ExchangeChanges) {
        keeper.wake()
        guard !changes.isEmpty, let network = network.withLock({ $0 }) else { return }
        network.notify(changes)
        // Off this thread, which may be a session's.
        if !changes.keyrings.isEmpty { network.refreshSoon() }
    }

    /// Maps what the world did to a problem a person can act on.
    @discardableResult
    func guarded<T>(_ body: () throws -> T) throws(Problem) -> T {
        do { return try body() } catch {
            throw problem(from: error)
        }
    }

    static func isDiskFull(_ error: any Error) -> Bool {
        switch error {
        case StoreFault.diskFull, SegmentStoreFault.noSpace, DiskFault.noSpace: true
        case let problem as Problem: problem.code == .diskFull
        default: false
        }
    }

    func problem(from error: any Error) -> Problem {
        switch error {
        case let problem as Problem: return problem
        case let fault as StoreFault:
            switch fault {
            case .clockBehind(let last, let now):
                return Problem(
                    .clockBehind,
                    "the clock says \(now), before the log's last entry at \(last): nothing is shared until it has passed",
                    try: "timedatectl status")
            case .diskFull(let missing):
                return Problem(
                    .diskFull, "the disk is full\(missing.map { ": \($0) bytes are missing" } ?? ""); nothing was changed",
                    try: "df -h \(paths.home)")
            case .damaged(let what): return Problem(.contentDamaged, "damaged: \(what)", try: "hansa doctor")
            case .inputOutput(let what): return Problem(.inputOutput, what, try: "hansa doctor")
            case .logUnavailable(let what):
                return Problem(.logUnavailable, "the log cannot be written, so nothing is done: \(what)", try: "hansa doctor")
            }
        case let fault as NameFault:
            return Problem(.badName, fault.description, try: fault.suggestion.map { "use \($0)" })
        case let fault as SegmentStoreFault:
            if fault.isFatal { self.fatal.trip(fault.description) }
            if case .noSpace(let missing) = fault {
                return Problem(
                    .diskFull, "the disk is full: \(missing) bytes are missing; nothing was changed", try: "df -h \(paths.home)")
            }
            return Problem(.contentDamaged, "\(fault)", try: "hansa doctor")
        case let fault as DiskFault:
            if case .noSpace = fault { return Problem(.diskFull, "\(fault)", try: "df -h \(paths.home)") }
            return Problem(.inputOutput, "\(fault)", try: "hansa doctor")
        default: return Problem(.internalFault, "\(error)", try: "hansa doctor")
        }
    }

    /// How an account appears in the log: its role, and an HMAC that is meaningless once its key is erased (FORMATS.md §11).
    func actor(_ caller: Caller) -> String {
        "\(caller.role.rawValue):"
            + String(HMACSHA256.authenticate(Array("account:\(caller.account)".utf8), key: keys.accounts).hex.prefix(16))
    }

    // MARK: Names

    func cityID(_ text: String) throws(Problem) -> CityID {
        do { return try CityID(text) } catch {
            throw Problem(.badName, error.description, try: error.suggestion.map { "use \($0)" } ?? "hansa partner list")
        }
    }

    func packageID(_ text: String) throws(Problem) -> PackageID {
        do { return try PackageID(text) } catch {
            throw Problem(.badName, error.description, try: error.suggestion.map { "use \($0)" } ?? "hansa package list")
        }
    }

    func pattern(_ text: String) throws(Problem) -> PackagePattern {
        do { return try PackagePattern(text) } catch {
            throw Problem(.badName, error.description, try: "hansa access grant PARTNER '\(city)/**' --under AGREEMENT")
        }
    }

    /// A known, not removed partner.
    func partner(_ text: String) throws(Problem) -> Partner {
        let id = try cityID(text)
        let known = try read { try $0.partners() }.filter { $0.state != .removed }
        if let partner = known.first(where: { $0.city == id }) { return partner }
        let near = Suggestion.nearest(to: text, among: known.map(\.city.text))
        throw Problem(
            .partnerUnknown, "\(id) is no partner of ours" + (near.map { "; did you mean \($0)?" } ?? ""),
            try: known.isEmpty ? "hansa partner add CARDFILE" : "hansa partner list")
    }

    // MARK: Accounts

    public func roleRules() -> [RoleRule] {
        let roles = configuration.withLock { $0.roles }
        return [(roles.admin, Role.admin), (roles.operator, .operator), (roles.auditor, .auditor)].flatMap { accounts, role in
            accounts.users.map { RoleRule(.user($0), role: role) } + accounts.groups.map { RoleRule(.group($0), role: role) }
        }
    }

    public func noteRefusal(uid: UInt32, account: String, role: Role?, command: String?, merged: Int) {
        let who = Caller(role: role ?? .auditor, uid: uid, account: account)
        do throws(Problem) {
            try change { tx in
                try tx.log(
                    LogDraft(
                        .adminRefused, outcome: .refused,
                        actor: role == nil ? "none:" + self.actor(who).drop { $0 != ":" }.dropFirst() : self.actor(who),
                        reason: role == nil ? "no-role" : "role",
                        details: .object(
                            (command.map { [JSONMember("command", .string($0))] } ?? []) + [
                                JSONMember("merged", JSONValue(merged))
                            ])))
                return ((), ExchangeChanges())
            }
        } catch {
            log.error("a refusal could not be logged", metadata: ["error": "\(error.message)"])
        }
    }

    /// Keyrings, agreements and grants also stand in the segments, for a database that is lost. Where that cannot be written now, it is tried again.
    func keepPolicy() {
        do { try metadata.keepPolicy(in: content) } catch {
            log.warning("the policy could not be kept in the segments", metadata: ["error": "\(error)"])
        }
    }

    public func close() throws(Problem) {
        keeper.stop()
        keepPolicy()
        try guarded { try content.sync() }
        content.close()
        try guarded { try metadata.close() }
        // The home's lock goes with the node.
    }
}

/// The keyring in force and the keys that it names.
struct NodeIdentity: Sendable {
    let keyring: Keyring
    let envelope: Envelope
    let keys: NodeKeys
}

/// The node's private keys, read from `keys/`.
struct NodeKeys: Sendable {
    /// Nil when it lives elsewhere: commands that sign agreements then take `--officer-key`.
    var officer: Ed25519PrivateKey?
    var package: Ed25519PrivateKey
    var log: Ed25519PrivateKey
    var witness: Ed25519PrivateKey
    var tls: TLSIdentity
    /// Rotated out, and still pinned: shown to partners that have not heard of `tls`. The newest first.
    var formerTLS: [TLSIdentity]
    /// Keys the HMAC of account names in the log; erasing it makes them meaningless.
    let accounts: [UInt8]
}

/// Ends the process once: after a failed fsync or a fork of the log nothing may be acknowledged any more (STYLE.md §18).
final class FatalSwitch: Sendable {
    private let tripped = Mutex<Bool>(false)
    private let log: Logger
    init(_ log: Logger) { self.log = log }

    func trip(_ why: String) -> Never {
        if !tripped.withLock({
            let was = $0; $0 = true; return was
        }) {
            log.critical(
                "the node stops at once: what it would acknowledge might not be on the disk", metadata: ["why": "\(why)"])
        }
        _exit(1)
    }
}

enum Suggestion {
    /// The name at edit distance at most 2 (or a third of its length), the nearest first.
    static func nearest(to text: String, among names: [String]) -> String? {
        let scored = names.map { ($0, distance(Array(text.utf8), Array($0.utf8))) }.filter { $0.1 <= max(2, $0.0.utf8.count / 3) }
        return scored.min { ($0.1, $0.0) < ($1.1, $1.0) }?.0
    }

    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for i in 1...max(1, a.count) where i <= a.count {
            var last = row[0]
            row[0] = i
            for j in 1...max(1, b.count) where j <= b.count {
                let cost = min(row[j] + 1, row[j - 1] + 1, last + (a[i - 1] == b[j - 1] ? 0 : 1))
                last = row[j]
                row[j] = cost
            }
        }
        return row[b.count]
    }
}
