// What changed between two versions of a package, and which part of the version number says so.
//
// The recipe is Data Package's (FORMATS.md §7): MAJOR when fields are added, removed, reordered or retyped, or resources are removed; MINOR when
// rows or resources are added; PATCH when errors are corrected.
public import HansaCore

/// One version of a package: its descriptor, paths as in a directory, and its payload.
public struct PackageVersion: Sendable {
    public let document: DataPackageDocument
    /// Without `data/`.
    public let files: [FileDigest]

    public init(document: DataPackageDocument, files: [FileDigest]) {
        self.document = document
        self.files = files
    }
}

/// The part of a version number that a change asks for.
public enum VersionBump: String, Sendable, Comparable {
    case none, patch, minor, major

    private var rank: Int {
        switch self {
        case .none: 0
        case .patch: 1
        case .minor: 2
        case .major: 3
        }
    }
    public static func < (left: VersionBump, right: VersionBump) -> Bool { left.rank < right.rank }

    /// The version that follows; where a number is at its end, the next higher part counts on.
    public func following(_ version: Version) -> Version {
        switch self {
        case .none: return version
        case .patch: return version.nextPatch
        case .minor:
            if version.minor < Version.partMax { return Version(version.major, version.minor + 1, 0) }
            return Version(version.major + 1, 0, 0)
        case .major: return Version(version.major + 1, 0, 0)
        }
    }
}

/// The difference of two versions of a package.
public struct PackageDiff: Sendable {
    public enum State: String, Sendable { case added, removed, changed }

    /// How a schema's fields changed.
    public struct Fields: Sendable, Equatable {
        public struct Retyped: Sendable, Equatable {
            public let name: String
            public let before: String
            public let after: String
        }
        public let columns: TableDiff.Columns
        public let retyped: [Retyped]
        /// Nil where it stayed; else both, empty for none.
        public let key: (before: [String], after: [String])?

        public static func == (left: Fields, right: Fields) -> Bool {
            left.columns == right.columns && left.retyped == right.retyped && left.key?.before == right.key?.before
                && left.key?.after == right.key?.after
        }

        public var isEmpty: Bool { columns.isEmpty && retyped.isEmpty && key == nil }
    }

    public struct Resource: Sendable {
        /// As the descriptor calls it, or its path.
        public let name: String
        public let path: String
        public let state: State
        public let before: FileDigest?
        public let after: FileDigest?
        public let fields: Fields?
        /// For tables whose bytes changed.
        public let table: TableDiff?
        /// Why it could not be compared as a table.
        public let fault: TableCompareFault?
    }

    /// Two tables to compare.
    public struct TablePair: Sendable {
        public let before: FileDigest
        public let after: FileDigest
        public let key: [String]?
        public let delimiters: (UInt8?, UInt8?)
    }

    /// In the order of the newer descriptor, then of what was removed.
    public let resources: [Resource]
    public let unchanged: Int
    /// Something else in the descriptor changed.
    public let metadataChanged: Bool
    public let bump: VersionBump
    /// Why, the weightiest first.
    public let reasons: [(bump: VersionBump, text: String)]

    public var isEmpty: Bool { resources.isEmpty && !metadataChanged }

