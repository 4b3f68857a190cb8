public import HansaCore

/// The shape a YAML document is read by: what is text stays as it was written, and nothing is guessed.
public indirect enum YAMLSchema: Sendable {
    /// Any scalar, as written: `NO`, `1.0` and `2026-12-01` are texts.
    case text
    /// A plain decimal integer within these bounds.
    case integer(ClosedRange<Int64>)
    /// `true` or `false`, plain; `yes`, `on` and `True` are refused.
    case boolean
    case list(YAMLSchema)
    /// A list, or one item instead of a list of one.
    case listOrSingle(YAMLSchema)
    /// These keys and no others.
    case map([YAMLField])
    /// Any shape; its scalars are texts, as the document is kept and not enforced there.
    case free

    /// A map without a required key may be left empty (`limits:` with everything below it commented out).
    var emptyValue: JSONValue? {
        switch self {
        case .map(let fields) where !fields.contains(where: \.isRequired): .object([])
        default: nil
        }
    }

    /// The value at `node`.
    public func value(_ node: YAMLNode, path: String = "") throws(YAMLFault) -> JSONValue {
        func fault(_ message: String) -> YAMLFault {
            YAMLFault(line: node.line, column: node.column, path: path, message: message)
        }
        if node.isEmpty {
            if let emptyValue { return emptyValue }
            throw fault("has no value; write one, or leave the key out")
        }
        switch (self, node.content) {
        case (.text, .scalar(let text, _)): return .string(text)
        case (.integer(let range), .scalar(let text, let isPlain)):
            guard isPlain, let number = YAMLSchema.decimal(text) else { throw fault("is a whole number, written in digits") }
            guard range.contains(number) else { throw fault("is from \(range.lowerBound) to \(range.upperBound)") }
            return .integer(number)
        case (.boolean, .scalar(let text, let isPlain)):
            guard isPlain, text == "true" || text == "false" else { throw fault("is true or false") }
            return .bool(text == "true")
        case (.list(let item), .list(let items)), (.listOrSingle(let item), .list(let items)):
            var values: [JSONValue] = []
            for (index, node) in items.enumerated() { values.append(try item.value(node, path: "\(path)[\(index)]")) }
            return .array(values)
        case (.listOrSingle(let item), _): return .array([try item.value(node, path: path)])
        case (.map(let fields), .map(let entries)): return .object(try members(entries, of: node, fields: fields, path: path))
        case (.free, .scalar(let text, _)): return .string(text)
        case (.free, .list(let items)):
            var values: [JSONValue] = []
            for (index, node) in items.enumerated() { values.append(try YAMLSchema.free.value(node, path: "\(path)[\(index)]")) }
            return .array(values)
        case (.free, .map(let entries)):
            var members: [JSONMember] = []
            for entry in entries {
                members.append(
                    JSONMember(entry.key, try YAMLSchema.free.value(entry.value, path: YAMLSchema.join(path, entry.key))))
            }
            return .object(members)
        case (.text, _), (.integer, _), (.boolean, _): throw fault("is one value, not a list or a map")
        case (.list, _): throw fault("is a list: write - before each item, or [a, b]")
        case (.map, _): throw fault("is a map: write key: value lines below it")
        }
    }

    private func members(
        _ entries: [YAMLEntry], of node: YAMLNode, fields: [YAMLField], path: String
    ) throws(YAMLFault) -> [JSONMember] {
        var members: [JSONMember] = []
        for entry in entries {
            let inner = YAMLSchema.join(path, entry.key)
            guard let field = fields.first(where: { $0.name == entry.key }) else {
                let near = NearMiss.best(for: entry.key, among: fields.map(\.name))
                throw YAMLFault(
                    line: entry.line, column: entry.column, path: inner.printable(),
                    message: "unknown key '\(entry.key.printable(charactersMax: 60))'"
                        + (near.map { "; did you mean '\($0)'?" } ?? "; known here: \(fields.map(\.name).joined(separator: ", "))")
                )
            }
            if let refusal = field.refusal {
                throw YAMLFault(line: entry.line, column: entry.column, path: inner, message: refusal)
            }
            members.append(JSONMember(entry.key, try field.schema.value(entry.value, path: inner)))
        }
        for field in fields where field.isRequired && !entries.contains(where: { $0.key == field.name }) {
            throw YAMLFault(line: node.line, column: node.column, path: path, message: "the key '\(field.name)' is missing")
        }
        return members
    }

    static func join(_ path: String, _ key: String) -> String { path.isEmpty ? key : path + "." + key }

    private static func decimal(_ text: String) -> Int64? {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits == "0" || !digits.hasPrefix("0")
        else {
            return nil
        }
        return Int64(text)
    }
}

/// A key that a map may have.
public struct YAMLField: Sendable {
    public let name: String
    public let schema: YAMLSchema
    public let isRequired: Bool
    /// A key that is known and not taken yet, with the reason.
    public let refusal: String?

    public init(_ name: String, _ schema: YAMLSchema, isRequired: Bool = false, refusal: String? = nil) {
        self.name = name
        self.schema = schema
        self.isRequired = isRequired
        self.refusal = refusal
    }
}

/// The known name that a mistyped one is nearest to.
enum NearMiss {
    static func best(for text: String, among names: [String]) -> String? {
        guard text.utf8.count <= 64 else { return nil }
        let ranked = names.map { (distance: distance(Array(text.lowercased().utf8), Array($0.lowercased().utf8)), name: $0) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= max(1, best.name.utf8.count / 3) ? best.name : nil
    }

    /// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). O(nm).
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = []
        var row = Array(0...b.count)
        for i in a.indices {
            var next = [i + 1]
            next.reserveCapacity(b.count + 1)
            for j in b.indices {
                var best = min(row[j] + (a[i] == b[j] ? 0 : 1), row[j + 1] + 1, next[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
                next.append(best)
            }
            before = row
            row = next
        }
        return row[b.count]
    }
}
