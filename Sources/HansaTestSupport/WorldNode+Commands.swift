internal import HansaContent
public import HansaCore
internal import HansaCrypto
public import HansaDocuments
internal import HansaLog
internal import HansaSync
public import HansaTerms

/// A package's content before it is published: files of chunks. Chunks are given whole, so that a test says what is shared between packages.
public struct WorldContent: Sendable, Equatable {
    public var files: [(path: String, chunks: [[UInt8]])]
    public init(_ files: [(path: String, chunks: [[UInt8]])]) {
        self.files = files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }
    /// One file of these chunks.
    public init(chunks: [[UInt8]]) { self.init([("data/table.csv", chunks)]) }

    public static func == (left: WorldContent, right: WorldContent) -> Bool {
        left.files.count == right.files.count
            && zip(left.files, right.files).allSatisfy {
                $0.path == $1.path && $0.chunks.count == $1.chunks.count
                    && zip($0.chunks, $1.chunks).allSatisfy { ContentMemo.isSame($0[...], $1[...]) }
            }
    }

    /// A chunk that a number decides: incompressible at its head, repetitive after it.
    public static func chunk(_ number: UInt64, count: Int) -> [UInt8] {
        precondition(count >= 64, "a chunk in the world has 64 bytes at least")
        return ContentMemo.chunk(number, count: count)
    }
}

/// A release that a city of the world made, and all that is derived from it.
public struct WorldPublication {
    public let city: CityID
    public let digest: Digest
    public let content: WorldContent?
    let release: Release
    let entries: [ChunkEntry]
    /// Every 32 bytes that tell of it.
    let marks: [Digest]

    init(city: CityID, release: Release, digest: Digest) {
        (self.city, self.release, self.digest) = (city, release, digest)
        (content, entries, marks) = (nil, [], [digest])
    }

    /// The same content under another signature.
    init(_ release: Release, _ digest: Digest, again before: WorldPublication) {
        (city, self.release, self.digest) = (before.city, release, digest)
        (content, entries, marks) = (before.content, before.entries, before.marks.map { $0 == before.digest ? digest : $0 })
    }

    init(
        city: CityID, release: Release, digest: Digest, entries: [ChunkEntry],
        index: (built: IndexBuilder.Built, pages: [[UInt8]]), content: WorldContent
    ) {
        (self.city, self.release, self.digest, self.entries, self.content) = (city, release, digest, entries, content)
        marks =
            [digest, SHA256.hash(index.built.encodedTable), index.built.root] + index.pages.map { SHA256.hash($0) }
            + index.built.table.files.map(\.digest) + entries.map(\.id) + [release.manifest].compactMap { $0 }
    }
}

extension World {
    /// An agreement in both directions, as its proposer signs it.
    public func propose(
        _ proposer: Int, _ others: Int..., id: String = "exchange", ceiling: TLP = .amberStrict, kinds: [String] = ["dataset"],
        effective: String = "2026-01-01", expires: String = "2029-12-31", redistribution: JSONValue = ["to": "none"],
        maintainers: JSONValue? = nil
    ) throws -> Digest {
        try propose(
            [proposer] + others, id: id, ceiling: ceiling, kinds: kinds, effective: effective, expires: expires,
            redistribution: redistribution, maintainers: maintainers)
    }

    /// The first of the parties proposes it.
    func propose(
        _ numbers: [Int], id: String, ceiling: TLP = .amberStrict, kinds: [String] = ["dataset"],
        effective: String = "2026-01-01", expires: String = "2029-12-31", redistribution: JSONValue,
        maintainers: JSONValue?
    ) throws -> Digest {
        let parties = numbers.map { nodes[$0] }
        let more = [redistribution, maintainers ?? .null].map { String(decoding: $0.serialized(), as: UTF8.self) }
        let words =
            [id, ceiling.rawValue, effective, expires] + kinds + parties.map { "\($0.city) \($0.keyring.version)" } + more
        let payload = try ContentMemo.payload(words.joined(separator: "|")) {
            try agreement(
                parties, id: id, ceiling: ceiling, kinds: kinds, effective: effective, expires: expires,
                redistribution: redistribution, maintainers: maintainers
            ).payload()
        }
        let envelope = Envelope.sign(payload, as: .agreement, with: [parties[0].officer])
        try parties[0].sign(envelope)
        return envelope.digest
    }

