public import HansaCore

/// The entries beside a tile of level 0: each as u16 big-endian length and its bytes.
public enum EntryBundle {
    /// Longest bundle that can be.
    public static let bytesMax = TilePath.fullWidth * (2 + Limits.logEntryBytesMax)

    /// Traps above 65,535 bytes: whoever accepted the entry has checked.
    public static func append(_ entry: some Collection<UInt8>, to bundle: inout [UInt8]) {
        precondition(entry.count <= Limits.logEntryBytesMax, "a log entry of \(entry.count) bytes")
        bundle.append(UInt8(truncatingIfNeeded: entry.count >> 8))
        bundle.append(UInt8(truncatingIfNeeded: entry.count))
        bundle.append(contentsOf: entry)
    }

    public static func encode(_ entries: some Sequence<[UInt8]>) -> [UInt8] {
        var bundle: [UInt8] = []
        for entry in entries { append(entry, to: &bundle) }
        return bundle
    }

    /// The `count` entries of a bundle, as slices of it; throws when it holds fewer, or anything more.
    public static func decode(_ bundle: [UInt8], count: Int) throws(ByteFault) -> [ArraySlice<UInt8>] {
        var reader = ByteReader(bundle)
        var entries: [ArraySlice<UInt8>] = []
        entries.reserveCapacity(count)
        for _ in 0..<count { entries.append(try reader.raw(Int(reader.u16()))) }
        try reader.end()
        return entries
    }
}

extension TilePath {
    /// Whether `bytes` are this partial tile, whole, as the beginning of the wider tile `whole` that took its place.
    func isBeginning(_ bytes: [UInt8], of whole: [UInt8]) -> Bool {
        guard whole.starts(with: bytes) else { return false }
        return switch kind {
        case .hashes: bytes.count == width * Digest.byteCount
        case .entries: (try? EntryBundle.decode(bytes, count: width)) != nil
        }
    }
}
