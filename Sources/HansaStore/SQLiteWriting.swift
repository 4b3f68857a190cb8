// One write transaction, as `MetadataWriting`. The log's state and the policy's version are written once, in `finish`.
internal import GRDB
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

final class SQLiteWriting: SQLiteReading {
    private(set) var now: Timestamp
    private let random: any RandomSource
    private var policyVersion: Int64?
    private var logChanged = false
    /// Ends of the records that this transaction names, the last of each segment.
    private var marks: [UInt32: UInt64] = [:]
    /// Chunks that this transaction brings again while collection wants them gone.
    private(set) var revived: Set<ChunkKey> = []
    private(set) var hasLostChunks = false
    /// A statement failed: nothing of this transaction may be committed, even if the body went on.
    private var fault: (any Error)?
    /// Drawn and not yet used. Drawing a hundred costs as much as drawing one.
    private var salts: ArraySlice<UInt8> = []
    private var saltsDrawn = 0
    /// Rows of one package come together.
    private var lastPackage: (id: PackageID, number: Int64)?

    /// Throws `.clockBehind` when the clock stands before the last entry of the log.
    init(_ database: Database, _ shared: SharedState, at now: Timestamp, random: any RandomSource) throws {
        self.now = now
        self.random = random
        super.init(database, shared)
        self.now = try TransactionTime.at(now, after: logState().lastTime)
    }

    /// Call last, before the commit. Returns the policy's new version when it changed.
    func finish() throws -> Int64? {
        if logChanged {
            let state = try logState()
            try run(.putLogState) {
                $0.int(state.size)
                $0.time(state.lastTime)
            }
        }
        for (segment, end) in marks {
            try run(.putMark) {
                $0.int(segment)
                $0.int(end)
            }
        }
        if let fault { throw fault }
        // Built here once, so that no reader has to.
        if policyVersion != nil { _ = try policy() }
        return policyVersion
    }

    /// Runs a statement that gives no row. Returns how many rows it changed.
    @inline(__always) @discardableResult
    func run(_ sql: SQL, _ bind: (inout Statement.Binder) throws -> Void) throws -> Int {
        let statement = try statement(sql)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        try bind(&binder)
        do { while try statement.step() {} } catch {
            fault = error
            throw error
        }
        return statement.changes
    }

    /// The place to name for a record: where collection has moved it meanwhile. A row never names a segment that is about to go.
    private func standing(_ place: ContentLocation) throws -> ContentLocation {
        switch shared.moved.fate(of: place.segment, offset: place.offset) {
        case .stands: return place
        case .moved(let now): return ContentLocation(now)
        case .gone:
            let fault = StoreFault.inputOutput(
                "a record was given up before a row named it (segment \(place.segment)): try again")
            self.fault = fault
            throw fault
        }
    }

    private func mark(_ place: ContentLocation) {
        let end = UInt64(place.offset) + UInt64(place.length)
        if marks[place.segment, default: 0] < end { marks[place.segment] = end }
    }

    // MARK: Names

    private func made(_ sql: SQL, _ bind: (inout Statement.Binder) -> Void) throws -> Int64 {
        let statement = try statement(sql)
        defer { statement.reset() }
        var binder = Statement.Binder(statement)
        bind(&binder)
        do {
            guard try statement.step() else { throw StoreFault.damaged("the database gave a new row no number") }
            let id = Statement.Columns(statement).int64(0)
            while try statement.step() {}
            return id
        } catch {
            fault = error
            throw error
        }
    }

    func named(_ city: CityID) throws -> Int64 {
        if let known = try number(of: city) { return known }
        let id = try made(.insertCity) { $0.text(city.text) }
        names.add(city, id)
        return id
    }

    func named(view: Digest) throws -> Int64 {
        if let known = try number(ofView: view) { return known }
        let id = try made(.insertView) { $0.digest(view) }
        names.add(view, id)
        return id
    }

