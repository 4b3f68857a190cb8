// Writes the result of a merge while our rows go by.
internal import HansaCore

struct MergeWriter {
    private let columns: MergedColumns
    private let ours: TableShape
    private let theirs: TableShape
    private let baseRows: [UInt64: KeptRow]
    private let theirRows: [UInt64: KeptRow]
    private let options: TableMergeOptions

    private(set) var result = TableMergeResult()
    private var output: [UInt8] = []
    /// The line end of the row that was written last, which follows when it is known that another row does. Nil before the first.
    private var lineEnd: ArraySlice<UInt8>?
    private var lastIsForeign = false

    init(
        columns: MergedColumns, ours: TableShape, theirs: TableShape, baseRows: [UInt64: KeptRow], theirRows: [UInt64: KeptRow],
        options: TableMergeOptions
    ) {
        self.columns = columns
        self.ours = ours
        self.theirs = theirs
        self.baseRows = baseRows
        self.theirRows = theirRows
        self.options = options
    }

    mutating func run(_ plan: MergePlan, _ source: some TableSource, _ write: (UnsafeRawBufferPointer) throws -> Void) throws {
        var action = 0
        var arrival = 0
        if ours.hadByteOrderMark { output += Byte.mark }
        try ours.forEachRow(of: source) { row in
            if row.number == 1 {
                header(row)
            } else if action < plan.actions.count, plan.actions[action].row == row.number {
                try apply(plan.actions[action].action, to: row)
                action += 1
            } else if columns.areOurs || row.isBlank {
                copy(row)
            } else {
                try compose(ours: row.kept(), theirs: nil, base: nil)
            }
            while arrival < plan.arrivals.count, plan.arrivals[arrival].anchor == row.number {
                try take(plan.arrivals[arrival])
                arrival += 1
            }
            if output.count >= 1 << 18 { try flush(write) }
            return true
        }
        if lastIsForeign {
            if ours.endsWithLineEnd { output += ours.lineEnd }
        } else if let lineEnd {
            output += lineEnd
        }
        try flush(write)
    }

    private mutating func flush(_ write: (UnsafeRawBufferPointer) throws -> Void) throws {
        try output.withUnsafeBytes(write)
        output.removeAll(keepingCapacity: true)
    }

    // MARK: Rows

    private mutating func header(_ row: TableRow) {
        guard !columns.areOurs else { return copy(row) }
        begin(end: ArraySlice(row.bytes.suffix(row.lineEndCount)), foreign: false)
        for (index, column) in columns.result.enumerated() {
            if index > 0 { output.append(ours.delimiter) }
            if let place = column.ours {
                appendRaw(ours.header, place)
            } else if let place = column.theirs {
                appendRaw(theirs.header, place)
            }
        }
    }

    private mutating func apply(_ action: RowAction, to row: TableRow) throws {
        switch action {
        case .drop:
            result.removed += 1
            note(.removed, key(of: row.kept(), \.ours))
        case .take(let number):
            guard let their = theirRows[number] else { return copy(row) }
            result.changed += 1
            noteCells(from: their, over: row)
            takeWhole(their)
        case .join(let old, let number):
            try compose(ours: row.kept(), theirs: theirRows[number], base: old.flatMap { baseRows[$0] })
        case .deletedByTheirs(let old):
            let our = row.kept()
            guard let base = baseRows[old], differs(our, base, columns.result + columns.deleted, \.ours) else {
                result.removed += 1
                note(.removed, key(of: our, \.ours))
                return
            }
            conflict(.deletedByTheirs, key(of: our, \.ours), base: line(base), ours: line(our))
            if columns.areOurs { copy(row) } else { try compose(ours: our, theirs: nil, base: nil) }
        case .occurrences(let counts):
            let our = row.kept()
            conflict(.occurrences, key(of: our, \.ours), counts)
            copy(row)
        }
    }

    private mutating func take(_ arrival: Arrival) throws {
        guard let their = theirRows[arrival.theirs] else { return }
        switch arrival.kind {
        case .added:
            result.added += 1
            note(.row, key(of: their, \.theirs))
            if columns.areEqual { takeWhole(their) } else { try compose(ours: nil, theirs: their, base: nil) }
        case .deletedByOurs(let old):
            guard let base = baseRows[old], differs(their, base, columns.result + columns.deleted, \.theirs) else { return }
            conflict(.deletedByOurs, key(of: their, \.theirs), base: line(base), theirs: line(their))
        case .occurrences(let counts): conflict(.occurrences, key(of: their, \.theirs), counts)
        }
    }

    private func differs(
        _ row: KeptRow, _ base: KeptRow, _ columns: [MergedColumns.Column], _ place: (MergedColumns.Column) -> Int?
    ) -> Bool {
        if self.columns.areEqual { return true }
        return columns.contains { column in
            guard let own = place(column), let old = column.base else { return false }
            return own < row.cells.count && old < base.cells.count ? row.value(own) != base.value(old) : true
        }
    }

    // MARK: Writing

    private mutating func begin(end: ArraySlice<UInt8>, foreign: Bool) {
        if let lineEnd { output += lineEnd.isEmpty ? ours.lineEnd[...] : lineEnd }
        lineEnd = end
        lastIsForeign = foreign
    }

    private mutating func copy(_ row: TableRow) {
        begin(end: ArraySlice(row.bytes.suffix(row.lineEndCount)), foreign: false)
        output.append(contentsOf: row.bytes[..<row.bodyCount])
    }

