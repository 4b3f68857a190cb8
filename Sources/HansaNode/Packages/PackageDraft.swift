// One directory on its way to a release, step by step:
//
//   read      its files are read once: chunked, hashed and (where there is no datapackage.json) looked at for a Table Schema on the way
//   compose   upon the package's head: version, datapackage.json and tag files; or nothing, where the head says the same already
//   finish    its new chunks are compressed, the release is signed
//
// Between the steps `PublishRun` looks things up for many drafts at once. A step runs on any thread, those of several drafts side by side; a
// draft is touched by one thread at a time. What goes wrong is kept in `problem` and fails this directory alone.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaPackages
internal import HansaStore
internal import HansaSync
internal import HansaTerms

final class PackageDraft {
    /// What is the same for all drafts of a run.
    struct Frame {
        let node: Node
        let source: any PublishSource
        let options: PublishOptions
        let tlp: TLP
        /// As it stood when the run began.
        let policy: Policy

        /// Whether an agreement in force has us write this package of another city.
        func maintains(_ package: PackageID) -> Bool {
            policy.maintenance(of: package, at: node.clock.now)?.cities.contains(node.city) == true
        }
    }

    /// A file of the bag, cut.
    private struct CutFile {
        let path: String
        let profile: ChunkProfile
        var chunks: ChunkList
        let digest: Digest
    }

    private struct Plan {
        let version: Version
        let tlp: TLP
        let title: String
        let bag: Bag
    }

    let listing: DirectoryListing
    let entries: [DirectoryEntry]
    let plan: PublishPlan
    let files: PackageFiles
    let content: PackageContent
    private let frame: Frame

    private(set) var problem: Problem?
    /// Why nothing may follow, unless the directory says what is there already.
    private var diverged: Problem?
    /// Set by `read`.
    private(set) var package: PackageID?
    private var declared: DataPackageDocument?
    private var digests: [FileDigest] = []
    private var inferred: [InferredResource] = []
    /// What is known of long tables' chunks, by which the next version's are known.
    private var tables: [(path: String, stretches: TableStretches)] = []
    private var cut: [CutFile] = []
    /// The package as it stands, and the release that is its head where that may say the same as the directory.
    private var head: PackageRow?
    /// What the release follows.
    private(set) var lineage: Lineage?
    /// With `--merge`, the heads that the directory holds, by their releases. Set by `read`, before any file is.
    private var merges: Set<Digest>?
    private var headRelease: ReleaseRow?
    /// With `--bump auto`: what this is compared with, and the version that comes of it.
    private var bumpBase: ReleaseRow?
    private var bumped: Version?
    /// The release that says the same: nothing is to be published.
    private(set) var same: ReleaseRow?
    /// The head is damaged here: what says the same is stored again where it is missing.
    private var isHeadDamaged = false
    /// The index of `same`, made again from the directory: the parts of the file table, then the pages. Nil where it is another, by a word in a tag file.
    private(set) var remade: (records: [SegmentRecord], tableParts: Int)?
    var isMending: Bool { isHeadDamaged && same != nil }
    private var composed: Plan?
    private(set) var signed: SignedRelease?

    init(_ listing: DirectoryListing, _ entries: [DirectoryEntry], _ plan: PublishPlan, _ frame: Frame, _ content: PackageContent)
    {
        self.listing = listing
        self.entries = entries
        self.plan = plan
        self.frame = frame
        self.content = content
        files = PackageFiles(listing, paths: (plan.descriptor.map { [$0] } ?? []) + plan.files.map(\.source), from: frame.source)
    }

    /// Runs a step unless an earlier one failed.
    func attempt(_ step: (PackageDraft) throws -> Void) {
        guard problem == nil else { return }
        do { try step(self) } catch { fail(frame.node.problem(from: error)) }
    }

    func fail(_ problem: Problem) { self.problem = problem }

    // MARK: Read

