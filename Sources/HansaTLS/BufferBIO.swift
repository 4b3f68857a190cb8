internal import COpenSSL
internal import NIOCore

/// The two ends of libssl's wire, as byte buffers: what it reads is taken from `inbound`, what it writes is appended to `outbound`.
///
/// libssl's own memory BIO would keep a second copy of both. Nothing here blocks or fails: an empty `inbound` is "try again".
final class BufferBIO {
    /// Ciphertext from the network that libssl has not taken yet.
    var inbound = ByteBuffer()
    private var outbound: ByteBuffer?
    private let allocator: ByteBufferAllocator
    /// How much to make room for when the next output begins.
    private var expectedBytes = 0
    /// Owned by the SSL that it was given to.
    private(set) var pointer: OpaquePointer?

    // Made once for the process and never changed, so any thread may use it.
    nonisolated(unsafe) private static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hansa byte buffers") else { return nil }
        BIO_meth_set_read_ex(method, readBytes)
        BIO_meth_set_write_ex(method, writeBytes)
        BIO_meth_set_ctrl(method, control)
        return method
    }()

    /// `pointer` is nil afterwards when libcrypto has no memory.
    init(allocator: ByteBufferAllocator) {
        self.allocator = allocator
        pointer = BufferBIO.method.flatMap { BIO_new($0) }
        guard let pointer else { return }
        // Unretained: the connection holds both this and the SSL, and frees the SSL first.
        BIO_set_data(pointer, Unmanaged.passUnretained(self).toOpaque())
        BIO_set_init(pointer, 1)
    }

    /// Makes room for about `count` bytes of output in one piece.
    func expectOutput(_ count: Int) { expectedBytes = count }

    /// All output since the last call; nil when there is none.
    func takeOutbound() -> ByteBuffer? {
        defer { outbound = nil }
        return outbound
    }

    private func read(_ target: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(target.count, inbound.readableBytes)
        guard count > 0 else { return 0 }
        inbound.readWithUnsafeReadableBytes { source in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
            return count
        }
        return count
    }

    private func write(_ bytes: UnsafeRawBufferPointer) {
        if outbound == nil {
            outbound = allocator.buffer(capacity: max(bytes.count, expectedBytes))
            expectedBytes = 0
        }
        outbound?.writeBytes(bytes)
    }

    private static func owner(of bio: OpaquePointer?) -> BufferBIO? {
        BIO_get_data(bio).map { Unmanaged<BufferBIO>.fromOpaque($0).takeUnretainedValue() }
    }

    private static let readBytes:
        @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?) -> CInt = {
            bio, target, count, done in
            hansa_bio_clear_retry(bio)
            let taken = owner(of: bio)?.read(UnsafeMutableRawBufferPointer(start: target, count: count)) ?? 0
            done?.pointee = taken
            if taken > 0 { return 1 }
            hansa_bio_retry_read(bio)
            return 0
        }

    private static let writeBytes:
        @convention(c) (OpaquePointer?, UnsafePointer<CChar>?, Int, UnsafeMutablePointer<Int>?) -> CInt = {
            bio, source, count, done in
            hansa_bio_clear_retry(bio)
            owner(of: bio)?.write(UnsafeRawBufferPointer(start: source, count: count))
            done?.pointee = count
            return 1
        }

    /// There is nothing to control; a flush always succeeds.
    private static let control: @convention(c) (OpaquePointer?, CInt, Int, UnsafeMutableRawPointer?) -> Int = {
        _, command, _, _ in
        command == BIO_CTRL_FLUSH ? 1 : 0
    }
}
