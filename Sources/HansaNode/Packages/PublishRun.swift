// One `package publish`: directories in, signed releases out, in batches.
//
// Each package is read once: chunked, hashed and (where it has no datapackage.json) looked at for a Table Schema on the way. What is prepared is
// committed together: segments fsynced, then one transaction with rows, memberships and log entries. A failure of one directory among many
// leaves the others published, and is reported with it.
internal import Glibc
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaPackages
internal import HansaStore
internal import HansaSync

final class PublishRun {
    private static let batchReleases = 1000
    private static let batchStoredBytes: UInt64 = 128 * 1024 * 1024

    private struct Prepared {
        let envelope: Envelope
        let release: Release
        let document: ContentLocation
        let table: [ContentLocation]
        let pages: [ContentLocation]
        let snapshot: SnapshotRow
        let number: Int
        let row: PackageRow
    }

    private let node: Node
    private let caller: Caller
    private let options: PublishOptions
    private let source: any PublishSource
    private let tlp: TLP
    private let writer: ContentWriter
    private let reader = ChunkReader()
    private var prepared: [Prepared] = []
    /// Heads of packages prepared and not yet committed: the same name twice in one run is two directories for one package, and refused.
    private var names: [PackageID: String] = [:]
    private var storedSinceCommit: UInt64 = 0
    private(set) var rows: [Int: JSONValue] = [:]
    private(set) var failures: [(path: String, problem: Problem)] = []
    private(set) var published = 0
    private var done = 0

    init(_ node: Node, _ caller: Caller, _ options: PublishOptions, _ source: any PublishSource) throws(Problem) {
        self.node = node
        self.caller = caller
        self.options = options
        self.source = source
        if let label = options.tlp {
            guard let tlp = TLP(lenient: label) else {
                throw Problem(
                    .usage, "'\(label.printable())' is no TLP label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED",
                    try: "--tlp AMBER+STRICT")
            }
            self.tlp = tlp
        } else {
            tlp = .amberStrict
        }
        if let version = options.version, Version(version) == nil {
            throw Problem(.usage, "'\(version.printable())' is no version: MAJOR.MINOR.PATCH", try: "--version 1.0.0")
        }
        writer = ContentWriter(content: node.content, metadata: node.metadata, city: node.city, stores: !options.dryRun)
    }

    // MARK: Steps

    func take(_ listings: [DirectoryListing]) throws(Problem) {
        var changed: [(listing: DirectoryListing, entries: [DirectoryEntry])] = []
        for listing in listings {
            try proceed()
            if let fault = listing.fault {
                try failed(listing, fault)
                continue
            }
            let entries = listing.entries.map(DirectoryEntry.init)
            if let row = try unchanged(listing, entries) {
                rows[listing.number] = row
            } else {
                changed.append((listing, entries))
            }
        }
        let files = FileFeed(source)
        // Descriptors are asked for in batches over many directories: small packages are many.
        var plans: [(DirectoryListing, [DirectoryEntry], PublishPlan)] = []
        for (listing, entries) in changed {
            do throws(PublishFault) {
                let plan = try PublishPlan(entries)
                for warning in plan.warnings { source.warn("\(listing.path): \(warning)") }
                plans.append((listing, entries, plan))
                if let descriptor = plan.descriptor { files.expect(listing.number, descriptor) }
                for file in plan.files { files.expect(listing.number, file.source) }
            } catch {
                try failed(listing, error.problem)
            }
        }
        for (listing, entries, plan) in plans {
            try proceed()
            do {
                try publish(listing, entries, plan, files)
            } catch {
                files.skip(listing.number)
                writer.discard()
                try failed(listing, node.problem(from: error))
            }
            done += 1
            source.report(Progress(item: listing.path, bytesDone: plan.bytes, bytesTotal: nil, itemsDone: done, itemsTotal: nil))
            if prepared.count >= PublishRun.batchReleases || storedSinceCommit >= PublishRun.batchStoredBytes { try commit() }
        }
    }

    /// Throws once the client has gone or was interrupted: a package that is being read then is not published.
    private func proceed() throws(Problem) {
        if source.isCancelled {
            throw Problem(
                .internalFault, "interrupted; what was published stays, and running it again goes on", exit: .interrupted)
        }
    }

    private func failed(_ listing: DirectoryListing, _ problem: Problem) throws(Problem) {
        if problem.exit == .interrupted { throw problem }
        // A disk that is full, or a log that cannot be written, ends the run: the next directory would meet the same.
        if [.diskFull, .logUnavailable, .clockBehind, .inputOutput].contains(problem.code) { throw problem }
        try failed(number: listing.number, listing.path, problem)
    }

