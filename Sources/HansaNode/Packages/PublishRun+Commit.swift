// What a publish makes durable: bytes first, then the rows that point to them, with their log entries.
//
// A batch is committed on a thread of its own while the next is prepared. At most one is under way: who begins another waits for it. Until then
// its names are taken and its chunks are known (`ContentWriter.takeBlocks`), as if they had rows; a batch therefore never commits before
// the one that it may count on, and if that one fails it goes back in front of it.
internal import Dispatch
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import Synchronization

extension PublishRun {
    /// A signed release whose bytes are appended and not yet durable.
    struct Prepared: Sendable {
        let digest: Digest
        let release: Release
        let row: PackageRow
        let document: ContentLocation
        let table: [ContentLocation]
        let pages: [ContentLocation]
        let snapshot: SnapshotRow
        /// For `TableMemory`; none where no table is long.
        let tables: [UInt8]?
        /// The releases of all heads, of a merge in a package of several writers.
        let merges: Set<Digest>?
        /// The directory's in the request.
        let number: Int
    }

    /// A release whose index was made again, and lies there.
    struct Mended: Sendable {
        let digest: Digest
        let table: [ContentLocation]
        let pages: [ContentLocation]
    }

    /// What one transaction will hold.
    struct Batch: Sendable {
        var releases: [Prepared] = []
        /// Directories that say the same as their head: with these rows they are known again without being read.
        var remembered: [SnapshotRow] = []
        var mended: [Mended] = []
        /// Also of packages that failed half way: with rows their chunks are found the next time, instead of being stored again.
        var blocks: [ContentWriter.Written] = []
        /// Where the releases come from: the same name twice is two directories for one package, and refused.
        var names: [PackageID: String] = [:]

        var isEmpty: Bool { releases.isEmpty && remembered.isEmpty && mended.isEmpty && blocks.isEmpty }

        mutating func putBack(_ earlier: Batch) {
            releases = earlier.releases + releases
            remembered = earlier.remembered + remembered
            mended = earlier.mended + mended
            names.merge(earlier.names) { _, old in old }
        }
    }

    /// What was prepared and could not follow any more.
    struct Overtaken: Sendable {
        let item: Prepared
        let problem: Problem
    }

    /// A batch on its way to the disk.
    final class CommitUnderWay: Sendable {
        let batch: Batch
        private let outcome = Mutex<Result<[Overtaken], Problem>>(.success([]))
        private let done = DispatchSemaphore(value: 0)
        private static let queue = DispatchQueue(label: "hansa.publish.commit")

        init(_ batch: Batch, _ node: Node, _ actor: String) {
            self.batch = batch
            CommitUnderWay.queue.async {
                let result = Result { () throws(Problem) in try node.commit(batch, by: actor) }
                self.outcome.withLock { $0 = result }
                self.done.signal()
            }
        }

        /// Waits; once. Those that were overtaken.
        func wait() -> Result<[Overtaken], Problem> {
            done.wait()
            return outcome.withLock { $0 }
        }
    }

    /// Begins to commit everything prepared, after the batch before is durable.
    func beginCommit() throws(Problem) {
        try finishCommit()
        batch.blocks = try node.guarded { try writer.takeBlocks() }
        guard !batch.isEmpty else { return }
        underWay = CommitUnderWay(batch, node, actor)
        batch = Batch()
    }

    /// Waits for the batch that is being committed, if one is.
    func finishCommit() throws(Problem) {
        guard let job = underWay.take() else { return }
        switch job.wait() {
        case .failure(let problem):
            // Nothing of it was committed. It goes first in whatever is tried next.
            writer.putBack(job.batch.blocks)
            batch.putBack(job.batch)
            throw problem
        case .success(let overtaken):
            writer.noteRecorded()
            published += job.batch.releases.count - overtaken.count
            for one in overtaken {
                failed(number: one.item.number, job.batch.names[one.item.release.package] ?? "", one.problem)
            }
        }
    }

    /// Everything prepared is durable when it returns.
    func commit() throws(Problem) {
        try beginCommit()
        try finishCommit()
    }

    /// The rows of blocks alone, in the middle of a large package.
    func recordBlocks() throws {
        try finishCommit()
        // First: what is still being compressed is appended by this.
        let blocks = try writer.takeBlocks()
        try node.content.sync()
        try node.metadata.write(at: node.clock.now) { tx in
            for block in blocks { try tx.insertChunks(of: self.node.city, block: block.location, block.chunks) }
        }
        writer.noteRecorded()
    }
}

