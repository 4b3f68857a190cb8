// The command line: parses, runs one command, turns what comes into text and an exit code (CLI.md). No decisions are made here; they are
// HansaNode's, and HansaAPI brings them.
internal import ArgumentParser
internal import Glibc
internal import HansaCore

@main
enum Main {
    static func main() async {
        let arguments = CommandLineArguments(CommandLine.arguments.dropFirst())
        let terminal = Terminal(arguments: arguments.all)
        let code = await run(arguments, terminal).rawValue
        // Not exit(3): its handlers take libcrypto down while a thread of ours may still be letting go of keys. What must last is on the disk.
        fflush(nil)
        _exit(code)
    }

    private static func run(_ arguments: CommandLineArguments, _ terminal: Terminal) async -> Problem.Exit {
        do {
            try arguments.checkCommandWords(Hansa.self)
            let (parsed, directories) = arguments.withoutManyDirectories(Hansa.self)
            var command = try Hansa.parseAsRoot(parsed)
            if var publish = command as? Package.Publish {
                publish.directories += directories
                command = publish
            }
            guard let command = command as? any HansaCommand else {
                // `help`, and a noun without its verb, which asks for help: argument-parser's own commands.
                var command = command
                try command.run()
                return .ok
            }
            return try await command.execute(terminal)
        } catch let problem as Problem {
            terminal.fail(problem)
            return problem.exit
        } catch {
            let text = Hansa.fullMessage(for: error)
            if Hansa.exitCode(for: error) == .success {
                terminal.write(text + "\n")
                return .ok
            }
            let problem = Problem(.usage, Hansa.message(for: error).firstLine, try: arguments.help(Hansa.self))
            terminal.fail(problem)
            return problem.exit
        }
    }
}

/// A command of the tree. `execute` prints its result and returns the exit code of a run that did not fail.
protocol HansaCommand: ParsableCommand {
    var global: GlobalOptions { get }
    func execute(_ terminal: Terminal) async throws(Problem) -> Problem.Exit
}

extension String {
    var firstLine: String { split(separator: "\n").first.map(String.init) ?? self }
}
