internal import NIOCore
internal import Synchronization

/// Bytes of a connection as they stand on the wire (TLS records included), counted in front of the socket.
final class Traffic: ChannelDuplexHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let inbound = Atomic<UInt64>(0)
    private let outbound = Atomic<UInt64>(0)

    var bytesReceived: UInt64 { inbound.load(ordering: .relaxed) }
    var bytesSent: UInt64 { outbound.load(ordering: .relaxed) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        inbound.add(UInt64(Self.unwrapInboundIn(data).readableBytes), ordering: .relaxed)
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        outbound.add(UInt64(Self.unwrapOutboundIn(data).readableBytes), ordering: .relaxed)
        context.write(data, promise: promise)
    }
}
