/// A YAML value as it was written: texts, lists and maps, each with its place. What a text means is for the schema to say,
/// so a country `NO` is no boolean and a version `1.0` no number.
public struct YAMLNode: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        /// `isPlain`: written without quotes and not as a block.
        case scalar(String, isPlain: Bool)
        case list([YAMLNode])
        /// In the order written; no key stands twice.
        case map([YAMLEntry])
    }

    public let content: Content
    /// From 1.
    public let line: Int
    /// From 1, in Unicode scalars.
    public let column: Int

    public init(_ content: Content, line: Int, column: Int) {
        self.content = content
        self.line = line
        self.column = column
    }

    public subscript(key: String) -> YAMLNode? { entry(key)?.value }

    func entry(_ key: String) -> YAMLEntry? {
        guard case .map(let entries) = content else { return nil }
        return entries.first { $0.key == key }
    }

    /// Nothing was written, as after `key:` at the end of a line.
    var isEmpty: Bool { content == .scalar("", isPlain: true) }

    /// The place of a path such as `terms[0].packages[1]`, or of its deepest part that exists: the key where there is one,
    /// else the value.
    public func place(of path: String) -> (line: Int, column: Int) {
        var node = self
        var place = (line, column)
        for part in path.split(whereSeparator: { $0 == "." || $0 == "[" }) {
            switch node.content {
            case .map:
                guard let entry = node.entry(String(part)) else { return place }
                place = (entry.line, entry.column)
                node = entry.value
            case .list(let items):
                guard part.last == "]", let index = Int(part.dropLast()), items.indices.contains(index) else { return place }
                node = items[index]
                place = (node.line, node.column)
            case .scalar: return place
            }
        }
        return place
    }
}

/// One key of a map and its value.
public struct YAMLEntry: Hashable, Sendable {
    public let key: String
    /// Of the key.
    public let line: Int
    public let column: Int
    public let value: YAMLNode

    public init(key: String, line: Int, column: Int, value: YAMLNode) {
        self.key = key
        self.line = line
        self.column = column
        self.value = value
    }
}
