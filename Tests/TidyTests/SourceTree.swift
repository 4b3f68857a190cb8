// The repository as the tidy tests read it: files as text, found from where this file lies.
import Foundation

/// One Swift file of the repository.
struct SourceFile {
    /// Below the repository's root: `Sources/HansaCore/Digest.swift`.
    let path: String
    let text: String

    /// `HansaCore` of `Sources/HansaCore/Digest.swift`.
    var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The lines with their numbers, without comments and without what stands in quotes: what a rule about code looks at.
    /// Block comments do not occur in this house; a test sees to that.
    var code: [(number: Int, text: String)] {
        var isInText = false
        return lines.enumerated().map { number, line in
            var kept = ""
            if line.contains("\"\"\"") {
                isInText.toggle()
                return (number + 1, kept)
            }
            if isInText { return (number + 1, kept) }
            var isQuoted = false
            var previous: Character = " "
            for character in line {
                if isQuoted {
                    if character == "\"", previous != "\\" { isQuoted = false }
                } else if character == "\"" {
                    isQuoted = true
                } else if character == "/", previous == "/" {
                    kept.removeLast()
                    break
                } else {
                    kept.append(character)
                }
                previous = previous == "\\" && character == "\\" ? " " : character
            }
            return (number + 1, kept)
        }
    }

    /// The names of the modules that the file imports, with their lines.
    var imports: [(number: Int, module: String)] {
        lines.enumerated().compactMap { number, line in
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                words[..<place].allSatisfy({
                    $0.hasPrefix("@") || ["public", "package", "internal", "fileprivate", "private"].contains($0)
                })
            else { return nil }
            let rest = words[(place + 1)...]
            // `import struct Foundation.Data` names the module before the dot.
            let name = rest.first.flatMap {
                ["struct", "class", "enum", "protocol", "func", "var", "typealias"].contains($0) ? rest.dropFirst().first : $0
            }
            return name.map { (number + 1, String($0.split(separator: ".")[0])) }
        }
    }
}

enum SourceTree {
    /// The repository's root, two directories above this file's.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The Swift files below `directory` of the repository, by path.
    static func swiftFiles(_ directory: String) throws -> [SourceFile] {
        try files(directory).filter { $0.hasSuffix(".swift") }.map { SourceFile(path: $0, text: try text($0)) }
    }

    /// All files below `directory` of the repository, by path; nothing that git would not keep.
    static func files(_ directory: String) throws -> [String] {
        let start = root.appending(path: directory)
        guard FileManager.default.fileExists(atPath: start.path) else { return [] }
        return try FileManager.default.subpathsOfDirectory(atPath: start.path)
            .filter { path in !path.split(separator: "/").contains { $0 == ".build" || $0 == "__pycache__" || $0 == ".venv" } }
            .map { directory + "/" + $0 }
            .filter { path in
                var isDirectory: ObjCBool = false
                return FileManager.default.fileExists(atPath: root.appending(path: path).path, isDirectory: &isDirectory)
                    && !isDirectory.boolValue
            }.sorted()
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: root.appending(path: path)), as: UTF8.self)
    }

    static func directories(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appending(path: directory).path).filter { name in
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(
                atPath: root.appending(path: directory + "/" + name).path, isDirectory: &isDirectory)
                && isDirectory.boolValue
        }.sorted()
    }
}