    private func failed(number: Int, _ path: String, _ problem: Problem) throws(Problem) {
        failures.append((path, problem))
        rows[number] = [
            "path": .string(path),
            "error": [
                "code": .string(problem.code.rawValue), "message": .string(problem.message), "try": JSONValue(problem.next),
            ],
        ]
    }

    /// The no-op: nothing of the directory was read, and nothing asks for a new release.
    private func unchanged(_ listing: DirectoryListing, _ entries: [DirectoryEntry]) throws(Problem) -> JSONValue? {
        guard !options.rehash, options.version == nil else { return nil }
        return try node.read { store -> JSONValue? in
            guard let known = try store.snapshot(ofDirectory: self.memory(listing)),
                let earlier = try? DirectorySnapshot(encoded: known.snapshot),
                DirectorySnapshot(of: entries, takenAt: listing.listedAt).isUnchanged(comparedTo: earlier),
                let package = try store.package(known.package),
                package.head == known.release, !package.isWithdrawn, options.tlp == nil || package.tlp == tlp,
                let release = try store.release(known.release)
            else { return nil }
            return PublishRun.row(
                release.release, known.release, chunks: release.release.chunks, counts: ContentWriter.Counts(), unchanged: true)
        }
    }

    /// What a directory's snapshot is kept under: its path, and how its name was asked for. Another --name or --base is another question.
    private func memory(_ listing: DirectoryListing) -> String {
        "\(listing.path)\u{0}\(options.name ?? "")\u{0}\(listing.derivedName ?? "")"
    }

    // MARK: One package