    // A row of theirs as they wrote it, with our delimiter and line end.
    private mutating func takeWhole(_ row: KeptRow) {
        begin(end: ours.lineEnd[...], foreign: true)
        guard ours.delimiter != theirs.delimiter else {
            output += row.body
            return
        }
        for index in row.cells.indices {
            if index > 0 { output.append(ours.delimiter) }
            appendRaw(row, index)
        }
    }

    private mutating func appendRaw(_ row: KeptRow, _ index: Int) {
        let start = output.count
        row.bytes.withUnsafeBytes { TableCells.append(raw: $0, row.cells[index], delimiter: ours.delimiter, to: &output) }
        // An only field that is empty would make the row a blank line.
        if output.count == start, columns.result.count == 1 { output += [Byte.quote, Byte.quote] }
    }

    /// A row of the result, cell by cell; at least one of `ours` and `theirs` is there.
    private mutating func compose(ours our: KeptRow?, theirs their: KeptRow?, base: KeptRow?) throws {
        for (row, count) in [(our, ours.columns.count), (their, theirs.columns.count)] {
            if let row, row.cells.count != count { throw TableCompareFault.raggedRow(row: row.number) }
        }
        func value(_ row: KeptRow?, _ place: Int?) -> [UInt8]? {
            guard let row, let place, place < row.cells.count else { return nil }
            return row.value(place)
        }
        begin(
            end: our.map { $0.bytes.suffix($0.lineEndCount) } ?? ours.lineEnd[...], foreign: our == nil)
        var tookTheirs = false
        let keyValues = our.map { key(of: $0, \.ours) } ?? their.map { key(of: $0, \.theirs) } ?? []
        for (index, column) in columns.result.enumerated() {
            if index > 0 { output.append(ours.delimiter) }
            let o = value(our, column.ours)
            let t = value(their, column.theirs)
            let b = value(base, column.base)
            switch (o, t) {
            case (let o?, let t?):
                if o != t, t != b {
                    if o == b {
                        if let their, let place = column.theirs { appendRaw(their, place) }
                        tookTheirs = true
                        note(.cell, keyValues, column: column.name, ours: o, theirs: t)
                        continue
                    }
                    conflict(.cell, keyValues, column: column.name, base: b, ours: o, theirs: t)
                }
                if let our, let place = column.ours { appendRaw(our, place) }
            case (.some, nil): if let our, let place = column.ours { appendRaw(our, place) }
            case (nil, .some):
                if let their, let place = column.theirs { appendRaw(their, place) }
                tookTheirs = true
                if our != nil { note(.cell, keyValues, column: column.name, theirs: t) }
            // A column of the other side in a row that it does not have.
            case (nil, nil): continue
            }
        }
        // In a row that is new a deleted column's value goes with the column.
        if our != nil, their != nil {
            for column in columns.deleted {
                let o = value(our, column.ours)
                let t = value(their, column.theirs)
                let b = value(base, column.base)
                if let o, let b, o != b { conflict(.deletedByTheirs, keyValues, column: column.name, base: b, ours: o) }
                if let t, let b, t != b { conflict(.deletedByOurs, keyValues, column: column.name, base: b, theirs: t) }
            }
        }
        if our == nil { return }
        if tookTheirs { result.changed += 1 }
    }

    // MARK: Conflicts and provenance

    private mutating func note(
        _ kind: TableProvenance.Kind, _ key: [String], column: String? = nil, ours: [UInt8]? = nil, theirs: [UInt8]? = nil
    ) {
        result.provenanceCount += 1
        guard result.provenance.count < options.provenanceMax else { return }
        result.provenance.append(
            TableProvenance(kind: kind, key: key, column: column, ours: ours.map(text), theirs: theirs.map(text)))
    }

    /// Theirs alone changed the row, whose columns all three sides share: which cells.
    private mutating func noteCells(from their: KeptRow, over row: TableRow) {
        let our = row.kept()
        let keyValues = key(of: our, \.ours)
        for column in columns.result {
            guard let o = column.ours, let t = column.theirs, o < our.cells.count, t < their.cells.count else { continue }
            let (before, after) = (our.value(o), their.value(t))
            if before != after { note(.cell, keyValues, column: column.name, ours: before, theirs: after) }
        }
    }

    private func key(of row: KeptRow, _ place: (MergedColumns.Column) -> Int?) -> [String] {
        guard let key = columns.key else { return row.cells.indices.map { text(row.value($0)) } }
        return key.map { column in place(column).flatMap { $0 < row.cells.count ? text(row.value($0)) : nil } ?? "" }
    }

    private func line(_ row: KeptRow) -> [UInt8] { Array(row.body) }

    private func text(_ bytes: [UInt8]) -> String {
        guard bytes.count > options.textBytesMax else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: bytes.prefix(options.textBytesMax), as: UTF8.self) + "…"
    }

    private mutating func conflict(_ kind: TableConflict.Kind, _ key: [String], _ counts: RowCounts) {
        conflict(
            kind, key, base: Array("\(counts.base)".utf8), ours: Array("\(counts.ours)".utf8),
            theirs: Array("\(counts.theirs)".utf8)
        )
    }

    private mutating func conflict(
        _ kind: TableConflict.Kind, _ key: [String], column: String? = nil, base: [UInt8]?, ours: [UInt8]? = nil,
        theirs: [UInt8]? = nil
    ) {
        result.conflictsCount += 1
        guard result.conflicts.count < options.conflictsMax else { return }
        result.conflicts.append(
            TableConflict(
                kind: kind, key: key, column: column, base: base.map(text), ours: ours.map(text), theirs: theirs.map(text)))
    }
}
