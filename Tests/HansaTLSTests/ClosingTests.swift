import HansaCore
import HansaCrypto
import HansaTLS
import NIOCore
import NIOEmbedded
import Testing

@Suite struct ClosingTests {
    @Test func closingTellsTheOtherEndAndIsNoFault() throws {
        let pair = try Pair()
        try pair.connect()
        let closed = pair.client.channel.close()
        try pair.exchange()
        #expect(pair.server.recorder.events.last == .inputClosed)
        #expect(pair.server.faults.isEmpty)
        #expect(pair.server.channel.isActive)
        pair.server.channel.close(promise: nil)
        try pair.exchange()
        #expect(pair.client.recorder.isInactive && pair.server.recorder.isInactive)
        #expect(pair.client.faults.isEmpty && pair.server.faults.isEmpty)
        #expect(throws: Never.self) { try closed.settled() }
    }

    @Test func aPartnerThatDoesNotCloseIsNotWaitedForLong() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.channel.close(promise: nil)
        #expect(pair.client.channel.isActive)
        pair.loop.advanceTime(by: .milliseconds(499))
        #expect(pair.client.channel.isActive)
        pair.loop.advanceTime(by: .milliseconds(1))
        #expect(!pair.client.channel.isActive)
    }

    @Test func nothingIsDeliveredAfterClose() throws {
        let pair = try Pair()
        try pair.connect()
        pair.server.send([1])
        pair.client.channel.close(promise: nil)
        try pair.exchange()
        #expect(pair.client.received.isEmpty)
    }

    @Test func flushedWritesGoOutBeforeTheClose() throws {
        let pair = try Pair()
        try pair.connect()
        let flushed = pair.client.send([UInt8](repeating: 3, count: 700_000))
        let unflushed = pair.client.channel.write(ByteBuffer(bytes: [4]))
        pair.client.channel.close(promise: nil)
        try pair.exchange()
        #expect(pair.server.received == [UInt8](repeating: 3, count: 700_000))
        #expect(throws: Never.self) { try flushed.settled() }
        #expect(throws: ChannelError.ioOnClosedChannel) { try unflushed.settled() }
        #expect(throws: ChannelError.ioOnClosedChannel) { try pair.client.send([5]).settled() }
    }

    @Test func oneSideMayEndAndTheOtherGoOn() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.send(Array("question".utf8))
        let ended = pair.client.channel.close(mode: .output)
        try pair.exchange()
        #expect(throws: Never.self) { try ended.settled() }
        #expect(pair.server.recorder.events.last == .inputClosed)
        #expect(throws: ChannelError.outputClosed) { try pair.client.send([1]).settled() }
        #expect(throws: ChannelError.outputClosed) { try pair.client.channel.close(mode: .output).settled() }

        let answer = [UInt8](repeating: 8, count: 400_000)
        pair.server.send(answer)
        try pair.exchange()
        #expect(pair.client.received == answer)
        pair.server.channel.close(mode: .output, promise: nil)
        try pair.exchange()
        #expect(pair.client.recorder.events.last == .inputClosed)
        // Both have ended: nobody needs to close any more.
        #expect(pair.client.recorder.isInactive && pair.server.recorder.isInactive)
        #expect(pair.client.faults.isEmpty && pair.server.faults.isEmpty)
    }

    @Test func endingBeforeTheHandshakeIsDoneWaitsForIt() throws {
        let pair = try Pair()
        pair.client.send([1, 2])
        let ended = pair.client.channel.close(mode: .output)
        try pair.connect()
        #expect(pair.server.received == [1, 2])
        #expect(pair.server.recorder.events.last == .inputClosed)
        #expect(throws: Never.self) { try ended.settled() }
    }

    @Test func inputAloneCannotBeClosed() throws {
        let pair = try Pair()
        try pair.connect()
        #expect(throws: ChannelError.operationUnsupported) { try pair.client.channel.close(mode: .input).settled() }
    }

    @Test func anEndWithoutCloseNotifyIsAFault() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.send([1])
        try pair.exchange()
        pair.server.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(pair.server.faults == [.truncated])
        #expect(pair.server.recorder.isInactive)
    }

    @Test func aConnectionThatBreaksIsAFaultAndFailsItsWrites() throws {
        let pair = try Pair()
        try pair.connect()
        pair.client.channel.isWritable = false
        let waiting = pair.client.send([1])
        pair.client.channel.pipeline.fireChannelInactive()
        #expect(pair.client.faults == [.truncated])
        #expect(throws: (any Error).self) { try waiting.settled() }
    }

    @Test func closingDuringTheHandshakeIsQuiet() throws {
        let pair = try Pair()
        try pair.client.connect()
        let waiting = pair.client.send([1])
        let closed = pair.client.channel.close()
        pair.loop.run()
        try closed.settled()
        #expect(pair.client.faults.isEmpty)
        #expect(pair.client.recorder.isInactive)
        #expect(throws: ChannelError.ioOnClosedChannel) { try waiting.settled() }
        // No timer is left that would fire into a closed channel.
        pair.loop.advanceTime(by: .seconds(20))
        #expect(pair.client.faults.isEmpty)
    }

    @Test func aReaderMayCloseInTheMidstOfItsData() throws {
        let pair = try Pair()
        try pair.connect()
        pair.server.recorder.onRead = { $0.close(promise: nil) }
        pair.client.send([1])
        pair.client.send([2])
        pair.client.channel.close(mode: .output, promise: nil)
        try pair.exchange()
        #expect(pair.server.received.first == 1)
        #expect(pair.server.recorder.isInactive && pair.client.recorder.isInactive)
        #expect(pair.server.faults.isEmpty && pair.client.faults.isEmpty)
    }
}
