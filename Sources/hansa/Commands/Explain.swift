internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Explain: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "What an error code means, and what to do.",
        discussion: """
            Examples:
              hansa explain H231
              hansa explain H012 --json
              hansa doctor
            """)
    @Argument(help: ArgumentHelp("As in error[CODE].", valueName: "CODE")) var code: String
    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        guard let known = ProblemCode(rawValue: code.uppercased()) else {
            // Of two codes that differ in two places one says nothing about the other.
            let near = NearMiss.nearest(to: code, among: ProblemCode.allCases.map { $0.rawValue.lowercased() }).flatMap {
                NearMiss.distance(Array($0), Array(code.lowercased())) < 2 ? $0 : nil
            }
            throw Problem(
                .usage, "'\(code.printable(charactersMax: 40))' is no error code",
                try: near.map { "hansa explain \($0.uppercased())" }
                    ?? "the code as it stands in error[…], such as hansa explain H310")
        }
        let text = Explanations.text(for: known)
        terminal.show([
            "schema": "hansa.explain/1", "code": .string(known.rawValue), "text": .string(text),
            "exit": .integer(Int64(known.exit.rawValue)),
        ]) { _, style in "\(style.bold(known.rawValue)) (exit code \(known.exit.rawValue))\n\(Self.wrapped(text))\n" }
        return .ok
    }

    private static func wrapped(_ text: String) -> String {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + word.count + 1 > 78 {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " " + word
        }
        return (lines + [line]).joined(separator: "\n")
    }
}
