// What is in a sealed segment: the body of its footer record.
//
//     entry   u8 type of the record ‖ 32 bytes id ‖ u32 offset of the record ‖ u32 length of the record         41 bytes
//     body    entries, ascending by (id, type, offset)
//
// With it an id is found by binary search and 20 + log2(n) small reads, without a database; it is also the checklist of `store check`.
public import HansaCore

/// The index of a segment: every id that its records stand under.
public struct SegmentFooter: Hashable, Sendable {
    public struct Entry: Hashable, Sendable, Comparable {
        public let kind: SegmentRecord.Kind
        public let id: Digest
        public let offset: UInt32
        public let length: UInt32

        public init(kind: SegmentRecord.Kind, id: Digest, offset: UInt32, length: UInt32) {
            self.kind = kind
            self.id = id
            self.offset = offset
            self.length = length
        }

        public static func < (left: Entry, right: Entry) -> Bool {
            if left.id != right.id { return left.id < right.id }
            return (left.kind.rawValue, left.offset) < (right.kind.rawValue, right.offset)
        }
    }

    static let entryBytes = 41

    /// Ascending by id, type and offset.
    public let entries: [Entry]

    /// Sorts what a writer or a scan collected.
    public init(_ collected: [Entry]) { entries = collected.sorted() }

    /// The footer record and the trailer, as they end a segment whose records end at `offset`.
    public func encoded(at offset: UInt32) -> [UInt8] {
        var body = ByteWriter(reserving: entries.count * SegmentFooter.entryBytes)
        for entry in entries {
            body.u8(entry.kind.rawValue)
            body.digest(entry.id)
            body.u32(entry.offset)
            body.u32(entry.length)
        }
        let framing = body.bytes.withUnsafeBytes { SegmentFormat.framing(type: SegmentFormat.footerType, parts: [$0]) }
        return framing + body.bytes + SegmentFormat.trailer(footerOffset: offset, entries: entries.count)
    }

    /// How many bytes `encoded` gives for so many ids.
    public static func encodedBytes(ids: Int) -> Int {
        SegmentFormat.framingBytes + ids * entryBytes + SegmentFormat.trailerBytes
    }

    /// Reads the footer record and the trailer: all bytes from the trailer's footer offset to the file's end.
    /// Entries ascend, and lie between the header and the footer.
    public init(encoded bytes: [UInt8], at offset: UInt32) throws(SegmentFault) {
        guard let trailer = SegmentFormat.readTrailer(bytes.suffix(SegmentFormat.trailerBytes)), trailer.footerOffset == offset,
            bytes.count == SegmentFooter.encodedBytes(ids: trailer.entries)
        else { throw .footer }
        let body = bytes[SegmentFormat.framingBytes..<(bytes.count - SegmentFormat.trailerBytes)]
        let isIntact = bytes.withUnsafeBytes { buffer in
            guard let framing = try? SegmentFormat.readFraming(buffer), framing.type == SegmentFormat.footerType,
                framing.bodyBytes == body.count
            else { return false }
            let content = UnsafeRawBufferPointer(
                rebasing: buffer[SegmentFormat.framingBytes..<(SegmentFormat.framingBytes + body.count)])
            return SegmentFormat.isIntact(framing: buffer, body: [content], checksum: framing.checksum)
        }
        guard isIntact else { throw .footer }
        do throws(ByteFault) {
            var entries: [Entry] = []
            entries.reserveCapacity(trailer.entries)
            var reader = ByteReader(body)
            while !reader.isAtEnd {
                let type = try reader.u8()
                guard let kind = SegmentRecord.Kind(rawValue: type) else { throw ByteFault.malformed("type") }
                let entry = Entry(kind: kind, id: try reader.digest(), offset: try reader.u32(), length: try reader.u32())
                let fits =
                    entry.offset >= SegmentFormat.headerBytes && entry.length >= SegmentFormat.framingBytes
                    && UInt64(entry.offset) + UInt64(entry.length) <= UInt64(offset)
                guard fits, entries.last.map({ $0 <= entry }) ?? true else { throw ByteFault.malformed("entry") }
                entries.append(entry)
            }
            self.entries = entries
        } catch {
            throw .footer
        }
    }

    /// The entries of an id. O(log n).
    public func entries(of id: Digest) -> ArraySlice<Entry> {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        var end = low
        while end < entries.count, entries[end].id == id { end += 1 }
        return entries[low..<end]
    }
}
