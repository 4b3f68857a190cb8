// A database that lost rows while its node was down: the next session finds it and makes it good, without sending content again.
import Foundation
import Testing

extension EndToEndTests {
    struct RepairTests {
        /// Deletes rows of a stopped node's database, as no program of ours does.
        private func lose(_ statement: String, of city: City, _ world: World) throws {
            let script =
                "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); n=c.execute(sys.argv[2]).rowcount; c.commit(); print(n)"
            let database = city.home.appending(path: "hansa.sqlite").path
            let outcome = try Program.run("/usr/bin/env", ["python3", "-c", script, database, statement], in: world.directory)
            #expect(outcome.status == 0 && outcome.output == "1\n", "\(outcome)")
        }

        @Test func rowsThatADatabaseLostComeBackWithoutTheirContent() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            for name in ["one", "two", "three"] {
                let directory = world.directory.appending(path: name)
                try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
                try Data("name,value\n\(name),1\n".utf8).write(to: directory.appending(path: "data.csv"))
                try auckland.hansa(["package", "publish", directory.path, "--name", name, "--tlp", "GREEN"])
            }
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            try london.hansa(["sync", "auckland.nz", "--wait"])

            #expect(try auckland.stop() == 0)
            #expect(try london.stop() == 0)
            try lose("DELETE FROM holding WHERE release = (SELECT MIN(release) FROM holding)", of: london, world)
            try lose("DELETE FROM member WHERE release = (SELECT MAX(release) FROM member)", of: auckland, world)
            try auckland.serve()
            try london.serve()
            let synced = try london.hansa(["sync", "auckland.nz", "--wait", "--json"]).json["partners"][0]
            #expect(synced["state"].text == "in-sync")
            #expect(synced["contentBytesReceived"].integer == 0)
            for name in ["one", "two", "three"] {
                #expect(try london.package("auckland.nz/\(name)")?["origin"].text == "received")
                try london.hansa(["package", "checkout", "auckland.nz/\(name)", "out-\(name)"])
            }
            #expect(try london.events().contains("view.repaired"))
            #expect(try auckland.events().contains("view.repaired"))
            #expect(try !auckland.events().contains("view.reset"))
            try auckland.expectSoundLog()
            try london.expectSoundLog()
        }
    }
}
