internal import Synchronization

/// The names of segments, and the files that are open for reading: a bounded number, the least recently used closed first.
final class SegmentFiles: Sendable {
    private struct Open {
        var files: [UInt32: (file: any DiskFile, used: UInt64)] = [:]
        var clock: UInt64 = 0
    }

    let disk: any Disk
    let directory: String
    private let openMax: Int
    private let open = Mutex(Open())

    init(disk: any Disk, directory: String, openMax: Int) {
        self.disk = disk
        self.directory = directory
        self.openMax = openMax
    }

    /// `segments/0000002a.seg`.
    func path(_ segment: UInt32) -> String {
        let digits = String(segment, radix: 16)
        return directory + "/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
    }

    /// The id in a segment's file name, or nil for any other name.
    static func id(of name: String) -> UInt32? {
        guard name.utf8.count == 12, name.hasSuffix(".seg"), name.utf8.prefix(8).allSatisfy({ $0 < 0x41 || $0 > 0x5A }) else {
            return nil
        }
        return UInt32(name.prefix(8), radix: 16)
    }

    /// The file of a segment, for reading. It stays open as long as the caller holds it, whatever the cache does.
    func file(_ segment: UInt32) throws(DiskFault) -> any DiskFile {
        let held = open.withLock { open -> (any DiskFile)? in
            open.clock += 1
            guard let file = open.files[segment]?.file else { return nil }
            open.files[segment]?.used = open.clock
            return file
        }
        if let held { return held }
        // Opened outside the lock; when two do so at once, the later one stays in the cache.
        let file = try disk.open(path(segment), writable: false)
        open.withLock { open in
            if open.files.count >= openMax, let oldest = open.files.min(by: { $0.value.used < $1.value.used })?.key {
                open.files[oldest] = nil
            }
            open.files[segment] = (file, open.clock)
        }
        return file
    }

    /// Removes a segment's file. Who reads it still, reads on; its room is free when the last has ended.
    func remove(_ segment: UInt32) throws(DiskFault) {
        do throws(DiskFault) { try disk.remove(path(segment)) } catch .notFound {}
        open.withLock { $0.files[segment] = nil }
    }
}