    /// `now` dates the bag.
    func read(at now: Timestamp) throws {
        if let path = plan.descriptor {
            let bytes = try files.read(path) { try $0.readAll(limit: DataPackageDocument.bytesMax, path: path) }
            do throws(DataPackageFault) {
                declared = try DataPackageDocument(reading: bytes, placement: plan.isBag ? .bag : .directory)
            } catch { throw error.problem }
        }
        let package: PackageID
        do throws(NameFault) {
            package = try PackageName.derive(
                city: frame.node.city, option: frame.options.name, declared: declared?.package, directory: listing.derivedName,
                maintains: frame.maintains)
        } catch {
            throw Problem(.badName, "\(listing.path): \(error.description)", try: error.suggestion.map { "--name \($0)" })
        }
        self.package = package
        if frame.options.merge {
            let note = frame.options.merges?.first { $0.package == package.description }
            merges = try note.map { Set($0.heads) } ?? frame.node.read { try frame.node.headReleases(of: package, $0) }
        }
        if plan.isBag { try verifyBag() }
        if let kind = declared?.kind, kind != .dataset { throw DataPackageFault.comesLater(kind).problem }

        // Content is written in the index's order, so that stored blocks go over the wire as they lie. The first two tag files say only sizes,
        // which the listing knows; the others come after the payload they are about.
        for tag in Bag.leadingTagFiles(payloadBytes: plan.bytes, files: plan.files.count, info: try bagInfo(package, at: now)) {
            cut.append(try write(tag))
        }
        let reader = ChunkReader(filesUpTo: plan.files.reduce(0) { max($0, $1.size) })
        for file in plan.files { try read(file, with: reader) }
    }

    /// It names the package's own city, whoever writes it: the same content gives the same bag at each maintainer.
    private func bagInfo(_ package: PackageID, at now: Timestamp) throws -> BagInfo {
        let node = frame.node
        let owner = package.city == node.city ? nil : try node.read { try $0.currentKeyring(of: package.city)?.name }
        return BagInfo(organisation: owner ?? node.keyring.name, identifier: package.description, date: now.date)
    }

    private func read(_ file: PublishPlan.File, with reader: ChunkReader) throws {
        let inference = declared == nil ? FileInference(path: file.path, size: file.size) : nil
        if file.size >= FileIntake.bytesMin { return try readLarge(file, inference) }
        var profile = ChunkProfile.fastcdc64k
        let whole = RunningHash()
        var only: Digest?
        var chunks = ChunkList()
        let size = try files.read(file.source) { opened -> UInt64 in
            try reader.read(
                opened, path: file.path,
                profile: { probe in
                    profile = ChunkProfile.choose(
                        fileName: file.path, size: file.size, probe: probe.prefix(ChunkProfile.probeBytes))
                    return profile
                },
                piece: { bytes in inference?.feed(bytes) },
                chunk: { bytes, isWhole in
                    if chunks.count % 64 == 63 { try frame.source.proceed() }
                    let entry = try content.add(bytes, id: isWhole ? SHA256.hash(bytes) : whole.updateAndHash(bytes))
                    chunks.append(entry)
                    if isWhole { only = entry.id }
                })
        }
        guard size == file.size else { throw changed(file) }
        let digest = only ?? whole.digest
        digests.append(FileDigest(path: file.path, size: size, digest: digest))
        cut.append(CutFile(path: file.bagPath, profile: profile, chunks: chunks, digest: digest))
        if let inference { inferred.append(inference.finish(digest: digest).resource) }
    }

