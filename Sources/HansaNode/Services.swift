// What a node can be asked, one method for each command of CLI.md. The admin API dispatches requests to these; tests put a double in their place.
//
// Every method blocks the calling thread (admin requests run on threads of their own), throws `Problem`, and returns the command's JSON document
// with `schema` first. The caller's role was checked before (`Role.mayRun`); the account is for the log.
public import HansaCore

/// What an account on the admin socket may do (DESIGN.md §5).
public enum Role: String, Sendable, Codable, CaseIterable {
    case admin, `operator`, auditor
}

/// Who asks: the role that the peer's credentials give, and the account for the log's HMAC.
public struct Caller: Sendable, Equatable {
    public let role: Role
    public let uid: UInt32
    /// The account's name, or its number where it has none.
    public let account: String

    public init(role: Role, uid: UInt32, account: String) {
        self.role = role
        self.uid = uid
        self.account = account
    }
}

/// Gives an account, or all members of a group, a role on the admin socket.
public struct RoleRule: Sendable, Equatable {
    public enum Subject: Sendable, Equatable {
        /// By name or number.
        case user(String)
        case group(String)
    }
    public let subject: Subject
    public let role: Role

    public init(_ subject: Subject, role: Role) {
        self.subject = subject
        self.role = role
    }
}

/// Reports how far a long request has come; calls are cheap and may be dropped.
public struct Progress: Sendable, Equatable {
    public let item: String
    public let bytesDone: UInt64
    public let bytesTotal: UInt64?
    public let itemsDone: Int
    public let itemsTotal: Int?

    public init(item: String, bytesDone: UInt64, bytesTotal: UInt64?, itemsDone: Int, itemsTotal: Int?) {
        self.item = item
        self.bytesDone = bytesDone
        self.bytesTotal = bytesTotal
        self.itemsDone = itemsDone
        self.itemsTotal = itemsTotal
    }
}

/// The client's side of a request, while it runs.
public protocol Conversation: AnyObject, Sendable {
    func report(_ progress: Progress)
    /// A message for the person on stderr: a warning, a hint.
    func warn(_ message: String)
    /// True once the client has gone or been interrupted; long work looks now and then and ends with `Problem`.
    var isCancelled: Bool { get }
}

/// A file as the client's `lstat` saw it. Times are nanoseconds since 1970.
public struct FileStat: Sendable, Equatable {
    public enum Kind: UInt8, Sendable { case file = 0, directory = 1, symlink = 2, other = 3 }
    public let path: String
    public let kind: Kind
    public let size: UInt64
    public let modified: Int64
    public let changed: Int64
    public let inode: UInt64
    public let device: UInt64

    public init(path: String, kind: Kind, size: UInt64, modified: Int64, changed: Int64, inode: UInt64, device: UInt64) {
        self.path = path
        self.kind = kind
        self.size = size
        self.modified = modified
        self.changed = changed
        self.inode = inode
        self.device = device
    }
}

/// A directory of the client that is to be published, as it was found: nothing of it has been read yet.
public struct DirectoryListing: Sendable {
    /// Counts from 0 within the request.
    public let number: Int
    /// The absolute path at the client: the key of the unchanged check, and for messages.
    public let path: String
    /// The name CLI.md derives: `--name`, or the path below `--base`, whether or not it could be a package's name; nil where there is neither.
    public let derivedName: String?
    /// When the client began to list it (ns since 1970): racy timestamps are judged by it.
    public let listedAt: Int64
    /// Everything below the directory, paths relative with `/`, in any order; symlinks are not followed.
    public let entries: [FileStat]
    /// Why the directory could not be listed, as one of several; `entries` is empty then.
    public let fault: Problem?

    public init(number: Int, path: String, derivedName: String?, listedAt: Int64, entries: [FileStat], fault: Problem? = nil) {
        self.number = number
        self.path = path
        self.derivedName = derivedName
        self.listedAt = listedAt
        self.entries = entries
        self.fault = fault
    }
}

/// The directories a client wants to publish. The client opens its own files and passes the descriptors (SCM_RIGHTS):
/// the node reads users' bytes without opening a path for anyone, and without a copy through the socket.
public protocol PublishSource: Conversation {
    /// The next directories, a bounded batch; nil at the end.
    func nextListings() throws(Problem) -> [DirectoryListing]?
    /// Read-only descriptors of regular files, in the order asked, at most 64 a call; the caller closes them.
    func open(directory: Int, paths: [String]) throws(Problem) -> [CInt]
    /// The same for several directories at once: small packages are many.
    func open(_ files: [(directory: Int, path: String)]) throws(Problem) -> [CInt]
}

