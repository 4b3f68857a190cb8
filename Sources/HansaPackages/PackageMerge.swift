// Two versions of a package become one, file by file, against the version that both came from (SYNC.md §4). What both sides changed is merged as
// a table where it is one (`TableMerge`); the descriptor is merged member by member, and its resources one by one.
internal import HansaCore

public struct PackageMerge: Sendable {
    /// Where a file of the result comes from.
    public enum Choice: Sendable {
        case ours(FileDigest)
        case theirs(FileDigest)
        /// Both changed it. Where it cannot be merged as a table it is a conflict, and ours stays.
        case table(Tables)
    }

    public struct Tables: Sendable {
        public let base: FileDigest?
        public let ours: FileDigest
        public let theirs: FileDigest
        public let options: TableMergeOptions
    }

    public struct File: Sendable {
        public let path: String
        public let choice: Choice
    }

    /// What a person must decide about a whole file, or the descriptor.
    public struct Conflict: Sendable, Equatable {
        public enum Kind: String, Sendable {
            /// Both sides changed a file that is no table.
            case bothChanged = "both-changed"
            case deletedByOurs = "deleted-by-ours"
            case deletedByTheirs = "deleted-by-theirs"
            /// Both sides changed this member of the descriptor.
            case metadata
        }
        public let kind: Kind
        /// A file's path, or a place in the descriptor.
        public let place: String
    }

    /// In order of path.
    public let files: [File]
    public let conflicts: [Conflict]
    /// `datapackage.json` as it stands in a directory: paths without `data/`, without what follows from the files.
    public let document: [UInt8]

    /// `base` is nil where the two have no common ancestor.
    public init(base: PackageVersion?, ours: PackageVersion, theirs: PackageVersion) {
        var conflicts: [Conflict] = []
        var files: [File] = []
        let (b, o, t) = (Sides.files(base), Sides.files(ours), Sides.files(theirs))
        let resources = (Sides.resources(base), Sides.resources(ours), Sides.resources(theirs))
        for path in Set(o.keys).union(t.keys).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            switch (b[path], o[path], t[path]) {
            case (_, let our?, let their?) where our.digest == their.digest: files.append(File(path: path, choice: .ours(our)))
            case (let old?, let our?, let their?) where their.digest == old.digest && our.digest != their.digest:
                files.append(File(path: path, choice: .ours(our)))
            case (let old?, let our?, let their?) where our.digest == old.digest && our.digest != their.digest:
                files.append(File(path: path, choice: .theirs(their)))
            case (let old, let our?, let their?):
                guard MediaType(path: path)?.isDelimitedText == true else {
                    conflicts.append(Conflict(kind: .bothChanged, place: path))
                    files.append(File(path: path, choice: .ours(our)))
                    continue
                }
                var options = TableMergeOptions(key: Sides.key(resources.1[path]) ?? Sides.key(resources.2[path]))
                options.delimiters = (
                    Sides.delimiter(resources.0[path], path), Sides.delimiter(resources.1[path], path),
                    Sides.delimiter(resources.2[path], path)
                )
                files.append(File(path: path, choice: .table(Tables(base: old, ours: our, theirs: their, options: options))))
            case (nil, let our?, nil): files.append(File(path: path, choice: .ours(our)))
            case (nil, nil, let their?): files.append(File(path: path, choice: .theirs(their)))
            case (let old?, let our?, nil):
                // Theirs deleted it; what we changed since stays until a person has decided.
                guard our.digest != old.digest else { continue }
                conflicts.append(Conflict(kind: .deletedByTheirs, place: path))
                files.append(File(path: path, choice: .ours(our)))
            case (let old?, nil, let their?):
                if their.digest != old.digest { conflicts.append(Conflict(kind: .deletedByOurs, place: path)) }
            case (_, nil, nil): continue
            }
        }
        self.files = files
        document = Sides.document(base, ours, theirs, files: Set(files.map(\.path)), &conflicts)
        self.conflicts = conflicts
    }
}

/// How the three sides are read.
private enum Sides {
    static func files(_ version: PackageVersion?) -> [String: FileDigest] {
        Dictionary((version?.files ?? []).map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// By path, without what follows from the file.
    static func resources(_ version: PackageVersion?) -> [String: JSONValue] {
        var resources: [String: JSONValue] = [:]
        for resource in version?.document["resources"]?.array ?? [] {
            guard let path = resource["path"]?.string else { continue }
            resources[path] = .object((resource.object ?? []).filter { $0.name != "bytes" && $0.name != "hash" })
        }
        return resources
    }

    static func key(_ resource: JSONValue?) -> [String]? {
        let key = resource?["schema"]?["primaryKey"]
        return key?.string.map { [$0] } ?? key?.array?.compactMap(\.string)
    }

    static func delimiter(_ resource: JSONValue?, _ path: String) -> UInt8? {
        if let said = resource?["dialect"]?["delimiter"]?.string?.utf8.first, TableInference.isDelimiter(said) { return said }
        return MediaType(path: path).map { $0.format != "csv" && $0.isDelimitedText } == true ? 0x09 : nil
    }

    /// One value of three; nil ours and theirs: gone.
    private static func pick(_ base: JSONValue?, _ ours: JSONValue?, _ theirs: JSONValue?) -> (
        value: JSONValue?, isConflict: Bool
    ) {
        let (b, o, t) = (base?.sortedByName(), ours?.sortedByName(), theirs?.sortedByName())
        if o == t || t == b { return (ours, false) }
        if o == b { return (theirs, false) }
        return (ours ?? theirs, true)
    }

    static func document(
        _ base: PackageVersion?, _ ours: PackageVersion, _ theirs: PackageVersion, files: Set<String>,
        _ conflicts: inout [PackageMerge.Conflict]
    ) -> [UInt8] {
        // The number is chosen when the merge is published; what names the package is asked for then.
        let computed: Set<String> = ["version", "resources", "$schema", "created"]
        var members: [JSONMember] = []
        var names = ours.document.root.map(\.name)
        names += theirs.document.root.map(\.name).filter { !names.contains($0) }
        for name in names where !computed.contains(name) {
            let picked = pick(base?.document[name], ours.document[name], theirs.document[name])
            if picked.isConflict { conflicts.append(.init(kind: .metadata, place: "datapackage.json: \(name)")) }
            if let value = picked.value { members.append(JSONMember(name, value)) }
        }
        let (b, o, t) = (resources(base), resources(ours), resources(theirs))
        func paths(_ version: PackageVersion) -> [String] {
            (version.document["resources"]?.array ?? []).compactMap { $0["path"]?.string }
        }
        var order = paths(ours)
        order += paths(theirs).filter { !order.contains($0) }
        var merged: [JSONValue] = []
        for path in order where files.contains(path) {
            let picked = pick(b[path], o[path], t[path])
            if picked.isConflict { conflicts.append(.init(kind: .metadata, place: "datapackage.json: resource \(path)")) }
            // Of a file that stays, the description stays.
            if let value = picked.value ?? o[path] ?? t[path] { merged.append(value) }
        }
        members.append(JSONMember("resources", .array(merged)))
        return JSONValue.object(members).serialized(pretty: true)
    }
}
