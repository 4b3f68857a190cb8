import HansaCore
import HansaCrypto
import HansaLog
import Testing

@Suite struct SequencerTests {
    private func open(_ storage: MemoryStorage, _ table: Table, signer: LogSigner = Sample.signer()) throws -> LogSequencer {
        try LogSequencer.open(storage: storage, signer: signer, table: table.state)
    }

    private func fault(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "none"
        } catch { return "\(error)" }
    }

    @Test func aLogHasTheTilesOfItsSizeAndTheRootOfItsEntries() throws {
        for steps in [[1], [255], [256], [257], [1, 1, 1], [255, 1], [255, 2], [300, 300, 1], [700], [200, 312, 256]] {
            let (storage, table) = try Sample.log(growing: steps)
            let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, pending: table.pending)
            #expect(report.isValid, "\(steps): \(report.findings)")
            #expect(report.root == table.root && report.size.value == UInt64(table.bodies.count))
        }
    }

    @Test func aLogOf66000EntriesHasAThirdLevel() throws {
        let (storage, table) = try Sample.log(growing: [65_535, 1, 464])
        #expect(storage.files["tile/2/000.p/1"]?.count == 32)
        #expect(storage.files["tile/1/000"]?.count == 8192)
        let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey)
        #expect(report.isValid && report.root == table.root, "\(report.findings)")
    }

    @Test func aLogReaderReadsEntriesAndProvesThem() throws {
        let (storage, table) = try Sample.log(growing: [100, 500, 71])
        var reader = LogReader(storage: storage, size: 671)
        for index in [0, 99, 100, 255, 256, 599, 600, 670] {
            let leaf = LeafIndex(UInt64(index))
            #expect(try reader.entry(at: leaf) == table.bodies[index])
            let proof = try reader.inclusionProof(of: leaf, in: 671)
            let hash = MerkleTree.leafHash(table.bodies[index])
            #expect(MerkleTree.isIncluded(leaf: hash, at: leaf, proof: proof, in: table.root, size: 671))
        }
        for size in [0, 1, 256, 300, 671] as [TreeSize] {
            let old = MerkleTree.root(table.bodies.prefix(Int(size.value)).map { MerkleTree.leafHash($0) })
            #expect(try reader.root(at: size) == old)
            let proof = try reader.consistencyProof(from: size, to: 671)
            #expect(MerkleTree.isConsistent(from: old, size: size, to: table.root, size: 671, proof: proof))
        }
    }

    @Test func partialTilesOfTheCheckpointBeforeStayForOneGrowth() throws {
        let storage = MemoryStorage()
        var table = Table()
        var sequencer = try open(storage, table)
        for _ in 0..<3 {
            table.commit(1)
            _ = try sequencer.sequence(table.pending)
        }
        #expect(
            storage.files.keys.filter { $0.hasPrefix("tile/entries") }.sorted() == [
                "tile/entries/000.p/2", "tile/entries/000.p/3",
            ])
        _ = try open(storage, table)
        #expect(storage.files.keys.filter { $0.hasPrefix("tile/entries") } == ["tile/entries/000.p/3"])
    }

    @Test func aSupersededTileThatWasMeddledWithIsKeptAsEvidence() throws {
        for name in ["tile/0/000.p/4", "tile/entries/000.p/4"] {
            for change in 0..<4 {
                let storage = MemoryStorage()
                var table = Table()
                var sequencer = try open(storage, table)
                for _ in 0..<2 {
                    table.commit(4)
                    _ = try sequencer.sequence(table.pending)
                }
                switch change {
                case 0: storage.files[name]?[3] ^= 1
                case 1: storage.files[name]?.append(0)
                case 2: storage.files[name]?.removeLast()
                default: storage.files[name] = []
                }
                func expectFound(_ what: String) {
                    let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, pending: table.pending)
                    #expect(report.findings == [.leftoverDiffers(path: name)], "\(name), change \(change), \(what)")
                }
                expectFound("at once")
                table.commit(1)
                _ = try sequencer.sequence(table.pending)
                table.commit(1)
                _ = try sequencer.sequence(table.pending)
                expectFound("after growing")
                _ = try open(storage, table)
                expectFound("after opening")
                table.commit(260)
                _ = try sequencer.sequence(table.pending)
                expectFound("after the tile became full")
            }
        }
    }

    @Test func aGrowthIsTwoWritesHoweverManyTilesItHas() throws {
        let storage = MemoryStorage()
        var table = Table()
        var sequencer = try open(storage, table)
        let before = storage.operations.count
        table.commit(1000)
        _ = try sequencer.sequence(table.pending)
        // Tiles, checkpoint.
        #expect(storage.operations.count == before + 2)
        _ = try sequencer.sequence(table.pending)
        #expect(storage.operations.count == before + 2, "nothing new, nothing written")
    }

    // MARK: Crashes

    /// Runs a node through growths; returns false when the machine stopped on the way.
    private func run(_ storage: MemoryStorage, _ table: inout Table, steps: [Int]) -> Bool {
        do {
            var sequencer = try open(storage, table)
            for step in steps {
                table.commit(step)
                let checkpoint = try sequencer.sequence(table.pending)
                table.drop(below: checkpoint.size)
            }
            return true
        } catch {
            return false
        }
    }

    /// All subsets of up to four files; of more: none, all, each alone and each missing alone.
    private func subsets(of files: Int) -> [UInt64] {
        if files <= 4 { return Array(0..<(1 << UInt64(files))) }
        let all = UInt64.max
        return [0, all] + (0..<min(files, 64)).flatMap { [1 << UInt64($0), all ^ (1 << UInt64($0))] }
    }

    private func expectWhole(_ storage: MemoryStorage, _ table: Table, _ what: String) {
        let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, pending: table.pending)
        #expect(report.isValid, "\(what): \(report.findings)")
        #expect(report.size.value == UInt64(table.bodies.count) && report.root == table.root, "\(what)")
        #expect(report.findings.isEmpty && report.leftovers == 0, "\(what): \(report)")
    }

    @Test(arguments: [[1, 1, 1], [3, 252, 1, 2], [256, 1], [250, 263]])
    func afterACrashAtAnyPointWithAnySubsetOfTheLastWriteTheLogGoesOn(steps: [Int]) throws {
        let rehearsal = MemoryStorage()
        var table = Table()
        #expect(run(rehearsal, &table, steps: steps))
        for (operation, files) in rehearsal.operations.enumerated() {
            for subset in subsets(of: files) {
                for committedMeanwhile in subset == 0 ? [0, 1, 260] : [1] {
                    let what = "\(steps), operation \(operation), subset \(subset), then \(committedMeanwhile) more"
                    let storage = MemoryStorage()
                    var table = Table()
                    storage.crash(at: operation, subset: subset)
                    #expect(!run(storage, &table, steps: steps), "\(what)")
                    storage.restart()
                    let signed = try storage.files["checkpoint"].map {
                        try SignedCheckpoint($0, log: Sample.signer().verifierKey).checkpoint
                    }
                    let torn = LogVerifier.verify(storage, key: Sample.signer().verifierKey, pending: table.pending)
                    #expect(torn.isValid || signed == nil, "before the restart; \(what): \(torn.findings)")
                    #expect(run(storage, &table, steps: [committedMeanwhile]), "\(what)")
                    // Once more, so that nothing of the growth before is left either.
                    _ = try open(storage, table)
                    expectWhole(storage, table, what)
                    if let signed {
                        let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, known: [signed])
                        #expect(report.isValid, "the log extends what was signed before; \(what)")
                    }
                }
            }
        }
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func manyCrashesInARowLoseNothing(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let storage = MemoryStorage()
        var table = Table()
        var signed: [Checkpoint] = []
        for _ in 0..<12 {
            storage.restart()
            storage.crash(at: storage.operations.count + Int.random(in: 0..<9, using: &random), subset: random.next())
            _ = run(
                storage, &table,
                steps: (0..<4).map { _ in Int.random(in: 0...[2, 30, 400][Int.random(in: 0..<3, using: &random)], using: &random)
                })
            if let bytes = storage.files["checkpoint"] {
                signed.append(try SignedCheckpoint(bytes, log: Sample.signer().verifierKey).checkpoint)
            }
        }
        storage.restart()
        #expect(run(storage, &table, steps: [1]), "seed \(seed)")
        _ = try open(storage, table)
        expectWhole(storage, table, "seed \(seed)")
        let report = LogVerifier.verify(storage, key: Sample.signer().verifierKey, known: signed)
        #expect(report.isValid, "seed \(seed): \(report.findings)")
    }

    @Test func afterAFailedWriteTheSequencerOnlyThrows() throws {
        let storage = MemoryStorage()
        var table = Table()
        var sequencer = try open(storage, table)
        table.commit(5)
        storage.crash(at: storage.operations.count, subset: 0)
        #expect(throws: LogFault.self) { try sequencer.sequence(table.pending) }
        storage.restart()
        let message = fault { _ = try sequencer.sequence(table.pending) }
        #expect(message == LogFault.stopped.description)
    }

    // MARK: Contradictions

    @Test func aDatabaseOlderThanTheLogStopsTheNode() throws {
        let (storage, _) = try Sample.log(growing: [10])
        let before = storage.files
        var old = Table()
        old.commit(9)
        #expect(fault { _ = try open(storage, old) }.contains("the database is older than the log"))
        #expect(fault { _ = try open(storage, Table()) }.contains("the database is older than the log"))
        #expect(storage.files == before)
    }

    @Test func aLogOlderThanTheDatabaseStopsTheNode() throws {
        let (storage, _) = try Sample.log(growing: [300])
        let yesterday = storage.files
        let (today, table) = try Sample.log(growing: [300, 300])
        today.files = yesterday
        #expect(fault { _ = try open(today, table) }.contains("the log is older than the database"))
        // Only the checkpoint taken back, while the tiles are there.
        let (mixed, later) = try Sample.log(growing: [300, 300])
        mixed.files["checkpoint"] = yesterday["checkpoint"]
        let before = mixed.files
        #expect(fault { _ = try open(mixed, later) }.contains("the log is older than the database"))
        #expect(mixed.files == before, "nothing is cleared when the log is in doubt")
        mixed.files["checkpoint"] = nil
        #expect(fault { _ = try open(mixed, later) }.contains("missing"))
    }

    @Test func tilesOfALostDatabaseAreNotCleared() throws {
        let (storage, _) = try Sample.log(growing: [300])
        storage.files["checkpoint"] = nil
        let before = storage.files
        #expect(fault { _ = try open(storage, Table()) }.contains("never gave out"))
        #expect(storage.files == before)
    }

    @Test func anotherEntryInTheTableThanInTheLogIsAFork() throws {
        let storage = MemoryStorage()
        var table = Table()
        table.commit(300)
        var sequencer = try open(storage, table)
        _ = try sequencer.sequence(table.pending)
        var pending = table.pending
        pending[17] = PendingEntry(index: 17, bytes: Sample.entry(18))
        #expect(fault { _ = try sequencer.sequence(pending) } == LogFault.forked(17).description)
    }

    @Test func entriesThatSkipOrRepeatAnIndexAreNotSequenced() throws {
        for indices in [[1], [0, 2], [0, 0], [0, 1, 1], [0, 1, 0]] as [[UInt64]] {
            let storage = MemoryStorage()
            var table = Table()
            table.commit(3)
            var sequencer = try open(storage, table)
            let message = fault { _ = try sequencer.sequence(indices.map { PendingEntry(index: LeafIndex($0), bytes: [1]) }) }
            #expect(message.contains("where"), "\(indices): \(message)")
            #expect(sequencer.tiled == 0)
        }
    }

    @Test func anEntryTooLongForABundleIsNotSequenced() throws {
        let storage = MemoryStorage()
        var table = Table()
        table.commit(1)
        var sequencer = try open(storage, table)
        let long = PendingEntry(index: 0, bytes: [UInt8](repeating: 0x20, count: 65_536))
        #expect(fault { _ = try sequencer.sequence([long]) } == LogFault.entryTooLong(0, bytes: 65_536).description)
    }

    @Test func twoSequencersOnOneHomeDoNotSignTwoHistories() throws {
        let storage = MemoryStorage()
        var table = Table()
        table.commit(3)
        var first = try open(storage, table)
        var second = try open(storage, table)
        _ = try first.sequence(table.pending)
        #expect(fault { _ = try second.sequence(table.pending) } == LogFault.checkpointReplaced.description)
        table.commit(1)
        #expect(try first.sequence(table.pending).size == 4)
    }

    @Test(arguments: ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"])
    func tilesThatTheDiskDidNotKeepAreNotSigned(path: String) throws {
        let (storage, table) = try Sample.log(growing: [10])
        var more = table
        var sequencer = try open(storage, table)
        more.commit(290)
        storage.rot(path)
        let before = storage.files["checkpoint"]
        #expect(fault { _ = try sequencer.sequence(more.pending) } == LogFault.inconsistent(from: 10, to: 300).description)
        #expect(storage.files["checkpoint"] == before)
    }

    @Test func aDamagedRightEdgeIsNotOpened() throws {
        for path in ["tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1", "checkpoint"] {
            for change in 0..<4 {
                let (storage, table) = try Sample.log(growing: [300])
                switch change {
                case 0: storage.files[path]?[3] ^= 1
                case 1: storage.files[path]?.append(0)
                case 2: storage.files[path]?.removeLast()
                default: storage.files[path] = nil
                }
                #expect(fault { _ = try open(storage, table) } != "none", "\(path), change \(change)")
            }
        }
    }

    @Test func aCheckpointOfAFormerKeyIsSignedAgain() throws {
        let (storage, table) = try Sample.log(growing: [10])
        let new = Sample.signer(0x40)
        #expect(fault { _ = try open(storage, table, signer: new) } == LogFault.badCheckpoint(.notSigned).description)
        var sequencer = try LogSequencer.open(
            storage: storage, signer: new, former: [Sample.signer().verifierKey], table: table.state)
        #expect(try SignedCheckpoint(try #require(storage.files["checkpoint"]), log: new.verifierKey).root == table.root)
        var more = table
        more.commit(1)
        #expect(try sequencer.sequence(more.pending).size == 11)
    }
}
