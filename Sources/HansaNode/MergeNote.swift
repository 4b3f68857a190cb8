// Of which heads a merge is made. `conflict merge PACKAGE DIR` leaves it in DIR, where it stays while a person edits, for hours or days: heads that come
// meanwhile are not in the files, and a release that followed them all the same would undo them.
public import HansaCore

public struct MergeNote: Sendable, Codable, Equatable {
    /// In the merged directory. Names that start with a dot are no payload.
    public static let fileName = ".hansa-merge"
    /// A note is a line of some 100 bytes for each release of a head.
    public static let bytesMax = 64 * 1024
    private static let heading = "hansa-merge/1 "

    /// city/path.
    public let package: String
    /// Every release of every head, in order.
    public let heads: [Digest]

    public init(package: String, heads: [Digest]) {
        self.package = package
        self.heads = heads
    }

    /// One line that names the package, then one for each release.
    public var text: String { (["\(MergeNote.heading)\(package)"] + heads.map(\.prefixed)).joined(separator: "\n") + "\n" }

    /// Nil for any other text.
    public init?(text: String) {
        let lines = text.split(separator: "\n").map(String.init)
        guard let first = lines.first, first.hasPrefix(MergeNote.heading) else { return nil }
        var heads: [Digest] = []
        for line in lines.dropFirst() {
            guard let digest = Digest(prefixed: line) else { return nil }
            heads.append(digest)
        }
        self.init(package: String(first.dropFirst(MergeNote.heading.count)), heads: heads)
    }
}
