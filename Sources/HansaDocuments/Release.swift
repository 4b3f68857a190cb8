// The document that is a release of a package (FORMATS.md §9, SYNC.md §4).
public import HansaCore

/// A city's place in a version vector.
public struct ClockEntry: Hashable, Sendable {
    public let city: CityID
    public let seq: UInt64

    public init(city: CityID, seq: UInt64) {
        self.city = city
        self.seq = seq
    }
}

/// Where a release's content is described: the root of its chunk index and the index's size.
public struct IndexReference: Hashable, Sendable {
    public let root: Digest
    public let chunks: Int
    /// One page for each `Limits.indexPageChunks` chunks begun.
    public let pages: Int

    public init(root: Digest, chunks: Int) {
        self.root = root
        self.chunks = chunks
        pages = IndexReference.pages(of: chunks)
    }

    public static func pages(of chunks: Int) -> Int { (chunks + Limits.indexPageChunks - 1) / Limits.indexPageChunks }
}

/// What a rendition was made from (TERMS.md §6).
public struct Derivation: Hashable, Sendable {
    public let release: Digest
    /// Of the transform's description.
    public let transform: Digest

    public init(release: Digest, transform: Digest) {
        self.release = release
        self.transform = transform
    }
}

/// One signed release of one package.
///
/// `init(payload:)` checks what the document alone can show: shapes and bounds, that the clock's own entry is `seq`, that parents
/// and `previous` agree, that content is absent just when it is withdrawn. Who may write, and what it follows, is for others.
public struct Release: SignedDocument, Equatable {
    public enum Operation: String, CaseIterable, Sendable { case publish, merge, withdraw }

    public static let type = DocumentType.release
    public static let schema = "hansa.release/1"
    public static let titleCharactersMax = 500
    public static let parentsMax = 64
    public static let writersMax = 64
    /// The number of bytes that `Limits.chunksMax` chunks can hold.
    public static let contentBytesMax = UInt64(Limits.chunksMax) * UInt64(Limits.chunkBytesMax)

    public let package: PackageID
    public let kind: PackageKind
    public let version: Version
    public let operation: Operation
    public let writer: CityID
    /// Version of the writer's keyring whose package keys sign this.
    public let keyring: Int
    /// The writer's count of its releases of this package, from 1.
    public let seq: UInt64
    /// The writer's release before this one.
    public let previous: Digest?
    /// The releases that this one follows, in order of digest.
    public let parents: [Digest]
    /// In order of city, the writer's own entry included.
    public let clock: [ClockEntry]
    public let issued: Timestamp
    public let tlp: TLP
    public let title: String
    /// Of the payload below `data/` only, as Payload-Oxum counts.
    public let bytes: UInt64
    public let files: Int
    /// Of `tagmanifest-sha256.txt`; nil for a withdrawal.
    public let manifest: Digest?
    /// Nil for a withdrawal.
    public let index: IndexReference?
    public let derivedFrom: Derivation?
    public let reason: String?

    /// A release of our own making, checked by the same rules as one from outside.
    public init(
        package: PackageID, kind: PackageKind, version: Version, operation: Operation, writer: CityID, keyring: Int, seq: UInt64,
        previous: Digest?, parents: [Digest], clock: [ClockEntry], issued: Timestamp, tlp: TLP, title: String, bytes: UInt64,
        files: Int, manifest: Digest?, index: IndexReference?, derivedFrom: Derivation? = nil, reason: String? = nil
    ) throws(DocumentFault) {
        self.package = package
        self.kind = kind
        self.version = version
        self.operation = operation
        self.writer = writer
        self.keyring = keyring
        self.seq = seq
        self.previous = previous
        self.parents = parents.count > 1 ? parents.sorted() : parents
        self.clock = clock.count > 1 ? clock.sorted { $0.city < $1.city } : clock
        self.issued = issued
        self.tlp = tlp
        self.title = title
        self.bytes = bytes
        self.files = files
        self.manifest = manifest
        self.index = index
        self.derivedFrom = derivedFrom
        self.reason = reason
        try check()
    }

