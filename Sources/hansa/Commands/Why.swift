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
        var text =
            allowed
            ? "\(style.green("YES"))  \(partner) may \(document["level"]?.string == "discover" ? "know that \(package) exists" : "have \(package)")\n"
            : "\(style.red("NO"))  \(partner) may not have \(package)\n"
        for name in ["reason", "clause", "agreement", "grant", "level", "until"] {
            guard let value = document[name], !value.isNull else { continue }
            text += "  \(name)\(String(repeating: " ", count: 11 - name.count))\(Style.text(value))\n"
        }
        if let delivery = document["delivery"], let state = delivery["state"]?.string {
            let reason = delivery["reason"].flatMap { $0.isNull ? nil : ": \(Style.text($0))" } ?? ""
            text += "  delivery   \(state)\(reason)\n"
        }
        // What we write or pass on of a package that is not ours alone.
        for showing in document["shows"]?.array ?? [] {
            let isShown = showing["allowed"]?.bool == true
            let state = isShown ? Style.text(showing["delivery"]?["state"]) : "no: \(Style.text(showing["reason"]))"
            text += "  \(Style.text(showing["passage"])) by us, written by \(Style.text(showing["writer"])): \(state)\n"
        }
        let rest = Outline.render(
            document, style,
            leavingOut: [
                "partner", "package", "allowed", "reason", "clause", "agreement", "grant", "level", "until", "delivery",
                "passage",
                "shows",
            ])
        return text + Outline.indented(rest)
    }
}
