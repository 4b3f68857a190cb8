// Rows of the metadata store: packages, their releases, and the directories that they were published from.
public import HansaCore
public import HansaDocuments

/// A package as a node knows it: its own or a partner's.
public struct PackageRow: Sendable, Equatable {
    public var package: PackageID
    public var kind: PackageKind
    /// The canonical head: the committed release with the highest seq that is no withdrawal; of several writers' the one that the rule counts.
    public var head: Digest
    public var headVersion: Version
    /// The head's `ownerSeq`; 0 where nothing counts yet.
    public var headSeq: UInt64
    /// The highest seq known of the package's own city, withdrawals included; its next release is one above.
    public var lastSeq: UInt64
    /// The last document of the chain, withdrawals included; the next own release names it as `previous`.
    public var last: Digest
    public var tlp: TLP
    public var title: String
    public var bytes: UInt64
    /// The highest seq of a withdrawal known. It stays after a newer release: no release at or below it comes back.
    public var withdrawnSeq: UInt64?

    /// Whether the last word is a withdrawal.
    public var isWithdrawn: Bool { withdrawnSeq.map { $0 >= headSeq } ?? false }

    public init(
        package: PackageID, kind: PackageKind, head: Digest, headVersion: Version, headSeq: UInt64, lastSeq: UInt64, last: Digest,
        tlp: TLP, title: String, bytes: UInt64, withdrawnSeq: UInt64?
    ) {
        self.package = package
        self.kind = kind
        self.head = head
        self.headVersion = headVersion
        self.headSeq = headSeq
        self.lastSeq = lastSeq
        self.last = last
        self.tlp = tlp
        self.title = title
        self.bytes = bytes
        self.withdrawnSeq = withdrawnSeq
    }
}

/// A release whose content and document are here, verified and durable.
public struct ReleaseRow: Sendable, Equatable {
    public var digest: Digest
    public var release: ReleaseSummary
    /// The signed document (`SegmentRecord.document`).
    public var document: ContentLocation
    /// The encoded file table and the pages, in order; empty for a withdrawal, and where only the document is here (level `discover`).
    public var table: [ContentLocation]
    public var pages: [ContentLocation]
    public var committed: Timestamp
    /// Whose chunks its content is found among: the city that served it. The writer, but for what another city passed on, or what was taken over from
    /// another's release.
    public var servedBy: CityID
    /// Every index has a table, for every bag has its tag files.
    public var hasContent: Bool { !table.isEmpty }

    public init(
        digest: Digest, release: ReleaseSummary, document: ContentLocation, table: [ContentLocation], pages: [ContentLocation],
        committed: Timestamp, servedBy: CityID? = nil
    ) {
        self.servedBy = servedBy ?? release.writer
        self.digest = digest
        self.release = release
        self.document = document
        self.table = table
        self.pages = pages
        self.committed = committed
    }
}

/// What decisions and lists need of a release, without its document.
public struct ReleaseSummary: Sendable, Equatable {
    public var package: PackageID
    public var kind: PackageKind
    public var version: Version
    public var operation: Release.Operation
    public var writer: CityID
    public var seq: UInt64
    public var issued: Timestamp
    public var tlp: TLP
    public var title: String
    public var bytes: UInt64
    public var files: Int
    public var chunks: Int
    /// What its clock says of the package's own city: the writer's seq, where that city wrote it. A withdrawal numbered N ends all releases up to N.
    public var ownerSeq: UInt64

    public init(_ release: Release) {
        ownerSeq = release.seq(of: release.package.city)
        package = release.package
        kind = release.kind
        version = release.version
        operation = release.operation
        writer = release.writer
        seq = release.seq
        issued = release.issued
        tlp = release.tlp
        title = release.title
        bytes = release.bytes
        files = release.files
        chunks = release.index?.chunks ?? 0
    }

    public init(
        package: PackageID, kind: PackageKind, version: Version, operation: Release.Operation, writer: CityID, seq: UInt64,
        issued: Timestamp, tlp: TLP, title: String, bytes: UInt64, files: Int, chunks: Int, ownerSeq: UInt64? = nil
    ) {
        self.ownerSeq = ownerSeq ?? seq
        self.package = package
        self.kind = kind
        self.version = version
        self.operation = operation
        self.writer = writer
        self.seq = seq
        self.issued = issued
        self.tlp = tlp
        self.title = title
        self.bytes = bytes
        self.files = files
        self.chunks = chunks
    }
}

/// An unchanged directory is found by this before a byte is read (CLI.md, `package publish`).
public struct SnapshotRow: Sendable, Equatable {
    public var path: String
    public var package: PackageID
    public var release: Digest
    /// `DirectorySnapshot`, encoded.
    public var snapshot: [UInt8]

    public init(path: String, package: PackageID, release: Digest, snapshot: [UInt8]) {
        self.path = path
        self.package = package
        self.release = release
        self.snapshot = snapshot
    }
}

/// A directory's snapshot and the release that was made of it.
public struct PublishedDirectory: Sendable, Equatable {
    /// `DirectorySnapshot`, encoded.
    public let snapshot: [UInt8]
    public let digest: Digest
    public let release: ReleaseSummary

    public init(snapshot: [UInt8], digest: Digest, release: ReleaseSummary) {
        self.snapshot = snapshot
        self.digest = digest
        self.release = release
    }
}
