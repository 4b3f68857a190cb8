// One `package checkout`: releases from the store into the client's files.
//
// Nothing the user changed is overwritten without --force: a file on disk is replaced only when its bytes are those of some release of the
// package that we know. What is right already is left alone. Each file is hashed as it is written and renamed into place only when it is the one
// that was signed.
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
    /// Older versions that are kept open, to take from what did not change.
    private static let olderMax = 64

    private let node: Node
    private let sink: any CheckoutSink
    private let payloadOnly: Bool
    private let force: Bool
    private let dryRun: Bool
    private let recent = RecentBlocks()

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

    init(_ node: Node, sink: any CheckoutSink, payloadOnly: Bool, force: Bool, dryRun: Bool) {
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
        let plan = try compare(targets, release, try sink.listing(of: directory), prefix)
        var outcome = Outcome(bytes: release.release.bytes, files: release.release.files)
        outcome.written = plan.write.count
        outcome.removed = plan.remove.count
        guard !dryRun else { return outcome }
        var done: UInt64 = 0
        for start in stride(from: 0, to: plan.write.count, by: CheckoutRun.batchFiles) {
            let batch = Array(plan.write[start..<min(plan.write.count, start + CheckoutRun.batchFiles)])
            let paths = batch.map { prefix + $0.path }
            let descriptors = try sink.create(paths)
            defer { for descriptor in descriptors { close(descriptor) } }
            guard descriptors.count == batch.count else {
                throw Problem(.adminProtocol, "the client made \(descriptors.count) of \(batch.count) files")
            }
            for (target, descriptor) in zip(batch, descriptors) {
                if sink.isCancelled {
                    throw Problem(
                        .internalFault, "interrupted; files written so far are whole, and running it again goes on",
                        exit: .interrupted)
                }
                try write(target, to: descriptor, content)
                done += target.size
            }
            try sink.commit(paths)
            try remember(batch, prefix)
            sink.report(
                Progress(
                    item: release.release.package.description, bytesDone: done, bytesTotal: release.release.bytes,
                    itemsDone: start + batch.count, itemsTotal: plan.write.count))
        }
        if !plan.remove.isEmpty { try sink.remove(plan.remove.map { prefix + $0 }) }
        return outcome
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
        let (history, envelopes) = try knownFiles(release)
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
        for start in stride(from: 0, to: doubtful.count, by: CheckoutRun.batchFiles) {
            let batch = doubtful[start..<min(doubtful.count, start + CheckoutRun.batchFiles)]
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
                "\(modified.count) files were changed since they were checked out: \(names)\(modified.count > 5 ? ", …" : "")",
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
