import Foundation
import HansaCrypto
import HansaTLS
import NIOCore
import NIOPosix
import Testing

/// Our handler against another program: the `openssl` command, as client and as server.
@Suite(.enabled(if: OpenSSLProcess.exists, "needs the openssl command"), .serialized, .timeLimit(.minutes(1)))
struct OpenSSLPartnerTests {
    let directory: OpenSSLProcess.Directory

    init() throws { directory = try OpenSSLProcess.Directory() }

    /// Runs s_client against our server; gives what both saw.
    private func client(_ arguments: [String], quiet: Bool = true) async throws -> (output: String, ours: Outcome) {
        let server = try await LivePartner.serve()
        let process = try OpenSSLProcess(
            ["s_client", "-connect", "127.0.0.1:\(server.port)", quiet ? "-quiet" : "-ign_eof"] + arguments, input: "question\n",
            in: directory)
        try await process.ended()
        let ours = try await server.outcome.get()
        try await server.channel.close().get()
        return (process.output, ours)
    }

    private func refusal(_ outcome: Outcome) -> String {
        if case .handshakeFailed(let error)? = outcome.faults.first { error.description } else { "\(outcome.faults)" }
    }

    @Test func aClientWithAKnownKeyIsServed() async throws {
        let (output, ours) = try await client(["-cert", "0.pem", "-key", "0.pem", "-alpn", "other/1,hansa/1"])
        #expect(ours.peer?.spki == Pair.identities[0].spkiHash)
        #expect(ours.text == "question\n")
        #expect(ours.faults.isEmpty)
        #expect(output.contains("HEARD question\n"))
    }

    @Test func aClientIsGivenNoSessionTicket() async throws {
        let (output, ours) = try await client(["-cert", "0.pem", "-key", "0.pem", "-alpn", "hansa/1", "-msg"], quiet: false)
        #expect(ours.faults.isEmpty)
        #expect(output.contains("HEARD question\n"))
        #expect(output.contains("TLSv1.3") && output.contains("ALPN protocol: hansa/1"))
        #expect(!output.contains("NewSessionTicket"))
    }

    @Test func aClientWithoutApplicationProtocolIsRefused() async throws {
        let (output, ours) = try await client(["-cert", "0.pem", "-key", "0.pem"])
        #expect(ours.faults == [.applicationProtocolMissing(chosen: nil)])
        #expect(ours.events.isEmpty)
        #expect(output.contains("alert no application protocol"))
    }

    @Test func aClientWithAnotherApplicationProtocolIsRefused() async throws {
        let (output, ours) = try await client(["-cert", "0.pem", "-key", "0.pem", "-alpn", "h2,hansa/2,hansa/11"])
        #expect(ours.faults == [.applicationProtocolMissing(chosen: nil)])
        #expect(output.contains("alert no application protocol"))
    }

    @Test func aClientWithoutCertificateIsRefused() async throws {
        let (output, ours) = try await client(["-alpn", "hansa/1"])
        #expect(refusal(ours).contains("peer did not return a certificate"))
        #expect(ours.events.isEmpty && ours.text.isEmpty)
        #expect(output.contains("alert certificate required"))
    }

