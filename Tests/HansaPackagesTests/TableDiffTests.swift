import HansaCore
import Testing

@testable import HansaPackages

@Suite struct TableDiffTests {
    private let before = TableText("id,street,width\n1,Main,7\n2,Oak,5\n3,Elm,6\n")

    @Test func rowsArePairedByKeyAndComparedCellByCell() throws {
        let diff = try diff(before, TableText("id,street,width\r\n3,Elm,6\r\n4,\"Ash\",9\r\n1,\"Main\",8"))
        #expect((diff.added, diff.removed, diff.changed) == (1, 1, 1))
        #expect(diff.addedRows == [.init(key: ["4"], values: ["4", "Ash", "9"])])
        #expect(diff.removedRows == [.init(key: ["2"], values: ["2", "Oak", "5"])])
        #expect(diff.changedRows == [.init(key: ["1"], cells: [.init(column: "width", before: "7", after: "8")])])
        #expect(diff.columns.isEmpty && diff.key == ["id"] && diff.keyNote == nil)
    }

    @Test func orderQuotingAndLineEndsAreNoChange() throws {
        let diff = try diff(before, TableText("\u{FEFF}id,street,\"width\"\r\n3,Elm,6\r\n\r\n\"1\",Main,7\r2,Oak,\"5\""))
        #expect(diff.isEmpty)
    }

    @Test func columnsAreKnownByNameAndAnAddedOneChangesNoRow() throws {
        let added = try diff(before, TableText("id,width,street,surface\n1,7,Main,a\n2,5,Oak,b\n3,6,Elm,c\n"))
        #expect(added.columns.added == ["surface"] && added.columns.removed == [] && added.columns.reordered)
        #expect((added.added, added.removed, added.changed) == (0, 0, 0))
        let removed = try diff(before, TableText("id,street\n1,Main\n2,Oak\n3,Elm\n"))
        #expect(removed.columns.removed == ["width"] && !removed.columns.reordered && removed.changed == 0)
    }

    @Test func withoutAKeyRowsCountAsOftenAsTheyOccur() throws {
        let diff = try diff(TableText("a,b\n1,2\n1,2\n3,4\n"), TableText("a,b\n1,2\n5,6\n5,6\n3,4\n"), key: nil)
        #expect((diff.added, diff.removed, diff.changed) == (2, 1, 0))
        #expect(diff.addedRows.map(\.values) == [["5", "6"], ["5", "6"]])
        #expect(diff.removedRows.map(\.values) == [["1", "2"]])
    }

    @Test func aKeyThatRepeatsOrIsMissingIsNotUsedAndSaid() throws {
        let repeats = try diff(before, TableText("id,street,width\n1,Main,7\n1,Oak,5\n"))
        #expect(repeats.key == nil && repeats.keyNote == .repeats(row: 3))
        #expect((repeats.added, repeats.removed) == (1, 2))
        let missing = try diff(before, before, key: ["number"])
        #expect(missing.keyNote == .columnMissing("number") && missing.isEmpty)
    }

    @Test func aShortRowIsNotOneWithEmptyFields() throws {
        let diff = try diff(before, TableText("id,street,width\n1,Main\n2,Oak,5,extra\n3,Elm,6\n"))
        #expect(
            diff.changedRows.map(\.cells) == [
                [.init(column: "width", before: "7", after: nil)], [.init(column: "field4", before: nil, after: "extra")],
            ])
    }

    @Test func examplesAreBoundedAndTheFirst() throws {
        let rows = (1...500).map { "\($0),x" }.joined(separator: "\n")
        let diff = try diff(TableText("id,b\n"), TableText("id,b\n" + rows), limit: 3, rowsMax: 64)
        #expect(diff.added == 500)
        #expect(diff.addedRows.map(\.key) == [["1"], ["2"], ["3"]])
    }

    @Test(arguments: 0..<300) func whatTheDifferenceSaysMakesOneTableOfTheOther(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let keyed = seed % 3 != 0
        let a = SampleTable.random(&random, keyed: keyed)
        let b = a.edited(&random, edits: Int.random(in: 0...30, using: &random), keyed: keyed)
        let d = try diff(
            a.text(&random), b.text(&random), key: keyed ? ["id"] : nil, rowsMax: Int.random(in: 3...40, using: &random))
        #expect(d.keyNote == nil, "seed \(seed)")
        if keyed {
            var rows = a.keyed
            for row in d.removedRows { #expect(rows.removeValue(forKey: row.key[0]) != nil, "seed \(seed)") }
            for change in d.changedRows {
                for cell in change.cells {
                    #expect(rows[change.key[0]]?[cell.column] == cell.before, "seed \(seed)")
                    rows[change.key[0]]?[cell.column] = cell.after
                }
            }
            for row in d.addedRows { rows[row.key[0]] = Dictionary(zip(b.columns, row.values), uniquingKeysWith: { $1 }) }
            #expect(rows == b.keyed, "seed \(seed)")
        } else {
            var rows = a.counted
            for row in d.removedRows { rows[row.values, default: 0] -= 1 }
            for row in d.addedRows { rows[row.values, default: 0] += 1 }
            #expect(rows.filter { $0.value != 0 } == b.counted, "seed \(seed)")
        }
        let back = try diff(b.text(&random), a.text(&random), key: keyed ? ["id"] : nil)
        #expect((back.added, back.removed, back.changed) == (d.removed, d.added, d.changed), "seed \(seed)")
    }
}
