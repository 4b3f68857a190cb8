import HansaCrypto
import Testing

@Suite struct OpenSSLErrorTests {
    @Test func itTakesTheWholeQueueAndLeavesItEmpty() throws {
        #expect {
            try Ed25519PrivateKey(pem: Array("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n".utf8))
        } throws: { error in
            guard case KeyFault.unreadable(let why) = error else { return false }
            return why.operation == "PEM_read_bio_PKCS8_PRIV_KEY_INFO" && why.entries.count > 1
                && why.description.contains("asn1")
        }
        let empty = OpenSSLError(draining: "nothing")
        #expect(empty.entries.isEmpty)
        #expect(empty.description == "nothing failed")
    }
}
