// Packages: published, listed, looked at, withdrawn. The pipelines are in `Packages/`.
internal import HansaContent
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaPackages
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

extension Node {
    public func packagePublish(_ caller: Caller, options: PublishOptions, source: any PublishSource) throws(Problem) -> JSONValue
    {
        // Another publish may hold this for long: the seq of a package has one writer.
        let result = publishing.withLock { _ in
            Result { () throws(Problem) -> PublishRun in
                let run = try PublishRun(self, caller, options, source)
                do throws(Problem) {
                    while let listings = try source.nextListings() { try run.take(listings) }
                    try run.commit()
                } catch {
                    // What was prepared before the failure is good: it is published, and running the command again goes on from there.
                    // On a full disk its bytes are down already and only the rows are missing: when not even they find room, the first error counts.
                    if error.code == .diskFull { try? run.commit() } else { try run.commit() }
                    throw error
                }
                return run
            }
        }
        let run = try result.get()
        let rows = run.rows.keys.sorted().compactMap { run.rows[$0] }
        if rows.count == 1, let only = rows.first {
            if let failure = run.failures.first { throw failure.problem }
            var members: [JSONMember] = [JSONMember("schema", "hansa.package-publish/1")] + (only.object ?? [])
            members.append(JSONMember("dryRun", .bool(options.dryRun)))
            return .object(members)
        }
        guard !rows.isEmpty else { throw Problem(.usage, "there is no directory to publish", try: "hansa package publish DIR…") }
        return [
            "schema": "hansa.package-publish/1", "packages": .array(rows), "published": JSONValue(run.published),
            "failed": JSONValue(run.failures.count),
            "dryRun": .bool(options.dryRun),
        ]
    }

    // MARK: Lists

    /// How a package stands with us: `own`, `received`, `discovered` where its city shows it and shares no content, or `ended` where nothing
    /// gives new checkouts any more.
    private func origin(_ row: PackageRow, _ store: any MetadataReading) throws -> (origin: String, agreements: [String]) {
        if row.package.city == city { return (row.isWithdrawn ? "ended" : "own", []) }
        if let head = try store.release(row.head), head.release.writer == city, !row.isWithdrawn { return ("own", []) }
        switch try standing(of: row.head, row.headSeq, row, store) {
        case .usable(let agreements): return ("received", agreements.map(\.agreement.id))
        case .shown(let agreements): return ("discovered", agreements.map(\.agreement.id))
        case .withdrawn, .ended: return ("ended", [])
        }
    }

    private func headCount(_ package: PackageID, _ store: any MetadataReading) throws -> Int {
        guard try store.isCoMaintained(package, at: clock.now) else { return 1 }
        return max(1, try context.heads(of: package, in: store, at: clock.now).graph.heads.count)
    }

    private func packageMembers(_ row: PackageRow, _ store: any MetadataReading) throws -> [JSONMember] {
        let (origin, agreements) = try origin(row, store)
        return [
            JSONMember("package", .string(row.package.description)), JSONMember("kind", .string(row.kind.rawValue)),
            JSONMember("version", .string(row.headVersion.description)), JSONMember("release", JSONValue(row.head)),
            JSONMember("city", .string(row.package.city.text)), JSONMember("tlp", .string(row.tlp.rawValue)),
            JSONMember("title", .string(row.title)),
            JSONMember("bytes", JSONValue(row.bytes)), JSONMember("heads", JSONValue(try headCount(row.package, store))),
            JSONMember("origin", .string(origin)),
            JSONMember("agreements", .array(agreements.map { .string($0) })),
        ]
    }

    public func packageList(_ caller: Caller) throws(Problem) -> JSONValue {
        let rows = try read { store -> [JSONValue] in
            var rows: [JSONValue] = []
            try self.eachPackage(of: nil, in: store) { row in
                // A withdrawal of something we never held is no package of ours to list.
                guard row.headSeq > 0 else { return }
                rows.append(.object(try self.packageMembers(row, store)))
            }
            return rows
        }
        return ["schema": "hansa.package-list/1", "packages": .array(rows)]
    }

