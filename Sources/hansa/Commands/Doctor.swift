internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Doctor: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the node: each check by itself, with its remedy.",
        discussion: """
            Examples:
              hansa doctor
              hansa doctor --json
              hansa doctor --report doctor.json       for whoever helps you
            """)

    @Option(help: ArgumentHelp("Write the report to a file as well.", valueName: "FILE"))
    var report: String?

    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        let document = try result(of: .doctor, terminal)
        if let report, !global.dryRun {
            try LocalFile.write(String(decoding: document.serialized(pretty: true), as: UTF8.self), to: report, replacing: true)
        }
        terminal.show(document, text: Self.text)
        return ExitRule.exit(for: .doctor, document)
    }

    private static func text(_ document: JSONValue, _ style: Style) -> String {
        guard let checks = document["checks"]?.array else { return Outline.render(document, style) }
        var text = ""
        for check in checks {
            let word = Style.text(check["state"])
            let coloured =
                word == "pass" ? style.green("PASS") : word == "fail" ? style.red("FAIL") : style.yellow(word.uppercased())
            text += "\(coloured)  \(Style.text(check["name"]))"
            if let detail = check["text"] ?? check["detail"] ?? check["message"], !detail.isNull {
                text += ": \(Style.text(detail))"
            }
            text += "\n"
            if let fix = check["fix"], !fix.isNull, word != "pass" { text += "      fix: \(Style.text(fix))\n" }
        }
        return text
    }
}
