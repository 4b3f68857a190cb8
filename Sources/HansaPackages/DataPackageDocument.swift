internal import Foundation
// `datapackage.json` (Data Package v2): read, checked, inferred, completed.
//
// A document in a directory names its files relative to the directory; in the bag the same document stands with `data/` before
// each path, with the digest and size of every file and the release's version. Whatever we do not know is kept.
public import HansaCore

/// Why bytes are no `datapackage.json` at all, or why one cannot be published.
public enum DataPackageFault: Error, Sendable, Equatable, CustomStringConvertible {
    case json(JSONFault)
    case notObject
    /// What `findings` calls errors, at least one.
    case invalid([DataPackageFinding])
    case comesLater(PackageKind)
    case nothingToPublish
    case tooLarge(bytesMax: Int)

    public var description: String {
        switch self {
        case .json(let fault): "datapackage.json is no JSON that we accept: \(fault)"
        case .notObject: "datapackage.json holds no object"
        case .invalid(let findings):
            "datapackage.json: \(findings.first?.description ?? "invalid")"
                + (findings.count > 1 ? " (and \(findings.count - 1) more; hansa package check lists them)" : "")
        case .comesLater(let kind):
            "packages of kind \(kind.rawValue) come with a later issue; for now only datasets can be made and published"
        case .nothingToPublish: "the directory holds no file to publish"
        case .tooLarge(let bytesMax): "datapackage.json would be larger than \(bytesMax) bytes"
        }
    }
}

/// One thing that is wrong with a `datapackage.json`, or could be better.
public struct DataPackageFinding: Sendable, Equatable, CustomStringConvertible {
    public enum Severity: String, Sendable { case error, warning }

    public let severity: Severity
    /// Where: a path of member names and indexes such as `resources[0].schema.fields[2].name`.
    public let place: String
    public let message: String

    public init(_ severity: Severity, _ place: String, _ message: String) {
        self.severity = severity
        self.place = place
        self.message = message
    }

    public var description: String { "\(place): \(message)" }
}

/// A Data Package v2 descriptor.
public struct DataPackageDocument: Sendable, Equatable {
    /// Where its paths start: at the directory itself, or at the bag with `data/` before each.
    public enum Placement: Sendable { case directory, bag }

    public static let fileName = "datapackage.json"
    public static let profile = "https://datapackage.org/profiles/2.0/datapackage.json"
    public static let specVersion: Int64 = 1
    public static let bytesMax = 64 * 1024 * 1024
    /// An inferred document names at most this many files; the rest is payload all the same.
    public static let resourcesInferredMax = 10_000

    /// The whole document; paths as in a directory. Members that we know come in a fixed order, the others sorted.
    public private(set) var root: [JSONMember]
    /// Made by `inferred`: right and in order as it is, so that `completed` need not check and sort it (small packages are many).
    private let isInferred: Bool

    init(inferred root: [JSONMember]) {
        self.root = root
        isInferred = true
    }

