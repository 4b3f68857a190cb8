// What becomes of each row in a merge, decided from the rows' hashes alone.

/// What is done with one of our rows.
enum RowAction: Sendable {
    /// Theirs deleted it.
    case drop
    /// Only theirs changed it.
    case take(theirs: UInt64)
    /// Both may have changed it: cell by cell.
    case join(base: UInt64?, theirs: UInt64)
    /// Theirs deleted it, and we may have changed it: then a conflict, and ours stays.
    case deletedByTheirs(base: UInt64)
    /// Without a key: theirs deleted occurrences of what we have more of, or the other way round.
    case occurrences(RowCounts)
}

/// How often a row occurs on each side.
struct RowCounts: Sendable {
    let base: Int
    let ours: Int
    let theirs: Int
}

/// A row of theirs without a counterpart in ours.
struct Arrival: Sendable {
    enum Kind: Sendable {
        case added
        /// We deleted it, and theirs may have changed it: then a conflict. Nothing is written.
        case deletedByOurs(base: UInt64)
        case occurrences(RowCounts)
    }

    let theirs: UInt64
    let kind: Kind
    /// The row of ours behind which it stands; 1 is the header.
    var anchor: UInt64 = 1
}

struct MergePlan {
    let columns: MergedColumns
    /// By our row's number, ascending.
    private(set) var actions: [(row: UInt64, action: RowAction)] = []
    /// By anchor, then by their order.
    private(set) var arrivals: [Arrival] = []
    /// The rows whose bytes are needed, ascending.
    private(set) var theirsHeld: [UInt64] = []
    private(set) var baseHeld: [UInt64] = []
    /// For each row of theirs the row of ours with its key; 0 where there is none. Index = row number.
    private var partners: [UInt32]

    init(columns: MergedColumns, theirsRows: UInt64) {
        self.columns = columns
        partners = Array(repeating: 0, count: Int(theirsRows) + 2)
    }

    mutating func make<B: TableSource, O: TableSource, T: TableSource>(
        base: (source: B, shape: TableShape)?, ours: (source: O, shape: TableShape), theirs: (source: T, shape: TableShape),
        _ options: TableMergeOptions
    ) throws {
        let parts = RowProjection.parts(
            rows: max(base?.shape.rows ?? 0, ours.shape.rows, theirs.shape.rows), rowsMax: options.rowsMax)
        for part in 0..<parts {
            func projection(_ shape: TableShape, _ place: (MergedColumns.Column) -> Int?) -> RowProjection {
                RowProjection(
                    key: columns.key?.compactMap(place), content: Array(shape.columns.indices), columns: shape.columns.count,
                    part: (part, parts))
            }
            let lists = [
                try base.map { try projection($0.shape, \.base).entries(of: $0.source, $0.shape) } ?? [],
                try projection(ours.shape, \.ours).entries(of: ours.source, ours.shape),
                try projection(theirs.shape, \.theirs).entries(of: theirs.source, theirs.shape),
            ]
            try KeyJoin.forEach(lists) { runs in
                if columns.key != nil {
                    for run in runs {
                        if let second = run.dropFirst().first { throw TableCompareFault.repeatedKey(row: second.row) }
                    }
                    decide(base: runs[0].first, ours: runs[1].first, theirs: runs[2].first)
                } else {
                    count(base: runs[0], ours: runs[1], theirs: runs[2])
                }
            }
        }
        finish()
    }

    // MARK: With a key

    private mutating func decide(base: RowEntry?, ours: RowEntry?, theirs: RowEntry?) {
        // Where the columns differ equal hashes say nothing, and every row is looked at.
        let compares = columns.areEqual
        switch (ours, theirs) {
        case (let ours?, let theirs?):
            partners[Int(theirs.row)] = UInt32(ours.row)
            if compares {
                if ours.content == theirs.content || theirs.content == base?.content { return }
                if ours.content == base?.content { return actions.append((ours.row, .take(theirs: theirs.row))) }
            }
            actions.append((ours.row, .join(base: base?.row, theirs: theirs.row)))
        case (let ours?, nil):
            guard let base else { return }
            let isUnchanged = compares && ours.content == base.content
            actions.append((ours.row, isUnchanged ? .drop : .deletedByTheirs(base: base.row)))
        case (nil, let theirs?):
            if let base, compares, theirs.content == base.content { return }
            arrivals.append(Arrival(theirs: theirs.row, kind: base.map { .deletedByOurs(base: $0.row) } ?? .added))
        case (nil, nil): return
        }
    }

    // MARK: Without a key

    private mutating func count(base: ArraySlice<RowEntry>, ours: ArraySlice<RowEntry>, theirs: ArraySlice<RowEntry>) {
        for (our, their) in zip(ours, theirs) { partners[Int(their.row)] = UInt32(our.row) }
        let (b, o, t) = (base.count, ours.count, theirs.count)
        if t == b || t == o { return }
        var wanted = o
        if o == b {
            wanted = t
        } else if o > b, t > b {
            wanted = max(o, t)
        } else if o < b, t < b {
            wanted = min(o, t)
        } else {
            // One side wrote it again, the other deleted it. The one that has it shows it.
            let counts = RowCounts(base: b, ours: o, theirs: t)
            if let our = ours.first {
                actions.append((our.row, .occurrences(counts)))
            } else if let their = theirs.first {
                arrivals.append(Arrival(theirs: their.row, kind: .occurrences(counts)))
            }
        }
        for our in ours.dropFirst(wanted) { actions.append((our.row, .drop)) }
        for their in theirs.dropFirst(o).prefix(max(0, wanted - o)) {
            arrivals.append(Arrival(theirs: their.row, kind: .added))
        }
    }

    // MARK: Order

    private mutating func finish() {
        actions.sort { $0.row < $1.row }
        arrivals.sort { $0.theirs < $1.theirs }
        var anchor: UInt64 = 1
        var row = 2
        for index in arrivals.indices {
            while row < Int(arrivals[index].theirs) {
                if partners[row] != 0 { anchor = UInt64(partners[row]) }
                row += 1
            }
            arrivals[index].anchor = anchor
        }
        // Stable in their order behind one anchor.
        arrivals.sort { $0.anchor != $1.anchor ? $0.anchor < $1.anchor : $0.theirs < $1.theirs }
        var theirs = arrivals.map(\.theirs)
        var base = arrivals.compactMap { if case .deletedByOurs(let row) = $0.kind { row } else { nil } }
        for (_, action) in actions {
            switch action {
            case .drop, .occurrences: continue
            case .take(let row): theirs.append(row)
            case .join(let old, let row):
                theirs.append(row)
                if let old { base.append(old) }
            case .deletedByTheirs(let old): base.append(old)
            }
        }
        partners = []
        theirsHeld = theirs.sorted()
        baseHeld = base.sorted()
    }
}
