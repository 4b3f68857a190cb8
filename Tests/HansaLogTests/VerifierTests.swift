import HansaCore
import HansaCrypto
import HansaLog
import Testing

@Suite struct VerifierTests {
    private func verify(
        _ storage: MemoryStorage, pending: [PendingEntry] = [], known: [Checkpoint] = []
    ) -> LogReport {
        LogVerifier.verify(storage, key: Sample.signer().verifierKey, pending: pending, known: known)
    }

    @Test(arguments: [(5, 1), (5, 2), (257, 3)] as [(Int, UInt64)])
    func anyByteFlippedInAnyFileIsFound(size: Int, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let (storage, _) = try Sample.log(growing: [size])
        #expect(verify(storage).isValid)
        let whole = storage.files
        for (path, bytes) in whole.sorted(by: { $0.key < $1.key }) {
            // Every byte of the small log and of small files; of the large ones the first and last, and some between.
            let positions = bytes.indices.filter {
                size == 5 || bytes.count < 40 || $0 < 40 || $0 >= bytes.count - 40 || random.next() % 512 == 0
            }
            for position in positions {
                storage.files[path]?[position] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
                #expect(!verify(storage).isValid, "seed \(seed), byte \(position) of \(path)")
                storage.files[path] = bytes
            }
        }
        #expect(storage.files == whole)
    }

    @Test func aMissingLongerOrShorterFileIsFound() throws {
        let (storage, _) = try Sample.log(growing: [600])
        let whole = storage.files
        for path in whole.keys {
            storage.files[path] = nil
            #expect(!verify(storage).isValid, "\(path) missing")
            storage.files[path] = whole[path].map { $0 + [0x0A] }
            #expect(!verify(storage).isValid, "\(path) longer")
            storage.files[path] = whole[path].map { Array($0.dropLast()) }
            #expect(!verify(storage).isValid, "\(path) shorter")
            storage.files[path] = []
            #expect(!verify(storage).isValid, "\(path) empty")
            storage.files = whole
        }
    }

