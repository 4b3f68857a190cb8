// Verifies a whole log: everything is computed again from the entries, and every file compared with that. Findings are values;
// nothing is thrown, as a file that cannot be read is a finding too. Memory: one bundle and the right edge, whatever the size.
internal import HansaCore

/// One verification of one log.
///
/// The log must not grow meanwhile: the caller holds the sequencer, or verifies a copy. What is checked: the checkpoint's
/// signature and origin · each bundle's entries against the tiles of level 0, these against the levels above, all against the
/// root · no file missing, unknown or beyond the log; tiles left over from earlier checkpoints must be prefixes of the present
/// ones · entries are JSON objects of their own index · entries in the table continue the log · earlier checkpoints that the
/// caller knows.
public struct LogVerifier {
    private let storage: any TileStorage
    private let key: VerifierKey
    private let former: [VerifierKey]
    private let witnesses: [VerifierKey]

    private var report = LogReport()
    private var builder = TileBuilder()
    private var leftovers: [TilePath] = []
    private var known: [Checkpoint] = []
    private var order = EntryOrder()

    /// A log far larger than ours has fewer files that do not belong there.
    private static let leftoversMax = 100_000

    private init(_ storage: any TileStorage, _ key: VerifierKey, _ former: [VerifierKey], _ witnesses: [VerifierKey]) {
        self.storage = storage
        self.key = key
        self.former = former
        self.witnesses = witnesses
    }

    /// Verifies the log that lies in `storage`. `key` and `former` are its log keys, `pending` what the database's table holds
    /// (any overlap with the log is compared), `known` earlier checkpoints of this log whose signatures the caller has verified.
    public static func verify(
        _ storage: any TileStorage, key: VerifierKey, former: [VerifierKey] = [], witnesses: [VerifierKey] = [],
        pending: some Sequence<PendingEntry> = [], known: [Checkpoint] = []
    ) -> LogReport {
        var verifier = LogVerifier(storage, key, former, witnesses)
        verifier.known = known.sorted { $0.size < $1.size }
        verifier.run(pending)
        return verifier.report
    }

    private mutating func run(_ pending: some Sequence<PendingEntry>) {
        guard readCheckpoint() else { return }
        walkFiles()
        compareKnown()
        for number in 0..<((report.size.value + 255) / 256) {
            // Without the entries and without their hashes nothing above or after them can be computed.
            guard verifyBundle(number) else { return }
        }
        for (tile, bytes) in builder.partialTiles() { compare(tile, bytes) }
        if builder.root != report.root { report.add(.rootDiffers(computed: builder.root)) }
        for checkpoint in known { report.add(.shorterThanKnown(known: checkpoint.size)) }
        checkSuperseded()
        verifyPending(pending)
        for tile in leftovers { report.add(.unknownFile(path: tile.text)) }
        report.firstTime = order.first
        report.lastTime = order.last
    }

    // MARK: Checkpoint

    /// False when there is no size to go by.
    private mutating func readCheckpoint() -> Bool {
        guard let bytes = read(TileFile.checkpointPath) else {
            report.add(.checkpointMissing)
            return false
        }
        do {
            let signed = try open(bytes)
            for line in signed.note.signatures where !isKnown(line) { report.add(.unknownSignature(name: line.name)) }
            take(signed.checkpoint)
            return true
        } catch {
            report.add(.checkpointInvalid("\(error)"))
        }
        // What it claims still tells which files to look at.
        guard let note = try? SignedNote(bytes), let checkpoint = try? Checkpoint(text: note.text) else { return false }
        take(checkpoint)
        return true
    }

    private func open(_ bytes: [UInt8]) throws(NoteFault) -> SignedCheckpoint {
        for key in former {
            if let signed = try? SignedCheckpoint(bytes, log: key, witnesses: witnesses) { return signed }
        }
        return try SignedCheckpoint(bytes, log: key, witnesses: witnesses)
    }

