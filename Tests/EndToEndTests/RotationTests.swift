// Keys that change while real nodes run: connected, away, and by hand.
import Foundation
import Testing

extension EndToEndTests {
    struct RotationTests {
        private func keyring(of city: City, at other: City) throws -> Int? {
            try other.hansa(["partner", "show", city.id, "--json"]).json["keyring"].integer
        }

        private func isConnected(_ city: City, at other: City) throws -> Bool {
            try other.hansa(["partner", "list", "--json"]).json["partners"].array.first { $0["city"].text == city.id }?["state"]
                .text == "connected"
        }

        @Test func rotationsReachAConnectedPartnerAnAbsentOneAndOneWhoIsGivenTheCard() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            let agreement = try world.agree(auckland, london)
            try auckland.hansa(["access", "grant", "london.uk", "auckland.nz/**", "--under", agreement])
            let counts = try world.dataset("auckland")
            func publish(_ name: String) throws {
                try auckland.hansa(["package", "publish", counts.path, "--name", name, "--tlp", "GREEN"])
            }

            // Connected: each change is known at the other end at once, and sync goes on.
            var version = 1
            for key in ["tls", "package", "officer"] {
                try auckland.hansa(["city", "rotate", key, "--confirm", "auckland.nz"])
                version += 1
                try eventually("london.uk knows keyring \(version)") { try keyring(of: auckland, at: london) == version }
                try publish("after-\(key)")
                try eventually("london.uk has what the keys of now sign") {
                    try london.version(of: "auckland.nz/after-\(key)") != nil
                }
            }
            #expect(try london.events().contains("keyring.accepted"))
            // New connections show the new key.
            try auckland.stop()
            try auckland.serve()
            try publish("after-restart")
            try eventually("london.uk has it") { try london.version(of: "auckland.nz/after-restart") != nil }

            // Away during two rotations, one of them of the key by which it would know us.
            try london.stop()
            try auckland.hansa(["city", "rotate", "tls"])
            try publish("before-theft")
            let rotated = try auckland.hansa(["city", "rotate", "package", "--compromised", "--confirm", "auckland.nz", "--json"])
                .json
            // Those that the stolen key signed, held by somebody or not: whoever comes later would take none of them. The first was signed before it.
            let own = try auckland.hansa(["package", "list", "--json"]).json["packages"].array.count
            // The node signs some of them beside the command, which counts its own.
            #expect((0..<own).contains(Int(rotated["signedAgain"].integer ?? -1)) && rotated["signingGoesOn"].bool == false)
            try publish("while-away")
            try london.serve()
            try eventually("london.uk catches up") { try london.version(of: "auckland.nz/while-away") != nil }
            try eventually("london.uk has what was signed again") { try london.version(of: "auckland.nz/before-theft") != nil }
            #expect(try keyring(of: auckland, at: london) == 6)

            // The TLS key came out while the partner was away: only a card by hand helps, and then all goes on.
            try london.stop()
            try auckland.hansa(["city", "rotate", "tls", "--compromised", "--confirm", "auckland.nz"])
            try publish("after-theft")
            try london.serve()
            let card = world.directory.appending(path: "auckland-new.card")
            try Data(auckland.hansa(["city", "card"]).output.utf8).write(to: card)
            #expect(try auckland.hansa(["city", "card"]).output.split(separator: "\n").count == 7)
            try london.hansa(["partner", "add", card.path], expecting: 64)
            let fingerprint = try #require(try auckland.hansa(["city", "show", "--json"]).json["fingerprint"].text)
            let added = try london.hansa(["partner", "add", card.path, "--fingerprint", fingerprint, "--json"]).json
            #expect(added["keyring"].integer == 7 && added["officersChanged"].bool == false)
            try eventually("london.uk has it after the card") { try london.version(of: "auckland.nz/after-theft") != nil }

            try auckland.expectSoundLog()
            try london.expectSoundLog()
        }

        @Test func aPausedOrRemovedPartnersSessionClosesWithinASecond() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            try eventually("they are connected") { try isConnected(london, at: auckland) && isConnected(auckland, at: london) }
            try auckland.hansa(["partner", "pause", "london.uk"])
            try eventually("the other end has noticed", within: 1.5) { try !isConnected(auckland, at: london) }
            #expect(
                try auckland.hansa(["partner", "list", "--json"]).json["partners"][0]["state"].text == "paused")
            #expect(try auckland.run(["sync", "london.uk"]).status != 0)
            try auckland.hansa(["partner", "resume", "london.uk"])
            try eventually("they are connected again") {
                try isConnected(london, at: auckland) && isConnected(auckland, at: london)
            }
            try auckland.hansa(["partner", "remove", "london.uk", "--confirm", "london.uk"])
            try eventually("the other end has noticed", within: 1.5) { try !isConnected(auckland, at: london) }
        }

        @Test func aKeyThatCameOutLosesItsSessions() throws {
            let world = try World()
            let auckland = try world.city("auckland.nz")
            let london = try world.city("london.uk")
            try world.introduce(auckland, london)
            try eventually("they are connected") { try isConnected(london, at: auckland) && isConnected(auckland, at: london) }
            try auckland.hansa(["city", "rotate", "tls", "--compromised", "--confirm", "auckland.nz"])
            // Told over the old session, which then ends; the next one is under the new key.
            try eventually("london.uk knows keyring 2") { try keyring(of: auckland, at: london) == 2 }
            try eventually("they are connected again") {
                try isConnected(london, at: auckland) && isConnected(auckland, at: london)
            }
            #expect(london.log.contains("no longer pinned") || london.log.contains("partner disconnected"))
        }
    }
}