    private func readLarge(_ file: PublishPlan.File, _ inference: FileInference?) throws {
        let memory = inference?.wantsBytes == true ? package.flatMap { TableMemory(frame.node, $0, path: file.bagPath) } : nil
        let read = try files.read(file.source) { opened in
            try FileIntake(opened, path: file.path, into: content, inference, memory: memory).run { try frame.source.proceed() }
        }
        guard read.size == file.size else { throw changed(file) }
        digests.append(FileDigest(path: file.path, size: read.size, digest: read.digest))
        cut.append(CutFile(path: file.bagPath, profile: read.profile, chunks: read.chunks, digest: read.digest))
        guard let inference else { return }
        let result = try (inference.mustReadWhole ? lookAgain(at: file, read.digest) : inference).finish(digest: read.digest)
        inferred.append(result.resource)
        if let stretches = result.stretches { tables.append((file.bagPath, stretches)) }
    }

    /// All of a table once more, which must be as it was.
    private func lookAgain(at file: PublishPlan.File, _ digest: Digest) throws -> FileInference {
        let inference = FileInference(path: file.path, size: file.size)
        try files.readAside(file.source) { opened in
            var hash = SHA256()
            try OpenedTable(file: opened, path: file.path).read { bytes in
                try frame.source.proceed()
                hash.update(bytes)
                inference.feed(bytes)
                return true
            }
            guard hash.finish() == digest else { throw changed(file) }
        }
        return inference
    }

    private func changed(_ file: PublishPlan.File) -> Problem {
        Problem(
            .fileChanged, "\(listing.path)/\(file.source) changed while it was read; nothing of this package was published",
            try: "run it again when nothing writes there")
    }

