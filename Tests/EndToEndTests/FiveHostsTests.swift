// Five cities on five hosts: what one process on loopback cannot show. A line that breaks without a word, a node that dies, a home put back from
// an old backup, a city that nobody can dial, a partner that is removed. In the end all who may hold the same, by digests and by bytes.
import Foundation
import Testing

extension EndToEndTests {
    struct FiveHostsTests {
        private static let ids = ["auckland.nz", "london.uk", "newyork.us", "kitchener.ca", "luebeck.de"]
        /// Who has an agreement with whom, by place above.
        private static let pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (3, 4)]

        @Test(
            .enabled(
                if: HostNetwork.obstacle == nil,
                Comment(rawValue: HostNetwork.obstacle.map { "not run: \($0)" } ?? "")))
        func fiveHostsConvergeAfterPartitionsACrashARestoredBackupAndARevocation() throws {
            let world = try World()
            let network = try HostNetwork(in: world.directory)
            let hosts = try Self.ids.indices.map { try network.host($0 + 1) }
            // Lübeck sits behind a router that lets nobody in: it dials, and everything goes over the sessions that it made.
            let cities = try Self.ids.indices.map {
                try world.city(Self.ids[$0], on: hosts[$0], advertises: Self.ids[$0] != "luebeck.de")
            }
            for (one, other) in Self.pairs {
                try world.introduce(cities[one], cities[other])
                // The agreement travels over sessions, also to the one that cannot be dialled.
                let agreement = try world.agree(cities[one], cities[other])
                for (from, to) in [(one, other), (other, one)] {
                    try cities[from].hansa(["access", "grant", Self.ids[to], "\(Self.ids[from])/**", "--under", agreement])
                }
            }
            let data = try Self.ids.indices.map { try world.dataset($0 % 2 == 0 ? "auckland" : "london", as: "data\($0)") }
            func publish(_ place: Int, _ name: String) throws {
                try cities[place].hansa(["package", "publish", data[place].path, "--name", name, "--tlp", "GREEN"])
            }
            for place in Self.ids.indices { try publish(place, "first") }
            try expectConvergence(cities, "after the first packages")

            // Kitchener's home is copied; it will be put back when the world has moved on.
            let kitchener = cities[3]
            #expect(try kitchener.stop() == 0)
            let backup = world.directory.appending(path: "backup")
            try FileManager.default.copyItem(at: kitchener.home, to: backup)
            try kitchener.serve()

            // The line breaks between {Auckland, London} and the others. Both sides go on among themselves.
            for place in 2..<5 { try network.move(hosts[place], to: .right) }
            try publish(0, "second")
            try publish(4, "second")
            try eventually("London has Auckland's") { try cities[1].version(of: "auckland.nz/second") == "1.0.0" }
            try eventually("Kitchener has Lübeck's", within: 90) { try kitchener.version(of: "luebeck.de/second") == "1.0.0" }
            for place in 2..<5 { #expect(try cities[place].version(of: "auckland.nz/second") == nil) }
            #expect(try cities[0].version(of: "luebeck.de/second") == nil)
            let cut = try cities[0].hansa(["sync", "newyork.us", "--wait", "--timeout", "5", "--json"], expecting: 8).json
            #expect(cut["partners"][0]["state"].text == "unreachable", "\(cut)")

            // New York dies while it is cut off, and comes back before the line does.
            cities[2].kill9()
            try publish(1, "second")
            try cities[2].serve()
            for place in 2..<5 { try network.move(hosts[place], to: .left) }
            try publish(3, "second")
            try expectConvergence(cities, "after the partition")

            // Kitchener is what it was before the partition, and does not know it: what it published since comes back from those who hold it, and
            // what it publishes then is one more.
            #expect(try kitchener.stop() == 0)
            try FileManager.default.removeItem(at: kitchener.home)
            try FileManager.default.moveItem(at: backup, to: kitchener.home)
            try kitchener.serve()
            try eventually("Kitchener's own came back", within: 120) {
                try kitchener.version(of: "kitchener.ca/second") == "1.0.0"
            }
            try publish(3, "third")
            try expectConvergence(cities, "after the restored backup")
            for city in [cities[0], kitchener, cities[4]] {
                #expect(try city.hansa(["conflict", "list", "--json"]).json["conflicts"].array.isEmpty, "\(city.id)")
            }

            // Auckland wants nothing more of New York, which has the rest of the world still.
            try cities[0].hansa(["partner", "remove", "newyork.us", "--confirm", "newyork.us"])
            // London takes back what it gave New York, and still has what New York gives.
            let given = try cities[1].hansa(["access", "list", "newyork.us", "--json"]).json["grants"].array
            #expect(given.count == 1)
            for grant in given { try cities[1].hansa(["access", "revoke", grant["grant"].text ?? ""]) }
            for place in 0..<3 { try publish(place, "third") }
            try expectConvergence(
                cities, "after the removal", pairs: Self.pairs.filter { $0 != (0, 2) && $0 != (1, 2) })
            try eventually("London has New York's", within: 60) { try cities[1].version(of: "newyork.us/third") == "1.0.0" }
            try eventually("New York has heard of the end", within: 60) {
                try releases(cities[2], of: "london.uk").isEmpty
            }
            #expect(try cities[2].version(of: "london.uk/third") == nil)
            #expect(try cities[2].version(of: "auckland.nz/third") == nil)
            let refused = try cities[2].hansa(["sync", "auckland.nz", "--wait", "--timeout", "30", "--json"], expecting: 7).json
            #expect(refused["partners"][0]["state"].text == "refused", "\(refused)")

            // Bytes, by foreign eyes: the package of the city that nobody can dial, and one that crossed the healed line.
            try expectCheckout(cities[0], "luebeck.de/second", equals: data[4], world, as: "of-luebeck")
            try expectCheckout(cities[4], "auckland.nz/third", equals: data[0], world, as: "of-auckland")
            try expectCheckout(kitchener, "auckland.nz/second", equals: data[0], world, as: "of-auckland-again")
            for city in cities { try city.expectSoundLog() }
        }

        /// Every pair is in sync by its digests, and each holds exactly the releases that the other publishes.
        private func expectConvergence(_ cities: [City], _ when: String, pairs: [(Int, Int)] = Self.pairs) throws {
            for (one, other) in pairs {
                // The one that dials asks: `sync` at the other waits for a session that it cannot make.
                let (asker, answerer) = (cities[other], cities[one])
                try eventually("\(asker.id) and \(answerer.id) are in sync \(when)", within: 120) {
                    try asker.run(["sync", answerer.id, "--wait", "--timeout", "30"]).status == 0
                }
            }
            for (one, other) in pairs {
                for (publisher, recipient) in [(cities[one], cities[other]), (cities[other], cities[one])] {
                    let own = try releases(publisher, of: publisher.id)
                    #expect(!own.isEmpty)
                    #expect(try releases(recipient, of: publisher.id) == own, "\(recipient.id) of \(publisher.id) \(when)")
                }
            }
        }

        /// The packages of one city that another holds: name and the head's digest.
        private func releases(_ city: City, of publisher: String) throws -> [String] {
            try city.hansa(["package", "list", "--json"]).json["packages"].array.compactMap { row in
                guard let name = row["package"].text, name.hasPrefix(publisher + "/"), row["origin"].text != "ended" else {
                    return nil
                }
                return "\(name) \(row["release"].text ?? "-") \(row["version"].text ?? "-")"
            }.sorted()
        }
    }
}
