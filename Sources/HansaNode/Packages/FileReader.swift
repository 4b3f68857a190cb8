internal import Glibc
internal import HansaContent
internal import HansaCore
internal import HansaCrypto

/// A regular file behind a descriptor that a client opened. Owned: closed when it goes.
final class FileReader: Sendable {
    static let bufferBytes = 4 * 1024 * 1024

    private let descriptor: CInt
    let status: stat

    /// Takes over the descriptor. Refuses what is no regular file: a FIFO would block, a device would never end.
    init(_ descriptor: CInt, path: String) throws(Problem) {
        self.descriptor = descriptor
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw Problem(.fileUnsafe, "\(path.printable()) is no regular file")
        }
        self.status = status
    }

    deinit { close(descriptor) }

    var size: UInt64 { UInt64(status.st_size) }

    /// Whether the file was the one that was listed when it was taken over.
    func was(_ listed: FileStat) -> Bool { FileReader.fits(status, listed) }

    /// Whether it is now: asked after reading.
    func isStill(_ listed: FileStat) -> Bool {
        var now = stat()
        return fstat(descriptor, &now) == 0 && FileReader.fits(now, listed)
    }

    private static func fits(_ status: stat, _ listed: FileStat) -> Bool {
        UInt64(status.st_size) == listed.size && nanoseconds(status.st_mtim) == listed.modified
            && nanoseconds(status.st_ctim) == listed.changed && UInt64(status.st_ino) == listed.inode
    }

    static func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }

    /// Fills `buffer` from `offset`; fewer bytes only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, path: String) throws(Problem) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + off_t(done))
            if count > 0 {
                done += count
            } else if count == 0 {
                break
            } else if errno != EINTR {
                throw Problem(
                    .fileUnreadable, "cannot read \(path.printable()): \(String(cString: strerror(errno)))",
                    try: "check the file's disk, then run the command again")
            }
        }
        return done
    }

    /// The file's SHA-256, read from its beginning.
    func digest(path: String) throws(Problem) -> Digest {
        var hash = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024 * 1024, alignment: 64)
        defer { buffer.deallocate() }
        var offset: UInt64 = 0
        while true {
            let count = try read(into: buffer, at: offset, path: path)
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
            offset += UInt64(count)
            if count < buffer.count { return hash.finish() }
        }
    }

    /// The whole file, when it is at most `limit` bytes.
    func readAll(limit: Int, path: String) throws(Problem) -> [UInt8] {
        guard size <= UInt64(limit) else {
            throw Problem(.limitExceeded, "\(path.printable()) has \(size) bytes; at most \(limit) are read")
        }
        var fault: Problem?
        let count = Int(size)
        let bytes = [UInt8](unsafeUninitializedCapacity: count + 1) { buffer, initialized in
            // One byte more than listed shows a file that grows.
            do throws(Problem) { initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: 0, path: path) } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        return bytes
    }
}

/// Reads files piece by piece into one buffer and hands out chunks, whatever the size.
final class ChunkReader {
    private let buffer: UnsafeMutableRawBufferPointer

    /// Small files need no more room than they are large.
    init(filesUpTo bytes: UInt64 = .max) {
        let room = max(1, Int(min(bytes, UInt64(FileReader.bufferBytes))))
        buffer = .allocate(byteCount: room, alignment: 64)
    }

    deinit { buffer.deallocate() }

    /// Calls `piece` for each stretch read and `chunk` for each chunk, in order. Returns the bytes read.
    ///
    /// `chunk`'s second argument tells whether it is the whole file: then its id is the file's digest.
    func read(
        _ file: FileReader, path: String, profile: (UnsafeRawBufferPointer) -> ChunkProfile,
        piece: (UnsafeRawBufferPointer) throws -> Void,
        chunk: (UnsafeRawBufferPointer, Bool) throws -> Void
    ) throws -> UInt64 {
        var held = 0
        var offset: UInt64 = 0
        var chunker: Chunker?
        var atEnd = false
        while true {
            if !atEnd {
                // Not beyond the size it had: a file that grows is found out when it is asked for its state again.
                let left = file.size > offset ? Int(min(file.size - offset, UInt64(buffer.count - held))) : 0
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[held..<(held + left)])
                let count = try file.read(into: room, at: offset, path: path)
                let fresh = UnsafeRawBufferPointer(rebasing: buffer[held..<(held + count)])
                atEnd = count < left || offset + UInt64(count) >= file.size
                if chunker == nil { chunker = Chunker(profile(fresh)) }
                offset += UInt64(count)
                held += count
                if count > 0 { try piece(fresh) }
            }
            guard let cutter = chunker else { break }
            var start = 0
            while held - start > 0, atEnd || held - start >= cutter.profile.max {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[start..<held])
                let length = cutter.cut(rest, atEnd: atEnd)
                try chunk(UnsafeRawBufferPointer(rebasing: rest[0..<length]), atEnd && UInt64(length) == offset)
                start += length
            }
            if start > 0, start < held, let base = buffer.baseAddress { memmove(base, base + start, held - start) }
            held -= start
            if atEnd { break }
        }
        return offset
    }
}

/// A hash that closures can feed.
final class RunningHash {
    private var hash = SHA256()
    /// Feeds a chunk, whose own hash is the result.
    func updateAndHash(_ bytes: UnsafeRawBufferPointer) -> Digest { hash.updateAndHash(bytes) }
    var digest: Digest { hash.copy().finish() }
}
