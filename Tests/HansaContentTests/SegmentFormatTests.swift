import HansaCore
import HansaCrypto
import Testing

@testable import HansaContent

@Suite struct SegmentFormatTests {
    static func records(seed: UInt64) -> [SegmentRecord] {
        var random = SplitMix64(seed)
        func digest() -> Digest { Digest(random.next(), random.next(), random.next(), random.next()) }
        let raw = random.table(rows: 200)
        let (codec, bytes) = Block.encode(raw: raw)
        let half = UInt32(raw.count / 2)
        return [
            .block(
                BlockRecord(
                    codec: codec, rawLength: raw.count,
                    chunks: [ChunkEntry(id: digest(), length: half), ChunkEntry(id: digest(), length: UInt32(raw.count) - half)],
                    bytes: bytes)),
            .document(digest: digest(), bytes: random.bytes(200)),
            .tablePart(table: digest(), part: 1, parts: 3, bytes: random.bytes(100)),
            .page(digest: digest(), bytes: random.bytes(72)),
            .index(root: digest(), table: digest(), chunks: 1_025, pages: [digest(), digest()]),
            .other(id: digest(), bytes: []),
            .block(BlockRecord(codec: .raw, rawLength: 3, chunks: [ChunkEntry(id: digest(), length: 3)], bytes: [1, 2, 3])),
        ]
    }

    /// A segment with these records, and where they lie.
    static func segment(_ records: [SegmentRecord], sealed: Bool) -> (bytes: [UInt8], locations: [SegmentLocation]) {
        var bytes = SegmentFormat.header(.content, id: 7)
        var locations: [SegmentLocation] = []
        var entries: [SegmentFooter.Entry] = []
        for record in records {
            let encoded = record.encoded()
            let location = SegmentLocation(segment: 7, offset: UInt32(bytes.count), length: UInt32(encoded.count))
            locations.append(location)
            entries += record.ids.map {
                SegmentFooter.Entry(kind: record.kind, id: $0, offset: location.offset, length: location.length)
            }
            bytes += encoded
        }
        if sealed { bytes += SegmentFooter(entries).encoded(at: UInt32(bytes.count)) }
        return (bytes, locations)
    }

    static func scan(_ bytes: [UInt8]) -> (scan: SegmentScan, found: [SegmentRecord], locations: [SegmentLocation]) {
        var found: [SegmentRecord] = []
        var locations: [SegmentLocation] = []
        let scan = SegmentScanner.scan(
            size: UInt64(bytes.count), segment: 7, read: { offset, count in Array(bytes[Int(offset)..<(Int(offset) + count)]) },
            visit: { location, record in
                locations.append(location)
                found.append(record)
            })
        return (scan, found, locations)
    }

