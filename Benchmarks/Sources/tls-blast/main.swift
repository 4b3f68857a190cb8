// HansaTLS alone over loopback TCP: mutual TLS 1.3, one connection, the accepting side sends.
//
//   tls-blast BYTES [BLOCK]      prints bytes a second, from the end of the handshake to the last byte received
//
// Two event loops, one a side, in one process; BLOCK is the size of one write (default 256 KiB, as the libssl pair writes).
internal import HansaCore
internal import HansaCrypto
internal import HansaTLS
internal import NIOCore
internal import NIOPosix

/// Counts what arrives.
private final class Receiver: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private var left: Int
    private let done: EventLoopPromise<Void>

    init(_ bytes: Int, _ done: EventLoopPromise<Void>) {
        left = bytes
        self.done = done
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        left -= Self.unwrapInboundIn(data).readableBytes
        if left <= 0 { done.succeed() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        done.fail(error)
        context.close(promise: nil)
    }
}

/// Writes the same block again and again, as long as the channel takes more.
private final class Sender: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private var left: Int
    private let block: ByteBuffer
    private let started: EventLoopPromise<ContinuousClock.Instant>

    init(_ bytes: Int, _ block: ByteBuffer, _ started: EventLoopPromise<ContinuousClock.Instant>) {
        left = bytes
        self.block = block
        self.started = started
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSEvent {
            started.succeed(.now)
            fill(context)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { fill(context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        started.fail(error)
        context.close(promise: nil)
    }

    private func fill(_ context: ChannelHandlerContext) {
        while left > 0, context.channel.isWritable {
            let part = block.getSlice(at: 0, length: min(left, block.readableBytes)) ?? block
            left -= part.readableBytes
            context.writeAndFlush(Self.wrapOutboundOut(part), promise: nil)
        }
    }
}

guard CommandLine.arguments.count >= 2, let bytes = Int(CommandLine.arguments[1]), bytes > 0,
    let blockBytes = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) : 256 << 10, blockBytes > 0
else { fatalError("usage: tls-blast BYTES [BLOCK]") }

func identity(_ name: String) throws -> TLSIdentity {
    try TLSIdentity.generate(
        commonName: name, notBefore: Timestamp(seconds: 1_700_000_000), notAfter: Timestamp(seconds: 4_000_000_000))
}

let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
let loops = Array(group.makeIterator())
let (sending, receiving) = (try identity("sender"), try identity("receiver"))
let senderContext = try TLSContext(identity: sending, applicationProtocol: "hansa-bench/1")
let receiverContext = try TLSContext(identity: receiving, applicationProtocol: "hansa-bench/1")
let (senderPin, receiverPin) = (sending.spkiHash, receiving.spkiHash)
let done = loops[0].makePromise(of: Void.self)
let started = loops[1].makePromise(of: ContinuousClock.Instant.self)
let block = ByteBuffer(repeating: 7, count: blockBytes)

let server = try ServerBootstrap(group: loops[1])
    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
    .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                TLSHandler(context: senderContext, role: .server, verify: { $0.spki == receiverPin }))
            try channel.pipeline.syncOperations.addHandler(Sender(bytes, block, started))
        }
    }
    .bind(host: "127.0.0.1", port: 0).wait()
guard let address = server.localAddress else { fatalError("a bound server has an address") }
let client = try ClientBootstrap(group: loops[0])
    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
    .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                TLSHandler(context: receiverContext, role: .client, verify: { $0.spki == senderPin }))
            try channel.pipeline.syncOperations.addHandler(Receiver(bytes, done))
        }
    }
    .connect(to: address).wait()
let start = try started.futureResult.wait()
try done.futureResult.wait()
let seconds = start.duration(to: .now) / .seconds(1)
print(Int(Double(bytes) / seconds))
try client.close().wait()
try server.close().wait()
try group.syncShutdownGracefully()
