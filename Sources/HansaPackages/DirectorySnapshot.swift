// How a directory looked when it was last published: whether it changed is found out before a byte is read.
public import HansaCore
internal import HansaCrypto

/// The stat data of a directory's files at one moment, as git's index keeps them.
///
/// Encoded (all integers big-endian): u8 version 1; i64 time of the listing; varint count; for each file, sorted by path:
/// varint length and bytes of the path, u64 size, i64 mtime, i64 ctime, u64 inode, u64 device (times in ns since 1970).
public struct DirectorySnapshot: Sendable, Equatable {
    /// What comparing says.
    public enum Comparison: Sendable, Equatable {
        /// No file can have changed.
        case unchanged
        /// Nothing seems to have changed, but these files were written so shortly before the earlier listing, or after it,
        /// that a later write may hide in the same timestamp: read them and compare their digests.
        case mustRead([String])
        case changed
    }

    /// File systems stamp with the kernel's tick, which lags behind the clock by up to this much (ns).
    public static let clockLag: Int64 = 20_000_000
    /// Where both times of a file are whole seconds, the file system may know no finer ones; the coarsest know 2 s (ns).
    public static let coarseLag: Int64 = 2_000_000_000

    /// Regular files only, sorted by path bytes, without hidden ones: what publishing would take.
    public let entries: [DirectoryEntry]
    /// When the listing began, in ns since 1970, before any file was stat'ed.
    public let takenAt: Int64
    /// Links or special files were there: publishing would refuse them, so such a directory is never unchanged.
    private let hasSpecial: Bool

    public init(of listing: [DirectoryEntry], takenAt: Int64) {
        var entries = listing.filter { $0.kind == .file && PublishPlan.hiddenTop(of: $0.path) == nil }
        if entries.count > 1 { entries.sort { PayloadPath.precedes($0.path, $1.path) } }
        self.entries = entries
        self.takenAt = takenAt
        hasSpecial = listing.contains {
            $0.kind != .file && $0.kind != .directory && PublishPlan.hiddenTop(of: $0.path) == nil
        }
    }

    /// Compares this, the newer snapshot, with the one kept from the last publish.
    ///
    /// Equal are same paths with same size, mtime, ctime, inode and device. Git's rule for racy timestamps: a file whose mtime
    /// or ctime is not older than the *earlier* listing may have been written again unseen.
    public func compared(to earlier: DirectorySnapshot) -> Comparison {
        guard !hasSpecial, entries == earlier.entries else { return .changed }
        let racy = earlier.entries.filter { earlier.isRacy($0) }
        return racy.isEmpty ? .unchanged : .mustRead(racy.map(\.path))
    }

    /// `compared(to:)` with nothing left to read.
    public func isUnchanged(comparedTo earlier: DirectorySnapshot) -> Bool { compared(to: earlier) == .unchanged }

    private func isRacy(_ entry: DirectoryEntry) -> Bool {
        let whole = entry.modified % 1_000_000_000 == 0 && entry.changed % 1_000_000_000 == 0
        let lag = whole ? DirectorySnapshot.coarseLag : DirectorySnapshot.clockLag
        return max(entry.modified, entry.changed) >= takenAt - lag
    }

    // MARK: Bytes

    private static let formatVersion: UInt8 = 1

    public func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: 16 + entries.reduce(0) { $0 + $1.path.utf8.count + 44 })
        writer.u8(DirectorySnapshot.formatVersion)
        writer.u64(UInt64(bitPattern: takenAt))
        write(to: &writer)
        return writer.bytes
    }

    private func write(to writer: inout ByteWriter) {
        writer.varint(entries.count)
        for entry in entries {
            writer.varint(entry.path.utf8.count)
            writer.raw(entry.path.utf8)
            writer.u64(entry.size)
            writer.u64(UInt64(bitPattern: entry.modified))
            writer.u64(UInt64(bitPattern: entry.changed))
            writer.u64(entry.inode)
            writer.u64(entry.device)
        }
    }

    public init(encoded bytes: [UInt8]) throws(ByteFault) {
        var reader = ByteReader(bytes)
        guard try reader.u8() == DirectorySnapshot.formatVersion else { throw .malformed("snapshot version") }
        takenAt = Int64(bitPattern: try reader.u64())
        let count = try reader.count(max: Limits.filesMax * 2)
        var entries: [DirectoryEntry] = []
        // A short text cannot make us reserve much: each entry takes 41 bytes at least.
        entries.reserveCapacity(min(count, reader.left / 41))
        for _ in 0..<count {
            let path = try reader.text(max: 4096)
            let size = try reader.u64()
            let modified = Int64(bitPattern: try reader.u64())
            let changed = Int64(bitPattern: try reader.u64())
            let inode = try reader.u64()
            entries.append(
                DirectoryEntry(
                    path: path, size: size, modified: modified, changed: changed, inode: inode, device: try reader.u64()))
        }
        try reader.end()
        self.entries = entries
        hasSpecial = false
    }

    /// SHA-256 over the files' stat data, without the time of the listing: equal listings of equal directories.
    public var digest: Digest {
        var writer = ByteWriter(reserving: 16 + entries.reduce(0) { $0 + $1.path.utf8.count + 44 })
        write(to: &writer)
        return SHA256.hash(writer.bytes)
    }
}