    private func agreement(
        _ parties: [WorldNode], id: String, ceiling: TLP, kinds: [String], effective: String, expires: String,
        redistribution: JSONValue, maintainers: JSONValue?
    ) throws -> Agreement {
        let cities = parties.map(\.city)
        let terms = cities.enumerated().map { number, from -> JSONValue in
            [
                "clause": .string("\(number + 1)"), "from": .string(from.text),
                "to": .array(cities.filter { $0 != from }.map { .string($0.text) }),
                "packages": [.string("\(from)/**")], "kinds": .array(kinds.map { .string($0) }),
                "ceiling": .string(ceiling.rawValue),
                "redistribution": redistribution,
            ]
        }
        let members: JSONValue = [
            "schema": "hansa.agreement/1", "id": .string(id), "title": "An exchange",
            "parties": .array(
                parties.map { node -> JSONValue in
                    [
                        "city": .string(node.city.text), "keyring": JSONValue(node.keyring.version),
                        "role": "provider and recipient",
                    ]
                }),
            "term": ["effective": .string(effective), "expires": .string(expires)],
            "clauses": .array(cities.indices.map { ["id": .string("\($0 + 1)"), "text": "Words."] }), "terms": .array(terms),
        ]
        return try Agreement(
            json: .object((members.object ?? []) + (maintainers.map { [JSONMember("maintainers", $0)] } ?? [])))
    }

    /// Signed by all at once: each node holds all signatures.
    public func signByAll(_ digest: Digest, _ parties: [Int]) throws {
        guard let envelope = try nodes[parties[0]].metadata.read({ try $0.agreement(digest)?.envelope }) else {
            preconditionFailure("it was just proposed")
        }
        let all = Envelope.sign(envelope.payload, as: .agreement, with: parties.map { nodes[$0].officer })
        for number in parties { try nodes[number].take(all) }
    }

    /// Proposed by the first and signed by all, without waiting for sessions: each node holds all signatures.
    public func agree(
        _ proposer: Int, _ other: Int, id: String = "exchange", ceiling: TLP = .amberStrict, effective: String = "2026-01-01",
        expires: String = "2029-12-31"
    ) throws -> Digest {
        let digest = try propose(proposer, other, id: id, ceiling: ceiling, effective: effective, expires: expires)
        guard let envelope = try nodes[proposer].metadata.read({ try $0.agreement(digest)?.envelope }) else {
            preconditionFailure("it was just proposed")
        }
        let both = Envelope.sign(envelope.payload, as: .agreement, with: [nodes[proposer].officer, nodes[other].officer])
        for number in [proposer, other] { try nodes[number].take(both) }
        return digest
    }
}

extension WorldNode {
    // MARK: Agreements

    /// Stores our signature and sends it to the other parties.
    func sign(_ envelope: Envelope) throws {
        let agreement = try Agreement(payload: envelope.payload)
        try change { tx in
            var changes = ExchangeChanges()
            try tx.insertAgreement(envelope)
            let record = try tx.agreement(envelope.digest)
            for party in agreement.parties where party.city != self.city {
                guard try tx.partner(party.city) != nil else { continue }
                try tx.enqueue(record?.envelope ?? envelope, to: party.city)
                changes.outboxes.insert(party.city)
            }
            try tx.log(LogDraft(.agreementSigned, agreement: envelope.digest))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(envelope.digest)
            changes.views = try update.finish()
            changes.policies = Set(agreement.parties.map(\.city).filter { $0 != self.city })
            return changes
        }
    }

    /// As if it had come by hand: nothing is sent.
    func take(_ envelope: Envelope) throws {
        try change { tx in
            try tx.insertAgreement(envelope)
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(envelope.digest)
            var changes = ExchangeChanges()
            changes.views = try update.finish()
            return changes
        }
    }