    /// Reads a document: JSON only; `findings` says what is wrong with its content.
    ///
    /// In a bag every resource's path must begin with `data/`; it is taken off, and put back by `completed`.
    public init(reading bytes: [UInt8], placement: Placement = .directory) throws(DataPackageFault) {
        do throws(JSONFault) {
            try StrictJSON.check(bytes, bytesMax: DataPackageDocument.bytesMax, integersOnly: false)
        } catch { throw .json(error) }
        let value: JSONValue
        do { value = try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) } catch {
            // The scanner has passed the grammar; what is left are numbers beyond a double's range. Foundation's own words help nobody.
            let place = (error as? DecodingError).flatMap(DataPackageDocument.place) ?? ""
            throw .json(JSONFault(.shape("a number out of range\(place)"), at: 0))
        }
        guard let members = value.object else { throw .notObject }
        root = members
        isInferred = false
        if placement == .bag { try takeOffBagPrefix() }
    }

    private static func place(of error: DecodingError) -> String? {
        guard case .dataCorrupted(let context) = error, !context.codingPath.isEmpty else { return nil }
        return " at "
            + context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue.printable(charactersMax: 60) }.joined(
                separator: ".")
    }

    public static func == (left: DataPackageDocument, right: DataPackageDocument) -> Bool { left.root == right.root }

    public subscript(name: String) -> JSONValue? { root.first { $0.name == name }?.value }

    /// `title`, for the release.
    public var title: String? { self["title"]?.string }
    /// `version` as written, valid or not.
    public var version: String? { self["version"]?.string }
    /// `hansa.package`, as written: where the package wants to be published.
    public var package: String? { self["hansa"]?["package"]?.string }
    /// `hansa.kind`; a document that does not say is a dataset. Nil for a kind we do not know.
    public var kind: PackageKind? {
        guard let kind = self["hansa"]?["kind"] else { return .dataset }
        return kind.string.flatMap(PackageKind.init(rawValue:))
    }
    /// The paths that resources name, in order; multi-part resources give several.
    public var resourcePaths: [String] {
        (self["resources"]?.array ?? []).flatMap { resource in
            resource["path"]?.string.map { [$0] } ?? resource["path"]?.array?.compactMap(\.string) ?? []
        }
    }

    /// The document as it stands in a directory: pretty, ending in a line feed. The same document gives the same bytes.
    public var bytes: [UInt8] { JSONValue.object(MemberOrder.ordered(root)).serialized(pretty: true) }

    // MARK: Into the bag

    /// The document as it stands in the bag: each path with `data/` before it, each single file's `bytes` and `hash`, and
    /// `version` when one is given. Pretty, ending in a line feed; the same input gives the same bytes.
    ///
    /// `files` are the payload's, without `data/`. Files that no resource names stay payload. Throws `.invalid` when a finding
    /// is an error, `.comesLater` for kinds other than dataset.
    public func completed(files: [FileDigest], version: Version? = nil) throws(DataPackageFault) -> [UInt8] {
        if let kind, kind != .dataset { throw .comesLater(kind) }
        guard !files.isEmpty else { throw .nothingToPublish }
        let known = FileIndex(files)
        let resources = self["resources"]?.array ?? []
        if !isInferred || resources.contains(where: { $0["path"]?.string.map { known[$0] == nil } ?? true }) {
            let errors = DataPackageCheck(self, files: known).findings.filter { $0.severity == .error }
            guard errors.isEmpty else { throw .invalid(errors) }
        }
        var members = root
        if self["$schema"] == nil { members.append(JSONMember("$schema", .string(DataPackageDocument.profile))) }
        if let version { members.set("version", .string(version.description)) }
        if !isInferred { members.set("hansa", completedHansa()) }
        members.set("resources", .array(resources.map { DataPackageDocument.completed($0, known) }))
        let ordered = isInferred ? MemberOrder.orderedTop(members) : MemberOrder.ordered(members)
        let bytes = JSONValue.object(ordered).serialized(pretty: true)
        guard bytes.count <= DataPackageDocument.bytesMax else { throw .tooLarge(bytesMax: DataPackageDocument.bytesMax) }
        return bytes
    }

    private func completedHansa() -> JSONValue {
        var hansa = self["hansa"]?.object ?? []
        if !hansa.contains(where: { $0.name == "specVersion" }) {
            hansa.insert(JSONMember("specVersion", .integer(DataPackageDocument.specVersion)), at: 0)
        }
        if !hansa.contains(where: { $0.name == "kind" }) {
            hansa.append(JSONMember("kind", .string(PackageKind.dataset.rawValue)))
        }
        return .object(hansa)
    }

    private static func completed(_ resource: JSONValue, _ files: FileIndex) -> JSONValue {
        var members = resource.object ?? []
        if let path = resource["path"]?.string, let file = files[path] {
            members.set("path", .string("data/" + path))
            members.set("bytes", JSONValue(file.size))
            members.set("hash", JSONValue(file.digest), after: "bytes")
        } else if let paths = resource["path"]?.array {
            members.set("path", .array(paths.map { .string("data/" + ($0.string ?? "")) }))
            // The manifest holds each part's digest; one hash over several files is defined nowhere.
            members.removeAll { $0.name == "bytes" || $0.name == "hash" }
        }
        for name in ["schema", "dialect"] {
            // Either may be the path of a file of the package instead of an object.
            if let path = resource[name]?.string, files[path] != nil { members.set(name, .string("data/" + path)) }
        }
        if var schema = resource["schema"]?.object, let key = resource["schema"]?["primaryKey"]?.string {
            schema.set("primaryKey", .array([.string(key)]))
            members.set("schema", .object(schema))
        }
        return .object(members)
    }

    private mutating func takeOffBagPrefix() throws(DataPackageFault) {
        guard let resources = self["resources"]?.array else { return }
        var findings: [DataPackageFinding] = []
        let prefix = "data/"
        func stripped(_ value: JSONValue, _ place: String) -> JSONValue {
            guard let path = value.string else { return value }
            guard path.hasPrefix(prefix) else {
                findings.append(DataPackageFinding(.error, place, "in a bag the path of a resource begins with data/"))
                return value
            }
            return .string(String(path.dropFirst(prefix.count)))
        }
        let bare = resources.enumerated().map { index, resource -> JSONValue in
            guard var members = resource.object else { return resource }
            let place = "resources[\(index)].path"
            if let paths = resource["path"]?.array {
                members.set("path", .array(paths.map { stripped($0, place) }))
            } else if let path = resource["path"] {
                members.set("path", stripped(path, place))
            }
            for name in ["schema", "dialect"] {
                if let path = resource[name]?.string, path.hasPrefix(prefix) {
                    members.set(name, .string(String(path.dropFirst(prefix.count))))
                }
            }
            return .object(members)
        }
        guard findings.isEmpty else { throw .invalid(findings) }
        root.set("resources", .array(bare))
    }
}