    func named(label: String) throws -> Int64 {
        if let known = try number(ofLabel: label) { return known }
        let id = try made(.insertLabel) { $0.text(label) }
        names.add(label: label, id)
        return id
    }

    func named(_ package: PackageID) throws -> Int64 {
        if let lastPackage, lastPackage.id == package { return lastPackage.number }
        let id = try number(of: package) ?? made(.insertPackageName) { $0.text(package.description) }
        lastPackage = (package, id)
        return id
    }

    // MARK: Policy

    private func changePolicy(_ change: (inout PolicyState) throws -> Bool, _ store: () throws -> Void) throws {
        guard try withPolicy(change) else { return }
        if policyVersion == nil { policyVersion = try made(.countPolicyVersion) { _ in } }
        try store()
    }

    func insertKeyring(_ envelope: Envelope, _ keyring: Keyring) throws {
        try changePolicy({ $0.insert(envelope, keyring) }) {
            let city = try named(keyring.city)
            try run(.insertKeyring) {
                $0.int(city)
                $0.int(keyring.version)
                $0.bytes(envelope.binary())
            }
        }
    }

    func put(_ partner: Partner) throws {
        try changePolicy({
            $0.put(partner)
            return true
        }) {
            let city = try named(partner.city)
            try run(.putPartner) {
                $0.int(city)
                $0.int(Codes.code(partner.state, in: Codes.partnerStates))
                $0.text(partner.endpoint)
                $0.time(partner.added)
            }
        }
    }

    func insertAgreement(_ envelope: Envelope) throws {
        try changePolicy({ try $0.insertAgreement(envelope) }) { try insert(envelope, of: envelope.digest, isStep: false) }
    }

    func insertStep(_ envelope: Envelope, _ step: AgreementStep) throws {
        try changePolicy({ $0.insertStep(envelope, step) }) { try insert(envelope, of: step.agreement, isStep: true) }
    }

    private func insert(_ envelope: Envelope, of agreement: Digest, isStep: Bool) throws {
        try run(.insertAgreementEnvelope) {
            $0.digest(agreement)
            $0.flag(isStep)
            $0.bytes(envelope.binary())
        }
    }

    func dropSignatures(of city: CityID, on agreement: Digest) throws {
        var changed: [(before: Envelope, after: Envelope)] = []
        try changePolicy({
            changed = $0.dropSignatures(of: city, on: agreement)
            return !changed.isEmpty
        }) {
            for envelope in changed {
                try run(.replaceAgreementEnvelope) {
                    $0.bytes(envelope.after.binary())
                    $0.digest(agreement)
                    $0.bytes(envelope.before.binary())
                }
            }
        }
    }

    func put(_ grant: Grant) throws {
        try changePolicy({
            $0.put(grant)
            return true
        }) {
            let partner = try named(grant.partner)
            try run(.putGrant) {
                $0.text(grant.id)
                $0.int(partner)
                $0.text(grant.pattern.text)
                $0.digest(grant.agreement)
                $0.int(Codes.code(grant.level, in: Codes.levels))
                $0.time(grant.until)
                $0.int(grant.ceiling.map { Codes.code($0, in: Codes.labels) })
                $0.time(grant.issued)
                $0.text(grant.grantedBy)
                $0.time(grant.ended)
            }
        }
    }

    // MARK: Packages

    func put(_ package: PackageRow) throws {
        let number = try made(.putPackage) {
            $0.text(package.package.description)
            $0.int(Codes.code(package.kind, in: Codes.kinds))
            $0.digest(package.head)
            $0.int(package.headVersion.major)
            $0.int(package.headVersion.minor)
            $0.int(package.headVersion.patch)
            $0.int(package.headSeq)
            $0.int(package.lastSeq)
            $0.digest(package.last)
            $0.int(Codes.code(package.tlp, in: Codes.labels))
            $0.text(package.title)
            $0.int(package.bytes)
            $0.int(package.withdrawnSeq)
        }
        lastPackage = (package.package, number)
    }