/// Where a checkout goes: the client writes its own files, the node fills the descriptors.
public protocol CheckoutSink: Conversation {
    /// What stands in the target now: relative paths below it; empty for a new or empty directory. `directory` is relative to the request's DIR ("" for DIR itself).
    func listing(of directory: String) throws(Problem) -> [FileStat]
    /// Read-only descriptors of existing files (to compare them); the caller closes them.
    func open(_ paths: [String]) throws(Problem) -> [CInt]
    /// New empty files under temporary names beside their targets (parents made as needed, O_EXCL|O_NOFOLLOW), open for writing; the caller closes them.
    func create(_ paths: [String]) throws(Problem) -> [CInt]
    /// Renames created files to their targets (with fsync), in the order given.
    func commit(_ paths: [String]) throws(Problem)
    /// Removes files that the new version no longer has, and directories left empty.
    func remove(_ paths: [String]) throws(Problem)
}

/// Reading a directory that is no request to publish: `package new`, `package check`, `package verify`.
public protocol DirectoryReader: Conversation {
    func listing() throws(Problem) -> DirectoryListing
    func open(_ paths: [String]) throws(Problem) -> [CInt]
}

public struct PublishOptions: Sendable, Codable, Equatable {
    public var version: String?
    public var bumpAuto: Bool
    public var tlp: String?
    public var rehash: Bool
    public var dryRun: Bool
    /// `--name`: only with one directory.
    public var name: String?
    /// `--merge`: the directory holds what all heads of the package say together.
    public var merge: Bool
    /// With `merge`, which heads those are, for packages of which that is known; of others, the heads there are when their directory is begun.
    public var merges: [MergeNote]?

    public init(
        version: String? = nil, bumpAuto: Bool = false, tlp: String? = nil, rehash: Bool = false, dryRun: Bool = false,
        name: String? = nil, merge: Bool = false, merges: [MergeNote]? = nil
    ) {
        self.merge = merge
        self.merges = merges
        self.version = version
        self.bumpAuto = bumpAuto
        self.tlp = tlp
        self.rehash = rehash
        self.dryRun = dryRun
        self.name = name
    }
}

/// One filter for `audit log`; all given conditions must hold.
public struct LogFilter: Sendable, Codable, Equatable {
    public var since: String?
    public var until: String?
    public var partner: String?
    public var package: String?
    public var agreement: String?
    public var event: String?
    public var outcome: String?

    public init(
        since: String? = nil, until: String? = nil, partner: String? = nil, package: String? = nil, agreement: String? = nil,
        event: String? = nil, outcome: String? = nil
    ) {
        self.since = since
        self.until = until
        self.partner = partner
        self.package = package
        self.agreement = agreement
        self.event = event
        self.outcome = outcome
    }
}

public protocol Services: AnyObject, Sendable {
    func status(_ caller: Caller) throws(Problem) -> JSONValue
    func doctor(_ caller: Caller) throws(Problem) -> JSONValue
    func why(_ caller: Caller, partner: String, package: String) throws(Problem) -> JSONValue

    /// `{schema, city, envelopes:["{…}", …]}`: every version so far, each a DSSE envelope as JSON text.
    func cityCard(_ caller: Caller) throws(Problem) -> JSONValue
    func cityShow(_ caller: Caller) throws(Problem) -> JSONValue
    /// A successor for one of our keys, in the next version of our keyring. With `officerKey` its signatures are asked for besides those of the key
    /// in the home.
    func cityRotate(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem) -> JSONValue
    /// The next version of our keyring with the same keys; `request.key` is nil.
    func cityRenew(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem) -> JSONValue

    /// `card` is the file's text. Without `fingerprint` and `trustWithoutComparison` it fails with `.fingerprintNeeded`, naming the fingerprint of the card.
    func partnerAdd(
        _ caller: Caller, card: String, fingerprint: String?, trustWithoutComparison: Bool, endpoint: String?, dryRun: Bool
    ) throws(Problem) -> JSONValue
    func partnerList(_ caller: Caller) throws(Problem) -> JSONValue
    func partnerShow(_ caller: Caller, city: String) throws(Problem) -> JSONValue
    /// No session with the partner, either way, until it is resumed; grants and agreements stay.
    func partnerPause(_ caller: Caller, city: String, dryRun: Bool) throws(Problem) -> JSONValue
    func partnerResume(_ caller: Caller, city: String, dryRun: Bool) throws(Problem) -> JSONValue
    func partnerRemove(_ caller: Caller, city: String, confirm: String?, dryRun: Bool) throws(Problem) -> JSONValue

