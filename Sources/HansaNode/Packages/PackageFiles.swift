// The files of one directory that is being published, opened by the client ahead of their use.
internal import Glibc
internal import HansaCore

/// Hands out a directory's files in the order in which they will be read. Owns the descriptors that were opened and not read.
final class PackageFiles {
    /// Descriptors of one ask, and so of one message.
    static let askedMax = 64

    let directory: Int
    private let source: any PublishSource
    private let paths: [String]
    private let stats: [String: FileStat]
    /// Of `paths[next...]`, as far as they are open.
    private var descriptors: ArraySlice<CInt> = []
    private var next = 0

    init(_ listing: DirectoryListing, paths: [String], from source: any PublishSource) {
        directory = listing.number
        self.source = source
        self.paths = paths
        stats = Dictionary(listing.entries.map { ($0.path, $0) }) { first, _ in first }
    }

    deinit { close() }

    func close() {
        for descriptor in descriptors { Glibc.close(descriptor) }
        descriptors = []
    }

    var count: Int { paths.count }
    /// Nothing of it has to be asked for any more.
    var areOpen: Bool { paths.count - next == descriptors.count }

    /// Opens the files of several directories with few asks. A file that cannot be opened fails its own directory, and not those whose files
    /// were asked for in one call with it: what is not open afterwards is asked for again, and tells why, in `read`.
    static func open(_ all: [PackageFiles], from source: any PublishSource) {
        var batch: [PackageFiles] = []
        var asked = 0
        func ask() {
            guard !batch.isEmpty else { return }
            let files = batch.flatMap { files in files.paths.map { (directory: files.directory, path: $0) } }
            if let opened = try? source.open(files) {
                var rest = opened[...]
                for files in batch {
                    files.descriptors = rest.prefix(files.count)
                    rest = rest.dropFirst(files.count)
                }
                for descriptor in rest { Glibc.close(descriptor) }
            }
            batch = []
            asked = 0
        }
        for files in all where files.count <= askedMax {
            if asked + files.count > askedMax { ask() }
            batch.append(files)
            asked += files.count
        }
        ask()
    }

    /// The next file, which must be this one; checked against its listing before and after `body`.
    func read<T>(_ path: String, _ body: (FileReader) throws -> T) throws -> T {
        if descriptors.isEmpty {
            // One that does not answer would be waited for again and again.
            try source.proceed()
            let wanted = Array(paths[next..<min(paths.count, next + PackageFiles.askedMax)])
            descriptors = try source.open(directory: directory, paths: wanted)[...]
            guard descriptors.count == wanted.count else {
                throw Problem(.adminProtocol, "the client opened \(descriptors.count) of \(wanted.count) files")
            }
        }
        let file = try FileReader(descriptors.removeFirst(), path: path)
        guard next < paths.count, paths[next] == path, let stat = stats[path] else {
            throw Problem(.adminProtocol, "files came in another order than asked")
        }
        next += 1
        guard file.was(stat) else { throw PackageFiles.changed(path) }
        let value = try body(file)
        guard file.isStill(stat) else { throw PackageFiles.changed(path) }
        return value
    }

    /// A file besides those in order, opened for itself.
    func readAside<T>(_ path: String, _ body: (FileReader) throws -> T) throws -> T {
        let descriptors = try source.open(directory: directory, paths: [path])
        guard descriptors.count == 1 else {
            throw Problem(.adminProtocol, "the client opened \(descriptors.count) files for one")
        }
        let file = try FileReader(descriptors[0], path: path)
        guard let stat = stats[path], file.was(stat) else { throw PackageFiles.changed(path) }
        return try body(file)
    }

    private static func changed(_ path: String) -> Problem {
        Problem(
            .fileChanged, "\(path.printable()) changed while it was read; nothing of this package was published",
            try: "run it again when nothing writes there")
    }
}
