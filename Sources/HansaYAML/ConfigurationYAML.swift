// hansa.yaml: read by its schema, written with a comment for every key, and changed one key at a time with the administrator's
// own comments left alone.

internal import HansaCore

public enum ConfigurationYAML {
    /// Reads the file. A fault names line, column and key.
    public static func read(_ text: String) throws(YAMLFault) -> NodeConfiguration {
        try configuration(from: YAMLDocument.read(text))
    }

    /// As `read(_:)`, for a file's bytes.
    public static func read(_ bytes: [UInt8]) throws(YAMLFault) -> NodeConfiguration {
        try configuration(from: YAMLDocument.read(bytes))
    }

    private static func configuration(from root: YAMLNode) throws(YAMLFault) -> NodeConfiguration {
        let value = try schema.value(root)
        guard let city = ConfigurationKey.named("city"), let cityText = value["city"]?.string else {
            throw YAMLFault(line: root.line, column: root.column, path: "city", message: "is missing")
        }
        var configuration: NodeConfiguration
        do throws(NameFault) {
            configuration = NodeConfiguration(city: try CityID(cityText), name: cityText)
        } catch {
            let place = root.place(of: city.name)
            throw YAMLFault(
                line: place.line, column: place.column, path: city.name,
                message: error.description + (error.suggestion.map { "; try \($0)" } ?? ""))
        }
        for key in ConfigurationKey.all {
            guard let given = key.parts.reduce(Optional(value), { $0?[$1] }) else { continue }
            let place = root.place(of: key.name)
            try configuration.apply(key, given, origin: .file(line: place.line), at: place)
        }
        return configuration
    }

    /// The keys as one schema of nested maps, in their order.
    static let schema: YAMLSchema = {
        func map(_ keys: [(parts: ArraySlice<String>, key: ConfigurationKey)]) -> [YAMLField] {
            var fields: [YAMLField] = []
            for (parts, key) in keys {
                guard let head = parts.first, !fields.contains(where: { $0.name == head }) else { continue }
                if parts.count == 1 {
                    fields.append(YAMLField(head, key.schema, isRequired: key.isRequired))
                } else {
                    let inner = keys.filter { $0.parts.first == head }.map { (parts: $0.parts.dropFirst(), key: $0.key) }
                    fields.append(YAMLField(head, .map(map(inner))))
                }
            }
            return fields
        }
        let fields = map(ConfigurationKey.all.map { (parts: $0.parts[...], key: $0) })
        return .map(fields + [YAMLField("openByDefault", .free, refusal: ConfigurationKey.openByDefaultRefusal)])
    }()

    // MARK: Writing

    /// The whole file: every key with what it does, those at their default commented out.
    public static func write(_ configuration: NodeConfiguration) -> String {
        var text = """
            # The configuration of this Hansa node. Flags and environment variables come before it; `hansa config show --origin`
            # tells where each value comes from. A line that begins with # is a key at its default. Unknown keys are refused.
            # The node reads it when it starts and on SIGHUP.

            """
        let defaults = NodeConfiguration(city: configuration.city, name: configuration.name)
        var open: [String] = []
        for key in ConfigurationKey.all {
            let parts = key.parts
            let parents = Array(parts.dropLast())
            if parents.first != open.first || parents.isEmpty { text += "\n" }
            for (depth, parent) in parents.enumerated()
            where depth >= open.count || open[depth] != parent || open[..<depth] != parents[..<depth] {
                text += indent(depth) + parent + ":\n"
            }
            open = parents
            let value = key.get(configuration)
            let isDefault = !key.isRequired && value == key.get(defaults)
            text += indent(parents.count) + "# " + key.summary + "\n"
            text +=
                indent(parents.count) + (isDefault ? "#" : "") + parts[parts.count - 1] + ": " + shown(value, key.schema) + "\n"
        }
        return text
    }

    private static func indent(_ depth: Int) -> String { String(repeating: "  ", count: depth) }

    /// On one line; a list of one without brackets where the key takes it so.
    static func shown(_ value: JSONValue, _ schema: YAMLSchema) -> String {
        if case .listOrSingle(let item) = schema, let items = value.array, items.count == 1 {
            return YAMLWriter.flow(items[0], schema: item)
        }
        // A key without a value and without a default, shown only in a comment.
        if value.isNull { return "" }
        return YAMLWriter.flow(value, schema: schema)
    }
}
