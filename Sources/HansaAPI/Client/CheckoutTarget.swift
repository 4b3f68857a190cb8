// The client's side of a checkout: lists, opens, makes and replaces files below one directory of the user. New files are written under temporary
// names beside their targets and renamed only when their bytes are durable, so a killed checkout leaves no half-written file under a real name.
internal import CLinux
internal import Glibc
public import HansaCore
internal import HansaNode
internal import Synchronization

public final class CheckoutTarget: Sendable {
    private struct State {
        var tree: DirectoryTree?
        /// Temporary names by target path, of files not yet committed.
        var pending: [String: String] = [:]
        var counter = 0
        /// No other checkout works here: what lies around was left behind.
        var isLocked = false
    }

    /// Above this many files or directories in one commit the whole file system is synced once: as many fsyncs wait for the disk one after another
    /// (7 files and their directories: 45 ms one by one, 18 ms so; ext4).
    private static let syncedSinglyMax = 2
    private static let temporaryPrefix = ".hansa-"

    /// Absolute.
    public let directory: String
    private let state = Mutex(State())

    private let changesNothing: Bool

    /// Nothing is made until the node creates the first file. With `changesNothing`, for a dry run, nothing that a killed checkout left is removed
    /// either, and no lock is taken. Otherwise the directory is locked from its first use to `finish`: a second checkout into it fails.
    public init(directory: String, changesNothing: Bool = false) {
        self.directory = UserPath.absolute(directory)
        self.changesNothing = changesNothing
    }

    /// The same, and refused when it lies in the node's home.
    public convenience init(directory: String, outside home: String, changesNothing: Bool = false) throws(Problem) {
        self.init(directory: directory, changesNothing: changesNothing)
        if UserPath.lies(self.directory, in: home) {
            throw Problem(
                .fileUnsafe,
                "\(self.directory.printable(charactersMax: 300)) lies in the home of the node, where nothing is checked out",
                try: "name a directory elsewhere")
        }
    }

    /// Removes what was created and not committed, and lets go of the directory. `AdminClient.run` does it at the end of its request; safe to call
    /// twice, and a later request begins anew.
    public func finish() {
        state.withLock { state in
            for (path, temporary) in state.pending { Self.removeTemporary(path, temporary, &state) }
            state.pending = [:]
            state.tree = nil
            state.isLocked = false
        }
    }

    /// The result as the user sees it: the node knows `directory` only below the target, here it becomes the whole path.
    public func locating(_ document: JSONValue) -> JSONValue {
        guard let members = document.object else { return document }
        return .object(
            members.map { member in
                switch (member.name, member.value) {
                case ("directory", .string(let below)):
                    JSONMember(member.name, .string(below.isEmpty || below == "." ? directory : directory + "/" + below))
                case ("packages", .array(let packages)): JSONMember(member.name, .array(packages.map(locating)))
                default: member
                }
            })
    }

    // MARK: Answers

