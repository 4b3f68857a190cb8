internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Init: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the home of a city's node: keys, keyring, configuration.",
        discussion: """
            Examples:
              hansa init --city kitchener.ca --name Kitchener --country CA
              hansa init --city auckland.nz --name Auckland --listen 0.0.0.0:4747
              hansa init --home /srv/hansa --city testville.example --name Testville
            """)

    @Option(help: ArgumentHelp("The city's id, a DNS-like name such as kitchener.ca.", valueName: "ID"))
    var city: String

    @Option(help: ArgumentHelp("The city's name for people.", valueName: "TEXT"))
    var name: String

    @Option(help: ArgumentHelp("ISO 3166 country code.", valueName: "CC"))
    var country: String?

    @Option(help: ArgumentHelp("Where the node listens.", valueName: "HOST:PORT"))
    var listen: String?

    @Option(
        parsing: .singleValue, help: ArgumentHelp("Where partners reach it; may be given more than once.", valueName: "HOST:PORT")
    )
    var advertise: [String] = []

    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        let home = HomeLocation.find(option: global.home, environment: terminal.environment)
        do throws(NameFault) { _ = try CityID(city) } catch {
            throw Problem(
                .badName, error.description,
                try: error.suggestion.map { "hansa init --city \($0) --name \"\(name.printable())\"" }
                    ?? "the name of the city's own domain, such as kitchener.ca")
        }
        if global.dryRun {
            terminal.show([
                "schema": "hansa.init/1", "city": .string(city), "fingerprint": nil, "home": .string(home), "dryRun": true,
            ]) { _, _ in
                "would make the home of \(city) at \(home)"
            }
            return .ok
        }
        let document = try NodeBootstrap.initialize(
            home: home, city: city, name: name, country: country, listen: listen, advertise: advertise)
        // As the commands that follow are typed.
        let option = global.home.map { " --home \($0.printable())" } ?? ""
        terminal.show(document) { document, style in
            """
            \(style.bold(Style.text(document["city"]))) is ready.
              home         \(Style.text(document["home"]))
              fingerprint  \(Style.text(document["fingerprint"]))
            Next: hansa serve\(option), and give your card to a partner: hansa city card\(option) > \(city).card
            """
        }
        return .ok
    }
}
