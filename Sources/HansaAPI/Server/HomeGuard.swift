// `keys/` and the home are never publishable (DESIGN.md §5), however a path is spelled: inodes are compared, not names.
internal import Glibc
internal import HansaCore
internal import HansaNode

struct HomeGuard: Sendable {
    private struct Inode: Hashable, Sendable {
        let device: UInt64
        let number: UInt64
    }

    private let home: String
    private let places: Set<Inode>
    private let secrets: Set<Inode>

    init(home: String) {
        self.home = home
        var places: Set<Inode> = []
        var secrets: Set<Inode> = []
        for directory in ["", "/keys"] { if let inode = HomeGuard.inode(home + directory) { places.insert(inode) } }
        if let keys = opendir(home + "/keys") {
            while let entry = readdir(keys) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                guard name != ".", name != "..", let inode = HomeGuard.inode(home + "/keys/" + name) else { continue }
                secrets.insert(inode)
            }
            closedir(keys)
        }
        for name in ["hansa.yaml", "hansa.sqlite", "hansa.sqlite-wal", "hansa.sqlite-shm"] {
            if let inode = HomeGuard.inode(home + "/" + name) { secrets.insert(inode) }
        }
        self.places = places
        self.secrets = secrets
    }

    /// Refuses a directory that is the home, lies in it, or holds it.
    func check(_ listing: DirectoryListing) throws(Problem) {
        let inside = listing.path == home || listing.path.hasPrefix(home + "/")
        let holds = listing.entries.contains {
            $0.kind == .directory && places.contains(Inode(device: $0.device, number: $0.inode))
        }
        guard !inside, !holds else {
            throw Problem(
                .fileUnsafe,
                "\(listing.path.printable()) \(inside ? "lies in" : "holds") the home of this node or a part of it, which is never published"
            )
        }
    }

    /// Refuses a file that is one of the keys, also by a hard link.
    func check(_ status: stat, path: String) throws(Problem) {
        guard !secrets.contains(Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))) else {
            throw Problem(
                .fileUnsafe,
                "\(path.printable()) is a key of this node, or its configuration or database, which are never published")
        }
    }

    private static func inode(_ path: String) -> Inode? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
    }
}
