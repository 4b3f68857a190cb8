// A disk in memory that loses power: what was not synchronised survives a crash in part, as the seed decides.
//
// Content and names are kept twice, as they are now and as they are durable, with the changes between the two in order. crash() lets each of
// those changes survive or not: writes also in part, cut at any byte; names in any combination. That is harsher than ext4 or XFS in their
// usual modes, and allowed by POSIX.
public import HansaStore
internal import Synchronization

public final class MemoryDisk: Disk {
    /// What goes wrong, and when. Operations are counted from 1; only those that change something count.
    public struct Faults: Sendable {
        /// The machine stops at this operation: it may have happened in part, it throws, and so does every later one until `crash`.
        public var stopAtOperation: Int?
        /// The disk holds so many bytes, reserved ones included.
        public var capacityBytes: UInt64?
        /// Writes fail with EIO from this operation on, until it is cleared.
        public var failWritesFromOperation: Int?
        /// Every fsync of a file fails.
        public var failsSync = false
        /// Bits that are read wrong, by file and offset: what is stored stays as it is.
        public var misreads: [String: [Int: UInt8]] = [:]
        /// Places that cannot be read, by file: EIO for every read that touches one.
        public var deadSectors: [String: Set<Int>] = [:]
        /// No read of a file's content succeeds.
        public var failsReads = false
        /// Reservations are taken for granted, as on a file system that cannot reserve.
        public var ignoresReservations = false

        public init() {}
    }

    struct State: Sendable {
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        /// Changes since their directory was synchronised, in order; the names of one change survive together.
        var pendingNames: [[NameChange]] = []
        var directories: Set<String> = [""]
        var nodes: [Int: Node] = [:]
        var nextNode = 0
        /// Files that were opened before a crash are dead.
        var epoch = 0
        var operations = 0
        var isStopped = false
        var faults = Faults()
        var random: SplitMix64

        init(seed: UInt64) { random = SplitMix64(seed: seed) }
    }

    /// A name and what it stands for now: nil after its removal.
    struct NameChange: Sendable {
        let path: String
        let node: Int?
    }

    struct Node: Sendable {
        enum Change: Sendable {
            case write(offset: Int, [UInt8])
            case truncate(Int)
        }

        var bytes: [UInt8] = []
        var durable: [UInt8] = []
        var pending: [Change] = []
        var reserved = 0
        /// A bit was flipped: `durable` and `pending` do not make `bytes` any more.
        var isFlipped = false

        mutating func apply(_ change: Change) {
            Node.apply(change, to: &bytes)
            pending.append(change)
        }

        /// Only what is new is copied: a whole copy would be shared, and copied again by the next write.
        mutating func sync() {
            if isFlipped { durable = bytes } else { for change in pending { Node.apply(change, to: &durable) } }
            pending = []
            isFlipped = false
        }

        static func apply(_ change: Change, to bytes: inout [UInt8]) {
            switch change {
            case .write(let offset, let written) where offset == bytes.count: bytes.append(contentsOf: written)
            case .write(let offset, let written):
                if bytes.count < offset + written.count {
                    bytes.append(contentsOf: [UInt8](repeating: 0, count: offset + written.count - bytes.count))
                }
                bytes.replaceSubrange(offset..<(offset + written.count), with: written)
            case .truncate(let length):
                if length < bytes.count {
                    bytes.removeLast(bytes.count - length)
                } else {
                    bytes.append(contentsOf: [UInt8](repeating: 0, count: length - bytes.count))
                }
            }
        }

        var footprint: Int { Swift.max(bytes.count, reserved) }
    }

    private let state: Mutex<State>

    /// - Parameter seed: decides what survives a crash.
    public init(seed: UInt64) { state = Mutex(State(seed: seed)) }

    // MARK: - What a test does to it

    /// How many operations have changed something, or tried to.
    public var operations: Int { state.withLock { $0.operations } }

    public var faults: Faults {
        get { state.withLock { $0.faults } }
        set { state.withLock { $0.faults = newValue } }
    }

    /// The power fails and comes back. Open files are dead; what was not synchronised is gone or not, as the seed decides.
    /// Faults are cleared.
    public func crash() {
        state.withLock { state in
            for (node, content) in state.nodes.sorted(by: { $0.key < $1.key }) {
                state.nodes[node] = MemoryDisk.survivor(of: content, &state.random)
            }
            for changes in state.pendingNames where state.random.next() & 1 == 0 {
                for change in changes { state.durableNames[change.path] = change.node }
            }
            state.names = state.durableNames
            state.pendingNames = []
            let alive = Set(state.names.values)
            state.nodes = state.nodes.filter { alive.contains($0.key) }
            state.epoch += 1
            state.isStopped = false
            state.faults = Faults()
        }
    }