    /// Signs an agreement that a partner proposed. False where it is not here, or cannot be signed.
    @discardableResult
    public func accept(_ digest: Digest) throws -> Bool {
        let record = try metadata.read { try $0.agreement(digest) }
        guard let record, record.state(at: now) == .proposed, record.isParty(city), !record.rejecters.contains(city),
            // It names the keyring whose officers sign; a later one's cannot.
            record.agreement.parties.contains(where: { $0.city == city && $0.keyring == keyring.version })
        else { return false }
        try sign(Envelope.sign(record.envelope.payload, as: .agreement, with: [officer]))
        return true
    }

    @discardableResult
    public func terminate(_ digest: Digest) throws -> Bool { try step(.terminate, digest) }
    @discardableResult
    public func reject(_ digest: Digest) throws -> Bool { try step(.reject, digest) }

    private func step(_ kind: AgreementStep.Kind, _ digest: Digest) throws -> Bool {
        let record = try metadata.read { try $0.agreement(digest) }
        guard let record, record.isParty(city), record.signedBy.contains(city) == (kind == .terminate), record.termination == nil
        else { return false }
        let (envelope, step) = try stepDocument(kind, record)
        try change { tx in
            var changes = ExchangeChanges()
            try tx.insertStep(envelope, step)
            for party in record.agreement.parties where party.city != self.city {
                guard try tx.partner(party.city) != nil else { continue }
                try tx.enqueue(envelope, to: party.city)
                changes.outboxes.insert(party.city)
            }
            try tx.log(
                LogDraft(kind == .reject ? .agreementRejected : .agreementTerminated, agreement: digest, reason: step.reason))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(digest)
            changes.views = try update.finish()
            changes.policies = Set(record.agreement.parties.map(\.city).filter { $0 != self.city })
            return changes
        }
        return true
    }

    public func stepDocument(_ kind: AgreementStep.Kind, _ record: AgreementRecord) throws -> (Envelope, AgreementStep) {
        let step = try AgreementStep(
            agreement: record.digest, step: kind, by: city, previous: record.lastStep, issued: now, effective: now,
            reason: "It is over.", keyring: keyring.version)
        return (step.signed(with: [officer]), step)
    }

    // MARK: Grants

    @discardableResult
    public func grant(
        _ partner: CityID, _ pattern: String, under agreement: Digest, level: Grant.Level = .sync, until: Timestamp? = nil,
        ceiling: TLP? = nil
    ) throws -> String {
        let grant = Grant(
            id: Grant.id(random: bytes(5)), partner: partner, pattern: try PackagePattern(pattern), agreement: agreement,
            level: level, until: until,
            ceiling: ceiling, issued: now, grantedBy: "admin:0011")
        try put(grant, .accessGranted)
        return grant.id
    }

    public func revoke(_ id: String) throws {
        guard var grant = try metadata.read({ try $0.grants() }).first(where: { $0.id == id }), grant.ended == nil else { return }
        grant.ended = now
        try put(grant, .accessRevoked)
    }

    private func put(_ grant: Grant, _ event: LogEvent) throws {
        try change { tx in
            try tx.put(grant)
            try tx.log(LogDraft(event, partner: grant.partner, agreement: grant.agreement, grant: grant.id))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(grant.agreement)
            var changes = ExchangeChanges()
            changes.views = try update.finish()
            return changes
        }
    }

    // MARK: Packages

    /// The smallest of the profiles; its limits bound the chunks that a test may give.
    private static let profile = ChunkProfile.line16k

    /// How a release is made that an honest city does not make.
    enum Deceit {
        /// Its number and predecessor are those of the last.
        case sameNumber
        case otherKey
    }

    @discardableResult
    public func publish(
        _ path: String, _ content: WorldContent, tlp: TLP = .green, kind: PackageKind = .dataset, issued: Timestamp? = nil
    ) throws -> Digest { try publish(path, content, tlp: tlp, kind: kind, issued: issued, deceit: nil) }

