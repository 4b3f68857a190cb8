internal import HansaCore
internal import HansaSync

extension FuzzTarget {
    /// Five bytes of header, of which the length is made right, and the body.
    static func frame(_ bytes: [UInt8]) throws(FuzzFinding) {
        guard bytes.count >= FrameHeader.byteCount else { return }
        _ = try? FrameHeader(bytes[...])
        let body = Array(bytes[FrameHeader.byteCount...])
        guard let type = FrameType(rawValue: bytes[3]), body.count <= type.bodyBytesMax else { return }
        let frame = Frame(type, body: body)
        guard let header = try? FrameHeader(frame.header[...]) else {
            throw FuzzFinding("the header of a \(type) frame is not read back")
        }
        try expect(header.type == type && header.bodyCount == body.count, "the header of a \(type) frame is read as another")
        switch type {
        case .hello: try again(Hello.self, frame)
        case .documents: try again(Documents.self, frame)
        case .documentsAcknowledged: try again(DocumentsAcknowledged.self, frame)
        case .views: try again(Views.self, frame)
        case .feed: try again(Feed.self, frame)
        case .feedAcknowledged: try again(FeedAcknowledged.self, frame)
        case .getReleases: try again(GetReleases.self, frame)
        case .releases: try again(Releases.self, frame, isPacked: true)
        case .getIndex: try again(GetIndex.self, frame)
        case .index: try again(IndexParts.self, frame, isPacked: true)
        case .getChunks: try again(GetChunks.self, frame)
        case .chunks: try again(Chunks.self, frame)
        case .receipt: try again(ReceiptMessage.self, frame, isPacked: true)
        case .announce: try again(Announce.self, frame)
        case .credit: try again(Credit.self, frame)
        case .error: try again(ErrorMessage.self, frame)
        case .close: try again(CloseMessage.self, frame)
        case .reconcile: try again(Reconcile.self, frame)
        case .checkpoint: try again(CheckpointMessage.self, frame)
        case .cosign: try again(CosignMessage.self, frame)
        case .equal: try again(EqualViews.self, frame)
        case .getDelta: try again(GetDelta.self, frame)
        case .delta: try again(Delta.self, frame)
        case .getSmall: try again(GetSmall.self, frame)
        case .small: try again(Small.self, frame, isPacked: true)
        case .accepted: try again(Accepted.self, frame)
        }
    }

    /// One encoding for each value: what is read writes the same body. Compressed bodies have many spellings, and must only be read as the
    /// same value again.
    private static func again<M: Message>(_: M.Type, _ frame: Frame, isPacked: Bool = false) throws(FuzzFinding) {
        guard let message = try? M(frame) else { return }
        let written = message.frame
        if !isPacked { try expect(written.body == frame.body, "a \(frame.type) frame has two spellings") }
        guard written.body.count <= frame.type.bodyBytesMax else { return }
        guard let second = try? M(written) else {
            throw FuzzFinding("a \(frame.type) frame that was read and written is refused")
        }
        try expect(second == message, "a \(frame.type) frame that was read and written is another")
    }
}
