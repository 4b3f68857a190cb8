// Files that the node makes for itself on the way to a release: a merge of two heads. They lie below the home, nobody else can read them, and they
// go with the command; what a crash left is removed when the next one is made.
internal import Foundation
internal import HansaCore
internal import HansaPackages
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

final class ScratchDirectory: Sendable {
    private static let prefix = "merge-"

    let path: String
    private let names = Mutex<[String]>([])

    init(in parent: String) throws {
        // One process has the home: what lies there from before belongs to none that lives, unless another command of this one made it.
        let own = "\(ScratchDirectory.prefix)\(getpid())-"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        where name.hasPrefix(ScratchDirectory.prefix) && !name.hasPrefix(own) {
            try? FileManager.default.removeItem(atPath: "\(parent)/\(name)")
        }
        var template = Array("\(parent)/\(own)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Problem(.inputOutput, "cannot make a directory in \(parent): \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// In the order in which they were written.
    var files: [String] { names.withLock { $0 } }

    /// Makes a file of what `body` writes; one that is there is replaced. `name` is a payload path.
    func write<T>(_ name: String, _ body: ((UnsafeRawBufferPointer) throws -> Void) throws -> T) throws -> T {
        guard PayloadPath.fault(in: name) == nil || name == DataPackageDocument.fileName else {
            throw Problem(.fileUnsafe, "the path '\(name.printable())' is not written anywhere")
        }
        let full = "\(path)/\(name)"
        try FileManager.default.createDirectory(
            atPath: (full as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let descriptor = Glibc.open(full, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ScratchDirectory.fault(full) }
        defer { close(descriptor) }
        let result = try body { bytes in try ScratchDirectory.write(bytes, to: descriptor, full) }
        names.withLock { names in if !names.contains(name) { names.append(name) } }
        return result
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt, _ path: String) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw fault(path) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    private static func fault(_ path: String) -> Problem {
        let code = errno
        return Problem(
            code == ENOSPC ? .diskFull : .inputOutput, "cannot write \(path.printable()): \(String(cString: strerror(code)))",
            try: "look at the disk, and run it again")
    }

    /// Into the client's directory; files of these names are replaced.
    func copy(to sink: any CheckoutSink) throws {
        let names = files
        for start in stride(from: 0, to: names.count, by: 64) {
            let batch = Array(names[start..<min(names.count, start + 64)])
            let descriptors = try sink.create(batch)
            defer { for descriptor in descriptors { close(descriptor) } }
            guard descriptors.count == batch.count else {
                throw Problem(.adminProtocol, "the client made \(descriptors.count) of \(batch.count) files")
            }
            for (name, descriptor) in zip(batch, descriptors) {
                let file = try FileReader(open(name), path: name)
                try OpenedTable(file: file, path: name).read {
                    try ScratchDirectory.write($0, to: descriptor, name)
                    return true
                }
            }
            try sink.commit(batch)
        }
    }

    /// A file beside those that lie here.
    func put(_ bytes: [UInt8], as name: String, into sink: any CheckoutSink) throws {
        let descriptors = try sink.create([name])
        defer { for descriptor in descriptors { close(descriptor) } }
        guard descriptors.count == 1 else {
            throw Problem(.adminProtocol, "the client made \(descriptors.count) of 1 files")
        }
        try bytes.withUnsafeBytes { try ScratchDirectory.write($0, to: descriptors[0], name) }
        try sink.commit([name])
    }

    func open(_ name: String) throws(Problem) -> CInt {
        let descriptor = Glibc.open("\(path)/\(name)", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw ScratchDirectory.fault(name) }
        return descriptor
    }

    func status(of name: String) throws(Problem) -> FileStat {
        var info = stat()
        guard lstat("\(path)/\(name)", &info) == 0 else { throw ScratchDirectory.fault(name) }
        return FileStat(
            path: name, kind: .file, size: UInt64(clamping: info.st_size),
            modified: Int64(info.st_mtim.tv_sec) * 1_000_000_000 + Int64(info.st_mtim.tv_nsec),
            changed: Int64(info.st_ctim.tv_sec) * 1_000_000_000 + Int64(info.st_ctim.tv_nsec), inode: UInt64(info.st_ino),
            device: UInt64(info.st_dev))
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// The directory as something to publish.
final class ScratchSource: PublishSource {
    private let scratch: ScratchDirectory
    private let package: PackageID
    private let isListed = Mutex(false)

    init(_ scratch: ScratchDirectory, _ package: PackageID) {
        self.scratch = scratch
        self.package = package
    }

    func report(_ progress: Progress) {}
    func warn(_ message: String) {}
    var isCancelled: Bool { false }

    func nextListings() throws(Problem) -> [DirectoryListing]? {
        let wasListed = isListed.withLock { listed in
            defer { listed = true }
            return listed
        }
        guard !wasListed else { return nil }
        var entries: [FileStat] = []
        for name in scratch.files { entries.append(try scratch.status(of: name)) }
        // Under no path that a directory of the client has: nothing of it is remembered as one.
        return [
            DirectoryListing(
                number: 0, path: "merge of \(package)", derivedName: package.description, listedAt: 0, entries: entries)
        ]
    }

    func open(directory: Int, paths: [String]) throws(Problem) -> [CInt] { try open(paths.map { (directory, $0) }) }

    func open(_ files: [(directory: Int, path: String)]) throws(Problem) -> [CInt] {
        var descriptors: [CInt] = []
        do throws(Problem) {
            for file in files { descriptors.append(try scratch.open(file.path)) }
        } catch {
            for descriptor in descriptors { close(descriptor) }
            throw error
        }
        return descriptors
    }
}
