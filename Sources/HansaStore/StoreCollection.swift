// Collection: bytes that no release needs leave the disk.
//
//   give up    releases of withdrawn packages keep their documents, and lose table and pages            one logged transaction
//              transfers of which nothing more comes                                                    a transaction
//   mark       every chunk that an index of a release, or a transfer, names                             a snapshot
//   condemn    the others; for a while nothing new counts on them (`SQLiteReading.heldLocations`)        in memory
//   sweep      their rows after a while, but for those that something came to need or that came again   a transaction for each batch
//   rewrite    segments of which little is needed, or which hold what was swept: what rows name is       fsync, then one transaction
//              copied to the open segments, then rows name the copies
//   delete     the emptied files, after a grace for whoever read a place before
//
// SYNC.md §6: a segment is open → sealed → compacting → retired → deleted. What row names a record is asked in the transaction that moves it, and
// from its commit on no row can name the old place (`MovedPlaces`): nothing that is reachable is ever deleted. A crash at any point leaves
// copies that no row names, or a segment that no row names: the next pass takes both.
internal import HansaContent
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import Synchronization

public final class StoreCollection: Sendable {
    public struct Settings: Sendable {
        /// A sealed segment of whose bytes a smaller share is needed is rewritten. At 0.6 a store takes at most 1.7 times what is needed in it, and
        /// a byte is copied at most 1.5 times for each byte that it frees.
        public var liveShareMin = 0.6
        /// How long chunks stay condemned, and emptied files stay; and how long after its sealing a segment of this process may hold records that
        /// get their rows yet. Longer than anything but a publish is under way unrecorded (5 s), and a publish is asked.
        public var graceMilliseconds: Int64 = 3_600_000
        /// Of chunks in one transaction.
        public var sweptAtOnce = 10_000
        /// Condemned in one pass; the rest in the next.
        public var condemnedMax = 250_000
        /// Segments that are moved in one transaction, for which all rows are read once.
        public var segmentsAtOnce = 4

        public init() {}
    }

    /// What a pass did, or, of a dry run, would do.
    public struct Report: Sendable, Equatable {
        /// Withdrawn ones that lost their content.
        public var releasesGivenUp = 0
        /// Of which nothing more comes: their agreement is over, or their partner removed, or their release withdrawn.
        public var transfersGivenUp = 0
        /// Rows of chunks that went.
        public var chunksSwept = 0
        /// Chunks that no release needs and that go in a later pass.
        public var chunksWaiting = 0
        public var segmentsRewritten = 0
        public var bytesCopied: UInt64 = 0
        /// Of emptied segments, less what was copied out of them: so much comes back, at the latest after the grace.
        public var bytesFreed: UInt64 = 0
        /// Of files that went in this pass.
        public var bytesDeleted: UInt64 = 0
        /// In segments that were left alone, for they are open or young.
        public var bytesWaiting: UInt64 = 0
        /// Records that are needed and damaged: they, and their segments, stay.
        public var damaged: [SegmentStore.Damage] = []

        public var hasChanged: Bool {
            releasesGivenUp + transfersGivenUp + chunksSwept + segmentsRewritten > 0 || bytesDeleted > 0
        }
    }

    /// A segment as a survey found it.
    private struct Share {
        let segment: UInt32
        let size: UInt64
        let live: UInt64
        var gain: UInt64 { size - min(live, size) }
    }

    private struct State {
        /// Since when, in milliseconds since 1970.
        var condemned: [ChunkKey: Int64] = [:]
        /// Segments of this process, since they were first seen sealed.
        var sealed: [UInt32: Int64] = [:]
        /// Emptied, and their files stand.
        var retired: [UInt32: (since: Int64, size: UInt64)] = [:]
        /// The last pass left segments alone that were not ripe.
        var isAwaiting = false
        /// They hold something needed that cannot be read: not tried again by this process.
        var stuck: Set<UInt32> = []
    }

    private let metadata: SQLiteStore
    private let content: SegmentStore
    private let settings: Settings
    private let state = Mutex(State())

    /// One for each pair of stores, made before anybody else writes to them.
    public init(_ metadata: SQLiteStore, _ content: SegmentStore, settings: Settings = Settings()) {
        self.metadata = metadata
        self.content = content
        self.settings = settings
        metadata.shared.moved = content.moved
        metadata.shared.condemn([])
    }

    /// Whether there is withdrawn content, or something waits for its time. Cheap, for a look now and then.
    public func hasWork() throws -> Bool {
        if state.withLock({ !$0.condemned.isEmpty || !$0.retired.isEmpty || $0.isAwaiting }) { return true }
        let stuck = state.withLock { $0.stuck }
        return try metadata.withdrawnWithContent() > 0 || !metadata.segmentsToRewrite().isSubset(of: stuck)
    }

    // MARK: A pass

