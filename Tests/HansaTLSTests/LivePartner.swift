import HansaCrypto
import HansaTLS
import NIOCore
import NIOPosix

/// What one of our ends saw until its channel closed.
struct Outcome: Sendable {
    var events: [TLSEvent] = []
    var faults: [TLSFault] = []
    var received = ByteBuffer()
    var text: String { String(buffer: received) }
    var peer: TLSPeer? {
        if case .handshakeCompleted(let peer)? = events.first { peer } else { nil }
    }
}

/// Behind the TLS handler of a real connection: says what it is given to say, and closes after the first line it hears.
final class Conversation: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let greeting: String?
    private let outcome: EventLoopPromise<Outcome>
    private let greeted: EventLoopPromise<Void>?
    private var seen = Outcome()

    /// A server has no greeting and answers the first line with `HEARD` and the line.
    init(greeting: String?, outcome: EventLoopPromise<Outcome>, greeted: EventLoopPromise<Void>? = nil) {
        self.greeting = greeting
        self.outcome = outcome
        self.greeted = greeted
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? TLSEvent else { return }
        seen.events.append(event)
        switch event {
        case .handshakeCompleted:
            if let greeting { context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting)), promise: greeted) }
        case .inputClosed: context.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        seen.received.writeBuffer(&bytes)
        guard seen.received.readableBytesView.last == UInt8(ascii: "\n") else { return }
        if greeting == nil { context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HEARD " + seen.text)), promise: nil) }
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let fault = error as? TLSFault { seen.faults.append(fault) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        greeted?.fail(ChannelError.eof)
        outcome.succeed(seen)
    }
}

enum LivePartner {
    static let loop = MultiThreadedEventLoopGroup.singleton.any()

    /// Our server for one connection, on a port that the system chooses; it knows the client's key 0.
    static func serve() async throws -> (port: Int, outcome: EventLoopFuture<Outcome>, channel: any Channel) {
        let promise = loop.makePromise(of: Outcome.self)
        let context = try TLSContext(identity: Pair.identities[1], applicationProtocol: "hansa/1")
        let trusted = Pair.identities[0].spkiHash
        let channel = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        TLSHandler(context: context, role: .server, verify: { $0.spki == trusted }),
                        Conversation(greeting: nil, outcome: promise))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let port = channel.localAddress?.port else { throw ChannelError.unknownLocalAddress }
        return (port, promise.futureResult, channel)
    }

    /// Our client, identity 0; it knows the server's key 1 and says `greeting`.
    static func connect(
        port: Int, greeting: String, greeted: EventLoopPromise<Void>? = nil
    ) async throws -> (outcome: EventLoopFuture<Outcome>, channel: any Channel) {
        let promise = loop.makePromise(of: Outcome.self)
        let context = try TLSContext(identity: Pair.identities[0], applicationProtocol: "hansa/1")
        let trusted = Pair.identities[1].spkiHash
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        TLSHandler(context: context, role: .client, verify: { $0.spki == trusted }),
                        Conversation(greeting: greeting, outcome: promise, greeted: greeted))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return (promise.futureResult, channel)
    }
}
