// A directory of the user, and the way down from it without following a link: each component is opened from its parent with O_NOFOLLOW, so nobody
// who swaps a directory for a link meanwhile leads us elsewhere. Opened directories are kept, a bounded number of them.
internal import CLinux
internal import Glibc
internal import HansaCore

final class DirectoryTree {
    private static let keptMax = 256

    let root: String
    private let rootDescriptor: CInt
    private var kept: [String: CInt] = [:]
    /// Directories that got a new directory since they were last taken: their entries are not durable yet.
    private var grown: Set<String> = []

    /// Opens an existing directory; links in the path that the user gave are followed.
    init(root: String) throws(Problem) {
        self.root = root
        rootDescriptor = FileFault.call { Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard rootDescriptor >= 0 else { throw FileFault.problem("open", root, -rootDescriptor) }
    }

    deinit {
        for descriptor in kept.values { close(descriptor) }
        if rootDescriptor >= 0 { close(rootDescriptor) }
    }

    /// The directory that holds `path`, and the last name. The descriptor stays the tree's, and is good until the next call.
    /// Nil when a directory on the way is missing and `creating` is off.
    func parent(of path: String, creating: Bool) throws(Problem) -> (descriptor: CInt, name: String)? {
        guard let slash = path.utf8.lastIndex(of: 0x2F) else { return (rootDescriptor, path) }
        let name = String(path[path.index(after: slash)...])
        return try directory(String(path[..<slash]), creating: creating).map { ($0, name) }
    }

    /// The directory at a relative path, "" for the root.
    func directory(_ path: String, creating: Bool) throws(Problem) -> CInt? {
        if path.isEmpty { return rootDescriptor }
        if let descriptor = kept[path] { return descriptor }
        if kept.count >= Self.keptMax {
            for descriptor in kept.values { close(descriptor) }
            kept = [:]
        }
        var current = rootDescriptor
        var walked = ""
        for component in path.split(separator: "/") {
            walked += walked.isEmpty ? String(component) : "/" + component
            if let descriptor = kept[walked] {
                current = descriptor
                continue
            }
            let from = current
            var next = FileFault.call { openat(from, String(component), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
            if next == -ENOENT {
                guard creating else { return nil }
                let made = FileFault.call { mkdirat(from, String(component), 0o777) }
                guard made == 0 || made == -EEXIST else { throw FileFault.problem("make", root + "/" + walked, -made) }
                grown.insert(walked.utf8.lastIndex(of: 0x2F).map { String(walked[..<$0]) } ?? "")
                next = FileFault.call { openat(from, String(component), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
            }
            if next == -ENOTDIR || next == -ELOOP {
                throw Problem(
                    .fileUnsafe,
                    "\((root + "/" + walked).printable(charactersMax: 300)) is no directory, or a link to one: links are not followed"
                )
            }
            guard next >= 0 else { throw FileFault.problem("open", root + "/" + walked, -next) }
            kept[walked] = next
            current = next
        }
        return current
    }

    /// Relative paths of directories in which others were made since the last call.
    func takeGrown() -> Set<String> {
        defer { grown = [] }
        return grown
    }

    /// Locks the root against another checkout: 0, -EAGAIN while one runs, another errno where the file system cannot lock.
    func lock() -> CInt { hansa_flock(rootDescriptor) }

    /// Forgets a directory that is about to be removed, and what lies below it.
    func forget(_ path: String) {
        for (key, descriptor) in kept where key == path || key.hasPrefix(path + "/") {
            close(descriptor)
            kept[key] = nil
        }
    }

    /// A read-only descriptor of a regular file. Never blocks on a FIFO or a device, and never follows a link.
    func openRegular(_ path: String) throws(Problem) -> CInt {
        let full = root + "/" + path
        guard let (directory, name) = try parent(of: path, creating: false) else {
            throw Problem(.fileChanged, "\(full.printable(charactersMax: 300)) is gone", try: "run it again")
        }
        let file = FileFault.call { openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) }
        if file == -ENOENT { throw Problem(.fileChanged, "\(full.printable(charactersMax: 300)) is gone", try: "run it again") }
        guard file >= 0 else { throw FileFault.problem("open", full, -file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw Problem(.fileUnsafe, "\(full.printable(charactersMax: 300)) is no regular file")
        }
        return file
    }
}
