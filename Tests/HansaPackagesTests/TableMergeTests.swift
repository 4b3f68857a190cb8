import HansaCore
import HansaPackages
import Testing

@Suite struct TableMergeTests {
    private let base = "id,street,width\r\n1,\"Main\",7\r\n2,Oak,5\r\n3,Elm,6\r\n"

    @Test func changesOfDifferentCellsGoTogetherAndOtherBytesStay() throws {
        let merged = try merge(
            base, "id,street,width\r\n1,\"Main\",8\r\n2,Oak,5\r\n3,Elm,6\r\n",
            "id,street,width\n1,\"Main St\",7\n2,Oak,5\n3,Elm,66\n")
        #expect(merged.text == "id,street,width\r\n1,\"Main St\",8\r\n2,Oak,5\r\n3,Elm,66\r\n")
        #expect(merged.result.isClean && merged.result.changed == 2)
    }

    @Test func oneCellWithTwoValuesIsAConflictAndKeepsOurs() throws {
        let merged = try merge(base, base.replacing("Oak,5", with: "Oak,51"), base.replacing("Oak,5", with: "Oak,52"))
        #expect(merged.text == base.replacing("Oak,5", with: "Oak,51"))
        #expect(merged.result.conflictsCount == 1)
        let conflict = try #require(merged.result.conflicts.first)
        #expect(conflict.kind == .cell && conflict.key == ["2"] && conflict.column == "width")
        #expect((conflict.base, conflict.ours, conflict.theirs) == ("5", "51", "52"))
        // The same value twice is none.
        #expect(
            try merge(base, base.replacing("Oak,5", with: "Oak,9"), base.replacing("Oak,5", with: "Oak,\"9\"")).result.isClean)
    }

    @Test func deletingWhatTheOtherSideChangedIsAConflict() throws {
        let deleted = base.replacing("2,Oak,5\r\n", with: "")
        let changed = base.replacing("Oak,5", with: "Oak,50")
        let ours = try merge(base, deleted, changed)
        #expect(ours.result.conflicts.map(\.kind) == [.deletedByOurs] && ours.text == deleted)
        #expect(ours.result.conflicts.first?.theirs == "2,Oak,50" && ours.result.conflicts.first?.base == "2,Oak,5")
        let theirs = try merge(base, changed, deleted)
        #expect(theirs.result.conflicts.map(\.kind) == [.deletedByTheirs] && theirs.text == changed)
        // Deleting what the other side left alone is a deletion.
        let both = try merge(base, base.replacing("Main", with: "First"), deleted)
        #expect(both.result.isClean && both.text == deleted.replacing("Main", with: "First"))
    }

    @Test func rowsOfTheirsStandBehindTheRowTheyFollowThere() throws {
        let merged = try merge(
            base, "id,street,width\r\n3,Elm,6\r\n2,Oak,5\r\n1,\"Main\",7\r\n9,New,1",
            "id,street,width\n0,First,1\n1,\"Main\",7\n10,After,1\n11,After,2\n2,Oak,5\n3,Elm,6\n12,Last,1\n")
        #expect(
            merged.text
                == "id,street,width\r\n0,First,1\r\n3,Elm,6\r\n12,Last,1\r\n2,Oak,5\r\n1,\"Main\",7\r\n10,After,1\r\n11,After,2\r\n9,New,1"
        )
        #expect(merged.result.isClean && merged.result.added == 4)
    }

    @Test func aRowBehindALastRowWithoutLineEndGetsOne() throws {
        let merged = try merge("id,b\n1,x", "id,b\n1,y", "id,b\n1,x\n2,z\n")
        #expect(merged.text == "id,b\n1,y\n2,z")
    }

    @Test func bothAddingOneKeyIsMergedCellByCell() throws {
        #expect(try merge(base, base + "4,Ash,1\r\n", base + "4,Ash,1\r\n5,Fir,2\r\n").text == base + "4,Ash,1\r\n5,Fir,2\r\n")
        let merged = try merge(base, base + "4,Ash,1\r\n", base + "4,Ash,2\r\n")
        #expect(merged.result.conflicts.map(\.column) == ["width"] && merged.result.conflicts.first?.base == nil)
    }

    @Test func columnsAddedOnBothSidesGoTogether() throws {
        let merged = try merge(
            "id,b\n1,x\n2,y\n", "id,b,ours\n1,x,o1\n2,y,o2\n3,z,o3\n", "id,theirs,b\n1,t1,x\n2,t2,yy\n4,t4,w\n")
        #expect(merged.text == "id,theirs,b,ours\n1,t1,x,o1\n2,t2,yy,o2\n4,t4,w,\n3,,z,o3\n")
        #expect(merged.result.isClean)
    }

    @Test func deletingAColumnIsAConflictOnlyWhereItWasChanged() throws {
        let merged = try merge("id,b,c\n1,x,1\n2,y,2\n", "id,b,c\n1,x,1\n2,y,22\n", "id,b\n1,xx\n2,y\n")
        #expect(merged.text == "id,b\n1,xx\n2,y\n")
        #expect(merged.result.conflicts.map(\.kind) == [.deletedByTheirs])
        #expect(merged.result.conflicts.first?.key == ["2"] && merged.result.conflicts.first?.column == "c")
        #expect(try merge("id,b,c\n1,x,1\n", "id,b,c\n1,y,1\n", "id,b\n1,x\n").result.isClean)
    }

    @Test func withoutAKeyRowsAreCounted() throws {
        let merged = try merge("a,b\n1,1\n2,2\n", "a,b\n1,1\n3,3\n2,2\n2,2\n", "a,b\n1,1\n2,2\n3,3\n4,4\n4,4\n", key: nil)
        #expect(merged.text == "a,b\n1,1\n3,3\n4,4\n4,4\n2,2\n2,2\n")
        let conflict = try merge("a\n1\n2\n", "a\n1\n1\n2\n", "a\n2\n", key: nil)
        #expect(conflict.result.conflicts.map(\.kind) == [.occurrences] && conflict.text == "a\n1\n1\n2\n")
        #expect(throws: TableCompareFault.columnsDifferWithoutKey) { try merge("a\n1\n", "a,b\n1,2\n", "a\n2\n", key: nil) }
    }

    @Test func tablesThatCannotBeMergedAreRefusedWithTheReason() throws {
        #expect(throws: TableCompareFault.repeatedKey(row: 3)) {
            try merge(base, base + "9,a,b\n", "id,street,width\n1,a,b\n1,c,d\n")
        }
        #expect(throws: TableCompareFault.keyColumnMissing("nr")) {
            try merge(base, base + "4,a,b\n", base + "5,a,b\n", key: ["nr"])
        }
        #expect(throws: TableCompareFault.empty) { try merge(base, "", base + "5,a,b\n") }
        #expect(throws: TableCompareFault.csv(.openQuote(row: 2))) { try merge(base, "id,b\n\"", base) }
        #expect(throws: TableCompareFault.raggedRow(row: 3)) {
            try merge(base, base.replacing("2,Oak,5", with: "2,Oak"), base.replacing("2,Oak,5", with: "2,Oak,5,x"))
        }
        var options = TableMergeOptions(key: ["id"])
        options.heldBytesMax = 10
        #expect(throws: TableCompareFault.tooManyChanges(bytesMax: 10)) {
            _ = try TableMerge.merge(
                base: TableText(base), ours: TableText(base + "4,a,b\n"), theirs: TableText(base + "5,a,b\n"), options: options
            ) { _ in }
        }
    }

    @Test func otherDelimitersAreWrittenAsOurs() throws {
        var options = TableMergeOptions(key: ["id"])
        options.delimiters = (0x2C, 0x3B, 0x2C)
        var bytes: [UInt8] = []
        _ = try TableMerge.merge(
            base: TableText("id,b\n1,x\n"), ours: TableText("id;b\n1;y\n"), theirs: TableText("id,b\n1,x\n2,p;q\n"),
            options: options
        ) { bytes.append(contentsOf: $0) }
        #expect(String(decoding: bytes, as: UTF8.self) == "id;b\n1;y\n2;\"p;q\"\n")
    }

    // MARK: Laws

    @Test(arguments: 0..<150) func whereOneSideChangedNothingTheOtherIsTheResultByteForByte(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let keyed = seed % 2 == 0
        let key = keyed ? ["id"] : nil
        let table = SampleTable.random(&random, keyed: keyed)
        let a = table.text(&random)
        let x = table.edited(&random, edits: 20, columnsToo: keyed, keyed: keyed).text(&random)
        #expect(try merge(a, a, x, key: key).bytes == x.bytes, "seed \(seed)")
        #expect(try merge(a, x, a, key: key).bytes == x.bytes, "seed \(seed)")
        #expect(try merge(a, x, x, key: key).bytes == x.bytes, "seed \(seed)")
        // The same values in other bytes change nothing of ours either.
        let again = table.text(&random)
        let other = try merge(a, x, again, key: key)
        if !other.result.isWhole { #expect(try SampleTable(x.bytes).counted == SampleTable(other.bytes).counted, "seed \(seed)") }
        #expect(other.result.isClean, "seed \(seed)")
    }

    @Test(arguments: 0..<300) func aMergeIsWhatItsCellsSay(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let base = SampleTable.random(&random, keyed: true)
        let ours = base.edited(&random, edits: Int.random(in: 0...25, using: &random), columnsToo: seed % 3 == 0)
        let theirs = base.edited(&random, edits: Int.random(in: 0...25, using: &random), columnsToo: seed % 3 == 0)
        let (b, o, t) = (base.text(&random), ours.text(&random), theirs.text(&random))
        let rowsMax = Int.random(in: 3...50, using: &random)
        let merged = try merge(b, o, t, rowsMax: rowsMax)
        let mirrored = try merge(b, t, o)
        // The other way round the same places are in conflict.
        #expect(marks(merged) == marks(mirrored, swapped: true), "seed \(seed)")
        let (result, swapped) = (try SampleTable(merged.bytes), try SampleTable(mirrored.bytes))
        #expect(Set(result.columns) == Set(swapped.columns), "seed \(seed)")
        #expect(merged == (try merge(b, o, t)), "seed \(seed): parts show in the result")
        let expected = reference(base, ours, theirs)
        if merged.result.isClean { #expect(result.keyed == swapped.keyed, "seed \(seed)") }
        #expect(expected.conflicts == merged.result.conflicts.count, "seed \(seed)")
        #expect(expected.rows == result.keyed, "seed \(seed)")
        // Our rows keep their order.
        let kept = Set(result.rows.map { $0[result.keyIndex] })
        let known = Set(ours.rows.map { $0[ours.keyIndex] })
        #expect(
            ours.rows.map { $0[ours.keyIndex] }.filter(kept.contains)
                == result.rows.map { $0[result.keyIndex] }.filter(known.contains),
            "seed \(seed)")
    }

    @Test(arguments: 0..<200) func withoutAKeyAMergeCountsRows(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let base = SampleTable.random(&random, keyed: false)
        let ours = base.edited(&random, edits: Int.random(in: 0...15, using: &random), keyed: false)
        let theirs = base.edited(&random, edits: Int.random(in: 0...15, using: &random), keyed: false)
        let merged = try merge(
            base.text(&random), ours.text(&random), theirs.text(&random), key: nil,
            rowsMax: Int.random(in: 3...50, using: &random))
        let result = try SampleTable(merged.bytes).counted
        var conflicts = 0
        for row in Set(base.rows + ours.rows + theirs.rows) {
            let (b, o, t) = (base.counted[row] ?? 0, ours.counted[row] ?? 0, theirs.counted[row] ?? 0)
            let wanted: Int
            if o == t || t == b {
                wanted = o
            } else if o == b {
                wanted = t
            } else if (o > b) == (t > b) {
                wanted = o > b ? max(o, t) : min(o, t)
            } else {
                conflicts += 1
                wanted = o
            }
            #expect(result[row] ?? 0 == wanted, "seed \(seed)")
        }
        #expect(merged.result.conflicts.count == conflicts, "seed \(seed)")
    }

    private func marks(_ merged: Merged, swapped: Bool = false) -> Set<[String?]> {
        Set(
            merged.result.conflicts.map { conflict in
                var kind = conflict.kind
                if swapped, kind == .deletedByOurs || kind == .deletedByTheirs {
                    kind = kind == .deletedByOurs ? .deletedByTheirs : .deletedByOurs
                }
                let sides = swapped ? [conflict.theirs, conflict.ours] : [conflict.ours, conflict.theirs]
                // Rows in a conflict are shown as they are written.
                return [kind.rawValue] + conflict.key + [conflict.column]
                    + (conflict.column == nil ? [] : [conflict.base] + sides)
            })
    }

    /// The rules again, in their plainest form.
    private func reference(_ base: SampleTable, _ ours: SampleTable, _ theirs: SampleTable) -> (
        rows: [String: [String: String]], conflicts: Int
    ) {
        let (b, o, t) = (base.keyed, ours.keyed, theirs.keyed)
        let (bc, oc, tc) = (Set(base.columns), Set(ours.columns), Set(theirs.columns))
        let columns = oc.union(tc).filter { name in !(bc.contains(name) && (!oc.contains(name) || !tc.contains(name))) }
        var rows: [String: [String: String]] = [:]
        var conflicts = 0
        func changed(_ row: [String: String], _ old: [String: String]) -> Bool {
            bc.contains { name in row[name] != nil && row[name] != old[name] }
        }
        for key in Set(b.keys).union(o.keys).union(t.keys) {
            let (old, our, their) = (b[key], o[key], t[key])
            switch (our, their) {
            case (nil, nil): continue
            case (let our?, nil):
                if let old {
                    guard changed(our, old) else { continue }
                    conflicts += 1
                }
                rows[key] = Dictionary(uniqueKeysWithValues: columns.map { ($0, our[$0] ?? "") })
            case (nil, let their?):
                if let old {
                    if changed(their, old) { conflicts += 1 }
                    continue
                }
                rows[key] = Dictionary(uniqueKeysWithValues: columns.map { ($0, their[$0] ?? "") })
            case (let our?, let their?):
                var row: [String: String] = [:]
                for name in columns {
                    guard let mine = our[name], let other = their[name] else {
                        row[name] = our[name] ?? their[name] ?? ""
                        continue
                    }
                    row[name] = mine
                    if mine == other || other == old?[name] { continue }
                    if mine == old?[name] { row[name] = other } else { conflicts += 1 }
                }
                for name in bc where !columns.contains(name) {
                    if let old, let mine = our[name], mine != old[name] { conflicts += 1 }
                    if let old, let other = their[name], other != old[name] { conflicts += 1 }
                }
                rows[key] = row
            }
        }
        return (rows, conflicts)
    }
}
