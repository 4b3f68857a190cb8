internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

extension Package {
    struct Diff: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "What changed between two releases: resources, fields, rows.",
            discussion: """
                Tables are compared row by row by their primary key, cell by cell; without a key whole rows are counted.
                The proposed version follows Data Package: MAJOR for fields, MINOR for what is added, PATCH for corrections.
                Examples:
                  hansa package diff kitchener.ca/roads@1.0.0 kitchener.ca/roads@latest
                  hansa package diff a.example/x@1.0.0 a.example/x --limit 100 --json
                  hansa package diff a.example/x@1.0.0 a.example/x --exit-code     5 when they are equal
                """)
        @Argument(help: ArgumentHelp("The older release.", valueName: "REF")) var from: String
        @Argument(help: ArgumentHelp("The newer one.", valueName: "REF")) var to: String
        @Option(help: ArgumentHelp("How many rows of each kind to show of a table.", valueName: "N")) var limit = 10
        @Flag(name: .customLong("exit-code"), help: "Exit with 5 when nothing changed.") var exitCode = false
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.packageDiff(from: from, to: to, limit: limit), terminal, wantsNothingToDo: exitCode, text: Self.text)
        }

        private static func text(_ document: JSONValue, _ style: Style) -> String {
            func side(_ value: JSONValue?) -> String { "\(Style.text(value?["package"])) \(Style.text(value?["version"]))" }
            var text = "\(side(document["from"]))  →  \(side(document["to"]))\n"
            if document["equal"]?.bool == true { return text + "no difference\n" }
            for resource in document["resources"]?.array ?? [] { text += self.resource(resource, style) }
            if document["metadataChanged"]?.bool == true { text += "the description changed\n" }
            if let count = document["unchanged"]?.integer, count > 0 { text += "\(count) unchanged\n" }
            text += "\nproposed version: \(Style.text(document["proposedVersion"])) (\(Style.text(document["bump"])))\n"
            for reason in (document["reasons"]?.array ?? []).prefix(20) { text += "  \(Style.text(reason["text"]))\n" }
            return text
        }

        private static func resource(_ resource: JSONValue, _ style: Style) -> String {
            var text = "\(Style.text(resource["state"]))  \(Style.text(resource["path"]))"
            if let rows = resource["rows"] {
                text += "  rows: \(Style.text(rows["added"])) added, \(Style.text(rows["removed"])) removed, "
                text += "\(Style.text(rows["changed"])) changed"
            }
            text += "\n"
            for name in ["problem", "note"] {
                if let note = (resource[name] ?? resource["rows"]?[name])?.string { text += "    \(note.printable())\n" }
            }
            let examples = resource["rows"]?["examples"]
            func line(_ values: JSONValue?) -> String {
                (values?.array ?? []).map { ($0.string ?? "").printable(charactersMax: 60) }.joined(separator: " | ")
            }
            for row in examples?["removed"]?.array ?? [] { text += "  - \(line(row["values"]))\n" }
            for row in examples?["added"]?.array ?? [] { text += "  + \(line(row["values"]))\n" }
            for row in examples?["changed"]?.array ?? [] {
                let cells = (row["cells"]?.array ?? []).map { cell in
                    func value(_ name: String) -> String { cell[name]?.string?.printable(charactersMax: 60) ?? "(no field)" }
                    return "\(value("column")): \(value("before")) → \(value("after"))"
                }
                text += "  ~ \(line(row["key"])): \(cells.joined(separator: ", "))\n"
            }
            return text
        }
    }
}