    private static func survivor(of node: Node, _ random: inout SplitMix64) -> Node {
        var survivor = Node(bytes: node.durable, durable: node.durable)
        // Usually each change fares for itself; sometimes all of them survive, or none.
        let mode = random.next() % 8
        for change in node.pending {
            let fate = mode == 0 ? 0 : mode == 1 ? 1 : random.next() % 3
            switch (fate, change) {
            case (0, _): Node.apply(change, to: &survivor.bytes)
            case (1, _): continue
            case (_, .write(let offset, let bytes)):
                let kept = Int(random.next() % UInt64(bytes.count + 1))
                Node.apply(.write(offset: offset, Array(bytes.prefix(kept))), to: &survivor.bytes)
            case (_, .truncate): continue
            }
        }
        survivor.durable = survivor.bytes
        return survivor
    }

    /// Flips a bit of what a file holds, as a failing disk does.
    public func flipBit(_ path: String, byte: Int, bit: Int) {
        state.withLock { state in
            guard let node = state.names[path], let content = state.nodes[node], byte < content.bytes.count else {
                preconditionFailure("no byte \(byte) in \(path)")
            }
            state.nodes[node]?.bytes[byte] ^= 1 << UInt8(bit)
            state.nodes[node]?.isFlipped = true
            if byte < content.durable.count { state.nodes[node]?.durable[byte] ^= 1 << UInt8(bit) }
        }
    }

    /// One of the files, as a number picks it, and its length.
    func someFile(_ number: Int) -> (path: String, size: Int)? {
        state.withLock { state in
            let paths = state.names.keys.sorted()
            guard !paths.isEmpty else { return nil }
            let path = paths[number % paths.count]
            return state.names[path].flatMap { state.nodes[$0] }.map { (path, $0.bytes.count) }
        }
    }

    /// What files take up now, reserved bytes included.
    public var usedBytes: UInt64 { state.withLock { UInt64($0.nodes.values.reduce(0) { $0 + $1.footprint }) } }

    /// What a file holds now; nil where there is none.
    public func contents(_ path: String) -> [UInt8]? {
        state.withLock { state in state.names[path].flatMap { state.nodes[$0]?.bytes } }
    }

    /// What would be left if the power failed now and nothing more was lucky.
    struct Contents: Sendable {
        fileprivate let names: [String: Int]
        fileprivate let nodes: [Int: [UInt8]]
        fileprivate let directories: Set<String>
    }

    var durableContents: Contents {
        state.withLock { state in
            let alive = Set(state.durableNames.values)
            return Contents(
                names: state.durableNames, nodes: state.nodes.filter { alive.contains($0.key) }.mapValues(\.durable),
                directories: state.directories)
        }
    }

    /// Puts these files in the place of all there are. Open files are dead.
    func restore(_ contents: Contents) {
        state.withLock { state in
            state.names = contents.names
            state.durableNames = contents.names
            state.pendingNames = []
            state.nodes = contents.nodes.mapValues { Node(bytes: $0, durable: $0) }
            state.directories = contents.directories
            state.epoch += 1
            state.isStopped = false
            state.faults = Faults()
        }
    }

    /// Whether these bytes of a file, and its name, would survive the power failing now.
    func isDurable(_ path: String, _ range: Range<Int>) -> Bool {
        state.withLock { state in
            guard let node = state.durableNames[path], state.names[path] == node, let content = state.nodes[node],
                range.upperBound <= content.durable.count
            else { return false }
            return content.pending.isEmpty || content.durable[range] == content.bytes[range]
        }
    }

    /// Puts a durable file in place, or replaces one.
    public func put(_ path: String, _ bytes: [UInt8]) {
        state.withLock { state in
            let node = state.nextNode
            state.nextNode += 1
            state.nodes[node] = Node(bytes: bytes, durable: bytes)
            state.names[path] = node
            state.durableNames[path] = node
        }
    }

    // MARK: - Disk

    public func create(_ path: String) throws(DiskFault) -> any DiskFile {
        try change(.create, path) { state throws(DiskFault) in
            guard state.names[path] == nil, !state.directories.contains(path) else { throw .exists(path: path) }
            guard state.directories.contains(MemoryDisk.directory(of: path)) else { throw .notFound(.create, path: path) }
            let node = state.nextNode
            state.nextNode += 1
            state.nodes[node] = Node()
            state.names[path] = node
            state.pendingNames.append([NameChange(path: path, node: node)])
            return MemoryFile(disk: self, node: node, path: path, epoch: state.epoch)
        }
    }

