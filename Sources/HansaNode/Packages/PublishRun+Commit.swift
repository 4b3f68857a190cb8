// What a publish makes durable: bytes first, then the rows that point to them, with their log entries.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync

extension PublishRun {
    /// A signed release whose bytes are appended and not yet durable.
    struct Prepared {
        let signed: PackageDraft.SignedRelease
        let document: ContentLocation
        let table: [ContentLocation]
        let pages: [ContentLocation]
        let snapshot: SnapshotRow
        /// The directory's in the request.
        let number: Int
    }

    /// Everything prepared, in one transaction after the fsync.
    func commit() throws(Problem) {
        // Blocks may be of packages that failed half way: with rows their chunks are found the next time, instead of being stored again.
        guard !prepared.isEmpty || !remembered.isEmpty || writer.hasBlocks else { return }
        let (batch, known) = (prepared, remembered)
        try node.guarded { try node.content.sync() }
        let blocks = writer.takeBlocks()
        var overtaken: [Prepared] = []
        try node.change { tx in
            var changes = ExchangeChanges()
            for block in blocks { try tx.insertChunks(of: self.node.city, block: block.location, block.chunks) }
            for row in known { try tx.put(row) }
            overtaken = []
            guard !batch.isEmpty else { return ((), changes) }
            let update = try MembershipUpdate(self.node.context, tx)
            for item in batch where try !self.commit(item, tx, update) { overtaken.append(item) }
            changes.views = try update.finish()
            return ((), changes)
        }
        published += batch.count - overtaken.count
        for item in overtaken {
            let package = item.signed.release.package
            failed(
                number: item.number, names[package] ?? "",
                Problem(
                    .fileChanged, "\(package) was changed by another command meanwhile; nothing of it was published",
                    try: "hansa package history \(package), then run it again"))
        }
        prepared = []
        remembered = []
        names = [:]
    }

    /// False for one that was overtaken: a withdrawal does not wait for a long publish, and what was prepared upon an older state of the
    /// package is void.
    private func commit(_ item: Prepared, _ tx: any MetadataWriting, _ update: MembershipUpdate) throws -> Bool {
        let (release, digest) = (item.signed.release, item.signed.digest)
        guard try tx.package(release.package)?.last == release.previous else { return false }
        let summary = ReleaseSummary(release)
        try tx.insert(
            ReleaseRow(
                digest: digest, release: summary, document: item.document, table: item.table, pages: item.pages,
                committed: tx.now))
        try tx.put(item.signed.row)
        try tx.put(item.snapshot)
        try tx.log(
            LogDraft(
                .packagePublished, actor: node.actor(caller), package: release.package, release: digest,
                details: [
                    "version": .string(release.version.description), "tlp": .string(release.tlp.rawValue),
                    "bytes": JSONValue(release.bytes),
                ]))
        try update.released(digest, summary)
        return true
    }

    /// The rows of blocks alone, in the middle of a large package.
    func recordBlocks() throws {
        try node.content.sync()
        let blocks = writer.takeBlocks()
        try node.metadata.write(at: node.clock.now) { tx in
            for block in blocks { try tx.insertChunks(of: self.node.city, block: block.location, block.chunks) }
        }
    }
}
