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

    /// The agreement as YAML in the order of the format, without comments. Reading it gives an agreement of equal payload
    /// fields.
    public static func write(_ agreement: Agreement) -> String { YAMLWriter.block(agreement.json, schema: schema) }

    // MARK: The shape

    static let schema: YAMLSchema = .map([
        YAMLField("schema", .text, isRequired: true),
        YAMLField("id", .text, isRequired: true),
        YAMLField("title", .text, isRequired: true),
        YAMLField("template", .map([YAMLField("name", .text, isRequired: true), YAMLField("digest", .text, isRequired: true)])),
        YAMLField("parties", .list(party), isRequired: true),
        YAMLField("objective", .map([YAMLField("text", .text), YAMLField("purposes", .list(.text))])),
        YAMLField("term", term, isRequired: true),
        YAMLField("confidentiality", .free),
        YAMLField("risk", .free),
        YAMLField("intellectualProperty", .free),
        YAMLField("compliance", .free),
        YAMLField("funding", .free),
        YAMLField(
            "clauses", .list(.map([YAMLField("id", .text, isRequired: true), YAMLField("text", .text, isRequired: true)])),
            isRequired: true),
        YAMLField("terms", .list(sharing), isRequired: true),
        YAMLField("maintainers", .free),
    ])

    private static let party: YAMLSchema = .map([
        YAMLField("city", .text, isRequired: true),
        YAMLField("keyring", .integer(1...Int64(Int32.max)), isRequired: true),
        YAMLField("role", .text),
        YAMLField("responsibilities", .list(.text)),
        YAMLField("signatory", .free),
    ])

    private static let term: YAMLSchema = .map([
        YAMLField("effective", .text, isRequired: true),
        YAMLField("expires", .text, isRequired: true),
        YAMLField("renewal", .map([YAMLField("automatic", .boolean), YAMLField("period", .text), YAMLField("notice", .text)])),
        YAMLField(
            "termination",
            .map([
                YAMLField("notice", .text), YAMLField("forCause", .text), YAMLField("onEnd", .text), YAMLField("within", .text),
            ])),
    ])

    private static let sharing: YAMLSchema = .map([
        YAMLField("clause", .text, isRequired: true),
        YAMLField("from", .text, isRequired: true),
        YAMLField("to", .list(.text), isRequired: true),
        YAMLField("packages", .list(.text), isRequired: true),
        YAMLField("kinds", .list(.text), isRequired: true),
        YAMLField("ceiling", .text, isRequired: true),
        YAMLField("redistribution", .map([YAMLField("to", .text, isRequired: true), YAMLField("maxHops", .integer(0...1000))])),
        YAMLField("purposes", .free),
        YAMLField("retention", .free),
        YAMLField("embargo", .free),
        YAMLField("redact", .free),
        YAMLField("attribution", .free),
    ])
}
