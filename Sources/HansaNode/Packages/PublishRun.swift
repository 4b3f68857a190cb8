// One `package publish`: directories in, signed releases out, in batches.
//
//   take     a batch of listings: what is unchanged is found in one look-up, the others are planned and divided into groups
//   publish  a group: read → look up the heads → compose → look up the chunks → finish → append (the steps are `PackageDraft`'s)
//   commit   segments fsynced, then one transaction with rows, memberships and log entries, while the next batch is prepared
//            (`PublishRun+Commit.swift`)
//
// Small packages go in groups, so that look-ups and writes are few and all cores read, hash, compress and sign; a large one goes alone and
// leaves memory as it is read. While a group is worked on, the client opens the files of the next. A failure of one directory among many leaves
// the others published, and is reported with it.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaPackages
internal import HansaStore
internal import HansaSync
internal import HansaTerms

final class PublishRun {
    static let batchStoredBytes: UInt64 = 128 * 1024 * 1024
    /// A group has at most so many packages and files, of so many bytes; two groups' files are open at a time.
    private static let groupPackages = 64
    private static let groupFiles = 128
    private static let groupBytes: UInt64 = 4 * 1024 * 1024
    /// A package with more than this is a group of its own.
    private static let smallBytes: UInt64 = 512 * 1024

    let node: Node
    /// Who did it, as the log names them.
    let actor: String
    private let batchReleases: Int
    private let options: PublishOptions
    private let frame: PackageDraft.Frame
    let writer: ContentWriter
    /// Prepared and not yet committed.
    var batch = Batch()
    var underWay: CommitUnderWay?
    private(set) var rows: [Int: JSONValue] = [:]
    private(set) var failures: [(path: String, problem: Problem)] = []
    var published = 0
    private var done = 0

    private var source: any PublishSource { frame.source }

    /// `batchReleases` are committed together at most; less than a thousand only in tests.
    init(
        _ node: Node, _ caller: Caller, _ options: PublishOptions, _ source: any PublishSource, batchReleases: Int = 1000
    ) throws(Problem) {
        self.node = node
        actor = node.actor(caller)
        self.batchReleases = batchReleases
        var tlp = TLP.amberStrict
        if let label = options.tlp {
            guard let given = TLP(lenient: label) else {
                throw Problem(
                    .usage, "'\(label.printable())' is no TLP label: CLEAR, GREEN, AMBER, AMBER+STRICT or RED",
                    try: "--tlp AMBER+STRICT")
            }
            tlp = given
        }
        if let version = options.version, Version(version) == nil {
            throw Problem(.usage, "'\(version.printable())' is no version: MAJOR.MINOR.PATCH", try: "--version 1.0.0")
        }
        let policy = try node.read { try $0.policy() }
        var options = options
        if options.merge, let id = options.name.flatMap({ try? node.packageID($0.contains("/") ? $0 : "\(node.city)/\($0)") }),
            options.merges?.contains(where: { $0.package == id.description }) != true,
            let heads = try node.read({ try node.headReleases(of: id, $0) })
        {
            // Made by hand, of what there is now: nothing of the directory was looked at yet.
            options.merges = (options.merges ?? []) + [MergeNote(package: id.description, heads: heads.sorted())]
        }
        self.options = options
        frame = PackageDraft.Frame(node: node, source: source, options: options, tlp: tlp, policy: policy)
        writer = ContentWriter(content: node.content, metadata: node.metadata, city: node.city, stores: !options.dryRun)
    }

    // MARK: Take

    func take(_ listings: [DirectoryListing]) throws(Problem) {
        try source.proceed()
        let groups = PublishRun.grouped(try planned(try changed(listings)))
        if let first = groups.first { open(first) }
        for (number, group) in groups.enumerated() {
            try source.proceed()
            if batch.releases.count + group.count > batchReleases { try beginCommit() }
            try publish(group, ahead: number + 1 < groups.count ? groups[number + 1] : [])
            if writer.storedBytes >= PublishRun.batchStoredBytes { try beginCommit() }
        }
        if batch.releases.count >= batchReleases { try beginCommit() }
    }

    /// Those that are not known to be unchanged. Nothing was read of the others, and nothing asks for a new release of them.
    private func changed(_ listings: [DirectoryListing]) throws(Problem) -> [(DirectoryListing, [DirectoryEntry])] {
        var listed: [(listing: DirectoryListing, entries: [DirectoryEntry])] = []
        for listing in listings {
            if let fault = listing.fault {
                try failed(listing, fault)
            } else {
                listed.append((listing, listing.entries.map(DirectoryEntry.init)))
            }
        }
        // A merge decides also where it says what is there already.
        guard !options.rehash, !options.merge, options.version == nil, !listed.isEmpty else { return listed }
        let known = try node.read { store in try listed.map { try self.unchanged($0.listing, $0.entries, in: store) } }
        return zip(listed, known).compactMap { item, row in
            guard let row else { return item }
            rows[item.listing.number] = row
            return nil
        }
    }

