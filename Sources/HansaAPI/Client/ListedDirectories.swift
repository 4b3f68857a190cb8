// The client's side of publishing: lists directories ahead of the node on a thread of its own, opens the files the node names.
internal import Dispatch
internal import Foundation
internal import Glibc
public import HansaCore
internal import HansaNode
internal import Synchronization

/// The directories that a command gives to the node to read.
public final class ListedDirectories: Sendable {
    /// One directory, and the name CLI.md derives for it.
    public struct Item: Sendable, Equatable {
        /// As `realpath` gives it.
        public let path: String
        public let derivedName: String?
        /// It could not even be found; the path is then as given, made absolute.
        var fault: Problem?
    }

    public let items: [Item]
    private let entersHidden: Bool
    private let ahead: ListingQueue
    /// The tree of the directory that was opened last: files of one directory come together.
    private let tree = Mutex<(number: Int, tree: DirectoryTree)?>(nil)

    /// For `package new`, `check` and `verify`. Verifying looks at everything, also at what publishing would leave out.
    public convenience init(reading directory: String, entersHidden: Bool) throws(Problem) {
        self.init(items: [Item(path: try ListedDirectories.resolve(directory), derivedName: nil)], entersHidden: entersHidden)
    }

    /// For `package publish`: `name` with one directory, or the path below `base`, which defaults to each directory's parent.
    public convenience init(publishing directories: [String], name: String?, base: String?) throws(Problem) {
        guard name == nil || directories.count == 1 else {
            throw Problem(
                .usage, "--name goes with one directory, and \(directories.count) are given",
                try: "hansa package publish DIR… --base DIR")
        }
        let base = try base.map { path throws(Problem) in try ListedDirectories.resolve(path) }
        var items: [Item] = []
        items.reserveCapacity(directories.count)
        var seen: Set<String> = []
        seen.reserveCapacity(directories.count)
        var resolver = UserPath.Resolver()
        for directory in directories {
            guard let path = resolver.resolved(directory) else {
                let error = FileFault.problem("read", directory, errno)
                // One of several fails alone; the others are published.
                guard directories.count > 1 else { throw error }
                items.append(Item(path: UserPath.absolute(directory), derivedName: nil, fault: error))
                continue
            }
            guard seen.insert(path).inserted else {
                throw Problem(.usage, "\(path.printable(charactersMax: 300)) is given twice")
            }
            let derived = if let name { name } else { try ListedDirectories.name(of: path, base: base) }
            // One that is no package's name is refused with a suggestion, unless datapackage.json gives another.
            items.append(Item(path: path, derivedName: derived.isEmpty ? nil : derived))
        }
        self.init(items: items, entersHidden: false)
    }

    init(items: [Item], entersHidden: Bool) {
        self.items = items
        self.entersHidden = entersHidden
        ahead = ListingQueue()
    }

    deinit { ahead.abandon() }

    /// The path below the base, or the last component.
    private static func name(of path: String, base: String?) throws(Problem) -> String {
        guard let base else { return path.split(separator: "/").last.map(String.init) ?? "" }
        guard path.hasPrefix(base == "/" ? base : base + "/") else {
            throw Problem(.usage, "\(path.printable(charactersMax: 300)) is not below --base \(base.printable())")
        }
        return String(path.dropFirst(base == "/" ? 1 : base.count + 1))
    }

    private static func resolve(_ path: String) throws(Problem) -> String {
        guard let resolved = UserPath.resolved(path) else { throw FileFault.problem("read", path, errno) }
        return resolved
    }

    // MARK: Answers

    /// The next batch, encoded; calls `waiting` every few seconds while the listing takes time. Empty batches end it.
    func nextListings(waiting: () throws -> Void) throws -> [UInt8] {
        ahead.startOnce { [items, entersHidden, ahead] in
            ListedDirectories.listAll(items, entersHidden: entersHidden, into: ahead)
        }
        while true {
            switch ahead.next(withinSeconds: 5) {
            case .batch(let bytes): return bytes
            case .failed(let problem): throw problem
            case .notYet: try waiting()
            }
        }
    }

    /// Descriptors in the order asked; the caller closes them.
    func open(_ files: [ListedFile]) throws(Problem) -> [CInt] {
        try tree.withLock { kept throws(Problem) in
            var descriptors: [CInt] = []
            do throws(Problem) {
                for file in files {
                    guard items.indices.contains(file.directory) else {
                        throw Problem(.adminProtocol, "the node asked for directory \(file.directory) of \(items.count)")
                    }
                    if kept?.number != file.directory {
                        kept = (file.directory, try DirectoryTree(root: items[file.directory].path))
                    }
                    // Set in the line above for this number.
                    descriptors.append(try kept.unsafelyUnwrapped.tree.openRegular(file.path))
                }
                return descriptors
            } catch {
                for descriptor in descriptors { close(descriptor) }
                throw error
            }
        }
    }