    private func write(_ tag: TagFile) throws -> CutFile {
        let profile = ChunkProfile.fastcdc64k
        let cutter = Chunker(profile)
        var chunks = ChunkList()
        try tag.bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let length = cutter.cut(rest, atEnd: true)
                let part = UnsafeRawBufferPointer(rebasing: rest[..<(rest.startIndex + length)])
                chunks.append(length == bytes.count ? try content.add(part, id: tag.digest) : try content.add(part))
                rest = UnsafeRawBufferPointer(rebasing: rest[(rest.startIndex + length)...])
            }
        }
        return CutFile(path: tag.path, profile: profile, chunks: chunks, digest: tag.digest)
    }

    /// A directory that says it is a bag is held to it before anything of it is signed (CLI.md, `package publish`).
    private func verifyBag() throws {
        let verifier = BagVerifier(listing: entries, standard: .foreign) { path in
            try self.files.readAside(path) { try $0.readAll(limit: Bag.manifestBytesMax, path: path) }
        }
        let findings = verifier.findings { path in try self.files.readAside(path) { try $0.digest(path: path) } }
        guard findings.isEmpty else {
            throw Problem(
                .packageInvalidBag,
                "\(listing.path) says it is a bag, and is not a valid one:\n  "
                    + findings.prefix(10).map(\.description).joined(separator: "\n  "),
                try: "mend the bag, or publish its data/ directory")
        }
    }

    // MARK: Compose

    /// Looks up what the package is now.
    func lookUpHead(in store: any MetadataReading) throws {
        head = try package.flatMap { try store.package($0) }
        guard let package else { return }
        if head != nil { try frame.node.mustNotBeFenced(package, store) }
        lineage = try lineage(of: package, in: store)
        headRelease = try head.flatMap { mayBeSame(as: $0) ? try sameCandidate(upon: $0, in: store) : nil }
        isHeadDamaged = try headRelease.map { try store.damage(of: $0.digest) != nil } ?? false
        guard frame.options.bumpAuto, let head, !head.isWithdrawn else { return }
        bumpBase = try headRelease ?? store.release(head.head)
    }

    /// Notes where the directory would write over another city's release that nobody here has looked at.
    private func lineage(of package: PackageID, in store: any MetadataReading) throws -> Lineage {
        guard frame.policy.hasMaintainers else { return Lineage(upon: head, by: frame.node.city) }
        if package.city != frame.node.city {
            guard let head, head.headSeq > 0, !head.isWithdrawn else {
                throw Problem(
                    .notAuthoritative, "\(package) is \(package.city)'s to begin: nothing of it is here to build upon",
                    try: "hansa sync \(package.city)")
            }
            if let tlp = frame.options.tlp.flatMap({ TLP(lenient: $0) }), tlp < head.tlp {
                throw Problem(
                    .notAuthoritative,
                    "only \(package.city) lowers the classification of \(package), which is \(head.tlp.rawValue)",
                    try: "--tlp \(head.tlp.rawValue)")
            }
        }
        let known = try store.snapshot(ofDirectory: PackageDraft.memory(listing, frame.options))
        let lineage = try frame.node.context.lineage(
            of: package, merging: frame.options.merge, of: merges,
            upon: known.flatMap { $0.package == package ? $0.release : nil },
            in: store,
            at: frame.node.clock.now)
        if lineage.isOutdated {
            diverged = frame.node.outdatedMerge(of: package, try lineage.unmerged.first.flatMap { try store.release($0) })
        }
        if let unseen = try lineage.unseen.first.flatMap({ try store.release($0) }) {
            diverged = Problem(
                .packageDiverged,
                "\(unseen.release.writer) published \(package) \(unseen.release.version) since \(listing.path) was published last, and "
                    + "the directory may not hold it",
                try: "hansa conflict merge \(package) DIR, or publish with --merge once it does")
        }
        return lineage
    }

    /// What the directory may say again: our own release where it is a head that does not count, else the one that counts.
    private func sameCandidate(upon head: PackageRow, in store: any MetadataReading) throws -> ReleaseRow? {
        if let lineage, let last = lineage.previous, last != head.head, lineage.heads.contains(last) {
            return try store.release(last)
        }
        return try store.release(head.head)
    }

    private func mayBeSame(as head: PackageRow) -> Bool {
        !(frame.options.merge && lineage?.isOpen == true) && frame.options.version == nil && !head.isWithdrawn
            && head.tlp == label(upon: head)
            && declared?.version.flatMap({ Version($0) }).map({ $0 <= head.headVersion }) ?? true
    }

    /// A package keeps its label until another is asked for; one that was withdrawn begins anew.
    private func label(upon head: PackageRow?) -> TLP {
        guard frame.options.tlp == nil, let head, !head.isWithdrawn else { return frame.tlp }
        // What several cities said together is told to nobody who might not have each of it.
        return frame.options.merge ? max(head.tlp, lineage?.tlp ?? head.tlp) : head.tlp
    }

    /// The version that what changed since the head asks for. Tables that changed are read a second time, so this runs for one draft at a time.
    func chooseBump() throws {
        guard let package, let bumpBase else { return }
        let document = document(of: package)
        let written: DataPackageDocument
        do throws(DataPackageFault) {
            // As it will stand in the bag: what is added there is no change.
            written = try DataPackageDocument(reading: try document.completed(files: digests), placement: .bag)
        } catch { throw error.problem }
        let before = try ReleaseContent(frame.node, bumpBase) { [source = frame.source] in source.isCancelled }
        let difference = try PackageDiff(from: before.version(), to: PackageVersion(document: written, files: digests)) { pair in
            guard let file = plan.files.first(where: { $0.path.utf8.elementsEqual(pair.after.path.utf8) }) else {
                preconditionFailure("the table is one of the plan's files")
            }
            return try files.readAside(file.source) { opened in
                let old = try before.source(payload: pair.before.path)
                let table = try TableDiff(
                    from: old, to: OpenedTable(file: opened, path: file.source), key: pair.key, delimiters: pair.delimiters,
                    limit: 0)
                return table
            }
        }
        let version = difference.bump.following(bumpBase.release.version)
        guard version.major <= Version.partMax else { throw VersionFault.exhausted(head: bumpBase.release.version).problem }
        for reason in difference.reasons.prefix(5) { frame.source.warn("\(listing.path): \(version): \(reason.text)") }
        bumped = version
    }

    private func title(of package: PackageID) -> String {
        declared?.title ?? package.path.utf8.lastIndex(of: 0x2F).map { String(package.path[$0...].dropFirst()) } ?? package.path
    }

    private func document(of package: PackageID) -> DataPackageDocument {
        declared ?? DataPackageDocument.inferred(name: package.path, title: title(of: package), files: inferred)
    }

    func compose(at now: Timestamp) throws {
        guard let package else { preconditionFailure("read comes first") }
        var version: Version
        do throws(VersionFault) {
            version = try VersionChoice.choose(
                given: frame.options.version, declared: declared?.version, head: lineage?.version ?? head?.headVersion)
        } catch { throw error.problem }
        if let bumped { version = max(version, bumped) }
        let title = title(of: package)
        let document = document(of: package)
        func descriptor(_ version: Version) throws -> [UInt8] {
            do throws(DataPackageFault) { return try document.completed(files: digests, version: version) } catch {
                throw error.problem
            }
        }
        // Touched, copied or read again, and still the same: no new release.
        if let headRelease, try saysTheSame(headRelease, SHA256.hash(try descriptor(headRelease.release.version))) {
            same = headRelease
            if isHeadDamaged { try remake(headRelease, package, try descriptor(headRelease.release.version)) }
            return
        }
        if let diverged { throw diverged }
        let bag = Bag(payload: digests, datapackage: try descriptor(version), info: try bagInfo(package, at: now))
        for tag in bag.tagFiles[2...] { cut.append(try write(tag)) }
        composed = Plan(version: version, tlp: label(upon: head), title: title, bag: bag)
    }

    /// Everything that the release's index names, from the directory and the day on which it was signed. Tag files come into `content` by the way.
    private func remake(_ release: ReleaseRow, _ package: PackageID, _ descriptor: [UInt8]) throws {
        let info = try bagInfo(package, at: release.release.issued)
        var files: [CutFile] = []
        for tag in Bag.leadingTagFiles(payloadBytes: plan.bytes, files: plan.files.count, info: info) {
            files.append(try write(tag))
        }
        files += cut[2...]
        for tag in Bag(payload: digests, datapackage: descriptor, info: info).tagFiles[2...] { files.append(try write(tag)) }
        let (built, pages) = try index(of: &files)
        let body = try frame.node.content.body(at: release.document)
        guard try Release(payload: Envelope(binary: body).payload).index?.root == built.root else { return }
        let table = SegmentRecord.tableParts(built.encodedTable, digest: built.tableDigest)
        remade = (table + pages.map { .page(digest: $0.digest, bytes: $0.bytes) }, table.count)
    }

    /// Lets go of the files' lists of chunks as their pages are made.
    private func index(of files: inout [CutFile]) throws -> (built: IndexBuilder.Built, pages: [IndexBuilder.Page]) {
        var builder = IndexBuilder()
        var pages: [IndexBuilder.Page] = []
        for number in files.indices {
            try builder.beginFile(files[number].path, profile: files[number].profile)
            try files[number].chunks.drain { if let page = try builder.append($0) { pages.append(page) } }
            try builder.endFile(digest: files[number].digest)
        }
        let built = try builder.finish()
        if let last = built.lastPage { pages.append(last) }
        return (built, pages)
    }

    private func saysTheSame(_ release: ReleaseRow, _ descriptor: Digest) throws -> Bool {
        let files: [FileEntry]
        do { files = try frame.node.table(of: release).files } catch let problem as Problem { throw problem } catch {
            // What the store has lost cannot be compared; publishing the directory again heals it.
            frame.source.warn(
                "\(listing.path): the release before cannot be read (\(frame.node.problem(from: error).message)); a new one is made"
            )
            return false
        }
        let payload = cut[2...]
        let old = files.filter { $0.path.hasPrefix(Bag.payloadPrefix) }
        return old.count == payload.count && zip(old, payload).allSatisfy { $0.path == $1.path && $0.digest == $1.digest }
            && files.first { $0.path == DataPackageDocument.fileName }?.digest == descriptor
    }

    // MARK: Finish

    /// The release, and what stands beside its content in the store.
    struct SignedRelease {
        let digest: Digest
        let release: Release
        /// The envelope, then the parts of the file table, then the pages of the index, then what these are together.
        var records: [SegmentRecord]
        let tableParts: Int
        let row: PackageRow
    }

    /// What is to be written of the release; it is here no more.
    func takeRecords() -> [SegmentRecord] {
        defer { signed?.records = [] }
        return signed?.records ?? []
    }

    private func chained() -> Lineage { lineage ?? Lineage(upon: head, by: frame.node.city) }

    /// `ContentWriter.plan` comes before, and what this packs is appended also when the draft fails here: others count on it.
    func finish(at now: Timestamp) throws {
        guard let package, let composed else { preconditionFailure("compose comes first") }
        content.pack()
        let (built, pages) = try index(of: &cut)
        let (node, bag) = (frame.node, composed.bag)
        let lineage = chained()
        let identity = node.currentIdentity
        let release = try Release(
            package: package, kind: .dataset, version: composed.version, operation: lineage.operation, writer: node.city,
            keyring: identity.keyring.version, seq: lineage.seq,
            previous: lineage.previous, parents: lineage.parents, clock: lineage.clock,
            issued: now, tlp: composed.tlp,
            title: composed.title, bytes: bag.payloadBytes, files: bag.payloadFiles, manifest: bag.manifest,
            index: IndexReference(root: built.root, chunks: built.chunkCount))
        let envelope = release.signed(with: [identity.keys.package])
        let table = SegmentRecord.tableParts(built.encodedTable, digest: built.tableDigest)
        signed = SignedRelease(
            digest: envelope.digest, release: release,
            records: [.document(digest: envelope.digest, bytes: envelope.binary())] + table
                + pages.map { .page(digest: $0.digest, bytes: $0.bytes) }
                + [.index(root: built.root, table: built.tableDigest, chunks: built.chunkCount, pages: built.pageDigests)],
            tableParts: table.count,
            row: PackageRow(
                package: package, kind: .dataset, head: envelope.digest, headVersion: composed.version, headSeq: lineage.seq,
                lastSeq: lineage.seq, last: envelope.digest, tlp: composed.tlp,
                title: composed.title, bytes: bag.payloadBytes, withdrawnSeq: head?.withdrawnSeq))
    }

    // MARK: What remains of it

    /// Gives back what only the steps needed: content that was not packed, files that were not read.
    func letGo() {
        content.discard()
        files.close()
    }

    /// What a directory's snapshot is kept under: its path, and how its name was asked for. Another --name or --base is another question.
    static func memory(_ listing: DirectoryListing, _ options: PublishOptions) -> String {
        "\(listing.path)\u{0}\(options.name ?? "")\u{0}\(listing.derivedName ?? "")"
    }

    /// What `TableMemory` keeps of the release; nil where there was nothing and is nothing.
    func tables(of release: Digest) -> [UInt8]? {
        tables.isEmpty ? nil : TableMemory.encoded(tables, of: release)
    }

    /// By which the directory is known again without being read.
    func snapshot(of package: PackageID, release: Digest) -> SnapshotRow {
        SnapshotRow(
            path: PackageDraft.memory(listing, frame.options), package: package, release: release,
            snapshot: DirectorySnapshot(of: entries, takenAt: listing.listedAt).encoded())
    }
}

extension Conversation {
    /// Throws once the client has gone or was interrupted: a package that is being read then is not published.
    func proceed() throws(Problem) {
        if isCancelled {
            throw Problem(
                .internalFault, "interrupted; what was published stays, and running it again goes on", exit: .interrupted)
        }
    }
}