    public func open(_ path: String, writable: Bool) throws(DiskFault) -> any DiskFile {
        try look(.open, path) { state throws(DiskFault) in
            guard let node = state.names[path] else { throw .notFound(.open, path: path) }
            return MemoryFile(disk: self, node: node, path: path, epoch: state.epoch)
        }
    }

    public func rename(_ path: String, to target: String) throws(DiskFault) {
        try change(.rename, path) { state throws(DiskFault) in
            guard let node = state.names[path] else { throw .notFound(.rename, path: path) }
            state.names[path] = nil
            state.names[target] = node
            state.pendingNames.append([NameChange(path: target, node: node), NameChange(path: path, node: nil)])
        }
    }

    public func remove(_ path: String) throws(DiskFault) {
        try change(.remove, path) { state throws(DiskFault) in
            guard state.names[path] != nil else { throw .notFound(.remove, path: path) }
            state.names[path] = nil
            state.pendingNames.append([NameChange(path: path, node: nil)])
        }
    }

    public func makeDirectory(_ path: String) throws(DiskFault) {
        try look(.makeDirectory, path) { state throws(DiskFault) in
            var path = path
            while !path.isEmpty {
                state.directories.insert(path)
                path = MemoryDisk.directory(of: path)
            }
        }
    }

    public func syncDirectory(_ path: String) throws(DiskFault) {
        try change(.syncDirectory, path) { state throws(DiskFault) in
            if state.faults.failsSync { throw .syncFailed(path: path, code: 5) }
            // Renames stay inside one directory here, so a change's first name says which it is in.
            let isInside = { (changes: [NameChange]) in changes.first.map { MemoryDisk.directory(of: $0.path) == path } ?? false }
            for changes in state.pendingNames where isInside(changes) {
                for change in changes { state.durableNames[change.path] = change.node }
            }
            state.pendingNames.removeAll(where: isInside)
        }
    }

    public func list(_ path: String) throws(DiskFault) -> [String] {
        try look(.list, path) { state throws(DiskFault) in
            guard state.directories.contains(path) else { throw .notFound(.list, path: path) }
            let inside = Array(state.names.keys) + Array(state.directories)
            return inside.filter { !$0.isEmpty && MemoryDisk.directory(of: $0) == path }
                .map { String($0.dropFirst(path.isEmpty ? 0 : path.count + 1)) }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    public func status(_ path: String) throws(DiskFault) -> DiskStatus? {
        try look(.status, path) { state throws(DiskFault) in
            if state.directories.contains(path) { return DiskStatus(size: 0, isDirectory: true) }
            guard let node = state.names[path], let content = state.nodes[node] else { return nil }
            return DiskStatus(size: UInt64(content.bytes.count), isDirectory: false)
        }
    }

    public func freeBytes() throws(DiskFault) -> UInt64 {
        try look(.status, "") { state throws(DiskFault) in MemoryDisk.free(state) ?? UInt64(Int64.max) }
    }

    // MARK: - Operations

    /// Runs an operation that changes something. At the operation where the machine stops it happens, and the caller does not hear of it:
    /// whether it happened is for `crash` to decide.
    func change<T>(
        _ action: DiskFault.Action, _ path: String, _ body: (inout State) throws(DiskFault) -> T
    ) throws(DiskFault) -> T {
        try state.withLock { state throws(DiskFault) in
            guard !state.isStopped else { throw .failed(action, path: path, code: MemoryDisk.stopped) }
            state.operations += 1
            guard state.operations == state.faults.stopAtOperation else { return Unchecked(try body(&state)) }
            state.isStopped = true
            // A sync that does not return may have done anything or nothing; all others only add to what may survive.
            if action != .sync && action != .syncDirectory || state.random.next() & 1 == 0 { _ = try body(&state) }
            throw .failed(action, path: path, code: MemoryDisk.stopped)
        }.value
    }

    func look<T>(
        _ action: DiskFault.Action, _ path: String, _ body: (inout State) throws(DiskFault) -> T
    ) throws(DiskFault) -> T {
        try state.withLock { state throws(DiskFault) in
            guard !state.isStopped else { throw .failed(action, path: path, code: MemoryDisk.stopped) }
            return Unchecked(try body(&state))
        }.value
    }

    /// Carries a result out of the mutex: it is Sendable wherever it is used, which the signature cannot say for `any DiskFile`.
    private struct Unchecked<T>: @unchecked Sendable {
        let value: T
        init(_ value: T) { self.value = value }
    }

    /// The code of a fault that means: the machine has stopped (ESHUTDOWN).
    public static let stopped: Int32 = 108

    static func free(_ state: State) -> UInt64? {
        state.faults.capacityBytes.map { capacity in
            let used = UInt64(state.nodes.values.reduce(0) { $0 + $1.footprint })
            return capacity - Swift.min(capacity, used)
        }
    }

    private static func directory(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }
}

private final class MemoryFile: DiskFile {
    private let disk: MemoryDisk
    private let node: Int
    private let path: String
    private let epoch: Int

    init(disk: MemoryDisk, node: Int, path: String, epoch: Int) {
        self.disk = disk
        self.node = node
        self.path = path
        self.epoch = epoch
    }

    func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(DiskFault) {
        let bytes = parts.reduce(into: [UInt8]()) { $0.append(contentsOf: $1) }
        try change(.write) { around, content throws(DiskFault) in
            if let from = around.faults.failWritesFromOperation, around.operations >= from {
                // A failed write may have written a part.
                content.apply(.write(offset: Int(offset), Array(bytes.prefix(bytes.count / 2))))
                throw .failed(.write, path: path, code: 5)
            }
            try fit(.write, max(content.footprint, Int(offset) + bytes.count), around)
            content.apply(.write(offset: Int(offset), bytes))
        }
    }

    func read(into parts: [UnsafeMutableRawBufferPointer], at offset: UInt64) throws(DiskFault) -> Int {
        try disk.look(.read, path) { state throws(DiskFault) in
            guard state.epoch == epoch, let content = state.nodes[node] else {
                throw .failed(.read, path: path, code: MemoryDisk.stopped)
            }
            let wanted = Int(offset)..<(Int(offset) + parts.reduce(0) { $0 + $1.count })
            if state.faults.failsReads || state.faults.deadSectors[path]?.contains(where: wanted.contains) == true {
                throw .failed(.read, path: path, code: 5)
            }
            var at = Int(offset)
            for part in parts where at < content.bytes.count {
                let count = Swift.min(part.count, content.bytes.count - at)
                content.bytes.withUnsafeBytes { part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[at..<(at + count)])) }
                if !state.faults.misreads.isEmpty, let wrong = state.faults.misreads[path] {
                    for (offset, bits) in wrong where offset >= at && offset < at + count { part[offset - at] ^= bits }
                }
                at += count
            }
            return Swift.max(0, at - Int(offset))
        }
    }