    func insert(_ release: ReleaseRow) throws {
        let summary = release.release
        let document = try standing(release.document)
        let table = try release.table.map(standing)
        let pages = try release.pages.map(standing)
        for place in [document] + table + pages { mark(place) }
        if !table.isEmpty { shared.trace(release.digest) }
        let package = try named(summary.package)
        let writer = try named(summary.writer)
        let servedBy = release.servedBy == summary.writer ? nil : try named(release.servedBy)
        try run(.insertRelease) {
            $0.digest(release.digest)
            $0.int(package)
            $0.int(summary.seq)
            $0.int(writer)
            $0.int(Codes.code(summary.kind, in: Codes.kinds))
            $0.int(summary.version.major)
            $0.int(summary.version.minor)
            $0.int(summary.version.patch)
            $0.int(Codes.code(summary.operation, in: Codes.operations))
            $0.time(summary.issued)
            $0.int(Codes.code(summary.tlp, in: Codes.labels))
            $0.text(summary.title)
            $0.int(summary.bytes)
            $0.int(summary.files)
            $0.int(summary.chunks)
            $0.place(document)
            $0.bytes(ContentLocation.encode(table))
            $0.bytes(ContentLocation.encode(pages))
            $0.time(release.committed)
            $0.int(summary.ownerSeq == summary.seq ? UInt64?.none : summary.ownerSeq)
            $0.int(servedBy)
        }
    }

    func put(_ dispute: DisputeRow) throws {
        let document = try standing(dispute.document)
        mark(document)
        let package = try named(dispute.package)
        let writer = try named(dispute.writer)
        let partner = try named(dispute.partner)
        try run(.putDispute) {
            $0.int(package)
            $0.int(dispute.seq)
            $0.int(Codes.code(dispute.kind, in: Codes.disputeKinds))
            $0.digest(dispute.other)
            $0.int(writer)
            if let known = dispute.known { $0.digest(known) } else { $0.int(Int64?.none) }
            $0.place(document)
            $0.int(partner)
            $0.time(dispute.found)
            $0.time(dispute.resolved)
        }
    }

    func place(_ release: Digest, document: ContentLocation, table: [ContentLocation], pages: [ContentLocation]) throws {
        let document = try standing(document)
        let table = try table.map(standing)
        let pages = try pages.map(standing)
        for place in [document] + table + pages { mark(place) }
        try run(.placeRelease) {
            $0.place(document)
            $0.bytes(ContentLocation.encode(table))
            $0.bytes(ContentLocation.encode(pages))
            $0.digest(release)
        }
    }

    func loseChunks(in blocks: [ContentLocation]) throws {
        // Of a block that was not taken along when its segment was emptied there is no row.
        let standing = try blocks.filter {
            if case .gone = shared.moved.fate(of: $0.segment, offset: $0.offset) { false } else { true }
        }
        .map(standing)
        guard !standing.isEmpty else { return }
        hasLostChunks = true
        let keys = "[" + standing.map { String(UInt64($0.segment) << 32 | UInt64($0.offset)) }.joined(separator: ",") + "]"
        for sql in [SQL.keepLostChunks, .forgetChunks] { try run(sql) { $0.text(keys) } }
    }

    func forgetFoundChunks() throws { try run(.forgetFoundChunks) { _ in } }

    func restoreChunks(in block: ContentLocation) throws {
        for sql in [SQL.restoreChunks, .forgetLostChunks] {
            try run(sql) {
                $0.int(block.segment)
                $0.int(block.offset)
            }
        }
    }

    func put(_ damage: DamageRow) throws {
        try run(.putDamage) {
            $0.digest(damage.release)
            $0.time(damage.found)
            $0.text(damage.what)
        }
    }

    func removeDamage(_ release: Digest) throws { try run(.removeDamage) { $0.digest(release) } }

