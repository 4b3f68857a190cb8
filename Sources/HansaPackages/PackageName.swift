// Which name and version a directory is published under (CLI.md, `package publish`).
public import HansaCore

/// Derives a package's name.
public enum PackageName {
    /// `--name`, else `hansa.package` of the document, else the path below `--base`; throws with a suggestion when the one that
    /// counts is no name.
    ///
    /// Each may be a path or `city/path`; a name that begins with another city is refused, unless an agreement names `city` among that
    /// package's maintainers.
    public static func derive(
        city: CityID, option: String?, declared: String? = nil, directory: String?,
        maintains: (PackageID) -> Bool = { _ in false }
    ) throws(NameFault) -> PackageID {
        if let option { return try package(option, of: city, from: "--name", maintains) }
        if let declared { return try package(declared, of: city, from: "hansa.package in datapackage.json", maintains) }
        guard let directory, !directory.isEmpty else {
            throw NameFault("the directory gives no name: write --name PATH, or hansa.package in datapackage.json")
        }
        return try package(directory, of: city, from: nil, maintains)
    }

    private static func package(
        _ text: String, of city: CityID, from source: String?, _ maintains: (PackageID) -> Bool
    ) throws(NameFault) -> PackageID {
        var path = text[...]
        if source != nil, let slash = text.firstIndex(of: "/"), let first = cityID(text[..<slash]) {
            guard first == city else {
                do throws(NameFault) {
                    let package = try PackageID(city: first, path: text[text.index(after: slash)...])
                    if maintains(package) { return package }
                } catch {
                    throw NameFault("\(source ?? "the name"): \(error.description)", suggestion: error.suggestion)
                }
                throw NameFault(
                    "\(source ?? "the name") names a package of \(first), and this node publishes for \(city)",
                    suggestion: "\(city)/\(text[text.index(after: slash)...])")
            }
            path = text[text.index(after: slash)...]
        }
        do throws(NameFault) { return try PackageID(city: city, path: path) } catch {
            let from = source.map { "\($0): " } ?? "the directory's name: "
            throw NameFault(from + error.description, suggestion: error.suggestion)
        }
    }

    // A first segment counts as a city when its last label is letters: `v1.2/data` is a path.
    private static func cityID(_ text: Substring) -> CityID? {
        guard let last = text.split(separator: ".").last, last.utf8.allSatisfy({ (0x61...0x7A).contains($0) }) else { return nil }
        do throws(NameFault) { return try CityID(text) } catch { return nil }
    }
}

/// Why no version could be chosen.
public enum VersionFault: Error, Sendable, Equatable, CustomStringConvertible {
    case malformed(String)
    case notHigher(given: Version, head: Version)
    case exhausted(head: Version)

    public var description: String {
        switch self {
        case .malformed(let text): "'\(text.printable(charactersMax: 40))' is no version: write MAJOR.MINOR.PATCH, such as 1.2.0"
        case .notHigher(let given, let head): "version \(given) is not higher than \(head), the newest release's"
        case .exhausted(let head): "no version follows \(head) by itself: write --version"
        }
    }
}

/// Chooses a release's version.
public enum VersionChoice {
    /// `given` (`--version`, must be higher than the head's), else the document's own `version` when it is higher than the
    /// head's, else 1.0.0 at first and then the head's with PATCH + 1.
    ///
    /// A `declared` version that is no MAJOR.MINOR.PATCH counts as none; `findings` warns of it.
    public static func choose(given: String?, declared: String?, head: Version?) throws(VersionFault) -> Version {
        if let given {
            guard let version = Version(given) else { throw .malformed(given) }
            if let head, version <= head { throw .notHigher(given: version, head: head) }
            return version
        }
        let declared = declared.flatMap { Version($0) }
        guard let head else { return declared ?? Version(1, 0, 0) }
        if let declared, declared > head { return declared }
        let next = head.nextPatch
        guard next.major <= Version.partMax else { throw .exhausted(head: head) }
        return next
    }
}