    private func isKnown(_ line: NoteSignature) -> Bool {
        ([key] + former + witnesses).contains { $0.name == line.name && $0.keyID == line.keyID }
    }

    private mutating func take(_ checkpoint: Checkpoint) {
        report.origin = checkpoint.origin
        report.size = checkpoint.size
        report.root = checkpoint.root
    }

    /// Compares the tree, as it has grown so far, with the checkpoints of its size that the caller knows, and strikes them off.
    private mutating func compareKnown() {
        while let checkpoint = known.first, checkpoint.size == builder.size {
            if checkpoint.root != builder.root || checkpoint.origin != key.name {
                report.add(.historyDiffers(at: checkpoint.size))
            }
            known.removeFirst()
        }
    }

    // MARK: Tiles

    /// Reads one bundle and grows the tree by it; false when neither the entries nor their hashes can be had.
    private mutating func verifyBundle(_ number: UInt64) -> Bool {
        let width = TileLayout.width(of: number, in: report.size, level: 0)
        let tile = TilePath(.entries, index: number, width: width)
        var full: [(TilePath, [UInt8])] = []
        if let bytes = expect(tile) {
            do {
                for entry in try EntryBundle.decode(bytes, count: width) {
                    order.check(entry, at: builder.size.nextIndex, &report)
                    builder.append(entry, leaf: MerkleTree.leafHash(entry)) { full.append(($0, $1)) }
                    compareKnown()
                }
                for (tile, bytes) in full where tile.kind != .entries { compare(tile, bytes) }
                return true
            } catch {
                report.add(.fileMalformed(path: tile.text, why: "\(error)"))
            }
        }
        // The hashes of the lost entries let the rest be checked.
        guard builder.size.value == number * 256,
            let hashes = read(TilePath(.hashes(level: 0), index: number, width: width).text),
            hashes.count == width * Digest.byteCount
        else { return false }
        for item in 0..<width {
            builder.append(leaf: HashTile.hash(hashes, at: item)) { full.append(($0, $1)) }
            compareKnown()
        }
        for (tile, bytes) in full { compare(tile, bytes) }
        return true
    }

    /// Compares a hash tile with the one on disk.
    private mutating func compare(_ tile: TilePath, _ computed: [UInt8]) {
        guard case .hashes(let level) = tile.kind, let bytes = expect(tile), bytes != computed else { return }
        guard bytes.count == computed.count, let item = HashTile.firstDifference(bytes, computed) else {
            return report.add(.fileMalformed(path: tile.text, why: "it has \(bytes.count) bytes instead of \(computed.count)"))
        }
        let entry = level == 0 ? LeafIndex(tile.index * 256 + UInt64(item)) : nil
        report.add(.tileDiffers(path: tile.text, item: item, entry: entry))
    }

    private mutating func expect(_ tile: TilePath) -> [UInt8]? {
        let bytes = read(tile.text)
        if bytes == nil { report.add(.fileMissing(path: tile.text)) }
        return bytes
    }

    private mutating func read(_ path: String) -> [UInt8]? {
        do { return try storage.read(path) } catch {
            report.add(.fileUnreadable(path: path, why: "\(error)"))
            return nil
        }
    }

    // MARK: Other files

    private mutating func walkFiles() {
        var unknown: [String] = []
        var leftovers: [TilePath] = []
        do {
            try storage.forEachPath { path in
                if path == TileFile.checkpointPath { return }
                guard let tile = TilePath(path), tile.completeAt != nil, leftovers.count < LogVerifier.leftoversMax else {
                    if unknown.count <= LogReport.findingsMax { unknown.append(path) }
                    return
                }
                if !TileLayout.contains(tile, in: report.size) { leftovers.append(tile) }
            }
        } catch {
            report.add(.fileUnreadable(path: "tile", why: "\(error)"))
        }
        for path in unknown.sorted() { report.add(.unknownFile(path: path)) }
        self.leftovers = leftovers.sorted { ($0.completeAt ?? .max, $0.text) < ($1.completeAt ?? .max, $1.text) }
    }

