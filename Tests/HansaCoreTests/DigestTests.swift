import HansaCore
import Testing

@Suite struct DigestTests {
    @Test func aDigestReadsBackFromItsHexAndItsBytes() throws {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        let digest = try #require(Digest(hex: hex))
        #expect(digest.hex == hex)
        #expect(digest.bytes == Array(0..<32))
        #expect(Digest(digest.bytes) == digest)
        #expect(Digest(prefixed: "sha256:" + hex) == digest)
        #expect(digest.bytes.withUnsafeBytes { Digest($0) } == digest)
    }

    @Test(arguments: [
        "", "00", String(repeating: "A", count: 64), String(repeating: "g", count: 64), String(repeating: "0", count: 66),
    ])
    func whatIsNoDigestIsRefused(text: String) {
        #expect(Digest(hex: text) == nil)
    }
}
