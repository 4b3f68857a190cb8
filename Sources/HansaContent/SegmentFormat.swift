// A segment: an append-only file of records, closed by an index of itself. All integers are big-endian.
//
//     header   "HANSASEG" ‖ u8 version = 1 ‖ u8 class ‖ u16 0 ‖ u32 id ‖ u32 CRC-32C of the 16 bytes before        20 bytes
//     record   u8 type ‖ u32 length of the body ‖ u32 CRC-32C of type, length and body ‖ body                       9 bytes + body
//     footer   a record of type 255, whose body lists every id in the segment (SegmentFooter.swift)
//     trailer  u32 offset of the footer ‖ u32 number of its entries ‖ u32 CRC-32C of the 8 bytes before ‖ "HANSAEND"  20 bytes
//
// A segment without a trailer is open, or its writer died: SegmentScanner reads it up to its first broken record. Record bodies
// (SegmentRecord.swift) hold all that a database knows of the content, so that it can be made again from segments alone.
internal import HansaCore

/// What a segment holds; each class has an open segment of its own, so that documents can be read through without content.
public enum SegmentClass: UInt8, Hashable, Sendable, CaseIterable {
    /// Blocks.
    case content = 1
    /// Signed documents, chunk indexes, and whatever else is small.
    case documents = 2
}

/// Where a record lies.
public struct SegmentLocation: Hashable, Sendable {
    public let segment: UInt32
    /// Of the record's first byte in the file.
    public let offset: UInt32
    /// Bytes of the whole record, its 9 bytes of framing included.
    public let length: UInt32

    public init(segment: UInt32, offset: UInt32, length: UInt32) {
        self.segment = segment
        self.offset = offset
        self.length = length
    }

    /// The offset after the record's last byte.
    public var end: UInt64 { UInt64(offset) + UInt64(length) }
}

/// Why bytes of a segment cannot be used: somebody wrote them wrong, or the disk changed them.
public enum SegmentFault: Error, Hashable, Sendable {
    /// The file does not begin with a header of this version, class and id.
    case header
    /// The record ends after the file does.
    case truncated
    /// The checksum does not match.
    case checksum
    /// A type or a length that no writer makes.
    case framing
    /// The checksum matches, but the body does not hold what its type asks for.
    case body(String)
    /// The footer or the trailer.
    case footer
    /// The disk gives no bytes for this place, and does for others.
    case unreadable
    /// The segment's file is gone, and others stand.
    case missing
}

public enum SegmentFormat {
    public static let version: UInt8 = 1
    public static let headerBytes = 20
    public static let framingBytes = 9
    public static let trailerBytes = 20
    /// A segment that has reached this is sealed before the next record; so a file is larger by at most one batch and its footer.
    public static let segmentBytesTarget = 64 << 20
    /// A segment is sealed when it names so many ids, however small it is: its footer stays below 11 MiB.
    public static let idsMax = 1 << 18
    /// The largest body but a footer's: a block with its list, or the list of pages of the largest index.
    public static let bodyBytesMax = 4 << 20
    static let footerBodyBytesMax = 32 << 20

    static let headerMagic = Array("HANSASEG".utf8)
    static let trailerMagic = Array("HANSAEND".utf8)
    static let footerType: UInt8 = 255

    public static func header(_ segmentClass: SegmentClass, id: UInt32) -> [UInt8] {
        var writer = ByteWriter(reserving: headerBytes)
        writer.raw(headerMagic)
        writer.u8(version)
        writer.u8(segmentClass.rawValue)
        writer.u16(0)
        writer.u32(id)
        writer.u32(CRC32C.checksum(writer.bytes))
        return writer.bytes
    }

    /// The class and id of a segment from its first bytes, of which there may be more than the header.
    public static func readHeader(_ bytes: ArraySlice<UInt8>) throws(SegmentFault) -> (segmentClass: SegmentClass, id: UInt32) {
        guard bytes.count >= headerBytes else { throw .truncated }
        do throws(ByteFault) {
            var reader = ByteReader(bytes)
            let magic = try reader.raw(headerMagic.count)
            let readVersion = try reader.u8()
            let code = try reader.u8()
            let reserved = try reader.u16()
            let id = try reader.u32()
            let checksum = try reader.u32()
            guard magic.elementsEqual(headerMagic), readVersion == version, reserved == 0,
                let segmentClass = SegmentClass(rawValue: code),
                checksum == CRC32C.checksum(Array(bytes.prefix(headerBytes - 4)))
            else { throw ByteFault.malformed("header") }
            return (segmentClass, id)
        } catch {
            throw .header
        }
    }

    /// The 9 bytes before a body that comes in parts.
    static func framing(type: UInt8, parts: [UnsafeRawBufferPointer]) -> [UInt8] {
        let length = parts.reduce(0) { $0 + $1.count }
        precondition(length <= (type == footerType ? footerBodyBytesMax : bodyBytesMax), "a record's body is too large")
        var head = ByteWriter(reserving: framingBytes)
        head.u8(type)
        head.u32(UInt32(length))
        var checksum = CRC32C()
        checksum.update(head.bytes)
        for part in parts { checksum.update(part) }
        head.u32(checksum.value)
        return head.bytes
    }

    /// The type and the body's length from a record's framing; checks nothing else.
    static func readFraming(_ bytes: UnsafeRawBufferPointer) throws(SegmentFault) -> (
        type: UInt8, bodyBytes: Int, checksum: UInt32
    ) {
        guard bytes.count >= framingBytes else { throw .truncated }
        let type = bytes[0]
        let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        let checksum = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 5, as: UInt32.self))
        guard
            SegmentRecord.Kind(rawValue: type) != nil && length <= bodyBytesMax
                || type == footerType && length <= footerBodyBytesMax
        else {
            throw .framing
        }
        return (type, Int(length), checksum)
    }

    /// Whether the checksum of a record, framing and body, matches.
    static func isIntact(framing: UnsafeRawBufferPointer, body: [UnsafeRawBufferPointer], checksum: UInt32) -> Bool {
        var computed = CRC32C()
        computed.update(UnsafeRawBufferPointer(rebasing: framing[..<5]))
        for part in body { computed.update(part) }
        return computed.value == checksum
    }

    static func trailer(footerOffset: UInt32, entries: Int) -> [UInt8] {
        var writer = ByteWriter(reserving: trailerBytes)
        writer.u32(footerOffset)
        writer.u32(UInt32(entries))
        writer.u32(CRC32C.checksum(writer.bytes))
        writer.raw(trailerMagic)
        return writer.bytes
    }

    /// The footer's place from a file's last 20 bytes, or nil when they are no trailer.
    public static func readTrailer(_ bytes: ArraySlice<UInt8>) -> (footerOffset: UInt32, entries: Int)? {
        guard bytes.count == trailerBytes, bytes.suffix(trailerMagic.count).elementsEqual(trailerMagic) else { return nil }
        var reader = ByteReader(bytes)
        guard let offset = try? reader.u32(), let entries = try? reader.u32(), let checksum = try? reader.u32(),
            checksum == CRC32C.checksum(Array(bytes.prefix(8)))
        else { return nil }
        return (offset, Int(entries))
    }
}
