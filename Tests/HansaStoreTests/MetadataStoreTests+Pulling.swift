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
}
