import HansaCore
import HansaCrypto
import Testing

@Suite struct DigestTagsTests {
    /// Made with another implementation of RFC 4493 (`openssl mac -cipher AES-128-CBC CMAC`): key of RFC 4493, message 0…31 and a byte.
    @Test func tagsAreThoseOfRFC4493() throws {
        let key = try #require(Hex.decode("2b7e151628aed2a6abf7158809cf4f3c"))
        let digest = try #require(Digest([UInt8](0..<32)))
        var tags: [UInt128] = []
        DigestTags(key: key).each(2, message: { (digest, UInt8($0 + 1)) }) { tags.append($1) }
        #expect(tags.map { String($0, radix: 16) } == DigestTagsTests.expected)
    }

    static let expected = ["2f5869661e52128ef6ca26c3a291781c", "4799ff3e8f5f1ba5514feee0453dc05a"]

    @Test func aBatchGivesWhatSingleCallsGive() {
        let tags = DigestTags(key: [UInt8](repeating: 5, count: 16))
        let digests = (0..<300).map { SHA256.hash([UInt8($0 & 255), UInt8($0 >> 8)]) }
        var together: [UInt128] = []
        tags.each(300, message: { (digests[$0], UInt8($0 % 3)) }) { index, tag in
            #expect(index == together.count)
            together.append(tag)
        }
        var apart: [UInt128] = []
        for (index, digest) in digests.enumerated() {
            tags.each(1, message: { _ in (digest, UInt8(index % 3)) }) { apart.append($1) }
        }
        #expect(together == apart)
        #expect(Set(together).count == 300)
    }
}
