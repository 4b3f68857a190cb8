import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import Testing

extension MetadataStoreTests {
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
}
