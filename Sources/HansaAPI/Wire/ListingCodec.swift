// Listings on the admin socket. A batch: varint count (≤ 1,000), then for each directory
//   varint number ‖ prefixed path ‖ u8 1 and prefixed name, or u8 0 ‖ u8 1 and prefixed problem, or u8 0 ‖ u64 listedAt ‖ varint entries,
//   then for each entry
//   u8 kind ‖ prefixed path ‖ varint size ‖ u64 modified ‖ u64 changed ‖ u64 inode ‖ u64 device
// Times are nanoseconds since 1970, signed in two's complement. A batch of none ends the listings.
internal import HansaCore
internal import HansaNode

enum ListingCodec {
    static func encode(_ listings: [DirectoryListing]) -> [UInt8] {
        let entries = listings.reduce(0) { $0 + $1.entries.count }
        var writer = ByteWriter(reserving: 64 * (entries + listings.count) + 8)
        writer.varint(listings.count)
        for listing in listings {
            writer.varint(listing.number)
            writer.prefixed(listing.path)
            if let name = listing.derivedName {
                writer.u8(1)
                writer.prefixed(name)
            } else {
                writer.u8(0)
            }
            if let fault = listing.fault {
                writer.u8(1)
                writer.prefixed(ProblemCodec.encode(fault))
            } else {
                writer.u8(0)
            }
            writer.u64(UInt64(bitPattern: listing.listedAt))
            writer.varint(listing.entries.count)
            for entry in listing.entries { encode(entry, into: &writer) }
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(ByteFault) -> [DirectoryListing] {
        var reader = ByteReader(bytes)
        let count = try reader.count(max: WireLimits.listingsMax)
        var listings: [DirectoryListing] = []
        listings.reserveCapacity(count)
        for _ in 0..<count {
            let number = try reader.count(max: Int(Int32.max))
            let path = try reader.text(max: WireLimits.pathBytesMax)
            guard path.utf8.first == 0x2F else { throw .malformed("a directory's path is absolute") }
            let name: String?
            switch try reader.u8() {
            case 0: name = nil
            case 1: name = try reader.text(max: WireLimits.pathBytesMax)
            default: throw .malformed("name present is 0 or 1")
            }
            let fault: Problem?
            switch try reader.u8() {
            case 0: fault = nil
            case 1: fault = try ProblemCodec.decode(Array(try reader.prefixed(max: WireLimits.partBytesMax)))
            default: throw .malformed("fault present is 0 or 1")
            }
            let listedAt = Int64(bitPattern: try reader.u64())
            let entryCount = try reader.count(max: WireLimits.entriesMax)
            // An entry is at least 36 bytes, so what is reserved is bounded by what has arrived.
            guard entryCount <= reader.left / 36 else { throw .truncated(wanted: entryCount * 36, left: reader.left) }
            var entries: [FileStat] = []
            entries.reserveCapacity(entryCount)
            for _ in 0..<entryCount { entries.append(try entry(&reader)) }
            guard fault == nil || entries.isEmpty else { throw .malformed("a listing that failed has no entries") }
            listings.append(
                DirectoryListing(
                    number: number, path: path, derivedName: name, listedAt: listedAt, entries: entries, fault: fault))
        }
        try reader.end()
        return listings
    }

    private static func encode(_ entry: FileStat, into writer: inout ByteWriter) {
        writer.u8(entry.kind.rawValue)
        writer.prefixed(entry.path)
        writer.varint(min(entry.size, 1 << 62 - 1))
        writer.u64(UInt64(bitPattern: entry.modified))
        writer.u64(UInt64(bitPattern: entry.changed))
        writer.u64(entry.inode)
        writer.u64(entry.device)
    }

    private static func entry(_ reader: inout ByteReader) throws(ByteFault) -> FileStat {
        guard let kind = FileStat.Kind(rawValue: try reader.u8()) else { throw .malformed("kind of file") }
        let path = try reader.text(max: WireLimits.pathBytesMax)
        guard RelativePath.isSafe(path) else { throw .malformed("a path below its directory") }
        return FileStat(
            path: path, kind: kind, size: try reader.varint(), modified: Int64(bitPattern: try reader.u64()),
            changed: Int64(bitPattern: try reader.u64()), inode: try reader.u64(), device: try reader.u64())
    }
}

/// Paths below a directory, as they travel in either direction.
enum RelativePath {
    /// Names joined by `/`: none empty, none `.` or `..`, no NUL, at most 4,096 bytes in all and 255 in a name.
    static func isSafe(_ path: String) -> Bool {
        var path = path
        return path.withUTF8 { bytes in
            guard !bytes.isEmpty, bytes.count <= WireLimits.pathBytesMax else { return false }
            var start = 0
            for index in 0...bytes.count where index == bytes.count || bytes[index] == 0x2F {
                let length = index - start
                guard length > 0, length <= 255 else { return false }
                if bytes[start] == 0x2E, length == 1 || (length == 2 && bytes[start + 1] == 0x2E) { return false }
                start = index + 1
            }
            return !bytes.contains(0)
        }
    }
}
