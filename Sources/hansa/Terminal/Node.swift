// A command's connection to the node, or to the handlers in this process.
internal import Glibc
internal import HansaAPI
internal import HansaCore
internal import HansaNode

final class Node {
    private let session: AdminSession
    private let terminal: Terminal

    /// `prepare` runs before a home is opened in this process, when no node runs in it.
    init(_ global: GlobalOptions, _ terminal: Terminal, prepare: (String) throws(Problem) -> Void = { _ in }) throws(Problem) {
        self.terminal = terminal
        let home = HomeLocation.find(option: global.home, environment: terminal.environment)
        session = try AdminSession.open(home: home, socketPath: NodeBootstrap.socketPath(home: home)) { home throws(Problem) in
            try prepare(home)
            let node = try NodeBootstrap.openForCommand(home: home)
            return AdminSession.Opened(services: node) { () throws(Problem) in try node.close() }
        }
        if global.verbose {
            terminal.note(session.isRemote ? "asking the node of \(home)" : "no node runs in \(home): acting without one")
        }
        let client = session.client
        // The first signal ends the request and lets it clean up; the second ends at once.
        Interruption.watch { count in if count == 1 { client.interrupt() } else { _exit(Problem.Exit.interrupted.rawValue) } }
    }

    func run(
        _ request: AdminRequest, files: ClientFiles = .none, items: @escaping ([JSONValue]) -> Void = { _ in }
    ) throws(Problem) -> JSONValue {
        let display = ProgressDisplay(terminal)
        defer { display.clear() }
        return try session.client.run(
            request, files: files,
            observer: RequestObserver(
                progress: { display.show($0) },
                warning: { [terminal] message in
                    display.clear()
                    terminal.warn(message)
                },
                items: { batch in
                    display.clear()
                    items(batch)
                }))
    }

    func close() throws(Problem) { try session.close() }
}

extension HansaCommand {
    /// Runs one request, shows its result, and gives the exit code that the result asks for.
    func ask(
        _ request: AdminRequest, _ terminal: Terminal, files: ClientFiles = .none, wantsNothingToDo: Bool = false,
        text: (JSONValue, Style) -> String = { Outline.render($0, $1) }
    ) throws(Problem) -> Problem.Exit {
        let document = try result(of: request, terminal, files: files)
        terminal.show(document, text: text)
        return ExitRule.exit(for: request, document, wantsNothingToDo: wantsNothingToDo)
    }

    func result(of request: AdminRequest, _ terminal: Terminal, files: ClientFiles = .none) throws(Problem) -> JSONValue {
        try withNode(terminal) { node throws(Problem) in try node.run(request, files: files) }
    }

    /// Opens the node, runs the body, and lets go in any case; the body's fault is the one to tell.
    func withNode<T>(
        _ terminal: Terminal, prepare: (String) throws(Problem) -> Void = { _ in }, _ body: (Node) throws(Problem) -> T
    ) throws(Problem) -> T {
        let node = try Node(global, terminal, prepare: prepare)
        let value: T
        do throws(Problem) { value = try body(node) } catch {
            try? node.close()
            throw error
        }
        try node.close()
        return value
    }
}
