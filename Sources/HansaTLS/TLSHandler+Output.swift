public import NIOCore

extension TLSHandler {
    /// Plaintext in one batch of records, and so about the largest write that goes to the network.
    static let batchBytesMax = 1 << 18
    /// A record adds 22 bytes to at most 16 KiB.
    private static let recordOverheadBytes = 22

    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        enqueue(.buffer(unwrapOutboundIn(data)), promise: promise)
    }

    /// Like `ChannelHandlerContext.write` from the handler behind this one, for bytes that lie in an array already: they are encrypted from there.
    /// Follow with `flush()`. Fails the promise where the handler is in no channel.
    public func write(_ bytes: ArraySlice<UInt8>, promise: EventLoopPromise<Void>?) {
        guard channelContext != nil else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        enqueue(.array(bytes), promise: promise)
    }

    /// All writes so far may go.
    public func flush() {
        if let channelContext { flush(context: channelContext) }
    }

    private func enqueue(_ bytes: Plaintext, promise: EventLoopPromise<Void>?) {
        switch (phase, output) {
        case (.closing, _), (.closed, _): promise?.fail(ChannelError.ioOnClosedChannel)
        case (_, .ending), (_, .ended), (_, .written): promise?.fail(ChannelError.outputClosed)
        case (.waiting, .open), (.handshaking, .open), (.open, .open): queue.append(bytes, promise: promise)
        }
    }

    public func flush(context: ChannelHandlerContext) {
        queue.flush()
        pump(context)
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        // What waits here goes first; if that fills the channel again, those behind us see it when they look.
        if context.channel.isWritable { pump(context) }
        context.fireChannelWritabilityChanged()
    }

    /// Encrypts flushed writes while the channel takes them, then ends our side if that was asked.
    func pump(_ context: ChannelHandlerContext) {
        switch phase {
        case .waiting, .handshaking, .closed: return
        case .open, .closing: break
        }
        // Promises and events fired below may bring someone to flush again; the loop sees what they added.
        guard !isPumping, let connection else { return }
        isPumping = true
        var hasWritten = false
        var fault: TLSFault?
        while fault == nil, queue.hasFlushed, context.channel.isWritable {
            fault = encryptBatch(context, connection)
            hasWritten = true
        }
        isPumping = false
        if hasWritten { context.flush() }
        if let fault { return fail(context, fault) }
        if !queue.hasFlushed, case .ending(let promise) = output { endOutput(context, promise) }
    }

    /// One buffer of records to the network, whose promise fulfils those of all writes that end in it.
    private func encryptBatch(_ context: ChannelHandlerContext, _ connection: TLSConnection) -> TLSFault? {
        var left = queue.flushedBytes(upTo: TLSHandler.batchBytesMax)
        connection.bio.expectOutput(left + (left >> 14 + 8) * TLSHandler.recordOverheadBytes)
        var promises: [EventLoopPromise<Void>] = []
        var fault: TLSFault?
        while fault == nil, let piece = queue.next(left) {
            fault = piece.bytes.withUnsafeBytes { connection.write($0) }
            left -= piece.bytes.count
            if let promise = piece.promise { promises.append(promise) }
            if left == 0 { break }
        }
        if let fault {
            for promise in promises { promise.fail(fault) }
            return fault
        }
        // A batch of empty writes makes no record, but its promises wait their turn.
        let ciphertext = connection.bio.takeOutbound() ?? ByteBuffer()
        context.write(wrapOutboundOut(ciphertext), promise: TLSHandler.joined(promises, on: context.eventLoop))
        return nil
    }

    private static func joined(_ promises: [EventLoopPromise<Void>], on loop: any EventLoop) -> EventLoopPromise<Void>? {
        guard promises.count > 1 else { return promises.first }
        let joined = loop.makePromise(of: Void.self)
        joined.futureResult.whenComplete { result in
            for promise in promises { promise.completeWith(result) }
        }
        return joined
    }

    /// Sends what libssl has written of its own: handshake messages, alerts, key updates.
    func sendOutput(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>? = nil) {
        guard let ciphertext = connection?.bio.takeOutbound() else {
            promise?.succeed()
            return
        }
        context.writeAndFlush(wrapOutboundOut(ciphertext), promise: promise)
    }
}