    func insertChunks(of city: CityID, block: ContentLocation, _ chunks: [ChunkEntry]) throws {
        let block = try standing(block)
        mark(block)
        let city = try named(city)
        let statement = try statement(.insertChunk)
        defer { statement.reset() }
        let condemned = shared.condemned
        var offset: UInt32 = 0
        for chunk in chunks {
            // Its row stays the first one. Whoever fetched it counts on it from here on.
            let key = ChunkKey(city: city, chunk.id)
            if condemned.contains(key) { revived.insert(key) }
            statement.reset()
            var binder = Statement.Binder(statement)
            binder.int(city)
            binder.digest(chunk.id)
            binder.int(block.segment)
            binder.int(block.offset)
            binder.int(block.length)
            binder.int(offset)
            binder.int(chunk.length)
            do { _ = try statement.step() } catch {
                fault = error
                throw error
            }
            offset += chunk.length
        }
    }

    func put(_ snapshot: SnapshotRow) throws {
        let package = try named(snapshot.package)
        try run(.putDirectory) {
            $0.text(snapshot.path)
            $0.int(package)
            $0.digest(snapshot.release)
            $0.bytes(snapshot.snapshot)
        }
    }

    func setValue(_ name: String, _ bytes: [UInt8]) throws {
        try run(.putSetting) {
            $0.text(name)
            $0.bytes(bytes)
        }
    }

    // MARK: Publishing

    func put(_ view: PublishedView) throws {
        let number = try named(view: view.id)
        let recipient = try named(view.recipient)
        try run(.putPublishedView) {
            $0.int(number)
            $0.digest(view.agreement)
            $0.int(recipient)
            $0.bytes(view.feedKey)
            $0.int(view.position)
            $0.bytes(view.members.encoded)
            $0.int(view.acknowledgedPosition)
            $0.flag(view.acknowledgedEqual)
            $0.int(view.mismatches)
            $0.text(view.quarantine)
        }
    }

    func removePublishedView(_ id: Digest) throws {
        guard let number = try number(ofView: id) else { return }
        try run(.removePublishedView) { $0.int(number) }
    }

    func put(_ member: MemberRow) throws {
        let view = try named(view: member.view)
        let package = try named(member.package)
        func bindAll(_ binder: inout Statement.Binder) {
            binder.int(view)
            binder.digest(member.release)
            binder.int(package)
            binder.int(Codes.code(member.level, in: Codes.levels))
            binder.text(member.clause)
            binder.text(member.grant)
            binder.time(member.until)
            binder.int(member.added)
            binder.int(member.dropped)
            binder.int(member.sentCode)
            binder.bytes(member.transfer)
            binder.flag(member.delivered)
            binder.int(member.outcome.map { Codes.code($0, in: Codes.receiptOutcomes) })
        }
        func update() throws -> Bool {
            try run(.updateMember) {
                $0.int(Codes.code(member.level, in: Codes.levels))
                $0.text(member.clause)
                $0.text(member.grant)
                $0.int(member.sentCode)
                $0.bytes(member.transfer)
                $0.flag(member.delivered)
                $0.int(member.outcome.map { Codes.code($0, in: Codes.receiptOutcomes) })
                $0.int(view)
                $0.digest(member.release)
                $0.int(package)
                $0.time(member.until)
                $0.int(member.added)
                $0.int(member.dropped)
            } == 1
        }
        // Most changes touch no column of an index, and leave the indexes alone. What was listed has a row; what was not is mostly new.
        if member.sent {
            if try update() { return }
        } else {
            if try run(.insertMember, { bindAll(&$0) }) == 1 { return }
            if try update() { return }
        }
        try run(.replaceMember) { bindAll(&$0) }
    }

    func removeMember(_ view: Digest, _ release: Digest) throws {
        guard let number = try number(ofView: view) else { return }
        try run(.removeMember) {
            $0.int(number)
            $0.digest(release)
        }
    }

    // MARK: Pulling

