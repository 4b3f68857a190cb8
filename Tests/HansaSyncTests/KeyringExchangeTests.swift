// Keyrings over the session: what is sent, what is taken, and every attack of ATTACKS.md on the way.
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

struct KeyringExchangeTests {
    private func exchange(_ world: World, of node: Int, to peer: Int) -> DocumentExchange {
        DocumentExchange(world.nodes[node].context, peer: world.nodes[peer].city)
    }

    private func take(_ envelope: Envelope, by to: DocumentExchange, _ world: World) throws -> String? {
        let (answer, _) = try to.receive(Documents(items: [Documents.Item(id: 1, envelope: envelope)]).frame, at: world.now)
        return try DocumentsAcknowledged(answer).items.first?.refusal
    }

    private func held(_ world: World, by node: Int, of city: Int) throws -> Int? {
        try world.nodes[node].metadata.read { try $0.currentKeyring(of: world.nodes[city].city)?.version }
    }

    private func alarm(_ world: World, at node: Int, of city: Int) throws -> String? {
        try world.nodes[node].metadata.read { try KeyringMemory.alarm(world.nodes[city].city, $0) }
    }

    @Test func missingVersionsGoFirstAndInOrder() throws {
        let world = try Exchange.cities()
        for what in WorldNode.Rotated.allCases { try world.nodes[0].rotate(what) }
        _ = try world.propose(0, 1)
        let (one, two) = (exchange(world, of: 0, to: 1), exchange(world, of: 1, to: 0))
        try one.opened(held: 1, theirs: 1, at: world.now)
        var types: [DocumentType] = []
        var frames = try one.pending()
        while !frames.isEmpty {
            let frame = frames.removeFirst()
            for item in try Documents(frame).items { types.append(item.envelope.type) }
            let (answer, changes) = try two.receive(frame, at: world.now)
            if try Documents(frame).items.contains(where: { $0.envelope.type == .keyring }) {
                #expect(changes.keyrings == [world.nodes[0].city])
            }
            #expect(try DocumentsAcknowledged(answer).items.allSatisfy { $0.refusal == nil })
            try one.acknowledged(answer, at: world.now)
            // What the new keys signed goes when the keyrings have arrived.
            if frames.isEmpty { frames = try one.pending() }
        }
        #expect(types == [.keyring, .keyring, .keyring, .keyring, .agreement])
        #expect(try held(world, by: 1, of: 0) == 5)
        #expect(try world.nodes[0].metadata.read { try KeyringMemory.held(by: world.nodes[1].city, $0) } == 5)
        // Told once; a repeat changes nothing.
        #expect(try one.pending().isEmpty)
        for envelope in world.nodes[0].card { #expect(try take(envelope, by: two, world) == nil) }
        #expect(try alarm(world, at: 1, of: 0) == nil)
    }

    @Test func aRotationDuringASessionIsPushed() throws {
        let world = try Exchange.cities()
        let one = exchange(world, of: 0, to: 1)
        try one.opened(held: 1, theirs: 1, at: world.now)
        #expect(try one.pending().isEmpty)
        try world.nodes[0].rotate(.package)
        #expect(try one.pending().count == 1)
        #expect(try one.pending().isEmpty)
    }

    @Test func whatBreaksTheChainIsRefusedAndRemembered() throws {
        let world = try World(seed: 3, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let before = world.nodes[0].keyring
        let oldOfficer = world.nodes[0].officer
        for what in [WorldNode.Rotated.officer, .package] { try world.nodes[0].rotate(what) }
        let card = world.nodes[0].card
        let taking = exchange(world, of: 1, to: 0)
        let newOfficer = world.nodes[0].officer
        let second = try Keyring(card[1])

        #expect(try take(card[2], by: taking, world) == "keyring-skipped")
        #expect(try take(second.signed(with: [oldOfficer]), by: taking, world) == "keyring-signatures")
        #expect(try take(second.signed(with: [newOfficer]), by: taking, world) == "keyring-signatures")
        // One signature under two names, and the same twice.
        let one = second.signed(with: [oldOfficer]).signatures[0].signature
        let twice = Envelope(
            type: .keyring, payload: second.payload(),
            signatures: [oldOfficer, newOfficer].map { DocumentSignature(keyID: $0.publicKey.keyID, signature: one) })
        #expect(try take(twice, by: taking, world) == "keyring-signatures")
        // Kitchener's keyring by Auckland's hand, and Auckland's by Kitchener's.
        #expect(try take(card[1], by: exchange(world, of: 2, to: 1), world) == "keyring-other-city")
        #expect(try take(world.nodes[1].card[0], by: exchange(world, of: 2, to: 0), world) == "keyring-other-city")
        #expect(try held(world, by: 1, of: 0) == 1)
        #expect(try alarm(world, at: 1, of: 0)?.hasPrefix("keyring-signatures") == true)
        // The same version with other content: now, and of a version that has passed.
        let change = KeyringChange(nil, name: "Town", country: nil, endpoints: [])
        let other = try before.successor(change, tls: world.nodes[0].spki, expires: before.expires, at: world.now)
        #expect(try take(card[1], by: taking, world) == nil)
        #expect(try alarm(world, at: 1, of: 0) == nil)
        #expect(try take(other.signed(with: [oldOfficer]), by: taking, world) == "keyring-equivocation")
        #expect(try take(card[2], by: taking, world) == nil)
        #expect(try take(other.signed(with: [oldOfficer]), by: taking, world) == "keyring-rollback")
        // A threshold that cannot be: no keyring at all.
        for threshold in ["0", "2"] {
            let text = String(decoding: card[2].payload, as: UTF8.self)
            let root = "\"root\":{\"keyids\":[\"\(newOfficer.publicKey.keyID.hex)\"],\"threshold\":"
            let forged = text.replacing(root + "1", with: root + threshold)
            let envelope = Envelope.sign(Array(forged.utf8), as: .keyring, with: [newOfficer])
            #expect(forged != text)
            #expect(try take(envelope, by: taking, world) == "malformed")
        }
        #expect(try held(world, by: 1, of: 0) == 3)
        let refused = try world.nodes[1].metadata.read { try $0.logSize }
        for _ in 0..<50 { _ = try take(other.signed(with: [oldOfficer]), by: taking, world) }
        // Who repeats it does not fill the log.
        #expect(try world.nodes[1].metadata.read { try $0.logSize } <= refused + 1)
    }

    @Test func aPartnersKeyringMayNotTakeAnothersMarks() throws {
        let world = try World(seed: 4, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let kitchener = world.nodes[0]
        let change = KeyringChange(
            .tls(kitchener.spki, by: world.nodes[2].spki), name: "City", country: nil, endpoints: [])
        let next = try kitchener.keyring.successor(change, tls: kitchener.spki, expires: kitchener.keyring.expires, at: world.now)
        #expect(try take(next.signed(with: [kitchener.officer]), by: exchange(world, of: 1, to: 0), world) == "keyring-borrowed")
        #expect(try held(world, by: 1, of: 0) == 1)
    }

    @Test func aPartnerThatGoesByAnOldKeyringIsNoticed() throws {
        let world = try Exchange.cities()
        try world.nodes[0].rotate(.tls)
        let taking = exchange(world, of: 1, to: 0)
        #expect(try take(world.nodes[0].card[1], by: taking, world) == nil)
        try taking.opened(held: 1, theirs: 1, at: world.now)
        #expect(try alarm(world, at: 1, of: 0)?.hasPrefix("keyring-rollback") == true)
    }

    @Test func aTLSKeyIsShownThatThePartnerKnows() throws {
        let world = try Exchange.cities()
        let node = world.nodes[0]
        let first = node.spki
        try node.rotate(.tls)
        let second = node.spki
        try node.rotate(.tls)
        let third = node.spki
        func shown(_ held: Int?, after seconds: Int64 = 0) throws -> Digest? {
            if let held {
                try exchange(world, of: 0, to: 1).opened(held: UInt64(held), theirs: 1, at: world.now)
            }
            return try node.metadata.read {
                try KeyringMemory.tlsKey(
                    of: node.city, among: [third, second, first], knownTo: [world.nodes[1].city],
                    at: world.now.adding(seconds: seconds), $0)
            }
        }
        // Who never said may have the oldest.
        #expect(try shown(nil) == first)
        #expect(try shown(1) == first)
        #expect(try shown(2) == second)
        #expect(try shown(3) == third)
        // Behind the overlap only a card helps.
        #expect(try shown(1, after: KeyringChange.tlsOverlapSeconds + 1) == third)
    }

    @Test func aKeyThatWasNamedCompromisedSignsNoAgreementAnyMore() throws {
        let world = try Exchange.cities()
        let stolen = world.nodes[0].officer
        let forged = try Agreement(json: [
            "schema": "hansa.agreement/1", "id": "forged", "title": "An exchange",
            "parties": [["city": "kitchener.ca", "keyring": 1], ["city": "auckland.nz", "keyring": 1]],
            "term": ["effective": "2026-01-01", "expires": "2029-12-31"], "clauses": [["id": "1", "text": "Words."]],
            "terms": [
                [
                    "clause": "1", "from": "kitchener.ca", "to": ["auckland.nz"], "packages": ["kitchener.ca/**"],
                    "kinds": ["dataset"], "ceiling": "TLP:GREEN", "redistribution": ["to": "none"],
                ]
            ],
        ])
        let digest = try world.agree(0, 1)
        try world.nodes[0].rotate(.officer, isCompromised: true)
        let taking = exchange(world, of: 1, to: 0)
        #expect(try take(world.nodes[0].card[1], by: taking, world) == nil)
        #expect(try take(Envelope.sign(forged.payload(), as: .agreement, with: [stolen]), by: taking, world) == "key-revoked")
        // What was signed before stays.
        #expect(try world.nodes[1].metadata.read { try $0.agreement(digest)?.state(at: world.now) } == .active)
    }

    /// Node 0 is kitchener, whose releases auckland passes on to wien.
    private func relayed() throws -> (World, PackageID) {
        let world = try World(seed: 5, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let digest = try world.propose(0, 1, 2, redistribution: ["to": "parties", "maxHops": 1])
        try world.signByAll(digest, [0, 1, 2])
        return (world, try PackageID(city: world.nodes[0].city, path: "roads"))
    }

    private func document(
        _ package: PackageID, _ operation: Release.Operation, _ clock: [(WorldNode, UInt64)], at now: Timestamp,
        parents: [Digest] = [], key: Ed25519PrivateKey? = nil, keyring: Int? = nil
    ) throws -> Envelope {
        let (node, seq) = try #require(clock.last)
        let isWithdrawal = operation == .withdraw
        return try Release(
            package: package, kind: .dataset, version: Version(1, 0, 0), operation: operation, writer: node.city,
            keyring: keyring ?? node.keyring.version, seq: seq, previous: nil, parents: parents,
            clock: clock.map { ClockEntry(city: $0.0.city, seq: $0.1) }.sorted { $0.city < $1.city }, issued: now, tlp: .green,
            title: "t", bytes: isWithdrawal ? 0 : 5, files: isWithdrawal ? 0 : 1,
            manifest: isWithdrawal ? nil : SHA256.hash([1]),
            index: isWithdrawal ? nil : IndexReference(root: SHA256.hash([2]), chunks: 1),
            reason: isWithdrawal ? "It was wrong." : nil
        ).signed(with: [key ?? node.packageKey])
    }

    /// A key that was rotated out, not named compromised, in a thief's hands: only its own city's session is believed.
    @Test func aRelayBringsNoWithdrawalUnderASupersededKey() throws {
        let (world, package) = try relayed()
        let old = world.nodes[0].packageKey
        let forged = try document(package, .withdraw, [(world.nodes[0], UInt64(Int64.max))], at: world.now)
        try world.nodes[0].rotate(.package)
        let (direct, relay) = (exchange(world, of: 2, to: 0), exchange(world, of: 2, to: 1))
        #expect(try take(world.nodes[0].card[1], by: direct, world) == nil)
        #expect(try take(forged, by: relay, world) == "keyring")
        #expect(try world.nodes[2].metadata.read { try $0.package(package) } == nil)
        // An honest one of before comes from the city itself; then the relay's copy is acknowledged, and is not sent again.
        let honest = try document(package, .withdraw, [(world.nodes[0], 3)], at: world.now, key: old, keyring: 1)
        #expect(try take(honest, by: relay, world) == "keyring")
        #expect(try take(honest, by: direct, world) == nil)
        #expect(try take(honest, by: relay, world) == nil)
        #expect(try world.nodes[2].metadata.read { try $0.package(package)?.withdrawnSeq } == 3)
        // Under the current key a relay is believed.
        #expect(try take(document(package, .withdraw, [(world.nodes[0], 4)], at: world.now), by: relay, world) == nil)
        #expect(try world.nodes[2].metadata.read { try $0.package(package)?.withdrawnSeq } == 4)
    }

    private func verdict(_ envelope: Envelope, from publisher: Int, at recipient: Int, _ world: World) throws -> ReleaseVerdict {
        let node = world.nodes[recipient]
        return try node.metadata.read { store in
            let record = try #require(try store.agreements().first)
            return try ReleaseCheck.verdict(
                on: envelope, expecting: envelope.digest, publisher: world.nodes[publisher].city, recipient: node.city,
                under: record, aheadMillisecondsMax: 600_000, store: store, at: world.now)
        }
    }

    /// A relay that holds the next keyring back could serve what a stolen key signs for ever.
    @Test func nothingOfACityIsTakenFromARelayOnceItsKeyringExpired() throws {
        let (world, package) = try relayed()
        try world.nodes[0].rotate(.nothing, expires: world.now.adding(seconds: 60))
        #expect(try take(world.nodes[0].card[1], by: exchange(world, of: 2, to: 0), world) == nil)
        let release = try document(package, .publish, [(world.nodes[0], 1)], at: world.now)
        let withdrawal = try document(package, .withdraw, [(world.nodes[0], 2)], at: world.now)
        guard case .accepted = try verdict(release, from: 1, at: 2, world) else {
            Issue.record("an honest release is not taken")
            return
        }
        world.run(seconds: 61)
        guard case .notYetDue(_, let until) = try verdict(release, from: 1, at: 2, world) else {
            Issue.record("a release under an expired keyring is taken from a relay")
            return
        }
        #expect(until > world.now)
        #expect(try take(withdrawal, by: exchange(world, of: 2, to: 1), world) == "keyring")
        try world.nodes[0].rotate(.nothing)
        #expect(try take(world.nodes[0].card[2], by: exchange(world, of: 2, to: 1), world) == nil)
        guard case .accepted = try verdict(release, from: 1, at: 2, world) else {
            Issue.record("what waited for the keyring is not taken")
            return
        }
        #expect(try take(withdrawal, by: exchange(world, of: 2, to: 1), world) == nil)
    }

    /// A clock that runs ahead of the owner's would outlive its withdrawals and precede all that it publishes.
    @Test func whatAMaintainerSaysOfTheOwnersNumbersWaitsForTheOwner() throws {
        let world = try World(seed: 6, cities: ["kitchener.ca", "auckland.nz", "wien.at"])
        let maintainers: JSONValue = [
            ["packages": ["kitchener.ca/**"], "cities": ["kitchener.ca", "auckland.nz"], "rule": "any"]
        ]
        let agreement = try world.propose(0, 1, 2, maintainers: maintainers)
        try world.signByAll(agreement, [0, 1, 2])
        let (owner, maintainer, third) = (world.nodes[0], world.nodes[1], world.nodes[2])
        let first = try owner.publish("roads", Exchange.content(1))
        let package = try PackageID(city: owner.city, path: "roads")
        func made(upon seq: UInt64) throws -> Envelope {
            try document(package, .publish, [(owner, seq), (maintainer, 1)], at: world.now, parents: [first])
        }
        let forged = try document(
            package, .publish, [(owner, UInt64(Int64.max)), (maintainer, 1)], at: world.now, parents: [SHA256.hash([9])])
        for node in [0, 2] {
            guard case .refused(.chain, _) = try verdict(forged, from: 1, at: node, world) else {
                Issue.record("a number that no owner has is taken at \(node)")
                return
            }
        }
        guard case .accepted = try verdict(made(upon: 1), from: 1, at: 0, world),
            case .notYetDue = try verdict(made(upon: 2), from: 1, at: 0, world),
            case .notYetDue = try verdict(made(upon: 1), from: 1, at: 2, world)
        else {
            Issue.record("an owner's number is not what decides")
            return
        }
        // The third city has the owner's own.
        try owner.grant(third.city, "kitchener.ca/**", under: agreement)
        world.connect(0, 2)
        world.run(seconds: 20)
        guard case .accepted = try verdict(made(upon: 1), from: 1, at: 2, world),
            case .notYetDue = try verdict(made(upon: 2), from: 1, at: 2, world)
        else {
            Issue.record("what the owner's release vouches for is not taken")
            return
        }
    }

    @Test func versionsOfAKeyringHaveABoundInADay() throws {
        let world = try Exchange.cities()
        let taking = exchange(world, of: 1, to: 0)
        for _ in 0..<(KeyringMemory.versionsOfADayMax + 1) { try world.nodes[0].rotate(.nothing) }
        for envelope in world.nodes[0].card[1...KeyringMemory.versionsOfADayMax] {
            #expect(try take(envelope, by: taking, world) == nil)
        }
        let last = try #require(world.nodes[0].card.last)
        #expect(try take(last, by: taking, world) == "keyring-too-many")
        #expect(try alarm(world, at: 1, of: 0)?.contains("is taken from \(world.now.adding(seconds: 86_400)) on") == true)
        world.run(seconds: 86_400)
        #expect(try take(last, by: taking, world) == nil)
        #expect(try alarm(world, at: 1, of: 0) == nil)
    }

    @Test func aKeyringFilledWithUnknownMembersIsNotKept() throws {
        let world = try Exchange.cities()
        try world.nodes[0].rotate(.nothing)
        let payload = String(decoding: world.nodes[0].card[1].payload, as: UTF8.self)
        let filled = "{\"x\":\"\(String(repeating: "x", count: KeyringMemory.payloadBytesMax))\"," + payload.dropFirst()
        let envelope = Envelope.sign(Array(filled.utf8), as: .keyring, with: [world.nodes[0].officer])
        #expect(try take(envelope, by: exchange(world, of: 1, to: 0), world) == "keyring-too-large")
        #expect(try held(world, by: 1, of: 0) == 1)
    }

    // MARK: In the world

    private func holds(_ world: World, _ node: Int, _ package: String) throws -> Bool {
        let id = try PackageID(city: world.nodes[1 - node].city, path: package)
        return try world.nodes[node].metadata.read { try ($0.package(id)?.headSeq ?? 0) > 0 }
    }

    @Test(arguments: [UInt64(11), 12, 13, 14]) func syncGoesOnThroughRotations(seed: UInt64) throws {
        let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"])
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        world.connect(0, 1)
        for (number, what) in [WorldNode.Rotated.tls, .package, .officer, .nothing, .tls].enumerated() {
            try world.nodes[0].rotate(what)
            // In the same moment: the keyring may be overtaken by what it signs.
            try world.nodes[0].publish("p\(number)", Exchange.content(UInt64(number)))
            #expect(
                world.run(seconds: 120) { (try? holds(world, 1, "p\(number)")) == true }, "seed \(seed): p\(number)")
        }
        #expect(try held(world, by: 1, of: 0) == 6)
        #expect(world.violations.isEmpty, "seed \(seed): \(world.violations)")
        #expect(world.findings.isEmpty, "seed \(seed): \(world.findings)")
    }

    @Test(arguments: [UInt64(21), 22, 23]) func whoWasAwayDuringRotationsCatchesUp(seed: UInt64) throws {
        let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"])
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        world.connect(0, 1)
        world.run(seconds: 5)
        world.link(0, 1).cut()
        for what in [WorldNode.Rotated.tls, .package, .officer, .tls] { try world.nodes[0].rotate(what) }
        try world.nodes[0].publish("p", Exchange.content(7))
        world.run(seconds: 5)
        world.link(0, 1).join()
        #expect(world.run(seconds: 120) { (try? holds(world, 1, "p")) == true }, "seed \(seed)")
        #expect(try held(world, by: 1, of: 0) == 5)
        #expect(world.violations.isEmpty, "seed \(seed): \(world.violations)")
    }

    /// What had not arrived when the key came out is refused, and arrives under the signature of its successor, with the same content and version.
    @Test(arguments: [UInt64(31), 32, 33]) func whatAKeySignedThatCameOutIsSignedAgain(seed: UInt64) throws {
        var options = World.Options()
        if seed == 33 { options.engine = .sqlite }
        let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"], options: options)
        let (one, two) = (world.nodes[0], world.nodes[1])
        let agreement = try world.agree(0, 1)
        try one.grant(two.city, "kitchener.ca/**", under: agreement)
        try one.publish("held", Exchange.content(1))
        try one.publish("gone", Exchange.content(2))
        try one.publish("back", Exchange.content(8))
        world.connect(0, 1)
        #expect(
            world.run(seconds: 120) { (try? ["held", "gone", "back"].allSatisfy { try holds(world, 1, $0) }) == true },
            "seed \(seed)")
        world.link(0, 1).cut()
        var late: [String: Digest] = [:]
        for number in 3...7 { late["late-\(number)"] = try one.publish("late-\(number)", Exchange.content(UInt64(number))) }
        try one.withdraw("gone")
        // Its withdrawal has to arrive too, and not to take away what was published after it.
        try one.withdraw("back")
        let anew = try one.publish("back", Exchange.content(9))
        try one.rotate(.package, isCompromised: true)
        world.link(0, 1).join()
        // Not signed again yet: of what came late nothing is taken.
        world.run(seconds: 60)
        for name in late.keys { #expect(try !holds(world, 1, name), "seed \(seed): \(name)") }
        let gone = try PackageID(city: one.city, path: "gone")
        #expect(try two.metadata.read { try $0.package(gone)?.isWithdrawn } == false)

        try one.timePasses()
        #expect(
            world.run(seconds: 120) {
                (try? late.keys.allSatisfy { try holds(world, 1, $0) }
                    && two.metadata.read { try $0.package(gone)?.isWithdrawn == true })
                    == true
            }, "seed \(seed)")
        for (name, digest) in late {
            let package = try PackageID(city: one.city, path: name)
            let (before, after) = try two.metadata.read { store in
                (try store.release(digest), try store.package(package).flatMap { try store.release($0.head) })
            }
            let ours = try one.metadata.read { try $0.release(digest) }
            #expect(
                before == nil && after?.release.version == ours?.release.version && after?.release.seq == 2,
                "seed \(seed): \(name)")
            let head = try #require(after?.digest)
            #expect(try two.files(of: head) == one.files(of: digest))
        }
        let back = try PackageID(city: one.city, path: "back")
        #expect(world.run(seconds: 120) { (try? two.metadata.read { try $0.package(back)?.headSeq }) == 5 }, "seed \(seed)")
        let head = try two.metadata.read { try $0.package(back) }
        #expect(head?.withdrawnSeq == 4 && head?.headSeq == 5, "seed \(seed)")
        #expect(try two.files(of: #require(head?.head)) == one.files(of: anew))
        // Once, and also what is held already: a partner that comes later takes it.
        let heads = try one.metadata.read { try $0.packages(of: nil, after: nil, limit: 100).map(\.head) }
        try one.timePasses()
        #expect(try one.metadata.read { try $0.packages(of: nil, after: nil, limit: 100).map(\.head) } == heads)
        #expect(world.violations.isEmpty, "seed \(seed): \(world.violations)")
        let (left, _) = try world.heal()
        #expect(left.isEmpty, "seed \(seed): \(left)")
    }

    @Test func anExpiredKeyringAdmitsDocumentsUntilItsSuccessorIsThere() throws {
        let world = try Exchange.cities(seed: 31)
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        try world.nodes[0].rotate(.nothing, expires: world.now.adding(seconds: 60))
        world.connect(0, 1)
        world.run(seconds: 10)
        #expect(try held(world, by: 1, of: 0) == 2)
        world.link(0, 1).cut()
        world.run(seconds: 120)
        try world.nodes[0].publish("late", Exchange.content(8))
        world.link(0, 1).join()
        world.run(seconds: 20)
        // The session stands, and says nothing of packages.
        #expect(world.link(0, 1).isConnected)
        #expect(try !holds(world, 1, "late"))
        try world.nodes[0].rotate(.nothing)
        #expect(world.run(seconds: 120) { (try? holds(world, 1, "late")) == true })
        #expect(try held(world, by: 1, of: 0) == 3)
        #expect(world.violations.isEmpty, "\(world.violations)")
    }
}
