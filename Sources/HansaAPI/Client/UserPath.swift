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

    private static var workingDirectory: String {
        guard let current = getcwd(nil, 0) else { return "" }
        defer { free(current) }
        return String(cString: current)
    }
}
