// One large file of a release into a new file of the client's: chunks from the store, and where an older version of the file stands beside it and has
// the same chunks, from there.
//
// Other threads read, unpack and write ahead; the thread that calls hashes, in order. So bytes are written before they are known to be right: the
// caller renames the file into place only after `run` has said that it is the one that was signed.
internal import Glibc
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaPackages
internal import HansaStore
internal import HansaSync

final class FileCopy {
    /// Below this a file is read through the blocks that its neighbours share.
    static let bytesMin: UInt64 = 4 << 20
    private static let piecesAhead = 6
    private static let olderBytes = 1 << 20

    /// A file of the client's that had the bytes of a file of a release when it was looked at.
    struct Older {
        let file: FileReader
        let content: ReleaseContent
        let number: Int
    }

    private let content: ReleaseContent
    private let number: Int
    private let descriptor: CInt
    private let path: String
    private let recent = RecentBlocks()

    private enum Source: Sendable {
        /// Chunks of a block, by where they begin in it.
        case block(ContentLocation, [Range<Int>])
        case older(FileReader, UInt64)
    }

    private struct Piece: Sendable {
        var source: Source
        let offset: UInt64
        var length: Int
    }

    private struct Done: Sendable {
        let bytes: ArraySlice<UInt8>
        /// What of it is the file's, in order.
        let parts: [Range<Int>]
    }

    init(_ content: ReleaseContent, _ number: Int, to descriptor: CInt, path: String) {
        self.content = content
        self.number = number
        self.descriptor = descriptor
        self.path = path
    }

    /// Writes the whole file. False: it is not what was signed.
    func run(from older: Older?) throws -> Bool {
        let range = content.table.chunks(of: number)
        let ahead = WorkAhead<Done>()
        // Nobody writes to the descriptor after this has returned.
        defer { while ahead.count > 0 { _ = try? ahead.next() } }
        let search = older.map { (file: $0.file, chunks: ChunkSearch($0.content, file: $0.number)) }
        var hash = SHA256()
        var offset: UInt64 = 0
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 1024) {
            try content.proceed()
            let end = min(range.upperBound, start + 1024)
            for piece in try pieces(of: content.entries(start..<end), at: &offset, search) {
                if ahead.count == FileCopy.piecesAhead { try take(ahead, &hash) }
                add(piece, to: ahead)
            }
        }
        while ahead.count > 0 { try take(ahead, &hash) }
        return hash.finish() == content.table.files[number].digest
    }

    private func take(_ ahead: WorkAhead<Done>, _ hash: inout SHA256) throws {
        guard let done = try ahead.next() else { return }
        done.bytes.withUnsafeBytes { bytes in
            for part in done.parts { hash.update(UnsafeRawBufferPointer(rebasing: bytes[part])) }
        }
    }

    // MARK: Pieces

    private func pieces(of entries: [ChunkEntry], at offset: inout UInt64, _ older: (file: FileReader, chunks: ChunkSearch)?)
        throws
        -> [Piece]
    {
        let release = content.release
        let found = entries.map { older?.chunks.place(of: $0)?.offset }
        let missing = zip(entries, found).compactMap { $1 == nil ? $0.id : nil }
        var locations = try content.node.metadata.read { try $0.chunkLocations(of: release.servedBy, missing) }[...]
        var pieces: [Piece] = []
        for (entry, place) in zip(entries, found) {
            let length = Int(entry.length)
            let last = pieces.indices.last
            if let older, let place {
                if let last, case .older(_, let start) = pieces[last].source, start + UInt64(pieces[last].length) == place,
                    pieces[last].length + length <= FileCopy.olderBytes
                {
                    pieces[last].length += length
                } else {
                    pieces.append(Piece(source: .older(older.file, place), offset: offset, length: length))
                }
            } else {
                guard let location = locations.popFirst().flatMap({ $0 }), location.length == entry.length else {
                    throw content.node.damaged(release, block: nil, "chunk \(entry.id.short) is not in the store")
                }
                let part = Int(location.offset)..<(Int(location.offset) + length)
                if let last, case .block(let block, let parts) = pieces[last].source, block == location.block {
                    pieces[last].source = .block(block, parts + [part])
                    pieces[last].length += length
                } else {
                    pieces.append(Piece(source: .block(location.block, [part]), offset: offset, length: length))
                }
            }
            offset += UInt64(length)
        }
        return pieces
    }

    private func add(_ piece: Piece, to ahead: WorkAhead<Done>) {
        let (node, release, descriptor, path, recent) = (content.node, content.release, descriptor, path, recent)
        switch piece.source {
        case .block(let location, let parts):
            ahead.add {
                let raw: ArraySlice<UInt8>
                do { raw = try recent.raw(at: location) { try node.content.raw(at: location) } } catch StoreFault.damaged(
                    let what)
                {
                    throw node.damaged(release, block: location, what)
                }
                guard parts.allSatisfy({ $0.upperBound <= raw.count }) else {
                    throw node.damaged(release, block: location, "a chunk lies outside its block")
                }
                try raw.withUnsafeBytes { bytes in
                    var offset = piece.offset
                    for part in FileCopy.joined(parts) {
                        try FileCopy.put(UnsafeRawBufferPointer(rebasing: bytes[part]), descriptor, at: offset, path)
                        offset += UInt64(part.count)
                    }
                }
                return Done(bytes: raw, parts: parts)
            }
        case .older(let file, let place):
            ahead.add {
                let bytes = try FileCopy.read(file, at: place, piece.length, path)
                try bytes.withUnsafeBytes { try FileCopy.put($0, descriptor, at: piece.offset, path) }
                return Done(bytes: bytes[...], parts: [0..<bytes.count])
            }
        }
    }

    /// Neighbours as one.
    private static func joined(_ parts: [Range<Int>]) -> [Range<Int>] {
        var joined: [Range<Int>] = []
        for part in parts {
            if let last = joined.last, last.upperBound == part.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<part.upperBound
            } else {
                joined.append(part)
            }
        }
        return joined
    }

    /// Fewer bytes where the file has become shorter.
    private static func read(_ file: FileReader, at offset: UInt64, _ count: Int, _ path: String) throws(Problem) -> [UInt8] {
        var fault: Problem?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(Problem) {
                initialized = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset, path: path)
            } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        return bytes
    }

    /// Writes all of `bytes` at a place of a file that is being made.
    static func put(_ bytes: UnsafeRawBufferPointer, _ descriptor: CInt, at offset: UInt64, _ path: String) throws(Problem) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset) + off_t(done))
            if count >= 0 {
                done += count
            } else if errno == ENOSPC || errno == EDQUOT {
                throw Problem(
                    .diskFull,
                    "no room for \(path.printable()): \(bytes.count - done) bytes or more are missing; nothing of it is left behind",
                    try: "df -h .")
            } else if errno != EINTR {
                throw Problem(.inputOutput, "cannot write \(path.printable()): \(String(cString: strerror(errno)))")
            }
        }
    }
}
