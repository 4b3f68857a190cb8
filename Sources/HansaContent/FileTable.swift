// The file table of a release (FORMATS.md §9):
//
//     u8 version = 1 ‖ varint files ‖ for each file, strictly ascending by path bytes:
//     varint length ‖ path, UTF-8 ‖ varint size ‖ u8 profile ‖ varint first chunk ‖ 32 bytes SHA-256 of the file
//
// Varints are QUIC's (RFC 9000 §16), shortest form only. A file's chunks are numbered from its first chunk to the next file's; the last
// file's end at the chunk count that the signed release names. Empty files have no chunks. The first file's first chunk is 0.
public import HansaCore

/// A file of a release.
public struct FileEntry: Hashable, Sendable {
    /// Relative, POSIX, below the package's directory.
    public let path: String
    /// Bytes.
    public let size: UInt64
    public let profile: ChunkProfile
    /// The number of its first chunk in the index; for an empty file, that of the next file's.
    public let firstChunk: Int
    /// SHA-256 of the whole file.
    public let digest: Digest

    public init(path: String, size: UInt64, profile: ChunkProfile, firstChunk: Int, digest: Digest) {
        self.path = path
        self.size = size
        self.profile = profile
        self.firstChunk = firstChunk
        self.digest = digest
    }
}

/// The files of a release in order, each with its run of chunks. A value of this type has passed every check that needs no page.
public struct FileTable: Hashable, Sendable {
    public static let version: UInt8 = 1

    public let files: [FileEntry]
    /// All chunks of the release.
    public let chunkCount: Int

    /// Reads a table from a partner or a disk.
    ///
    /// - Parameters:
    ///   - chunks: the number of chunks that the signed release names.
    ///   - isSafe: whether a package may hold a file of this path (FORMATS.md §7). Asked after the checks that are always made: no empty,
    ///     `.` or `..` segment, no leading slash, no NUL or other control character, no backslash, `Limits.filePathBytesMax`.
    public init(encoded: [UInt8], chunks: Int, isSafe: (String) -> Bool = { _ in true }) throws(IndexFault) {
        guard encoded.count <= Limits.fileTableBytesMax else { throw .tooLarge("the file table") }
        do throws(ByteFault) {
            var reader = ByteReader(encoded)
            let version = try reader.u8()
            guard version == FileTable.version else { throw ByteFault.malformed("version \(version) of the file table") }
            let count = try reader.count(max: Limits.filesMax)
            var files: [FileEntry] = []
            // An entry takes 36 bytes or more: what is reserved is bounded by what has arrived.
            files.reserveCapacity(Swift.min(count, reader.left / 36 + 1))
            for _ in 0..<count {
                let path = try reader.text(max: Limits.filePathBytesMax)
                let size = try reader.varint()
                let code = try reader.u8()
                guard let profile = ChunkProfile(code: code) else { throw ByteFault.malformed("chunk profile \(code)") }
                let firstChunk = try reader.count(max: Limits.chunksMax)
                files.append(
                    FileEntry(path: path, size: size, profile: profile, firstChunk: firstChunk, digest: try reader.digest()))
            }
            try reader.end()
            self.files = files
        } catch {
            throw .bytes(error)
        }
        chunkCount = chunks
        try FileTable.check(files, chunks: chunks, isSafe: isSafe)
    }

    /// A table of our own making. The files ascend by path bytes and their first chunks follow each other.
    public init(files: [FileEntry], chunks: Int) throws(IndexFault) {
        try FileTable.check(files, chunks: chunks) { _ in true }
        self.files = files
        chunkCount = chunks
    }

    public func encoded() -> [UInt8] {
        var writer = ByteWriter(reserving: 8 + files.count * 96)
        writer.u8(FileTable.version)
        writer.varint(files.count)
        for file in files {
            writer.prefixed(file.path)
            writer.varint(file.size)
            writer.u8(file.profile.code)
            writer.varint(file.firstChunk)
            writer.digest(file.digest)
        }
        return writer.bytes
    }