    /// Compares `before` with `after`; `compare` is asked for each table whose bytes changed. What it throws goes through, but for
    /// `TableCompareFault`: such a file is compared as a whole.
    public init(
        from before: PackageVersion, to after: PackageVersion, tables compare: (TablePair) throws -> TableDiff
    ) throws {
        let old = Items(before)
        let new = Items(after)
        var resources: [Resource] = []
        var unchanged = 0
        var reasons: [(VersionBump, String)] = []
        var described = false
        var matched: Set<Int> = []
        for item in new.all {
            guard let place = old.match(item) else {
                resources.append(
                    Resource(
                        name: item.name, path: item.file.path, state: .added, before: nil, after: item.file, fields: nil,
                        table: nil,
                        fault: nil))
                reasons.append((.minor, "\(item.label) is new"))
                continue
            }
            matched.insert(place)
            let was = old.all[place]
            let change = try PackageDiff.change(was, item, compare)
            if was.description != item.description { described = true }
            guard let change else {
                unchanged += 1
                continue
            }
            resources.append(change)
            reasons += PackageDiff.reasons(for: change, item.label)
        }
        for (index, item) in old.all.enumerated() where !matched.contains(index) {
            resources.append(
                Resource(
                    name: item.name, path: item.file.path, state: .removed, before: item.file, after: nil, fields: nil,
                    table: nil,
                    fault: nil))
            reasons.append((.major, "\(item.label) is gone"))
        }
        metadataChanged = described || PackageDiff.metadata(before.document) != PackageDiff.metadata(after.document)
        if metadataChanged { reasons.append((.patch, "the description changed")) }
        self.resources = resources
        self.unchanged = unchanged
        bump = reasons.map(\.0).max() ?? .none
        self.reasons = [VersionBump.major, .minor, .patch].flatMap { bump in reasons.filter { $0.0 == bump } }
    }

    // What says nothing of the data: numbers and lists that follow from the files.
    private static func metadata(_ document: DataPackageDocument) -> JSONValue {
        JSONValue.object(document.root.filter { !["version", "resources", "$schema", "created"].contains($0.name) })
            .sortedByName()
    }

    private static func change(_ was: Item, _ item: Item, _ compare: (TablePair) throws -> TableDiff) throws -> Resource? {
        let fields = fields(was.schema, item.schema)
        let sameBytes = was.file.digest == item.file.digest
        let moved = !was.file.path.utf8.elementsEqual(item.file.path.utf8)
        if sameBytes, !moved, fields?.isEmpty ?? true { return nil }
        var table: TableDiff?
        var fault: TableCompareFault?
        if !sameBytes, was.isTable, item.isTable {
            let key = item.key.isEmpty ? was.key : item.key
            do {
                table = try compare(
                    TablePair(
                        before: was.file, after: item.file, key: key.isEmpty ? nil : key,
                        delimiters: (was.delimiter, item.delimiter)))
            } catch let error as TableCompareFault {
                fault = error
            }
        }
        return Resource(
            name: item.name, path: item.file.path, state: .changed, before: was.file, after: item.file,
            fields: fields.flatMap { $0.isEmpty ? nil : $0 }, table: table, fault: fault)
    }

    /// Nil unless both have a schema with fields.
    private static func fields(_ before: JSONValue?, _ after: JSONValue?) -> Fields? {
        guard let old = before?["fields"]?.array, let new = after?["fields"]?.array else { return nil }
        func name(_ field: JSONValue) -> String { field["name"]?.string ?? "" }
        func type(_ field: JSONValue) -> String {
            let type = field["type"]?.string ?? "any"
            guard let format = field["format"]?.string, format != "default" else { return type }
            return "\(type) (\(format))"
        }
        let types = Dictionary(old.map { (name($0), type($0)) }, uniquingKeysWith: { first, _ in first })
        let retyped = new.compactMap { field -> Fields.Retyped? in
            guard let was = types[name(field)], was != type(field) else { return nil }
            return Fields.Retyped(name: name(field), before: was, after: type(field))
        }
        let keys = (Item.key(before), Item.key(after))
        return Fields(
            columns: TableDiff.Columns(before: old.map(name), after: new.map(name)), retyped: retyped,
            key: keys.0 == keys.1 ? nil : keys)
    }

