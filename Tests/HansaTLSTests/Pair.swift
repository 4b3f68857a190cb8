import HansaCore
import HansaCrypto
import HansaTLS
import NIOCore
import NIOEmbedded

/// Two TLS ends in memory, on one clock that only tests move.
final class Pair {
    static let start = Timestamp(seconds: 1_767_225_600)
    // Made once: a P-256 key takes longer than a test.
    static let identities: [TLSIdentity] = (0..<3).map { number in
        do {
            return try TLSIdentity.generate(
                commonName: "city\(number).example", notBefore: start, notAfter: start.adding(seconds: 86_400 * 730))
        } catch {
            fatalError("no identity: \(error)")
        }
    }

    let loop = EmbeddedEventLoop()
    let client: End
    let server: End

    init(
        clientProtocol: String = "hansa/1", serverProtocol: String = "hansa/1",
        clientTrusts: @escaping @Sendable (TLSPeer) -> Bool = { $0.spki == Pair.identities[1].spkiHash },
        serverTrusts: @escaping @Sendable (TLSPeer) -> Bool = { $0.spki == Pair.identities[0].spkiHash }
    ) throws {
        client = End(
            loop,
            TLSHandler(
                context: try TLSContext(identity: Pair.identities[0], applicationProtocol: clientProtocol), role: .client,
                verify: clientTrusts))
        server = End(
            loop,
            TLSHandler(
                context: try TLSContext(identity: Pair.identities[1], applicationProtocol: serverProtocol), role: .server,
                verify: serverTrusts))
    }

    deinit {
        for end in [client, server] { end.channel.close(promise: nil) }
        loop.advanceTime(by: .seconds(60))
    }

    /// Connects both and lets them shake hands.
    func connect() throws {
        try client.connect()
        try server.connect()
        try exchange()
    }

    /// Carries bytes both ways until nothing moves; `cut` bounds each read, to split records anywhere.
    func exchange(cut: Int = .max) throws {
        var moved = true
        while moved {
            moved = try carry(client, server, cut)
            moved = try carry(server, client, cut) || moved
            loop.run()
        }
    }

    private func carry(_ from: End, _ to: End, _ cut: Int) throws -> Bool {
        var moved = false
        while var bytes = try from.channel.readOutbound(as: ByteBuffer.self) {
            moved = true
            while let part = bytes.readSlice(length: min(cut, bytes.readableBytes)), part.readableBytes > 0 {
                guard to.channel.isActive else { break }
                to.channel.pipeline.fireChannelRead(part)
                to.channel.pipeline.fireChannelReadComplete()
            }
        }
        if from.wire.outputHasEnded || !from.channel.isActive, from.wire.wasConnected, !to.wire.hasSeenEnd, to.channel.isActive {
            to.wire.hasSeenEnd = true
            to.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            moved = true
        }
        return moved
    }
}

/// One end: a channel, the handler under test, and what those behind it were told.
final class End {
    let channel: EmbeddedChannel
    let wire = Wire()
    let tls: TLSHandler
    let recorder = Recorder()

    init(_ loop: EmbeddedEventLoop, _ tls: TLSHandler) {
        self.tls = tls
        channel = EmbeddedChannel(handlers: [wire, tls, recorder], loop: loop)
    }

    func connect() throws {
        wire.wasConnected = true
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/in-memory")).settled()
    }

    @discardableResult
    func send(_ bytes: [UInt8]) -> EventLoopFuture<Void> { channel.writeAndFlush(ByteBuffer(bytes: bytes)) }

    var received: [UInt8] { Array(recorder.received.readableBytesView) }
    var faults: [TLSFault] { recorder.errors.compactMap { $0 as? TLSFault } }
}

/// What an embedded channel lacks of a socket: half-closure, and a count of reads.
final class Wire: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer

    var wasConnected = false
    var outputHasEnded = false
    var hasSeenEnd = false
    var reads = 0
    /// Sizes of the writes that reached the network.
    var writes: [Int] = []
    /// Calls this before each write goes on; lets a test play a full socket.
    var onWrite: (() -> Void)?

    func read(context: ChannelHandlerContext) {
        reads += 1
        context.read()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        writes.append(unwrapOutboundIn(data).readableBytes)
        onWrite?()
        context.write(data, promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .output else { return context.close(mode: mode, promise: promise) }
        outputHasEnded = true
        promise?.succeed()
    }
}

final class Recorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var received = ByteBuffer()
    var events: [TLSEvent] = []
    var errors: [any Error] = []
    var isInactive = false
    var onRead: ((ChannelHandlerContext) -> Void)?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        onRead?(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSEvent { events.append(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { errors.append(error) }
    func channelInactive(context: ChannelHandlerContext) { isInactive = true }
}

extension EventLoopFuture {
    struct NotYet: Error {}

    /// The result, which must be there by now: `wait` would wait for ever for what only the test itself can bring about.
    @discardableResult
    func settled() throws -> Value {
        nonisolated(unsafe) var result: Result<Value, any Error> = .failure(NotYet())
        assumeIsolated().whenComplete { result = $0 }
        return try result.get()
    }
}
