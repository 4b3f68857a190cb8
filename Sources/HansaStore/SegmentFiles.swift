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

    // MARK: - A disk that fails

    /// Whether the disk still gives something of our files, when it has just refused a place in `segment`.
    ///
    /// One sector that is dead is damage of what lies in it, to be noted and healed. A disk that gives nothing any more says nothing of what it holds: to
    /// note everything as damaged would fetch a whole store anew over a cable that came loose.
    func answers(besides segment: UInt32) -> Bool {
        guard let names = try? disk.list(directory) else { return false }
        let others = names.compactMap(SegmentFiles.id).filter { $0 != segment }
        // The newest, the oldest, and the file itself, each at its first page.
        return (others.suffix(2) + others.prefix(1) + [segment]).contains { id in
            guard let file = try? file(id) else { return false }
            file.forget(0, SegmentFiles.pageBytes)
            return (try? file.read(at: 0, 1))?.isEmpty == false
        }
    }

    /// Reads for somebody who checks every byte: where the disk gives nothing there are zeros, so that one dead sector hides no neighbours.
    func readAround(_ file: any DiskFile, of segment: UInt32, at offset: UInt64, _ count: Int) throws(DiskFault) -> [UInt8] {
        do throws(DiskFault) { return try file.read(at: offset, count) } catch {
            guard error.isUnreadable, answers(besides: segment) else { throw error }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        var failedInTurn = 0
        while bytes.count < count {
            let at = offset + UInt64(bytes.count)
            let step = min(Int(SegmentFiles.pageBytes - at % SegmentFiles.pageBytes), count - bytes.count)
            // Each attempt may take the disk seconds: of a long dead stretch the rest is not asked for.
            guard failedInTurn < SegmentFiles.failedInTurnMax else {
                bytes += repeatElement(0, count: step)
                continue
            }
            do throws(DiskFault) {
                let part = try file.read(at: at, step)
                bytes += part
                failedInTurn = 0
                if part.count < step { break }
            } catch {
                guard error.isUnreadable else { throw error }
                bytes += repeatElement(0, count: step)
                failedInTurn += 1
            }
        }
        return bytes
    }

    private static let pageBytes: UInt64 = 4096
    private static let failedInTurnMax = 16

    /// Removes a segment's file. Who reads it still, reads on; its room is free when the last has ended.
    func remove(_ segment: UInt32) throws(DiskFault) {
        do throws(DiskFault) { try disk.remove(path(segment)) } catch .notFound {}
        open.withLock { $0.files[segment] = nil }
    }
}