    /// One pass over everything. One at a time, and beside no check, rebuild or statistics of the same stores.
    ///
    /// - Parameters:
    ///   - isAlone: nobody else uses the stores and nobody has since they were opened: nothing waits for a grace.
    ///   - unlessPublishing: runs its argument while no publish is under way, which may count on any chunk of ours; false when one is.
    ///   - proceed: called with the bytes that were read, copied or deleted since the last call; it may wait, and ends the pass by throwing.
    public func run(
        at now: Timestamp, isAlone: Bool, unlessPublishing: (() throws -> Void) throws -> Bool,
        proceed: (UInt64) throws -> Void
    ) throws -> Report {
        var report = Report()
        try delete(at: now, isAlone, &report, proceed)
        report.releasesGivenUp = try metadata.giveUpWithdrawn(at: now)
        report.transfersGivenUp = try metadata.giveUpTransfers(at: now) { place in
            (try? Envelope(binary: content.body(at: place))).flatMap { try? Release(payload: $0.payload) }
        }
        try metadata.beginTracing()
        defer { metadata.endTracing() }
        let reachable = try ReachableChunks(metadata, content) { try proceed(0) }
        try proceed(0)
        try metadata.forgetLost(unless: reachable.contains)
        let due = try condemn(reachable, at: now, isAlone, &report)
        for start in stride(from: 0, to: due.count, by: settings.sweptAtOnce) {
            let batch = Array(due[start..<min(start + settings.sweptAtOnce, due.count)])
            let isDone = try unlessPublishing {
                report.chunksSwept += try metadata.sweep(batch) { try IndexPage.decode(try content.body(at: $0)) }
            }
            guard isDone else {
                report.chunksWaiting += due.count - start
                break
            }
            try proceed(0)
        }
        state.withLock { state in for chunk in due { state.condemned[chunk.key] = nil } }
        publishCondemned()
        try rewrite(reachable, at: now, isAlone, &report, proceed)
        try delete(at: now, isAlone, &report, proceed)
        return report
    }

    /// What a pass would give up and free if nothing had to wait.
    public func plan(proceed: () throws -> Void) throws -> Report {
        var report = Report()
        report.releasesGivenUp = try metadata.withdrawnWithContent()
        let reachable = try ReachableChunks(metadata, content, progress: proceed)
        var loose = 0
        let rewrite = try metadata.segmentsToRewrite()
        let survey = try survey(reachable) { _ in loose += 1 }
        report.chunksSwept = loose
        for share in survey.shares where isChosen(share, rewrite.union(survey.loose)) {
            report.segmentsRewritten += 1
            report.bytesCopied += share.live
            report.bytesFreed += share.gain
        }
        state.withLock { for retired in $0.retired.values { report.bytesFreed += retired.size } }
        return report
    }

    // MARK: Chunks

    private func condemn(_ reachable: ReachableChunks, at now: Timestamp, _ isAlone: Bool, _ report: inout Report) throws
        -> [LooseChunk]
    {
        // What came again waits anew.
        let revived = metadata.shared.takeRevived()
        let before = state.withLock { $0.condemned }.filter { !revived.contains($0.key) }
        var condemned: [ChunkKey: Int64] = [:]
        var due: [LooseChunk] = []
        try metadata.eachChunk { chunk, _ in
            guard condemned.count < settings.condemnedMax, !reachable.contains(chunk) else { return }
            let since = before[chunk.key] ?? now.milliseconds
            condemned[chunk.key] = since
            // A clock that was set back makes it wait anew.
            if isAlone || now.milliseconds - since >= settings.graceMilliseconds {
                due.append(chunk)
            } else {
                report.chunksWaiting += 1
            }
        }
        state.withLock { $0.condemned = condemned }
        publishCondemned()
        return due
    }

    private func publishCondemned() { metadata.shared.condemn(Set(state.withLock { $0.condemned.keys })) }

    // MARK: Segments

    /// How much of each sealed segment is needed, least first.
    private func survey(_ reachable: ReachableChunks?, loose: (LooseChunk) throws -> Void) throws -> (
        shares: [Share], loose: Set<UInt32>
    ) {
        var live: [UInt32: UInt64] = [:]
        var looseSegments: Set<UInt32> = []
        var blocks: [UInt64: (stored: UInt32, raw: UInt32, loose: UInt32)] = [:]
        try metadata.eachChunk { chunk, place in
            let key = SegmentMoves.key(place.block.segment, place.block.offset)
            blocks[key, default: (place.block.length, 0, 0)].raw += place.length
            guard let reachable, !reachable.contains(chunk) else { return }
            blocks[key]?.loose += place.length
            looseSegments.insert(place.block.segment)
            try loose(chunk)
        }
        for (key, block) in blocks {
            live[UInt32(key >> 32), default: 0] +=
                UInt64(block.stored) * UInt64(block.raw - block.loose) / UInt64(max(1, block.raw))
        }
        blocks = [:]
        for named in try metadata.namedPlaces() { live[named.place.segment, default: 0] += UInt64(named.place.length) }
        for place in try metadata.policyArchivePlaces() { live[place.segment, default: 0] += UInt64(place.length) }
        for place in try metadata.withdrawnPlaces() {
            looseSegments.insert(place.segment)
            // One that was withdrawn since the line above was not counted there.
            live[place.segment] = live[place.segment].map { $0 - min($0, UInt64(place.length)) }
        }
        var shares: [Share] = []
        for segment in try content.segments() {
            // A footer's bytes are nobody's: many small chunks have a large one, and would look half empty for ever.
            shares.append(Share(segment: segment, size: try content.recordBytes(of: segment), live: live[segment] ?? 0))
        }
        return (shares.sorted { ($0.live, $0.segment) < ($1.live, $1.segment) }, looseSegments)
    }

