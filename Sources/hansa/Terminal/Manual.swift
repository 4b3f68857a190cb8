// hansa(1) as mdoc(7), made from the same declarations as help and completions. Options that every command has are told once.
internal import ArgumentParser
internal import Foundation
internal import HansaCore

struct Manual {
    private let root: JSONValue
    private let common: Set<String>
    private var lines: [String] = []

    /// The whole page, dated with the day it is made.
    static func page(on day: Timestamp) throws(Problem) -> String {
        let root: JSONValue
        do {
            let dump = try JSONDecoder().decode(JSONValue.self, from: Data(Hansa._dumpHelp().utf8))
            guard let command = dump["command"] else { throw Problem(.internalFault, "the commands describe nothing") }
            root = command
        } catch let problem as Problem { throw problem } catch {
            throw Problem(.internalFault, "the commands cannot be described: \(error)")
        }
        var manual = Manual(root)
        manual.write(date(day))
        return manual.lines.joined(separator: "\n") + "\n"
    }

    /// `November 21, 2026`: mdoc reads no other.
    private static func date(_ moment: Timestamp) -> String {
        let months = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
            "December",
        ]
        let parts = moment.description.prefix(10).split(separator: "-").compactMap { Int($0) }
        guard parts.count == 3, months.indices.contains(parts[1] - 1) else { return moment.description }
        return "\(months[parts[1] - 1]) \(parts[2]), \(parts[0])"
    }

    private init(_ root: JSONValue) {
        self.root = root
        let sets = Manual.leaves(root, []).map { leaf in Set(Manual.options(leaf.command).compactMap(Manual.name)) }
        common = sets.dropFirst().reduce(sets.first ?? []) { $0.intersection($1) }
    }

    // MARK: What there is

    private static func leaves(_ command: JSONValue, _ path: [String]) -> [(path: [String], command: JSONValue)] {
        let words = path + [command["commandName"]?.string ?? ""]
        let below = (command["subcommands"]?.array ?? []).filter {
            $0["shouldDisplay"]?.bool != false && $0["commandName"]?.string != "help"
        }
        guard !below.isEmpty else { return [(words, command)] }
        return below.flatMap { leaves($0, words) }
    }

    private static func arguments(_ command: JSONValue) -> [JSONValue] {
        (command["arguments"]?.array ?? []).filter { $0["shouldDisplay"]?.bool != false }
    }

    private static func options(_ command: JSONValue) -> [JSONValue] {
        arguments(command).filter { $0["kind"]?.string != "positional" }
    }

    private static func name(_ option: JSONValue) -> String? { option["preferredName"]?["name"]?.string }

    // MARK: The page

    private mutating func write(_ date: String) {
        lines = [
            ".Dd \(date)", ".Dt HANSA 1", ".Os", ".Sh NAME", ".Nm hansa",
            ".Nd share datasets and practices between cities, under signed agreements", ".Sh SYNOPSIS", ".Nm", ".Ar command",
            ".Op Ar options", ".Sh DESCRIPTION",
        ]
        text(
            "A city runs one node with \"hansa serve\"; every other command talks to it over the Unix socket of its home, or does the work itself "
                + "where no node runs. Results go to standard output, messages and progress to standard error.")
        lines += [
            ".Pp", "Each command prints one JSON document with", ".Fl -json ,", "and what it would do with", ".Fl n .",
            ".Sh OPTIONS",
        ]
        text("Of every command:")
        let all = Manual.leaves(root, [])
        if let first = all.first { list(Manual.options(first.command).filter { Manual.name($0).map(common.contains) == true }) }
        lines.append(".Sh COMMANDS")
        for leaf in all { write(leaf.path, leaf.command) }
        end()
    }

    private mutating func write(_ path: [String], _ command: JSONValue) {
        lines.append(".Ss \(Manual.escaped(path.joined(separator: " ")))")
        let own = Manual.arguments(command).filter { argument in
            argument["kind"]?.string == "positional" || Manual.name(argument).map { !common.contains($0) } == true
        }
        text(command["abstract"]?.string ?? "")
        if !own.isEmpty { list(own) }
        let discussion = command["discussion"]?.string ?? ""
        let parts = discussion.split(separator: "\n", omittingEmptySubsequences: false)
        var rest: [Substring] = []
        var examples: [Substring] = []
        var isExamples = false
        for line in parts {
            if line == "Examples:" {
                isExamples = true
            } else if isExamples, line.hasPrefix("  ") {
                examples.append(line.dropFirst(2))
            } else {
                isExamples = false
                rest.append(line)
            }
        }
        let words = rest.joined(separator: " ").split(separator: " ").joined(separator: " ")
        if !words.isEmpty {
            lines.append(".Pp")
            text(words)
        }
        guard !examples.isEmpty else { return }
        lines += [".Bd -literal -offset indent"]
        for example in examples { lines.append(Manual.line(String(example))) }
        lines.append(".Ed")
    }

    private mutating func list(_ arguments: [JSONValue]) {
        lines.append(".Bl -tag -width Ds")
        for argument in arguments {
            let value = (argument["valueName"]?.string).map { Manual.escaped($0) } ?? ""
            let many = argument["isRepeating"]?.bool == true ? " ..." : ""
            if argument["kind"]?.string == "positional" {
                lines.append(".It Ar \(value)\(many)")
            } else {
                let names = (argument["names"]?.array ?? []).compactMap { name in
                    name["name"]?.string.map { (name["kind"]?.string == "short" ? "" : "-") + $0 }
                }
                let flags = names.map { ".Fl \($0)" }.joined(separator: " , ").dropFirst()
                let takes = argument["kind"]?.string == "option" ? " Ar \(value)" : ""
                lines.append(".It \(flags.replacing(" , .", with: " , "))\(takes)")
            }
            text(argument["abstract"]?.string ?? "")
        }
        lines.append(".El")
    }

    private mutating func end() {
        lines += [".Sh ENVIRONMENT", ".Bl -tag -width Ds", ".It Ev HANSA_HOME"]
        text("The node's home, where no option names it.")
        lines.append(".It Ev NO_COLOR")
        text("No colour, whatever the terminal can do.")
        lines += [".El", ".Sh FILES", ".Bl -tag -width Ds", ".It Pa /var/lib/hansa"]
        text("The home of a server's node. Without it the home is ~/.local/share/hansa.")
        lines.append(".It Pa hansa.yaml")
        text("The configuration, in the home; \"hansa config show\" tells every key.")
        lines += [".It Pa run/hansa.sock"]
        text("Where commands find the node, in the home.")
        lines += [".El", ".Sh EXIT STATUS", ".Bl -tag -width Ds"]
        for (code, meaning) in Manual.exits {
            lines.append(".It \(code)")
            text(meaning)
        }
        lines += [".El", ".Sh SEE ALSO"]
        text(
            "\"hansa explain CODE\" tells more of an error; OPERATIONS.md, which is installed with the program, says how to run a node."
        )
    }

    private static let exits: [(Int32, String)] = [
        (Problem.Exit.ok.rawValue, "Done."), (Problem.Exit.failed.rawValue, "Failed."),
        (Problem.Exit.partlyDone.rawValue, "Partly done."),
        (Problem.Exit.notAuthorised.rawValue, "Not authorised: a role or a key is missing."),
        (Problem.Exit.nothingToDo.rawValue, "Nothing to do, with --exit-code."),
        (Problem.Exit.verificationFailed.rawValue, "A signature, hash, chain or proof does not hold."),
        (Problem.Exit.refusedByTerms.rawValue, "Refused by the terms of an agreement, or for want of a grant."),
        (Problem.Exit.unreachable.rawValue, "A partner is unreachable; trying again may help."),
        (Problem.Exit.conflict.rawValue, "A conflict that a person decides."), (Problem.Exit.usage.rawValue, "Wrong usage."),
        (Problem.Exit.interrupted.rawValue, "Interrupted."),
    ]

    // MARK: roff

    /// A paragraph: each sentence on a line of its own, as mdoc has it.
    private mutating func text(_ text: String) {
        var line = ""
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            line += line.isEmpty ? String(word) : " " + word
            if word.hasSuffix(".") || word.hasSuffix("?") {
                lines.append(Manual.line(line))
                line = ""
            }
        }
        if !line.isEmpty { lines.append(Manual.line(line)) }
    }

    private static func line(_ text: String) -> String {
        let escaped = escaped(text)
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }

    private static func escaped(_ text: String) -> String { text.replacing("\\", with: "\\e") }
}
