import HansaCore
import HansaCrypto
import Testing

@Suite struct Ed25519Tests {
    struct Vector: Sendable {
        let seed: String
        let key: String
        let message: String
        let signature: String
    }

    /// RFC 8032 §7.1, tests 1 to 3 and SHA(abc).
    static let vectors = [
        Vector(
            seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", message: "",
            signature: "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd"
                + "25bf5f0595bbe24655141438e7a100b"),
        Vector(
            seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            key: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", message: "72",
            signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c3"
                + "87b2eaeb4302aeeb00d291612bb0c00"),
        Vector(
            seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            key: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", message: "af82",
            signature: "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594"
                + "a7c15e9716ed28dc027beceea1ec40a"),
        Vector(
            seed: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            key: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            message: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
                + "454d4423643ce80e2a9ac94fa54ca49f",
            signature: "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303"
                + "dca179c138ac17ad9bef1177331a704"),
    ]

    @Test func itSignsAndVerifiesThePublishedExamples() throws {
        for vector in Self.vectors {
            let key = try Ed25519PrivateKey(seed: try #require(Hex.decode(vector.seed)))
            let message = try #require(Hex.decode(vector.message))
            let signature = try #require(Hex.decode(vector.signature))
            #expect(Hex.encode(key.publicKey.bytes) == vector.key)
            #expect(key.sign(message) == signature)
            let publicKey = try Ed25519PublicKey(enrolling: key.publicKey.bytes)
            #expect(publicKey.isValid(signature, for: message))
            #expect(!publicKey.isValid(signature, for: message + [0]))
        }
    }

    @Test func theVectorOfTheDocumentFormatVerifies() throws {
        let key = try Ed25519PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        #expect(Hex.encode(key.publicKey.bytes) == "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
        #expect(key.publicKey.keyID.hex == "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e")
        let message = Array("DSSEv1 31 application/vnd.hansa.test+json 19 {\"hello\":\"Lübeck\"}".utf8)
        let signature = try #require(
            Base64.decode("Aa2ynt9pV7SCgSCsSJhgsyCux3r9TfKhd4xUbWpTwqytGF/4BMOIkaDMD5znJXeWPFlae4fC76yiO3HNBM9dDw=="))
        #expect(key.sign(message) == signature)
        #expect(key.publicKey.isValid(signature, for: message))
    }
}