    private func isChosen(_ share: Share, _ rewrite: Set<UInt32>) -> Bool {
        if rewrite.contains(share.segment) { return true }
        return Double(share.live) < settings.liveShareMin * Double(share.size)
    }

    private func rewrite(
        _ reachable: ReachableChunks, at now: Timestamp, _ isAlone: Bool, _ report: inout Report,
        _ proceed: (UInt64) throws -> Void
    ) throws {
        try metadata.forgetSegmentsToRewrite(notAmong: Set(content.segments()))
        let given = try metadata.segmentsToRewrite()
        // What was given up lies in a segment that is still written: another takes its place.
        for segment in given.sorted() { try content.sealIfOpen(segment) }
        // After a crash segments wait for their footers.
        try content.sync()
        let stuck = state.withLock { $0.stuck }
        let shares = try survey(nil) { _ in }.shares.filter { isChosen($0, given) && !stuck.contains($0.segment) }
        // Little is needed of an open one after a publish that broke off, and it may stay open for months.
        for share in shares { try content.sealIfOpen(share.segment) }
        try content.sync()
        var chosen: [Share] = []
        for share in shares {
            if try isRipe(share.segment, at: now, isAlone) { chosen.append(share) } else { report.bytesWaiting += share.gain }
        }
        for start in stride(from: 0, to: chosen.count, by: settings.segmentsAtOnce) {
            let batch = Array(chosen[start..<min(start + settings.segmentsAtOnce, chosen.count)])
            try rewrite(batch, reachable, at: now, &report, proceed)
        }
        state.withLock { $0.isAwaiting = report.bytesWaiting > 0 }
    }

    /// Sealed, and without a record that gets its row yet.
    private func isRipe(_ segment: UInt32, at now: Timestamp, _ isAlone: Bool) throws -> Bool {
        guard try content.footer(of: segment) != nil || !content.isWritten(segment) else { return false }
        if isAlone || segment < content.firstOwn { return true }
        return state.withLock { state in
            let since = state.sealed[segment] ?? now.milliseconds
            state.sealed[segment] = since
            return now.milliseconds - since >= settings.graceMilliseconds
        }
    }

    private func rewrite(
        _ batch: [Share], _ reachable: ReachableChunks, at now: Timestamp, _ report: inout Report,
        _ proceed: (UInt64) throws -> Void
    ) throws {
        let segments = Set(batch.map(\.segment))
        var copy = SegmentCopy(
            segments: segments, chunks: try metadata.chunkPlaces(inAnyOf: segments),
            named: Set(
                (try metadata.namedPlaces().map(\.place) + metadata.policyArchivePlaces()).lazy.filter {
                    segments.contains($0.segment)
                }.map { SegmentMoves.key($0.segment, $0.offset) }))
        for share in batch.sorted(by: { $0.segment < $1.segment }) {
            try copy.take(share.segment, metadata, content, reachable.pages, proceed)
        }
        report.damaged += copy.damaged
        // Bytes before rows. A crash before the transaction leaves copies that nobody names.
        if copy.bytes > 0 { try content.sync() }
        let retired = try metadata.move(copy.moves)
        report.bytesCopied += copy.bytes
        for share in batch where retired.contains(share.segment) {
            report.segmentsRewritten += 1
            report.bytesFreed += share.size
            state.withLock { $0.retired[share.segment] = (now.milliseconds, share.size) }
        }
        report.bytesFreed -= min(report.bytesFreed, copy.bytes)
        state.withLock { $0.stuck.formUnion(segments.subtracting(retired)) }
    }

    private func delete(at now: Timestamp, _ isAlone: Bool, _ report: inout Report, _ proceed: (UInt64) throws -> Void) throws {
        let due = state.withLock { state in
            state.retired.filter { isAlone || now.milliseconds - $0.value.since >= settings.graceMilliseconds }
        }
        for (segment, entry) in due.sorted(by: { $0.key < $1.key }) {
            // If a crash takes the removal back, the next process finds a segment that no row names, and empties it again.
            try content.remove(segment)
            state.withLock { $0.retired[segment] = nil }
            report.bytesDeleted += entry.size
            try proceed(entry.size)
        }
    }
}
