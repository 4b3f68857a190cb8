// Which columns identify a row: the search for a primary key, in bounded memory.

/// One column, or two that count together.
struct KeyColumns: Sendable, Equatable {
    let first: Int
    /// Greater than `first`.
    let second: Int?

    init(_ first: Int, _ second: Int? = nil) {
        self.first = first
        self.second = second
    }

    var indices: [Int] { second.map { [first, $0] } ?? [first] }
}

/// Finds the first of some candidates whose values are present and unique in every row.
///
/// Call order: `add` candidates by preference; for each row `observe` its fields in order, then `endRow` (or `dropRow`);
/// `firstUnique` at the end. A row is remembered as a 64-bit fingerprint (SipHash-1-3): values that repeat are always noticed;
/// values that do not are taken for a repeat with a chance below 2^-24 at 2^20 rows, and then only a key goes unclaimed.
/// Only the first candidate left keeps a set; the others keep lists, which cost little, until it falls. Beyond `rowsMax` rows
/// the search ends without a key. Memory: 16 bytes a row and set, 8 a row for each list.
struct KeySearch: Sendable {
    private struct Candidate: Sendable {
        let columns: KeyColumns
        var hash = SipHash13()
        var isPresent = true
        var rows: [UInt64] = []
    }

    let rowsMax: Int
    private(set) var gaveUp = false
    /// One more than the last column that a candidate needs; 0 when none is left.
    private(set) var columnsEnd = 0
    private var candidates: [Candidate] = []
    /// The rows of `candidates[0]`, but for those that wait.
    private var seen = FingerprintSet()
    /// Rows of `candidates[0]` that are looked up together: each look-up misses the caches, and many at once wait for memory at the same time.
    private var waiting: [UInt64] = []
    private static let waitingMax = 1024
    private var rows = 0

    init(rowsMax: Int) { self.rowsMax = rowsMax }

    mutating func add(_ columns: KeyColumns) {
        candidates.append(Candidate(columns: columns))
        columnsEnd = max(columnsEnd, (columns.second ?? columns.first) + 1)
    }

    @inline(never)
    mutating func observe(_ column: Int, _ bytes: UnsafeRawBufferPointer) {
        for index in candidates.indices
        where candidates[index].columns.first == column || candidates[index].columns.second == column {
            if bytes.count == 0 { candidates[index].isPresent = false } else { candidates[index].hash.update(bytes) }
        }
    }

    /// The row was blank.
    mutating func dropRow() {
        for index in candidates.indices { resetRow(index) }
    }

    /// The row is complete. Fields that a short row did not have count as missing.
    mutating func endRow(fields: Int) {
        guard columnsEnd > 0 else { return }
        rows += 1
        if rows > rowsMax { lookUpWaiting() }
        guard rows <= rowsMax else {
            guard columnsEnd > 0 else { return }
            // Some candidate was unique so far, and we stop remembering: no key is claimed.
            gaveUp = true
            drop { _ in true }
            return
        }
        var lost = false
        for index in candidates.indices {
            let columns = candidates[index].columns
            let isPresent = candidates[index].isPresent && (columns.second ?? columns.first) < fields
            let fingerprint = candidates[index].hash.finish()
            if isPresent, index > 0 {
                candidates[index].rows.append(fingerprint)
            } else if isPresent {
                waiting.append(fingerprint)
            } else {
                candidates[index].isPresent = false
                lost = true
                continue
            }
            resetRow(index)
        }
        if lost {
            let first = candidates[0].columns
            drop { !$0.isPresent }
            if candidates.first?.columns != first { promote() }
        }
        if waiting.count >= KeySearch.waitingMax { lookUpWaiting() }
    }

    /// The first candidate falls when one of its rows was there before.
    private mutating func lookUpWaiting() {
        var isUnique = true
        for fingerprint in waiting where !seen.insert(fingerprint) { isUnique = false }
        waiting.removeAll(keepingCapacity: true)
        guard !isUnique, let columns = candidates.first?.columns else { return }
        drop { $0.columns == columns }
        promote()
    }

    /// The first candidate that is unique and that `fits`, or nil.
    mutating func firstUnique(where fits: (KeyColumns) -> Bool) -> KeyColumns? {
        lookUpWaiting()
        while let candidate = candidates.first {
            if fits(candidate.columns) { return candidate.columns }
            candidates.removeFirst()
            promote()
        }
        return nil
    }

    /// Not every row will be shown: nothing is claimed, or remembered.
    mutating func abandon() {
        drop { _ in true }
        seen = FingerprintSet()
        waiting = []
    }

    private mutating func resetRow(_ index: Int) {
        candidates[index].hash = SipHash13()
        candidates[index].isPresent = true
    }

    private mutating func drop(where isOut: (Candidate) -> Bool) {
        candidates.removeAll(where: isOut)
        columnsEnd = 0
        for candidate in candidates { columnsEnd = max(columnsEnd, (candidate.columns.second ?? candidate.columns.first) + 1) }
    }

    // The candidate that is now first turns its list into the set, and falls when a row repeats.
    private mutating func promote() {
        seen = FingerprintSet()
        waiting.removeAll(keepingCapacity: true)
        while let candidate = candidates.first {
            var isUnique = true
            for fingerprint in candidate.rows where isUnique { isUnique = seen.insert(fingerprint) }
            if isUnique {
                candidates[0].rows = []
                return
            }
            let columns = candidate.columns
            drop { $0.columns == columns }
            seen = FingerprintSet()
        }
    }
}