    private static func reasons(for change: Resource, _ label: String) -> [(VersionBump, String)] {
        var reasons: [(VersionBump, String)] = []
        func list(_ names: [String]) -> String {
            names.prefix(5).map { $0.printable(charactersMax: 60) }.joined(separator: ", ") + (names.count > 5 ? ", …" : "")
        }
        let columns = change.fields?.columns ?? change.table?.columns
        if let columns {
            if !columns.added.isEmpty { reasons.append((.major, "\(label): fields added: \(list(columns.added))")) }
            if !columns.removed.isEmpty { reasons.append((.major, "\(label): fields removed: \(list(columns.removed))")) }
            if columns.reordered { reasons.append((.major, "\(label): fields stand in another order")) }
        }
        if let fields = change.fields {
            for field in fields.retyped.prefix(5) {
                reasons.append(
                    (.major, "\(label): \(field.name.printable(charactersMax: 60)) was \(field.before), is \(field.after)"))
            }
            if let key = fields.key, !key.before.isEmpty { reasons.append((.major, "\(label): the primary key changed")) }
        }
        if let before = change.before, let after = change.after, !before.path.utf8.elementsEqual(after.path.utf8) {
            reasons.append((.major, "\(label): its path was \(before.path.printable(charactersMax: 200))"))
        }
        if let table = change.table {
            if table.added > 0 { reasons.append((.minor, "\(label): \(table.added) rows added")) }
            if table.removed > 0 { reasons.append((.patch, "\(label): \(table.removed) rows removed")) }
            if table.changed > 0 { reasons.append((.patch, "\(label): \(table.changed) rows changed")) }
        }
        if reasons.isEmpty { reasons.append((.patch, "\(label) changed")) }
        return reasons
    }
}

/// A payload file with what its descriptor says of it.
private struct Item {
    let name: String
    let isNamed: Bool
    let file: FileDigest
    let schema: JSONValue?
    let delimiter: UInt8?
    /// All else that is said of it.
    let description: JSONValue?

    var label: String { name.printable(charactersMax: 120) }
    var isTable: Bool { MediaType(path: file.path)?.isDelimitedText ?? false }
    var key: [String] { Item.key(schema) }

    static func key(_ schema: JSONValue?) -> [String] {
        schema?["primaryKey"]?.string.map { [$0] } ?? schema?["primaryKey"]?.array?.compactMap(\.string) ?? []
    }
}

private struct Items {
    let all: [Item]
    private let byName: [String: Int]
    private let byPath: [String: Int]

    init(_ version: PackageVersion) {
        let files = FileIndex(version.files)
        var items: [Item] = []
        var taken: Set<String> = []
        for resource in version.document["resources"]?.array ?? [] {
            guard let path = resource["path"]?.string, let file = files[path], taken.insert(path).inserted else { continue }
            let said = (resource.object ?? []).filter { !["path", "bytes", "hash", "schema", "name"].contains($0.name) }
            let schema = resource["schema"]
            let rest = (schema?.object ?? []).filter { !["fields", "primaryKey"].contains($0.name) }
            let delimiter = resource["dialect"]?["delimiter"]?.string?.utf8.first
            items.append(
                Item(
                    name: resource["name"]?.string ?? path, isNamed: true, file: file, schema: schema,
                    delimiter: delimiter.flatMap { TableInference.isDelimiter($0) ? $0 : nil }
                        ?? (MediaType(path: path).map { $0.format != "csv" && $0.isDelimitedText } == true ? 0x09 : nil),
                    description: JSONValue.object(said + [JSONMember("schema", .object(rest))]).sortedByName()))
        }
        for file in version.files where !taken.contains(file.path) {
            items.append(Item(name: file.path, isNamed: false, file: file, schema: nil, delimiter: nil, description: nil))
        }
        all = items
        byName = Dictionary(
            items.enumerated().filter(\.element.isNamed).map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        byPath = Dictionary(items.enumerated().map { ($1.file.path, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The item here that `item` of the other version was or became: by name where both have one, else by path.
    func match(_ item: Item) -> Int? {
        if item.isNamed, let place = byName[item.name] { return place }
        return byPath[item.file.path].flatMap { all[$0].isNamed && item.isNamed ? nil : $0 }
    }
}

extension TableInference {
    /// What `CSVReader` takes as a delimiter.
    static func isDelimiter(_ byte: UInt8) -> Bool {
        byte < 0x80 && byte != 0 && byte != Byte.quote && byte != Byte.carriageReturn && byte != Byte.lineFeed
    }
}
