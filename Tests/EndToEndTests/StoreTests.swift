// The store's long life over real processes: a database that is gone is made again. kill -9 is in KillStepTests.
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    struct StoreTests {
        @Test func aDatabaseThatIsGoneIsMadeAgainAndNoContentIsSentTwice() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            for name in ["one", "two", "gone"] { try publish(name, Self.text(name, lines: 3000), by: auckland, world) }
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            try london.hansa(["sync", "auckland.nz", "--wait"])
            try publish("one", Self.text("one", lines: 3001), by: auckland, world)
            try auckland.hansa(["package", "withdraw", "auckland.nz/gone", "--reason", "It was wrong."])
            try london.hansa(["sync", "auckland.nz", "--wait"])
            let before = try [listed(auckland), listed(london)]

            for city in [auckland, london] {
                #expect(try city.stop() == 0)
                for suffix in ["", "-wal", "-shm"] {
                    try? FileManager.default.removeItem(at: city.home.appending(path: "hansa.sqlite\(suffix)"))
                }
                let missing = try city.hansa(["package", "list"], expecting: 6)
                #expect(missing.messages.contains("hansa store rebuild"), "\(missing)")
                let counted = try city.hansa(["store", "rebuild", "--dry-run", "--json"]).json["database"]
                #expect(!FileManager.default.fileExists(atPath: city.home.appending(path: "hansa.sqlite").path))
                let rebuilt = try city.hansa(["store", "rebuild", "--json"])
                let database = rebuilt.json["database"]
                #expect(database["releases"].integer == 5 && database["withContent"].integer == 4, "\(rebuilt)")
                #expect(database["releases"].integer == counted["releases"].integer)
                #expect(
                    database["missing"].integer == 0 && database["partners"].integer == 1 && database["agreements"].integer == 1)
                #expect(rebuilt.json["valid"].bool == true, "\(rebuilt)")
                try city.hansa(["store", "check"])
                try city.expectSoundLog()
                #expect(try city.events().contains("home.rebuilt"))
            }
            let after = try [listed(auckland), listed(london)]
            #expect(after == before)

            try auckland.serve()
            try london.serve()
            let synced = try london.hansa(["sync", "auckland.nz", "--wait", "--json"]).json["partners"][0]
            #expect(synced["state"].text == "in-sync", "\(synced)")
            #expect(synced["contentBytesReceived"].integer == 0, "\(synced)")
            for name in ["one", "two"] { try london.hansa(["package", "checkout", "auckland.nz/\(name)", "out-\(name)"]) }
            // What comes next comes as before: a release, and a withdrawal of what was sent in the time before.
            try publish("two", Self.text("two", lines: 3001), by: auckland, world)
            try auckland.hansa(["package", "withdraw", "auckland.nz/one", "--reason", "It was wrong, too."])
            try london.hansa(["sync", "auckland.nz", "--wait"])
            try eventually("london knows of the withdrawal") {
                try london.run(["package", "checkout", "auckland.nz/one", "again"]).status == 7
            }
            try london.hansa(["package", "checkout", "auckland.nz/two", "two-again"])
            for city in [auckland, london] { try city.expectSoundLog() }
        }

        // MARK: Support

        private func listed(_ city: City) throws -> [String] {
            try city.hansa(["package", "list", "--json"]).json["packages"].array.map {
                "\($0["package"].text ?? "") \($0["version"].text ?? "") \($0["release"].text ?? "") \($0["state"].text ?? "") \($0["origin"].text ?? "")"
            }
        }

        private static func text(_ name: String, lines: Int) -> String {
            "name,value\n" + (0..<lines).map { "\(name),\($0 &* 2_654_435_761 % 1_000_003)\n" }.joined()
        }

        private func write(_ name: String, _ text: String, _ world: World) throws -> URL {
            let directory = world.directory.appending(path: "source-\(name)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: directory.appending(path: "data.csv"))
            return directory
        }

        private func publish(_ name: String, _ text: String, by city: City, _ world: World) throws {
            let directory = try write(name, text, world)
            try city.hansa(["package", "publish", directory.path, "--name", name, "--tlp", "GREEN"])
        }
    }
}
