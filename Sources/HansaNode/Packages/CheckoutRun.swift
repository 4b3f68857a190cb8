// One `package checkout`: releases from the store into the client's files.
//
// Nothing the user changed is overwritten without --force: a file on disk is replaced only when its bytes are those of some release of the
// package that we know. What is right already is left alone. Each file is hashed as it is written and renamed into place only when it is the one
// that was signed.
//
// Of many small packages the files are created, written and renamed together, whoever's they are: `begin` for each, then `finish`. What was written so
// is known the next time by its stat alone (`WrittenFiles`), but with --force.
internal import Glibc
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaPackages
internal import HansaStore
internal import HansaSync

final class CheckoutRun {
    private static let batchFiles = 64
    /// Small packages wait for one another up to so many files and bytes.
    private static let waitingFilesMax = 192
    private static let waitingBytesMax: UInt64 = 16 * 1024 * 1024
    /// Older versions that are kept open, to take from what did not change.
    private static let olderMax = 64

    private let node: Node
    private let sink: any CheckoutSink
    private let payloadOnly: Bool
    private let force: Bool
    private let dryRun: Bool
    private let recent = RecentBlocks()
    private let written: WrittenFiles.Session
    /// The whole target, where it was listed at once.
    private var standing: StandingFiles?
    private var waiting: [Planned] = []
    private var waitingFiles = 0
    private var waitingBytes: UInt64 = 0

    struct Outcome {
        var bytes: UInt64
        var files: Int
        var written = 0
        var removed = 0
    }

    private struct Target {
        let path: String
        let size: UInt64
        let digest: Digest
        let source: Source
        /// An older version of it, which stands there now.
        var older: FileCopy.Older?
        enum Source {
            /// In the release's file table.
            case file(Int)
            case bytes([UInt8])
        }
    }

    /// What has to be done for one release.
    private struct Planned {
        let content: ReleaseContent
        let prefix: String
        let write: [Target]
        let remove: [String]
    }

    init(_ node: Node, sink: any CheckoutSink, payloadOnly: Bool, force: Bool, dryRun: Bool) {
        written = node.writtenFiles.session()
        self.node = node
        self.sink = sink
        self.payloadOnly = payloadOnly
        self.force = force
        self.dryRun = dryRun
    }

    /// The first two packages, below a pattern's target, of which one's directory would hold the other's among files of its own.
    static func meeting(_ packages: [PackageID], payload: Bool) -> (outer: PackageID, inner: PackageID)? {
        let all = Set(packages)
        for inner in packages.sorted() {
            // Above it there are few directories, beside it thousands.
            for end in inner.path.utf8.indices where inner.path.utf8[end] == UInt8(ascii: "/") {
                guard let outer = try? PackageID(city: inner.city, path: String(inner.path[..<end])), all.contains(outer) else {
                    continue
                }
                if payload || (inner.path[end...].dropFirst() + "/").hasPrefix(Bag.payloadPrefix) { return (outer, inner) }
            }
        }
        return nil
    }

    /// `directory` is relative to the request's: "" or a package's path below it.
    func run(_ release: ReleaseRow, into directory: String) throws -> Outcome {
        defer { written.end() }
        let outcome = try begin(release, into: directory)
        try finish()
        return outcome
    }

    /// Each below a directory of its own.
    func run(_ releases: [(release: ReleaseRow, directory: String)], each: (ReleaseRow, Outcome) -> Void) throws {
        defer { written.end() }
        // One listing instead of one for each of many; of a target that holds too much besides, only what is asked about.
        if releases.count > CheckoutRun.batchFiles, let listing = try? sink.listing(of: "") { standing = StandingFiles(listing) }
        for (release, directory) in releases { each(release, try begin(release, into: directory)) }
        try finish()
    }

    /// What it writes may wait for `finish`.
    private func begin(_ release: ReleaseRow, into directory: String) throws -> Outcome {
        let content = try ReleaseContent(node, release, sharing: recent) { [sink] in sink.isCancelled }
        let prefix = directory.isEmpty ? "" : directory + "/"
        var targets: [Target] = []
        for (number, file) in content.table.files.enumerated() {
            let path: String
            if payloadOnly {
                guard file.path.hasPrefix(Bag.payloadPrefix) else { continue }
                path = String(file.path.dropFirst(Bag.payloadPrefix.count))
            } else {
                path = file.path
            }
            guard PayloadPath.fault(in: path) == nil else {
                throw Problem(.fileUnsafe, "the release names the path '\(path.printable())', which is not written anywhere")
            }
            targets.append(Target(path: path, size: file.size, digest: file.digest, source: .file(number)))
        }
        if !payloadOnly {
            let envelope = try Envelope(binary: try node.content.body(at: release.document)).json()
            targets.append(
                Target(
                    path: Bag.releaseName, size: UInt64(envelope.count), digest: SHA256.hash(envelope), source: .bytes(envelope)))
        }
        let listing = try standing?.below(directory) ?? sink.listing(of: directory)
        let plan = try compare(targets, release, listing, prefix)
        var outcome = Outcome(bytes: release.release.bytes, files: release.release.files)
        outcome.written = plan.write.count
        outcome.removed = plan.remove.count
        guard !dryRun else { return outcome }
        let planned = Planned(content: content, prefix: prefix, write: plan.write, remove: plan.remove)
        let bytes = plan.write.reduce(0) { $0 + $1.size }
        if bytes > CheckoutRun.waitingBytesMax || plan.write.count > CheckoutRun.waitingFilesMax {
            try finish()
            try write([planned])
            return outcome
        }
        if waitingFiles + plan.write.count > CheckoutRun.waitingFilesMax || waitingBytes + bytes > CheckoutRun.waitingBytesMax {
            try finish()
        }
        waiting.append(planned)
        waitingFiles += plan.write.count
        waitingBytes += bytes
        return outcome
    }

