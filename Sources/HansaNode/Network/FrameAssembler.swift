internal import HansaSync
internal import NIOCore

/// Puts frames together from bytes as they come: a body is copied once, into the array that everyone behind works on.
struct FrameAssembler {
    /// Fewer than a header has.
    private var header: [UInt8] = []
    private var open: FrameHeader?
    private var body: [UInt8] = []

    /// The next whole frame; nil when `bytes` are used up. After an error the peer's bytes mean nothing any more.
    ///
    /// - Parameter reserving: takes a body's room at once. Not for strangers: theirs grows with what they send.
    mutating func next(_ bytes: inout ByteBuffer, reserving: Bool) throws(ProtocolFault) -> Frame? {
        if open == nil {
            header += bytes.readBytes(length: min(FrameHeader.byteCount - header.count, bytes.readableBytes)) ?? []
            guard header.count == FrameHeader.byteCount else { return nil }
            let next = try FrameHeader(header[...])
            header.removeAll(keepingCapacity: true)
            if reserving { body.reserveCapacity(next.bodyCount) }
            open = next
        }
        guard let header = open else { return nil }
        let count = min(header.bodyCount - body.count, bytes.readableBytes)
        bytes.readWithUnsafeReadableBytes { source in
            body.append(contentsOf: UnsafeRawBufferPointer(rebasing: source[..<count]))
            return count
        }
        guard body.count == header.bodyCount else { return nil }
        open = nil
        defer { body = [] }
        return Frame(header.type, body: body)
    }
}