    @discardableResult
    func publish(
        _ path: String, _ content: WorldContent, tlp: TLP = .green, kind: PackageKind = .dataset, issued: Timestamp? = nil,
        deceit: Deceit?, of owner: CityID? = nil, merging: Bool = false
    ) throws -> Digest {
        let package = try PackageID(city: owner ?? city, path: path)
        let (head, lineage) = try metadata.read { store in
            (try store.package(package), try self.context.lineage(of: package, merging: merging, in: store, at: self.now))
        }
        let (entries, blocks, index) = try write(content)
        let isTwin = deceit == .sameNumber && head != nil
        let seq = isTwin ? head?.lastSeq ?? 1 : lineage.seq
        let release = try Release(
            package: package, kind: kind, version: Version(1, 0, UInt32(seq)), operation: isTwin ? .publish : lineage.operation,
            writer: city, keyring: keyring.version,
            seq: seq, previous: isTwin ? head?.last : lineage.previous,
            parents: isTwin ? head.map { [$0.last] } ?? [] : lineage.parents,
            clock: isTwin ? [ClockEntry(city: city, seq: seq)] : lineage.clock, issued: issued ?? now, tlp: tlp,
            title: path,
            bytes: entries.reduce(0) { $0 + UInt64($1.length) }, files: content.files.count,
            manifest: SHA256.hash(Array("manifest \(package) \(seq)".utf8)),
            index: IndexReference(root: index.built.root, chunks: index.built.chunkCount))
        let envelope = release.signed(with: [deceit == .otherKey ? officer : packageKey])
        let document = try self.content.append(document: envelope.binary(), digest: envelope.digest)
        let table = try self.content.append(table: index.built.encodedTable, release: envelope.digest)
        let pages = try index.pages.map { try self.content.append(page: $0, release: envelope.digest) }
        try self.content.append(
            index: index.built.root, table: index.built.tableDigest, chunks: index.built.chunkCount,
            pages: index.built.pageDigests)
        try self.content.sync()
        let row = PackageRow(
            package: package, kind: kind, head: envelope.digest, headVersion: release.version, headSeq: seq, lastSeq: seq,
            last: envelope.digest, tlp: tlp,
            title: path, bytes: release.bytes, withdrawnSeq: head?.withdrawnSeq)
        try change { tx in
            for block in blocks { try tx.insertChunks(of: self.city, block: block.location, block.chunks) }
            let summary = ReleaseSummary(release)
            try tx.insert(
                ReleaseRow(
                    digest: envelope.digest, release: summary, document: document, table: table, pages: pages, committed: tx.now))
            if package.city == self.city {
                try tx.put(row)
            } else {
                try tx.setOwnChain(OwnChain(lastSeq: seq, last: envelope.digest), of: package)
            }
            if release.clock.count > 1 { try self.context.updateHead(of: package, tx) }
            try tx.log(LogDraft(.packagePublished, package: package, release: envelope.digest))
            let update = try MembershipUpdate(self.context, tx)
            try update.released(envelope.digest, summary)
            var changes = ExchangeChanges()
            changes.views = try update.finish()
            return changes
        }
        world.publications.append(
            WorldPublication(
                city: city, release: release, digest: envelope.digest, entries: entries, index: index, content: content))
        return envelope.digest
    }

    /// A release of another city's package, which an agreement has us write; `merging`: it follows all heads.
    @discardableResult
    public func publish(_ path: String, of owner: CityID, _ content: WorldContent, merging: Bool = false, tlp: TLP = .green)
        throws -> Digest
    {
        try publish(path, content, tlp: tlp, kind: .dataset, issued: nil, deceit: nil, of: owner, merging: merging)
    }

    /// Lists a release to a partner, whatever the policy says of it.
    public func offer(_ digest: Digest, to partner: CityID) throws { try offer(digest) { $0 == partner } }

    func offerToAll(_ digest: Digest) throws { try offer(digest) { _ in true } }

