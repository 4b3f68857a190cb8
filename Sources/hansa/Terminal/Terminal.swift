// Where output goes: stdout is the result, stderr is everything else (CLI.md §2).
internal import Foundation
internal import Glibc
internal import HansaAPI
internal import HansaCore

final class Terminal {
    let environment: [String: String]
    /// A person is at the other end and can answer.
    let isInteractive: Bool
    let showsProgressInPlace: Bool
    /// Set by `configure`; before that read from the raw arguments, so that a usage error knows it.
    private(set) var isJSON: Bool
    private(set) var streams: Bool
    private var colours: Bool
    private var coloursErrors: Bool

    init(arguments: [String]) {
        environment = ProcessInfo.processInfo.environment
        isInteractive = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1
        let options = arguments.prefix { $0 != "--" }
        isJSON = options.contains("--json")
        streams = options.contains("--stream")
        let allowed =
            environment["NO_COLOR"].map(\.isEmpty) ?? true && environment["TERM"] != "dumb" && !options.contains("--no-color")
        colours = allowed && isatty(STDOUT_FILENO) == 1
        coloursErrors = allowed && isatty(STDERR_FILENO) == 1
        showsProgressInPlace = isatty(STDERR_FILENO) == 1 && environment["TERM"] != "dumb"
    }

    /// The wall clock, for `--since 7d` and ages.
    var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    // MARK: stdout

    func write(_ text: String) { write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) { Terminal.write(bytes, to: STDOUT_FILENO) }

    /// The result: JSON as CLI.md §3 says, or the text made from it.
    func show(_ document: JSONValue, text: (JSONValue, Style) -> String) {
        guard isJSON else {
            let rendered = text(document, Style(colours: colours))
            write(rendered.isEmpty || rendered.hasSuffix("\n") ? rendered : rendered + "\n")
            return
        }
        if streams, let list = document.object?.dropFirst().first(where: { $0.value.array != nil })?.value.array {
            for item in list { writeLine(item) }
        } else {
            write(json(document))
        }
    }

    /// One object on a line of its own.
    func writeLine(_ item: JSONValue) { write(item.serialized() + [0x0A]) }

    private func json(_ document: JSONValue) -> [UInt8] {
        isatty(STDOUT_FILENO) == 1 ? document.serialized(pretty: true) : document.serialized() + [0x0A]
    }

    // MARK: stderr

    static func note(_ text: String) { write(Array((text + "\n").utf8), to: STDERR_FILENO) }
    func note(_ text: String) { Terminal.write(Array((text + "\n").utf8), to: STDERR_FILENO) }
    func noteInPlace(_ text: String) { Terminal.write(Array(("\r" + text + "\u{1B}[K").utf8), to: STDERR_FILENO) }

    func warn(_ message: String) {
        note("\(Style(colours: coloursErrors).yellow("warning")): \(message.printable(charactersMax: 2000))")
    }

    /// The text on stderr in both modes, and with `--json` the document on stdout (CLI.md §9, §16).
    func fail(_ problem: Problem) {
        if isJSON {
            write(
                json([
                    "schema": "hansa.error/1", "code": .string(problem.code.rawValue), "message": .string(problem.message),
                    "clause": JSONValue(problem.clause), "try": JSONValue(problem.next),
                ]))
        }
        let label = Style(colours: coloursErrors).red("error[\(problem.code.rawValue)]")
        note("\(label): \(Terminal.lines(problem.message))")
        if let next = problem.next { note("  try: \(next.printable(charactersMax: 500))") }
    }

    /// A message of several lines, each made safe.
    static func lines(_ message: String) -> String {
        message.split(separator: "\n", omittingEmptySubsequences: false).map { String($0).printable(charactersMax: 2000) }.joined(
            separator: "\n")
    }

    // MARK: Questions

    /// Asks on stderr and reads a line; nil when there is nobody to ask, or at the end of input.
    func ask(_ question: String) -> String? {
        guard isInteractive else { return nil }
        Terminal.write(Array((question + " ").utf8), to: STDERR_FILENO)
        return readLine()?.trimmingCharacters(in: .whitespaces)
    }

    func confirms(_ question: String) -> Bool {
        ["y", "yes"].contains(ask(question + " [y/N]")?.lowercased() ?? "")
    }

    private static func write(_ bytes: [UInt8], to descriptor: CInt) {
        var start = 0
        while start < bytes.count {
            let written = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + start }, bytes.count - start)
            }
            if written > 0 {
                start += written
            } else if errno == EAGAIN {
                // Somebody gave us a non-blocking pipe.
                var entry = pollfd(fd: descriptor, events: CShort(POLLOUT), revents: 0)
                poll(&entry, 1, -1)
            } else if errno != EINTR {
                // The reader has gone, as `head` does: nobody is left to tell.
                if descriptor == STDOUT_FILENO { _exit(errno == EPIPE ? 0 : 1) }
                return
            }
        }
    }
}
