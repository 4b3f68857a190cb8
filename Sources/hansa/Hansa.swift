internal import ArgumentParser

/// The root of the command tree.
struct Hansa: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hansa",
        abstract: "Share datasets and practices between cities, under agreements that both have signed.",
        discussion: """
            Examples:
              hansa init --city kitchener.ca --name "City of Kitchener"
              hansa package publish data/roads --tlp GREEN
              hansa why auckland.nz kitchener.ca/roads
            """,
        version: "hansa 0.1.0",
        groupedSubcommands: [
            CommandGroup(name: "Daily", subcommands: [Init.self, Serve.self, Status.self, Sync.self, Doctor.self, Why.self]),
            CommandGroup(
                name: "Sharing",
                subcommands: [City.self, Partner.self, Agreement.self, Access.self, Package.self, Conflict.self, Obligation.self]),
            CommandGroup(
                name: "Keeping",
                subcommands: [
                    Audit.self, Store.self, Config.self, Restore.self, Explain.self, Completion.self, ManualCommand.self,
                ]),
        ])
}
