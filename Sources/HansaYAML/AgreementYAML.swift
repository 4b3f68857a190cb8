// Agreements as people write them: YAML of the shape of the signed document (TERMS.md §1), read by that shape and checked by
// `Agreement` itself. Whatever is wrong is told with its line.

public import HansaCore
public import HansaDocuments

public enum AgreementYAML {
    /// Reads an agreement. Unknown keys are refused; keys that are known but not yet enforceable are read, and
    /// `EnforcementReport` refuses them.
    public static func read(_ text: String) throws(YAMLFault) -> Agreement { try agreement(from: YAMLDocument.read(text)) }

    /// As `read(_:)`, for a file's bytes.
    public static func read(_ bytes: [UInt8]) throws(YAMLFault) -> Agreement { try agreement(from: YAMLDocument.read(bytes)) }

    /// Where a path of the document, such as `terms[0].purposes`, stands in the text; nil when the text cannot be read.
    public static func place(of path: String, in text: String) -> (line: Int, column: Int)? {
        (try? YAMLDocument.read(text))?.place(of: path)
    }

    private static func agreement(from root: YAMLNode) throws(YAMLFault) -> Agreement {
        let value = try schema.value(root)
        do throws(DocumentFault) { return try Agreement(json: value) } catch {
            let path: String
            let message: String
            switch error {
            case .field(let at, let problem): (path, message) = (at, problem)
            case .unknownKey(let at): (path, message) = (at, "unknown key")
            case .schema: (path, message) = ("schema", error.description)
            default: (path, message) = ("", error.description)
            }
            let place = root.place(of: path)
            throw YAMLFault(line: place.line, column: place.column, path: path, message: message)
        }
    }

    /// The agreement as YAML in the order of the format, without comments. Reading it gives an equal agreement.
    public static func write(_ agreement: Agreement) -> String { YAMLWriter.block(agreement.json, schema: schema) }

    // MARK: The shape

    static let schema = map([
        required("schema"), required("id"), required("title"),
        YAMLField("template", map([required("name"), required("digest")])),
        YAMLField("parties", .list(party), isRequired: true),
        YAMLField("objective", map([required("text"), list("purposes")])),
        YAMLField("term", term, isRequired: true),
        YAMLField("confidentiality", map([text("survival"), list("carveOuts")])),
        YAMLField("risk", map([text("breachNotice"), text("liability"), YAMLField("contact", .free)])),
        YAMLField("intellectualProperty", map([text("ownership"), text("licence"), text("attribution"), text("derivatives")])),
        YAMLField("compliance", map([list("laws"), list("dataResidency"), text("auditNotice"), text("recordsKept")])),
        YAMLField("funding", map([text("model"), YAMLField("shares", .free)])),
        YAMLField("clauses", .list(map([required("id"), required("text")])), isRequired: true),
        YAMLField("terms", .list(sharing), isRequired: true),
        YAMLField("maintainers", .list(maintenance)),
    ])

    private static let party = map([
        required("city"),
        YAMLField("keyring", .integer(1...Int64(Int32.max)), isRequired: true),
        text("role"), list("responsibilities"),
        YAMLField("signatory", map([required("name"), text("title")])),
    ])

    private static let term = map([
        required("effective"), required("expires"),
        YAMLField("renewal", map([YAMLField("automatic", .boolean, isRequired: true), text("period"), text("notice")])),
        YAMLField("termination", map([text("notice"), text("forCause"), text("onEnd"), text("within")])),
    ])

    private static let sharing = map([
        required("clause"), required("from"), requiredList("to"), requiredList("packages"), requiredList("kinds"),
        required("ceiling"),
        list("purposes"),
        YAMLField("redistribution", map([required("to"), YAMLField("maxHops", .integer(0...1000))])),
        YAMLField("retention", map([required("keep"), required("from")])),
        text("embargo"),
        YAMLField("redact", .list(map([requiredList("fields"), required("method")]))),
        text("attribution"),
    ])

    private static let maintenance = map([
        requiredList("packages"), requiredList("cities"), required("rule"), YAMLField("autoMerge", .boolean),
    ])

    private static func map(_ fields: [YAMLField]) -> YAMLSchema { .map(fields) }
    private static func text(_ name: String) -> YAMLField { YAMLField(name, .text) }
    private static func required(_ name: String) -> YAMLField { YAMLField(name, .text, isRequired: true) }
    private static func list(_ name: String) -> YAMLField { YAMLField(name, .list(.text)) }
    private static func requiredList(_ name: String) -> YAMLField { YAMLField(name, .list(.text), isRequired: true) }
}

extension Agreement {
    /// The agreement as JSON with its members in the order of the format, for people and programs to read. What was signed
    /// is the payload, byte for byte.
    public var json: JSONValue {
        guard let value = try? StrictJSON.decode(JSONValue.self, from: payload()) else {
            preconditionFailure("an agreement's own payload is JSON")
        }
        return AgreementYAML.schema.ordered(value)
    }
}