    public var pageCount: Int { IndexPage.count(forChunks: chunkCount) }

    /// The sum of the files' sizes: at most 2^26 chunks of 2^20 bytes, so it cannot overflow.
    public var totalBytes: UInt64 { files.reduce(0) { $0 + $1.size } }

    /// The numbers of the file's chunks. `file` is a position in `files`.
    public func chunks(of file: Int) -> Range<Int> {
        files[file].firstChunk..<(file + 1 < files.count ? files[file + 1].firstChunk : chunkCount)
    }

    /// The position of the file that holds a chunk. O(log files).
    public func file(ofChunk chunk: Int) -> Int {
        precondition(chunk >= 0 && chunk < chunkCount, "no such chunk")
        // The last file that begins at the chunk or before; empty files before it begin there too, and it is after them.
        var low = 0
        var high = files.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if files[middle].firstChunk <= chunk { low = middle } else { high = middle }
        }
        return low
    }

    /// The position of the file with this path, or nil. O(log files).
    public func position(of path: String) -> Int? {
        var low = 0
        var high = files.count
        while low < high {
            let middle = (low + high) / 2
            if FileTable.precedes(files[middle].path, path) { low = middle + 1 } else { high = middle }
        }
        return low < files.count && files[low].path.utf8.elementsEqual(path.utf8) ? low : nil
    }

    /// The order of a table: by the bytes of the path.
    public static func precedes(_ left: String, _ right: String) -> Bool { left.utf8.lexicographicallyPrecedes(right.utf8) }

    // MARK: - Checks

    private static func check(_ files: [FileEntry], chunks: Int, isSafe: (String) -> Bool) throws(IndexFault) {
        guard files.count <= Limits.filesMax else { throw .tooLarge("the number of files") }
        guard chunks >= 0, chunks <= Limits.chunksMax else { throw .tooLarge("the number of chunks") }
        guard files.isEmpty ? chunks == 0 : files[0].firstChunk == 0 else { throw .wrongChunkCount(entry: 0) }
        for (entry, file) in files.enumerated() {
            if entry > 0, !precedes(files[entry - 1].path, file.path) { throw .outOfOrder(entry: entry) }
            guard isRelative(file.path), isSafe(file.path) else { throw .unsafePath(entry: entry) }
            let end = entry + 1 < files.count ? files[entry + 1].firstChunk : chunks
            guard file.firstChunk <= end, file.profile.chunkCounts(for: file.size).contains(UInt64(end - file.firstChunk)) else {
                throw .wrongChunkCount(entry: entry)
            }
        }
        try checkNames(files)
    }

    /// Refuses two names that are one on some file system: equal after canonical equivalence and lower-casing, or a file and a directory.
    private static func checkNames(_ files: [FileEntry]) throws(IndexFault) {
        // Swift compares and hashes strings by canonical equivalence, so a set of them folds normalisation by itself.
        var names = Set<String>(minimumCapacity: files.count)
        for (entry, file) in files.enumerated() {
            guard names.insert(file.path.lowercased()).inserted else { throw .outOfOrder(entry: entry) }
        }
        var lastDirectory: Substring = ""
        for (entry, file) in files.enumerated() {
            guard let slash = file.path.utf8.lastIndex(of: UInt8(ascii: "/")) else { continue }
            let directory = file.path[..<slash]
            if directory == lastDirectory { continue }
            lastDirectory = directory
            let folded = directory.lowercased()
            var end = folded.endIndex
            while true {
                if names.contains(String(folded[..<end])) { throw .fileIsDirectory(entry: entry) }
                guard let next = folded[..<end].utf8.lastIndex(of: UInt8(ascii: "/")) else { break }
                end = next
            }
        }
    }

    private static func isRelative(_ path: String) -> Bool {
        let bytes = path.utf8
        guard !bytes.isEmpty, bytes.count <= Limits.filePathBytesMax else { return false }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\\") }) else { return false }
        return bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { segment in
            !segment.isEmpty && !segment.elementsEqual(".".utf8) && !segment.elementsEqual("..".utf8)
        }
    }
}
