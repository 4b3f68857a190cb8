// A home that is put back to an earlier state, between real nodes: found by its witness, closed, and followed in its next log.
import Foundation
import Testing

extension EndToEndTests {
    struct RestoreTests {
        private func attention(_ city: City) throws -> [String] {
            try city.hansa(["status", "--json"]).json["attention"].array.compactMap { $0["code"].text }
        }

        private func publish(_ city: City, _ world: World, _ name: String, _ rows: String) throws {
            let directory = world.directory.appending(path: name)
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try Data("a,b\n\(rows)\n".utf8).write(to: directory.appending(path: "data.csv"))
            try city.hansa(["package", "publish", directory.path, "--name", name, "--tlp", "GREEN"])
        }

        @Test func aHomeThatWasPutBackIsFoundByItsWitnessAndGoesOnInANewLog() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz", serves: false)
            let london = try world.city("london.uk")
            try auckland.hansa(["config", "set", "witnesses", "london.uk"])
            try auckland.hansa(["config", "set", "sync.intervalSeconds", "2"])
            try auckland.serve()
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            try publish(auckland, world, "first", "1,1")
            /// What London cosigned last; all of the log, or less.
            func cosigned() throws -> (origin: String?, size: Int, isAll: Bool) {
                let checkpoint = try auckland.hansa(["audit", "checkpoint", "--json"]).json
                let witness = checkpoint["witnesses"][0]
                return (witness["origin"].text, witness["size"].integer ?? 0, witness["root"].text == checkpoint["root"].text)
            }
            try eventually("London has cosigned all") { try cosigned().isAll }
            try auckland.stop()
            let backup = world.directory.appending(path: "backup")
            try FileManager.default.copyItem(at: auckland.home, to: backup)
            let before = try cosigned().size

            // What will be lost: a release that London has, and one that nobody has.
            try auckland.serve()
            try publish(auckland, world, "first", "2,2")
            try publish(auckland, world, "first", "3,3")
            try eventually("London has it") { try london.version(of: "auckland.nz/first") == "1.0.2" }
            for name in ["x", "y", "z"] { try publish(auckland, world, name, "1,1") }
            try eventually("London has cosigned all that will be lost") {
                let now = try cosigned()
                return now.isAll && now.size > before + 10
            }
            try auckland.stop()
            let kept = world.directory.appending(path: "kept.txt")
            try Data(auckland.hansa(["audit", "checkpoint"]).output.utf8).write(to: kept)
            let lost = try cosigned().size

            try FileManager.default.removeItem(at: auckland.home)
            try FileManager.default.copyItem(at: backup, to: auckland.home)
            // Nobody says a word, and it is found all the same, at both ends. (London may have cosigned more than Auckland heard of before it stopped.)
            try auckland.serve()
            try eventually("Auckland knows") { try attention(auckland).contains("log-behind") }
            try eventually("London has an alarm") { try attention(london).contains("partner-log") }
            #expect(try london.events().contains("witness.alarm"))
            try auckland.hansa(["doctor"], expecting: 1)
            try auckland.hansa(["audit", "verify", "--against", kept.path], expecting: 6)

            let plan = try auckland.hansa(["restore", "-n", "--json"]).json
            #expect(plan["log"].text == "auckland.nz/log/2" && plan["dryRun"].bool == true)
            let restored = try auckland.hansa(["restore", "--json"]).json
            #expect(restored["log"].text == "auckland.nz/log/2" && restored["keyring"].integer == 2)
            #expect(
                (restored["closed"]["lost"]["end"].integer ?? 0) >= lost
                    && restored["closed"]["lost"]["shownBy"].text == "london.uk")
            try auckland.hansa(["sync", "--wait"])
            try eventually("London cosigns the new log") { try cosigned().origin == "auckland.nz/log/2" }
            #expect(try london.events().contains("witness.followed"))
            #expect(try !attention(london).contains("partner-log"))
            #expect(try !attention(auckland).contains("log-behind"))

            // What London held came back, and what follows goes on above it.
            try eventually("it came back") { try auckland.version(of: "auckland.nz/first") == "1.0.2" }
            try publish(auckland, world, "first", "4,4")
            try publish(auckland, world, "x", "2,2")
            try eventually("London has both") {
                try london.version(of: "auckland.nz/first") == "1.0.3" && london.package("auckland.nz/x") != nil
            }
            #expect(try london.hansa(["conflict", "list", "--json"]).json["conflicts"].array.isEmpty)
            #expect(try auckland.hansa(["conflict", "list", "--json"]).json["conflicts"].array.isEmpty)

            // The chain of logs is sound, and says what is lost.
            try auckland.stop()
            try auckland.serve()
            let verified = try auckland.hansa(["audit", "verify", "--against", kept.path, "--json"]).json
            #expect(verified["valid"].bool == true && verified["logs"].array.count == 2)
            #expect(verified["findings"].array.contains { $0["problem"].text?.contains("were lost") == true })
            #expect(try auckland.hansa(["audit", "show", "0", "--json"]).json["event"].text == "log.continued")
            #expect(try auckland.hansa(["audit", "show", "0", "--log", "1", "--json"]).json["event"].text == "identity.created")
            #expect(try auckland.events().first == "identity.created")
            try london.expectSoundLog()
        }
    }
}
