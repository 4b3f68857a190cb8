internal import HansaCore

/// Writes values as YAML that this room's reader and any other reads alike: a text stays plain only where no YAML version
/// takes it for something else.
enum YAMLWriter {
    /// Block style below `indent` spaces, each line ended. The members of a map come in the schema's order where it has one.
    static func block(_ value: JSONValue, schema: YAMLSchema, indent: Int = 0) -> String {
        let margin = String(repeating: " ", count: indent)
        switch value {
        case .object(let members) where !members.isEmpty:
            var text = ""
            for member in ordered(members, by: schema) {
                let inner = schema.field(member.name)
                text += margin + key(member.name) + ":" + after(member.value, schema: inner, indent: indent + 2)
            }
            return text
        case .array(let items) where !items.isEmpty:
            var text = ""
            for item in items {
                let lines = block(item, schema: schema.item, indent: indent + 2)
                text +=
                    isSimple(item)
                    ? margin + "- " + flow(item, schema: schema.item) + "\n" : margin + "- " + lines.dropFirst(indent + 2)
            }
            return text
        default: return margin + flow(value, schema: schema) + "\n"
        }
    }

    /// One line, as `[a, b]` and `{k: v}`.
    static func flow(_ value: JSONValue, schema: YAMLSchema = .free) -> String {
        switch value {
        case .null: "~"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .double(let value): String(value)
        case .string(let text): scalar(text)
        case .array(let items): "[" + items.map { flow($0, schema: schema.item) }.joined(separator: ", ") + "]"
        case .object(let members):
            "{"
                + ordered(members, by: schema).map { key($0.name) + ": " + flow($0.value, schema: schema.field($0.name)) }.joined(
                    separator: ", ")
                + "}"
        }
    }

    /// Plain where it is safe in every context, else in double quotes.
    static func scalar(_ text: String) -> String { isPlainSafe(text) ? text : quoted(text) }

    private static func key(_ text: String) -> String { scalar(text) }

    private static func after(_ value: JSONValue, schema: YAMLSchema, indent: Int) -> String {
        isSimple(value) ? " " + flow(value, schema: schema) + "\n" : "\n" + block(value, schema: schema, indent: indent)
    }

    /// Fits on the line of its key: a scalar, something empty, or a short list of scalars.
    private static func isSimple(_ value: JSONValue) -> Bool {
        switch value {
        case .object(let members): members.isEmpty
        case .array(let items):
            items.isEmpty || items.count <= 8 && items.allSatisfy { ($0.string?.unicodeScalars.count).map { $0 <= 40 } == true }
        default: true
        }
    }

    static func ordered(_ members: [JSONMember], by schema: YAMLSchema) -> [JSONMember] {
        guard case .map(let fields) = schema else { return members }
        let known = fields.compactMap { field in members.first { $0.name == field.name } }
        return known + members.filter { member in !fields.contains { $0.name == member.name } }
    }

    private static func isPlainSafe(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, text.utf8.count <= 200 else { return false }
        guard isLetter(first) || isDigit(first), last != UInt8(ascii: " "), last != UInt8(ascii: ":") else { return false }
        var previous: UInt8 = 0
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: break
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: ":"):
                break
            case UInt8(ascii: " "): if previous == UInt8(ascii: ":") { return false }
            default: return false
            }
            previous = byte
        }
        // Numbers, dates, times, booleans and nulls of YAML 1.1 and 1.2 all look like one of these.
        let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        if words.contains(text.lowercased()) { return false }
        if isDigit(first) { return isDate(text) }
        return true
    }

    // A date is what our dates are for every reader; quoting them would only be ugly.
    private static func isDate(_ text: String) -> Bool { CalendarDate(text) != nil }
    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\u{FEFF}": result += "\\uFEFF"
            default:
                switch scalar.properties.generalCategory {
                case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse, .format:
                    let digits = String(scalar.value, radix: 16)
                    result += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
                default: result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}

extension YAMLSchema {
    /// The value with the members of its maps in the schema's order; members the schema does not have come last.
    func ordered(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            .object(YAMLWriter.ordered(members, by: self).map { JSONMember($0.name, field($0.name).ordered($0.value)) })
        case .array(let items): .array(items.map { item.ordered($0) })
        default: value
        }
    }

    /// The schema of a list's items.
    var item: YAMLSchema {
        switch self {
        case .list(let item), .listOrSingle(let item): item
        default: .free
        }
    }

    /// The schema of a map's key.
    func field(_ name: String) -> YAMLSchema {
        guard case .map(let fields) = self else { return .free }
        return fields.first { $0.name == name }?.schema ?? .free
    }
}
