// Three versions of a table become one: `ours` and `theirs` against their common ancestor, by primary key, cell by cell (SYNC.md §4).
//
// A cell that one side changed is taken from it; a conflict is only where both changed one cell to different values, or one deleted a row or a
// column that the other changed. Without a key the whole row is the key, with its number of occurrences.
// The result has the rows of `ours` in their order, each with its exact bytes where nothing came from the other side; rows that `theirs` added
// stand behind the row they follow there. Where one side changed nothing the result is the other side's file, byte for byte.
//
// Memory: 40 bytes for each row of a part of at most `rowsMax`, 4 bytes for each row of `theirs`, and the rows of `theirs` and the ancestor from
// which cells are taken, at most `heldBytesMax`.
internal import HansaCore

/// A place where a person must decide.
public struct TableConflict: Sendable, Equatable {
    public enum Kind: String, Sendable {
        /// Both sides gave one cell different values.
        case cell
        /// Our side deleted a row or column that theirs changed.
        case deletedByOurs = "deleted-by-ours"
        case deletedByTheirs = "deleted-by-theirs"
        /// Without a key: one side has more of a row than the ancestor, the other fewer.
        case occurrences
    }

    public let kind: Kind
    /// The key's values, or the whole row without a key.
    public let key: [String]
    /// Nil where the whole row is meant.
    public let column: String?
    /// The values, or rows, on the three sides; nil where there is none.
    public let base: String?
    public let ours: String?
    public let theirs: String?
}

/// A place of the result that comes from the other side; all else stands as ours has it.
public struct TableProvenance: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case cell
        /// A row of theirs.
        case row
        /// A row of ours that theirs deleted.
        case removed
    }

    public let kind: Kind
    /// The key's values, or the whole row without a key.
    public let key: [String]
    /// Nil for a row.
    public let column: String?
    /// What ours had; nil where it had nothing.
    public let ours: String?
    public let theirs: String?
}

/// What a merge did.
public struct TableMergeResult: Sendable, Equatable {
    /// At most as many as asked for, in the order of the result.
    public internal(set) var conflicts: [TableConflict] = []
    public internal(set) var conflictsCount: UInt64 = 0
    /// Cell by cell, at most as many as asked for, in the order of the result.
    public internal(set) var provenance: [TableProvenance] = []
    public internal(set) var provenanceCount: UInt64 = 0
    /// Rows of theirs that came in.
    public internal(set) var added: UInt64 = 0
    /// Rows of ours that theirs deleted.
    public internal(set) var removed: UInt64 = 0
    /// Rows of ours that took something from theirs.
    public internal(set) var changed: UInt64 = 0
    /// The result is one side's file, byte for byte.
    public internal(set) var isWhole = false

    public var isClean: Bool { conflictsCount == 0 }
}

/// How a table is read and merged, and the bounds of it.
public struct TableMergeOptions: Sendable {
    /// Names of the primary key's columns; nil or empty: the whole row.
    public var key: [String]?
    /// Of base, ours, theirs; nil: found as inference does.
    public var delimiters: (base: UInt8?, ours: UInt8?, theirs: UInt8?) = (nil, nil, nil)
    public var rowsMax = 1 << 20
    public var heldBytesMax = 256 << 20
    public var conflictsMax = 1000
    public var provenanceMax = 1000
    /// Of each value in a conflict.
    public var textBytesMax = 4096

    public init(key: [String]?) { self.key = key }
}

public enum TableMerge {
    /// Merges `theirs` into `ours` and writes the result. Where there are conflicts the result has our value.
    ///
    /// `base` is nil where the table has no common ancestor. Reads each table a few times. Throws `TableCompareFault` before anything is written
    /// unless a row turns out ragged, and whatever a source or `write` throws.
    public static func merge(
        base: (some TableSource)?, ours: some TableSource, theirs: some TableSource, options: TableMergeOptions,
        write: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> TableMergeResult {
        let b = try base.map { try TableShape($0, delimiter: options.delimiters.base) }
        let o = try TableShape(ours, delimiter: options.delimiters.ours)
        let t = try TableShape(theirs, delimiter: options.delimiters.theirs)
        var result = TableMergeResult()
        if o.digest == t.digest || t.digest == b?.digest || o.digest == b?.digest {
            result.isWhole = true
            if t.digest == b?.digest || o.digest == t.digest {
                try ours.read {
                    try write($0)
                    return true
                }
            } else {
                try theirs.read {
                    try write($0)
                    return true
                }
            }
            return result
        }
        let columns = try MergedColumns(base: b?.columns, ours: o.columns, theirs: t.columns, key: options.key)
        var plan = MergePlan(columns: columns, theirsRows: t.rows)
        try plan.make(base: base.flatMap { source in b.map { (source, $0) } }, ours: (ours, o), theirs: (theirs, t), options)
        let theirRows = try t.rows(plan.theirsHeld, of: theirs, bytesMax: options.heldBytesMax)
        var baseRows: [UInt64: KeptRow] = [:]
        if let base, let b { baseRows = try b.rows(plan.baseHeld, of: base, bytesMax: options.heldBytesMax) }
        var writer = MergeWriter(
            columns: columns, ours: o, theirs: t, baseRows: baseRows, theirRows: theirRows, options: options)
        try writer.run(plan, ours, write)
        return writer.result
    }
}

/// The columns of the result, and where each stands on the three sides.
struct MergedColumns {
    struct Column {
        let name: String
        let base: Int?
        let ours: Int?
        let theirs: Int?
    }

    /// In the order of the result.
    let result: [Column]
    /// Deleted on one side: still looked at for changes on the other.
    let deleted: [Column]
    /// Where the key's columns stand; nil without a key.
    let key: [Column]?
    /// All three headers say the same: rows can be compared as wholes.
    let areEqual: Bool
    /// The result's columns are ours: our rows can be copied.
    let areOurs: Bool

    init(base: [String]?, ours: [String], theirs: [String], key: [String]?) throws {
        func places(_ names: [String]) -> [String: Int] {
            Dictionary(names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        }
        let b = places(base ?? [])
        let o = places(ours)
        let t = places(theirs)
        func column(_ name: String) -> Column { Column(name: name, base: b[name], ours: o[name], theirs: t[name]) }
        // What theirs added stands behind the column it follows there.
        var behind: [String: [String]] = [:]
        var front: [String] = []
        var last: String?
        for name in theirs {
            if o[name] != nil {
                last = name
            } else if b[name] == nil {
                if let last { behind[last, default: []].append(name) } else { front.append(name) }
            }
        }
        var names = front
        for name in ours {
            // Deleted by theirs: what it carried behind it stays.
            if !(b[name] != nil && t[name] == nil) { names.append(name) }
            names += behind[name] ?? []
        }
        let wanted = key ?? []
        if let missing = wanted.first(where: { o[$0] == nil || t[$0] == nil || (base != nil && b[$0] == nil) }) {
            throw TableCompareFault.keyColumnMissing(missing)
        }
        let equal = ours == theirs && (base == nil || base == ours)
        if wanted.isEmpty, !equal { throw TableCompareFault.columnsDifferWithoutKey }
        result = names.map(column)
        let kept = Set(names)
        deleted = (base ?? []).filter { !kept.contains($0) && (o[$0] != nil) != (t[$0] != nil) }.map(column)
        self.key = wanted.isEmpty ? nil : wanted.map(column)
        areEqual = equal
        areOurs = names == ours
    }
}
