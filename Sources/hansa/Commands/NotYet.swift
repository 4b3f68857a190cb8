internal import ArgumentParser
internal import HansaCore

/// A command that the contract names and this version does not do: it says so, and changes nothing.
protocol NotYetCommand: HansaCommand {}

extension NotYetCommand {
    static func notYetConfiguration(_ abstract: String, example: String) -> CommandConfiguration {
        CommandConfiguration(
            abstract: abstract,
            discussion: """
                Not in this version: the command ends with exit code 64 and changes nothing.
                Examples:
                  \(example)
                  hansa explain H003
                  hansa --version
                """)
    }

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        throw Problem(.notYet, "this command is not in this version", try: "hansa --help")
    }
}