/// The payload's files by path.
struct FileIndex {
    let files: [FileDigest]
    private let byPath: [String: Int]

    init(_ files: [FileDigest]) {
        self.files = files
        byPath = Dictionary(files.enumerated().map { ($1.path, $0) }, uniquingKeysWith: { first, _ in first })
    }

    // Strings compare by canonical equivalence; a path is its bytes.
    subscript(path: String) -> FileDigest? {
        byPath[path].map { files[$0] }.flatMap { $0.path.utf8.elementsEqual(path.utf8) ? $0 : nil }
    }
}

extension [JSONMember] {
    /// Replaces the member of that name where it stands, or adds it behind `neighbour`, or at the end.
    mutating func set(_ name: String, _ value: JSONValue, after neighbour: String? = nil) {
        if let index = firstIndex(where: { $0.name == name }) {
            self[index] = JSONMember(name, value)
        } else {
            let index = neighbour.flatMap { neighbour in firstIndex { $0.name == neighbour } }
            insert(JSONMember(name, value), at: index.map { $0 + 1 } ?? count)
        }
    }
}

/// The order in which a descriptor's members are written: what a reader looks for first comes first, long lists last.
enum MemberOrder {
    private static let package = [
        "$schema", "profile", "name", "id", "title", "description", "homepage", "version", "created", "licenses", "contributors",
        "keywords", "image", "sources", "hansa",
    ]
    private static let resource = [
        "name", "type", "path", "data", "title", "description", "homepage", "format", "mediatype", "encoding", "bytes", "hash",
        "licenses", "sources", "dialect",
    ]
    private static let schema = ["$schema", "fields", "primaryKey", "uniqueKeys", "foreignKeys", "missingValues"]
    private static let field = ["name", "type", "format", "title", "description", "constraints", "missingValues"]
    private static let hansa = ["specVersion", "kind", "package"]

    static func orderedTop(_ members: [JSONMember]) -> [JSONMember] { sorted(members, package, last: "resources") }

    static func ordered(_ members: [JSONMember]) -> [JSONMember] {
        orderedTop(members).map { member in
            switch member.name {
            case "resources": JSONMember(member.name, mapItems(member.value, orderedResource))
            case "hansa": JSONMember(member.name, mapObject(member.value) { sorted($0, hansa) })
            default: member
            }
        }
    }

    private static func orderedResource(_ value: JSONValue) -> JSONValue {
        mapObject(value) { members in
            sorted(members, resource, last: "schema").map { member in
                guard member.name == "schema" else { return member }
                return JSONMember(
                    "schema",
                    mapObject(member.value) { members in
                        sorted(members, schema).map { member in
                            guard member.name == "fields" else { return member }
                            return JSONMember("fields", mapItems(member.value) { mapObject($0) { sorted($0, field) } })
                        }
                    })
            }
        }
    }

    private static func mapItems(_ value: JSONValue, _ body: (JSONValue) -> JSONValue) -> JSONValue {
        value.array.map { .array($0.map(body)) } ?? value
    }

    private static func mapObject(_ value: JSONValue, _ body: ([JSONMember]) -> [JSONMember]) -> JSONValue {
        value.object.map { .object(body($0)) } ?? value
    }

    private static func sorted(_ members: [JSONMember], _ known: [String], last: String? = nil) -> [JSONMember] {
        let ranked = members.map { member in
            (rank: member.name == last ? known.count + 1 : known.firstIndex(of: member.name) ?? known.count, member: member)
        }
        let isSorted = zip(ranked, ranked.dropFirst()).allSatisfy { precedes($0, $1) }
        return isSorted ? members : ranked.sorted(by: precedes).map(\.member)
    }

    private static func precedes(_ left: (rank: Int, member: JSONMember), _ right: (rank: Int, member: JSONMember)) -> Bool {
        left.rank != right.rank
            ? left.rank < right.rank : left.member.name.utf8.lexicographicallyPrecedes(right.member.name.utf8)
    }
}
