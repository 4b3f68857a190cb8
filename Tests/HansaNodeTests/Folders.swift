// The client's files, without a client: what `package publish` reads and `package checkout` writes.
import Foundation
import HansaCore
import HansaNode
import Synchronization

@testable import HansaAPI

/// Directories to publish. `refuses` stands for files that the client may not open: tests may run as root, who may open all.
final class FolderSource: PublishSource, DirectoryReader {
    private struct State {
        var listings: [DirectoryListing]?
        var refuses: Set<String> = []
        var unlistable: Set<String> = []
        var warnings: [String] = []
        var opened: [String] = []
        var interruptAfter: Int?
    }

    private let directories: [String]
    private let name: String?
    private let entersHidden: Bool
    private let state = Mutex(State())

    init(_ directories: [String], name: String? = nil, entersHidden: Bool = false) {
        self.directories = directories
        self.name = name
        self.entersHidden = entersHidden
    }

    /// Absolute paths of files that cannot be opened.
    var refuses: Set<String> {
        get { state.withLock(\.refuses) }
        set { state.withLock { $0.refuses = newValue } }
    }
    /// Directories that cannot be listed.
    var unlistable: Set<String> {
        get { state.withLock(\.unlistable) }
        set { state.withLock { $0.unlistable = newValue } }
    }
    var warnings: [String] { state.withLock(\.warnings) }
    /// Absolute paths of the files that were read.
    var opened: [String] { state.withLock(\.opened) }

    func report(_ progress: HansaNode.Progress) {}
    func warn(_ message: String) { state.withLock { $0.warnings.append(message) } }
    var isCancelled: Bool {
        if !opened.isEmpty {
            proceeds += 1
            onProceed?(proceeds)
        }
        return state.withLock { state in state.interruptAfter.map { state.opened.count >= $0 } ?? false }
    }

    /// The user presses Ctrl-C when so many files have been opened.
    func interruptAfter(opening files: Int) { state.withLock { $0.interruptAfter = files } }
    /// Runs once, when the first file is asked for. Set before the publish begins, and used by its one thread.
    nonisolated(unsafe) var onOpen: (() -> Void)?
    /// Runs each time it is asked whether to go on, once files were opened: of one small directory before it is read, before the head is looked up,
    /// and when the release is signed and not yet committed. Likewise.
    nonisolated(unsafe) var onProceed: ((Int) -> Void)?
    nonisolated(unsafe) private var proceeds = 0

    private func listings() throws(Problem) -> [DirectoryListing] {
        let walker = DirectoryWalker(entersHidden: entersHidden)
        var listings: [DirectoryListing] = []
        for (number, path) in directories.enumerated() {
            let derived = name ?? path.split(separator: "/").last.map(String.init)
            if unlistable.contains(path) {
                let fault = Problem(.fileUnreadable, "cannot read \(path)")
                listings.append(
                    DirectoryListing(number: number, path: path, derivedName: derived, listedAt: 0, entries: [], fault: fault))
            } else {
                listings.append(try walker.list(path, number: number, derivedName: derived))
            }
        }
        return listings
    }

    func nextListings() throws(Problem) -> [DirectoryListing]? {
        guard state.withLock({ $0.listings == nil }) else { return nil }
        let all = try listings()
        state.withLock { $0.listings = all }
        return all
    }

    func listing() throws(Problem) -> DirectoryListing { try listings()[0] }

    func open(_ files: [(directory: Int, path: String)]) throws(Problem) -> [CInt] {
        if let first = onOpen {
            onOpen = nil
            first()
        }
        var descriptors: [CInt] = []
        for file in files {
            let path = directories[file.directory] + "/" + file.path
            let descriptor = refuses.contains(path) ? -1 : Glibc.open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else {
                for descriptor in descriptors { close(descriptor) }
                throw Problem(.fileUnreadable, "cannot open \(path): permission denied")
            }
            state.withLock { $0.opened.append(path) }
            descriptors.append(descriptor)
        }
        return descriptors
    }

    func open(directory: Int, paths: [String]) throws(Problem) -> [CInt] { try open(paths.map { (directory, $0) }) }
    func open(_ paths: [String]) throws(Problem) -> [CInt] { try open(directory: 0, paths: paths) }
}

/// A directory to check out into: the client's own code, without the socket.
final class FolderSink: CheckoutSink {
    private let target: CheckoutTarget
    // Of one checkout, which is one thread.
    /// Files that were opened to be compared.
    nonisolated(unsafe) private(set) var opened: [String] = []
    nonisolated(unsafe) private(set) var listings = 0
    nonisolated(unsafe) private(set) var commits = 0

    init(_ path: String) { target = CheckoutTarget(directory: path) }

    func report(_ progress: HansaNode.Progress) {}
    func warn(_ message: String) {}
    var isCancelled: Bool { false }

    func listing(of directory: String) throws(Problem) -> [FileStat] {
        listings += 1
        return try target.listing(of: directory).entries
    }
    func open(_ paths: [String]) throws(Problem) -> [CInt] {
        opened += paths
        return try target.openExisting(paths)
    }
    func create(_ paths: [String]) throws(Problem) -> [CInt] { try target.create(paths) }
    func commit(_ paths: [String]) throws(Problem) {
        commits += 1
        try target.commit(paths)
    }
    func remove(_ paths: [String]) throws(Problem) { try target.remove(paths) }
}
