import HansaCore
import HansaCrypto
import Testing

@Suite struct SHA256Tests {
    @Test(arguments: [
        // FIPS 180-4 examples (NIST CSRC "Examples with Intermediate Values"), and the empty message.
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func itHashesThePublishedExamples(text: String, expected: String) {
        #expect(SHA256.hash(text.utf8).hex == expected)
        #expect(SHA256.hash(Array(text.utf8)).hex == expected)
        #expect(SHA256.hash([Array(text.utf8)]).hex == expected)
        #expect(SHA256.hash(domain: text).hex == expected)
    }

    @Test func aMillionLettersInUnevenPartsHashAsPublished() {
        var hash = SHA256()
        var left = 1_000_000
        var part = 1
        while left > 0 {
            let count = min(part, left)
            hash.update([UInt8](repeating: 0x61, count: count))
            left -= count
            part = part * 3 % 4099
        }
        let digest = hash.finish()
        #expect(digest.hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func aCopyGoesOnByItself() {
        var first = SHA256()
        first.update(byte: 0x61)
        var second = first.copy()
        first.update(Array("bc".utf8))
        second.update(Array("bc".utf8)[...])
        let (one, other) = (first.finish(), second.finish())
        #expect(one == other)
        #expect(one == SHA256.hash(Array("abc".utf8)))
    }

    @Test func aStreamThatHashesItsPartsTooIsTheSameStream() {
        var random = Draws(seed: 20_261_122)
        let bytes = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var stream = SHA256()
        bytes.withUnsafeBytes { buffer in
            var start = 0
            while start < buffer.count {
                let end = min(buffer.count, start + Int.random(in: 0...40_000, using: &random))
                let part = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
                #expect(stream.updateAndHash(part) == SHA256.hash(part), "\(part.count) bytes from \(start)")
                start = end
            }
        }
        let whole = stream.finish()
        #expect(whole == SHA256.hash(bytes))
    }

    @Test func aCollectionThatIsNotContiguousHashesAsItsBytes() {
        let bytes = Array("a longer text, longer than one block of the hash function, to cross its border".utf8)
        var streamed = SHA256()
        streamed.update(bytes.lazy.map { $0 })
        let digest = streamed.finish()
        #expect(digest == SHA256.hash(bytes))
        #expect(SHA256.hash(bytes.reversed().reversed()) == SHA256.hash(bytes))
    }

    @Test func aDigestHashesAsItsBytes() {
        let digest = SHA256.hash([1, 2, 3])
        var streamed = SHA256()
        streamed.update(digest)
        let again = streamed.finish()
        #expect(again == SHA256.hash(digest.bytes))
    }
}

/// Vigna's splitmix64, for lengths and bytes that repeat with the seed.
private struct Draws: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
