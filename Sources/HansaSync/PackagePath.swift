internal import HansaCore

/// Paths that a release may name: checked before anything of it is stored, whatever its publisher signed (FORMATS.md §7).
enum PackagePath {
    /// Relative POSIX, no empty, dot or dot-led segments, no control characters or backslashes; a tag file of the bag, or below `data/`.
    static func isSafe(_ path: String) -> Bool {
        guard (1...Limits.filePathBytesMax).contains(path.utf8.count),
            !path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F || $0 == 0x5C }), path.hasWholeSlashes
        else { return false }
        let segments = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return segments.allSatisfy { (1...255).contains($0.count) && $0.first != UInt8(ascii: ".") }
    }
}
