// A `datapackage.json` made from what the files say.
public import HansaCore

extension DataPackageDocument {
    /// A dataset's document from inferred resources. Deterministic: the files in any order give the same document.
    ///
    /// `name` is the package's path or any text, made to fit; `created` and `version` are left out when nil. `bytes` and `hash`
    /// are written where they are known. At most `resourcesInferredMax` files are named, the first by path.
    public static func inferred(
        name: String, title: String? = nil, files: [InferredResource], version: Version? = nil, created: Timestamp? = nil
    ) -> DataPackageDocument {
        var root = [
            JSONMember("$schema", .string(profile)), JSONMember("name", .string(ResourceName.suggestion(for: name))),
        ]
        if let title { root.append(JSONMember("title", .string(title))) }
        if let version { root.append(JSONMember("version", .string(version.description))) }
        if let created { root.append(JSONMember("created", JSONValue(created))) }
        root.append(
            JSONMember("hansa", ["specVersion": .integer(specVersion), "kind": .string(PackageKind.dataset.rawValue)]))
        var names = UniqueNames()
        let sorted = files.sorted { PayloadPath.precedes($0.path, $1.path) }
        let resources = sorted.prefix(resourcesInferredMax).map { JSONValue.object(members(of: $0, &names)) }
        root.append(JSONMember("resources", .array(resources)))
        return DataPackageDocument(inferred: root)
    }

    private static func members(of file: InferredResource, _ names: inout UniqueNames) -> [JSONMember] {
        var table: InferredTable?
        if case .table(let inferred) = file.content { table = inferred }
        var members: [JSONMember] = []
        members.reserveCapacity(10)
        members.append(JSONMember("name", .string(names.take(ResourceName.forFile(file.path)))))
        if table != nil { members.append(JSONMember("type", "table")) }
        members.append(JSONMember("path", .string(file.path)))
        if let type = MediaType(path: file.path) {
            members.append(JSONMember("format", .string(type.format)))
            if let name = type.name { members.append(JSONMember("mediatype", .string(name))) }
        }
        if table != nil { members.append(JSONMember("encoding", "utf-8")) }
        members.append(JSONMember("bytes", JSONValue(file.size)))
        if let digest = file.digest { members.append(JSONMember("hash", JSONValue(digest))) }
        if let table {
            if table.delimiter != UInt8(ascii: ",") {
                let delimiter = String(decoding: [table.delimiter], as: UTF8.self)
                members.append(JSONMember("dialect", ["delimiter": .string(delimiter)]))
            }
            members.append(JSONMember("schema", schema(of: table)))
        }
        return members
    }

    /// The Table Schema of an inferred table.
    static func schema(of table: InferredTable) -> JSONValue {
        var schema = [
            JSONMember(
                "fields",
                .array(
                    table.fields.map { field in
                        var members = [JSONMember("name", .string(field.name)), JSONMember("type", .string(field.type.name))]
                        if let format = field.type.format { members.append(JSONMember("format", .string(format))) }
                        if !field.missingValues.isEmpty {
                            members.append(JSONMember("missingValues", .array([""] + field.missingValues.map(JSONValue.string))))
                        }
                        return .object(members)
                    }))
        ]
        if let key = table.primaryKey { schema.append(JSONMember("primaryKey", .array(key.map(JSONValue.string)))) }
        return .object(schema)
    }
}

/// Hands out names, each once: a taken one gets `-2`, `-3`, ….
private struct UniqueNames {
    private var taken: Set<String> = []
    private var next: [String: Int] = [:]

    mutating func take(_ name: String) -> String {
        var candidate = name
        while !taken.insert(candidate).inserted {
            let number = next[name, default: 2]
            next[name] = number + 1
            candidate = "\(name)-\(number)"
        }
        return candidate
    }
}
