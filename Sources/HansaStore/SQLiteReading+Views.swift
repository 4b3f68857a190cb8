internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

extension SQLiteReading {
    // MARK: Publishing

    func publishedView(_ id: Digest) throws -> PublishedView? {
        guard let number = try number(ofView: id) else { return nil }
        return try first(.publishedView, { $0.int(number) }, publishedView)
    }

    func publishedViews() throws -> [PublishedView] { try all(.publishedViews, { _ in }, publishedView) }

    func member(_ view: Digest, _ release: Digest) throws -> MemberRow? {
        guard let number = try number(ofView: view) else { return nil }
        return try first(
            .member,
            {
                $0.int(number)
                $0.digest(release)
            }, { try SQLiteReading.memberRow($0, view) })
    }

    func memberStanding(_ view: Digest, _ release: Digest) throws -> MemberStanding? {
        guard let number = try number(ofView: view) else { return nil }
        return try first(
            .memberStanding,
            {
                $0.int(number)
                $0.digest(release)
            },
            {
                MemberStanding(
                    level: try Codes.value($0.int64(0), in: Codes.levels), until: $0.timeIfAny(1),
                    isOffered: $0.isNull(2) && $0.flag(3))
            })
    }

    func members(_ view: Digest, of package: PackageID) throws -> [MemberRow] {
        guard let number = try number(ofView: view), let package = try self.number(of: package) else { return [] }
        return try all(
            .membersOfPackage,
            {
                $0.int(package)
                $0.int(number)
            }, { try SQLiteReading.memberRow($0, view) })
    }

    func members(_ view: Digest, addedAfter position: UInt64, limit: Int) throws -> [MemberRow] {
        guard let number = try number(ofView: view) else { return [] }
        return try all(
            .membersAdded,
            {
                $0.int(number)
                $0.int(position)
                $0.int(limit)
            }, { try SQLiteReading.memberRow($0, view) })
    }

    func drops(_ view: Digest, after position: UInt64, limit: Int) throws -> [MemberRow] {
        guard let number = try number(ofView: view) else { return [] }
        return try all(
            .membersDropped,
            {
                $0.int(number)
                $0.int(position)
                $0.int(limit)
            }, { try SQLiteReading.memberRow($0, view) })
    }

    func members(_ view: Digest, endedBy moment: Timestamp) throws -> [MemberRow] {
        guard let number = try number(ofView: view) else { return [] }
        return try all(
            .membersEnded,
            {
                $0.int(number)
                $0.time(moment)
            }, { try SQLiteReading.memberRow($0, view) })
    }

    func eachMember(_ view: Digest, _ body: (ReconciliationItem, _ sent: Bool) -> Void) throws {
        guard let number = try number(ofView: view) else { return }
        try each(.membersToCompare, { $0.int(number) }, { body(try SQLiteReading.item($0), $0.flag(3)) })
    }

    func memberCount(_ view: Digest) throws -> Int {
        guard let number = try number(ofView: view) else { return 0 }
        return try first(.membersCounted, { $0.int(number) }, { $0.int(0) }) ?? 0
    }

    func recipients(everSent package: PackageID) throws -> [CityID] {
        guard let number = try number(of: package) else { return [] }
        return try all(.recipients, { $0.int(number) }, { try SQLiteReading.city($0.text(0)) })
    }

    func outbox(to partner: CityID, after id: Int64, limit: Int) throws -> [OutboxRow] {
        guard let number = try number(of: partner) else { return [] }
        return try all(
            .outbox,
            {
                $0.int(number)
                $0.int(id)
                $0.int(limit)
            }, { OutboxRow(id: $0.int64(0), partner: partner, envelope: try SQLiteReading.envelope($0.bytes(1))) })
    }

    func outbox(to partner: CityID, _ lane: OutboxRow.Lane, after id: Int64, limit: Int, bytes: Int) throws -> [OutboxRow] {
        guard let number = try number(of: partner) else { return [] }
        let statement = try statement(.outboxOfLane)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        binder.int(number)
        binder.int(id)
        binder.flag(lane == .receipts)
        binder.int(limit)
        var rows: [OutboxRow] = []
        var count = 0
        while count < bytes, try statement.step() {
            let columns = Statement.Columns(statement)
            let envelope = columns.bytes(1)
            count += envelope.count
            rows.append(OutboxRow(id: columns.int64(0), partner: partner, envelope: try SQLiteReading.envelope(envelope)))
        }
        return rows
    }

    func outboxExtent(to partner: CityID) throws -> OutboxExtent {
        guard let number = try number(of: partner) else { return OutboxExtent(rows: 0, last: 0) }
        return try first(.outboxExtent, { $0.int(number) }, { OutboxExtent(rows: $0.int(0), last: $0.int64(1)) })
            ?? OutboxExtent(rows: 0, last: 0)
    }

    // MARK: Pulling

    func subscribedView(_ id: Digest) throws -> SubscribedView? {
        guard let number = try number(ofView: id) else { return nil }
        return try first(.subscribedView, { $0.int(number) }, subscribedView)
    }

    func subscribedViews() throws -> [SubscribedView] { try all(.subscribedViews, { _ in }, subscribedView) }

    func holding(_ view: Digest, _ release: Digest) throws -> HoldingRow? {
        guard let number = try number(ofView: view) else { return nil }
        return try first(
            .holding,
            {
                $0.int(number)
                $0.digest(release)
            }, { try SQLiteReading.holdingRow($0) })
    }

