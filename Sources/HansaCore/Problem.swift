/// What went wrong, for a person and for a script: what happened and why, a stable code, and the next command (CLI.md §9).
///
/// Modules keep their own closed error enums inside; a `Problem` is what leaves through a service's edge.
public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The exit codes of the command line (CLI.md §4).
    public enum Exit: Int32, Sendable, Codable {
        case ok = 0
        case failed = 1
        case partlyDone = 3
        case notAuthorised = 4
        case nothingToDo = 5
        case verificationFailed = 6
        case refusedByTerms = 7
        case unreachable = 8
        case conflict = 9
        case usage = 64
        case interrupted = 130
    }

    /// Stable: `H` and three digits; `hansa explain CODE` tells more. The catalogue is `ProblemCode`.
    public let code: ProblemCode
    public let message: String
    public let clause: String?
    /// The command to run next.
    public let next: String?
    public let exit: Exit

    public init(_ code: ProblemCode, _ message: String, clause: String? = nil, try next: String? = nil, exit: Exit? = nil) {
        self.code = code
        self.message = message
        self.clause = clause
        self.next = next
        self.exit = exit ?? code.exit
    }

    public var description: String { "error[\(code.rawValue)]: \(message)" + (next.map { "\n  try: \($0)" } ?? "") }
}
