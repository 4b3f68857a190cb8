// The main job between real nodes: two cities exchange a dataset under a signed agreement, and a third learns nothing.
import Foundation
import Testing

extension EndToEndTests {
    struct TwoCitiesTests {
        @Test func aDatasetTravelsUnderASignedAgreementByteForByte() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)

            let counts = try world.dataset("auckland")
            let published = try auckland.hansa([
                "package", "publish", counts.path, "--name", "pedestrians", "--tlp", "GREEN", "--json",
            ]).json
            #expect(published["package"].text == "auckland.nz/pedestrians")
            #expect(published["version"].text == "1.0.0")
            #expect(published["files"].integer == 2)

            // An agreement alone shares nothing; a grant does.
            #expect(
                try auckland.hansa(["why", "london.uk", "auckland.nz/pedestrians", "--json"], expecting: 7).json["reason"].text
                    == "no-grant")
            let grant = try #require(
                try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/pedestrians", "--under", agreement, "--json"])
                    .json["grant"].text)
            let why = try auckland.hansa(["why", "london.uk", "auckland.nz/pedestrians", "--json"]).json
            #expect(why["allowed"].bool == true)
            #expect(why["clause"].text == "1")
            #expect(why["grant"].text == grant)

            let synced = try london.hansa(["sync", "auckland.nz", "--wait", "--json"]).json["partners"][0]
            #expect(synced["state"].text == "in-sync")
            #expect(try london.package("auckland.nz/pedestrians")?["origin"].text == "received")
            try expectCheckout(london, "auckland.nz/pedestrians", equals: counts, world, as: "first")

            // A restart of both changes nothing, and nothing is sent again.
            #expect(try auckland.stop() == 0)
            #expect(try london.stop() == 0)
            // When a round last ended is told after a stop too, though nobody asked Auckland for one.
            #expect(try auckland.hansa(["partner", "list", "--json"]).json["partners"][0]["lastSync"].text != nil)
            try auckland.serve()
            try london.serve()
            let again = try london.hansa(["sync", "auckland.nz", "--wait", "--json"]).json["partners"][0]
            #expect(again["state"].text == "in-sync")
            #expect(again["contentBytesReceived"].integer == 0)

            // An update arrives by push: London asks for nothing.
            let file = counts.appending(path: "hourly_counts.csv")
            try Data(contentsOf: file).dropLast(100_000).write(to: file)
            try auckland.hansa(["package", "publish", counts.path, "--name", "pedestrians", "--tlp", "GREEN"])
            try eventually("the update is in London") { try london.version(of: "auckland.nz/pedestrians") == "1.0.1" }
            try expectCheckout(london, "auckland.nz/pedestrians", equals: counts, world, as: "second")

            // The end of the grant is the end of access, here and there.
            try auckland.hansa(["access", "revoke", grant])
            try eventually("London knows of the end") { try london.package("auckland.nz/pedestrians")?["origin"].text == "ended" }
            try london.hansa(["package", "checkout", "auckland.nz/pedestrians", "third"], expecting: 7)
            #expect(!FileManager.default.fileExists(atPath: world.directory.appending(path: "third").path))
            #expect(
                try auckland.hansa(["why", "london.uk", "auckland.nz/pedestrians", "--json"], expecting: 7).json["reason"].text
                    == "grant-ended")

            // Both logs are sound and tell the same story.
            try auckland.expectSoundLog()
            try london.expectSoundLog()
            let ours = try auckland.events()
            for event in [
                "agreement.signed", "access.granted", "package.published", "release.offered", "release.delivered",
                "receipt.received", "access.revoked",
            ] {
                #expect(ours.contains(event), "auckland.nz has no \(event)")
            }
            #expect(try london.events().contains("release.received"))
        }

        @Test func whatOneCityIsGrantedDoesNotExistForAnother() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            let newyork = try world.city("newyork.us")
            try world.introduce(auckland, london)
            try world.introduce(auckland, newyork)
            let exchange = try world.agree(auckland, london)
            // Covers every path of Auckland's, but only practices.
            let narrow = try world.agree(auckland, newyork) {
                $0.replacing(
                    "kinds: [dataset, practice, profile, offer, challenge]", with: "kinds: [practice]", maxReplacements: 1
                )
                .replacing(
                    "may share packages of its own with newyork.us", with: "may share practices and nothing else with newyork.us")
            }
            let counts = try world.dataset("auckland")
            try auckland.hansa(["package", "publish", counts.path, "--name", "pedestrians", "--tlp", "GREEN"])
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", exchange])
            try auckland.hansa(["access", "grant", "newyork.us", "auckland.nz/**", "--under", narrow])
            try london.hansa(["sync", "--wait"])
            try newyork.hansa(["sync", "--wait"])

            let refused = try auckland.hansa(["why", "newyork.us", "auckland.nz/pedestrians"], expecting: 7).output
            #expect(refused.contains("may share practices and nothing else"), "the clause is quoted")
            #expect(try auckland.hansa(["access", "test", "newyork.us", "--json"]).json["packages"].array.isEmpty)
            #expect(try auckland.hansa(["access", "test", "london.uk", "--json"]).json["packages"].array.count == 1)

            // Every command of New York's answers as for a name that nobody ever used.
            for command in [["package", "show"], ["package", "history"], ["package", "checkout"]] {
                let target = command[1] == "checkout" ? ["out"] : []
                for options in [[], ["--json"]] {
                    let hidden = try newyork.run(command + ["auckland.nz/pedestrians"] + target + options)
                    let absent = try newyork.run(command + ["auckland.nz/unicorns"] + target + options)
                    #expect(hidden.status == absent.status && hidden.status != 0)
                    #expect(hidden.output.replacing("pedestrians", with: "unicorns") == absent.output)
                    #expect(hidden.messages.replacing("pedestrians", with: "unicorns") == absent.messages)
                }
            }
            for command in [
                ["package", "list"], ["sync", "--wait"], ["status"], ["audit", "log"], ["access", "list"], ["doctor"],
            ] {
                let outcome = try newyork.run(command + ["--json"])
                #expect(!outcome.output.contains("pedestrians") && !outcome.messages.contains("pedestrians"), "\(outcome)")
            }
            #expect(!newyork.log.contains("pedestrians"))
            // Nor does London learn of New York's agreement.
            for command in [["agreement", "list"], ["partner", "list"], ["audit", "log"]] {
                #expect(!(try london.hansa(command + ["--json"]).output.contains("newyork")))
            }
        }

        @Test func aPackageThatIsOnlyShownIsKnownAndCannotBeHad() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            let bikes = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes"])
            let grant = ["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement]
            try auckland.hansa(grant + ["--level", "discover"])
            let first = try london.hansa(["sync", "--wait", "--json"]).json["partners"][0]
            #expect(first["contentBytesReceived"].integer == 0)
            #expect(try london.package("auckland.nz/bikes")?["origin"].text == "discovered")
            #expect(try london.hansa(["package", "show", "auckland.nz/bikes", "--json"]).json["payload"].array.isEmpty)
            let refused = try london.hansa(["package", "checkout", "auckland.nz/bikes", "out"], expecting: 7)
            #expect(refused.messages.contains("H315"), "\(refused)")
            let why = try london.hansa(["why", "auckland.nz", "auckland.nz/bikes", "--json"], expecting: 7).json
            #expect(why["reason"].text == "discover-only")
            #expect(try auckland.hansa(["why", "london.uk", "auckland.nz/bikes", "--json"]).json["level"].text == "discover")

            // Shared in earnest, the content comes by itself.
            try auckland.hansa(grant)
            try eventually("the content is in London") { try london.package("auckland.nz/bikes")?["origin"].text == "received" }
            try expectCheckout(london, "auckland.nz/bikes", equals: bikes, world, as: "out")

            // A newer release that is only shown stands in nobody's way: the checkout of the one that is here can be renewed.
            let grants = try auckland.hansa(["access", "list", "--json"]).json["grants"].array
            for row in grants where row["level"].text == "sync" {
                try auckland.hansa(["access", "revoke", row["grant"].text ?? ""])
            }
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes", "--version", "2.0.0"])
            try eventually("London knows of 2.0.0") { try london.version(of: "auckland.nz/bikes") == "2.0.0" }
            try london.hansa(["package", "checkout", "auckland.nz/bikes@2.0.0", "out"], expecting: 7)
            try auckland.hansa(["package", "checkout", "auckland.nz/bikes@1.0.0", "own"])
            try auckland.hansa(grant)
            try eventually("2.0.0 is in London") { try london.package("auckland.nz/bikes")?["origin"].text == "received" }
            try london.hansa(["package", "checkout", "auckland.nz/bikes@1.0.0", "out"])
            try auckland.expectSoundLog()
            try london.expectSoundLog()
        }

        @Test func aWithdrawnPackageIsGivenNoMore() throws {
            let world = try World()
            let (auckland, london, _) = try pair(world)
            let counts = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", counts.path, "--name", "bikes"])
            try london.hansa(["sync", "--wait"])
            #expect(try london.package("auckland.nz/bikes")?["origin"].text == "received")

            try auckland.hansa(["package", "withdraw", "auckland.nz/bikes", "--reason", "counted twice"])
            try eventually("London knows of the withdrawal") {
                try london.run(["package", "checkout", "auckland.nz/bikes", "again"]).status == 7
            }
            #expect(try london.package("auckland.nz/bikes")?["origin"].text == "ended")
            try auckland.hansa(["package", "checkout", "auckland.nz/bikes", "own"], expecting: 7)
            try auckland.expectSoundLog()
            try london.expectSoundLog()
        }

        @Test func aTerminatedAgreementEndsSharingInBothDirections() throws {
            let world = try World()
            let (auckland, london, agreement) = try pair(world)
            let bikes = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes"])
            try london.hansa(["package", "publish", bikes.path, "--name", "bicycles"])
            try london.hansa(["access", "grant", "auckland.nz", "london.uk/**", "--under", agreement])
            try london.hansa(["sync", "--wait"])
            try auckland.hansa(["sync", "--wait"])
            try auckland.hansa(["package", "checkout", "london.uk/bicycles", "before"])

            try london.hansa(["agreement", "terminate", agreement, "--reason", "the project is over"])
            try eventually("Auckland knows of the termination") { try auckland.agreementState(agreement) == "terminated" }
            for (city, package) in [(london, "auckland.nz/bikes"), (auckland, "london.uk/bicycles")] {
                try eventually("\(package) has ended at \(city.id)") { try city.package(package)?["origin"].text == "ended" }
                try city.hansa(["package", "checkout", package, "after"], expecting: 7)
            }
            #expect(
                try auckland.hansa(["why", "london.uk", "auckland.nz/bikes", "--json"], expecting: 7).json["reason"].text
                    == "terminated")
            try auckland.expectSoundLog()
            try london.expectSoundLog()
        }

        @Test func aPartnerThatDoesNotRunIsUnreachable() throws {
            let world = try World()
            let (auckland, london, _) = try pair(world)
            try auckland.stop()
            let outcome = try london.hansa(["sync", "auckland.nz", "--wait", "--timeout", "20", "--json"], expecting: 8)
            #expect(outcome.json["partners"][0]["state"].text == "unreachable")
            // Allowed, and not there: `why` tells what it waits for.
            let bikes = try world.dataset("london", as: "bikes")
            try auckland.hansa(["package", "publish", bikes.path, "--name", "bikes"])
            func delivery() throws -> Document {
                try auckland.hansa(["why", "london.uk", "auckland.nz/bikes", "--json"]).json["delivery"]
            }
            #expect(try delivery()["state"].text == "offline")
            #expect(try delivery()["reason"].text?.contains("hansa serve") == true)
            try london.stop()
            try auckland.serve()
            #expect(try delivery()["state"].text == "offline")
            try london.serve()
            try london.hansa(["sync", "auckland.nz", "--wait"])
            try eventually("the receipt is in Auckland") { try delivery()["state"].text == "accepted" }
            let held = try london.hansa(["why", "auckland.nz", "auckland.nz/bikes", "--json"]).json
            #expect(held["delivery"]["state"].text == "held")
        }

        /// A first release has no row while it comes, and an update leaves the row of the one before as it is.
        @Test func whatIsBeingFetchedIsSaidToBeAtBothEnds() throws {
            let world = try World()
            let (auckland, london, _) = try pair(world)
            let directory = world.directory.appending(path: "survey")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
            var generator = SystemRandomNumberGenerator()
            func why(_ city: City, _ partner: City, expecting status: Int32 = 0) throws -> Document {
                try city.hansa(["why", partner.id, "auckland.nz/survey", "--json"], expecting: status).json
            }
            #expect(try why(london, auckland, expecting: 7)["reason"].text == "unknown-package")
            for version in ["1.0.0", "1.0.1"] {
                try auckland.hansa(["config", "set", "limits.sendRate", "400kB/s"])
                // Does not compress, so that it takes a while.
                let words = (0..<1_000_000).map { _ in generator.next() }
                try words.withUnsafeBytes { try Data($0).write(to: directory.appending(path: "points.bin")) }
                try auckland.hansa(["package", "publish", directory.path, "--name", "survey", "--tlp", "GREEN"])
                var seen: Document?
                try eventually("London says that it is being fetched") {
                    let outcome = try london.run(["why", "auckland.nz", "auckland.nz/survey", "--json"])
                    seen = outcome.json
                    return outcome.json["delivery"]["state"].text == "fetching"
                        && outcome.json["delivery"]["reason"].text?.contains("chunks are here") == true
                }
                #expect(seen?["allowed"].bool == true && seen?["clause"].text == "1", "\(String(describing: seen))")
                #expect(try london.version(of: "auckland.nz/survey") == (version == "1.0.0" ? nil : "1.0.0"))
                try eventually("Auckland says what holds it up") {
                    let delivery = try why(auckland, london)["delivery"]
                    return delivery["state"].text == "sent" && delivery["reason"].text?.contains("rate of sending") == true
                }
                #expect(try london.hansa(["status", "--json"]).json["partners"][0]["inSync"].bool == false)
                try auckland.hansa(["config", "set", "limits.sendRate", "unlimited"])
                try eventually("it is in London") { try london.version(of: "auckland.nz/survey") == version }
                try eventually("it is held") { try why(london, auckland)["delivery"]["state"].text == "held" }
            }
        }

        /// Put back to before there was an agreement, the publisher says that it knows no such view: nothing is equal there.
        @Test func aPublisherThatForgotTheAgreementIsNotInSync() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            try auckland.stop()
            let backup = world.directory.appending(path: "backup")
            try FileManager.default.copyItem(at: auckland.home, to: backup)
            try auckland.serve()
            _ = try world.agree(auckland, london)
            try london.hansa(["sync", "auckland.nz", "--wait"])
            func inSync() throws -> Bool? { try london.hansa(["partner", "list", "--json"]).json["partners"][0]["inSync"].bool }
            try eventually("both say so") { try inSync() == true }
            try auckland.stop()
            try FileManager.default.removeItem(at: auckland.home)
            try FileManager.default.moveItem(at: backup, to: auckland.home)
            try auckland.serve()
            let synced = try london.hansa(["sync", "auckland.nz", "--wait", "--timeout", "40", "--json"], expecting: 7)
            #expect(synced.json["partners"][0]["state"].text == "refused", "\(synced)")
            #expect(try inSync() == false)
        }

        @Test func aStrangerIsRefused() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let stranger = try world.city("stranger.example")
            // The stranger knows Auckland's card; Auckland knows nothing of the stranger.
            let card = world.directory.appending(path: "auckland.card")
            try Data(auckland.hansa(["city", "card"]).output.utf8).write(to: card)
            try stranger.hansa(["partner", "add", card.path, "--yes"])
            let outcome = try stranger.hansa(["sync", "--wait", "--timeout", "20", "--json"], expecting: 7)
            #expect(outcome.json["partners"][0]["state"].text == "refused")
            #expect(try auckland.hansa(["partner", "list", "--json"]).json["partners"].array.isEmpty)
        }

        /// Two serving cities with an agreement, and everything of Auckland's granted to London.
        private func pair(_ world: World) throws -> (City, City, String) {
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            return (auckland, london, agreement)
        }
    }
}

/// Checks a package out and holds it against its source by cmp, sha256sum and hansa itself.
func expectCheckout(_ city: City, _ package: String, equals source: URL, _ world: World, as name: String) throws {
    let target = world.directory.appending(path: name)
    let checkout = try city.hansa(["package", "checkout", package, target.path, "--json"]).json
    #expect(checkout["package"].text == package)
    for file in try FileManager.default.contentsOfDirectory(atPath: source.path) where file != "datapackage.json" {
        let equal = try Data(contentsOf: source.appending(path: file)) == Data(contentsOf: target.appending(path: "data/\(file)"))
        #expect(equal, "\(file) of \(package) differs from its source")
    }
    let sums = try Program.run("/usr/bin/sha256sum", ["--strict", "--quiet", "-c", "manifest-sha256.txt"], in: target)
    #expect(sums.status == 0, "\(sums)")
    #expect(try city.hansa(["package", "verify", target.path, "--json"]).json["valid"].bool == true)
}
