// What is wrong with a `datapackage.json` (FORMATS: Data Package v2, Data Resource v2, Table Schema v2).
internal import HansaCore

extension DataPackageDocument {
    /// Everything that is wrong or could be better, in the order of the document. Errors keep it from being published.
    ///
    /// With `files`, the payload's without `data/`, resources that name no file are errors with the nearest name, and sizes
    /// that no longer hold are warnings (publishing puts them right).
    public func findings(files: [FileDigest]? = nil) -> [DataPackageFinding] {
        DataPackageCheck(self, files: files.map(FileIndex.init)).findings
    }
}

struct DataPackageCheck {
    private(set) var findings: [DataPackageFinding] = []
    private let files: FileIndex?

    init(_ document: DataPackageDocument, files: FileIndex?) {
        self.files = files
        checkPackage(document)
        if let resources = document["resources"]?.array { checkResources(resources) }
    }

    private mutating func error(_ place: String, _ message: String) {
        findings.append(DataPackageFinding(.error, place, message))
    }
    private mutating func warning(_ place: String, _ message: String) {
        findings.append(DataPackageFinding(.warning, place, message))
    }

    private mutating func checkPackage(_ document: DataPackageDocument) {
        for name in ["$schema", "name", "id", "title", "description", "homepage", "version", "created", "image"] {
            if let value = document[name], value.string == nil { error(name, "is no text") }
        }
        for name in ["licenses", "contributors", "keywords", "sources"] {
            if let value = document[name], value.array == nil { error(name, "is no array") }
        }
        if let version = document.version, Version(version) == nil {
            warning(
                "version", "'\(version.printable(charactersMax: 40))' is not MAJOR.MINOR.PATCH, so releases do not take it over")
        }
        if document["licenses"]?.array?.isEmpty ?? true {
            warning("licenses", "is missing: say under which terms others may use the data")
        }
        if let hansa = document["hansa"] { checkHansa(hansa) }
        switch document["resources"] {
        case .array(let resources) where !resources.isEmpty: break
        case .array: error("resources", "is empty: a data package names at least one resource")
        case .some: error("resources", "is no array")
        case nil: error("resources", "is missing")
        }
    }

