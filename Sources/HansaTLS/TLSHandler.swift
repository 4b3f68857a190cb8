// The TLS end of a channel. Three layers, each knowing only the one below: this handler (channel, timers, promises),
// `TLSConnection` (one SSL, steps) and `BufferBIO` (bytes). Output is in TLSHandler+Output.swift, closing in TLSHandler+Closing.swift.
//
//   waiting -> handshaking -> open -> closing -> closed
//
// A fault or close(.all) leads from anywhere to closing: what must still go out does, input is read and thrown away so that the
// kernel sends no reset that would destroy it, and after `lingerDurationMax` the channel closes in any case.

public import NIOCore

/// TLS 1.3 with mutual authentication by pinned keys, over the system's libssl. The first handler of its channel.
///
/// - `channelActive` passes at once; writes wait until the handshake is done. It ends in `TLSEvent.handshakeCompleted` or in an
///   `errorCaught` with a `TLSFault`, after which the channel closes.
/// - Inbound: what the network delivers is decrypted and passed on at once, so plaintext is never queued here: a reader that
///   does not call `read` is not read for.
/// - Outbound: flushed writes are encrypted in batches of 256 KiB while the channel is writable; the rest waits as plaintext. A
///   write's promise is fulfilled when its last encrypted byte was written to the network.
/// - `close(mode: .output)` ends our side with close_notify after all flushed writes; the partner's is `TLSEvent.inputClosed`, and
///   whoever has nothing more to send then closes. An end without close_notify is `TLSFault.truncated`.
/// - The handler sets `allowRemoteHalfClosure` and a receive allocator of 64–256 KiB on its channel.
///
/// Use it only on its event loop.
public final class TLSHandler: ChannelDuplexHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    enum Phase {
        case waiting
        case handshaking(deadline: Scheduled<Void>)
        case open
        case closing(deadline: Scheduled<Void>)
        case closed
    }

    enum Output {
        case open
        /// close_notify follows the flushed writes.
        case ending(EventLoopPromise<Void>?)
        /// Our last bytes are on their way.
        case ended
        /// The network has our last bytes.
        case written
    }

    public static let handshakeDurationMax = TimeAmount.seconds(10)
    public static let lingerDurationMax = TimeAmount.milliseconds(500)

    private let tlsContext: TLSContext
    private let role: TLSRole
    private let verify: @Sendable (TLSPeer) -> Bool
    private let handshakeDurationMax: TimeAmount
    let lingerDurationMax: TimeAmount

    var connection: TLSConnection?
    var phase = Phase.waiting
    var output = Output.open
    var queue = OutputQueue()
    var isPumping = false
    /// While it is in a channel.
    var channelContext: ChannelHandlerContext?
    /// close_notify has come, or the network stream has ended.
    var inputHasEnded = false
    /// A `read` from behind that no plaintext has answered yet.
    private var readIsOwed = false

    /// `verify` is asked once for each handshake, on the event loop and in the midst of libssl: it compares pins and returns.
    public init(
        context: TLSContext, role: TLSRole, handshakeDurationMax: TimeAmount = TLSHandler.handshakeDurationMax,
        lingerDurationMax: TimeAmount = TLSHandler.lingerDurationMax, verify: @escaping @Sendable (TLSPeer) -> Bool
    ) {
        tlsContext = context
        self.role = role
        self.handshakeDurationMax = handshakeDurationMax
        self.lingerDurationMax = lingerDurationMax
        self.verify = verify
    }

    /// Who is at the other end; nil before the handshake is done.
    public var peer: TLSPeer? { connection?.peer }

    /// Bytes that both ends of this connection, and nobody else, can compute (RFC 8446 §7.5): to bind what is signed to it.
    /// Throws `ChannelError.inappropriateOperationForState` before the handshake is done.
    public func exportKeyingMaterial(label: String, context: [UInt8], count: Int) throws -> [UInt8] {
        guard let material = connection?.exportKeyingMaterial(label: label, context: context, count: count) else {
            throw ChannelError.inappropriateOperationForState
        }
        return material
    }

    // MARK: The channel begins

    public func handlerAdded(context: ChannelHandlerContext) {
        channelContext = context
        // Channels in tests may lack the one or the other; TLS works without.
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try? context.channel.syncOptions?.setOption(
            .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1 << 14, initial: 1 << 16, maximum: 1 << 18))
        if context.channel.isActive { begin(context) }
    }

    public func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard case .waiting = phase else { return }
        let deadline = context.eventLoop.assumeIsolated().scheduleTask(in: handshakeDurationMax) { self.handshakeIsLate(context) }
        phase = .handshaking(deadline: deadline)
        do throws(TLSFault) {
            connection = try TLSConnection(context: tlsContext, role: role, allocator: context.channel.allocator, verify: verify)
            handshake(context)
            // Nobody behind us has asked to read yet, and the handshake must go on all the same.
            context.read()
        } catch {
            fail(context, error)
        }
    }

    private func handshakeIsLate(_ context: ChannelHandlerContext) {
        if case .handshaking = phase { fail(context, .handshakeTookTooLong(handshakeDurationMax)) }
    }

    private func handshake(_ context: ChannelHandlerContext) {
        guard case .handshaking(let deadline) = phase, let connection else { return }
        let step = connection.handshake()
        sendOutput(context)
        switch step {
        case .wantsInput: break
        case .failed(let fault): fail(context, fault)
        case .done(let peer):
            deadline.cancel()
            phase = .open
            context.fireUserInboundEventTriggered(TLSEvent.handshakeCompleted(peer))
            pump(context)
            // The partner's first data may have come with the end of its handshake.
            deliver(context)
        }
    }

    // MARK: Inbound

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        switch phase {
        case .waiting, .closing, .closed: return
        case .handshaking, .open:
            guard let connection else { return }
            if inputHasEnded { return }
            if connection.bio.inbound.readableBytes > 0 {
                connection.bio.inbound.writeBuffer(&bytes)
            } else {
                connection.bio.inbound = bytes
            }
        }
        if case .handshaking = phase { handshake(context) } else { deliver(context) }
    }

    /// Decrypts what is there and passes it on. Afterwards the BIO holds nothing: libssl keeps a record that is not whole.
    private func deliver(_ context: ChannelHandlerContext) {
        while case .open = phase, let connection, connection.hasInput, !inputHasEnded {
            // Plaintext is shorter than its ciphertext but for a record begun in an earlier read; that takes a second round.
            var plaintext = context.channel.allocator.buffer(capacity: max(connection.bio.inbound.readableBytes, 1 << 14))
            let end = decrypt(connection, into: &plaintext)
            sendOutput(context)
            if plaintext.readableBytes > 0 {
                readIsOwed = false
                context.fireChannelRead(wrapInboundOut(plaintext))
            }
            // Whoever read may have closed.
            guard case .open = phase else { return }
            switch end {
            case .bytes, .wantsInput: continue
            case .failed(let fault): return fail(context, fault)
            case .ended:
                inputHasEnded = true
                connection.bio.inbound.clear()
                context.fireUserInboundEventTriggered(TLSEvent.inputClosed)
                closeIfOver(context)
            }
        }
    }

    private func decrypt(_ connection: TLSConnection, into plaintext: inout ByteBuffer) -> TLSConnection.ReadStep {
        while connection.hasInput, plaintext.writableBytes > 0 {
            let step = connection.read(into: &plaintext)
            guard case .bytes = step else { return step }
        }
        return .wantsInput
    }

    public func read(context: ChannelHandlerContext) {
        readIsOwed = true
        context.read()
    }

    public func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        switch phase {
        case .handshaking, .closing: context.read()
        // A record that is not whole yet answers nobody's read.
        case .open: if readIsOwed, !inputHasEnded { context.read() }
        case .waiting, .closed: break
        }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { networkInputEnded(context) }
        context.fireUserInboundEventTriggered(event)
    }
}

@available(*, unavailable)
extension TLSHandler: Sendable {}