    private func publish(_ listing: DirectoryListing, _ entries: [DirectoryEntry], _ plan: PublishPlan, _ files: FileFeed) throws
    {
        let stats = Dictionary(listing.entries.map { ($0.path, $0) }) { first, _ in first }
        var declared: DataPackageDocument?
        if let path = plan.descriptor {
            let (bytes, _) = try files.next(listing.number, path, stats) { file in
                try file.readAll(limit: DataPackageDocument.bytesMax, path: path)
            }
            do throws(DataPackageFault) {
                declared = try DataPackageDocument(reading: bytes, placement: plan.isBag ? .bag : .directory)
            } catch { throw error.problem }
        }
        let package: PackageID
        do throws(NameFault) {
            package = try PackageName.derive(
                city: node.city, option: options.name, declared: declared?.package, directory: listing.derivedName)
        } catch {
            throw Problem(.badName, "\(listing.path): \(error.description)", try: error.suggestion.map { "--name \($0)" })
        }
        if plan.isBag { try verify(bag: entries, listing) }
        if let other = names[package] {
            throw Problem(
                .packageInvalid, "\(listing.path) and \(other) are both \(package): publish them under two names",
                try: "--base DIR or --name PATH")
        }
        if let kind = declared?.kind, kind != .dataset { throw DataPackageFault.comesLater(kind).problem }

        // Content is written in the index's order, so that stored blocks go over the wire as they lie. The first two tag files say only sizes,
        // which the listing knows; the others come after the payload they are about.
        let today = node.clock.now.date
        let info = BagInfo(organisation: node.keyring.name, identifier: package.description, date: today)
        let sizes = Bag(
            payload: plan.files.map { FileDigest(path: $0.path, size: $0.size, digest: .zero) }, datapackage: [], info: info)
        var digests: [FileDigest] = []
        var cut: [(path: String, profile: ChunkProfile, chunks: [ChunkEntry], digest: Digest)] = []
        for tag in sizes.tagFiles[0..<2] { cut.append(try write(tag)) }
        var inferred: [InferredResource] = []
        for file in plan.files {
            var inference = declared == nil ? ResourceInference(path: file.path) : nil
            var profile = ChunkProfile.fastcdc64k
            let whole = RunningHash()
            var only: Digest?
            var chunks: [ChunkEntry] = []
            let (size, _) = try files.next(listing.number, file.source, stats) { opened -> UInt64 in
                try reader.read(
                    opened, path: file.path,
                    profile: { probe in
                        profile = ChunkProfile.choose(
                            fileName: file.path, size: file.size, probe: probe.prefix(ChunkProfile.probeBytes))
                        return profile
                    },
                    piece: { bytes in if inference?.wantsBytes == true { inference?.feed(bytes) } },
                    chunk: { bytes, isWhole in
                        if chunks.count % 64 == 63 { try proceed() }
                        let entry = try writer.add(bytes)
                        chunks.append(entry)
                        if isWhole { only = entry.id } else { whole.update(bytes) }
                    })
            }
            guard size == file.size else {
                throw Problem(
                    .fileChanged,
                    "\(listing.path)/\(file.source) changed while it was read; nothing of this package was published",
                    try: "run it again when nothing writes there")
            }
            let digest = only ?? whole.digest
            digests.append(FileDigest(path: file.path, size: size, digest: digest))
            cut.append((file.bagPath, profile, chunks, digest))
            if let done = inference { inferred.append(done.finish(size: size, digest: digest)) }
            // A large file's chunks get their rows while it is read: memory does not grow with it, and a crash wastes little.
            if writer.counts.storedBytes > PublishRun.batchStoredBytes, prepared.isEmpty { try recordBlocks() }
        }

        let head = try node.metadata.read { try $0.package(package) }
        let isLive = head.map { !$0.isWithdrawn } ?? false
        let version: Version
        do throws(VersionFault) {
            version = try VersionChoice.choose(given: options.version, declared: declared?.version, head: head?.headVersion)
        } catch { throw error.problem }
        let label = options.tlp == nil ? (isLive ? head?.tlp ?? tlp : tlp) : tlp
        let title = declared?.title ?? PublishRun.title(package)
        let document = declared ?? DataPackageDocument.inferred(name: package.path, title: title, files: inferred)

        func descriptor(_ version: Version) throws -> [UInt8] {
            do throws(DataPackageFault) { return try document.completed(files: digests, version: version) } catch {
                throw error.problem
            }
        }
        // Touched, copied or read again, and still the same: no new release.
        if options.version == nil, isLive, let head, head.tlp == label,
            declared?.version.flatMap({ Version($0) }).map({ $0 <= head.headVersion }) ?? true,
            let release = try node.metadata.read({ try $0.release(head.head) }),
            try isSame(
                release, cut[2...].map { ($0.path, $0.digest) }, descriptor: SHA256.hash(try descriptor(head.headVersion)),
                listing)
        {
            writer.discard()
            rows[listing.number] = PublishRun.row(
                release.release, head.head, chunks: release.release.chunks, counts: ContentWriter.Counts(), unchanged: true)
            if !options.dryRun {
                let row = SnapshotRow(
                    path: memory(listing), package: package, release: head.head,
                    snapshot: DirectorySnapshot(of: entries, takenAt: listing.listedAt).encoded())
                try node.metadata.write(at: node.clock.now) { try $0.put(row) }
            }
            return
        }

        let bag = Bag(payload: digests, datapackage: try descriptor(version), info: info)
        for tag in bag.tagFiles[2...] { cut.append(try write(tag)) }
        try writer.flush()
        let counts = writer.takeCounts()
        storedSinceCommit += counts.storedBytes

        var builder = IndexBuilder()
        var pages: [IndexBuilder.Page] = []
        for file in cut {
            try builder.beginFile(file.path, profile: file.profile)
            for chunk in file.chunks { if let page = try builder.append(chunk) { pages.append(page) } }
            try builder.endFile(digest: file.digest)
        }
        let built = try builder.finish()
        if let last = built.lastPage { pages.append(last) }

        let seq = (head?.lastSeq ?? 0) + 1
        let release = try Release(
            package: package, kind: .dataset, version: version, operation: .publish, writer: node.city,
            keyring: node.keyring.version, seq: seq,
            previous: head?.last, parents: head.map { [$0.last] } ?? [], clock: [ClockEntry(city: node.city, seq: seq)],
            issued: node.clock.now, tlp: label,
            title: title, bytes: bag.payloadBytes, files: bag.payloadFiles, manifest: bag.manifest,
            index: IndexReference(root: built.root, chunks: built.chunkCount))
        let envelope = release.signed(with: [node.keys.package])
        // A dry run's digest would never exist: its time is another.
        rows[listing.number] = PublishRun.row(
            ReleaseSummary(release), options.dryRun ? nil : envelope.digest, chunks: built.chunkCount, counts: counts,
            unchanged: false)
        guard !options.dryRun else { return }
        try proceed()
        names[package] = listing.path
        prepared.append(
            Prepared(
                envelope: envelope, release: release,
                document: try node.content.append(document: envelope.binary(), digest: envelope.digest),
                table: try node.content.append(table: built.encodedTable, release: envelope.digest),
                pages: try pages.map { try node.content.append(page: $0.bytes, release: envelope.digest) },
                snapshot: SnapshotRow(
                    path: memory(listing), package: package, release: envelope.digest,
                    snapshot: DirectorySnapshot(of: entries, takenAt: listing.listedAt).encoded()),
                number: listing.number,
                row: PackageRow(
                    package: package, kind: .dataset, head: envelope.digest, headVersion: version, headSeq: seq, lastSeq: seq,
                    last: envelope.digest, tlp: label,
                    title: title, bytes: bag.payloadBytes, withdrawnSeq: head?.withdrawnSeq)))
    }

