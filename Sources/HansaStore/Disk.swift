// What durable files need of a disk, and no more: segments and log tiles are written through these two protocols, so that the same suite
// runs on a real file system and on one in memory that loses power.
//
// The model is POSIX as ext4 and XFS keep it: written bytes, a new length, a creation, a removal and a rename are each lost, kept, or (bytes)
// torn by a crash, in any combination, until the file, or the directory that holds the name, is synchronised.

/// A directory tree. Paths are relative to its root, `/` between segments.
public protocol Disk: Sendable {
    /// Makes a file that does not exist yet, mode 0600, for reading and writing. The name is durable after `syncDirectory`.
    func create(_ path: String) throws(DiskFault) -> any DiskFile
    func open(_ path: String, writable: Bool) throws(DiskFault) -> any DiskFile
    /// Replaces `target` if it exists: whoever reads sees the old file or the new one.
    func rename(_ path: String, to target: String) throws(DiskFault)
    func remove(_ path: String) throws(DiskFault)
    /// Makes a directory, mode 0700, and those above it; existing ones are fine. All of them are durable on return.
    func makeDirectory(_ path: String) throws(DiskFault)
    /// Makes creations, removals and renames in a directory durable.
    func syncDirectory(_ path: String) throws(DiskFault)
    /// The names in a directory, in ascending order of bytes, without `.` and `..`.
    func list(_ path: String) throws(DiskFault) -> [String]
    /// Nil where nothing stands at the path. Links are not followed.
    func status(_ path: String) throws(DiskFault) -> DiskStatus?
    /// Bytes that a file of ours could still take up.
    func freeBytes() throws(DiskFault) -> UInt64
}

/// An open file; closed when the last reference goes. Reads and writes are positioned, so several threads may use one file.
public protocol DiskFile: AnyObject, Sendable {
    /// Writes the parts one after another. Not durable before `sync`. After an error any part of them may have been written.
    func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(DiskFault)
    /// Fills the parts one after another; returns how many bytes, fewer than asked only at the end of the file.
    func read(into parts: [UnsafeMutableRawBufferPointer], at offset: UInt64) throws(DiskFault) -> Int
    /// fdatasync: the content and the length are durable on return. Throws `.syncFailed`, after which nothing is known: the process must stop.
    func sync() throws(DiskFault)
    /// Takes room for the file up to `length`, without changing its length: later writes below it do not run out of space.
    /// Where a file system cannot, this does nothing.
    func reserve(_ length: UInt64) throws(DiskFault)
    /// Sets the length, and gives back room that was reserved beyond it.
    func truncate(to length: UInt64) throws(DiskFault)
    /// Lets the disk begin to write a range, so that a later `sync` has less to do. Promises nothing.
    func beginWriteback(_ offset: UInt64, _ length: UInt64)
    /// Lets the system forget what it keeps of a range in memory, so that the next read asks the disk. Promises nothing.
    func forget(_ offset: UInt64, _ length: UInt64)
    func size() throws(DiskFault) -> UInt64
}

public struct DiskStatus: Hashable, Sendable {
    public let size: UInt64
    public let isDirectory: Bool

    public init(size: UInt64, isDirectory: Bool) {
        self.size = size
        self.isDirectory = isDirectory
    }
}

extension Disk {
    /// A whole file, which may be no larger than `bytesMax`.
    public func read(_ path: String, bytesMax: Int) throws(DiskFault) -> [UInt8] {
        let file = try open(path, writable: false)
        let size = try file.size()
        guard size <= UInt64(bytesMax) else { throw .tooLarge(path: path, size: size, limit: bytesMax) }
        return try file.read(at: 0, Int(size))
    }

    /// Makes or replaces a file so that a crash leaves the old content or the new: a temporary file beside it, fsync, rename, fsync of the
    /// directory. Durable on return. One writer a path.
    public func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(DiskFault) {
        let temporary = path + ".tmp"
        let file: any DiskFile
        do {
            file = try create(temporary)
        } catch .exists {
            // Left by a crash between its creation and its rename; its content was never anybody's.
            try remove(temporary)
            file = try create(temporary)
        }
        do {
            try file.write(bytes, at: 0)
            // A crash before this leaves the old file, and the temporary one for the next writer to remove.
            try file.sync()
            try rename(temporary, to: path)
        } catch {
            // The file keeps its old content whether or not this works, so the first error is the one to tell.
            try? remove(temporary)
            throw error
        }
        try syncDirectory(path.directory)
    }
}

extension DiskFile {
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(DiskFault) {
        try bytes.withUnsafeBytes { buffer in
            Result { () throws(DiskFault) in try write([buffer], at: offset) }
        }.get()
    }

    /// `count` bytes, or fewer at the end of the file.
    public func read(at offset: UInt64, _ count: Int) throws(DiskFault) -> [UInt8] {
        var fault: DiskFault?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(DiskFault) {
                initialized = try read(into: [UnsafeMutableRawBufferPointer(buffer)], at: offset)
            } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        return bytes
    }
}

extension String {
    /// The path without its last segment; empty for the root.
    var directory: String { lastIndex(of: "/").map { String(self[..<$0]) } ?? "" }
}
