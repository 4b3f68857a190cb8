internal import HansaCore

extension ConfigurationYAML {
    /// The file with one key changed, everything else as it was, comments too. `value` is text as a person types it: a list as
    /// `a,b` or `[a, b]`.
    ///
    /// A key that stands in the file is replaced on its place; one that is commented out there is written below its comment in
    /// its stead; another goes below its parent, or at the end. What results is read again, and refused when it says anything
    /// but the old configuration with this one key changed.
    public static func set(_ text: String, _ key: String, _ value: String) throws(YAMLFault) -> String {
        guard let known = ConfigurationKey.named(key) else { throw ConfigurationKey.unknown(key) }
        var wanted = try read(text)
        let root = try YAMLDocument.read(text)
        let place = root.place(of: key)
        if key == "city" {
            throw YAMLFault(
                line: place.line, column: place.column, path: key, message: "stands in the city's keyring and cannot be changed")
        }
        try wanted.set(key, to: value, origin: .flag("config set"))
        if var editor = LineEditor(text) {
            editor.put(known.get(wanted), key: known, root: root)
            if let result = try? read(editor.text), result == wanted { return editor.text }
        }
        throw YAMLFault(
            line: place.line, column: place.column, path: key,
            message: "this file is written so that only a person can change it here")
    }
}

/// Changes one key of a YAML text by its lines.
private struct LineEditor {
    private var lines: [String]
    /// As the file ends its lines: LF, or CR LF throughout.
    private let lineEnd: String

    /// Nil for a text with line breaks other than these, which YAML counts and an editor of lines does not.
    init?(_ text: String) {
        let pieces = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        let returns = text.utf8.reduce(0) { $0 + ($1 == 0x0D ? 1 : 0) }
        let ended = pieces.dropLast().reduce(0) { $0 + ($1.last == 0x0D ? 1 : 0) }
        guard returns == ended, ended == 0 || ended == pieces.count - 1,
            !text.unicodeScalars.contains(where: { $0 == "\u{85}" || $0 == "\u{2028}" || $0 == "\u{2029}" })
        else { return nil }
        lineEnd = ended == 0 ? "\n" : "\r\n"
        lines = pieces.map { String(decoding: $0.last == 0x0D ? $0.dropLast() : $0, as: UTF8.self) }
        if lines.last == "" { lines.removeLast() }
    }

    var text: String { lines.joined(separator: lineEnd) + lineEnd }

    mutating func put(_ value: JSONValue, key: ConfigurationKey, root: YAMLNode) {
        let parts = key.parts
        // The deepest map on the key's path that stands in the file over lines of its own, and how far the path has got.
        var parent: (entry: YAMLEntry, next: Int)?
        var node = root
        for (depth, part) in parts.enumerated() {
            guard let entry = node.entry(part) else { break }
            let isLeaf = depth == parts.count - 1
            if isLeaf || !isBlock(entry) {
                let inner =
                    isLeaf
                    ? ConfigurationYAML.shown(value, key.schema) : flow(entry.value, setting: parts[(depth + 1)...], to: value)
                return replace(entry, in: node, with: inner)
            }
            parent = (entry, depth + 1)
            node = entry.value
        }
        insert(value, key: key, parts: parts, parent: parent, root: root)
    }

    /// A map whose members stand on lines of their own, or that has none yet.
    private func isBlock(_ entry: YAMLEntry) -> Bool {
        if entry.value.isEmpty { return true }
        guard case .map(let members) = entry.value.content, let first = members.first else { return false }
        return first.line > entry.line && entry.value.line > entry.line
    }

    // MARK: Replacing

    private mutating func replace(_ entry: YAMLEntry, in parent: YAMLNode, with text: String) {
        let start = entry.line - 1
        let end = endLine(of: entry, in: parent)
        let indent = String(lines[start].prefix { $0 == " " })
        let comment = end == start ? LineEditor.comment(in: lines[start]) : ""
        lines.replaceSubrange(start...end, with: ["\(indent)\(entry.key): \(text)\(comment)"])
    }