    /// A reference: `city/path[@version|@latest|@sha256:prefix]`.
    func resolve(_ text: String) throws(Problem) -> (package: PackageRow, release: ReleaseRow) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let id = try packageID(parts[0])
        let (row, releases) = try read { store in (try store.package(id), try store.releases(of: id)) }
        guard let row, row.headSeq > 0 else {
            let near = try read { store -> String? in
                var names: [String] = []
                try self.eachPackage(of: nil, in: store) { names.append($0.package.description) }
                return Suggestion.nearest(to: id.description, among: names)
            }
            throw Problem(
                .packageUnknown, "there is no package \(id)" + (near.map { "; did you mean \($0)?" } ?? ""),
                try: "hansa package list")
        }
        let contents = releases.filter { $0.release.operation != .withdraw }
        let wanted = parts.count > 1 ? parts[1] : "latest"
        if wanted == "latest" {
            if let head = contents.first(where: { $0.digest == row.head }) { return (row, head) }
        } else if wanted.hasPrefix("sha256:") {
            let found = contents.filter { $0.digest.prefixed.hasPrefix(wanted) }
            if found.count == 1 { return (row, found[0]) }
            if found.count > 1 {
                throw Problem(
                    .releaseAmbiguous, "\(found.count) releases of \(id) begin with \(wanted.printable())",
                    try: "hansa package history \(id)")
            }
        } else if let version = Version(wanted) {
            // The highest seq wins where a version was published twice (after a withdrawal).
            if let found = contents.last(where: { $0.release.version == version }) { return (row, found) }
        } else {
            throw Problem(
                .usage, "'\(wanted.printable())' is no version: @1.0.0, @latest or @sha256:PREFIX",
                try: "hansa package history \(id)")
        }
        throw Problem(.packageUnknown, "\(id) has no release \(wanted.printable())", try: "hansa package history \(id)")
    }

    public func packageShow(_ caller: Caller, reference: String) throws(Problem) -> JSONValue {
        let (row, release) = try resolve(reference)
        let files = try release.hasContent ? guarded { try self.table(of: release).files } : []
        var members = try read { try self.packageMembers(row, $0) }
        members.insert(JSONMember("schema", "hansa.package-show/1"), at: 0)
        for (index, member) in members.enumerated() {
            switch member.name {
            case "version": members[index] = JSONMember("version", .string(release.release.version.description))
            case "release": members[index] = JSONMember("release", JSONValue(release.digest))
            case "bytes": members[index] = JSONMember("bytes", JSONValue(release.release.bytes))
            default: break
            }
        }
        let envelope = try guarded { try Envelope(binary: try content.body(at: release.document)) }
        let document = try guarded { try Release(payload: envelope.payload) }
        let (maintainers, heldFrom, shownTo) = try read { store in
            (
                try store.policy().maintenance(of: row.package, at: self.clock.now)?.cities ?? [],
                try self.sources(of: release, store), try self.audience(of: release, store)
            )
        }
        members += [
            JSONMember("files", JSONValue(release.release.files)), JSONMember("chunks", JSONValue(release.release.chunks)),
            JSONMember("issued", JSONValue(release.release.issued)), JSONMember("seq", JSONValue(release.release.seq)),
            JSONMember("writer", .string(release.release.writer.text)), JSONMember("keyring", JSONValue(document.keyring)),
            JSONMember("manifest", JSONValue(document.manifest)), JSONMember("received", JSONValue(release.committed)),
            JSONMember("maintainers", .array(maintainers.map { .string($0.text) })), JSONMember("heldFrom", .array(heldFrom)),
            JSONMember("shownTo", .array(shownTo)),
            JSONMember(
                "payload",
                .array(
                    files.filter { $0.path.hasPrefix(Bag.payloadPrefix) }.prefix(10_000).map {
                        [
                            "path": .string(String($0.path.dropFirst(Bag.payloadPrefix.count))), "bytes": JSONValue($0.size),
                            "sha256": .string($0.digest.hex),
                        ]
                    })),
        ]
        return .object(members)
    }

    func table(of release: ReleaseRow) throws -> FileTable {
        var encoded: [UInt8] = []
        do { for location in release.table { encoded += try content.body(at: location) } } catch StoreFault.damaged(let what) {
            throw damaged(release, block: nil, what)
        }
        return try FileTable(encoded: encoded, chunks: release.release.chunks)
    }

    public func packageHistory(_ caller: Caller, package text: String) throws(Problem) -> JSONValue {
        let id = try packageID(text)
        let (row, releases) = try read { store in (try store.package(id), try store.releases(of: id)) }
        guard row != nil else { throw Problem(.packageUnknown, "there is no package \(id)", try: "hansa package list") }
        return [
            "schema": "hansa.package-history/1", "package": .string(id.description),
            "releases": .array(
                releases.map { release in
                    [
                        "release": JSONValue(release.digest), "version": .string(release.release.version.description),
                        "seq": JSONValue(release.release.seq),
                        "operation": .string(release.release.operation.rawValue), "issued": JSONValue(release.release.issued),
                        "writer": .string(release.release.writer.text), "tlp": .string(release.release.tlp.rawValue),
                        "bytes": JSONValue(release.release.bytes),
                        "files": JSONValue(release.release.files),
                        "head": .bool(release.digest == row?.head && row?.isWithdrawn == false),
                    ]
                }),
        ]
    }

    public func packageWithdraw(_ caller: Caller, package text: String, reason: String, dryRun: Bool) throws(Problem) -> JSONValue
    {
        let id = try packageID(text)
        guard id.city == city else {
            throw Problem(.notAuthoritative, "\(id) is \(id.city)'s: only its own city withdraws it", try: "hansa package list")
        }
        guard !reason.isEmpty, reason.count <= 500, reason == reason.printable(charactersMax: 500) else {
            throw Problem(.usage, "a reason of 1 to 500 printable characters is needed: recipients keep it", try: "--reason TEXT")
        }
        // It takes effect at once and does not wait for a publish that runs: where one has just committed, it is made anew upon that.
        var attempts = 0
        while true {
            attempts += 1
            if let document = try withdraw(id, reason, caller, dryRun) { return document }
            guard attempts < 20 else {
                throw Problem(.fileChanged, "\(id) is published again and again meanwhile", try: "run it again")
            }
        }
    }

    /// Nil when the package changed between looking and writing.
    private func withdraw(_ id: PackageID, _ reason: String, _ caller: Caller, _ dryRun: Bool) throws(Problem) -> JSONValue? {
        guard let row = try read({ try $0.package(id) }) else {
            throw Problem(.packageUnknown, "there is no package \(id)", try: "hansa package list")
        }
        try read { try self.mustNotBeFenced(id, $0) }
        let recipients = try read { try $0.recipients(everSent: id) }
        var digest = row.last
        if !row.isWithdrawn, !dryRun {
            let lineage = try read { try self.context.lineage(of: id, merging: true, in: $0, at: self.clock.now) }
            let seq = lineage.seq
            let identity = currentIdentity
            let release = try guarded {
                try Release(
                    package: id, kind: row.kind, version: row.headVersion, operation: .withdraw, writer: city,
                    keyring: identity.keyring.version, seq: seq,
                    previous: lineage.previous, parents: lineage.parents, clock: lineage.clock, issued: clock.now,
                    tlp: row.tlp, title: row.title, bytes: 0,
                    files: 0, manifest: nil, index: nil, reason: reason)
            }
            let envelope = release.signed(with: [identity.keys.package])
            digest = envelope.digest
            let location = try guarded { () -> ContentLocation in
                let location = try content.append(document: envelope.binary(), digest: envelope.digest)
                try content.sync()
                return location
            }
            let isDone = try change { tx in
                var changes = ExchangeChanges()
                guard try tx.package(id)?.last == row.last, try !tx.isRevoked(packageKeyOf: self.city, identity.keyring.version)
                else { return (false, changes) }
                try tx.insert(
                    ReleaseRow(
                        digest: envelope.digest, release: ReleaseSummary(release), document: location, table: [], pages: [],
                        committed: tx.now))
                var gone = row
                gone.withdrawnSeq = seq
                gone.lastSeq = seq
                gone.last = envelope.digest
                try tx.put(gone)
                // Of what is withdrawn nothing is kept but that it was.
                if try tx.value(TableMemory.name(id)) != nil { try tx.setValue(TableMemory.name(id), []) }
                // To every partner that was ever sent a release of it, and to nobody else.
                for recipient in recipients {
                    try tx.enqueue(envelope, to: recipient)
                    changes.outboxes.insert(recipient)
                }
                try tx.log(
                    LogDraft(.packageWithdrawn, actor: self.actor(caller), package: id, release: envelope.digest, reason: reason))
                let update = try MembershipUpdate(self.context, tx)
                try update.withdrew(id)
                changes.views = try update.finish()
                return (true, changes)
            }
            guard isDone else { return nil }
        }
        return [
            "schema": "hansa.package-withdraw/1", "package": .string(id.description), "release": JSONValue(digest),
            "recipients": .array(recipients.map { .string($0.text) }), "dryRun": .bool(dryRun),
        ]
    }

    // MARK: Directories that are not published

    public func packageNew(_ caller: Caller, kind: String, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        guard let kind = PackageKind(rawValue: kind) else {
            throw Problem(
                .usage, "'\(kind.printable())' is no kind: \(PackageKind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        guard kind == .dataset else { throw DataPackageFault.comesLater(kind).problem }
        let listing = try reader.listing()
        let plan = try plan(listing, reader)
        let inferred = try infer(plan, listing, reader)
        let name = listing.derivedName ?? listing.path.split(separator: "/").last.map(String.init) ?? "dataset"
        let document = DataPackageDocument.inferred(name: name, title: name, files: inferred, version: Version(1, 0, 0))
        return [
            "schema": "hansa.package-new/1", "kind": .string(kind.rawValue), "directory": .string(listing.path),
            "files": JSONValue(plan.files.count),
            "bytes": JSONValue(plan.bytes), "datapackage": .string(String(decoding: document.bytes, as: UTF8.self)),
            "exists": .bool(plan.descriptor != nil),
        ]
    }

    private func plan(_ listing: DirectoryListing, _ reader: any DirectoryReader) throws(Problem) -> PublishPlan {
        let plan: PublishPlan
        do throws(PublishFault) { plan = try PublishPlan(listing.entries.map(DirectoryEntry.init)) } catch { throw error.problem }
        for warning in plan.warnings { reader.warn("\(warning)") }
        return plan
    }

    private func infer(_ plan: PublishPlan, _ listing: DirectoryListing, _ reader: any DirectoryReader) throws(Problem)
        -> [InferredResource]
    {
        var inferred: [InferredResource] = []
        let chunks = ChunkReader()
        for file in plan.files {
            var inference = ResourceInference(path: file.path)
            guard inference.wantsBytes else {
                inferred.append(inference.finish(size: file.size))
                continue
            }
            let opened = try openOne(reader, file.source)
            _ = try guarded {
                try chunks.read(
                    opened, path: file.path, profile: { _ in .fastcdc512k }, piece: { inference.feed($0) }, chunk: { _, _ in })
            }
            inferred.append(inference.finish(size: file.size))
        }
        return inferred
    }

    private func openOne(_ reader: any DirectoryReader, _ path: String) throws(Problem) -> FileReader {
        let descriptors = try reader.open([path])
        guard descriptors.count == 1 else {
            throw Problem(.adminProtocol, "the client opened \(descriptors.count) files for one")
        }
        return try FileReader(descriptors[0], path: path)
    }

    public func packageCheck(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        let listing = try reader.listing()
        let plan = try plan(listing, reader)
        var findings: [DataPackageFinding] = []
        var declared: String?
        if let path = plan.descriptor {
            let bytes = try openOne(reader, path).readAll(limit: DataPackageDocument.bytesMax, path: path)
            do throws(DataPackageFault) {
                let document = try DataPackageDocument(reading: bytes, placement: plan.isBag ? .bag : .directory)
                findings = document.findings(files: plan.files.map { FileDigest(path: $0.path, size: $0.size, digest: .zero) })
                if let kind = document.kind, kind != .dataset { throw DataPackageFault.comesLater(kind) }
                declared = document.package
            } catch {
                throw Problem(
                    error.problem.code, error.problem.message, try: "mend it, or remove datapackage.json to have it inferred")
            }
        }
        // The name that publishing it from its parent directory would give.
        var package: PackageID?
        let directory = listing.derivedName ?? listing.path.split(separator: "/").last.map(String.init)
        do throws(NameFault) {
            package = try PackageName.derive(city: city, option: nil, declared: declared, directory: directory)
        } catch {
            let hint = error.suggestion.map { "; try \($0)" } ?? ""
            // A directory's own name can be overruled when publishing; what datapackage.json says cannot.
            findings.append(
                DataPackageFinding(
                    declared == nil ? .warning : .error, declared == nil ? "name" : "hansa.package", error.description + hint))
        }
        if plan.isBag {
            let verifier = BagVerifier(listing: listing.entries.map(DirectoryEntry.init), standard: .foreign) { path in
                try self.openOne(reader, path).readAll(limit: Bag.manifestBytesMax, path: path)
            }
            let wrong = verifier.findings { path in try self.openOne(reader, path).digest(path: path) }
            guard wrong.isEmpty else {
                throw Problem(
                    .packageInvalidBag,
                    "\(listing.path) says it is a bag, and is not a valid one:\n  "
                        + wrong.prefix(10).map(\.description).joined(separator: "\n  "),
                    try: "mend the bag, or publish its data/ directory")
            }
        }
        let inferred = try infer(plan, listing, reader)
        let errors = findings.filter { $0.severity == .error }
        guard errors.isEmpty else {
            throw Problem(
                .packageInvalid, "datapackage.json of \(listing.path):\n  " + errors.map(\.description).joined(separator: "\n  "),
                try: "mend it, or remove it to have it inferred")
        }
        let document = DataPackageDocument.inferred(name: listing.derivedName ?? "dataset", files: inferred)
        return [
            "schema": "hansa.package-check/1", "directory": .string(listing.path), "package": JSONValue(package?.description),
            "files": JSONValue(plan.files.count), "bytes": JSONValue(plan.bytes),
            "findings": .array(
                findings.map {
                    ["severity": .string($0.severity.rawValue), "place": .string($0.place), "message": .string($0.message)]
                }),
            "resources": document["resources"] ?? .array([]), "descriptor": .bool(plan.descriptor != nil),
        ]
    }
}