    private mutating func checkHansa(_ hansa: JSONValue) {
        guard hansa.object != nil else { return error("hansa", "is no object") }
        if let version = hansa["specVersion"], version.integer != DataPackageDocument.specVersion {
            error("hansa.specVersion", "is not \(DataPackageDocument.specVersion), the only one this node knows")
        }
        if let kind = hansa["kind"], kind.string.flatMap(PackageKind.init(rawValue:)) == nil {
            error("hansa.kind", "is none of \(PackageKind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        if let package = hansa["package"], package.string == nil { error("hansa.package", "is no text") }
    }

    // MARK: Resources

    private mutating func checkResources(_ resources: [JSONValue]) {
        var names: [String: Int] = [:]
        for (index, resource) in resources.enumerated() {
            let place = "resources[\(index)]"
            guard resource.object != nil else {
                error(place, "is no object")
                continue
            }
            checkName(resource, index, &names)
            checkContent(resource, place)
            if let schema = resource["schema"], schema.object != nil { checkSchema(schema, "\(place).schema") }
        }
    }

    private mutating func checkName(_ resource: JSONValue, _ index: Int, _ names: inout [String: Int]) {
        let place = "resources[\(index)].name"
        guard let name = resource["name"]?.string else { return error(place, "is missing, or no text") }
        guard ResourceName.isValid(name) else {
            return error(
                place,
                "'\(name.printable(charactersMax: 60))' may hold only a-z 0-9 . _ -; try '\(ResourceName.suggestion(for: name))'")
        }
        if let earlier = names.updateValue(index, forKey: name) {
            error(place, "'\(name)' is the name of resources[\(earlier)] too")
        }
    }

    private mutating func checkContent(_ resource: JSONValue, _ place: String) {
        let path = resource["path"]
        switch (path, resource["data"]) {
        case (nil, nil): error(place, "has neither path nor data")
        case (.some, .some): error(place, "has both path and data")
        case (.string(let text), nil): checkPath(text, "\(place).path")
        case (.array(let parts), nil):
            if parts.isEmpty { error("\(place).path", "is empty") }
            for (part, value) in parts.enumerated() {
                if let text = value.string {
                    checkPath(text, "\(place).path[\(part)]")
                } else {
                    error("\(place).path[\(part)]", "is no text")
                }
            }
        case (.some, nil): error("\(place).path", "is neither text nor an array of texts")
        case (nil, .some): break
        }
        checkBytesAndHash(resource, place)
        for name in ["schema", "dialect"] {
            guard let value = resource[name] else { continue }
            if let text = value.string {
                if !text.contains("://") { checkPath(text, "\(place).\(name)") }
            } else if value.object == nil {
                error("\(place).\(name)", "is no object")
            }
        }
    }

    private mutating func checkPath(_ path: String, _ place: String) {
        if path.contains("://") {
            return error(place, "is a URL; a package holds its files itself, so that they are signed with it")
        }
        if let reason = PayloadPath.fault(in: path) { return error(place, PathFault(path, reason).description) }
        guard let files, files[path] == nil else { return }
        let nearest =
            NearestName.find(path, among: files.files.lazy.map(\.path)).map { "; did you mean '\($0.printable())'?" } ?? ""
        error(place, "no file '\(path.printable())' in the package\(nearest)")
    }

    private mutating func checkBytesAndHash(_ resource: JSONValue, _ place: String) {
        let file = resource["path"]?.string.flatMap { files?[$0] }
        if let bytes = resource["bytes"] {
            if let count = bytes.integer, count >= 0 {
                if let file, UInt64(count) != file.size {
                    warning("\(place).bytes", "is \(count), the file has \(file.size) bytes; publishing puts it right")
                }
            } else {
                error("\(place).bytes", "is no whole number of bytes")
            }
        }
        guard let hash = resource["hash"] else { return }
        guard let text = hash.string else { return error("\(place).hash", "is no text") }
        guard let digest = Digest(prefixed: text) else {
            return warning("\(place).hash", "is not sha256: and 64 hex digits; publishing replaces it")
        }
        if let file, file.digest != .zero, file.digest != digest {
            warning("\(place).hash", "is not the file's; publishing puts it right")
        }
    }

    private mutating func checkSchema(_ schema: JSONValue, _ place: String) {
        guard let fields = schema["fields"]?.array else { return error("\(place).fields", "is missing, or no array") }
        var names: Set<String> = []
        for (index, field) in fields.enumerated() {
            guard let name = field["name"]?.string else {
                error("\(place).fields[\(index)].name", "is missing, or no text")
                continue
            }
            if !names.insert(name).inserted {
                error("\(place).fields[\(index)].name", "'\(name.printable(charactersMax: 60))' is the name of an earlier field")
            }
        }
        guard let key = schema["primaryKey"] else { return }
        var columns: [JSONValue] = []
        switch key {
        case .array(let items): columns = items
        case .string:
            columns = [key]
            warning("\(place).primaryKey", "is a text; publishing writes it as an array")
        default: error("\(place).primaryKey", "is no array of field names")
        }
        for column in columns where !(column.string.map(names.contains) ?? false) {
            error("\(place).primaryKey", "'\((column.string ?? "").printable(charactersMax: 60))' is no field of the table")
        }
    }
}

/// Names of resources: `[a-z0-9._-]`, at least one.
enum ResourceName {
    static func isValid(_ name: String) -> Bool { !name.isEmpty && name.utf8.allSatisfy(fits) }

    private static func fits(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2E || byte == 0x5F || byte == 0x2D
    }

    /// Lower case, a hyphen for each run of what may not stand; `resource` when nothing is left.
    static func suggestion(for text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        for byte in text.lowercased().utf8 {
            if fits(byte) { bytes.append(byte) } else if bytes.last != 0x2D { bytes.append(0x2D) }
        }
        while bytes.last == 0x2D { bytes.removeLast() }
        let start = bytes.firstIndex { $0 != 0x2D } ?? bytes.count
        return start == bytes.count ? "resource" : String(decoding: bytes[start...], as: UTF8.self)
    }

    /// A name for the file at `path`: its path without extension, with hyphens for slashes.
    static func forFile(_ path: String) -> String {
        guard let type = MediaType(path: path) else { return suggestion(for: path) }
        return suggestion(for: path.dropLast(type.format.count + 1))
    }
}

/// Finds the name a person most likely meant.
public enum NearestName {
    private static let candidatesMax = 20_000

    /// The candidate with the smallest edit distance (Levenshtein, on bytes, case ignored), if it is near enough to be meant.
    public static func find(_ name: String, among candidates: some Sequence<String>) -> String? {
        let wanted = Array(name.lowercased().utf8.prefix(256))
        var best: (name: String, distance: Int)?
        for candidate in candidates.prefix(candidatesMax) {
            let bytes = Array(candidate.lowercased().utf8.prefix(256))
            let limit = min(best?.distance ?? Int.max, max(2, wanted.count / 3) + 1)
            guard abs(bytes.count - wanted.count) < limit else { continue }
            let distance = distance(wanted, bytes)
            if distance < limit { best = (candidate, distance) }
        }
        return best?.name
    }

    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