    /// A directory that says it is a bag is held to it before anything of it is signed (CLI.md, `package publish`).
    private func verify(bag entries: [DirectoryEntry], _ listing: DirectoryListing) throws {
        let stats = Dictionary(listing.entries.map { ($0.path, $0) }) { first, _ in first }
        func open(_ path: String) throws -> FileReader {
            let descriptors = try source.open(directory: listing.number, paths: [path])
            guard descriptors.count == 1 else {
                throw Problem(.adminProtocol, "the client opened \(descriptors.count) files for one")
            }
            let file = try FileReader(descriptors[0], path: path)
            guard let stat = stats[path], file.isStill(stat) else { throw FileFeed.changed(path) }
            return file
        }
        let verifier = BagVerifier(listing: entries, standard: .foreign) { path in
            try open(path).readAll(limit: Bag.manifestBytesMax, path: path)
        }
        let findings = verifier.findings { path in try open(path).digest(path: path) }
        guard findings.isEmpty else {
            throw Problem(
                .packageInvalidBag,
                "\(listing.path) says it is a bag, and is not a valid one:\n  "
                    + findings.prefix(10).map(\.description).joined(separator: "\n  "),
                try: "mend the bag, or publish its data/ directory")
        }
    }

    private func write(_ tag: TagFile) throws -> (path: String, profile: ChunkProfile, chunks: [ChunkEntry], digest: Digest) {
        let profile = ChunkProfile.fastcdc64k
        let cutter = Chunker(profile)
        var chunks: [ChunkEntry] = []
        try tag.bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let length = cutter.cut(rest, atEnd: true)
                let part = UnsafeRawBufferPointer(rebasing: rest[..<(rest.startIndex + length)])
                chunks.append(length == bytes.count ? try writer.add(part, id: tag.digest) : try writer.add(part))
                rest = UnsafeRawBufferPointer(rebasing: rest[(rest.startIndex + length)...])
            }
        }
        return (tag.path, profile, chunks, tag.digest)
    }

    private static func title(_ package: PackageID) -> String {
        package.path.split(separator: "/").last.map(String.init) ?? package.path
    }

    private func isSame(
        _ release: ReleaseRow, _ payload: [(path: String, digest: Digest)], descriptor: Digest, _ listing: DirectoryListing
    ) throws -> Bool {
        let files: [FileEntry]
        do { files = try node.table(of: release).files } catch let problem as Problem { throw problem } catch {
            // What the store has lost cannot be compared; publishing the directory again heals it.
            source.warn(
                "\(listing.path): the release before cannot be read (\(node.problem(from: error).message)); a new one is made")
            return false
        }
        let old = files.filter { $0.path.hasPrefix(Bag.payloadPrefix) }.map { ($0.path, $0.digest) }
        return old.count == payload.count && zip(old, payload).allSatisfy { $0.0 == $1.path && $0.1 == $1.digest }
            && files.first { $0.path == DataPackageDocument.fileName }?.digest == descriptor
    }

    static func row(_ release: ReleaseSummary, _ digest: Digest?, chunks: Int, counts: ContentWriter.Counts, unchanged: Bool)
        -> JSONValue
    {
        [
            "package": .string(release.package.description), "kind": .string(release.kind.rawValue),
            "version": .string(release.version.description),
            "release": JSONValue(digest), "bytes": JSONValue(release.bytes), "files": JSONValue(release.files),
            "chunks": JSONValue(chunks),
            "newChunks": JSONValue(counts.newChunks), "storedBytes": JSONValue(counts.storedBytes), "unchanged": .bool(unchanged),
            "tlp": .string(release.tlp.rawValue),
        ]
    }

    // MARK: Commit

    private func recordBlocks() throws {
        try node.content.sync()
        let blocks = writer.takeBlocks()
        try node.metadata.write(at: node.clock.now) { tx in
            for block in blocks { try tx.insertChunks(of: self.node.city, block: block.location, block.chunks) }
        }
    }

    /// Everything prepared becomes durable: bytes first, then the rows that point to them, with their log entries.
    func commit() throws(Problem) {
        guard !prepared.isEmpty else {
            // Of packages that failed half way: with rows their chunks are found the next time, instead of being stored again.
            if writer.hasBlocks { try node.guarded { try recordBlocks() } }
            return
        }
        let batch = prepared
        var overtaken: [Prepared] = []
        try node.guarded { try node.content.sync() }
        let blocks = writer.takeBlocks()
        try node.change { tx in
            var changes = ExchangeChanges()
            for block in blocks { try tx.insertChunks(of: self.node.city, block: block.location, block.chunks) }
            let update = try MembershipUpdate(self.node.context, tx)
            overtaken = []
            for item in batch {
                // A withdrawal does not wait for a long publish: what was prepared upon an older state of the package is void.
                guard try tx.package(item.release.package)?.last == item.release.previous else {
                    overtaken.append(item)
                    continue
                }
                let summary = ReleaseSummary(item.release)
                try tx.insert(
                    ReleaseRow(
                        digest: item.envelope.digest, release: summary, document: item.document, table: item.table,
                        pages: item.pages, committed: tx.now))
                try tx.put(item.row)
                try tx.put(item.snapshot)
                try tx.log(
                    LogDraft(
                        .packagePublished, actor: self.node.actor(self.caller), package: item.release.package,
                        release: item.envelope.digest,
                        details: [
                            "version": .string(item.release.version.description), "tlp": .string(item.release.tlp.rawValue),
                            "bytes": JSONValue(item.release.bytes),
                        ]))
                try update.released(item.envelope.digest, summary)
            }
            changes.views = try update.finish()
            return ((), changes)
        }
        published += batch.count - overtaken.count
        prepared = []
        for item in overtaken {
            let path = names[item.release.package] ?? ""
            try failed(
                number: item.number, path,
                Problem(
                    .fileChanged, "\(item.release.package) was changed by another command meanwhile; nothing of it was published",
                    try: "hansa package history \(item.release.package), then run it again"))
        }
        names = [:]
        storedSinceCommit = 0
    }
}