    func holdings(of release: Digest) throws -> [HoldingRow] {
        try all(.holdingsOfRelease, { $0.digest(release) }, { try SQLiteReading.holdingRow($0) })
    }

    func holdings(of package: PackageID) throws -> [HoldingRow] {
        guard let number = try number(of: package) else { return [] }
        return try all(.holdingsOfPackage, { $0.int(number) }, { try SQLiteReading.holdingRow($0) })
    }

    func holdings(in view: Digest, state: HoldingRow.State?, after: Digest?, limit: Int) throws -> [HoldingRow] {
        guard let number = try number(ofView: view) else { return [] }
        let code = state.map { Codes.code($0, in: Codes.holdingStates) }
        let sql: SQL = code.map { $0 == 0 ? .holdingsAccepted : .holdingsOther } ?? .holdingsOfView
        return try all(
            sql,
            {
                $0.int(number)
                if let code, code != 0 { $0.int(code) }
                // An empty blob comes before every digest.
                if let after { $0.digest(after) } else { $0.bytes([]) }
                $0.int(limit)
            }, { try SQLiteReading.holdingRow($0) })
    }

    func eachHolding(_ view: Digest, _ body: (ReconciliationItem) -> Void) throws {
        guard let number = try number(ofView: view) else { return }
        try each(.holdingsToCompare, { $0.int(number) }, { body(try SQLiteReading.item($0)) })
    }

    func holdingCount(_ view: Digest) throws -> Int {
        guard let number = try number(ofView: view) else { return 0 }
        return try first(.holdingsCounted, { $0.int(number) }, { $0.int(0) }) ?? 0
    }

    func transfer(_ view: Digest, _ release: Digest) throws -> TransferRow? {
        guard let number = try number(ofView: view) else { return nil }
        return try first(
            .transfer,
            {
                $0.int(number)
                $0.digest(release)
            }, { try SQLiteReading.transferRow($0) })
    }

    func transfers() throws -> [TransferRow] { try all(.transfers, { _ in }, { try SQLiteReading.transferRow($0) }) }

    func receiptLocation(_ digest: Digest) throws -> ContentLocation? {
        try first(.receipt, { $0.digest(digest) }, { try $0.place(0) })
    }

    // MARK: Rows

    private func publishedView(_ row: Statement.Columns) throws -> PublishedView {
        var view = PublishedView(
            id: try row.digest(0), agreement: try row.digest(1), recipient: try city(row.int64(2)), feedKey: row.bytes(3))
        view.position = row.uint64(4)
        view.members = try SQLiteReading.memberSet(row.bytes(5))
        view.acknowledgedPosition = row.uint64(6)
        view.acknowledgedEqual = row.flag(7)
        view.mismatches = row.int(8)
        view.quarantine = row.textIfAny(9)
        return view
    }

    private func subscribedView(_ row: Statement.Columns) throws -> SubscribedView {
        var view = SubscribedView(id: try row.digest(0), agreement: try row.digest(1), publisher: try city(row.int64(2)))
        view.cursor = row.bytes(3)
        view.members = try SQLiteReading.memberSet(row.bytes(4))
        view.mismatches = row.int(5)
        view.quarantine = row.textIfAny(6)
        return view
    }

    private static func memberSet(_ bytes: [UInt8]) throws -> MemberSet {
        guard let members = MemberSet(encoded: bytes) else {
            throw StoreFault.damaged("a view's members have \(bytes.count) bytes")
        }
        return members
    }

    private static func memberRow(_ row: Statement.Columns, _ view: Digest) throws -> MemberRow {
        var member = MemberRow(
            view: view, release: try row.digest(0), package: try package(row.text(1)),
            level: try Codes.value(row.int64(2), in: Codes.levels),
            clause: row.text(3), grant: row.text(4), until: row.timeIfAny(5), added: row.uint64(6))
        member.dropped = row.uint64IfAny(7)
        member.sent = row.flag(8)
        member.isListedAgain = row.int64(8) == 2
        member.transfer = row.bytes(9)
        member.delivered = row.flag(10)
        member.outcome = try row.int64IfAny(11).map { try Codes.value($0, in: Codes.receiptOutcomes) }
        return member
    }

    private static func item(_ row: Statement.Columns) throws -> ReconciliationItem {
        ReconciliationItem(
            issued: row.timeIfAny(2), release: try row.digest(0), level: try Codes.value(row.int64(1), in: Codes.levels).code)
    }

    private static func holdingRow(_ row: Statement.Columns) throws -> HoldingRow {
        HoldingRow(
            view: try row.digest(0), release: try row.digest(1), level: try Codes.value(row.int64(2), in: Codes.levels),
            state: try Codes.value(row.int64(3), in: Codes.holdingStates), transfer: row.bytes(4), reason: row.textIfAny(5),
            package: try row.textIfAny(6).map { try package($0) })
    }

    private static func transferRow(_ row: Statement.Columns) throws -> TransferRow {
        TransferRow(
            view: try row.digest(0), release: try row.digest(1), transfer: row.bytes(2), document: try row.place(3),
            table: try row.places(4),
            pages: try row.places(5), bitmap: row.bytes(6), chunksHeld: row.int(7), chunksTotal: row.int(8))
    }
}