    func put(_ view: SubscribedView) throws {
        let number = try named(view: view.id)
        let publisher = try named(view.publisher)
        try run(.putSubscribedView) {
            $0.int(number)
            $0.digest(view.agreement)
            $0.int(publisher)
            $0.bytes(view.cursor)
            $0.bytes(view.members.encoded)
            $0.int(view.mismatches)
            $0.text(view.quarantine)
        }
    }

    func put(_ holding: HoldingRow) throws {
        let view = try named(view: holding.view)
        let package = try holding.package.map { try named($0) }
        try run(.putHolding) {
            $0.int(view)
            $0.digest(holding.release)
            $0.int(Codes.code(holding.level, in: Codes.levels))
            $0.int(Codes.code(holding.state, in: Codes.holdingStates))
            $0.bytes(holding.transfer)
            $0.text(holding.reason)
            $0.int(package)
        }
    }

    func put(_ transfer: TransferRow) throws {
        let document = try standing(transfer.document)
        let table = try transfer.table.map(standing)
        let pages = try transfer.pages.map(standing)
        for place in [document] + table + pages { mark(place) }
        let view = try named(view: transfer.view)
        try run(.putTransfer) {
            $0.int(view)
            $0.digest(transfer.release)
            $0.bytes(transfer.transfer)
            $0.place(document)
            $0.bytes(ContentLocation.encode(table))
            $0.bytes(ContentLocation.encode(pages))
            $0.bytes(transfer.bitmap)
            $0.int(transfer.chunksHeld)
            $0.int(transfer.chunksTotal)
        }
    }

    func removeTransfer(_ view: Digest, _ release: Digest) throws {
        guard let number = try number(ofView: view) else { return }
        try run(.removeTransfer) {
            $0.int(number)
            $0.digest(release)
        }
    }

    func insertReceipt(_ digest: Digest, document: ContentLocation, view: Digest, from city: CityID) throws {
        let document = try standing(document)
        mark(document)
        let view = try named(view: view)
        let city = try named(city)
        try run(.insertReceipt) {
            $0.digest(digest)
            $0.place(document)
            $0.int(view)
            $0.int(city)
        }
    }

    // MARK: Log

    /// One at first, and then more at a time: most transactions log one entry, some a thousand.
    private func salt() -> [UInt8] {
        if salts.isEmpty {
            let count = min(max(1, saltsDrawn), 64)
            salts = random.bytes(count * LogEntry.saltByteCount)[...]
            saltsDrawn += count
        }
        defer { salts = salts.dropFirst(LogEntry.saltByteCount) }
        return Array(salts.prefix(LogEntry.saltByteCount))
    }

    @discardableResult
    func log(_ draft: LogDraft) throws -> UInt64 {
        var state = try logState()
        let index = state.size
        let bytes = try draft.entry(index: index, at: now, salt: salt())
        let event = try named(label: draft.event.rawValue)
        let partner = try draft.partner.map { try named($0) }
        let package = try draft.package.map { try named($0) }
        try run(.insertLogEntry) {
            $0.int(index)
            $0.bytes(bytes)
            $0.time(now)
            $0.int(event)
            $0.int(Codes.code(draft.outcome, in: Codes.logOutcomes))
            $0.int(partner)
            $0.int(package)
            $0.int(draft.release?.logKey)
            $0.int(draft.agreement?.logKey)
        }
        state.size += 1
        state.lastTime = now
        setLogState(state)
        logChanged = true
        return index
    }

    func beginLog() throws -> Bool {
        guard try first(.anyPending, { _ in }, { $0.int64(0) }) == nil else { return false }
        try run(.clearLogIndex) { _ in }
        var state = try logState()
        state.size = 0
        setLogState(state)
        logChanged = true
        return true
    }
}

extension MemberRow {
    /// What the column `sent` holds: 2 for what was listed again.
    fileprivate var sentCode: Int64 { sent ? isListedAgain ? 2 : 1 : 0 }
}

extension Digest {
    /// The first 8 bytes: what the log's index holds of a digest.
    var logKey: Int64 { withUnsafeBytes { Int64(bitPattern: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self))) } }
}