    @Test func aClientWithAnUnknownKeyIsRefused() async throws {
        let (output, ours) = try await client(["-cert", "2.pem", "-key", "2.pem", "-alpn", "hansa/1"])
        #expect(
            ours.faults == [
                .peerRefused(TLSPeer(spki: Pair.identities[2].spkiHash, certificateDER: Pair.identities[2].certificateDER))
            ])
        #expect(output.contains("alert bad certificate"))
        #expect(!output.contains("HEARD"))
    }

    @Test(arguments: ["-tls1_2", "-tls1_1"])
    func anOlderTLSIsRefused(version: String) async throws {
        let (_, ours) = try await client([
            "-cert", "0.pem", "-key", "0.pem", "-alpn", "hansa/1", "-cipher", "ALL:@SECLEVEL=0", version,
        ])
        #expect(refusal(ours).contains("unsupported protocol"))
        #expect(ours.events.isEmpty)
    }

    @Test func aHugeCertificateListIsRefused() async throws {
        let chain = [UInt8]((0..<100).map { _ in Pair.identities[2].certificatePEM() }.joined())
        try Data(chain).write(to: directory.url.appending(path: "chain.pem"))
        let (_, ours) = try await client(["-cert", "0.pem", "-key", "0.pem", "-alpn", "hansa/1", "-cert_chain", "chain.pem"])
        #expect(refusal(ours).contains("excessive message size"))
        #expect(ours.events.isEmpty)
    }

    @Test func aShortCertificateListIsAcceptedByItsFirstKey() async throws {
        try Data(Pair.identities[2].certificatePEM()).write(to: directory.url.appending(path: "chain.pem"))
        let (output, ours) = try await client(["-cert", "0.pem", "-key", "0.pem", "-alpn", "hansa/1", "-cert_chain", "chain.pem"])
        #expect(ours.peer?.spki == Pair.identities[0].spkiHash)
        #expect(output.contains("HEARD question\n"))
    }

    /// Our client against s_server, which sends back each line reversed.
    private func server(_ arguments: [String]) throws -> OpenSSLProcess {
        try OpenSSLProcess(
            ["s_server", "-accept", "0", "-naccept", "1", "-Verify", "1", "-rev"] + arguments, input: "", keepsInput: true,
            in: directory)
    }

    @Test func aServerWithAKnownKeyIsSpokenTo() async throws {
        let process = try server(["-cert", "1.pem", "-key", "1.pem", "-alpn", "hansa/1", "-tls1_3"])
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "hansa\n")
        let ours = try await client.outcome.get()
        #expect(ours.peer?.spki == Pair.identities[1].spkiHash)
        #expect(ours.text == "asnah\n")
        #expect(ours.faults.isEmpty)
        try await process.stop()
        #expect(process.output.contains("CN = city0.example") || process.output.contains("CN=city0.example"))
    }

    @Test func aServerWithoutApplicationProtocolIsRefused() async throws {
        let process = try server(["-cert", "1.pem", "-key", "1.pem"])
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "hansa\n")
        let ours = try await client.outcome.get()
        #expect(ours.faults == [.applicationProtocolMissing(chosen: nil)])
        #expect(ours.events.isEmpty && ours.text.isEmpty)
        try await process.stop()
    }

    @Test func aServerWithAnotherKeyIsRefused() async throws {
        let process = try server(["-cert", "2.pem", "-key", "2.pem", "-alpn", "hansa/1"])
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "hansa\n")
        let ours = try await client.outcome.get()
        #expect(
            ours.faults == [
                .peerRefused(TLSPeer(spki: Pair.identities[2].spkiHash, certificateDER: Pair.identities[2].certificateDER))
            ])
        try await process.stop()
    }

    @Test func aServerThatOnlySpeaksAnOlderTLSIsRefused() async throws {
        let process = try server(["-cert", "1.pem", "-key", "1.pem", "-alpn", "hansa/1", "-tls1_2"])
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "hansa\n")
        let ours = try await client.outcome.get()
        #expect(ours.events.isEmpty)
        guard case .alert(70, _)? = ours.faults.first else {
            Issue.record("our client saw \(ours.faults)")
            return
        }
        try await process.stop()
    }

    @Test func aServerThatDiesHasTruncatedTheConnection() async throws {
        let process = try server(["-cert", "1.pem", "-key", "1.pem", "-alpn", "hansa/1"])
        let greeted = LivePartner.loop.makePromise(of: Void.self)
        // No line, so no answer.
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "no line", greeted: greeted)
        try await greeted.futureResult.get()
        try await process.stop()
        let ours = try await client.outcome.get()
        #expect(ours.peer != nil)
        #expect(ours.faults == [.truncated])
    }

    /// A server may refuse us only after our handshake is done; whoever waits for its answer gets the reason.
    @Test func aServerThatRefusesOurCertificateIsHeardAfterTheHandshake() async throws {
        let process = try server(["-cert", "1.pem", "-key", "1.pem", "-alpn", "hansa/1", "-verify_return_error"])
        let client = try await LivePartner.connect(port: try await process.port(), greeting: "hansa\n")
        let ours = try await client.outcome.get()
        #expect(ours.events.count == 1)
        guard case .alert? = ours.faults.first else {
            Issue.record("our client saw \(ours.faults)")
            return
        }
        try await process.stop()
    }

    @Test func aMegabyteGoesThroughRealSocketsBothWays() async throws {
        let server = try await LivePartner.serve()
        let line = String(repeating: "Lübeck ", count: 150_000) + "\n"
        let client = try await LivePartner.connect(port: server.port, greeting: line)
        #expect(try await client.outcome.get().text == "HEARD " + line)
        #expect(try await server.outcome.get().text == line)
        try await server.channel.close().get()
    }
}
