import Foundation
import HansaCore
import HansaCrypto
import Testing

@Suite struct TLSIdentityTests {
    let start = Timestamp(seconds: 1_767_225_600)  // 2026-01-01
    let end = Timestamp(seconds: 1_830_297_600)  // 2028-01-01

    @Test func anIdentitySurvivesItsPEM() throws {
        let identity = try TLSIdentity.generate(commonName: "kitchener.ca", notBefore: start, notAfter: end)
        let again = try TLSIdentity(pem: identity.pem())
        #expect(again.spkiHash == identity.spkiHash)
        #expect(again.certificateDER == identity.certificateDER)
        #expect(again.notBefore == start && again.notAfter == end)
        #expect(again.pem() == identity.pem())
    }

    @Test func everyIdentityHasItsOwnKeyAndSerial() throws {
        let identities = try (0..<8).map { _ in try TLSIdentity.generate(commonName: "a.ca", notBefore: start, notAfter: end) }
        #expect(Set(identities.map(\.spkiHash)).count == 8)
        for identity in identities { #expect((300..<500).contains(identity.certificateDER.count)) }
    }

    @Test func aNameTooLongForACertificateIsCut() throws {
        let name = String(repeating: "long-name.", count: 20) + "ca"
        #expect(throws: Never.self) { try TLSIdentity.generate(commonName: name, notBefore: start, notAfter: end) }
    }

    @Test func aCertificateOfAnotherKeyIsRefused() throws {
        let one = try TLSIdentity.generate(commonName: "a.ca", notBefore: start, notAfter: end)
        let other = try TLSIdentity.generate(commonName: "a.ca", notBefore: start, notAfter: end)
        let marker = Array("-----BEGIN CERTIFICATE-----".utf8)
        let pem = one.pem()
        let cut = try #require((0..<(pem.count - marker.count)).first { pem[$0...].starts(with: marker) })
        #expect(throws: KeyFault.certificateOfAnotherKey) { try TLSIdentity(pem: pem[..<cut] + other.certificatePEM()) }
        #expect {
            try TLSIdentity(pem: Array(pem[..<cut]))
        } throws: { error in
            if case KeyFault.unreadable = error { true } else { false }
        }
    }

    @Test func anotherAlgorithmIsRefused() throws {
        #expect(throws: KeyFault.wrongAlgorithm(wanted: "EC P-256", found: "ED25519 ")) {
            try TLSIdentity(pem: Ed25519PrivateKey.generate().pem())
        }
    }

    @Test(.enabled(if: OpenSSLCommand.exists, "needs the openssl command"))
    func opensslReadsOurCertificate() throws {
        let identity = try TLSIdentity.generate(commonName: "kitchener.ca", notBefore: start, notAfter: end)
        let text = try OpenSSLCommand.text(["x509", "-noout", "-text", "-nameopt", "RFC2253"], input: identity.certificatePEM())
        for expected in [
            "Version: 3 (0x2)", "Issuer: CN=kitchener.ca", "Subject: CN=kitchener.ca", "Not Before: Jan  1 00:00:00 2026 GMT",
            "Not After : Jan  1 00:00:00 2028 GMT", "NIST CURVE: P-256", "Signature Algorithm: ecdsa-with-SHA256", "CA:FALSE",
            "TLS Web Server Authentication, TLS Web Client Authentication", "Digital Signature",
        ] { #expect(text.contains(expected), "\(expected)") }
        let spki = try OpenSSLCommand.run(["pkey", "-pubout", "-outform", "DER"], input: identity.pem())
        #expect(SHA256.hash(spki) == identity.spkiHash)
        #expect(try OpenSSLCommand.run(["x509", "-outform", "DER"], input: identity.pem()) == identity.certificateDER)
    }

    @Test(.enabled(if: OpenSSLCommand.exists, "needs the openssl command"))
    func aWiderCurveIsRefused() throws {
        let pem = try OpenSSLCommand.run(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"])
        #expect(throws: KeyFault.wrongAlgorithm(wanted: "EC P-256", found: "EC secp384r1")) { try TLSIdentity(pem: pem) }
    }

    static let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../certs/make-dev-certs")
        .standardized

    @Test(
        .enabled(
            if: OpenSSLCommand.exists && FileManager.default.isExecutableFile(atPath: script.path), "needs certs/ and openssl"))
    func theScriptForDevelopmentMakesIdentitiesWithTheirPins() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "hansa-dev-certs-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let process = Process()
        process.executableURL = Self.script
        process.arguments = [directory.path, "kitchener.ca"]
        process.standardOutput = Pipe()
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let identity = try TLSIdentity(pem: try KeyFile.read(path: directory.appending(path: "kitchener.ca.pem").path))
        let pin = try String(contentsOf: directory.appending(path: "kitchener.ca.pin"), encoding: .utf8)
        #expect(pin == identity.spkiHash.prefixed + "\n")
    }
}