    /// Writes what waits.
    private func finish() throws {
        let packages = waiting
        (waiting, waitingFiles, waitingBytes) = ([], 0, 0)
        try write(packages)
    }

    private func write(_ packages: [Planned]) throws {
        let all = packages.flatMap { package in package.write.map { (package: package, target: $0) } }
        // Of one package progress is told by its bytes, of several by their number.
        let only = packages.count == 1 ? packages[0].content.release.release : nil
        var done: UInt64 = 0
        let commitMax = packages.count == 1 ? CheckoutRun.batchFiles : CheckoutRun.waitingFilesMax
        for start in stride(from: 0, to: all.count, by: commitMax) {
            let batch = all[start..<min(all.count, start + commitMax)]
            let paths = batch.map { $0.package.prefix + $0.target.path }
            let descriptors = try sink.create(paths)
            defer { for descriptor in descriptors { close(descriptor) } }
            guard descriptors.count == batch.count else {
                throw Problem(.adminProtocol, "the client made \(descriptors.count) of \(batch.count) files")
            }
            for ((package, target), descriptor) in zip(batch, descriptors) {
                if sink.isCancelled {
                    throw Problem(
                        .internalFault, "interrupted; files written so far are whole, and running it again goes on",
                        exit: .interrupted)
                }
                try write(target, to: descriptor, package.content)
                done += target.size
            }
            let before = descriptors.map { WrittenFiles.Stamp($0) }
            try sink.commit(paths)
            for (index, item) in batch.enumerated() {
                written.note(descriptors[index], before[index], digest: item.target.digest)
            }
            for package in packages {
                try remember(batch.filter { $0.package.content === package.content }.map(\.target), package.prefix)
            }
            if let last = batch.last {
                let release = last.package.content.release.release
                sink.report(
                    Progress(
                        item: release.package.description, bytesDone: done, bytesTotal: only?.bytes,
                        itemsDone: start + batch.count, itemsTotal: only == nil ? nil : all.count))
            }
        }
        for package in packages where !package.remove.isEmpty { try sink.remove(package.remove.map { package.prefix + $0 }) }
    }

    // MARK: What stands there

    private func compare(_ targets: [Target], _ release: ReleaseRow, _ listing: [FileStat], _ prefix: String) throws -> (
        write: [Target], remove: [String]
    ) {
        guard !listing.isEmpty else { return (targets, []) }
        let existing = Dictionary(listing.map { ($0.path, $0) }) { first, _ in first }
        var write: [Target] = []
        var doubtful: [(path: String, target: Target?, stat: FileStat)] = []
        for target in targets {
            guard let stat = existing[target.path] else {
                write.append(target)
                continue
            }
            guard stat.kind == .file else {
                throw Problem(
                    .fileUnsafe, "\((prefix + target.path).printable()) is in the way: it is no regular file",
                    try: "move it away, then check out again")
            }
            doubtful.append((target.path, target, stat))
        }
        // What an older version had and this one has not goes too, when it is as we wrote it.
        let wanted = Set(targets.map(\.path))
        // Where nothing else stands there, and all of it was written by this node, nothing older need be known; but of a large file that changed, to
        // take from it.
        let isAllKnown =
            !force && listing.allSatisfy { $0.kind != .file || wanted.contains($0.path) }
            && doubtful.allSatisfy { item in
                guard let digest = written.digest(of: item.stat) else { return false }
                return item.target.map { $0.digest == digest || $0.size < FileCopy.bytesMin } ?? false
            }
        let (history, envelopes) = isAllKnown ? ([:], []) : try knownFiles(release)
        let memory = CheckoutMemory(node)
        var olderCount = 0
        for stat in listing
        where stat.kind == .file && !wanted.contains(stat.path)
            && (history[stat.path] != nil || stat.path == Bag.releaseName && !envelopes.isEmpty)
        {
            doubtful.append((stat.path, nil, stat))
        }

        var modified: [String] = []
        var remove: [String] = []
        // What this node wrote and nobody touched since is not read. Whoever forces wants it looked at.
        var unread: [(path: String, target: Target?, stat: FileStat)] = []
        for item in doubtful {
            guard !force, let digest = written.digest(of: item.stat) else {
                unread.append(item)
                continue
            }
            guard let target = item.target else {
                remove.append(item.path)
                continue
            }
            if digest == target.digest { continue }
            // A large one is opened all the same: what did not change is taken from it.
            if target.size >= FileCopy.bytesMin { unread.append(item) } else { write.append(target) }
        }
        for start in stride(from: 0, to: unread.count, by: CheckoutRun.batchFiles) {
            let batch = unread[start..<min(unread.count, start + CheckoutRun.batchFiles)]
            let descriptors = try sink.open(batch.map { prefix + $0.path })
            let files = try zip(batch, descriptors).map { try FileReader($1, path: $0.path) }
            for (item, file) in zip(batch, files) {
                let digest = try memory.digest(of: file, path: item.path)
                let known = history[item.path]?[digest]
                if var target = item.target {
                    if digest == target.digest { continue }
                    if let known, target.size >= FileCopy.bytesMin, olderCount < CheckoutRun.olderMax {
                        olderCount += 1
                        target.older = FileCopy.Older(
                            file: file, content: try ReleaseContent(node, known.release) { [sink] in sink.isCancelled },
                            number: known.number)
                    }
                    if force || known != nil || target.path == Bag.releaseName && envelopes.contains(digest) {
                        write.append(target)
                    } else {
                        modified.append(item.path)
                    }
                } else if known != nil || item.path == Bag.releaseName && envelopes.contains(digest) {
                    remove.append(item.path)
                }
            }
        }
        if !modified.isEmpty {
            let names = modified.prefix(5).map { (prefix + $0).printable() }.joined(separator: ", ")
            throw Problem(
                .checkoutModified,
                "\(Words.count(modified.count, "file")) changed here since the checkout: \(names)\(modified.count > 5 ? ", …" : "")",
                try: "check out into another directory, or overwrite with --force")
        }
        return (write.sorted { $0.path < $1.path }, remove)
    }

