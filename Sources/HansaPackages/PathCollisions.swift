// Names that some file systems cannot tell apart.
internal import HansaCore

/// Two names of a package that differ only by case or Unicode normalisation, or of which one is both file and directory.
public struct PathCollision: Error, Equatable, Sendable, CustomStringConvertible {
    public let first: String
    public let second: String

    public init(_ first: String, _ second: String) {
        self.first = first
        self.second = second
    }

    public var description: String {
        let (first, second) = (first.printable(charactersMax: 120), second.printable(charactersMax: 120))
        return self.first.utf8.elementsEqual(self.second.utf8)
            ? "'\(first)' is named twice, or is both a file and a directory"
            : "'\(first)' and '\(second)' differ only by case or Unicode normalisation"
    }
}

/// Finds collisions in a set of paths, their directories included.
///
/// Two names collide when they are canonically equivalent (Unicode TR 15) after case folding by full upper then lower mapping
/// (so `ß` and `SS` collide, as they do on APFS and NTFS-like systems at the worst). Packages refuse such pairs, so that a
/// checkout means the same on every file system.
public struct PathCollisions: Sendable {
    private enum Use: Sendable { case file, directory }

    // Keyed by the folded path; equality of strings is canonical equivalence in Swift.
    private var names: [String: (name: String, use: Use)] = [:]

    public init(reserving count: Int = 0) { names.reserveCapacity(count) }

    /// All collisions among `paths`, in the order in which the later name of each pair comes. O(total bytes).
    public static func find(in paths: some Sequence<String>) -> [PathCollision] {
        var collisions = PathCollisions(reserving: paths.underestimatedCount)
        return paths.compactMap { collisions.insert($0) }
    }

    /// Adds one file's path; returns the collision with an earlier one, if there is one.
    public mutating func insert(_ path: String) -> PathCollision? {
        var found: PathCollision?
        var end = path.utf8.startIndex
        while let slash = path.utf8[end...].firstIndex(of: UInt8(ascii: "/")) {
            if let collision = insert(String(path[..<slash]), as: .directory) { found = found ?? collision }
            end = path.utf8.index(after: slash)
        }
        return found ?? insert(path, as: .file)
    }

    private mutating func insert(_ name: String, as use: Use) -> PathCollision? {
        let key = PathCollisions.folded(name)
        guard let earlier = names[key] else {
            names[key] = (name, use)
            return nil
        }
        let same = earlier.name.utf8.elementsEqual(name.utf8)
        return same && use == .directory && earlier.use == .directory ? nil : PathCollision(earlier.name, name)
    }

    static func folded(_ name: String) -> String {
        var name = name
        let ascii: String? = name.withUTF8 { bytes in
            guard bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
            return String(unsafeUninitializedCapacity: bytes.count) { lower in
                for (index, byte) in bytes.enumerated() { lower[index] = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
                return bytes.count
            }
        }
        return ascii ?? name.uppercased().lowercased()
    }
}
