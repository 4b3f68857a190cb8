/// Why a YAML text is not taken, and where. Lines and columns count from 1; columns count Unicode scalars.
public struct YAMLFault: Error, Hashable, Sendable, CustomStringConvertible {
    public let line: Int
    public let column: Int
    /// Where in the document, such as `terms[0].packages[1]`; empty for the document itself.
    public let path: String
    public let message: String

    public init(line: Int, column: Int, path: String = "", message: String) {
        self.line = line
        self.column = column
        self.path = path
        self.message = message
    }

    public var description: String {
        "line \(line), column \(column): " + (path.isEmpty ? "" : path + ": ") + message
    }
}