    /// What the clock holds for a city; 0 for one that is not in it.
    public func seq(of city: CityID) -> UInt64 { clock.first { $0.city == city }?.seq ?? 0 }
}

// MARK: Rules

extension Release {
    private func check() throws(DocumentFault) {
        _ = try Field.number(keyring, in: Field.keyringVersions, at: "keyring")
        guard seq >= 1, seq <= UInt64(Int64.max) else { throw .field("seq", "is not within 1…2^63-1") }
        _ = try Field.text(title, max: Release.titleCharactersMax, at: "title")
        if let reason { _ = try Field.text(reason, max: Field.reasonCharactersMax, at: "reason") }
        try checkHistory()
        try checkContent()
    }

    private func checkHistory() throws(DocumentFault) {
        guard (1...Release.writersMax).contains(clock.count) else {
            throw .field("clock", "has \(clock.count) cities; 1…\(Release.writersMax) may be")
        }
        for index in clock.indices {
            if index > 0, clock[index - 1].city == clock[index].city { throw .field("clock", "names \(clock[index].city) twice") }
            guard clock[index].seq >= 1, clock[index].seq <= UInt64(Int64.max) else {
                throw .field("clock.\(clock[index].city)", "is not within 1…2^63-1")
            }
        }
        guard seq(of: writer) == seq else { throw .field("clock.\(writer)", "is not seq, \(seq)") }
        guard parents.count <= Release.parentsMax else { throw .field("parents", "are more than \(Release.parentsMax)") }
        for index in parents.indices.dropFirst() where parents[index - 1] == parents[index] {
            throw .field("parents", "name \(parents[index].short) twice")
        }
        guard seq > 1 || previous == nil else { throw .field("previous", "is given, but seq is 1") }
        if clock.count == 1 {
            // A single writer's history is a line.
            guard parents == (previous.map { [$0] } ?? []) else {
                throw .field("parents", "are not [previous], although one city alone has written")
            }
        } else if parents.isEmpty {
            throw .field("parents", "are empty, although the clock names other cities")
        }
        if operation == .merge, parents.count < 2 { throw .field("parents", "are fewer than two, but this is a merge") }
    }

    private func checkContent() throws(DocumentFault) {
        guard operation != .withdraw else {
            guard manifest == nil, index == nil else { throw .field("manifest", "or index is given, but this is a withdrawal") }
            guard bytes == 0, files == 0 else { throw .field("bytes", "or files is not 0, but this is a withdrawal") }
            return
        }
        guard manifest != nil else { throw .field("manifest", "is null, but this is no withdrawal") }
        guard let index else { throw .field("index", "is null, but this is no withdrawal") }
        guard (1...Limits.chunksMax).contains(index.chunks) else {
            throw .field("index.chunks", "is not within 1…\(Limits.chunksMax)")
        }
        guard bytes <= Release.contentBytesMax else { throw .field("bytes", "is above \(Release.contentBytesMax)") }
        _ = try Field.number(files, in: 0...Limits.filesMax, at: "files")
    }
}

// MARK: Payload

