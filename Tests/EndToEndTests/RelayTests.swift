// A city that hands on what it received: as its owner signed it, one hop, to nobody who may not have it, and no longer than it may itself.
import Foundation
import Testing

extension EndToEndTests {
    struct RelayTests {
        private let rows = ["1,pump,good", "2,valve,good"]

        /// Kitchener shares with Auckland alone. Hamilton is one more party: the owner's terms name it or not.
        private func relay(_ world: World, mayHamilton: Bool = false) throws -> (region: Region, hamilton: City) {
            let hamilton = try world.city("hamilton.ca")
            let region = try Region(
                world, rule: nil, redistribution: "{to: parties, maxHops: 1}", more: [hamilton], allMayHave: mayHamilton)
            try region.kitchener.hansa(["access", "grant", "auckland.nz", Region.pattern, "--under", "regional"])
            try region.publish(region.kitchener, rows)
            try eventually("Auckland has it") { try region.auckland.package(Region.package)?["origin"].text == "received" }
            return (region, hamilton)
        }

        private func origin(_ city: City) throws -> String? { try city.package(Region.package)?["origin"].text }

        @Test func whatARelayHandsOnIsTheOwnersAndGoesNoFurther() throws {
            let world = try World()
            let (region, hamilton) = try relay(world, mayHamilton: true)
            #expect(try origin(region.waterloo) == nil, "Auckland was told nothing, and hands nothing on")
            // Its owner is away from now on.
            try region.kitchener.stop()
            try region.auckland.hansa(["access", "grant", "waterloo.ca", Region.pattern, "--under", "regional"])
            try eventually("Waterloo has it") { try origin(region.waterloo) == "received" }
            // `rows` verifies what it checked out: the owner's signature and every hash.
            #expect(try region.rows(region.waterloo) == rows)
            let shown = try region.waterloo.hansa(["package", "show", Region.package, "--json"]).json
            #expect(shown["release"].text == (try region.head(region.auckland)))
            // Everybody can say through whom.
            #expect(shown["heldFrom"][0]["city"].text == "auckland.nz" && shown["heldFrom"][0]["passage"].text == "relayed")
            let ours = try region.auckland.hansa(["package", "show", Region.package, "--json"]).json
            #expect(ours["heldFrom"][0]["city"].text == "kitchener.ca" && ours["heldFrom"][0]["passage"].text == "own")
            #expect(ours["shownTo"].array.count == 1 && ours["shownTo"][0]["city"].text == "waterloo.ca")
            #expect(ours["shownTo"][0]["passage"].text == "relayed")
            let why = try region.auckland.hansa(["why", "waterloo.ca", Region.package, "--json"]).json
            #expect(why["allowed"].bool == true && why["passage"].text == "relayed" && why["clause"].text == "1")
            let seen = try region.auckland.hansa(["access", "test", "waterloo.ca", "--json"]).json["packages"]
            #expect(seen.array.count == 1 && seen[0]["writer"].text == "kitchener.ca" && seen[0]["passage"].text == "relayed")
            #expect(
                try region.auckland.hansa(["access", "list", "--json"]).json["grants"][0]["passages"].array.compactMap(\.text)
                    == ["relayed"])
            let receipts = try region.auckland.events().filter { $0 == "receipt.received" }
            #expect(!receipts.isEmpty)

            // A second hop: Waterloo may grant, since Hamilton may have it from somebody, and shows nothing: it did not get it from its writer.
            try region.waterloo.hansa(["access", "grant", "hamilton.ca", Region.pattern, "--under", "regional"])
            #expect(
                try region.waterloo.hansa(["why", "hamilton.ca", Region.package, "--json"], expecting: 7).json["allowed"].bool
                    == false)
            #expect(try region.waterloo.hansa(["access", "test", "hamilton.ca", "--json"]).json["packages"].array.isEmpty)
            try hamilton.hansa(["sync", "waterloo.ca", "--wait"])
            #expect(try hamilton.hansa(["package", "list", "--json"]).json["packages"].array.isEmpty)

            // The next release takes the same way, also when the owner comes and goes.
            try region.kitchener.serve()
            let next = try region.publish(region.kitchener, ["1,pump,worn", "2,valve,good"])
            for city in [region.auckland, region.waterloo] {
                try eventually("\(city.id) has the next one") { try region.head(city) == next && origin(city) == "received" }
            }