    func sync() throws(DiskFault) {
        try change(.sync) { around, content throws(DiskFault) in
            if around.faults.failsSync { throw .syncFailed(path: path, code: 5) }
            content.sync()
        }
    }

    func reserve(_ length: UInt64) throws(DiskFault) {
        try change(.reserve) { around, content throws(DiskFault) in
            if around.faults.ignoresReservations { return }
            try fit(.reserve, max(content.footprint, Int(length)), around)
            content.reserved = Swift.max(content.reserved, Int(length))
        }
    }

    func truncate(to length: UInt64) throws(DiskFault) {
        try change(.truncate) { _, content throws(DiskFault) in
            content.reserved = 0
            content.apply(.truncate(Int(length)))
        }
    }

    func beginWriteback(_ offset: UInt64, _ length: UInt64) {}
    func forget(_ offset: UInt64, _ length: UInt64) {}

    func size() throws(DiskFault) -> UInt64 {
        try disk.look(.status, path) { state throws(DiskFault) in
            guard state.epoch == epoch, let content = state.nodes[node] else {
                throw .failed(.status, path: path, code: MemoryDisk.stopped)
            }
            return UInt64(content.bytes.count)
        }
    }

    /// What a change may look at beside its file.
    private struct Surroundings {
        let faults: MemoryDisk.Faults
        let operations: Int
        /// What all other files take up; known only on a disk with a capacity.
        let otherBytes: UInt64
    }

    private func fit(_ action: DiskFault.Action, _ length: Int, _ around: Surroundings) throws(DiskFault) {
        guard let capacity = around.faults.capacityBytes else { return }
        let needed = around.otherBytes + UInt64(length)
        if needed > capacity { throw .noSpace(action, path: path, missing: needed - capacity) }
    }

    private func change(
        _ action: DiskFault.Action, _ body: (Surroundings, inout MemoryDisk.Node) throws(DiskFault) -> Void
    ) throws(DiskFault) {
        try disk.change(action, path) { state throws(DiskFault) in
            // Taken out while it changes, so that its bytes are not copied.
            guard state.epoch == epoch, var content = state.nodes.removeValue(forKey: node) else {
                throw .failed(action, path: path, code: MemoryDisk.stopped)
            }
            defer { state.nodes[node] = content }
            let others = state.faults.capacityBytes == nil ? 0 : state.nodes.values.reduce(0) { $0 + $1.footprint }
            let around = Surroundings(faults: state.faults, operations: state.operations, otherBytes: UInt64(others))
            try body(around, &content)
        }
    }
}
