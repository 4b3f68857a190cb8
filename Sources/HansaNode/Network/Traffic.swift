internal import HansaSync
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

/// Frames of a session by type, headers included, before TLS: what the debug log says of it at its end.
struct FrameTally: CustomStringConvertible {
    private var counts: [FrameType: (frames: Int, bytes: Int)] = [:]

    mutating func add(_ frame: Frame) {
        let before = counts[frame.type] ?? (0, 0)
        counts[frame.type] = (before.frames + 1, before.bytes + FrameHeader.byteCount + frame.bodyCount)
    }

    /// `feed 2/5120 releases 1/90210`: number and bytes of each type, in the order of the protocol.
    var description: String {
        counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key) \($0.value.frames)/\($0.value.bytes)" }.joined(
            separator: " ")
    }
}
