import HansaCore
import HansaCrypto
import HansaTLS
import NIOCore
import NIOEmbedded
import Testing

@Suite struct HandshakeTests {
    @Test func bothEndsLearnTheOthersKey() throws {
        let pair = try Pair()
        try pair.connect()
        let peers = [pair.client, pair.server].map { $0.tls.peer?.spki }
        #expect(peers == [Pair.identities[1].spkiHash, Pair.identities[0].spkiHash])
        #expect(pair.client.tls.peer?.certificateDER == Pair.identities[1].certificateDER)
        for end in [pair.client, pair.server] {
            let peer = try #require(end.tls.peer)
            #expect(end.recorder.events == [.handshakeCompleted(peer)])
            #expect(end.faults.isEmpty)
        }
    }

    @Test(arguments: [1, 2, 5, 7, 100, 1000])
    func aHandshakeInSmallPiecesSucceeds(cut: Int) throws {
        let pair = try Pair()
        try pair.client.connect()
        try pair.server.connect()
        try pair.exchange(cut: cut)
        #expect(pair.client.tls.peer != nil && pair.server.tls.peer != nil)
        pair.client.send(Array("in pieces".utf8))
        try pair.exchange(cut: cut)
        #expect(pair.server.received == Array("in pieces".utf8))
    }

    @Test func aClientThatFindsAnotherKeyRefusesAndTheServerIsTold() throws {
        let pair = try Pair(clientTrusts: { $0.spki == Pair.identities[2].spkiHash })
        try pair.connect()
        #expect(
            pair.client.faults == [
                .peerRefused(TLSPeer(spki: Pair.identities[1].spkiHash, certificateDER: Pair.identities[1].certificateDER))
            ])
        guard case .alert(let number, let error)? = pair.server.faults.first else {
            Issue.record("the server got \(pair.server.faults)")
            return
        }
        #expect(number == 42)
        #expect(error.description.contains("alert bad certificate"))
        #expect(pair.client.recorder.isInactive && pair.server.recorder.isInactive)
        #expect(pair.client.tls.peer == nil && pair.server.tls.peer == nil)
    }

    /// TLS 1.3: the client is done before the server has seen its certificate.
    @Test func aClientThatTheServerRefusesCompletesFirstAndLearnsItByAlert() throws {
        let pair = try Pair(serverTrusts: { _ in false })
        try pair.connect()
        let peer = TLSPeer(spki: Pair.identities[1].spkiHash, certificateDER: Pair.identities[1].certificateDER)
        #expect(pair.client.recorder.events == [.handshakeCompleted(peer)])
        guard case .alert(42, let error)? = pair.client.faults.first else {
            Issue.record("the client got \(pair.client.faults)")
            return
        }
        #expect(error.description.contains("alert bad certificate"))
        #expect(pair.server.recorder.events.isEmpty)
        #expect(pair.server.tls.peer == nil)
        #expect(pair.client.recorder.isInactive && pair.server.recorder.isInactive)
    }

    @Test func writesToAServerThatRefusesUsFail() throws {
        let pair = try Pair(serverTrusts: { _ in false })
        let early = pair.client.send([1, 2, 3])
        try pair.connect()
        #expect(pair.server.received.isEmpty)
        // The bytes went out before the refusal was known: a fulfilled promise is not yet a partner's acceptance.
        #expect(throws: Never.self) { try early.settled() }
        #expect(throws: (any Error).self) { try pair.client.send([4]).settled() }
    }

    @Test func anotherApplicationProtocolIsRefusedWithItsAlert() throws {
        let pair = try Pair(clientProtocol: "other/1")
        try pair.connect()
        #expect(pair.server.faults == [.applicationProtocolMissing(chosen: nil)])
        guard case .alert(120, let error)? = pair.client.faults.first else {
            Issue.record("the client got \(pair.client.faults)")
            return
        }
        #expect(error.description.contains("no application protocol"))
        #expect(pair.client.recorder.events.isEmpty && pair.server.recorder.events.isEmpty)
    }

    @Test func bytesThatAreNotTLSEndTheHandshake() throws {
        let pair = try Pair()
        try pair.server.connect()
        pair.server.channel.pipeline.fireChannelRead(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: kitchener.ca\r\n\r\n"))
        guard case .handshakeFailed(let error)? = pair.server.faults.first else {
            Issue.record("the server got \(pair.server.faults)")
            return
        }
        #expect(error.description.contains("http request"))
    }

    @Test func aHandshakeThatTakesTooLongIsGivenUp() throws {
        let pair = try Pair()
        try pair.server.connect()
        pair.loop.advanceTime(by: .milliseconds(9_999))
        #expect(pair.server.faults.isEmpty)
        pair.loop.advanceTime(by: .milliseconds(1))
        #expect(pair.server.faults == [.handshakeTookTooLong(.seconds(10))])
        pair.loop.advanceTime(by: .milliseconds(500))
        #expect(pair.server.recorder.isInactive)
    }

    @Test func aPartnerThatLeavesDuringTheHandshakeIsNamed() throws {
        let pair = try Pair()
        try pair.server.connect()
        pair.server.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(pair.server.faults == [.endedInHandshake])
        #expect(pair.server.recorder.isInactive)
    }

    @Test func bothEndsExportTheSameKeysForTheSameContextOnly() throws {
        let pair = try Pair()
        #expect(throws: ChannelError.inappropriateOperationForState) {
            try pair.client.tls.exportKeyingMaterial(label: "EXPORTER-hansa", context: [], count: 32)
        }
        try pair.connect()
        let keys = try [pair.client, pair.server].map {
            try $0.tls.exportKeyingMaterial(label: "EXPORTER-hansa", context: [1], count: 48)
        }
        #expect(keys[0] == keys[1])
        #expect(keys[0].count == 48)
        let others = try [
            pair.client.tls.exportKeyingMaterial(label: "EXPORTER-hansa", context: [2], count: 48),
            pair.client.tls.exportKeyingMaterial(label: "EXPORTER-other", context: [1], count: 48),
        ]
        #expect(!others.contains(keys[0]))
        let another = try Pair()
        try another.connect()
        #expect(try another.client.tls.exportKeyingMaterial(label: "EXPORTER-hansa", context: [1], count: 48) != keys[0])
    }

    /// A server that issued tickets would send them right after the handshake.
    @Test func noSessionTicketsAreSent() throws {
        let pair = try Pair()
        try pair.connect()
        // Hello to Finished, and nothing after the client's Finished.
        let before = pair.server.wire.writes.count
        pair.client.send([1])
        try pair.exchange()
        #expect(pair.server.wire.writes.count == before)
        #expect(before == 1)
    }
}
