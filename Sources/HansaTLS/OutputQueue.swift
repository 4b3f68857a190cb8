internal import NIOCore

/// Bytes to be encrypted from where they lie.
enum Plaintext {
    case buffer(ByteBuffer)
    case array(ArraySlice<UInt8>)

    var count: Int {
        switch self {
        case .buffer(let buffer): buffer.readableBytes
        case .array(let bytes): bytes.count
        }
    }

    func withUnsafeBytes<T>(_ body: (UnsafeRawBufferPointer) -> T) -> T {
        switch self {
        case .buffer(let buffer): buffer.withUnsafeReadableBytes(body)
        case .array(let bytes): bytes.withUnsafeBytes(body)
        }
    }

    /// Takes the first `count` bytes, which are there, without copying them.
    mutating func takeFirst(_ count: Int) -> Plaintext {
        switch self {
        case .buffer(var buffer):
            guard let first = buffer.readSlice(length: count) else { preconditionFailure("fewer bytes than were taken") }
            self = .buffer(buffer)
            return .buffer(first)
        case .array(let bytes):
            self = .array(bytes.dropFirst(count))
            return .array(bytes.prefix(count))
        }
    }
}

/// Plaintext that waits to be encrypted, in order, with the promises of its writers.
struct OutputQueue {
    struct Piece {
        let bytes: Plaintext
        /// Present when this piece is the end of its write.
        let promise: EventLoopPromise<Void>?
    }

    private struct Write {
        var bytes: Plaintext
        let promise: EventLoopPromise<Void>?
    }

    private var writes = MarkedCircularBuffer<Write>(initialCapacity: 8)

    mutating func append(_ bytes: Plaintext, promise: EventLoopPromise<Void>?) {
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
            count += writes[index].bytes.count
            if count >= limit || writes.isMarked(index: index) { break }
        }
        return min(count, limit)
    }

    /// The next flushed bytes, at most `limit`; a longer write comes in several pieces.
    mutating func next(_ limit: Int) -> Piece? {
        guard writes.hasMark, let first = writes.first else { return nil }
        if first.bytes.count <= limit {
            _ = writes.removeFirst()
            return Piece(bytes: first.bytes, promise: first.promise)
        }
        return Piece(bytes: writes[writes.startIndex].bytes.takeFirst(limit), promise: nil)
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
