public import NIOCore

extension TLSHandler {
    public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .input:
            // TLS cannot tell the partner to be silent.
            promise?.fail(ChannelError.operationUnsupported)
        case .output:
            guard case .open = output else {
                promise?.fail(ChannelError.outputClosed)
                return
            }
            switch phase {
            case .closing, .closed: promise?.fail(ChannelError.alreadyClosed)
            case .waiting, .handshaking, .open:
                output = .ending(promise)
                for write in queue.drop(unflushedOnly: true) { write.fail(ChannelError.outputClosed) }
                pump(context)
            }
        case .all:
            if let promise { context.channel.closeFuture.cascade(to: promise) }
            closeAll(context)
        }
    }

    private func closeAll(_ context: ChannelHandlerContext) {
        switch phase {
        case .closing: return
        case .closed: context.close(mode: .all, promise: nil)
        case .waiting, .handshaking: finish(context, failing: ChannelError.ioOnClosedChannel)
        case .open:
            linger(context)
            for write in queue.drop(unflushedOnly: true) { write.fail(ChannelError.ioOnClosedChannel) }
            if case .open = output { output = .ending(nil) }
            pump(context)
            closeIfOver(context)
        }
    }

    /// After all flushed writes: close_notify, then the end of the network stream.
    func endOutput(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        connection?.endOutput()
        sendLast(context, promise)
    }

    /// Sends libssl's last bytes and ends the network stream when they were written: not before, as a channel whose input has
    /// ended closes at once and forgets what it has not written.
    private func sendLast(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        output = .ended
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            guard case .ended = self.output else {
                promise?.fail(ChannelError.ioOnClosedChannel)
                return
            }
            self.output = .written
            if self.inputHasEnded {
                self.finish(context, failing: ChannelError.ioOnClosedChannel)
                promise?.succeed()
            } else {
                context.close(mode: .output, promise: promise)
            }
        }
        sendOutput(context, promise: written)
    }

    /// Once both sides have ended, nothing can come any more.
    func closeIfOver(_ context: ChannelHandlerContext) {
        if inputHasEnded, case .written = output { finish(context, failing: ChannelError.ioOnClosedChannel) }
    }

    private func linger(_ context: ChannelHandlerContext) {
        let deadline = context.eventLoop.assumeIsolated().scheduleTask(in: lingerDurationMax) {
            self.finish(context, failing: ChannelError.ioOnClosedChannel)
        }
        phase = .closing(deadline: deadline)
        context.read()
    }

    /// Nothing is right any more: tells the partner by the alert that libssl wrote, if any, and those behind us; then closes.
    func fail(_ context: ChannelHandlerContext, _ fault: TLSFault) {
        switch phase {
        case .closing, .closed: return
        case .handshaking(let deadline): deadline.cancel()
        case .waiting, .open: break
        }
        linger(context)
        for write in queue.drop(unflushedOnly: false) { write.fail(fault) }
        context.fireErrorCaught(fault)
        switch output {
        case .open: sendLast(context, nil)
        case .ending(let promise):
            sendLast(context, nil)
            promise?.fail(fault)
        case .ended, .written: break
        }
        closeIfOver(context)
    }

    /// Closes the channel now.
    private func finish(_ context: ChannelHandlerContext, failing error: any Error) {
        if case .closed = phase { return }
        retire(failing: error)
        context.close(mode: .all, promise: nil)
    }

    /// The network says that nothing more comes (with half-closure allowed the channel is still there).
    func networkInputEnded(_ context: ChannelHandlerContext) {
        let ended = inputHasEnded
        inputHasEnded = true
        switch phase {
        case .waiting, .closed: return
        case .handshaking: fail(context, .endedInHandshake)
        case .open: if ended { closeIfOver(context) } else { fail(context, .truncated) }
        case .closing: closeIfOver(context)
        }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        switch phase {
        case .waiting, .closed, .closing: break
        case .handshaking: report(context, .endedInHandshake)
        case .open: if !inputHasEnded { report(context, .truncated) }
        }
        retire(failing: ChannelError.ioOnClosedChannel)
        context.fireChannelInactive()
    }

    private func report(_ context: ChannelHandlerContext, _ fault: TLSFault) {
        retire(failing: fault)
        context.fireErrorCaught(fault)
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        channelContext = nil
        retire(failing: ChannelError.ioOnClosedChannel)
    }

    /// Ends timers and promises, whatever the phase. Idempotent.
    private func retire(failing error: any Error) {
        switch phase {
        case .handshaking(let deadline), .closing(let deadline): deadline.cancel()
        case .waiting, .open, .closed: break
        }
        phase = .closed
        let before = output
        output = .written
        if case .ending(let promise) = before { promise?.fail(error) }
        for write in queue.drop(unflushedOnly: false) { write.fail(error) }
    }
}
