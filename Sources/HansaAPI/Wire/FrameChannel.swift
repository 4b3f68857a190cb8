// One end of an admin connection: frames over a stream socket, with deadlines, and descriptors beside them.
//
// Reading and writing each have a lock, so that progress may be reported from any thread while another waits for an answer. All calls are
// non-blocking underneath and wait in poll(2), so no peer holds a thread longer than its deadline.
internal import CLinux
internal import Glibc
internal import HansaCore
internal import Synchronization

/// Why a frame could not be sent or received. After any of them the connection is of no more use.
enum ChannelFault: Error, Equatable, Sendable {
    case closed
    case timedOut
    case malformed(String)
    case system(errno: CInt)
}

final class FrameChannel: Sendable {
    private let socket: CInt
    private let reading = Mutex(())
    private let writing = Mutex(())

    /// Takes the socket over; it is closed with the last reference.
    init(owning socket: CInt) { self.socket = socket }

    deinit { Glibc.close(socket) }

    // MARK: Sending

    /// Sends one frame whole, waiting at most `milliseconds` for room. The descriptors stay the caller's.
    func send(_ type: FrameType, _ body: [UInt8] = [], descriptors: [CInt] = [], within milliseconds: Int) throws(ChannelFault) {
        let frame = FrameChannel.encoded(type, body)
        let deadline = Deadline(milliseconds: milliseconds)
        try writing.withLock { _ throws(ChannelFault) in
            var sent = 0
            while sent < frame.count {
                let result = write(frame, from: sent, descriptors: sent == 0 ? descriptors : [])
                switch result {
                case 1...: sent += result
                case -Int(EAGAIN): try wait(for: CShort(POLLOUT), until: deadline)
                default: throw result == -Int(EPIPE) || result == -Int(ECONNRESET) ? .closed : .system(errno: CInt(-result))
                }
            }
        }
    }

    /// Sends a small frame if nobody else is sending and the peer has room, and drops it otherwise.
    func offer(_ type: FrameType, _ body: [UInt8]) {
        let frame = FrameChannel.encoded(type, body)
        // A frame of a few hundred bytes fits one socket buffer: the kernel takes all of it or none.
        precondition(frame.count <= 4096, "an offered frame is small")
        _ = writing.withLockIfAvailable { _ in
            let sent = write(frame, from: 0, descriptors: [])
            if sent > 0, sent < frame.count { hangUp() }
        }
    }

    private static func encoded(_ type: FrameType, _ body: [UInt8]) -> [UInt8] {
        precondition(body.count < WireLimits.frameBytesMax, "a frame is at most 4 MiB")
        var writer = ByteWriter(reserving: body.count + 5)
        writer.u32(UInt32(body.count + 1))
        writer.u8(type.rawValue)
        writer.raw(body)
        return writer.bytes
    }

    private func write(_ frame: [UInt8], from start: Int, descriptors: [CInt]) -> Int {
        frame.withUnsafeBytes { bytes in
            // An array of at least five bytes has a base address.
            let base = bytes.baseAddress.unsafelyUnwrapped + start
            return hansa_send_descriptors(
                socket, base, bytes.count - start, descriptors, CInt(descriptors.count), CInt(MSG_DONTWAIT))
        }
    }

    // MARK: Receiving

    /// The next frame; nil when the peer closed between two frames. `milliseconds` bounds the whole frame, nil waits for ever.
    func receive(within milliseconds: Int?) throws(ChannelFault) -> Frame? {
        let deadline = milliseconds.map(Deadline.init(milliseconds:))
        return try reading.withLock { _ throws(ChannelFault) in
            var descriptors = ReceivedDescriptors()
            let header = try readHeader(&descriptors, until: deadline)
            guard let header else { return nil }
            let length = header[..<4].reduce(0) { $0 << 8 | Int($1) }
            guard length >= 1, length <= WireLimits.frameBytesMax else { throw .malformed("a frame of \(length) bytes") }
            guard let type = FrameType(rawValue: header[4]) else { throw .malformed("frame type \(header[4])") }
            let body = try readBody(length - 1, until: deadline)
            guard descriptors.count == 0 || type == .descriptors else {
                throw .malformed("descriptors beside a frame of type \(type)")
            }
            return Frame(type: type, body: body, descriptors: descriptors.take())
        }
    }

