import HansaCore
import HansaCrypto
import NIOCore
import NIOEmbedded
import Testing

@testable import HansaTLS

@Suite struct DataTests {
    /// Bytes that differ everywhere, so that a lost or doubled record shows.
    private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) } }

    @Test(arguments: [1, 16_383, 16_384, 16_385, 262_144, 262_145, 1_500_000])
    func bytesArriveAsTheyWereSent(count: Int) throws {
        let pair = try Pair()
        try pair.connect()
        let bytes = pattern(count)
        let sent = pair.client.send(bytes)
        let back = pair.server.send(bytes.reversed())
        try pair.exchange()
        #expect(pair.server.received == bytes)
        #expect(pair.client.received == bytes.reversed())
        #expect(throws: Never.self) {
            try sent.settled()
            try back.settled()
        }
    }

    @Test func bytesFromArraysArriveInTurn() throws {
        let pair = try Pair()
        try pair.connect()
        let bytes = pattern(1_500_000)
        pair.client.wire.writes = []
        let head = pair.client.channel.write(ByteBuffer(bytes: bytes[..<10]))
        let handler = try pair.client.channel.pipeline.syncOperations.handler(type: TLSHandler.self)
        let written = pair.loop.makePromise(of: Void.self)
        handler.write(bytes[10..<1_400_000], promise: written)
        let tail = pair.client.channel.write(ByteBuffer(bytes: bytes[1_400_000...]))
        handler.flush()
        try pair.exchange()
        #expect(pair.server.received == bytes)
        #expect(pair.client.wire.writes.count == 6)
        #expect(throws: Never.self) {
            try head.settled()
            try written.futureResult.settled()
            try tail.settled()
        }
    }

    @Test func recordsCutAnywhereArriveWhole() throws {
        let pair = try Pair()
        try pair.connect()
        let bytes = pattern(50_000)
        for cut in [1, 4, 5, 6, 21, 16_405, 16_406, 16_407, 40_000] {
            pair.server.recorder.received.clear()
            pair.client.send(bytes)
            try pair.exchange(cut: cut)
            #expect(pair.server.received == bytes, "cut \(cut)")
        }
    }

    @Test func writesBeforeTheHandshakeWaitForIt() throws {
        let pair = try Pair()
        let sent = pair.client.send(Array("early".utf8))
        let late = pair.client.channel.write(ByteBuffer(string: " and unflushed"))
        try pair.connect()
        #expect(pair.server.received == Array("early".utf8))
        #expect(throws: Never.self) { try sent.settled() }
        pair.client.channel.flush()
        try pair.exchange()
        #expect(pair.server.received == Array("early and unflushed".utf8))
        #expect(throws: Never.self) { try late.settled() }
    }

    @Test func aLargeWriteLeavesInBatchesOfWholeRecords() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.wire.writes = []
        pair.client.send([UInt8](repeating: 7, count: 1 << 20))
        try pair.exchange()
        #expect(pair.client.wire.writes == [Int](repeating: (1 << 18) + 16 * 22, count: 4))
    }

    @Test func manySmallWritesLeaveTogether() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.wire.writes = []
        let promises = (0..<100).map { pair.client.channel.write(ByteBuffer(bytes: [UInt8($0)])) }
        pair.client.channel.flush()
        try pair.exchange()
        #expect(pair.client.wire.writes.count == 1)
        #expect(pair.server.received == (0..<100).map { UInt8($0) })
        for promise in promises { _ = try promise.settled() }
    }

    @Test func emptyWritesKeepTheirTurn() throws {
        let pair = try Pair()
        try pair.connect()
        let empty = pair.client.send([])
        pair.client.send([1])
        try pair.exchange()
        #expect(throws: Never.self) { try empty.settled() }
        #expect(pair.server.received == [1])
    }

    @Test func aFullChannelIsNotWrittenTo() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.wire.writes = []
        let client = pair.client
        // The socket fills with the first batch.
        client.wire.onWrite = { [unowned channel = client.channel] in channel.isWritable = false }
        let sent = client.send([UInt8](repeating: 1, count: 600_000))
        #expect(client.wire.writes.count == 1)
        #expect(throws: EventLoopFuture<Void>.NotYet.self) { try sent.settled() }
        for batches in 2...3 {
            client.channel.isWritable = true
            client.channel.pipeline.fireChannelWritabilityChanged()
            #expect(client.wire.writes.count == batches)
        }
        try pair.exchange()
        #expect(throws: Never.self) { try sent.settled() }
        #expect(pair.server.received.count == 600_000)
    }

    @Test func aReaderThatDoesNotReadIsNotReadFor() throws {
        let pair = try Pair()
        try pair.connect()
        let reads = pair.server.wire.reads
        pair.client.send([1, 2, 3])
        try pair.exchange()
        // No read was asked from behind, and the data that came all the same was passed on; none is asked of the network.
        #expect(pair.server.wire.reads == reads)
    }

    @Test func aReadIsRepeatedUntilItGivesBytes() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.send([UInt8](repeating: 5, count: 1000))
        var record = try #require(try pair.client.channel.readOutbound(as: ByteBuffer.self))
        let server = pair.server
        server.channel.read()
        let reads = server.wire.reads
        let first = record.readSlice(length: 500)
        let half = try #require(first)
        server.channel.pipeline.fireChannelRead(half)
        server.channel.pipeline.fireChannelReadComplete()
        #expect(server.wire.reads == reads + 1)
        server.channel.pipeline.fireChannelRead(record)
        server.channel.pipeline.fireChannelReadComplete()
        #expect(server.wire.reads == reads + 1)
        #expect(server.received.count == 1000)
    }

    @Test func aChangedRecordIsRefused() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.send(pattern(100))
        var record = try #require(try pair.client.channel.readOutbound(as: ByteBuffer.self))
        let byte = try #require(record.getInteger(at: 50, as: UInt8.self))
        record.setInteger(byte ^ 1, at: 50)
        pair.server.channel.pipeline.fireChannelRead(record)
        guard case .recordInvalid? = pair.server.faults.first else {
            Issue.record("the server got \(pair.server.faults)")
            return
        }
        #expect(pair.server.received.isEmpty)
        try pair.exchange()
        guard case .alert(20, _)? = pair.client.faults.first else {
            Issue.record("the client got \(pair.client.faults)")
            return
        }
    }

    @Test func aRecordReplayedIsRefused() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.send([9])
        let record = try #require(try pair.client.channel.readOutbound(as: ByteBuffer.self))
        pair.server.channel.pipeline.fireChannelRead(record)
        pair.server.channel.pipeline.fireChannelRead(record)
        #expect(pair.server.received == [9])
        #expect(pair.server.faults.count == 1)
    }
}

/// AES-GCM keys wear out; a connection that lives long enough changes them.
@Suite struct KeyUpdateTests {
    @Test func theSendingKeyIsChangedInTime() throws {
        let pair = try Pair()
        try pair.connect()
        let connection = try #require(pair.client.tls.connection)
        connection.keyBytesMax = 100_000
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 >> 3) }
        for start in stride(from: 0, to: bytes.count, by: 50_000) { pair.client.send(Array(bytes[start..<(start + 50_000)])) }
        pair.server.send([1])
        try pair.exchange()
        #expect(pair.server.received == bytes)
        #expect(pair.client.received == [1])
        #expect(connection.keyUpdates == 6)
        #expect(pair.server.faults.isEmpty && pair.client.faults.isEmpty)
    }
}