    /// Partial tiles of earlier checkpoints: each must be the beginning of the tile that took its place.
    private mutating func checkSuperseded() {
        let size = report.size
        let superseded = leftovers.prefix { ($0.completeAt ?? .max) <= size }
        leftovers.removeFirst(superseded.count)
        for tile in superseded {
            let width = TileLayout.width(of: tile.index, in: size, level: tile.kind.level)
            let present = TilePath(tile.kind, index: tile.index, width: width)
            // A missing or unreadable present tile was reported where it was needed.
            guard let bytes = expect(tile), let whole = read(present.text) else { continue }
            settle(tile, bytes, isRight: tile.isBeginning(bytes, of: whole))
        }
    }

    private mutating func settle(_ tile: TilePath, _ bytes: [UInt8], isRight: Bool) {
        if isRight { report.leftovers += 1 } else { report.add(.leftoverDiffers(path: tile.text)) }
    }

    // MARK: The table

    /// Goes on with the entries that are only in the table, and compares tiles that a cut-off growth left behind.
    private mutating func verifyPending(_ pending: some Sequence<PendingEntry>) {
        var reader = LogReader(storage: storage, size: report.size)
        for entry in pending {
            if report.size.contains(entry.index) {
                let leaf = try? reader.leafHash(at: entry.index)
                if leaf != MerkleTree.leafHash(entry.bytes) { report.add(.pendingDiffers(entry.index)) }
                continue
            }
            guard entry.index == builder.size.nextIndex else {
                return report.add(.pendingGap(expected: builder.size.nextIndex, found: entry.index))
            }
            guard entry.bytes.count <= Limits.logEntryBytesMax else {
                return report.add(.entryMalformed(entry.index, why: "it has \(entry.bytes.count) bytes"))
            }
            order.check(entry.bytes[...], at: entry.index, &report)
            var complete: [TilePath: [UInt8]] = [:]
            builder.append(entry.bytes, leaf: MerkleTree.leafHash(entry.bytes)) { complete[$0] = $1 }
            report.pending += 1
            while let tile = leftovers.first, tile.completeAt == builder.size {
                if complete[tile] == nil { for (partial, bytes) in builder.partialTiles() { complete[partial] = bytes } }
                if let bytes = expect(tile) { settle(tile, bytes, isRight: complete[tile] == bytes) }
                leftovers.removeFirst()
            }
        }
    }
}

/// Checks that entries are readable, stand at their index and do not go back in time.
private struct EntryOrder {
    private(set) var first: Timestamp?
    private(set) var last: Timestamp?

    mutating func check(_ entry: ArraySlice<UInt8>, at index: LeafIndex, _ report: inout LogReport) {
        guard let time = time(of: entry, at: index, &report) else { return }
        if let last, time < last { report.add(.timeWentBack(index)) }
        if first == nil { first = time }
        last = time
    }

    private func time(of entry: ArraySlice<UInt8>, at index: LeafIndex, _ report: inout LogReport) -> Timestamp? {
        // Nearly every entry begins as our writer begins it; then only the grammar of the rest needs a look, not a decoder.
        let head = Array("{\"v\":\(LogEntry.version),\"index\":\(index),\"time\":\"".utf8)
        let end = entry.startIndex + head.count
        if entry.starts(with: head), entry.endIndex >= end + 25, entry[end + 24] == UInt8(ascii: "\""),
            let time = Timestamp(String(decoding: entry[end..<(end + 24)], as: UTF8.self)),
            (try? StrictJSON.check(Array(entry), integersOnly: false)) != nil
        {
            return time
        }
        do {
            let decoded = try LogEntry(Array(entry))
            if decoded.index != index { report.add(.entryMisplaced(index, says: decoded.index)) }
            return decoded.time
        } catch {
            report.add(.entryMalformed(index, why: "\(error)"))
            return nil
        }
    }
}