    func listing(of below: String) throws(Problem) -> DirectoryListing {
        try state.withLock { state throws(Problem) in
            let path = below.isEmpty ? directory : directory + "/" + below
            let empty = DirectoryListing(number: 0, path: path, derivedName: nil, listedAt: 0, entries: [])
            guard let tree = try tree(&state, creating: false),
                let found = try tree.directory(below, creating: false)
            else {
                return empty
            }
            // The walker takes its descriptor over, and a duplicate would share the read position.
            let own = FileFault.call { openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
            guard own >= 0 else { throw FileFault.problem("read", path, -own) }
            var entries: [FileStat] = []
            // What a killed checkout left is none of the user's changes, and goes with the next one.
            let removes = !changesNothing
            let isLocked = state.isLocked
            let walker = DirectoryWalker(entersHidden: true) { parent, name in
                guard let process = Self.process(ofTemporary: name) else { return false }
                if removes { Self.removeIfAbandoned(name, in: parent, process: process, isLocked: isLocked) }
                return true
            }
            try walker.walk(own, prefix: "", root: path, depth: 0, into: &entries)
            return DirectoryListing(number: 0, path: path, derivedName: nil, listedAt: 0, entries: entries)
        }
    }

    func openExisting(_ paths: [String]) throws(Problem) -> [CInt] {
        try state.withLock { state throws(Problem) in
            guard let tree = try tree(&state, creating: false) else {
                throw Problem(.fileChanged, "\(directory.printable(charactersMax: 300)) is gone")
            }
            return try Self.collect(paths) { path throws(Problem) in try tree.openRegular(path) }
        }
    }

    func create(_ paths: [String]) throws(Problem) -> [CInt] {
        try state.withLock { state throws(Problem) in
            // Made above when missing.
            let tree = try tree(&state, creating: true).unsafelyUnwrapped
            return try Self.collect(paths) { path throws(Problem) in
                if let earlier = state.pending[path] { Self.removeTemporary(path, earlier, &state) }
                // Likewise.
                let (parent, _) = try tree.parent(of: path, creating: true).unsafelyUnwrapped
                state.counter += 1
                let temporary = "\(Self.temporaryPrefix)\(getpid())-\(state.counter).tmp"
                let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
                var file = FileFault.call { openat(parent, temporary, flags, 0o666) }
                if file == -EEXIST {
                    // Left by a killed process whose id we have now.
                    unlinkat(parent, temporary, 0)
                    file = FileFault.call { openat(parent, temporary, flags, 0o666) }
                }
                guard file >= 0 else { throw FileFault.problem("create", directory + "/" + path, -file) }
                state.pending[path] = temporary
                return file
            }
        }
    }

    func commit(_ paths: [String]) throws(Problem) {
        try state.withLock { state throws(Problem) in
            guard let tree = state.tree, paths.allSatisfy({ state.pending[$0] != nil }) else {
                throw Problem(.adminProtocol, "the node committed a file that it did not create")
            }
            try sync(paths, state, tree)
            var parents = tree.takeGrown()
            for path in paths {
                guard let temporary = state.pending[path] else { continue }
                try Self.rename(path, from: temporary, in: tree)
                state.pending[path] = nil
                parents.insert(Self.parent(of: path))
            }
            // A crash here leaves old or new names, each with whole contents; the next checkout finishes the rest.
            try syncDirectories(parents.sorted(), tree)
        }
    }

    /// Makes the bytes of created files durable.
    private func sync(_ paths: [String], _ state: State, _ tree: DirectoryTree) throws(Problem) {
        guard paths.count <= Self.syncedSinglyMax else { return try syncFileSystem(tree) }
        for path in paths {
            guard let temporary = state.pending[path], let (parent, _) = try tree.parent(of: path, creating: false) else {
                continue
            }
            let file = FileFault.call { openat(parent, temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) }
            guard file >= 0 else { throw FileFault.problem("sync", directory + "/" + path, -file) }
            let result = FileFault.call { fsync(file) }
            close(file)
            guard result == 0 else { throw FileFault.problem("sync", directory + "/" + path, -result) }
        }
    }

    private func syncDirectories(_ paths: [String], _ tree: DirectoryTree) throws(Problem) {
        guard paths.count <= Self.syncedSinglyMax else { return try syncFileSystem(tree) }
        for path in paths {
            guard let descriptor = try tree.directory(path, creating: false) else { continue }
            let result = FileFault.call { fsync(descriptor) }
            guard result == 0 else { throw FileFault.problem("sync", directory + "/" + path, -result) }
        }
    }

    private func syncFileSystem(_ tree: DirectoryTree) throws(Problem) {
        guard let root = try tree.directory("", creating: false) else { return }
        let result = hansa_sync_file_system(root)
        guard result == 0 else { throw FileFault.problem("sync", directory, -result) }
    }

    func remove(_ paths: [String]) throws(Problem) {
        try state.withLock { state throws(Problem) in
            guard let tree = try tree(&state, creating: false) else { return }
            for path in paths {
                guard let (parent, name) = try tree.parent(of: path, creating: false) else { continue }
                let result = FileFault.call { unlinkat(parent, name, 0) }
                // A directory there is the user's, and so is what it holds.
                guard result == 0 || result == -ENOENT || result == -EISDIR else {
                    throw FileFault.problem("remove", directory + "/" + path, -result)
                }
                try Self.removeEmptyParents(of: path, in: tree)
            }
        }
    }

    // MARK: Steps

    private func tree(_ state: inout State, creating: Bool) throws(Problem) -> DirectoryTree? {
        if let tree = state.tree { return tree }
        var status = stat()
        if stat(directory, &status) != 0 {
            guard errno == ENOENT else { throw FileFault.problem("read", directory, errno) }
            guard creating else { return nil }
            try Self.makeWithParents(directory)
        }
        let tree = try DirectoryTree(root: directory)
        if !changesNothing {
            let result = tree.lock()
            guard result != -EAGAIN else {
                throw Problem(
                    .checkoutModified, "another checkout works in \(directory.printable(charactersMax: 300))",
                    try: "run it again when that has ended")
            }
            state.isLocked = result == 0
        }
        state.tree = tree
        return tree
    }

    private static func makeWithParents(_ directory: String) throws(Problem) {
        var path = ""
        for component in directory.split(separator: "/") {
            path += "/" + component
            let result = FileFault.call { mkdir(path, 0o777) }
            // EROFS and EACCES come before EEXIST on some file systems; what matters is whether the last one stands.
            var status = stat()
            guard result == 0 || stat(path, &status) == 0 else { throw FileFault.problem("make", path, -result) }
            guard result == 0 else { continue }
            // Else a crash may lose the directory with all that is durable inside.
            let parent = FileFault.call { Glibc.open(path + "/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
            guard parent >= 0 else { throw FileFault.problem("sync", path, -parent) }
            let synced = FileFault.call { fsync(parent) }
            close(parent)
            guard synced == 0 else { throw FileFault.problem("sync", path, -synced) }
        }
    }

    private static func rename(_ path: String, from temporary: String, in tree: DirectoryTree) throws(Problem) {
        let full = tree.root + "/" + path
        guard let (parent, name) = try tree.parent(of: path, creating: false) else {
            throw FileFault.problem("rename", full, ENOENT)
        }
        let result = FileFault.call { renameat(parent, temporary, parent, name) }
        if result == -EISDIR || result == -ENOTEMPTY || result == -EEXIST {
            throw Problem(
                .checkoutModified, "a directory stands at \(full.printable(charactersMax: 300)), where a file belongs",
                try: "move it away")
        }
        guard result == 0 else { throw FileFault.problem("rename", full, -result) }
    }

    private static func removeEmptyParents(of path: String, in tree: DirectoryTree) throws(Problem) {
        var below = parent(of: path)
        while !below.isEmpty {
            tree.forget(below)
            guard let (descriptor, name) = try tree.parent(of: below, creating: false) else { return }
            // Not empty, or not ours to remove: it stays.
            guard unlinkat(descriptor, name, AT_REMOVEDIR) == 0 else { return }
            below = parent(of: below)
        }
    }

    private static func removeTemporary(_ path: String, _ temporary: String, _ state: inout State) {
        // Best effort: what cannot be removed is skipped by the next listing, by its name.
        guard let found = try? state.tree?.parent(of: path, creating: false) else { return }
        unlinkat(found.descriptor, temporary, 0)
        state.pending[path] = nil
    }

    private static func collect(_ paths: [String], _ body: (String) throws(Problem) -> CInt) throws(Problem) -> [CInt] {
        var descriptors: [CInt] = []
        do throws(Problem) {
            for path in paths { descriptors.append(try body(path)) }
            return descriptors
        } catch {
            for descriptor in descriptors { close(descriptor) }
            throw error
        }
    }

    private static func parent(of path: String) -> String {
        path.utf8.lastIndex(of: 0x2F).map { String(path[..<$0]) } ?? ""
    }

    /// The process that made `.hansa-<pid>-<n>.tmp`; nil for any other name.
    private static func process(ofTemporary name: String) -> pid_t? {
        guard name.hasPrefix(temporaryPrefix), name.hasSuffix(".tmp") else { return nil }
        let parts = name.dropFirst(temporaryPrefix.count).dropLast(4).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else {
            return nil
        }
        return pid_t(parts[0])
    }

    /// Its process has gone, and either nobody else works here or it is an hour old: another container's processes have ids that we cannot see.
    private static func removeIfAbandoned(_ name: String, in directory: CInt, process: pid_t, isLocked: Bool) {
        var status = stat()
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        guard kill(process, 0) != 0, errno == ESRCH, fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
            status.st_mode & S_IFMT == S_IFREG, isLocked || status.st_mtim.tv_sec < now.tv_sec - 3600
        else { return }
        unlinkat(directory, name, 0)
    }
}