    /// Five bytes. Descriptors come with a frame's first bytes, so only here is there room for them: the kernel closes any sent elsewhere.
    private func readHeader(_ descriptors: inout ReceivedDescriptors, until deadline: Deadline?) throws(ChannelFault) -> [UInt8]?
    {
        var header = [UInt8](repeating: 0, count: 5)
        var filled = 0
        while filled < header.count {
            var arrived: [CInt] = Array(repeating: -1, count: WireLimits.descriptorsMax)
            var arrivedCount: CInt = 0
            let got = header.withUnsafeMutableBytes { bytes in
                hansa_receive_descriptors(
                    socket, bytes.baseAddress.unsafelyUnwrapped + filled, bytes.count - filled, &arrived, &arrivedCount,
                    CInt(MSG_DONTWAIT))
            }
            descriptors.add(arrived.prefix(Int(arrivedCount)))
            guard descriptors.count <= WireLimits.descriptorsMax else {
                throw .malformed("more than \(WireLimits.descriptorsMax) descriptors")
            }
            switch got {
            case 1...: filled += got
            case 0: if filled == 0 { return nil } else { throw .closed }
            case -Int(EAGAIN): try wait(for: CShort(POLLIN), until: deadline)
            case -Int(EMSGSIZE): throw .malformed("more than \(WireLimits.descriptorsMax) descriptors")
            case -Int(ECONNRESET): throw .closed
            default: throw .system(errno: CInt(-got))
            }
        }
        return header
    }

    private func readBody(_ count: Int, until deadline: Deadline?) throws(ChannelFault) -> [UInt8] {
        guard count > 0 else { return [] }
        var fault: ChannelFault?
        let body = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count, fault == nil {
                let got = recv(socket, buffer.baseAddress.unsafelyUnwrapped + filled, count - filled, CInt(MSG_DONTWAIT))
                let code = got < 0 ? errno : 0
                if got > 0 {
                    filled += got
                } else if got == 0 || code == ECONNRESET {
                    fault = .closed
                } else if code == EAGAIN {
                    do throws(ChannelFault) { try wait(for: CShort(POLLIN), until: deadline) } catch { fault = error }
                } else if code != EINTR {
                    fault = .system(errno: code)
                }
            }
        }
        if let fault { throw fault }
        return body
    }

    // MARK: The connection

    /// True once the peer has closed or shut down its end: one poll(2), no waiting.
    var peerHasGone: Bool {
        var entry = pollfd(fd: socket, events: CShort(0x2000 /* POLLRDHUP */), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    /// Waits for bytes, or for the end.
    func isReadable(within milliseconds: Int) throws(ChannelFault) -> Bool {
        var entry = pollfd(fd: socket, events: CShort(POLLIN), revents: 0)
        let ready = poll(&entry, 1, CInt(clamping: milliseconds))
        if ready < 0, errno != EINTR { throw .system(errno: errno) }
        return ready > 0
    }

    /// Ends both directions; a thread that waits here wakes and finds the connection closed. The peer may still read what was sent.
    func hangUp() { _ = shutdown(socket, CInt(SHUT_RDWR)) }

    private func wait(for events: CShort, until deadline: Deadline?) throws(ChannelFault) {
        var entry = pollfd(fd: socket, events: events, revents: 0)
        let ready = poll(&entry, 1, deadline.map { CInt(clamping: $0.millisecondsLeft) } ?? -1)
        if ready == 0 { throw .timedOut }
        if ready < 0, errno != EINTR { throw .system(errno: errno) }
    }
}

/// Descriptors received and not yet handed on; what is left is closed.
private struct ReceivedDescriptors: ~Copyable {
    private var held: [CInt] = []

    var count: Int { held.count }
    mutating func add(_ descriptors: some Sequence<CInt>) { held.append(contentsOf: descriptors) }
    mutating func take() -> [CInt] {
        defer { held = [] }
        return held
    }

    deinit { for descriptor in held { Glibc.close(descriptor) } }
}

/// A moment of the monotonic clock by which something must have happened.
struct Deadline: Sendable {
    private let nanoseconds: UInt64

    init(milliseconds: Int) { nanoseconds = Deadline.now + UInt64(max(0, milliseconds)) * 1_000_000 }

    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    var millisecondsLeft: Int {
        let now = Deadline.now
        return now >= nanoseconds ? 0 : Int((nanoseconds - now + 999_999) / 1_000_000)
    }
}