    /// Directories of one stretch; each is listed by one thread.
    private static let stretch = WireLimits.listingsMax
    private static let threadsMax = 4

    /// Listing is nearly all the kernel's: as many threads do it as there are cores, each the next stretch. The batches come out in order.
    private static func listAll(_ items: [Item], entersHidden: Bool, into queue: ListingQueue) {
        let stretches = (items.count + stretch - 1) / stretch
        let next = Atomic<Int>(0)
        let count = max(1, min(threadsMax, stretches, ProcessInfo.processInfo.activeProcessorCount))
        DispatchQueue.concurrentPerform(iterations: count) { _ in
            while true {
                let number = next.add(1, ordering: .relaxed).oldValue
                guard number < stretches, queue.waitForTurn(of: number) else { return }
                let range = (number * stretch)..<min((number + 1) * stretch, items.count)
                guard queue.put(list(items, range, entersHidden: entersHidden), of: number, isLast: number == stretches - 1)
                else {
                    return
                }
            }
        }
        if stretches == 0 { _ = queue.put([], of: 0, isLast: true) }
    }

    /// Batches end at a thousand directories or about a MiB.
    private static func list(_ items: [Item], _ range: Range<Int>, entersHidden: Bool) -> [ListingQueue.Element] {
        let walker = DirectoryWalker(entersHidden: entersHidden)
        var elements: [ListingQueue.Element] = []
        var batch: [DirectoryListing] = []
        var weight = 0
        for number in range {
            let item = items[number]
            let listing: DirectoryListing
            do throws(Problem) {
                if let fault = item.fault { throw fault }
                listing = try walker.list(item.path, number: number, derivedName: item.derivedName)
            } catch {
                // The only directory: the command fails as a whole. One of several that cannot be listed fails alone; the others are published.
                guard items.count > 1 else { return [.failed(error)] }
                listing = DirectoryListing(
                    number: number, path: item.path, derivedName: item.derivedName, listedAt: 0, entries: [], fault: error)
            }
            weight += listing.entries.reduce(256) { $0 + $1.path.utf8.count + 48 }
            batch.append(listing)
            if weight >= WireLimits.partBytesMax {
                elements.append(.batch(ListingCodec.encode(batch)))
                batch = []
                weight = 0
            }
        }
        if !batch.isEmpty { elements.append(.batch(ListingCodec.encode(batch))) }
        return elements
    }
}

/// What was listed, in order, a few stretches ahead of the node; the listers wait when full.
private final class ListingQueue: Sendable {
    enum Element: Sendable {
        case batch([UInt8])
        case failed(Problem)
        case notYet
    }

    private struct State {
        var elements: [Element] = []
        /// Stretches that were listed before those in front of them.
        var early: [Int: (elements: [Element], isLast: Bool)] = [:]
        /// The stretch whose batches come next.
        var next = 0
        var started = false
        var abandoned = false
    }

    private static let aheadMax = 4
    private let state = Mutex(State())
    private let changed = NSCondition()

    func startOnce(_ body: @escaping @Sendable () -> Void) {
        let first = state.withLock { state in
            defer { state.started = true }
            return !state.started
        }
        if first { Thread.detachNewThread(body) }
    }

    /// Until there is room for this stretch. False once nobody will take it.
    func waitForTurn(of number: Int) -> Bool {
        changed.lock()
        defer { changed.unlock() }
        // The stretch that comes next always has room: else all would wait for it.
        while state.withLock({ state in
            !state.abandoned && number > state.next
                && (number >= state.next + Self.aheadMax || state.elements.count >= Self.aheadMax)
        }) {
            changed.wait()
        }
        return state.withLock { !$0.abandoned }
    }

    /// False once nobody will take it. Empty batches end the listings.
    func put(_ elements: [Element], of number: Int, isLast: Bool) -> Bool {
        changed.lock()
        defer { changed.unlock() }
        let taken = state.withLock { state in
            if state.abandoned { return false }
            state.early[number] = (elements, isLast)
            while let ready = state.early.removeValue(forKey: state.next) {
                state.elements += ready.elements
                if ready.isLast { state.elements.append(.batch(ListingCodec.encode([]))) }
                state.next += 1
            }
            return true
        }
        changed.broadcast()
        return taken
    }

    func next(withinSeconds seconds: Double) -> Element {
        changed.lock()
        defer { changed.unlock() }
        let deadline = Date(timeIntervalSinceNow: seconds)
        while true {
            let element = state.withLock { $0.elements.isEmpty ? nil : $0.elements.removeFirst() }
            if let element {
                changed.broadcast()
                return element
            }
            if !changed.wait(until: deadline) { return .notYet }
        }
    }

    func abandon() {
        changed.lock()
        state.withLock { $0.abandoned = true }
        changed.broadcast()
        changed.unlock()
    }
}
