// The log's files on a disk (C2SP tlog-tiles layout, FORMATS.md §6): the disk's root is the log's root, servable as static files. Logs that followed it
// lie below it in directories named by their numbers, and are not its own.
//
// A batch is written in three strokes, so that it costs one fsync a file and one a directory:
//   1  each file under a temporary name, synced    (a crash: temporary files, cleared when the storage opens)
//   2  each renamed into its place                 (a crash: any of the batch is there, each whole)
//   3  each directory synced                       (durable)
public import HansaLog
internal import Synchronization

public final class FileTileStorage: TileStorage {
    private let disk: any Disk
    /// Directories that exist, durable.
    private let made = Mutex<Set<String>>([""])

    private static let openFilesMax = 64
    private static let temporarySuffix = ".tmp"
    /// The largest file of a log is a bundle of 256 of the longest entries.
    private static let fileBytesMax = EntryBundle.bytesMax

    /// Clears temporary files that a crash left.
    public init(disk: any Disk) throws {
        self.disk = disk
        var leftovers: [String] = []
        try walk("") { path in if path.hasSuffix(FileTileStorage.temporarySuffix) { leftovers.append(path) } }
        for path in leftovers { try disk.remove(path) }
    }

    public func read(_ path: String) throws -> [UInt8]? {
        do { return try disk.read(path, bytesMax: FileTileStorage.fileBytesMax) } catch DiskFault.notFound { return nil }
    }

    public func write(_ files: [TileFile]) throws {
        var directories: Set<String> = []
        for start in stride(from: 0, to: files.count, by: FileTileStorage.openFilesMax) {
            var open: [any DiskFile] = []
            for file in files[start..<min(start + FileTileStorage.openFilesMax, files.count)] {
                let directory = file.path.directory
                try makeDirectory(directory)
                directories.insert(directory)
                open.append(try writeTemporary(file))
            }
            // All are on their way to the disk before the first is waited for: a file system that journals makes them durable together.
            for file in open { try file.sync() }
        }
        for file in files { try disk.rename(file.path + FileTileStorage.temporarySuffix, to: file.path) }
        for directory in directories.sorted() { try disk.syncDirectory(directory) }
    }

    public func remove(_ paths: [String]) throws {
        for path in paths {
            do { try disk.remove(path) } catch DiskFault.notFound { continue }
        }
    }

    public func forEachPath(_ body: (String) throws -> Void) throws {
        try walk("") { path in if !path.hasSuffix(FileTileStorage.temporarySuffix) { try body(path) } }
    }

    private func makeDirectory(_ directory: String) throws {
        if made.withLock({ $0.contains(directory) }) { return }
        try disk.makeDirectory(directory)
        _ = made.withLock { $0.insert(directory) }
    }

    private func writeTemporary(_ file: TileFile) throws -> any DiskFile {
        let temporary = file.path + FileTileStorage.temporarySuffix
        let handle: any DiskFile
        do { handle = try disk.create(temporary) } catch DiskFault.exists {
            // Of a write that failed before its rename: nobody's.
            try disk.remove(temporary)
            handle = try disk.create(temporary)
        }
        try handle.write(file.bytes, at: 0)
        handle.beginWriteback(0, UInt64(file.bytes.count))
        return handle
    }

    private func walk(_ directory: String, _ body: (String) throws -> Void) throws {
        for name in try disk.list(directory) {
            let path = directory.isEmpty ? name : directory + "/" + name
            // A file that goes meanwhile is a partial tile of an older checkpoint.
            guard let status = try disk.status(path) else { continue }
            // `log/2` is another log, which followed this one.
            if status.isDirectory, directory.isEmpty, UInt(name) != nil { continue }
            if status.isDirectory { try walk(path, body) } else { try body(path) }
        }
    }
}