extension Release {
    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 1024)
        writer.object { object in
            object.field("schema", Release.schema)
            object.field("package", package.description)
            object.field("kind", kind.rawValue)
            object.field("version", version.description)
            object.field("operation", operation.rawValue)
            object.field("writer", self.writer.text)
            object.field("keyring", keyring)
            object.field("seq", seq)
            object.field("previous", previous)
            object.field("parents", parents)
            object.object("clock") { clock in
                for entry in self.clock { clock.field(entry.city.text, entry.seq) }
            }
            object.field("issued", issued)
            object.field("tlp", tlp.rawValue)
            object.field("title", title)
            object.field("bytes", bytes)
            object.field("files", files)
            object.field("manifest", manifest)
            if let index {
                object.object("index") { object in
                    object.field("root", index.root)
                    object.field("chunks", index.chunks)
                    object.field("pages", index.pages)
                }
            } else {
                object.null("index")
            }
            if let derivedFrom {
                object.object("derivedFrom") { object in
                    object.field("release", derivedFrom.release)
                    object.field("transform", derivedFrom.transform)
                }
            } else {
                object.null("derivedFrom")
            }
            if let reason { object.field("reason", reason) }
        }
        return writer.finish()
    }

    /// Plain fields only: the decoder's fast path.
    struct Wire: Decodable {
        struct Index: Decodable {
            let root: String
            let chunks: Int
            let pages: Int
        }
        struct Derivation: Decodable {
            let release: String
            let transform: String
        }
        let schema: String
        let package: String
        let kind: String
        let version: String
        let operation: String
        let writer: String
        let keyring: Int
        let seq: Int64
        let previous: String?
        let parents: [String]
        let clock: [String: Int64]
        let issued: String
        let tlp: String
        let title: String
        let bytes: Int64
        let files: Int
        let manifest: String?
        let index: Index?
        let derivedFrom: Derivation?
        let reason: String?
    }

    public init(payload: [UInt8]) throws(DocumentFault) {
        self = try DocumentMemo.document(payload) { () throws(DocumentFault) in try Release(reading: payload) }
    }

    private init(reading payload: [UInt8]) throws(DocumentFault) {
        if let release = Release(written: payload) {
            self = release
        } else {
            try self.init(StrictJSON.decodePayload(Wire.self, from: payload))
        }
    }

    /// Reads a payload as `payload()` writes it; nil for any other, which the decoder takes.
    ///
    /// A text that the fields read from it are written as is JSON of the strict kind, and there is nothing else to see in it. Read this way it
    /// costs a third: of all that a recipient does for a small release only the signature's check takes longer than the decoder.
    private init?(written payload: [UInt8]) {
        guard payload.count <= Limits.documentBytesMax, let wire = Wire(written: payload), let release = try? Release(wire),
            release.payload() == payload
        else { return nil }
        self = release
    }

    private init(_ wire: Wire) throws(DocumentFault) {
        try Field.schema(wire.schema, is: Release.schema)
        var parents: [Digest] = []
        for parent in wire.parents { parents.append(try Field.digest(parent, at: "parents")) }
        var clock: [ClockEntry] = []
        for (city, seq) in wire.clock {
            clock.append(ClockEntry(city: try Field.city(city, at: "clock"), seq: try Field.count(seq, at: "clock.\(city)")))
        }
        guard let version = Version(wire.version) else { throw .field("version", "is not MAJOR.MINOR.PATCH") }
        var index: IndexReference?
        if let found = wire.index {
            guard (1...Limits.chunksMax).contains(found.chunks) else {
                throw .field("index.chunks", "is not within 1…\(Limits.chunksMax)")
            }
            guard found.pages == IndexReference.pages(of: found.chunks) else {
                throw .field("index.pages", "does not follow from chunks")
            }
            index = IndexReference(root: try Field.digest(found.root, at: "index.root"), chunks: found.chunks)
        }
        var derivedFrom: Derivation?
        if let found = wire.derivedFrom {
            derivedFrom = Derivation(
                release: try Field.digest(found.release, at: "derivedFrom.release"),
                transform: try Field.digest(found.transform, at: "derivedFrom.transform"))
        }
        try self.init(
            package: Field.package(wire.package, at: "package"), kind: Field.word(wire.kind, at: "kind"), version: version,
            operation: Field.word(wire.operation, at: "operation"), writer: Field.city(wire.writer, at: "writer"),
            keyring: wire.keyring,
            seq: Field.count(wire.seq, at: "seq"), previous: Field.optionalDigest(wire.previous, at: "previous"),
            parents: parents, clock: clock,
            issued: Field.time(wire.issued, at: "issued"), tlp: Field.word(wire.tlp, at: "tlp"), title: wire.title,
            bytes: Field.count(wire.bytes, at: "bytes"),
            files: wire.files, manifest: Field.optionalDigest(wire.manifest, at: "manifest"), index: index,
            derivedFrom: derivedFrom,
            reason: wire.reason)
    }
}
