internal import ArgumentParser
internal import HansaCore

struct Completion: HansaCommand {
    static let configuration = CommandConfiguration(
        abstract: "Completions for a shell, on stdout.",
        discussion: """
            Examples:
              hansa completion bash > /etc/bash_completion.d/hansa
              hansa completion zsh > ~/.zfunc/_hansa
              hansa completion fish > ~/.config/fish/completions/hansa.fish
            """)
    @Argument(help: ArgumentHelp("bash, zsh or fish.", valueName: "SHELL")) var shell: String
    @OptionGroup var global: GlobalOptions

    func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
        guard let known = CompletionShell(rawValue: shell) else {
            let near = NearMiss.nearest(to: shell, among: CompletionShell.allCases.map(\.rawValue))
            throw Problem(
                .usage, "no completions for '\(shell.printable(charactersMax: 40))'", try: "hansa completion \(near ?? "bash")")
        }
        let script = Hansa.completionScript(for: known)
        terminal.show(["schema": "hansa.completion/1", "shell": .string(shell), "script": .string(script)]) { _, _ in script }
        return .ok
    }
}
