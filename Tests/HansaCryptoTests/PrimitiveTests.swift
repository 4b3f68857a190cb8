import HansaCore
import HansaCrypto
import Testing

@Suite struct PrimitiveTests {
    /// RFC 4231 §4.2–4.4, 4.7, 4.8.
    @Test func itAuthenticatesThePublishedExamples() {
        let ascii = { (text: String) in Array(text.utf8) }
        let cases: [(key: [UInt8], message: [UInt8], tag: String)] = [
            (
                [UInt8](repeating: 0x0B, count: 20), ascii("Hi There"),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                ascii("Jefe"), ascii("what do ya want for nothing?"),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            ([], [], "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
        ]
        for (key, message, tag) in cases {
            let found = HMACSHA256.authenticate(message, key: key)
            #expect(found.hex == tag)
            #expect(HMACSHA256.isValid(found, for: message, key: key))
            #expect(!HMACSHA256.isValid(found, for: message + [0], key: key))
            #expect(!HMACSHA256.isValid(found, for: message, key: key + [1]))
        }
    }

    /// NIST CAVP SHAKE128 of the empty message, and a prefix property: more output begins with less.
    @Test func shakeGivesThePublishedBytesAtAnyLength() {
        let long = SHAKE128.hash([], count: 2048)
        #expect(Hex.encode(long.prefix(32)) == "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
        #expect(SHAKE128.hash([], count: 7) == Array(long.prefix(7)))
        #expect(SHAKE128.hash([], count: 0) == [])
        #expect(Hex.encode(SHAKE128.hash(Array("abc".utf8), count: 16)) == "5881092dd818bf5cf8a3ddb793fbcba7")
    }

    /// FIPS 197 appendix B and C.1.
    @Test func aBlockIsEncryptedAsPublished() throws {
        let cases = [
            ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
            ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
        ]
        for (key, plain, cipher) in cases {
            let block = BlockCipher(key: try #require(Hex.decode(key)))
            #expect(Hex.encode(block.encrypt(try #require(Hex.decode(plain)))) == cipher)
            #expect(Hex.encode(block.decrypt(try #require(Hex.decode(cipher)))) == plain)
        }
    }

    @Test func randomBytesHaveTheirCountAndDiffer() {
        let random = SystemRandom()
        #expect(random.bytes(0) == [])
        #expect(random.bytes(33).count == 33)
        #expect(random.bytes(32) != random.bytes(32))
    }
}