    /// `{schema, yaml}`; the client writes it to `--out` or stdout.
    func agreementNew(_ caller: Caller, template: String, with city: String) throws(Problem) -> JSONValue
    func agreementTemplates(_ caller: Caller) throws(Problem) -> JSONValue
    func agreementCheck(_ caller: Caller, yaml: String) throws(Problem) -> JSONValue
    /// With `officerKey` the signature is asked of it; without, the key in the home signs.
    func agreementPropose(_ caller: Caller, yaml: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    func agreementAccept(_ caller: Caller, id: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    func agreementReject(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem) -> JSONValue
    func agreementTerminate(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem) -> JSONValue
    func agreementList(_ caller: Caller) throws(Problem) -> JSONValue
    /// `format` is `text`, `json` or `markdown`; text and markdown come as `{schema, id, digest, state, text}`.
    func agreementShow(_ caller: Caller, id: String, format: String) throws(Problem) -> JSONValue

    func accessGrant(
        _ caller: Caller, partner: String, pattern: String, agreement: String, level: String, until: String?, ceiling: String?,
        dryRun: Bool
    ) throws(Problem) -> JSONValue
    func accessList(_ caller: Caller, partner: String?) throws(Problem) -> JSONValue
    func accessRevoke(_ caller: Caller, grant: String, dryRun: Bool) throws(Problem) -> JSONValue
    func accessTest(_ caller: Caller, partner: String) throws(Problem) -> JSONValue

    /// `{schema, datapackage: "<text of datapackage.json>", …}`; the client writes it into DIR (never over an existing one without --force).
    func packageNew(_ caller: Caller, kind: String, reader: any DirectoryReader) throws(Problem) -> JSONValue
    func packageCheck(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue
    func packagePublish(_ caller: Caller, options: PublishOptions, source: any PublishSource) throws(Problem) -> JSONValue
    func packageList(_ caller: Caller) throws(Problem) -> JSONValue
    func packageShow(_ caller: Caller, reference: String) throws(Problem) -> JSONValue
    func packageHistory(_ caller: Caller, package: String) throws(Problem) -> JSONValue
    func packageCheckout(
        _ caller: Caller, reference: String, payload: Bool, purpose: String?, force: Bool, dryRun: Bool, sink: any CheckoutSink
    ) throws(Problem) -> JSONValue
    func packageDiff(
        _ caller: Caller, from first: String, to second: String, limit: Int, conversation: any Conversation
    ) throws(Problem) -> JSONValue
    func packageVerify(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue
    func packageWithdraw(_ caller: Caller, package: String, reason: String, dryRun: Bool) throws(Problem) -> JSONValue

    func conflictList(_ caller: Caller) throws(Problem) -> JSONValue
    func conflictShow(_ caller: Caller, package: String) throws(Problem) -> JSONValue
    /// `merge` says that `--merge DIR` was asked for: where several cities write, the document says that the directory may be published as the merge;
    /// no package of one writer allows it, and the problem says what to do instead.
    func conflictResolve(_ caller: Caller, package: String, take reference: String?, merge: Bool, dryRun: Bool) throws(Problem)
        -> JSONValue

    /// A proposal of one version from two heads of a package, cell by cell. `with` names the other head; `sink` takes the merged files; `publish` signs
    /// them where nothing is left to decide. `{schema, package, base, ours, theirs, heads, clean, conflicts, files:[{path, from, …}], published}`.
    func conflictMerge(
        _ caller: Caller, package: String, with reference: String?, publish: Bool, limit: Int, dryRun: Bool,
        sink: (any CheckoutSink)?,
        conversation: any Conversation
    ) throws(Problem) -> JSONValue

    /// The home was put back to an earlier state: every number that we sign under is raised by 2^20, the log is closed, and the next keyring, which
    /// officers sign, names a new one. `against` is a later checkpoint of the log. `{schema, packages, raisedBy, checkpoint, closed, log, keyring}`.
    func restore(
        _ caller: Caller, _ request: RotationRequest, against checkpoint: String?, officerKey: (any OfficerSigner)?
    ) throws(Problem) -> JSONValue

    func sync(
        _ caller: Caller, partners: [String], wait: Bool, timeoutSeconds: Int?, dryRun: Bool, conversation: any Conversation
    ) throws(Problem) -> JSONValue

    /// Streams: `emit` is called with batches of entries; the returned document is `{schema, entries: […]}` only when `emit` is nil.
    func auditLog(_ caller: Caller, filter: LogFilter, emit: (([JSONValue]) throws(Problem) -> Void)?) throws(Problem)
        -> JSONValue
    /// `log` is the number of the log, where one was closed; nil means the one in use.
    func auditShow(_ caller: Caller, index: UInt64, log: Int?) throws(Problem) -> JSONValue
    func auditVerify(_ caller: Caller, against checkpoint: String?) throws(Problem) -> JSONValue
    func auditCheckpoint(_ caller: Caller) throws(Problem) -> JSONValue
    func auditEvents(_ caller: Caller) throws(Problem) -> JSONValue

    /// Every byte of the store, and every place that a row names.
    func storeCheck(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue
    /// Places of chunks made again from the segments, where a row is lost or names damaged bytes.
    func storeRebuild(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue
    /// Bytes that no release needs leave the disk.
    func storeCollect(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue
    func storeStats(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue

    func configShow(_ caller: Caller) throws(Problem) -> JSONValue
    func configSet(_ caller: Caller, key: String, value: String, dryRun: Bool) throws(Problem) -> JSONValue

    /// The accounts that `hansa.yaml` gives a role on the admin socket, as last loaded; asked at every connection. The home's owner and root are
    /// admins without a rule.
    func roleRules() -> [RoleRule]
    /// Logs that an account was refused: `role` is nil where it has none, `command` then too. Called at most once a minute for one account and kind;
    /// `merged` counts the refusals since the note before that were not noted by themselves.
    func noteRefusal(uid: UInt32, account: String, role: Role?, command: String?, merged: Int)
}
