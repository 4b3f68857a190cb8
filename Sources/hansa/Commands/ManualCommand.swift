internal import ArgumentParser
internal import HansaCore

struct ManualCommand: HansaCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual",
        abstract: "The manual page, on stdout.",
        discussion: """
            Examples:
              hansa manual > /usr/local/share/man/man1/hansa.1
              hansa manual | man -l -
              hansa manual | mandoc -T html > hansa.html
            """)
    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        let page = try Manual.page(on: terminal.now)
        terminal.show(["schema": "hansa.manual/1", "page": .string(page)]) { _, _ in page }
        return .ok
    }
}
