public import HansaCore

/// What two package patterns have in common, decided on their texts: segments against segments, `*` within and `**` across.
///
/// Both questions are answered without the limits on a path's length and number of segments. So `intersects` may say yes for
/// two patterns that no path of legal length satisfies, and never says no wrongly; `covers` may say no for a pattern that is
/// in truth covered, and never says yes wrongly. Neither ever decides access: `Policy` matches each package itself.
public enum PatternOverlap {
    /// Whether some package may match both.
    public static func intersects(_ left: PackagePattern, _ right: PackagePattern) -> Bool {
        guard left.city == right.city else { return false }
        return meet(segments(left)[...], segments(right)[...])
    }

    /// Whether every package that `inner` matches is certainly matched by `outer`.
    public static func covers(_ outer: PackagePattern, _ inner: PackagePattern) -> Bool {
        guard outer.city == inner.city else { return false }
        return cover(segments(outer)[...], segments(inner)[...])
    }

    private static let star = UInt8(ascii: "*")
    private static let anySegments: [UInt8] = [star, star]

    private static func segments(_ pattern: PackagePattern) -> [[UInt8]] {
        pattern.text.utf8.split(separator: UInt8(ascii: "/")).dropFirst().map(Array.init)
    }

    // At most 8 segments a side, so at most some thousands of calls.
    private static func meet(_ left: ArraySlice<[UInt8]>, _ right: ArraySlice<[UInt8]>) -> Bool {
        guard let a = left.first else { return right.allSatisfy { $0 == anySegments } }
        guard let b = right.first else { return left.allSatisfy { $0 == anySegments } }
        if a == anySegments { return meet(left.dropFirst(), right) || meet(left, right.dropFirst()) }
        if b == anySegments { return meet(left, right.dropFirst()) || meet(left.dropFirst(), right) }
        return meetSegment(a, b) && meet(left.dropFirst(), right.dropFirst())
    }

    private static func cover(_ outer: ArraySlice<[UInt8]>, _ inner: ArraySlice<[UInt8]>) -> Bool {
        guard let a = outer.first else { return inner.isEmpty }
        if a == anySegments {
            if cover(outer.dropFirst(), inner) { return true }
            return !inner.isEmpty && cover(outer, inner.dropFirst())
        }
        guard let b = inner.first, b != anySegments, coverSegment(a, b) else { return false }
        return cover(outer.dropFirst(), inner.dropFirst())
    }

    /// Whether some text matches both globs. Rows of a table over the positions in both: `row[j]` says that the first i bytes
    /// of `a` and the first j of `b` can match one text.
    private static func meetSegment(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        var row = [Bool](repeating: false, count: b.count + 1)
        row[0] = true
        for j in 0..<b.count where b[j] == star && row[j] { row[j + 1] = true }
        for i in 0..<a.count {
            var next = [Bool](repeating: false, count: b.count + 1)
            next[0] = row[0] && a[i] == star
            for j in 0..<b.count {
                if a[i] == star || b[j] == star {
                    next[j + 1] = row[j + 1] || next[j]
                } else {
                    next[j + 1] = row[j] && a[i] == b[j]
                }
            }
            row = next
        }
        return row[b.count]
    }

    /// Whether the glob `outer` matches the glob `inner` read as a text in which `*` is a letter that only `*` matches.
    private static func coverSegment(_ outer: [UInt8], _ inner: [UInt8]) -> Bool {
        var row = [Bool](repeating: false, count: inner.count + 1)
        row[0] = true
        for byte in outer {
            var next = [Bool](repeating: false, count: inner.count + 1)
            next[0] = row[0] && byte == star
            for j in 0..<inner.count {
                next[j + 1] = byte == star ? next[j] || row[j + 1] : row[j] && inner[j] == byte
            }
            row = next
        }
        return row[inner.count]
    }
}
