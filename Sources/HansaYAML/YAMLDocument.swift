// One YAML document as a tree of texts (YAML 1.1 as libyaml reads it, through Yams), without everything by which a document
// says something else than it seems to: aliases and anchors (also the bombs made of them), tags, merge keys, keys that are no
// text, duplicate keys, a second document, control characters. Bounded in size and depth.

internal import HansaCore
internal import Yams

public enum YAMLDocument {
    /// As for signed documents, which these files become.
    public static let bytesMax = Limits.documentBytesMax
    public static let depthMax = Limits.jsonDepthMax

    /// Reads a file's bytes: UTF-8, with or without a byte order mark.
    public static func read(_ bytes: [UInt8]) throws(YAMLFault) -> YAMLNode {
        guard bytes.count <= bytesMax else { throw tooLarge(bytes.count) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let place = firstInvalid(bytes)
            throw YAMLFault(line: place.line, column: place.column, message: "the file is not UTF-8 text")
        }
        return try read(text)
    }

    public static func read(_ text: String) throws(YAMLFault) -> YAMLNode {
        guard text.utf8.count <= bytesMax else { throw tooLarge(text.utf8.count) }
        // Before the parser: it follows aliases while it compares keys, which a bomb makes endless.
        if let alias = firstAlias(Array(text.utf8)) {
            throw YAMLFault(
                line: alias.line, column: alias.column, message: "aliases (*name) are not accepted: write the value out")
        }
        do {
            // `.basic` resolves nothing, and an explicit encoding keeps the parser from reading the environment.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            // The nodes hold their anchors weakly; the parser keeps them alive until the tree is checked.
            return try withExtendedLifetime(parser) {
                guard let root = try parser.singleRoot() else {
                    throw YAMLFault(line: 1, column: 1, message: "the file holds nothing")
                }
                return try node(root, path: "", depth: 0)
            }
        } catch let fault as YAMLFault {
            throw fault
        } catch let error as YamlError {
            throw fault(error)
        } catch {
            throw YAMLFault(line: 1, column: 1, message: "cannot be read as YAML: \(error)")
        }
    }

    // MARK: The tree

    private static func node(_ node: Node, path: String, depth: Int) throws(YAMLFault) -> YAMLNode {
        let line = node.mark?.line ?? 1
        let column = node.mark?.column ?? 1
        func fault(_ message: String) -> YAMLFault { YAMLFault(line: line, column: column, path: path, message: message) }
        if node.anchor != nil { throw fault("anchors (&name) are not accepted") }
        switch node {
        case .alias: throw fault("aliases (*name) are not accepted: write the value out")
        case .scalar(let scalar):
            guard hasNoTag(scalar, isKey: false) else { throw fault("tags (!name) are not accepted") }
            try checkCharacters(scalar.string, fault)
            return YAMLNode(.scalar(scalar.string, isPlain: scalar.style == .plain), line: line, column: column)
        case .sequence(let sequence):
            guard sequence.tag.rawValue.isEmpty else { throw fault("tags (!name) are not accepted") }
            guard depth < depthMax else { throw fault("nested deeper than \(depthMax) levels") }
            var items: [YAMLNode] = []
            for (index, item) in sequence.enumerated() {
                items.append(try self.node(item, path: "\(path)[\(index)]", depth: depth + 1))
            }
            return YAMLNode(.list(items), line: line, column: column)
        case .mapping(let mapping):
            guard mapping.tag.rawValue.isEmpty else { throw fault("tags (!name) are not accepted") }
            guard depth < depthMax else { throw fault("nested deeper than \(depthMax) levels") }
            return YAMLNode(.map(try entries(mapping, path: path, depth: depth)), line: line, column: column)
        }
    }

    private static func entries(_ mapping: Node.Mapping, path: String, depth: Int) throws(YAMLFault) -> [YAMLEntry] {
        var entries: [YAMLEntry] = []
        var seen: Set<String> = []
        for (keyNode, value) in mapping {
            let line = keyNode.mark?.line ?? 1
            let column = keyNode.mark?.column ?? 1
            func fault(_ message: String) -> YAMLFault { YAMLFault(line: line, column: column, path: path, message: message) }
            guard case .scalar(let key) = keyNode else { throw fault("a key is a text, not a list or a map") }
            if key.anchor != nil { throw fault("anchors (&name) are not accepted") }
            guard hasNoTag(key, isKey: true) else { throw fault("tags (!name) are not accepted") }
            guard key.style == .plain || key.style == .singleQuoted || key.style == .doubleQuoted else {
                throw fault("a key is a text on one line")
            }
            guard !key.string.isEmpty else { throw fault("a key is missing before the colon") }
            try checkCharacters(key.string, fault)
            if key.string == "<<", key.style == .plain { throw fault("merge keys (<<) are not accepted: write the values out") }
            guard seen.insert(key.string).inserted else {
                throw fault("the key '\(key.string.printable(charactersMax: 60))' stands twice")
            }
            let inner = path.isEmpty ? key.string : path + "." + key.string
            entries.append(
                YAMLEntry(
                    key: key.string, line: line, column: column, value: try node(value, path: inner, depth: depth + 1)))
        }
        return entries
    }

