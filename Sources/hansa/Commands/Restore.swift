internal import ArgumentParser
internal import HansaCore

struct Restore: NotYetCommand {
    static let configuration = notYetConfiguration("Bring a home back from a backup.", example: "hansa restore /backup/hansa")
    static let comesWith = "the issue on the sync engine"
    @Argument(parsing: .allUnrecognized) var words: [String] = []
    @OptionGroup var global: GlobalOptions
}
