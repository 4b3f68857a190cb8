internal import HansaCore

/// How far each unsealed segment is durable: what a database keeps, so that the next open() reads only what came after, and can tell damage
/// from a crash.
///
/// Take it after `sync` (`SegmentStore.durableMarks`) and commit it in the transaction that names the records. Marks that are too low do no
/// harm: whole records beyond them are found and kept. Marks are never too high, because they say what an fsync has covered.
public struct SegmentMarks: Hashable, Sendable {
    /// The end of the last durable record, by segment.
    public let ends: [UInt32: UInt64]

    public init(ends: [UInt32: UInt64] = [:]) { self.ends = ends }

    /// Reads what `encoded` wrote; nil for anything else.
    public init?(encoded: [UInt8]) {
        var ends: [UInt32: UInt64] = [:]
        var reader = ByteReader(encoded)
        while !reader.isAtEnd {
            guard let segment = try? reader.u32(), let end = try? reader.u64() else { return nil }
            ends[segment] = end
        }
        self.ends = ends
    }

    /// For each segment in ascending order: u32 id ‖ u64 end, big-endian.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: ends.count * 12)
        for (segment, end) in ends.sorted(by: { $0.key < $1.key }) {
            writer.u32(segment)
            writer.u64(end)
        }
        return writer.bytes
    }
}
