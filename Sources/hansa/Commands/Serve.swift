internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode
internal import Logging

struct Serve: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the node. SIGTERM drains and ends it, SIGHUP reloads its configuration.",
        discussion: """
            Examples:
              hansa serve
              hansa serve --home /srv/hansa
              HANSA_HOME=/srv/hansa hansa serve

            As a service: systemctl start hansa.
            """)

    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) async throws(Problem) -> Problem.Exit {
        let home = HomeLocation.find(option: global.home, environment: terminal.environment)
        do {
            try await NodeBootstrap.serve(home: home) { services, home, socket in
                AdminServer(services: services, home: home, socketPath: socket, logger: Logger(label: "hansa.admin"))
            }
            return .ok
        } catch let problem as Problem { throw problem } catch { throw Problem(.internalFault, "the node ended: \(error)") }
    }
}
