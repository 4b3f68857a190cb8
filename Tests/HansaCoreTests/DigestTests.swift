import HansaCore
import Testing

@Suite struct DigestTests {
    private let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

    @Test func aDigestReadsBackFromItsHexAndItsBytes() throws {
        let digest = try #require(Digest(hex: hex))
        #expect(digest.hex == hex)
        #expect(digest.bytes == Array(0..<32))
        #expect(Digest(digest.bytes) == digest)
        #expect(Digest(prefixed: "sha256:" + hex) == digest)
        #expect(digest.prefixed == "sha256:" + hex)
        #expect(digest.short == "000102030405")
        #expect(digest.bytes.withUnsafeBytes { Digest($0) } == digest)
    }

    @Test(arguments: [
        "", "00", String(repeating: "A", count: 64), String(repeating: "g", count: 64), String(repeating: "0", count: 66),
        String(repeating: "0", count: 63) + "é", String(repeating: "0", count: 62) + "é",
    ])
    func whatIsNoDigestIsRefused(text: String) {
        #expect(Digest(hex: text) == nil)
        #expect(Digest(prefixed: "sha256:" + text) == nil)
    }

    @Test func thePrefixIsAskedExactly() {
        #expect(Digest(prefixed: hex) == nil)
        #expect(Digest(prefixed: "SHA256:" + hex) == nil)
        #expect(Digest(prefixed: "sha512:" + hex) == nil)
        #expect(Digest(prefixed: "sha256:sha256:" + hex) == nil)
        #expect(Digest(hex: "sha256:" + hex) == nil)
    }

    @Test(arguments: [1, 2] as [UInt64]) func digestsAreOrderedAsTheirBytesAre(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var digests: [Digest] = []
        for _ in 0..<200 {
            var bytes = random.bytes(32)
            for index in 0..<Int.random(in: 0...31, using: &random) { bytes[index] = 0x80 }
            digests.append(try #require(Digest(bytes)))
        }
        #expect(digests.sorted().map(\.hex) == digests.map(\.hex).sorted(), "seed \(seed)")
        #expect(Digest([UInt8](repeating: 0, count: 31)) == nil)
        #expect(Digest([UInt8](repeating: 0, count: 33)) == nil)
        #expect(Digest([UInt8](repeating: 0, count: 32)) == .zero)
    }
}