    /// The last line that belongs to the entry's value: below it come comments, blank lines and what is indented no deeper.
    private func endLine(of entry: YAMLEntry, in parent: YAMLNode) -> Int {
        let start = entry.line - 1
        var end = start
        var index = start + 1
        while index < lines.count {
            let line = lines[index]
            let content = line.trimmed
            if !content.isEmpty, !content.hasPrefix("#") {
                let depth = line.prefix { $0 == " " }.count
                // The items of a list may stand as deep as the key itself.
                guard
                    depth > entry.column - 1 || depth == entry.column - 1 && content.hasPrefix("-") || content.hasPrefix("]")
                        || content.hasPrefix("}")
                else { break }
                end = index
            }
            index += 1
        }
        return end
    }

    /// The comment at the end of a line, with the blanks before it.
    private static func comment(in line: String) -> String {
        var quote: Character?
        var previous: Character = " "
        for index in line.indices {
            let character = line[index]
            if let open = quote {
                if character == open, previous != "\\" || open == "'" { quote = nil }
            } else if character == "\"" || character == "'" {
                if [" ", "[", "{", ","].contains(previous) { quote = character }
            } else if character == "#", previous == " " || previous == "\t" {
                var start = index
                while start > line.startIndex, [" ", "\t"].contains(line[line.index(before: start)]) {
                    start = line.index(before: start)
                }
                return String(line[start...])
            }
            previous = character
        }
        return ""
    }

    /// A map in one line, as it was but for the key at the end of `path`.
    private func flow(_ node: YAMLNode, setting path: ArraySlice<String>, to value: JSONValue) -> String {
        func changed(_ node: YAMLNode?, _ path: ArraySlice<String>) -> JSONValue {
            guard let head = path.first else { return value }
            var members: [JSONMember] = []
            if case .map(let entries) = node?.content {
                // `.free` takes any shape; an empty value is left out, which is the same.
                for entry in entries where entry.key != head {
                    if let kept = try? YAMLSchema.free.value(entry.value) { members.append(JSONMember(entry.key, kept)) }
                }
            }
            members.append(JSONMember(head, changed(node?.entry(head)?.value, path.dropFirst())))
            return .object(members)
        }
        return YAMLWriter.flow(LineEditor.numbersAsWritten(changed(node, path)))
    }

    // `.free` reads numbers as texts; written plain again they are numbers to their key.
    private static func numbersAsWritten(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text): Int64(text).map(JSONValue.integer) ?? value
        case .object(let members): .object(members.map { JSONMember($0.name, numbersAsWritten($0.value)) })
        default: value
        }
    }

    // MARK: Inserting

    private mutating func insert(
        _ value: JSONValue, key: ConfigurationKey, parts: [String], parent: (entry: YAMLEntry, next: Int)?, root: YAMLNode
    ) {
        let missing = parts[(parent?.next ?? 0)...]
        let first = parent.map { $0.entry.line } ?? 0
        var last = lines.count - 1
        var indent = ""
        if let parent {
            let own = lines[parent.entry.line - 1].prefix { $0 == " " }.count
            indent = String(repeating: " ", count: own + 2)
            if case .map(let members) = parent.entry.value.content, let member = members.first {
                indent = String(repeating: " ", count: member.column - 1)
            }
            last = first
            while last < lines.count, lines[last].trimmed.isEmpty || lines[last].prefix(while: { $0 == " " }).count > own {
                last += 1
            }
            last -= 1
        }
        if missing.count == 1, let name = missing.first, first <= last {
            let commented = (first...last).first { index in
                let line = lines[index].trimmed
                guard line.hasPrefix("#"), lines[index].prefix(while: { $0 == " " }).count == indent.count else { return false }
                return line.drop { $0 == "#" || $0 == " " }.hasPrefix(name + ":")
            }
            if let commented {
                lines[commented] = "\(indent)\(name): \(ConfigurationYAML.shown(value, key.schema))"
                return
            }
        }
        var added: [String] = []
        for (depth, part) in missing.enumerated() {
            let isLeaf = depth == missing.count - 1
            let margin = indent + String(repeating: "  ", count: depth)
            added.append("\(margin)\(part):" + (isLeaf ? " " + ConfigurationYAML.shown(value, key.schema) : ""))
        }
        lines.insert(contentsOf: added, at: parent == nil ? lines.count : first)
    }
}