    private func unchanged(_ listing: DirectoryListing, _ entries: [DirectoryEntry], in store: any MetadataReading) throws
        -> JSONValue?
    {
        let memory = PackageDraft.memory(listing, options)
        func isUnchanged(_ snapshot: [UInt8]) -> Bool {
            guard let earlier = try? DirectorySnapshot(encoded: snapshot) else { return false }
            return DirectorySnapshot(of: entries, takenAt: listing.listedAt).isUnchanged(comparedTo: earlier)
        }
        if let known = try store.published(directory: memory) {
            guard isUnchanged(known.snapshot), options.tlp == nil || known.release.tlp == frame.tlp,
                try store.damage(of: known.digest) == nil
            else { return nil }
            return PublishRun.row(known.release, known.digest, counts: PackageContent.Counts(), unchanged: true)
        }
        // Where others write the package too, ours need not be the head.
        guard frame.policy.hasMaintainers, let known = try store.snapshot(ofDirectory: memory),
            isUnchanged(known.snapshot), let package = try store.package(known.package),
            try store.ownChain(of: package.package, by: node.city).last == known.release,
            !package.isWithdrawn, try store.damage(of: known.release) == nil, options.tlp == nil || package.tlp == frame.tlp,
            let release = try store.release(known.release)
        else { return nil }
        return PublishRun.row(unchanged: release)
    }

    private func planned(_ changed: [(DirectoryListing, [DirectoryEntry])]) throws(Problem) -> [PackageDraft] {
        var drafts: [PackageDraft] = []
        for (listing, entries) in changed {
            do throws(PublishFault) {
                let plan = try PublishPlan(entries)
                for warning in plan.warnings where warning != .skippedHidden(MergeNote.fileName) {
                    source.warn("\(listing.path): \(warning)")
                }
                let isSmall = PublishRun.isSmall(plan)
                let content = PackageContent(reserving: Int(clamping: plan.bytes) + 2048, whenFull: isSmall ? nil : store)
                drafts.append(PackageDraft(listing, entries, plan, frame, content))
            } catch {
                try failed(listing, error.problem)
            }
        }
        return drafts
    }

    private static func isSmall(_ plan: PublishPlan) -> Bool {
        plan.bytes <= smallBytes && plan.files.count < PackageFiles.askedMax
    }

    private static func grouped(_ drafts: [PackageDraft]) -> [[PackageDraft]] {
        var groups: [[PackageDraft]] = []
        var (files, bytes) = (0, UInt64(0))
        var isOpen = false
        for draft in drafts {
            let isSmall = isSmall(draft.plan)
            files += draft.files.count
            bytes += draft.plan.bytes
            if isOpen, isSmall, groups[groups.count - 1].count < groupPackages, files <= groupFiles, bytes <= groupBytes {
                groups[groups.count - 1].append(draft)
            } else {
                groups.append([draft])
                (files, bytes) = (draft.files.count, draft.plan.bytes)
                isOpen = isSmall
            }
        }
        return groups
    }

    private func open(_ group: [PackageDraft]) { PackageFiles.open(group.map(\.files), from: source) }

    // MARK: Publish

    private func publish(_ group: [PackageDraft], ahead: [PackageDraft]) throws(Problem) {
        let now = node.clock.now
        // The client is asked from one thread at a time: for files to come only where those of this group are open.
        let opensAhead = !ahead.isEmpty && group.allSatisfy(\.files.areOpen)
        Parallel.forEach(group.count + (opensAhead ? 1 : 0)) { index in
            if index == 0, opensAhead {
                self.open(ahead)
            } else {
                group[opensAhead ? index - 1 : index].attempt { try $0.read(at: now) }
            }
        }
        if !opensAhead { open(ahead) }
        try source.proceed()
        try settle(group.filter { $0.problem == nil }, at: now)
        for draft in group {
            draft.letGo()
            if let problem = draft.problem { try failed(draft.listing, problem) }
            done += 1
            let bytes = draft.plan.bytes
            source.report(Progress(item: draft.listing.path, bytesDone: bytes, bytesTotal: nil, itemsDone: done, itemsTotal: nil))
        }
    }

    /// What a large package has gathered. Its chunks get their rows while it is read: memory does not grow with it, and a crash wastes little.
    private func store(_ content: PackageContent) throws {
        try writer.store(content)
        if writer.storedBytes > PublishRun.batchStoredBytes, batch.releases.isEmpty, !options.dryRun { try recordBlocks() }
    }