    @Test func theChecksumIsCRC32C() {
        // RFC 3720 §B.4.
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum([]) == 0)
    }

    @Test func theChecksumByTableIsTheSame() {
        var random = SplitMix64(1)
        for count in [0, 1, 7, 8, 9, 63, 1_000, 4_099, 12_287, 12_288, 12_289, 40_961, 100_003] {
            let bytes = random.bytes(count)
            #expect(CRC32C.checksum(bytes) == CRC32C.portable(bytes))
            var split = CRC32C()
            split.update(Array(bytes.prefix(count / 3)))
            split.update(Array(bytes.dropFirst(count / 3)))
            #expect(split.value == CRC32C.checksum(bytes))
        }
    }

    @Test func everyKindOfRecordReadsBack() throws {
        let records = SegmentFormatTests.records(seed: 1)
        #expect(Set(records.map(\.kind)) == Set(SegmentRecord.Kind.allCases))
        for record in records { #expect(try SegmentRecord(encoded: record.encoded()) == record) }
        guard case .block(let block) = records[0] else { preconditionFailure("the first record is a block") }
        let encoded = records[0].encoded()
        let read = try encoded.prefix(BlockRecord.prefixBytes).withUnsafeBytes {
            try BlockRecord(prefix: $0, rest: Array(encoded.dropFirst(BlockRecord.prefixBytes)))
        }
        #expect(read == block)
    }

    @Test func aDocumentRecordHasTheStatedBytes() {
        let digest = Digest(1, 2, 3, 4)
        let body = digest.bytes + [9, 8]
        let checksum = CRC32C.checksum([2, 0, 0, 0, 34] + body)
        var writer = ByteWriter()
        writer.raw([2, 0, 0, 0, 34])
        writer.u32(checksum)
        writer.raw(body)
        #expect(SegmentRecord.document(digest: digest, bytes: [9, 8]).encoded() == writer.bytes)
    }

    @Test func aLargeTableIsStoredInParts() throws {
        var random = SplitMix64(4)
        let encoded = random.bytes(SegmentRecord.tablePartBytesMax * 2 + 5)
        let parts = SegmentRecord.tableParts(encoded)
        var joined: [UInt8] = []
        for (number, record) in parts.enumerated() {
            guard case .tablePart(let table, let part, let count, let bytes) = record else { preconditionFailure("not a part") }
            #expect(table == SHA256.hash(encoded) && part == number && count == 3)
            joined += bytes
        }
        #expect(joined == encoded)
        #expect(SegmentRecord.tableParts([1, 0]).count == 1)
    }

    @Test func everyFlippedBitOfARecordIsFound() {
        for record in SegmentFormatTests.records(seed: 2).dropFirst() {
            let encoded = record.encoded()
            for byte in encoded.indices {
                for bit in 0..<8 {
                    var flipped = encoded
                    flipped[byte] ^= 1 << UInt8(bit)
                    #expect(throws: SegmentFault.self) { try SegmentRecord(encoded: flipped) }
                }
            }
        }
    }

    @Test func aBodyThatLiesUnderARightChecksumIsRefused() {
        func record(_ kind: SegmentRecord.Kind, _ body: [UInt8]) -> [UInt8] {
            body.withUnsafeBytes { SegmentFormat.framing(type: kind.rawValue, parts: [$0]) } + body
        }
        let id = [UInt8](repeating: 1, count: 32)
        let entry = id + [0, 0, 0, 3]
        let lies: [[UInt8]] = [
            record(.block, []),
            record(.block, [0, 0, 0, 0, 3, 0, 0, 1, 2, 3]),
            record(.block, [3, 0, 0, 0, 3, 0, 1, 1, 2, 3] + entry),
            record(.block, [0, 0, 0, 0, 4, 0, 1, 1, 2, 3, 4] + entry),
            record(.block, [0, 0, 0x10, 0, 1, 0, 1, 1, 2, 3] + entry),
            record(.block, [0, 0, 0, 0, 3, 0, 2, 1, 2, 3] + entry),
            record(.block, [0, 0, 0, 0, 0, 0, 1] + id + [0, 0, 0, 0]),
            record(.document, [1, 2]),
            record(.tablePart, id + [0, 2, 0, 2]),
            record(.index, id + id + [0, 0, 0, 1]),
            record(.index, id + id + [0xFF, 0xFF, 0xFF, 0xFF] + id),
        ]
        for lie in lies { #expect(throws: SegmentFault.self) { try SegmentRecord(encoded: lie) } }
    }

    @Test func aScanFindsEveryRecordOfASealedAndOfAnOpenSegment() {
        let records = SegmentFormatTests.records(seed: 3)
        for sealed in [false, true] {
            let (bytes, locations) = SegmentFormatTests.segment(records, sealed: sealed)
            let result = SegmentFormatTests.scan(bytes)
            #expect(result.found == records)
            #expect(result.locations == locations)
            #expect(result.scan == SegmentScan(goodBytes: locations.last?.end ?? 0, stoppedBy: nil, isSealed: sealed))
        }
    }

    @Test func aTornTailIsCutAfterItsLastWholeRecordAtEveryByte() {
        let records = SegmentFormatTests.records(seed: 4)
        let (bytes, locations) = SegmentFormatTests.segment(records, sealed: false)
        for length in SegmentFormat.headerBytes...bytes.count {
            let result = SegmentFormatTests.scan(Array(bytes.prefix(length)))
            let whole = locations.filter { $0.end <= UInt64(length) }
            #expect(result.locations == whole)
            #expect(result.scan.goodBytes == whole.last?.end ?? UInt64(SegmentFormat.headerBytes))
            #expect((result.scan.stoppedBy == nil) == (result.scan.goodBytes == UInt64(length)))
        }
    }

    @Test func aTailOfZerosOrNoiseEndsTheScan() {
        let records = SegmentFormatTests.records(seed: 5)
        let (bytes, locations) = SegmentFormatTests.segment(records, sealed: false)
        var random = SplitMix64(6)
        for tail in [[UInt8](repeating: 0, count: 5_000), [UInt8](repeating: 0xFF, count: 100), random.bytes(5_000)] {
            let result = SegmentFormatTests.scan(bytes + tail)
            #expect(result.found == records)
            #expect(result.scan.goodBytes == locations.last?.end)
            #expect(result.scan.stoppedBy != nil)
        }
    }

    @Test func aFooterListsWhatTheSegmentHolds() throws {
        let records = SegmentFormatTests.records(seed: 7)
        let (bytes, locations) = SegmentFormatTests.segment(records, sealed: true)
        let trailer = try #require(SegmentFormat.readTrailer(bytes.suffix(SegmentFormat.trailerBytes)))
        let footer = try SegmentFooter(encoded: Array(bytes[Int(trailer.footerOffset)...]), at: trailer.footerOffset)
        #expect(footer.entries.count == records.reduce(0) { $0 + $1.ids.count })
        for (record, location) in zip(records, locations) {
            for id in record.ids {
                #expect(
                    footer.entries(of: id).contains {
                        $0.kind == record.kind && $0.offset == location.offset && $0.length == location.length
                    })
            }
        }
        #expect(footer.entries(of: .zero).isEmpty)
        let header = try SegmentFormat.readHeader(bytes[...])
        #expect(header.segmentClass == .content && header.id == 7)
    }

    @Test func everyFlippedBitOfHeaderAndFooterIsFound() throws {
        let (bytes, _) = SegmentFormatTests.segment(SegmentFormatTests.records(seed: 8), sealed: true)
        let offset = try #require(SegmentFormat.readTrailer(bytes.suffix(SegmentFormat.trailerBytes))).footerOffset
        let footer = Array(bytes[Int(offset)...])
        for byte in footer.indices {
            var flipped = footer
            flipped[byte] ^= 0x10
            #expect(throws: SegmentFault.self) { try SegmentFooter(encoded: flipped, at: offset) }
        }
        for byte in 0..<SegmentFormat.headerBytes {
            var flipped = bytes
            flipped[byte] ^= 0x10
            #expect(throws: SegmentFault.self) { try SegmentFormat.readHeader(flipped[...]) }
        }
        #expect(throws: SegmentFault.self) { try SegmentFormat.readHeader([]) }
        #expect(throws: SegmentFault.self) { try SegmentFooter(encoded: [], at: 0) }
    }
}
