internal import ArgumentParser
internal import HansaAPI
internal import HansaCore

struct Why: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Whether a partner may have a package, by which clause and grant, and how to change it.",
        discussion: """
            Examples:
              hansa why auckland.nz kitchener.ca/roads/breaks
              hansa why auckland.nz kitchener.ca/roads/breaks --json
              hansa why boston.gov kitchener.ca/budget && echo shared        0 yes, 7 no

            A package of another city that we maintain, or may pass on, is asked about in the same way: what we show of it is told.
            """)

    @Argument(help: ArgumentHelp("The partner's city id.", valueName: "PARTNER"))
    var partner: String

    @Argument(help: ArgumentHelp("city/path.", valueName: "PACKAGE"))
    var package: String

    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        try ask(.why(partner: partner, package: package), terminal, text: Self.text)
    }

    private static func text(_ document: JSONValue, _ style: Style) -> String {
        let allowed = document["allowed"]?.bool == true
        let partner = Style.text(document["partner"])
        let package = Style.text(document["package"])
        let isDiscover = document["level"]?.string == "discover"
        // Of a package of the partner's own the question is what we may have of it.
        let isTheirs = package.hasPrefix(partner + "/")
        let who = isTheirs ? "we" : partner
        let what = isTheirs ? "\(package) from \(partner)" : package
        var text =
            allowed
            ? "\(style.green("YES"))  \(who) may \(isDiscover ? "know that \(package) exists" : "have \(what)")\n"
            : "\(style.red("NO"))  \(who) may not have \(what)\n"
        var lines: [(label: String, text: String)] = []
        var rest: [JSONMember] = []
        let told: Set<String> = ["schema", "partner", "package", "allowed", "delivery", "passage", "shows"]
        let members = document.object ?? []
        let first = ["reason", "clause", "agreement", "grant", "level", "until"]
        for name in first {
            guard let value = document[name], !value.isNull else { continue }
            lines.append((name, Style.text(value)))
        }
        if let delivery = document["delivery"], let state = delivery["state"]?.string {
            let reason = delivery["reason"].flatMap { $0.isNull ? nil : ": \(Style.text($0))" } ?? ""
            lines.append(("delivery", "\(state)\(reason)"))
        }
        for member in members where !told.contains(member.name) && !first.contains(member.name) && !member.value.isNull {
            if member.value.object != nil || member.value.array != nil {
                rest.append(member)
            } else {
                lines.append((Outline.label(member.name), Style.text(member.value, name: member.name)))
            }
        }
        let width = lines.map(\.label.count).max() ?? 0
        for line in lines {
            text += "  \(line.label)\(String(repeating: " ", count: width - line.label.count))  \(line.text)\n"
        }
        // What we write or pass on of a package that is not ours alone.
        for showing in document["shows"]?.array ?? [] {
            let isShown = showing["allowed"]?.bool == true
            let state = isShown ? Style.text(showing["delivery"]?["state"]) : "no: \(Style.text(showing["reason"]))"
            text += "  \(Style.text(showing["passage"])) by us, written by \(Style.text(showing["writer"])): \(state)\n"
        }
        return text + Outline.indented(Outline.render(.object(rest), style))
    }
}
