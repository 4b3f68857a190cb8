// Where the home of the node is (CLI.md §15).
internal import Glibc

public enum HomeLocation {
    public static let systemHome = "/var/lib/hansa"

    /// `--home`, else `HANSA_HOME`, else `/var/lib/hansa` when a node's socket is there or we own it, else the XDG data directory. Absolute.
    public static func find(option: String?, environment: [String: String]) -> String {
        find(option: option, environment: environment, systemHome: systemHome)
    }

    static func find(option: String?, environment: [String: String], systemHome: String) -> String {
        for given in [option, environment["HANSA_HOME"]] {
            if let given, !given.isEmpty { return UserPath.absolute(given) }
        }
        var status = stat()
        if lstat(systemHome + "/run/hansa.sock", &status) == 0 { return systemHome }
        if lstat(systemHome, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() { return systemHome }
        // The XDG specification ignores a relative path.
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return UserPath.absolute(data + "/hansa") }
        return UserPath.absolute((environment["HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "/") + "/.local/share/hansa")
    }
}
