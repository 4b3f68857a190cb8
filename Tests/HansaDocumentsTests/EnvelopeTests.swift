import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

@Suite struct EnvelopeTests {
    /// FORMATS.md §1, made by an independent implementation.
    @Test func theVectorOfTheFormatIsSignedAndEncodedAlike() throws {
        let key = try Ed25519PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        #expect(Hex.encode(key.publicKey.bytes) == "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
        #expect(key.publicKey.keyID.hex == "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e")
        let message = Envelope.preAuthentication(
            type: "application/vnd.hansa.test+json", body: Array("{\"hello\":\"Lübeck\"}".utf8))
        #expect(message == Array("DSSEv1 31 application/vnd.hansa.test+json 19 {\"hello\":\"Lübeck\"}".utf8))
        #expect(
            Base64.encode(key.sign(message))
                == "Aa2ynt9pV7SCgSCsSJhgsyCux3r9TfKhd4xUbWpTwqytGF/4BMOIkaDMD5znJXeWPFlae4fC76yiO3HNBM9dDw==")
    }
}
