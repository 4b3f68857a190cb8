public import HansaCore

/// A contradiction about one number of a package, which a person decides: kept for ever, and open until `resolved`.
public struct DisputeRow: Sendable, Equatable {
    public enum Kind: String, Sendable {
        /// A city signed two releases under one number. The package's head stands still while it is open.
        case fork
        /// A partner holds a release that we signed and do not know. We sign nothing for the package while it is open.
        case fence
    }
    public var package: PackageID
    public var kind: Kind
    public var writer: CityID
    public var seq: UInt64
    /// The release that we know under this number; nil where we know none.
    public var known: Digest?
    public var other: Digest
    /// The fork proof, or the release that the partner holds: a signed document.
    public var document: ContentLocation
    /// Who showed it.
    public var partner: CityID
    public var found: Timestamp
    public var resolved: Timestamp?

    public init(
        package: PackageID, kind: Kind, writer: CityID, seq: UInt64, known: Digest?, other: Digest, document: ContentLocation,
        partner: CityID, found: Timestamp, resolved: Timestamp? = nil
    ) {
        self.package = package
        self.kind = kind
        self.writer = writer
        self.seq = seq
        self.known = known
        self.other = other
        self.document = document
        self.partner = partner
        self.found = found
        self.resolved = resolved
    }
}