extension Node {
    /// One transaction after the fsync. Returns the releases that were overtaken.
    fileprivate func commit(_ batch: PublishRun.Batch, by actor: String) throws(Problem) -> [PublishRun.Overtaken] {
        try guarded { try content.sync() }
        var overtaken: [PublishRun.Overtaken] = []
        try change { tx in
            var changes = ExchangeChanges()
            for block in batch.blocks { try tx.insertChunks(of: self.city, block: block.location, block.chunks) }
            for row in batch.remembered { try tx.put(row) }
            for item in batch.mended {
                guard let row = try tx.release(item.digest) else { continue }
                try tx.place(item.digest, document: row.document, table: item.table, pages: item.pages)
            }
            overtaken = []
            guard !batch.releases.isEmpty else { return ((), changes) }
            let update = try MembershipUpdate(self.context, tx)
            for item in batch.releases {
                if let problem = try self.commit(item, by: actor, tx, update) {
                    overtaken.append(PublishRun.Overtaken(item: item, problem: problem))
                }
            }
            changes.views = try update.finish()
            return ((), changes)
        }
        // Takes off the list what is whole now.
        try guarded { if try !metadata.read({ try $0.damages().isEmpty }) { try context.lookAgain(at: clock.now, atOnce: true) } }
        return overtaken
    }

    /// A problem for one that was overtaken: a withdrawal does not wait for a long publish, and what was prepared upon an older state of the
    /// package is void.
    private func commit(
        _ item: PublishRun.Prepared, by actor: String, _ tx: any MetadataWriting, _ update: MembershipUpdate
    ) throws -> Problem? {
        let (release, digest) = (item.release, item.digest)
        // So is what was signed with a key that was named compromised meanwhile.
        guard try tx.ownChain(of: release.package, by: city).last == release.previous,
            try !tx.isRevoked(packageKeyOf: release.writer, release.keyring)
        else {
            return Problem(
                .fileChanged, "\(release.package) was changed by another command meanwhile; nothing of it was published",
                try: "hansa package history \(release.package), then run it again")
        }
        // A head that came since the merge was made would be followed by a clock that knows its writer, and its content would be gone.
        if let merges = item.merges, let heads = try headReleases(of: release.package, tx), heads != merges {
            return outdatedMerge(of: release.package, try heads.subtracting(merges).sorted().first.flatMap { try tx.release($0) })
        }
        let summary = ReleaseSummary(release)
        // The package first: its row is made or found once for all that follows.
        if release.package.city == city {
            try tx.put(item.row)
        } else {
            try tx.setOwnChain(OwnChain(lastSeq: release.seq, last: digest), of: release.package)
        }
        try tx.insert(
            ReleaseRow(
                digest: digest, release: summary, document: item.document, table: item.table, pages: item.pages,
                committed: tx.now))
        if release.clock.count > 1 { try context.updateHead(of: release.package, tx) }
        try tx.put(item.snapshot)
        if let tables = item.tables { try tx.setValue(TableMemory.name(release.package), tables) }
        try tx.log(
            LogDraft(
                .packagePublished, actor: actor, package: release.package, release: digest,
                details: [
                    "version": .string(release.version.description), "tlp": .string(release.tlp.rawValue),
                    "bytes": JSONValue(release.bytes),
                ]))
        try update.released(digest, summary)
        return nil
    }

    /// The releases of all heads; nil where the package has one writer.
    func headReleases(of package: PackageID, _ store: any MetadataReading) throws -> Set<Digest>? {
        guard try store.isCoMaintained(package, at: clock.now) else { return nil }
        return try context.heads(of: package, in: store, at: clock.now).headReleases
    }

    /// Why a merge is not signed: `newer` is a head that it was not made of.
    func outdatedMerge(of package: PackageID, _ newer: ReleaseRow?) -> Problem {
        let what =
            newer.map { "\($0.release.writer) published \(package) \($0.release.version) (\($0.digest.short))" }
            ?? "\(package) was merged or withdrawn"
        return Problem(
            .packageDiverged, "\(what) after this merge was made, which does not hold that: nothing was signed",
            try:
                "hansa conflict merge \(package) NEWDIR, carry over what you edited, then hansa conflict resolve \(package) --merge NEWDIR"
        )
    }
}
