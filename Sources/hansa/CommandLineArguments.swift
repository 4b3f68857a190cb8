// What argument-parser leaves to do: global options before the command's words, near misses of those words.
internal import ArgumentParser
internal import HansaCore

struct CommandLineArguments {
    let all: [String]

    private static let flags: Set<String> = [
        "--json", "--stream", "-n", "--dry-run", "-y", "--yes", "--no-color", "-v", "--verbose",
    ]
    private static let valued: Set<String> = ["--home", "--confirm"]

    init(_ arguments: some Sequence<String>) { all = Array(arguments) }

    /// The command's words, and the rest without them, in order. Stops at the first word that names no subcommand.
    private func split(_ root: any ParsableCommand.Type) -> (
        words: [String], unknown: String?, parent: any ParsableCommand.Type, rest: [String]
    ) {
        var words: [String] = []
        var rest: [String] = []
        var parent = root
        var index = 0
        while index < all.count, !parent.configuration.subcommands.isEmpty {
            let argument = all[index]
            if Self.flags.contains(argument) || Self.valued.contains(where: { argument.hasPrefix($0 + "=") }) {
                rest.append(argument)
            } else if Self.valued.contains(argument) {
                rest.append(contentsOf: all[index..<min(all.count, index + 2)])
                index += 1
            } else if argument.hasPrefix("-") {
                break
            } else if let child = parent.configuration.subcommands.first(where: { $0._commandName == argument }) {
                words.append(argument)
                parent = child
            } else {
                return (words, argument, parent, rest + all[index...])
            }
            index += 1
        }
        return (words, nil, parent, rest + all[min(index, all.count)...])
    }

    /// The words first, then everything else: `hansa --json partner list` is `hansa partner list --json`.
    func normalized(_ root: any ParsableCommand.Type) -> [String] {
        let parts = split(root)
        return parts.words + parts.rest
    }

    /// Splits off the directories of a `package publish` beyond the first: argument-parser takes quadratic time over positional arguments
    /// (12 s for 10,000 of them). What is left is parsed as ever, and the rest is put back behind the first.
    func withoutManyDirectories(_ root: any ParsableCommand.Type) -> (arguments: [String], directories: [String]) {
        let normalized = normalized(root)
        guard split(root).words == ["package", "publish"], normalized.count > 64 else { return (normalized, []) }
        var kept: [String] = Array(normalized.prefix(2))
        var directories: [String] = []
        var hasFirst = false
        var takesValue = false
        var onlyOperands = false
        for argument in normalized.dropFirst(2) {
            if !onlyOperands, takesValue || argument.hasPrefix("-") {
                kept.append(argument)
                takesValue = !takesValue && Self.publishValued.contains(argument)
                onlyOperands = argument == "--"
            } else if !hasFirst {
                kept.append(argument)
                hasFirst = true
            } else {
                directories.append(argument)
            }
        }
        return (kept, directories)
    }

    private static let publishValued = valued.union(["--name", "--base", "--version", "--bump", "--tlp"])

    /// Throws for a word that names no command, with the nearest that does.
    func checkCommandWords(_ root: any ParsableCommand.Type) throws(Problem) {
        let parts = split(root)
        guard let unknown = parts.unknown, !(unknown == "help" && parts.words.isEmpty) else { return }
        let names = parts.parent.configuration.subcommands.map { $0._commandName }
        let path = (["hansa"] + parts.words).joined(separator: " ")
        let near = NearMiss.nearest(to: unknown, among: names)
        throw Problem(
            .usage, "'\(path)' has no command '\(unknown.printable(charactersMax: 60))'",
            try: near.map { "\(path) \($0)" } ?? "\(path) --help")
    }

    /// The command that explains these words.
    func help(_ root: any ParsableCommand.Type) -> String { (["hansa"] + split(root).words + ["--help"]).joined(separator: " ") }
}

enum NearMiss {
    /// The candidate at the least edit distance, if that is small for its length; the first of equals.
    static func nearest(to text: String, among candidates: [String]) -> String? {
        let text = text.lowercased()
        guard text.count <= 40 else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let distance = candidate.hasPrefix(text) && text.count >= 2 ? 1 : self.distance(Array(text), Array(candidate))
            if distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        guard let best, best.distance <= max(1, min(text.count, best.name.count) / 2) else { return nil }
        return best.name
    }

    /// Levenshtein's distance, with a swap of neighbours as one step (optimal string alignment).
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var before: [Int] = []
        var previous = Array(0...right.count)
        for (row, character) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var value = min(previous[column + 1] + 1, current[column] + 1, previous[column] + (character == other ? 0 : 1))
                if row > 0, column > 0, character == right[column - 1], left[row - 1] == other {
                    value = min(value, before[column - 1] + 1)
                }
                current.append(value)
            }
            before = previous
            previous = current
        }
        return previous[right.count]
    }
}
