// The node as a program among others: one a home, its port, its configuration, its signals, its accounts, its files.
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    struct ProcessTests {
        @Test func twoNodesNeverServeOneHome() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let holder = try #require(auckland.process?.id)
            // It waits 10 s for the lock, then names its holder.
            let second = try auckland.run(["serve"], seconds: 40)
            #expect(second.status == 1)
            #expect(second.messages.contains("\(holder)"), "\(second)")
            #expect(auckland.process?.isRunning == true)
            try auckland.hansa(["status"])
        }

        @Test func aPortInUseIsNamed() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk", serves: false)
            try london.hansa(["config", "set", "listen", "127.0.0.1:\(auckland.port)"])
            let outcome = try london.run(["serve"], seconds: 40)
            #expect(outcome.status == 1)
            #expect(outcome.messages.contains("127.0.0.1:\(auckland.port)"), "\(outcome)")
            #expect(outcome.messages.contains("error[H"), "\(outcome)")
        }

        @Test(arguments: [
            ("lisen: \"127.0.0.1:1\"", "lisen"), ("openByDefault: true", "openByDefault"), ("logLevel: loud", "logLevel"),
        ])
        func aBadLineInTheConfigurationIsRefusedByItsNumber(_ line: String, _ word: String) throws {
            let world = try World()
            let auckland = try world.city("auckland.nz", serves: false)
            let file = auckland.home.appending(path: "hansa.yaml")
            let text = try String(contentsOf: file, encoding: .utf8) + "\n" + line + "\n"
            try text.write(to: file, atomically: true, encoding: .utf8)
            chmod(file.path, 0o600)
            let number = text.split(separator: "\n", omittingEmptySubsequences: false).firstIndex { $0 == line }.map { $0 + 1 }
            let outcome = try auckland.run(["serve"], seconds: 40)
            #expect(outcome.status == 1)
            #expect(outcome.messages.contains("line \(number ?? -1)") && outcome.messages.contains(word), "\(outcome)")
        }

        @Test func sigtermDrainsAndTheLogSaysSo() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            #expect(try auckland.events().filter { $0.hasPrefix("node.") } == ["node.start"])
            #expect(try auckland.stop() == 0)
            #expect(!FileManager.default.fileExists(atPath: auckland.home.appending(path: "run/hansa.sock").path))
            // Without a node the same command reads the same log.
            #expect(try auckland.events().filter { $0.hasPrefix("node.") } == ["node.start", "node.stop"])
            try auckland.expectSoundLog()
        }

        @Test func aCommandAnswersAlikeWithAndWithoutANode() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let bikes = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes"])
            let commands = [
                ["status"], ["city", "show"], ["partner", "list"], ["agreement", "list"], ["access", "list"],
                ["package", "list"],
                ["package", "show", "auckland.nz/bikes"], ["package", "history", "auckland.nz/bikes"], ["audit", "verify"],
                ["audit", "checkpoint"], ["audit", "log"], ["config", "show"], ["doctor"], ["conflict", "list"],
                ["store", "check"], ["store", "stats"],
                ["package", "show", "auckland.nz/none"], ["why", "london.uk", "auckland.nz/bikes"],
            ]
            let served = try commands.map { try auckland.run($0 + ["--json"]) }
            try auckland.stop()
            for (command, before) in zip(commands, served) {
                let after = try auckland.run(command + ["--json"])
                #expect(after.status == before.status, "\(before)\n\(after)")
                #expect(Self.keys(after.output) == Self.keys(before.output), "\(before)\n\(after)")
                #expect(after.output.hasPrefix("{\"schema\":\"hansa."), "\(after)")
            }
        }

        @Test(.enabled(if: geteuid() == 0, "only root can act as another account"))
        func anotherAccountIsRefusedAtTheSocketAndOnTheDisk() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            // The program is copied to where the other account may execute it.
            let program = world.directory.appending(path: "hansa")
            try FileManager.default.copyItem(atPath: Program.path, toPath: program.path)
            chmod(program.path, 0o755)
            func asNobody(_ arguments: [String]) throws -> Outcome {
                try Program.run(
                    "/usr/bin/setpriv", ["--reuid", "65534", "--regid", "65534", "--clear-groups"] + arguments,
                    in: world.directory)
            }
            let served = try asNobody([program.path, "status", "--home", auckland.home.path])
            #expect(served.status == 4, "\(served)")
            #expect(
                try auckland.hansa(["audit", "log", "--outcome", "refused", "--json"]).json["entries"].array.isEmpty == false,
                "the refusal is logged")
            for file in ["hansa.sqlite", "hansa.sqlite-wal", "hansa.yaml", "keys/package.pem", "log/checkpoint", "lock"] {
                let read = try asNobody(["/usr/bin/head", "-c", "1", auckland.home.appending(path: file).path])
                #expect(read.status != 0, "another account reads \(file)")
            }
            try auckland.stop()
            let unserved = try asNobody([program.path, "status", "--home", auckland.home.path])
            #expect(unserved.status == 4, "\(unserved)")
        }

        @Test(.enabled(if: geteuid() == 0, "only root can act as another account"))
        func anAuditorReadsEverythingAndChangesNothing() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz", serves: false)
            try auckland.hansa(["config", "set", "roles.auditor.users", "nobody"])
            try auckland.serve()
            let program = world.directory.appending(path: "hansa")
            try FileManager.default.copyItem(atPath: Program.path, toPath: program.path)
            chmod(program.path, 0o755)
            func asNobody(_ arguments: [String]) throws -> Outcome {
                try Program.run(
                    "/usr/bin/setpriv",
                    ["--reuid", "65534", "--regid", "65534", "--clear-groups", program.path] + arguments + [
                        "--home", auckland.home.path,
                    ],
                    in: world.directory)
            }
            for command in [["status"], ["audit", "log"], ["audit", "verify"], ["package", "list"], ["access", "list"]] {
                let outcome = try asNobody(command)
                #expect(outcome.status == 0, "\(outcome)")
            }
            for command in [["config", "set", "logLevel", "debug"], ["access", "revoke", "g-0000000000"], ["sync"]] {
                let outcome = try asNobody(command)
                #expect(outcome.status == 4, "\(outcome)")
            }
        }

        @Test func aChangedByteInTheLogIsFound() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz", serves: false)
            let bikes = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes"])
            try auckland.expectSoundLog()
            let log = auckland.home.appending(path: "log")
            let files = try FileManager.default.subpathsOfDirectory(atPath: log.path).filter { path in
                var isDirectory: ObjCBool = false
                return FileManager.default.fileExists(atPath: log.appending(path: path).path, isDirectory: &isDirectory)
                    && !isDirectory.boolValue
            }
            #expect(files.count >= 3)
            for path in files {
                let file = log.appending(path: path)
                // What an earlier checkpoint left is cleared once it was found sound.
                guard FileManager.default.fileExists(atPath: file.path) else { continue }
                let sound = try Data(contentsOf: file)
                for place in [0, sound.count / 2, sound.count - 1] where !sound.isEmpty {
                    var changed = sound
                    changed[changed.startIndex + place] ^= 1
                    try changed.write(to: file)
                    let outcome = try auckland.run(["audit", "verify", "--json"])
                    #expect(outcome.status == 6, "byte \(place) of \(path): \(outcome)")
                }
                try sound.write(to: file)
            }
            try auckland.expectSoundLog()
        }

        /// The keys of a document's first level, in their order.
        private static func keys(_ text: String) -> [String] {
            var keys: [String] = []
            var depth = 0
            var isQuoted = false
            var word = ""
            var previous: Character = " "
            var last = ""
            for character in text {
                if isQuoted {
                    if character == "\"", previous != "\\" {
                        isQuoted = false
                        last = word
                    } else {
                        word.append(character)
                    }
                } else {
                    switch character {
                    case "\"": (isQuoted, word) = (true, "")
                    case "{", "[": depth += 1
                    case "}", "]": depth -= 1
                    case ":" where depth == 1: keys.append(last)
                    default: break
                    }
                }
                previous = previous == "\\" && character == "\\" ? " " : character
            }
            return keys
        }
    }
}