    /// From what was read to what can be committed.
    private func settle(_ drafts: [PackageDraft], at now: Timestamp) throws(Problem) {
        guard !drafts.isEmpty else { return }
        // Upon a release that is being committed another may follow once it is there.
        if let names = underWay?.batch.names, drafts.contains(where: { $0.package.map { names[$0] != nil } ?? false }) {
            try finishCommit()
        }
        // Of two directories for one package the second waits: should the first fail, the name is free.
        var (first, second): ([PackageDraft], [PackageDraft]) = ([], [])
        var taken: Set<PackageID> = []
        for draft in drafts {
            guard let package = draft.package else { continue }
            if let other = batch.names[package] {
                draft.fail(
                    Problem(
                        .packageInvalid, "\(draft.listing.path) and \(other) are both \(package): publish them under two names",
                        try: "--base DIR or --name PATH"))
            } else if taken.insert(package).inserted {
                first.append(draft)
            } else {
                second.append(draft)
            }
        }
        try node.read { store in for draft in first { draft.attempt { try $0.lookUpHead(in: store) } } }
        // The client is asked for what is compared, from one thread at a time.
        if options.bumpAuto { for draft in first { draft.attempt { try $0.chooseBump() } } }
        Parallel.forEach(first.count) { index in first[index].attempt { try $0.compose(at: now) } }
        let fresh = first.filter { $0.problem == nil && $0.same == nil }
        // What says the same as a release that is damaged here brings back what that has lost.
        let mending = first.filter { $0.problem == nil && $0.isMending }
        let contents = (fresh + mending).map(\.content)
        try node.guarded { try writer.plan(contents) }
        Parallel.forEach(fresh.count) { index in fresh[index].attempt { try $0.finish(at: now) } }
        for draft in mending { draft.content.pack() }
        try node.guarded { try writer.append(contents) }
        try source.proceed()
        try append(fresh.filter { $0.problem == nil })
        try mend(mending)
        for draft in first where draft.problem == nil { note(draft) }
        try settle(second, at: now)
    }

    /// The documents of signed releases, with one write. They are committed with the next batch.
    private func append(_ drafts: [PackageDraft]) throws(Problem) {
        guard !options.dryRun else { return }
        // The pages of a large file's index are let go of before anything else as large is made.
        let counts = drafts.map { $0.signed?.records.count ?? 0 }
        let places = try node.guarded { try node.content.append(all: drafts.flatMap { $0.takeRecords() }) }
        var rest = places[...]
        for (draft, count) in zip(drafts, counts) {
            guard let release = draft.signed else { continue }
            let own = rest.prefix(count)
            rest = rest.dropFirst(count)
            let table = own.dropFirst().prefix(release.tableParts)
            batch.names[release.release.package] = draft.listing.path
            batch.releases.append(
                Prepared(
                    digest: release.digest, release: release.release, row: release.row, document: own[own.startIndex],
                    table: Array(table),
                    // The last has no row.
                    pages: Array(own[table.endIndex...].dropLast()),
                    snapshot: draft.snapshot(of: release.release.package, release: release.digest),
                    tables: draft.tables(of: release.digest), merges: draft.lineage?.merges,
                    number: draft.listing.number))
        }
    }

    /// The index of releases that are made whole again: it is placed with the batch's blocks.
    private func mend(_ drafts: [PackageDraft]) throws(Problem) {
        guard !options.dryRun else { return }
        for draft in drafts {
            guard let same = draft.same, let remade = draft.remade else { continue }
            let places = try node.guarded { try node.content.append(all: remade.records) }
            batch.mended.append(
                Mended(
                    digest: same.digest, table: Array(places[..<remade.tableParts]), pages: Array(places[remade.tableParts...])))
        }
    }

    private func note(_ draft: PackageDraft) {
        if let same = draft.same {
            rows[draft.listing.number] = PublishRun.row(unchanged: same)
            if !options.dryRun { batch.remembered.append(draft.snapshot(of: same.release.package, release: same.digest)) }
        } else if let signed = draft.signed {
            // A dry run's digest would never exist: its time is another.
            rows[draft.listing.number] = PublishRun.row(
                ReleaseSummary(signed.release), options.dryRun ? nil : signed.digest, counts: draft.content.counts,
                unchanged: false)
        }
    }

    // MARK: Results

    private func failed(_ listing: DirectoryListing, _ problem: Problem) throws(Problem) {
        if problem.exit == .interrupted { throw problem }
        // A disk that is full, or a log that cannot be written, ends the run: the next directory would meet the same.
        if [.diskFull, .logUnavailable, .clockBehind, .inputOutput].contains(problem.code) { throw problem }
        failed(number: listing.number, listing.path, problem)
    }

    func failed(number: Int, _ path: String, _ problem: Problem) {
        failures.append((path, problem))
        rows[number] = [
            "path": .string(path),
            "error": [
                "code": .string(problem.code.rawValue), "message": .string(problem.message), "try": JSONValue(problem.next),
            ],
        ]
    }

    private static func row(unchanged release: ReleaseRow) -> JSONValue {
        row(release.release, release.digest, counts: PackageContent.Counts(), unchanged: true)
    }

    private static func row(_ release: ReleaseSummary, _ digest: Digest?, counts: PackageContent.Counts, unchanged: Bool)
        -> JSONValue
    {
        [
            "package": .string(release.package.description), "kind": .string(release.kind.rawValue),
            "version": .string(release.version.description),
            "release": JSONValue(digest), "bytes": JSONValue(release.bytes), "files": JSONValue(release.files),
            "chunks": JSONValue(release.chunks),
            "newChunks": JSONValue(counts.newChunks), "storedBytes": JSONValue(counts.storedBytes), "unchanged": .bool(unchanged),
            "tlp": .string(release.tlp.rawValue),
        ]
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
