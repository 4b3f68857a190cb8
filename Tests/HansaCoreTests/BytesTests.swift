import HansaCore
import Testing

@Suite struct BytesTests {
    /// RFC 9000 §A.1.
    @Test(
        arguments: [
            (151_288_809_941_952_652, [0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C]), (494_878_333, [0x9D, 0x7F, 0x3E, 0x7D]),
            (15_293, [0x7B, 0xBD]), (37, [0x25]), (0, [0]), (63, [0x3F]), (64, [0x40, 0x40]), (16_383, [0x7F, 0xFF]),
            (16_384, [0x80, 0, 0x40, 0]),
            ((1 << 62) - 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ] as [(UInt64, [UInt8])])
    func varintsAreThoseOfQUIC(value: UInt64, bytes: [UInt8]) throws {
        var writer = ByteWriter()
        writer.varint(value)
        #expect(writer.bytes == bytes)
        var reader = ByteReader(bytes)
        #expect(try reader.varint() == value)
        #expect(reader.isAtEnd)
    }

    @Test(
        arguments: [
            [0x40, 0x25], [0x80, 0, 0, 0x25], [0x80, 0, 0x3F, 0xFF], [0xC0, 0, 0, 0, 0, 0, 0, 1],
            [0xC0, 0, 0, 0, 0x3F, 0xFF, 0xFF, 0xFF],
        ] as [[UInt8]])
    func aLongerSpellingIsRefused(bytes: [UInt8]) {
        #expect(throws: ByteFault.overlongInteger) {
            var reader = ByteReader(bytes)
            _ = try reader.varint()
        }
    }

    @Test(arguments: [[], [0x40], [0x80, 0, 1], [0xC0, 0, 0, 0, 0, 0, 0]] as [[UInt8]])
    func aCutVarintIsRefused(bytes: [UInt8]) {
        #expect(throws: ByteFault.self) {
            var reader = ByteReader(bytes)
            _ = try reader.varint()
        }
    }

    @Test func integersAreBigEndianAndFieldsReadBack() throws {
        var writer = ByteWriter()
        writer.u8(1)
        writer.u16(0x0203)
        writer.u24(0x04_0506)
        writer.u32(0x0708_090A)
        writer.u64(0x0B0C_0D0E_0F10_1112)
        writer.digest(Digest(1, 2, 3, 4))
        writer.prefixed("Lübeck")
        writer.raw([9, 9])
        #expect(writer.bytes[..<18] == (1...18).map { UInt8($0) }[...])
        var reader = ByteReader([0xAA] + writer.bytes)
        _ = try reader.u8()
        #expect(try reader.u8() == 1)
        #expect(try reader.u16() == 0x0203)
        #expect(try reader.u24() == 0x04_0506)
        #expect(try reader.u32() == 0x0708_090A)
        #expect(try reader.u64() == 0x0B0C_0D0E_0F10_1112)
        #expect(try reader.digest() == Digest(1, 2, 3, 4))
        #expect(try reader.text(max: 7) == "Lübeck")
        #expect(throws: ByteFault.trailing(2)) { try reader.end() }
        #expect(Array(reader.rest()) == [9, 9])
        #expect(throws: Never.self) { try reader.end() }
    }

    @Test func aSliceIsReadFromItsOwnStart() throws {
        let bytes: [UInt8] = [0, 0, 0] + Digest(5, 6, 7, 8).bytes + [7]
        var reader = ByteReader(bytes[3...])
        #expect(try reader.digest() == Digest(5, 6, 7, 8))
        #expect(try reader.u8() == 7)
    }

    @Test func lengthsAreCheckedBeforeAnythingIsTaken() {
        func read(_ bytes: [UInt8], _ body: (inout ByteReader) throws -> Void) throws {
            var reader = ByteReader(bytes)
            try body(&reader)
        }
        #expect(throws: ByteFault.aboveLimit(1 << 40, limit: 10)) {
            try read([0xC0, 0, 1, 0, 0, 0, 0, 0]) { _ = try $0.prefixed(max: 10) }
        }
        #expect(throws: ByteFault.truncated(wanted: 5, left: 2)) { try read([5, 1, 2]) { _ = try $0.prefixed(max: 10) } }
        #expect(throws: ByteFault.truncated(wanted: -1, left: 1)) { try read([5]) { _ = try $0.raw(-1) } }
        #expect(throws: ByteFault.truncated(wanted: 32, left: 31)) {
            try read([UInt8](repeating: 0, count: 31)) { _ = try $0.digest() }
        }
        #expect(throws: ByteFault.malformed("text is not UTF-8")) { try read([2, 0xC3, 0x28]) { _ = try $0.text(max: 10) } }
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func anyBytesGiveAValueOrAFault(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<3000 {
            var reader = ByteReader(random.bytes(Int.random(in: 0...40, using: &random)))
            do throws(ByteFault) {
                while !reader.isAtEnd {
                    switch Int.random(in: 0..<6, using: &random) {
                    case 0: _ = try reader.varint()
                    case 1: _ = try reader.prefixed(max: 20)
                    case 2: _ = try reader.u24()
                    case 3: _ = try reader.digest()
                    case 4: _ = try reader.text(max: 100)
                    default: _ = try reader.u64()
                    }
                }
            } catch {
                #expect(reader.left >= 0, "seed \(seed)")
            }
        }
    }
}
