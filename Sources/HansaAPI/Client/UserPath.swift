internal import Glibc
internal import HansaCore

/// Paths as the user typed them, made absolute at the client: the node has another working directory.
public enum UserPath {
    /// Absolute, without `.`, `..` and doubled slashes; links are not resolved and nothing need exist.
    public static func absolute(_ path: String) -> String {
        var components: [Substring] = []
        let whole = path.hasPrefix("/") ? path : workingDirectory + "/" + path
        for component in whole.split(separator: "/") {
            switch component {
            case ".": break
            case "..": _ = components.popLast()
            default: components.append(component)
            }
        }
        return "/" + components.joined(separator: "/")
    }

    /// What realpath(3) says; nil when it does not exist.
    static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(validatingCString: resolved)
    }

    /// Resolves many paths, most of which lie side by side: of a directory whose parent is known only its own name is looked at.
    struct Resolver {
        private var parents: [String: String] = [:]
        private let opened = OpenedParent()
        private static let parentsMax = 4096

        /// As `UserPath.resolved`, but for links that are changed at the same time.
        mutating func resolved(_ path: String) -> String? {
            guard let slash = path.utf8.lastIndex(of: 0x2F) else { return UserPath.resolved(path) }
            let name = path[path.utf8.index(after: slash)...]
            guard slash != path.startIndex, !name.isEmpty, name != ".", name != ".." else { return UserPath.resolved(path) }
            let given = String(path[..<slash])
            if parents[given] == nil {
                if parents.count == Resolver.parentsMax { parents = [:] }
                parents[given] = UserPath.resolved(given)
            }
            guard let parent = parents[given], parent != "/" else { return UserPath.resolved(path) }
            let whole = "\(parent)/\(name)"
            var byte: CChar = 0
            // EINVAL: it is there, and no link. Everything else is for realpath(3) to follow or to refuse.
            guard let (above, last) = opened.parent(of: whole) else { return UserPath.resolved(path) }
            return readlinkat(above, last, &byte, 1) == -1 && errno == EINVAL ? whole : UserPath.resolved(path)
        }
    }

    /// Whether a path, existing or to be made, is this directory or lies in it, by inode: links and bind mounts do not hide it.
    static func lies(_ path: String, in directory: String) -> Bool {
        var wanted = stat()
        guard stat(directory, &wanted) == 0 else { return false }
        var existing = absolute(path)
        while resolved(existing) == nil, existing != "/" { existing = parent(of: existing) }
        guard var current = resolved(existing) else { return false }
        while true {
            var status = stat()
            if stat(current, &status) == 0, status.st_dev == wanted.st_dev, status.st_ino == wanted.st_ino { return true }
            if current == "/" { return false }
            current = parent(of: current)
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: 0x2F), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    private static var workingDirectory: String {
        guard let current = getcwd(nil, 0) else { return "" }
        defer { free(current) }
        return String(cString: current)
    }
}
