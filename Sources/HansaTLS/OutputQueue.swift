internal import NIOCore

/// Plaintext that waits to be encrypted, in order, with the promises of its writers.
struct OutputQueue {
    struct Piece {
        let bytes: ByteBuffer
        /// Present when this piece is the end of its write.
        let promise: EventLoopPromise<Void>?
    }

    private struct Write {
        var bytes: ByteBuffer
        let promise: EventLoopPromise<Void>?
    }

    private var writes = MarkedCircularBuffer<Write>(initialCapacity: 8)

    mutating func append(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>?) {
        writes.append(Write(bytes: bytes, promise: promise))
    }

    /// All writes so far may go.
    mutating func flush() { writes.mark() }

    var hasFlushed: Bool { writes.hasMark }

    /// Plaintext that was flushed and is at the front, in bytes; counts at most a little over `limit`.
    func flushedBytes(upTo limit: Int) -> Int {
        guard writes.hasMark else { return 0 }
        var count = 0
        for index in writes.indices {
            count += writes[index].bytes.readableBytes
            if count >= limit || writes.isMarked(index: index) { break }
        }
        return min(count, limit)
    }

    /// The next flushed bytes, at most `limit`; a longer write comes in several pieces.
    mutating func next(_ limit: Int) -> Piece? {
        guard writes.hasMark, let first = writes.first else { return nil }
        if first.bytes.readableBytes <= limit {
            _ = writes.removeFirst()
            return Piece(bytes: first.bytes, promise: first.promise)
        }
        let slice = writes[writes.startIndex].bytes.readSlice(length: limit)
        return slice.map { Piece(bytes: $0, promise: nil) }
    }

    /// Takes out the promises of all writes that were not flushed, or of all.
    mutating func drop(unflushedOnly: Bool) -> [EventLoopPromise<Void>] {
        var kept: [Write] = []
        if unflushedOnly {
            while writes.hasMark, let write = writes.popFirst() { kept.append(write) }
        }
        let promises = writes.compactMap(\.promise)
        writes = MarkedCircularBuffer(initialCapacity: 8)
        for write in kept { writes.append(write) }
        if !kept.isEmpty { writes.mark() }
        return promises
    }
}