            // The owner shares with Waterloo too: nothing is sent twice.
            try region.kitchener.hansa(["access", "grant", "waterloo.ca", Region.pattern, "--under", "regional"])
            let synced = try region.waterloo.hansa(["sync", "kitchener.ca", "--wait", "--json"]).json["partners"][0]
            #expect(synced["state"].text == "in-sync" && synced["contentBytesReceived"].integer == 0, "\(synced)")
            #expect(
                try region.waterloo.hansa(["why", "hamilton.ca", Region.package, "--json"]).json["passage"].text == "relayed")
            // From now on Waterloo has it from its writer, and what it passes on is the first hop.
            try eventually("Hamilton has it") { try origin(hamilton) == "received" }
            #expect(try region.head(hamilton) == next)
            // One way that ends leaves the other.
            let grants = try region.auckland.hansa(["access", "list", "waterloo.ca", "--json"]).json["grants"].array
            try region.auckland.hansa(["access", "revoke", #require(grants.first?["grant"].text)])
            try region.waterloo.hansa(["sync", "auckland.nz", "--wait"])
            #expect(try origin(region.waterloo) == "received")
            #expect(try region.rows(region.waterloo) == ["1,pump,worn", "2,valve,good"])
            try region.expectSoundLogs()
        }

        @Test func nobodyGetsFromARelayWhatTheOwnersTermsDoNotGiveAndWhatItLosesItsRecipientsLose() throws {
            let world = try World()
            let (region, hamilton) = try relay(world)
            try region.auckland.hansa(["access", "grant", "waterloo.ca", Region.pattern, "--under", "regional"])
            try eventually("Waterloo has it") { try origin(region.waterloo) == "received" }
            for city in [region.auckland, region.waterloo] {
                try city.hansa(["access", "grant", "hamilton.ca", Region.pattern, "--under", "regional"], expecting: 7)
                try city.hansa(["why", "hamilton.ca", Region.package, "--json"], expecting: 7)
                try hamilton.hansa(["sync", city.id, "--wait"])
            }
            #expect(try hamilton.hansa(["package", "list", "--json"]).json["packages"].array.isEmpty)

            let grants = try region.kitchener.hansa(["access", "list", "auckland.nz", "--json"]).json["grants"].array
            let grant = try #require(grants.first?["grant"].text)
            try region.kitchener.hansa(["access", "revoke", grant])
            for city in [region.auckland, region.waterloo] {
                try eventually("it has ended at \(city.id)") { try origin(city) == "ended" }
                try city.hansa(["package", "checkout", Region.package, "gone-\(city.id)"], expecting: 7)
            }
            // Given again it comes again.
            try region.kitchener.hansa(["access", "grant", "auckland.nz", Region.pattern, "--under", "regional"])
            for city in [region.auckland, region.waterloo] {
                try eventually("it is back at \(city.id)") { try origin(city) == "received" }
            }
            try region.expectSoundLogs()
        }

        @Test func aWithdrawalTakesTheRelaysWay() throws {
            let world = try World()
            let (region, _) = try relay(world)
            try region.auckland.hansa(["access", "grant", "waterloo.ca", Region.pattern, "--under", "regional"])
            try eventually("Waterloo has it") { try origin(region.waterloo) == "received" }
            // Waterloo and its owner never meet: one is down while the other is up.
            try region.waterloo.stop()
            try region.kitchener.hansa(["package", "withdraw", Region.package, "--reason", "counted twice"])
            try eventually("it has ended at Auckland") { try origin(region.auckland) == "ended" }
            try region.kitchener.stop()
            try region.waterloo.serve()
            try eventually("it has ended at Waterloo") { try origin(region.waterloo) == "ended" }
            try region.waterloo.hansa(["package", "checkout", Region.package, "gone"], expecting: 7)
            try region.expectSoundLogs()
        }

        @Test func theEndOfTheAgreementTakesTheRelaysWay() throws {
            let world = try World()
            let (region, _) = try relay(world)
            try region.auckland.hansa(["access", "grant", "waterloo.ca", Region.pattern, "--under", "regional"])
            try eventually("Waterloo has it") { try origin(region.waterloo) == "received" }
            try region.waterloo.stop()
            try region.kitchener.hansa(["agreement", "terminate", "regional", "--reason", "the project is over"])
            try eventually("Auckland knows") { try region.auckland.agreementState("regional") == "terminated" }
            try region.kitchener.stop()
            try region.waterloo.serve()
            try eventually("Waterloo knows") { try region.waterloo.agreementState("regional") == "terminated" }
            for city in [region.auckland, region.waterloo] {
                try eventually("it has ended at \(city.id)") { try origin(city) == "ended" }
                try city.hansa(["package", "checkout", Region.package, "gone-\(city.id)"], expecting: 7)
            }
            try region.expectSoundLogs()
        }
    }
}
