// Long because it is one contract, which both stores keep.
import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import Testing

/// The contract of `MetadataStore`: every store passes.
@Suite struct MetadataStoreTests {
    // MARK: Policy

    @Test(arguments: Engine.allCases)
    func keyringsComeBackAsReceivedInOrderOfVersion(_ engine: Engine) throws {
        let store = try engine.make()
        let second = try Samples.keyring(Samples.auckland, version: 2)
        let first = try Samples.keyring(Samples.auckland)
        try store.write { try $0.insertKeyring(second.0, second.1) }
        try store.write {
            try $0.insertKeyring(first.0, first.1)
            // The first of a version stays.
            try $0.insertKeyring(Envelope(type: .keyring, payload: first.0.payload, signatures: []), first.1)
        }
        try store.read { store throws in
            #expect(try store.keyringEnvelopes(of: Samples.auckland) == [first.0, second.0])
            #expect(try store.currentKeyring(of: Samples.auckland) == second.1)
            #expect(try store.keyring(of: Samples.auckland, version: 1) == first.1)
            #expect(try store.keyring(of: Samples.auckland, version: 3) == nil)
            #expect(try store.currentKeyring(of: Samples.boston) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func partnersComeInOrderOfCityAndAreReplacedWhole(_ engine: Engine) throws {
        let store = try engine.make()
        var kitchener = Samples.partner(Samples.kitchener, endpoint: "10.0.0.1:4470")
        try store.write {
            try $0.put(kitchener)
            try $0.put(Samples.partner(Samples.auckland))
        }
        kitchener.state = .removed
        kitchener.endpoint = nil
        kitchener.lastSync = Samples.start
        try store.write { try $0.put(kitchener) }
        try store.read { store throws in
            #expect(try store.partners() == [Samples.partner(Samples.auckland), kitchener])
            #expect(try store.partner(Samples.kitchener) == kitchener)
            #expect(try store.partner(Samples.boston) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func disputesComeInOrderAndAreReplacedByTheirKey(_ engine: Engine) throws {
        let store = try engine.make()
        let place = ContentLocation(segment: 0, offset: 32, length: 10)
        func row(_ package: String, _ kind: DisputeRow.Kind, _ seq: UInt64, _ other: UInt64, known: Digest? = nil) throws
            -> DisputeRow
        {
            DisputeRow(
                package: try PackageID(package), kind: kind, writer: Samples.kitchener, seq: seq, known: known,
                other: Samples.digest(other), document: place, partner: Samples.auckland, found: Samples.start)
        }
        let roads = "kitchener.ca/roads"
        var first = try row(roads, .fork, 2, 9, known: Samples.digest(1))
        let rest = [
            try row(roads, .fence, 2, 3), try row(roads, .fork, 10, 1), try row("kitchener.ca/trees", .fork, 1, 1),
        ]
        try store.write { tx in for row in rest.reversed() + [first] { try tx.put(row) } }
        first.resolved = Samples.start.adding(seconds: 5)
        try store.write { try $0.put(first) }
        try store.read { store throws in
            #expect(try store.disputes(of: nil) == [first] + rest)
            #expect(try store.disputes(of: PackageID(roads)) == [first] + rest.dropLast())
            #expect(try store.disputes(of: PackageID("kitchener.ca/none")) == [])
        }
    }

    @Test(arguments: Engine.allCases)
    func signaturesOfAnAgreementAreMergedAndCountByTheKeyringsKnown(_ engine: Engine) throws {
        let store = try engine.make()
        let proposal = try Samples.agreement(signedBy: [Samples.kitchener])
        let acceptance = try Samples.agreement(signedBy: [Samples.auckland])
        let kitchener = try Samples.keyring(Samples.kitchener)
        let auckland = try Samples.keyring(Samples.auckland)
        try store.write {
            try $0.insertAgreement(proposal)
            #expect(try $0.agreement(proposal.digest)?.signedBy == [])
            try $0.insertKeyring(kitchener.0, kitchener.1)
            #expect(try $0.agreement(proposal.digest)?.signedBy == [Samples.kitchener])
            try $0.insertAgreement(acceptance)
            try $0.insertAgreement(proposal)
        }
        try store.write { try $0.insertKeyring(auckland.0, auckland.1) }
        try store.read { store throws in
            let record = try #require(try store.agreement(proposal.digest))
            #expect(record.signedBy == [Samples.kitchener, Samples.auckland])
            #expect(record.envelope.signatures.count == 2)
            #expect(record.state(at: Samples.start) == .active)
            // As received: each envelope once, in the order of arrival.
            #expect(try store.agreementEnvelopes(proposal.digest) == [proposal, acceptance])
            #expect(try store.agreements().map(\.digest) == [proposal.digest])
            #expect(try store.agreement(Samples.digest(1)) == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func stepsEndAnAgreementAlsoWhenTheyCameBeforeIt(_ engine: Engine) throws {
        let store = try engine.make()
        let proposal = try Samples.agreement(signedBy: [Samples.kitchener, Samples.auckland])
        let (envelope, step) = try Samples.termination(of: proposal.digest, by: Samples.auckland)
        try store.write {
            for city in [Samples.kitchener, Samples.auckland] {
                let keyring = try Samples.keyring(city)
                try $0.insertKeyring(keyring.0, keyring.1)
            }
            try $0.insertStep(envelope, step)
            #expect(try $0.agreement(proposal.digest) == nil)
            try $0.insertAgreement(proposal)
            try $0.insertStep(envelope, step)
        }
        try store.read { store throws in
            #expect(try store.agreement(proposal.digest)?.state(at: Samples.start) == .terminated)
            #expect(try store.agreementEnvelopes(proposal.digest) == [envelope, proposal])
        }
    }

    @Test(arguments: Engine.allCases)
    func whatIsNoAgreementIsRefusedAndLeavesNothing(_ engine: Engine) throws {
        let store = try engine.make()
        let envelope = Envelope.sign(Array("{}".utf8), as: .agreement, with: [try Samples.key(Samples.kitchener, 1)])
        try store.write { transaction in
            #expect(throws: DocumentFault.self) { try transaction.insertAgreement(envelope) }
            try transaction.put(Samples.partner(Samples.boston))
        }
        try store.read { store throws in
            #expect(try store.agreements().isEmpty)
            #expect(try store.agreementEnvelopes(envelope.digest).isEmpty)
            #expect(try store.partners().count == 1)
        }
    }

    @Test(arguments: Engine.allCases)
    func grantsAreReplacedByIdAndStandInThePolicy(_ engine: Engine) throws {
        let store = try engine.make()
        let agreement = try Samples.agreement()
        var grant = try Samples.grant(2, under: agreement.digest)
        let bare = Grant(
            id: "g-0000000001", partner: Samples.boston, pattern: try PackagePattern("kitchener.ca/a"),
            agreement: agreement.digest,
            level: .discover, issued: Samples.start, grantedBy: "")
        try store.write {
            try $0.insertAgreement(agreement)
            try $0.put(grant)
            try $0.put(bare)
            #expect(try $0.policy().grants.count == 2)
        }
        grant.ended = Samples.start
        try store.write { try $0.put(grant) }
        try store.read { store throws in
            #expect(try store.grants() == [bare, grant])
            let policy = try store.policy()
            #expect(policy.grants == [bare, grant])
            #expect(policy.agreements.map(\.digest) == [agreement.digest])
        }
    }

    // MARK: Packages

    @Test(arguments: Engine.allCases)
    func packagesComeInPagesInOrderOfTheirIds(_ engine: Engine) throws {
        let store = try engine.make()
        // `a-b` and `a.b` sort on either side of `a/b`, and one city's name begins with another's.
        let paths = ["a/b", "a-b", "a.b", "a", "z"]
        let near = Samples.city("kitchener.ca.example.org")
        var packages = paths.map { Samples.package($0) } + paths.map { Samples.package($0, of: near) }
        packages.append(Samples.package("a", of: Samples.auckland))
        try store.write { transaction in for package in packages { try transaction.put(Samples.packageRow(package)) } }
        packages.sort()
        try store.read { store throws in
            #expect(try store.packages(of: nil, after: nil, limit: 100).map(\.package) == packages)
            #expect(try store.packageCount(of: nil) == packages.count)
            for city in Set(packages.map(\.city)) {
                #expect(try store.packageCount(of: city) == packages.count { $0.city == city })
            }
            #expect(try store.packages(of: nil, after: packages[3], limit: 2).map(\.package) == Array(packages[4...5]))
            let own = packages.filter { $0.city == Samples.kitchener }
            #expect(try store.packages(of: Samples.kitchener, after: nil, limit: 100).map(\.package) == own)
            #expect(try store.packages(of: Samples.kitchener, after: own[1], limit: 2).map(\.package) == Array(own[2...3]))
            #expect(
                try store.packages(of: Samples.kitchener, after: Samples.package("a", of: Samples.auckland), limit: 1).map(
                    \.package) == [own[0]])
            #expect(try store.packages(of: Samples.kitchener, after: own.last, limit: 100).isEmpty)
            #expect(try store.packages(of: Samples.boston, after: nil, limit: 100).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func aPackageIsReplacedWholeAndIsThereOnlyOncePut(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("roads/breaks")
        try store.write { transaction in
            // Named by rows of others, it is not yet a package.
            try transaction.insert(Samples.release(Samples.digest(1), of: package))
            try transaction.put(Samples.holding(Samples.digest(9), Samples.digest(1), package: package))
            #expect(try transaction.package(package) == nil)
            #expect(try transaction.packages(of: nil, after: nil, limit: 9).isEmpty)
            try transaction.put(Samples.packageRow(package, withdrawn: 4))
        }
        #expect(try store.read { try $0.package(package) } == Samples.packageRow(package, withdrawn: 4))
        try store.write { try $0.put(Samples.packageRow(package, seq: 5)) }
        #expect(try store.read { try $0.package(package) } == Samples.packageRow(package, seq: 5))
    }

    @Test(arguments: Engine.allCases)
    func releasesAreFoundByDigestPrefixPackageAndSeq(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("a")
        let rows = [
            Samples.release(Digest(0xAB00, 1, 0, 0), of: package, seq: 2),
            Samples.release(Digest(0xAB01, 1, 0, 0), of: package, seq: 1),
            Samples.release(Digest(0xAB01, 2, 0, 0), of: package, seq: 3, writer: Samples.boston),
            Samples.release(Digest(0xAC00, 1, 0, 0), of: Samples.package("b"), seq: 1),
        ]
        try store.write { transaction in
            for row in rows { try transaction.insert(row) }
            // The first stays.
            var again = rows[0]
            again.document = Samples.place(99)
            try transaction.insert(again)
        }
        try store.read { store throws in
            for row in rows { #expect(try store.release(row.digest) == row) }
            #expect(try store.release(Samples.digest(5)) == nil)
            #expect(try store.releases(of: package).map(\.release.seq) == [1, 2, 3])
            #expect(try store.releases(of: Samples.package("c")).isEmpty)
            #expect(try store.releaseDigest(of: package, writer: Samples.boston, seq: 3) == rows[2].digest)
            #expect(try store.releaseDigest(of: package, writer: Samples.kitchener, seq: 3) == nil)
            #expect(try store.releaseDigest(of: package, writer: Samples.auckland, seq: 3) == nil)
            #expect(try store.releases(withPrefix: "000000000000ab", limit: 9) == [rows[0], rows[1], rows[2]].map(\.digest))
            #expect(try store.releases(withPrefix: "000000000000ab", limit: 2) == [rows[0], rows[1]].map(\.digest))
            #expect(try store.releases(withPrefix: "000000000000ab010", limit: 9) == [rows[1], rows[2]].map(\.digest))
            #expect(try store.releases(withPrefix: rows[3].digest.hex, limit: 9) == [rows[3].digest])
            #expect(try store.releases(withPrefix: "f", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: "xy", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: rows[3].digest.hex + "0", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: "", limit: 9).count == 4)
        }
    }

    @Test(arguments: Engine.allCases)
    func chunksKeepTheirFirstPlaceAndAreApartForEachCity(_ engine: Engine) throws {
        let store = try engine.make()
        let chunks = (1...5).map { ChunkEntry(id: Samples.digest(UInt64($0), 3), length: UInt32($0 * 100)) }
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: Samples.place(1), Array(chunks[0...2]))
            try $0.insertChunks(of: Samples.kitchener, block: Samples.place(2), Array(chunks[2...3]))
            try $0.insertChunks(of: Samples.boston, block: Samples.place(3), [chunks[0]])
        }
        let first = ChunkLocation(block: Samples.place(1), offset: 0, length: 100)
        let third = ChunkLocation(block: Samples.place(1), offset: 300, length: 300)
        let fourth = ChunkLocation(block: Samples.place(2), offset: 300, length: 400)
        try store.read { store throws in
            let wanted = [chunks[3].id, chunks[4].id, chunks[2].id, chunks[0].id, chunks[0].id]
            #expect(try store.chunkLocations(of: Samples.kitchener, wanted) == [fourth, nil, third, first, first])
            #expect(
                try store.chunkLocations(of: Samples.boston, [chunks[0].id, chunks[1].id]) == [
                    ChunkLocation(block: Samples.place(3), offset: 0, length: 100), nil,
                ])
            #expect(try store.chunkLocations(of: Samples.auckland, [chunks[0].id]) == [nil])
        }
    }

    @Test(arguments: Engine.allCases)
    func chunksOfABlockThatCannotBeReadAreSetAside(_ engine: Engine) throws {
        let store = try engine.make()
        let chunks = (1...4).map { ChunkEntry(id: Samples.digest(UInt64($0), 3), length: UInt32($0 * 100)) }
        let ids = chunks.map(\.id)
        let (one, two, three) = (Samples.place(1), Samples.place(2), Samples.place(3))
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: one, Array(chunks[0...2]))
            try $0.insertChunks(of: Samples.kitchener, block: two, [chunks[3]])
            try $0.insertChunks(of: Samples.boston, block: one, [chunks[0]])
            try $0.loseChunks(in: [one, Samples.place(9)])
        }
        try store.read { store throws in
            #expect(try store.chunkLocations(of: Samples.kitchener, ids).map { $0?.block } == [nil, nil, nil, two])
            #expect(try store.chunkLocations(of: Samples.boston, ids).map { $0?.block } == [nil, nil, nil, nil])
            #expect(try store.lostBlocks(limit: 5) == [one])
        }
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: three, [chunks[1]])
            try $0.restoreChunks(in: one)
        }
        try store.read { store throws in
            #expect(try store.chunkLocations(of: Samples.kitchener, ids).map { $0?.block } == [one, three, one, two])
            #expect(try store.chunkLocations(of: Samples.boston, ids).map { $0?.block } == [one, nil, nil, nil])
            #expect(try store.lostBlocks(limit: 5) == [])
        }
        try store.write {
            try $0.loseChunks(in: [two])
            try $0.insertChunks(of: Samples.kitchener, block: three, [chunks[3]])
            try $0.forgetFoundChunks()
        }
        #expect(try store.read { try $0.lostBlocks(limit: 5) } == [])
    }

    @Test(arguments: Engine.allCases)
    func damagedReleasesAreListedUntilTheyAreHealed(_ engine: Engine) throws {
        let store = try engine.make()
        let (one, two) = (Samples.digest(1), Samples.digest(2))
        let row = Samples.release(one, of: Samples.package("roads"))
        let damage = DamageRow(release: one, found: Samples.start, what: "segment 1 is damaged at byte 20")
        try store.write {
            try $0.insert(row)
            try $0.put(DamageRow(release: two, found: Samples.start, what: "b"))
            try $0.put(damage)
            try $0.place(
                one, document: Samples.place(7), table: [Samples.place(8)], pages: [Samples.place(9), Samples.place(10)])
        }
        try store.read { store throws in
            #expect(try store.damages().map(\.release) == [one, two].sorted())
            #expect(try store.damage(of: one) == damage)
            let placed = try #require(try store.release(one))
            #expect(placed.document == Samples.place(7))
            #expect(placed.table == [Samples.place(8)])
            #expect(placed.pages == [Samples.place(9), Samples.place(10)])
            #expect(placed.release == row.release)
        }
        try store.write { try $0.removeDamage(one) }
        #expect(try store.read { try $0.damages().map(\.release) } == [two])
    }

    // MARK: Publishing

    @Test(arguments: Engine.allCases)
    func publishedViewsComeBackWhole(_ engine: Engine) throws {
        let store = try engine.make()
        var view = Samples.view(1)
        let other = Samples.view(2, recipient: Samples.boston)
        try store.write {
            try $0.put(view)
            try $0.put(other)
        }
        view.members.insert(Samples.digest(4))
        (view.position, view.acknowledgedPosition, view.acknowledgedEqual) = (9, 8, false)
        (view.mismatches, view.quarantine, view.feedKey) = (2, "digests differ", [9])
        try store.write { try $0.put(view) }
        try store.read { store throws in
            #expect(try store.publishedView(view.id) == view)
            #expect(try store.publishedViews() == [view, other].sorted { $0.id < $1.id })
            #expect(try store.publishedView(Samples.digest(1)) == nil)
        }
    }

    /// What repair compares: present members and holdings that have not ended, with the time of a release that both sides know.
    @Test(arguments: Engine.allCases)
    func membersAndHoldingsAreComparedInOrderOfRelease(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1)
        let releases = (1...5).map { Samples.digest(UInt64($0)) }
        let issued = Samples.release(releases[0], of: Samples.package("a")).release.issued
        try store.write { tx in
            try tx.put(view)
            for place in 0..<4 {
                try tx.insert(Samples.release(releases[place], of: Samples.package("a"), seq: UInt64(place) + 1))
            }
            for place in 0..<5 {
                var row = Samples.member(
                    view.id, releases[place], added: UInt64(place), dropped: place == 3 ? 9 : nil, sent: place != 1)
                if place == 2 { row.outcome = .refused }
                try tx.put(row)
                let states: [HoldingRow.State] = [.accepted, .accepted, .refused, .ended, .accepted]
                try tx.put(Samples.holding(view.id, releases[place], states[place]))
            }
        }
        // Refused, or without a release here: no time.
        let times = [issued, issued, nil, nil, nil]
        let order = [0, 1, 2, 4].sorted { releases[$0] < releases[$1] }
        try store.read { store throws in
            var members: [ReconciliationItem] = []
            var sent: [Bool] = []
            try store.eachMember(view.id) {
                members.append($0)
                sent.append($1)
            }
            #expect(members == order.map { ReconciliationItem(issued: times[$0], release: releases[$0], level: 2) })
            #expect(sent == order.map { $0 != 1 })
            #expect(try store.memberCount(view.id) == 4)
            var holdings: [ReconciliationItem] = []
            try store.eachHolding(view.id) { holdings.append($0) }
            #expect(holdings == order.map { ReconciliationItem(issued: times[$0], release: releases[$0], level: 1) })
            #expect(try store.holdingCount(view.id) == 4)
            #expect(try store.memberCount(Samples.digest(77)) == 0)
            #expect(try store.holdingCount(Samples.digest(77)) == 0)
        }
    }

    @Test(arguments: Engine.allCases)
    func whoWasSentAPackageOutlivesTheView(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("a")
        let views = [Samples.view(1), Samples.view(2, recipient: Samples.boston), Samples.view(3, recipient: Samples.kitchener)]
        try store.write { transaction in
            for (number, view) in views.enumerated() {
                try transaction.put(view)
                var row = Samples.member(view.id, Samples.digest(1), package: package, added: 1, sent: number < 2)
                row.isListedAgain = number == 1
                try transaction.put(row)
            }
            try transaction.removePublishedView(views[0].id)
            try transaction.removePublishedView(Samples.digest(77))
        }
        try store.read { store throws in
            #expect(try store.publishedView(views[0].id) == nil)
            #expect(try store.publishedViews().count == 2)
            #expect(try store.recipients(everSent: package) == [Samples.auckland, Samples.boston])
            #expect(try store.recipients(everSent: Samples.package("b")).isEmpty)
        }
        try store.write { try $0.put(views[0]) }
        #expect(try store.read { try $0.publishedView(views[0].id) } == views[0])
    }

    @Test(arguments: Engine.allCases)
    func aReleaseKnownByItsDocumentAloneTakesItsContentOnce(_ engine: Engine) throws {
        let store = try engine.make()
        let whole = Samples.release(Samples.digest(1), of: Samples.package("a"))
        try #require(whole.hasContent)
        var shown = whole
        (shown.table, shown.pages) = ([], [])
        var later = whole
        later.pages.reverse()
        later.table.append(contentsOf: whole.table)
        for (row, expected) in [(shown, shown), (whole, whole), (later, whole), (shown, whole)] {
            try store.write { try $0.insert(row) }
            #expect(try store.read { try $0.release(row.digest) } == expected)
            #expect(try store.read { try $0.releases(of: row.release.package) } == [expected])
        }
    }

    @Test(arguments: Engine.allCases)
    func membersComeBackWholeAndArePagedByPosition(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1).id
        var rows = (1...6).map { Samples.member(view, Samples.digest(UInt64($0)), added: UInt64(10 - $0)) }
        try store.write { transaction in
            for row in rows { try transaction.put(row) }
            try transaction.put(Samples.member(Samples.digest(5, 10), Samples.digest(1), added: 1))
        }
        rows[0].level = .discover
        (rows[0].clause, rows[0].grant, rows[0].until) = ("2.1", "g-2", Samples.start)
        (rows[0].sent, rows[0].transfer, rows[0].delivered, rows[0].outcome) = (true, [1, 2, 3], true, .refused)
        rows[1].package = Samples.package("b")
        (rows[2].sent, rows[2].isListedAgain, rows[2].outcome) = (true, true, .accepted)
        try store.write { transaction in for row in rows[0...2] { try transaction.put(row) } }
        try store.read { store throws in
            for row in rows {
                #expect(try store.member(view, row.release) == row)
                #expect(try store.memberStanding(view, row.release) == MemberStanding(row))
            }
            #expect(try store.member(view, Samples.digest(99)) == nil)
            #expect(try store.memberStanding(view, Samples.digest(99)) == nil)
            #expect(try store.member(Samples.digest(99), rows[0].release) == nil)
            let ordered = Array(rows.reversed())
            #expect(try store.members(view, addedAfter: 0, limit: 100) == ordered)
            #expect(try store.members(view, addedAfter: ordered[1].added, limit: 2) == Array(ordered[2...3]))
            #expect(try store.members(view, addedAfter: 9, limit: 2).isEmpty)
            #expect(
                try store.members(view, of: Samples.package("a"))
                    == rows.filter { $0.package == Samples.package("a") }.sorted { $0.release < $1.release })
            #expect(try store.members(view, of: Samples.package("b")) == [rows[1]])
            #expect(try store.members(view, of: Samples.package("c")).isEmpty)
            #expect(try store.members(Samples.digest(99), addedAfter: 0, limit: 9).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func membersThatEndAreFoundByTheirMoment(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1).id
        let later = Samples.start.adding(seconds: 1)
        try store.write {
            try $0.put(Samples.member(view, Samples.digest(1), added: 1, until: later))
            try $0.put(Samples.member(view, Samples.digest(2), added: 2, until: Samples.start))
            try $0.put(Samples.member(view, Samples.digest(3), added: 3))
            try $0.put(Samples.member(view, Samples.digest(4), added: 4, until: Samples.start, dropped: 5, sent: true))
        }
        try store.read { store throws in
            #expect(try store.members(view, endedBy: Samples.start.adding(milliseconds: -1)).isEmpty)
            #expect(try store.members(view, endedBy: Samples.start).map(\.release) == [Samples.digest(2)])
            #expect(try store.members(view, endedBy: later).map(\.release) == [Samples.digest(2), Samples.digest(1)])
        }
    }

    @Test(arguments: Engine.allCases)
    func aDropNamesEveryIdThatWasSentWheneverItCame(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1).id
        try store.write {
            // 1 stays, 2 came at 2 and went at 7, 3 came at 5 and went at 6, 4 went without having been sent.
            try $0.put(Samples.member(view, Samples.digest(1), added: 1, sent: true))
            try $0.put(Samples.member(view, Samples.digest(2), added: 2, dropped: 7, sent: true))
            try $0.put(Samples.member(view, Samples.digest(3), added: 5, dropped: 6, sent: true))
            try $0.put(Samples.member(view, Samples.digest(4), added: 3, dropped: 8))
        }
        func net(_ position: UInt64) throws -> (adds: [Digest], drops: [Digest]) {
            try store.read { store in
                (
                    try store.members(view, addedAfter: position, limit: 9).map(\.release),
                    try store.drops(view, after: position, limit: 9).map(\.release)
                )
            }
        }
        // A recipient may have committed an id of a page whose cursor it never reached: before its `added` it may hold it already.
        #expect(try net(0) == ([Samples.digest(1)], [Samples.digest(3), Samples.digest(2)]))
        #expect(try net(1) == ([], [Samples.digest(3), Samples.digest(2)]))
        #expect(try net(2) == ([], [Samples.digest(3), Samples.digest(2)]))
        #expect(try net(5) == ([], [Samples.digest(3), Samples.digest(2)]))
        #expect(try net(6) == ([], [Samples.digest(2)]))
        #expect(try net(7) == ([], []))
        #expect(try store.read { try $0.drops(view, after: 5, limit: 1).map(\.release) } == [Samples.digest(3)])
    }

    @Test(arguments: Engine.allCases)
    func aMemberThatMovedAndThenWentIsTakenBackFromWhomeverKnewIt(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1).id
        let release = Samples.digest(1)
        // Offered at 3 and sent; at 6 its level changed; at 9 it went.
        try store.write {
            try $0.put(Samples.member(view, release, added: 3))
            try $0.put(Samples.member(view, release, added: 3, sent: true))
            try $0.put(Samples.member(view, release, added: 6, sent: true))
        }
        try store.read { store throws in
            #expect(try store.members(view, addedAfter: 4, limit: 9).map(\.release) == [release])
            #expect(try store.drops(view, after: 4, limit: 9).isEmpty)
        }
        try store.write { try $0.put(Samples.member(view, release, added: 6, dropped: 9, sent: true)) }
        try store.read { store throws in
            #expect(try store.drops(view, after: 2, limit: 9).map(\.release) == [release])
            #expect(try store.drops(view, after: 3, limit: 9).map(\.release) == [release])
            #expect(try store.drops(view, after: 4, limit: 9).map(\.release) == [release])
            #expect(try store.drops(view, after: 9, limit: 9).isEmpty)
        }
        // It comes again at 12 and goes at 15: a partner at 4 still has it from the first time.
        try store.write { try $0.put(Samples.member(view, release, added: 12, sent: true)) }
        #expect(try store.read { try $0.members(view, addedAfter: 4, limit: 9).map(\.added) } == [12])
        try store.write { try $0.put(Samples.member(view, release, added: 12, dropped: 15, sent: true)) }
        #expect(try store.read { try $0.drops(view, after: 4, limit: 9).map(\.dropped) } == [15])
        // What was never sent is forgotten, and begins anew.
        try store.write {
            try $0.removeMember(view, release)
            try $0.put(Samples.member(view, release, added: 20, sent: true))
            try $0.put(Samples.member(view, release, added: 20, dropped: 21, sent: true))
        }
        #expect(try store.read { try $0.drops(view, after: 4, limit: 9).map(\.dropped) } == [21])
    }

    @Test(arguments: Engine.allCases)
    func anUnsentMemberThatMovesIsNewAtItsLastPlace(_ engine: Engine) throws {
        let store = try engine.make()
        let view = Samples.view(1).id
        try store.write {
            try $0.put(Samples.member(view, Samples.digest(1), added: 3))
            try $0.put(Samples.member(view, Samples.digest(1), added: 6))
            try $0.put(Samples.member(view, Samples.digest(1), added: 6, sent: true))
            try $0.put(Samples.member(view, Samples.digest(1), added: 6, dropped: 9, sent: true))
        }
        #expect(try store.read { try $0.members(view, addedAfter: 4, limit: 9) }.isEmpty)
        #expect(try store.read { try $0.drops(view, after: 6, limit: 9) }.count == 1)
    }

    // MARK: Pulling

    @Test(arguments: Engine.allCases)
    func holdingsAreListedByViewReleasePackageAndState(_ engine: Engine) throws {
        let store = try engine.make()
        let views = [Samples.digest(1, 20), Samples.digest(2, 20)].sorted()
        let releases = (1...6).map { Samples.digest(UInt64($0)) }.sorted()
        let states: [HoldingRow.State] = [.accepted, .refused, .accepted, .ended, .refused, .accepted]
        var rows = zip(releases, states).map {
            Samples.holding(views[0], $0, $1, package: $1 == .refused ? nil : Samples.package("a"))
        }
        let second = Samples.holding(views[1], releases[0], .ended)
        try store.write { transaction in for row in rows.reversed() + [second] { try transaction.put(row) } }
        (rows[3].state, rows[3].reason, rows[3].level) = (.accepted, "", .sync)
        try store.write { try $0.put(rows[3]) }
        try store.read { store throws in
            for row in rows { #expect(try store.holding(views[0], row.release) == row) }
            #expect(try store.holding(views[1], releases[1]) == nil)
            #expect(try store.holding(Samples.digest(9), releases[1]) == nil)
            #expect(try store.holdings(of: releases[0]) == [rows[0], second])
            #expect(try store.holdings(of: Samples.package("a")) == rows.filter { $0.package != nil } + [second])
            #expect(try store.holdings(of: Samples.package("b")).isEmpty)
            #expect(try store.holdings(in: views[0], state: nil, after: nil, limit: 9) == rows)
            #expect(try store.holdings(in: views[0], state: nil, after: releases[1], limit: 2) == Array(rows[2...3]))
            #expect(try store.holdings(in: views[0], state: .accepted, after: releases[0], limit: 2) == [rows[2], rows[3]])
            #expect(try store.holdings(in: views[0], state: .refused, after: nil, limit: 9) == [rows[1], rows[4]])
            #expect(try store.holdings(in: views[0], state: .refused, after: releases[1], limit: 9) == [rows[4]])
            #expect(try store.holdings(in: views[0], state: .ended, after: nil, limit: 9).isEmpty)
            #expect(try store.holdings(in: Samples.digest(9), state: nil, after: nil, limit: 9).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func subscribedViewsTransfersAndReceiptsComeBackWhole(_ engine: Engine) throws {
        let store = try engine.make()
        var view = SubscribedView(id: Samples.digest(1, 20), agreement: Samples.digest(1), publisher: Samples.boston)
        let transfers = [Samples.transfer(view.id, Samples.digest(1)), Samples.transfer(view.id, Samples.digest(2))]
        try store.write {
            try $0.put(view)
            for transfer in transfers { try $0.put(transfer) }
            try $0.insertReceipt(Samples.digest(7), document: Samples.place(8), view: view.id, from: Samples.boston)
            try $0.insertReceipt(Samples.digest(7), document: Samples.place(9), view: view.id, from: Samples.boston)
        }
        view.cursor = [1, 2, 3]
        view.members.insert(Samples.digest(1))
        (view.mismatches, view.quarantine) = (1, "")
        try store.write {
            try $0.put(view)
            try $0.put(Samples.transfer(view.id, Samples.digest(1), held: 9))
            try $0.removeTransfer(view.id, Samples.digest(2))
            try $0.removeTransfer(Samples.digest(3), Samples.digest(2))
        }
        try store.read { store throws in
            #expect(try store.subscribedView(view.id) == view)
            #expect(try store.subscribedViews() == [view])
            #expect(try store.subscribedView(Samples.digest(3)) == nil)
            #expect(try store.transfers() == [Samples.transfer(view.id, Samples.digest(1), held: 9)])
            #expect(try store.transfer(view.id, Samples.digest(1))?.chunksHeld == 9)
            #expect(try store.transfer(view.id, Samples.digest(2)) == nil)
            #expect(try store.receiptLocation(Samples.digest(7)) == Samples.place(8))
            #expect(try store.receiptLocation(Samples.digest(8)) == nil)
        }
    }

    // MARK: The rest

    @Test(arguments: Engine.allCases)
    func theOutboxGivesDocumentsInOrderUntilTheyAreRemoved(_ engine: Engine) throws {
        let store = try engine.make()
        let envelopes = try (1...4).map { try Samples.agreement("a-\($0)") }
        try store.write { transaction in
            for envelope in envelopes[0...2] { try transaction.enqueue(envelope, to: Samples.auckland) }
            try transaction.enqueue(envelopes[3], to: Samples.boston)
        }
        let rows = try store.read { try $0.outbox(to: Samples.auckland, after: 0, limit: 9) }
        #expect(rows.map(\.envelope) == Array(envelopes[0...2]))
        try store.write { try $0.removeOutbox(rows[2].id) }
        try store.write { try $0.enqueue(envelopes[3], to: Samples.auckland) }
        try store.read { store throws in
            let left = try store.outbox(to: Samples.auckland, after: rows[0].id, limit: 9)
            #expect(left.map(\.envelope) == [envelopes[1], envelopes[3]])
            // An id is never given twice, or an acknowledgement that comes late would remove another document.
            #expect(left.last.map { $0.id > rows[2].id } == true)
            #expect(try store.outbox(to: Samples.auckland, after: 0, limit: 1).map(\.envelope) == [envelopes[0]])
            #expect(try store.outbox(to: Samples.kitchener, after: 0, limit: 1).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func aPublishedDirectoryIsItsPackagesHead(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("a")
        let head = Samples.release(Samples.digest(1, 1), of: package)
        try store.write {
            try $0.put(SnapshotRow(path: "/data/a", package: package, release: head.digest, snapshot: [1, 2]))
            try $0.put(Samples.packageRow(package))
            try $0.insert(head)
        }
        let known = PublishedDirectory(snapshot: [1, 2], digest: head.digest, release: head.release)
        #expect(try store.read { try $0.published(directory: "/data/a") } == known)
        #expect(try store.read { try $0.published(directory: "/data") } == nil)
        try store.write { try $0.put(Samples.packageRow(package, withdrawn: 1)) }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil)
        try store.write { try $0.put(Samples.packageRow(package, seq: 2)) }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil)
        try store.write {
            try $0.put(SnapshotRow(path: "/data/a", package: package, release: Samples.digest(2, 1), snapshot: []))
        }
        #expect(try store.read { try $0.published(directory: "/data/a") } == nil, "the release is not here")
    }

    @Test(arguments: Engine.allCases)
    func snapshotsAndValuesAreReplaced(_ engine: Engine) throws {
        let store = try engine.make()
        var row = SnapshotRow(path: "/data/a", package: Samples.package("a"), release: Samples.digest(1), snapshot: [])
        try store.write {
            try $0.put(row)
            try $0.setValue("home.id", [1])
            try $0.setValue("empty", [])
        }
        row.snapshot = [UInt8](repeating: 9, count: 100_000)
        try store.write {
            try $0.put(row)
            try $0.setValue("home.id", [1, 2])
        }
        try store.read { store throws in
            #expect(try store.snapshot(ofDirectory: "/data/a") == row)
            #expect(try store.snapshot(ofDirectory: "/data") == nil)
            #expect(try store.published(directory: "/data/a") == nil, "its release is not here")
            #expect(try store.value("home.id") == [1, 2])
            #expect(try store.value("empty") == [])
            #expect(try store.value("other") == nil)
        }
    }

    @Test(arguments: Engine.allCases)
    func logEntriesAreNumberedTimedAndSalted(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(try store.read { try $0.logSize } == 0)
        #expect(try store.read { try $0.lastLogTime } == nil)
        try store.write { transaction throws in
            #expect(try transaction.log(LogDraft(.nodeStarted)) == 0)
            let draft = LogDraft(.packagePublished, package: Samples.package("a"), release: Samples.digest(1))
            #expect(try transaction.log(draft) == 1)
            #expect(try transaction.logSize == 2)
        }
        let later = Samples.start.adding(milliseconds: 1)
        try store.write(at: later) { transaction throws in
            #expect(try transaction.log(LogDraft(.nodeStopped, outcome: .failed)) == 2)
        }
        try store.read { store throws in
            #expect(try store.logSize == 3)
            #expect(try store.lastLogTime == later)
        }
    }

    @Test(arguments: Engine.allCases)
    func aClockBehindTheLogStopsEveryChange(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { _ = try $0.log(LogDraft(.nodeStarted)) }
        let before = Samples.start.adding(milliseconds: -TransactionTime.toleranceMilliseconds - 1)
        #expect(throws: StoreFault.clockBehind(last: Samples.start, now: before)) {
            try store.write(at: before) { try $0.put(Samples.partner(Samples.boston)) }
        }
        try store.write { try $0.put(Samples.partner(Samples.auckland)) }
        #expect(try store.read { try $0.partners().map(\.city) } == [Samples.auckland])
        // Whoever only waited for its turn gets the last entry's time.
        let late = try store.write(at: Samples.start.adding(milliseconds: -50)) { $0.now }
        #expect(late == Samples.start)
    }

    @Test(arguments: Engine.allCases)
    func anEntryThatIsTooLongIsRefused(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(throws: StoreFault.self) {
            try store.write { _ = try $0.log(LogDraft(.accessDenied, reason: String(repeating: "x", count: 70_000))) }
        }
        #expect(try store.read { try $0.logSize } == 0)
    }

    // MARK: Transactions

    /// Something of everything.
    static func fill(_ transaction: any MetadataWriting, _ number: UInt64) throws {
        let package = Samples.package("p\(number)")
        let release = Samples.digest(number)
        let agreement = try Samples.agreement("a-\(number)", signedBy: [Samples.kitchener, Samples.auckland])
        for city in Samples.cities {
            let keyring = try Samples.keyring(city, version: Int(number))
            try transaction.insertKeyring(keyring.0, keyring.1)
            try transaction.put(Samples.partner(city, endpoint: "host:\(number)"))
        }
        try transaction.insertAgreement(agreement)
        let step = try Samples.termination(of: agreement.digest, by: Samples.kitchener)
        try transaction.insertStep(step.0, step.1)
        try transaction.put(try Samples.grant(UInt8(number), under: agreement.digest))
        try transaction.put(Samples.packageRow(package))
        try transaction.insert(Samples.release(release, of: package))
        try transaction.insertChunks(of: Samples.boston, block: Samples.place(1), [ChunkEntry(id: release, length: 5)])
        let view = Samples.view(number)
        try transaction.put(view)
        try transaction.put(Samples.member(view.id, release, package: package, added: number, until: Samples.start, sent: true))
        try transaction.put(
            Samples.member(view.id, Samples.digest(number, 5), package: package, added: number, dropped: number + 1, sent: true))
        try transaction.put(
            SubscribedView(id: Samples.digest(number, 20), agreement: agreement.digest, publisher: Samples.boston))
        try transaction.put(Samples.holding(Samples.digest(number, 20), release, .refused, package: package))
        try transaction.put(Samples.transfer(Samples.digest(number, 20), release))
        try transaction.insertReceipt(release, document: Samples.place(3), view: view.id, from: Samples.boston)
        try transaction.enqueue(agreement, to: Samples.auckland)
        try transaction.put(SnapshotRow(path: "/\(number)", package: package, release: release, snapshot: [1]))
        try transaction.setValue("v", [UInt8(number)])
        try transaction.log(LogDraft(.packagePublished, partner: Samples.boston, package: package, release: release))
    }

    @Test(arguments: Engine.allCases)
    func aBodyThatThrowsChangesNothing(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { try Self.fill($0, 1) }
        let before = try store.read { try dump($0) }
        #expect(throws: Abort()) {
            try store.write(at: Samples.start.adding(seconds: 60)) { transaction in
                try Self.fill(transaction, 2)
                var partner = Samples.partner(Samples.boston)
                partner.state = .removed
                try transaction.put(partner)
                try transaction.removeMember(Samples.view(1).id, Samples.digest(1))
                try transaction.removePublishedView(Samples.view(1).id)
                try transaction.removeTransfer(Samples.digest(1, 20), Samples.digest(1))
                try transaction.removeOutbox(1)
                #expect(try dump(transaction) != before)
                throw Abort()
            }
        }
        #expect(try store.read { try dump($0) } == before)
        #expect(try store.read { try $0.value("v") } == [1])
        #expect(try store.read { try $0.snapshot(ofDirectory: "/2") } == nil)
        #expect(try store.read { try $0.receiptLocation(Samples.digest(2)) } == nil)
        #expect(try store.read { try $0.chunkLocations(of: Samples.boston, [Samples.digest(2)]) } == [nil])
        // The clock was not moved either, and everything can be written as if nothing had been.
        try store.write { try Self.fill($0, 2) }
        let fresh = try engine.make()
        try fresh.write { try Self.fill($0, 1) }
        try fresh.write { try Self.fill($0, 2) }
        #expect(try store.read { try dump($0) } == fresh.read { try dump($0) })
    }

    @Test(arguments: Engine.allCases)
    func aTransactionSeesItsOwnChanges(_ engine: Engine) throws {
        let store = try engine.make()
        try store.write { transaction in
            #expect(try transaction.policy().grants.isEmpty)
            try Self.fill(transaction, 1)
            #expect(try transaction.policy().grants.count == 1)
            #expect(try transaction.package(Samples.package("p1")) != nil)
            #expect(try transaction.members(Samples.view(1).id, addedAfter: 0, limit: 9).count == 1)
            #expect(try transaction.value("v") == [1])
            #expect(transaction.now == Samples.start)
        }
    }

    @Test(arguments: Engine.allCases)
    func bodiesReturnTheirValueAndThrowTheirErrors(_ engine: Engine) throws {
        let store = try engine.make()
        #expect(try store.write { _ in 7 } == 7)
        #expect(try store.read { _ in "x" } == "x")
        #expect(throws: Abort()) { try store.read { _ in throw Abort() } }
    }
}