    @Test func findingsNameWhatIsWrong() throws {
        let (storage, table) = try Sample.log(growing: [600])
        let whole = storage.files
        func findings(_ change: () -> Void) -> [LogFinding] {
            storage.files = whole
            change()
            return verify(storage).findings
        }
        #expect(
            findings { storage.files["tile/0/001"]?[32 * 44] ^= 1 } == [.tileDiffers(path: "tile/0/001", item: 44, entry: 300)])
        #expect(
            findings { storage.files["tile/1/000.p/2"]?[32] ^= 1 } == [.tileDiffers(path: "tile/1/000.p/2", item: 1, entry: nil)])
        #expect(findings { storage.files["tile/0/001"] = nil } == [.fileMissing(path: "tile/0/001")])
        #expect(findings { storage.files["tile/entries/001"] = nil } == [.fileMissing(path: "tile/entries/001")])
        #expect(findings { storage.files["tile/notes.txt"] = [] } == [.unknownFile(path: "tile/notes.txt")])
        #expect(findings { storage.files["tile/0/009"] = [] } == [.unknownFile(path: "tile/0/009")])
        #expect(findings { storage.files["checkpoint"] = nil } == [.checkpointMissing])
        // An entry replaced by another of its length: the hash below, the node above and the root all tell.
        var bodies = table.bodies
        bodies[300] = Array(
            String(decoding: bodies[300], as: UTF8.self).replacing(#""actor":"node""#, with: #""actor":"nobd""#).utf8)
        let replaced = findings { storage.files["tile/entries/001"] = EntryBundle.encode(bodies[256..<512]) }
        #expect(replaced.contains(.tileDiffers(path: "tile/0/001", item: 44, entry: 300)))
        #expect(replaced.contains { if case .rootDiffers = $0 { true } else { false } })
    }

    @Test func leftoverTilesAreComparedWithThoseThatFollowedThem() throws {
        let (small, _) = try Sample.log(growing: [10])
        let (storage, _) = try Sample.log(growing: [300])
        for (path, bytes) in small.files where path != "checkpoint" { storage.files[path] = bytes }
        let report = verify(storage)
        #expect(report.isValid && report.findings.isEmpty && report.leftovers == 2)
        let whole = storage.files
        for path in ["tile/0/000.p/10", "tile/entries/000.p/10"] {
            for position in stride(from: 0, to: try #require(whole[path]).count, by: 11) {
                storage.files[path]?[position] ^= 0x20
                #expect(verify(storage).findings.contains(.leftoverDiffers(path: path)), "byte \(position)")
                storage.files = whole
            }
            storage.files[path]?.removeLast()
            #expect(!verify(storage).isValid)
            storage.files = whole
        }
    }

    @Test func tilesOfACutOffGrowthAreComparedWithTheTable() throws {
        let (storage, table) = try Sample.log(growing: [10])
        var more = table
        more.commit(290)
        let (grown, _) = try Sample.log(growing: [300])
        for (path, bytes) in grown.files where path != "checkpoint" { storage.files[path] = bytes }
        let report = verify(storage, pending: more.pending)
        #expect(report.isValid && report.pending == 290 && report.size == 10, "\(report.findings)")
        #expect(report.findings.isEmpty && report.leftovers == 5)
        #expect(!verify(storage).isValid, "without the table nothing vouches for them")
        for (path, bytes) in grown.files where path != "checkpoint" {
            storage.files[path]?[bytes.count / 2] ^= 1
            #expect(!verify(storage, pending: more.pending).isValid, "\(path)")
            storage.files[path] = bytes
        }
    }

    @Test func aTableThatContradictsTheLogIsFound() throws {
        let (storage, table) = try Sample.log(growing: [300])
        let overlap = (0..<300).map { PendingEntry(index: LeafIndex(UInt64($0)), bytes: table.bodies[$0]) }
        #expect(verify(storage, pending: overlap).isValid)
        #expect(verify(storage, pending: [PendingEntry(index: 7, bytes: [1])]).findings == [.pendingDiffers(7)])
        #expect(
            verify(storage, pending: [PendingEntry(index: 301, bytes: Sample.entry(301))]).findings == [
                .pendingGap(expected: 300, found: 301)
            ])
    }

    @Test func aCutOrRewrittenLogIsFoundByAnyCheckpointSignedBefore() throws {
        var known: [Checkpoint] = []
        for steps in [[0], [1], [255], [256], [300], [600]] {
            let (storage, _) = try Sample.log(growing: steps)
            known.append(
                try SignedCheckpoint(try #require(storage.files["checkpoint"]), log: Sample.signer().verifierKey).checkpoint)
        }
        let (honest, _) = try Sample.log(growing: [100, 700])
        #expect(verify(honest, known: known).isValid)
        // The last entry deleted and a smaller head signed.
        let (cut, _) = try Sample.log(growing: [599])
        #expect(verify(cut).isValid)
        #expect(verify(cut, known: known).findings == [.shorterThanKnown(known: 600)])
        // Another history of the same length.
        let storage = MemoryStorage()
        var sequencer = try LogSequencer.open(storage: storage, signer: Sample.signer(), table: PendingTable(first: 0, next: 600))
        _ = try sequencer.sequence(
            (0..<600).map { PendingEntry(index: LeafIndex(UInt64($0)), bytes: Sample.entry($0) + ($0 == 270 ? [0x20] : [])) })
        #expect(verify(storage).isValid)
        #expect(verify(storage, known: known).findings == [.historyDiffers(at: 300), .historyDiffers(at: 600)])
    }

    @Test func entriesAtAnotherIndexOrBackInTimeAreFound() throws {
        func findings(_ entries: [[UInt8]]) throws -> LogReport {
            let storage = MemoryStorage()
            var sequencer = try LogSequencer.open(
                storage: storage, signer: Sample.signer(), table: PendingTable(first: 0, next: 4))
            _ = try sequencer.sequence(
                entries.enumerated().map { PendingEntry(index: LeafIndex(UInt64($0.offset)), bytes: $0.element) })
            return verify(storage)
        }
        func entry(_ index: UInt64, at time: Int64) throws -> [UInt8] {
            try LogEntry(
                index: LeafIndex(index), time: Timestamp(seconds: time), event: .nodeStarted, actor: "node", salt: Array(0..<16)
            ).encoded()
        }
        let back = try findings([entry(0, at: 5), entry(1, at: 4), entry(2, at: 4)])
        #expect(back.findings == [.timeWentBack(1)] && back.isValid)
        #expect(back.firstTime == Timestamp(seconds: 5) && back.lastTime == Timestamp(seconds: 4))
        #expect(try findings([entry(0, at: 5), entry(2, at: 5)]).findings == [.entryMisplaced(1, says: 2)])
        let odd = try findings([entry(0, at: 5), Array("hello".utf8), entry(2, at: 5) + [0x7D]])
        #expect(odd.damageCount == 2 && !odd.isValid)
    }

    @Test func aCheckpointOfAnotherKeyIsFoundAndTheRestStillChecked() throws {
        let (storage, _) = try Sample.log(growing: [300])
        storage.files["tile/0/000"]?[0] ^= 1
        let report = LogVerifier.verify(storage, key: Sample.signer(0x40).verifierKey)
        #expect(report.damageCount == 2)
        #expect(report.findings.last == .tileDiffers(path: "tile/0/000", item: 0, entry: 0))
    }

    @Test func aForeignLineInOurCheckpointIsFound() throws {
        let (storage, _) = try Sample.log(growing: [3])
        let witness = try WitnessSigner(name: "hamburg.example/w1", key: Sample.signingKey(0x20))
        let signed = try SignedCheckpoint(try #require(storage.files["checkpoint"]), log: Sample.signer().verifierKey)
        storage.files["checkpoint"] = signed.note.adding(witness.cosign(signed.checkpoint, at: Timestamp(seconds: 1))).bytes
        #expect(verify(storage).findings == [.unknownSignature(name: "hamburg.example/w1")])
        let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, witnesses: [witness.verifierKey])
        #expect(report.isValid)
    }

    @Test func aHugeClaimedSizeEndsAtTheFirstMissingTile() throws {
        let storage = MemoryStorage()
        let checkpoint = try Checkpoint(origin: Sample.origin, size: .max, root: .zero)
        storage.files["checkpoint"] = Sample.signer().sign(checkpoint).bytes
        #expect(verify(storage).findings == [.fileMissing(path: "tile/entries/000")])
    }
}