    private func offer(_ digest: Digest, _ isMeant: (CityID) -> Bool) throws {
        try change { tx in
            var changes = ExchangeChanges()
            guard let release = try tx.release(digest) else { return changes }
            for var view in try tx.publishedViews()
            where try isMeant(view.recipient)
                && (tx.member(view.id, digest)?.dropped != nil || tx.member(view.id, digest) == nil)
            {
                view.position += 1
                view.members.insert(MemberSet.memberID(release: digest, level: Grant.Level.sync.code))
                try tx.put(view)
                try tx.put(
                    MemberRow(
                        view: view.id, release: digest, package: release.release.package, level: .sync, clause: "1", grant: "",
                        until: nil, added: view.position))
                changes.views[view.recipient, default: []].insert(view.id)
            }
            return changes
        }
    }

    /// Chunks that are not held go into blocks of up to 1 MiB of new neighbours, by the rule of `ContentWriter`.
    private func write(_ content: WorldContent) throws
        -> (
            entries: [ChunkEntry], blocks: [(location: ContentLocation, chunks: [ChunkEntry])],
            index: (built: IndexBuilder.Built, pages: [[UInt8]])
        )
    {
        var builder = IndexBuilder()
        var pages: [[UInt8]] = []
        var all: [(entry: ChunkEntry, bytes: [UInt8])] = []
        for file in content.files {
            try builder.beginFile(file.path, profile: WorldNode.profile)
            for chunk in file.chunks {
                let entry = ContentMemo.entry(of: chunk)
                all.append((entry, chunk))
                if let page = try builder.append(entry) { pages.append(page.bytes) }
            }
            try builder.endFile(digest: ContentMemo.digest(of: file.chunks, all.suffix(file.chunks.count).map(\.entry.id)))
        }
        let built = try builder.finish()
        if let last = built.lastPage { pages.append(last.bytes) }
        let known = try metadata.read { try $0.chunkLocations(of: self.city, all.map(\.entry.id)) }
        var held = Set(zip(all, known).compactMap { $1 == nil ? nil : $0.entry.id })
        var blocks: [(location: ContentLocation, chunks: [ChunkEntry])] = []
        // Chunks are joined only where their block was not packed before.
        var run: (parts: [[UInt8]], chunks: [ChunkEntry]) = ([], [])
        var seam: (parts: [[UInt8]], chunks: [ChunkEntry]) = ([], [])
        func flush() throws {
            guard !run.chunks.isEmpty else { return }
            let packed = ContentMemo.packed(run.parts, run.chunks.map(\.id))
            let rawLength = run.parts.reduce(0) { $0 + $1.count }
            let block = StoredBlock(codec: packed.codec, rawLength: rawLength, chunks: run.chunks, bytes: packed.bytes)
            blocks.append((try self.content.append(block: block), run.chunks))
            run = ([], [])
            seam = ([], [])
        }
        var window = 0
        for (entry, bytes) in all {
            if window + bytes.count > Limits.blockRawBytesMax {
                try flush()
                window = 0
            }
            window += bytes.count
            if held.insert(entry.id).inserted {
                run.parts += seam.parts + [bytes]
                run.chunks += seam.chunks + [entry]
                seam = ([], [])
            } else if !run.chunks.isEmpty {
                seam.parts.append(bytes)
                seam.chunks.append(entry)
                if seam.parts.reduce(0, { $0 + $1.count }) > Limits.seamBytesMax { try flush() }
            }
        }
        try flush()
        return (all.map(\.entry), blocks, (built, pages))
    }