    // The parser names every quoted text `str`; a plain one has no tag, except a key, which it resolved to compare it.
    private static func hasNoTag(_ scalar: Node.Scalar, isKey: Bool) -> Bool {
        if scalar.tag.rawValue.isEmpty { return true }
        return scalar.tag.rawValue == Tag.Name.str.rawValue && (isKey || scalar.style != .plain)
    }

    private static func checkCharacters(_ text: String, _ fault: (String) -> YAMLFault) throws(YAMLFault) {
        for scalar in text.unicodeScalars where scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
        {
            throw fault("a text holds the control character U+\(hex(scalar.value))")
        }
    }

    private static func hex(_ value: UInt32) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    // MARK: Before the parser

    private static func tooLarge(_ count: Int) -> YAMLFault {
        YAMLFault(line: 1, column: 1, message: "the file has \(count) bytes, and at most \(bytesMax) are read")
    }

    /// The first `*name` for whose name there is an `&name` too, both where a token may begin. Every alias that a parser
    /// would follow is among these; a text with both is not, but for one contrived to be.
    private static func firstAlias(_ bytes: [UInt8]) -> (line: Int, column: Int)? {
        var anchors: Set<[UInt8]> = []
        for (mark, name, _) in names(in: bytes) where mark == UInt8(ascii: "&") { anchors.insert(name) }
        guard !anchors.isEmpty else { return nil }
        for (mark, name, offset) in names(in: bytes) where mark == UInt8(ascii: "*") && anchors.contains(name) {
            return place(of: offset, in: bytes)
        }
        return nil
    }

    private static func names(in bytes: [UInt8]) -> [(mark: UInt8, name: [UInt8], offset: Int)] {
        var found: [(UInt8, [UInt8], Int)] = []
        for (offset, byte) in bytes.enumerated() where byte == UInt8(ascii: "&") || byte == UInt8(ascii: "*") {
            // After one of these a plain text goes on, and no token begins.
            if offset > 0,
                isName(bytes[offset - 1]) || bytes[offset - 1] == UInt8(ascii: "/") || bytes[offset - 1] == UInt8(ascii: ".")
            {
                continue
            }
            let name = bytes[(offset + 1)...].prefix(while: isName)
            if !name.isEmpty { found.append((byte, Array(name), offset)) }
        }
        return found
    }

    private static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private static func firstInvalid(_ bytes: [UInt8]) -> (line: Int, column: Int) {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var line = 1
        var column = 1
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue("\n"):
                line += 1
                column = 1
            case .scalarValue: column += 1
            case .emptyInput, .error: return (line, column)
            }
        }
    }

    private static func place(of offset: Int, in bytes: [UInt8]) -> (line: Int, column: Int) {
        var line = 1
        var column = 1
        for byte in bytes[..<offset] {
            if byte == 0x0A {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return (line, column)
    }

    // MARK: The parser's errors

    private static func fault(_ error: YamlError) -> YAMLFault {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            let text = (context.map { $0.text + ": " } ?? "") + problem
            return YAMLFault(line: mark.line, column: mark.column, message: "is not YAML: \(text)")
        case .composer(_, let problem, let mark, _):
            let isSecond = problem.contains("another document")
            return YAMLFault(
                line: mark.line, column: mark.column,
                message: isSecond ? "a second document begins: one is read" : "is not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.map { "'\($0.printable(charactersMax: 60))'" }.joined(separator: ", ")
            return YAMLFault(
                line: context.mark.line, column: context.mark.column,
                message: duplicates.count == 1
                    ? "the key \(names) stands twice, here for the first time" : "the keys \(names) stand twice")
        case .reader(let problem, let offset, _, let yaml):
            // The parser counts in characters.
            let index = yaml.index(yaml.startIndex, offsetBy: offset ?? 0, limitedBy: yaml.endIndex) ?? yaml.endIndex
            let place = place(of: yaml.utf8.distance(from: yaml.startIndex, to: index), in: Array(yaml.utf8))
            return YAMLFault(line: place.line, column: place.column, message: "is not YAML: \(problem)")
        default:
            return YAMLFault(line: 1, column: 1, message: "cannot be read as YAML")
        }
    }
}
