import HansaCore
import HansaCrypto
import Testing

@Suite struct PEMTests {
    @Test func aKeySurvivesItsPEM() throws {
        let key = Ed25519PrivateKey.generate()
        let pem = key.pem()
        #expect(String(decoding: pem, as: UTF8.self).hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
        let again = try Ed25519PrivateKey(pem: pem)
        #expect(again.publicKey == key.publicKey)
        #expect(again.sign([1, 2, 3]) == key.sign([1, 2, 3]))
    }

    /// RFC 8410 §10.3's key, and what is none.
    @Test func thePublishedKeyIsReadAndAnythingElseRefused() throws {
        let body = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"
        let pem = Array("-----BEGIN PRIVATE KEY-----\n\(body)\n-----END PRIVATE KEY-----\n".utf8)
        let key = try Ed25519PrivateKey(pem: pem)
        #expect(Hex.encode(key.publicKey.bytes) == "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")
        for wrong in [
            [], Array("no PEM".utf8), Array(pem.dropLast(30)), Array(pem.dropFirst(3)), [UInt8](repeating: 0x41, count: 1 << 17),
        ] {
            #expect {
                try Ed25519PrivateKey(pem: wrong)
            } throws: { error in
                if case KeyFault.unreadable = error { true } else { false }
            }
        }
    }

    @Test(.enabled(if: OpenSSLCommand.exists, "needs the openssl command"))
    func opensslReadsOurKeysAndWeReadItsKeys() throws {
        let ours = Ed25519PrivateKey.generate()
        let der = try OpenSSLCommand.run(["pkey", "-pubout", "-outform", "DER"], input: ours.pem())
        #expect(Array(der.suffix(32)) == ours.publicKey.bytes)

        let theirs = try OpenSSLCommand.run(["genpkey", "-algorithm", "ed25519"])
        let key = try Ed25519PrivateKey(pem: theirs)
        #expect(
            Array(try OpenSSLCommand.run(["pkey", "-pubout", "-outform", "DER"], input: theirs).suffix(32)) == key.publicKey.bytes
        )
        #expect(key.pem() == theirs)
    }

    @Test(.enabled(if: OpenSSLCommand.exists, "needs the openssl command"))
    func aKeyOfAnotherAlgorithmOrUnderAPassphraseIsRefused() throws {
        let elliptic = try OpenSSLCommand.run(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        #expect(throws: KeyFault.wrongAlgorithm(wanted: "Ed25519", found: "EC")) { try Ed25519PrivateKey(pem: elliptic) }
        let locked = try OpenSSLCommand.run(["genpkey", "-algorithm", "ed25519", "-aes-128-cbc", "-pass", "pass:secret"])
        #expect {
            try Ed25519PrivateKey(pem: locked)
        } throws: { error in
            if case KeyFault.unreadable(let why) = error { !why.entries.isEmpty } else { false }
        }
    }
}