    /// False where there is no such package, or it is withdrawn.
    @discardableResult
    public func withdraw(_ path: String) throws -> Bool {
        let package = try PackageID(city: city, path: path)
        guard let row = try metadata.read({ try $0.package(package) }), !row.isWithdrawn else { return false }
        let lineage = try metadata.read { try self.context.lineage(of: package, merging: true, in: $0, at: self.now) }
        let seq = lineage.seq
        let release = try Release(
            package: package, kind: row.kind, version: row.headVersion, operation: .withdraw, writer: city,
            keyring: keyring.version, seq: seq,
            previous: lineage.previous,
            parents: lineage.parents, clock: lineage.clock, issued: now, tlp: row.tlp, title: row.title, bytes: 0,
            files: 0, manifest: nil,
            index: nil, reason: "It was wrong.")
        let envelope = release.signed(with: [packageKey])
        let location = try content.append(document: envelope.binary(), digest: envelope.digest)
        try content.sync()
        try change { tx in
            var changes = ExchangeChanges()
            try tx.insert(
                ReleaseRow(
                    digest: envelope.digest, release: ReleaseSummary(release), document: location, table: [], pages: [],
                    committed: tx.now))
            var gone = row
            (gone.withdrawnSeq, gone.lastSeq, gone.last) = (seq, seq, envelope.digest)
            try tx.put(gone)
            for recipient in try tx.recipients(everSent: package) {
                try tx.enqueue(envelope, to: recipient)
                changes.outboxes.insert(recipient)
            }
            try tx.log(LogDraft(.packageWithdrawn, package: package, release: envelope.digest))
            let update = try MembershipUpdate(self.context, tx)
            try update.withdrew(package)
            changes.views = try update.finish()
            return changes
        }
        world.publications.append(WorldPublication(city: city, release: release, digest: envelope.digest))
        return true
    }

    /// What a key signed that came out gets a signature of the one in use, one package after another.
    func signAgain() throws {
        while let signed = try context.signAgain(limit: 2, at: now) {
            for renewed in signed.releases {
                guard let row = try metadata.read({ try $0.release(renewed.digest) }),
                    let before = world.publications.last(where: { $0.digest == renewed.of })
                else { continue }
                let release = try Release(Envelope(binary: content.body(at: row.document)))
                world.publications.append(WorldPublication(release, renewed.digest, again: before))
            }
            if !signed.changes.isEmpty { notify(signed.changes) }
        }
    }

    /// The bytes of a release as a checkout would write them, read back through index and chunks; nil where it is not held.
    public func files(of release: Digest) throws -> WorldContent? {
        guard let row = try metadata.read({ try $0.release(release) }), row.release.operation != .withdraw else { return nil }
        var table: [UInt8] = []
        for location in row.table { table += try content.body(at: location) }
        let parsed = try FileTable(encoded: table, chunks: row.release.chunks)
        var entries: [ChunkEntry] = []
        for page in row.pages { entries += try IndexPage.decode(try content.body(at: page)) }
        let places = try metadata.read { try $0.chunkLocations(of: row.servedBy, entries.map(\.id)) }
        var files: [(path: String, chunks: [[UInt8]])] = []
        var blocks = WorldBlocks(content)
        for (number, file) in parsed.files.enumerated() {
            var chunks: [[UInt8]] = []
            for chunk in parsed.chunks(of: number) {
                guard let place = places[chunk] else { throw StoreFault.damaged("chunk \(entries[chunk].id.short) is not here") }
                chunks.append(Array(try blocks.bytes(at: place)))
            }
            files.append((file.path, chunks))
        }
        return WorldContent(files)
    }
}

/// Chunks read from a node's blocks, each block unpacked once.
struct WorldBlocks {
    private let content: any ContentStore
    private var unpacked: [ContentLocation: [UInt8]] = [:]

    init(_ content: any ContentStore) { self.content = content }

    mutating func bytes(at place: ChunkLocation) throws -> ArraySlice<UInt8> {
        let raw = try block(at: place.block)
        guard Int(place.offset) + Int(place.length) <= raw.count else { throw StoreFault.damaged("a block is too short") }
        return raw[Int(place.offset)..<(Int(place.offset) + Int(place.length))]
    }

    private mutating func block(at location: ContentLocation) throws -> [UInt8] {
        if let known = unpacked[location] { return known }
        let stored = try content.block(at: location)
        let raw = try stored.raw()
        unpacked[location] = raw
        return raw
    }
}
