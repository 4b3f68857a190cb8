// Rows of the metadata store: what each side keeps for one view, as publisher and as recipient.
public import HansaCore
public import HansaDocuments
public import HansaTerms

/// What a publisher keeps for one view: (agreement, publisher = us, recipient).
public struct PublishedView: Sendable, Equatable {
    public var id: Digest
    public var agreement: Digest
    public var recipient: CityID
    /// The key that makes positions into opaque cursors; a new one is a new feed epoch, and every older cursor is unknown.
    public var feedKey: [UInt8]
    /// The position of the last change; 0 before the first.
    public var position: UInt64
    /// Count and LtHash16 of the present members.
    public var members: MemberSet
    public var acknowledgedPosition: UInt64
    /// The recipient's digest at that position equalled ours.
    public var acknowledgedEqual: Bool
    /// How often digests differed at one cursor since they were last equal: 0, then 1 (a full list was sent), then quarantine.
    public var mismatches: Int
    public var quarantine: String?

    public init(id: Digest, agreement: Digest, recipient: CityID, feedKey: [UInt8]) {
        self.id = id
        self.agreement = agreement
        self.recipient = recipient
        self.feedKey = feedKey
        position = 0
        members = MemberSet()
        acknowledgedPosition = 0
        acknowledgedEqual = true
        mismatches = 0
        quarantine = nil
    }
}

/// One release in one view at the publisher: present, or dropped and kept as long as the partner was ever sent it.
public struct MemberRow: Sendable, Equatable {
    public var view: Digest
    public var release: Digest
    public var package: PackageID
    public var level: Grant.Level
    public var clause: String
    public var grant: String
    /// Checked against the clock again at every offer and get: a timer may be late.
    public var until: Timestamp?
    /// The position at which it came in.
    public var added: UInt64
    /// The position at which it went; nil while it is a member.
    public var dropped: UInt64?
    /// The id was listed to the partner: only then may `drop` name it.
    public var sent: Bool
    /// It was listed, went, and came in again under the same transfer: another word of the partner may replace
    /// what it said before.
    public var isListedAgain: Bool
    /// 16 random bytes, chosen with the offer, echoed by receipts. Empty until offered.
    public var transfer: [UInt8]
    /// Its document went out (and the delivery stands in the log).
    public var delivered: Bool
    /// The partner's receipt for it.
    public var outcome: Receipt.Outcome?

    public init(
        view: Digest, release: Digest, package: PackageID, level: Grant.Level, clause: String, grant: String, until: Timestamp?,
        added: UInt64
    ) {
        self.view = view
        self.release = release
        self.package = package
        self.level = level
        self.clause = clause
        self.grant = grant
        self.until = until
        self.added = added
        dropped = nil
        sent = false
        isListedAgain = false
        transfer = []
        delivered = false
        outcome = nil
    }
}

/// What of a member row says whether the partner may have its release.
public struct MemberStanding: Sendable, Equatable {
    public let level: Grant.Level
    public let until: Timestamp?
    /// It was listed to the partner and has not been dropped.
    public let isOffered: Bool

    public init(level: Grant.Level, until: Timestamp?, isOffered: Bool) {
        self.level = level
        self.until = until
        self.isOffered = isOffered
    }

    public init(_ row: MemberRow) { self.init(level: row.level, until: row.until, isOffered: row.sent && row.dropped == nil) }
}

/// What a recipient keeps for one view: (agreement, publisher, recipient = us).
public struct SubscribedView: Sendable, Equatable {
    public var id: Digest
    public var agreement: Digest
    public var publisher: CityID
    /// As the publisher gave it; empty before the first answer. Every id up to it is committed or refused.
    public var cursor: [UInt8]
    /// Count and LtHash16 of the ids committed or answered with a signed `refused` receipt.
    public var members: MemberSet
    public var mismatches: Int
    public var quarantine: String?

    public init(id: Digest, agreement: Digest, publisher: CityID) {
        self.id = id
        self.agreement = agreement
        self.publisher = publisher
        cursor = []
        members = MemberSet()
        mismatches = 0
        quarantine = nil
    }
}

/// One release in one view at the recipient.
public struct HoldingRow: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Content and document are here, the receipt is signed.
        case accepted
        /// Answered with a signed `refused` receipt; the reason says why.
        case refused
        /// The publisher dropped it, or withdrew the package.
        case ended
    }
    public var view: Digest
    public var release: Digest
    public var level: Grant.Level
    public var state: State
    public var transfer: [UInt8]
    public var reason: String?
    /// Known where the document could be read.
    public var package: PackageID?

    public init(
        view: Digest, release: Digest, level: Grant.Level, state: State, transfer: [UInt8], reason: String?, package: PackageID?
    ) {
        self.view = view
        self.release = release
        self.level = level
        self.state = state
        self.transfer = transfer
        self.reason = reason
        self.package = package
    }
}

/// A fetch that has begun: document and index are durable, and so is every chunk whose bit is set.
public struct TransferRow: Sendable, Equatable {
    public var view: Digest
    public var release: Digest
    public var transfer: [UInt8]
    public var document: ContentLocation
    public var table: [ContentLocation]
    public var pages: [ContentLocation]
    /// One bit for each chunk of the index, bit 0 of byte 0 first.
    public var bitmap: [UInt8]
    public var chunksHeld: Int
    public var chunksTotal: Int

    public init(
        view: Digest, release: Digest, transfer: [UInt8], document: ContentLocation, table: [ContentLocation],
        pages: [ContentLocation], bitmap: [UInt8], chunksHeld: Int, chunksTotal: Int
    ) {
        self.view = view
        self.release = release
        self.transfer = transfer
        self.document = document
        self.table = table
        self.pages = pages
        self.bitmap = bitmap
        self.chunksHeld = chunksHeld
        self.chunksTotal = chunksTotal
    }
}
