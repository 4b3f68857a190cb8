internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Status: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "What needs a person, and how partners, packages and the log stand.",
        discussion: """
            Examples:
              hansa status
              hansa status --json
              hansa status --exit-code        5 when nothing needs a person
            """)

    @Flag(name: .customLong("exit-code"), help: "Exit with 5 when nothing needs a person.")
    var exitCode = false

    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        try ask(.status, terminal, wantsNothingToDo: exitCode, text: Self.text)
    }

    private static func text(_ document: JSONValue, _ style: Style) -> String {
        let attention = document["attention"]?.array ?? []
        var lines: [String] = []
        for item in attention.prefix(10) {
            lines.append("\(style.yellow("ATTENTION")) \(Style.text(item["code"]))  \(Style.text(item["text"]))")
        }
        if attention.count > 10 { lines.append("and \(attention.count - 10) more: hansa status --json") }
        if attention.isEmpty { lines.append("\(style.green("OK"))  nothing needs a person") }
        lines.append("")
        lines.append("city      \(Style.text(document["city"]))")
        lines.append(
            "packages  \(Style.text(document["packages"]?["own"])) own, \(Style.text(document["packages"]?["received"])) received"
        )
        let storage = document["storage"]
        lines.append("storage   \(Style.text(storage?["bytes"], name: "bytes"))")
        lines.append(
            "log       \(Style.text(document["log"]?["size"])) \(document["log"]?["size"]?.integer == 1 ? "entry" : "entries"), root \(Style.text(document["log"]?["root"]))"
        )
        lines.append("")
        let partners = document["partners"]?.array ?? []
        let table = Table(
            columns: [
                Table.Column("PARTNER", "city"), Table.Column("STATE", "state"), Table.Column("LAST SYNC", "lastSync"),
                Table.Column("IN SYNC", "inSync"),
            ], emptyText: "no partners yet")
        lines.append(table.render(Array(partners.prefix(12)), style))
        if partners.count > 12 { lines.append("and \(partners.count - 12) more: hansa partner list") }
        if let command = attention.lazy.compactMap({ $0["command"]?.string }).first {
            lines.append("next: \(command.printable())")
        } else if partners.isEmpty {
            lines.append("next: hansa partner add CARDFILE")
        } else {
            lines.append("next: hansa package list")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