    /// Every file of every release of the package that we hold: path as it would be checked out → digest → where it is; and the digests of the
    /// releases' documents as they are written.
    private func knownFiles(_ release: ReleaseRow) throws -> (
        files: [String: [Digest: (release: ReleaseRow, number: Int)]], envelopes: Set<Digest>
    ) {
        var known: [String: [Digest: (release: ReleaseRow, number: Int)]] = [:]
        var envelopes: Set<Digest> = []
        let releases = try node.metadata.read { try $0.releases(of: release.release.package) }
        // A release that is only shown to us has no files here.
        for row in releases where row.hasContent {
            for (number, file) in try node.table(of: row).files.enumerated() {
                if payloadOnly {
                    guard file.path.hasPrefix(Bag.payloadPrefix) else { continue }
                    known[String(file.path.dropFirst(Bag.payloadPrefix.count)), default: [:]][file.digest] = (row, number)
                } else {
                    known[file.path, default: [:]][file.digest] = (row, number)
                }
            }
            if !payloadOnly {
                envelopes.insert(SHA256.hash(try Envelope(binary: try node.content.body(at: row.document)).json()))
            }
        }
        return (known, envelopes)
    }

    /// Large files as they stand there now are known again without being read.
    private func remember(_ batch: [Target], _ prefix: String) throws {
        let large = batch.filter { $0.size >= FileCopy.bytesMin }
        guard !large.isEmpty else { return }
        // A change right after the rename would have the same time otherwise.
        usleep(CheckoutMemory.racyMicroseconds)
        let files = try zip(large, sink.open(large.map { prefix + $0.path })).map { try FileReader($1, path: $0.path) }
        CheckoutMemory(node).remember(Array(zip(files, large.map(\.digest))))
    }

    // MARK: Writing

    private func write(_ target: Target, to descriptor: CInt, _ content: ReleaseContent) throws {
        switch target.source {
        case .bytes(let bytes):
            try bytes.withUnsafeBytes { try put($0, descriptor, target.path) }
        case .file(let number) where target.size >= FileCopy.bytesMin:
            let copy = FileCopy(content, number, to: descriptor, path: target.path)
            // Where the older file was changed under our hands what came from it is not what was signed.
            if let older = target.older, try copy.run(from: older) { return }
            guard try copy.run(from: nil) else {
                throw node.damaged(content.release, block: nil, "\(target.path.printable()) is not what was signed")
            }
        case .file(let number):
            // Read to its end, it is the file that was signed, or this throws.
            try content.read(file: number) {
                try put($0, descriptor, target.path)
                return true
            }
        }
    }

    private func put(_ bytes: UnsafeRawBufferPointer, _ descriptor: CInt, _ path: String) throws {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            if count >= 0 {
                done += count
            } else if errno == ENOSPC || errno == EDQUOT {
                throw Problem(
                    .diskFull,
                    "no room for \(path.printable()): \(bytes.count - done) bytes or more are missing; nothing of it is left behind",
                    try: "df -h .")
            } else if errno != EINTR {
                throw Problem(.inputOutput, "cannot write \(path.printable()): \(String(cString: strerror(errno)))")
            }
        }
    }
}
