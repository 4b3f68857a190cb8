// Files of checkouts that this process wrote, known again by their stat: the same file (device, inode), as long, and neither written nor renamed since.
// Then nobody need read it. Git's index does so; its rule for times that are too young is kept by looking twice.
internal import Glibc
internal import HansaCore
internal import Synchronization

final class WrittenFiles: Sendable {
    /// What tells that a file was touched.
    struct Stamp: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: UInt64
        let modified: Int64
        let changed: Int64

        /// Nil where it cannot be told.
        init?(_ descriptor: CInt) {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = UInt64(status.st_size)
            modified = FileReader.nanoseconds(status.st_mtim)
            changed = FileReader.nanoseconds(status.st_ctim)
        }

        init(_ stat: FileStat) {
            (device, inode, size, modified, changed) = (stat.device, stat.inode, stat.size, stat.modified, stat.changed)
        }

        /// Of file systems that know whole seconds only, nothing is believed.
        var isFine: Bool { modified % 1_000_000_000 != 0 || changed % 1_000_000_000 != 0 }
    }

    private struct File: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private struct State {
        var known: [File: (stamp: Stamp, digest: Digest)] = [:]
    }

    /// 100 bytes each. When they are so many all are forgotten, which costs reading them once.
    private static let filesMax = 1 << 18
    private let state = Mutex(State())

    func session() -> Session { Session(self) }

    fileprivate func digest(of stat: FileStat) -> Digest? {
        state.withLock { state in
            guard let known = state.known[File(device: stat.device, inode: stat.inode)], known.stamp == Stamp(stat) else {
                return nil
            }
            return known.digest
        }
    }

    fileprivate func remember(_ files: [(stamp: Stamp, digest: Digest)]) {
        state.withLock { state in
            if state.known.count + files.count > WrittenFiles.filesMax { state.known = [:] }
            for file in files { state.known[File(device: file.stamp.device, inode: file.stamp.inode)] = file }
        }
    }

    /// One checkout's. For one thread.
    final class Session {
        private let files: WrittenFiles
        /// Renamed into place, and not yet old enough: clocks of file systems tick each 4 ms, and a change within a tick shows in no stamp.
        private var young: [(descriptor: CInt, stamp: Stamp, digest: Digest)] = []
        private var since = ContinuousClock.now
        private static let youngMax = 192

        fileprivate init(_ files: WrittenFiles) { self.files = files }

        deinit { letGo() }

        func digest(of stat: FileStat) -> Digest? { files.digest(of: stat) }

        /// After the rename, which changes nothing that was written: `before` it the file had the bytes of this digest.
        func note(_ descriptor: CInt, _ before: Stamp?, digest: Digest) {
            guard let before, let now = Stamp(descriptor), now.isFine, now.modified == before.modified, now.size == before.size
            else { return }
            if young.count >= Session.youngMax { settle() }
            let own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            guard own >= 0 else { return }
            if young.isEmpty { since = .now }
            young.append((own, now, digest))
        }

        /// Remembers what has stood for long enough and is as it was.
        private func settle() {
            let age = ContinuousClock.now - since
            let least = Duration.microseconds(CheckoutMemory.racyMicroseconds)
            // The youngest of them came last.
            if let newest = young.map(\.stamp.changed).max(), age < least || Session.now - newest < 20_000_000 {
                usleep(CheckoutMemory.racyMicroseconds)
            }
            files.remember(young.filter { Stamp($0.descriptor) == $0.stamp }.map { ($0.stamp, $0.digest) })
            letGo()
        }

        private static var now: Int64 {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return FileReader.nanoseconds(time)
        }

        private func letGo() {
            for file in young { close(file.descriptor) }
            young = []
        }

        func end() { if !young.isEmpty { settle() } }
    }
}

/// What stands in a target, by directory.
struct StandingFiles {
    private let files: [FileStat]

    init(_ files: [FileStat]) { self.files = files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) } }

    /// Paths relative to the directory.
    func below(_ directory: String) -> [FileStat] {
        let prefix = Array((directory + "/").utf8)
        var low = 0
        var high = files.count
        while low < high {
            let middle = (low + high) / 2
            if files[middle].path.utf8.lexicographicallyPrecedes(prefix) { low = middle + 1 } else { high = middle }
        }
        return files[low...].prefix { $0.path.utf8.starts(with: prefix) }.map { file in
            FileStat(
                path: String(file.path.utf8.dropFirst(prefix.count)) ?? file.path, kind: file.kind, size: file.size,
                modified: file.modified, changed: file.changed, inode: file.inode, device: file.device)
        }
    }
}