/// Opens files in the order in which they will be read, 64 a call, ahead of their use.
private final class FileFeed {
    private let source: any PublishSource
    private var expected: [(directory: Int, path: String)] = []
    private var asked = 0
    private var opened: [(directory: Int, path: String, descriptor: CInt)] = []
    private var head = 0

    init(_ source: any PublishSource) { self.source = source }

    deinit { for item in opened[head...] { Glibc.close(item.descriptor) } }

    func expect(_ directory: Int, _ path: String) { expected.append((directory, path)) }

    /// The next file, which must be this one; checked against its listing before and after `body`.
    func next<T>(_ directory: Int, _ path: String, _ stats: [String: FileStat], _ body: (FileReader) throws -> T) throws -> (
        T, FileStat
    ) {
        if head == opened.count {
            opened = []
            head = 0
            var batch = Array(expected[asked..<min(expected.count, asked + 64)])
            let descriptors: [CInt]
            do { descriptors = try source.open(batch) } catch {
                // A file that cannot be opened fails its own directory, not those whose files were asked for in one call with it.
                let own = Array(batch.prefix { $0.directory == directory })
                guard !own.isEmpty, own.count < batch.count, !source.isCancelled else { throw error }
                descriptors = try source.open(own)
                batch = own
            }
            guard descriptors.count == batch.count else {
                for descriptor in descriptors { Glibc.close(descriptor) }
                throw Problem(.adminProtocol, "the client opened \(descriptors.count) of \(batch.count) files")
            }
            opened = zip(batch, descriptors).map { ($0.directory, $0.path, $1) }
            asked += batch.count
        }
        let item = opened[head]
        head += 1
        let file = try FileReader(item.descriptor, path: path)
        guard item.directory == directory, item.path == path, let stat = stats[path] else {
            throw Problem(.adminProtocol, "files came in another order than asked")
        }
        guard file.isStill(stat) else { throw FileFeed.changed(path) }
        let value = try body(file)
        guard file.isStill(stat) else { throw FileFeed.changed(path) }
        return (value, stat)
    }

    static func changed(_ path: String) -> Problem {
        Problem(
            .fileChanged, "\(path.printable()) changed while it was read; nothing of this package was published",
            try: "run it again when nothing writes there")
    }

    /// A directory failed: what is left of it is closed or never opened.
    func skip(_ directory: Int) {
        while head < opened.count, opened[head].directory == directory {
            Glibc.close(opened[head].descriptor)
            head += 1
        }
        if head == opened.count { while asked < expected.count, expected[asked].directory == directory { asked += 1 } }
    }
}

extension DirectoryEntry {
    init(_ stat: FileStat) {
        self.init(
            path: stat.path, kind: Kind(rawValue: stat.kind.rawValue) ?? .other, size: stat.size, modified: stat.modified,
            changed: stat.changed,
            inode: stat.inode, device: stat.device)
    }
}
