// Who may see which release, computed when a release, grant or agreement changes and never when a partner asks (SYNC.md §1–2).
//
// One `MembershipUpdate` lives inside one write transaction: it loads each view once, changes rows and digests, and writes the views back in `finish`.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
public import HansaTerms

public final class MembershipUpdate {
    private let own: CityID
    private let tx: any MetadataWriting
    private let context: ExchangeContext
    private let randomOfView: @Sendable (Digest) -> any RandomSource
    private let policy: Policy
    private var views: [Digest: PublishedView] = [:]
    private var changed: Set<Digest> = []

    /// Create it after the policy's own rows were written in `tx`.
    public init(_ context: ExchangeContext, _ tx: any MetadataWriting) throws {
        own = context.own
        self.context = context
        self.tx = tx
        randomOfView = context.randomOfView
        policy = try tx.policy()
        for view in try tx.publishedViews() { views[view.id] = view }
    }

    /// A new own release: it joins every view whose terms and grants permit it.
    public func released(_ digest: Digest, _ summary: ReleaseSummary) throws {
        for id in sortedViews { try place(digest, summary, withdrawn: false, in: id) }
    }

    /// A release of another city came, or its holding ended: it joins or leaves the views of those to whom we pass it on.
    public func held(_ digest: Digest) throws {
        guard policy.hasRelays, let row = try tx.release(digest), row.release.writer != own else { return }
        let withdrawn = try tx.package(row.release.package)?.withdrawnSeq.map { row.release.ownerSeq <= $0 } ?? false
        for id in sortedViews where views[id].flatMap({ policy.agreement($0.agreement)?.agreement.isPassedOn }) == true {
            try place(digest, row.release, withdrawn: withdrawn, in: id)
        }
    }

    /// A withdrawal: the package's releases leave every view, but for what was published after it.
    public func withdrew(_ package: PackageID) throws {
        let last = try tx.package(package)?.withdrawnSeq ?? .max
        // What others wrote of a package of ours is held of them, and ends with it.
        if package.city == own, !SeededBug.isOn(.forgottenWithdrawal) { try tx.endHoldings(of: package, upTo: last) }
        for id in sortedViews {
            for row in try tx.members(id, of: package) where row.dropped == nil {
                if let release = try tx.release(row.release), release.release.ownerSeq > last { continue }
                try drop(row)
            }
        }
    }

    /// An agreement or a grant under it changed, or time has passed a boundary: views appear, and all memberships under it are decided anew.
    public func policyChanged(_ agreement: Digest) throws {
        guard let record = try tx.agreement(agreement) else { return }
        let active = record.state(at: tx.now) == .active
        if record.agreement.maintainers != nil { try context.updateHeads(under: record, tx) }
        for party in record.agreement.parties where party.city != own {
            guard record.agreement.parties.contains(where: { $0.city == own }) else { return }
            let id = record.viewID(publisher: own, recipient: party.city)
            if views[id] == nil {
                guard active else { continue }
                views[id] = PublishedView(
                    id: id, agreement: agreement, recipient: party.city, feedKey: randomOfView(id).bytes(16))
                changed.insert(id)
            }
            try refresh(id)
            let subscribed = record.viewID(publisher: party.city, recipient: own)
            if active, try tx.subscribedView(subscribed) == nil {
                try tx.put(SubscribedView(id: subscribed, agreement: agreement, publisher: party.city))
            }
        }
    }

    /// A keyring of a city came: signatures that waited for it count, and what they make an agreement begins to share. Returns its other parties.
    public func signatoryKnown(_ city: CityID) throws -> Set<CityID> {
        var concerned: Set<CityID> = []
        for record in policy.agreements where record.isParty(city) && record.isParty(own) && record.state(at: tx.now) == .active {
            let others = record.agreement.parties.map(\.city).filter { $0 != own }
            guard others.contains(where: { views[record.viewID(publisher: own, recipient: $0)] == nil }) else { continue }
            try policyChanged(record.digest)
            concerned.formUnion(others)
        }
        return concerned
    }

    /// Changes when the same agreements, grants and moment would be decided otherwise than by the program before: all is then decided anew.
    private static let rules: UInt8 = 1
    private static let decidedName = "memberships.decided"

    /// Whether a boundary has passed since memberships were decided last, also one of a grant that was made after that: `timePassed` is due.
    public static func isDue(at now: Timestamp, _ store: any MetadataReading) throws -> Bool {
        guard let decided = try store.value(decidedName).flatMap(moment) else { return true }
        // A clock that was ahead when it was decided has been set back: what lies between is to be decided again.
        if decided.milliseconds - now.milliseconds > TransactionTime.toleranceMilliseconds { return true }
        return try store.policy().nextChange(after: decided).map { $0 <= now } ?? false
    }

    /// Time alone began or ended some memberships, since they were decided last. What no boundary lies between is not looked at: a node with a
    /// million releases starts as fast as one with none.
    public func timePassed() throws {
        let decided = try tx.value(Self.decidedName).flatMap(Self.moment)
        if let decided, decided <= tx.now {
            // A membership that ends is a boundary too; its row is asked for all the same, for it is what a late timer would leak.
            for id in sortedViews where !(try tx.members(id, endedBy: tx.now)).isEmpty { try refresh(id) }
            for agreement in policy.agreementsChanged(after: decided, through: tx.now).sorted() { try policyChanged(agreement) }
        } else {
            for record in try tx.agreements() { try policyChanged(record.digest) }
        }
        var bytes = ByteWriter()
        bytes.u8(Self.rules)
        bytes.u64(UInt64(bitPattern: tx.now.milliseconds))
        try tx.setValue(Self.decidedName, bytes.bytes)
    }

    private static func moment(_ bytes: [UInt8]) -> Timestamp? {
        guard bytes.count == 9, bytes[0] == rules else { return nil }
        return Timestamp(milliseconds: Int64(bitPattern: bytes[1...].reduce(0) { $0 << 8 | UInt64($1) }))
    }

    /// Makes a view's set anew from its rows, and places what the policy says and no row has: after rows were lost.
    public func rebuild(_ id: Digest) throws {
        guard var view = views[id] else { return }
        view.members = try MemberSet { body in try tx.eachMember(id) { item, _ in body(item.release, item.level) } }
        views[id] = view
        changed.insert(id)
        try refresh(id)
    }

    /// Writes the views back. Returns those whose members changed, by recipient: nobody else's session has to know.
    public func finish() throws -> [CityID: Set<Digest>] {
        var concerned: [CityID: Set<Digest>] = [:]
        for id in changed.sorted() {
            guard let view = views[id] else { continue }
            try tx.put(view)
            concerned[view.recipient, default: []].insert(id)
        }
        return concerned
    }

    private var sortedViews: [Digest] { views.keys.sorted() }

    private func refresh(_ id: Digest) throws {
        guard let view = views[id] else { return }
        // Out first: whatever no longer holds.
        var after: UInt64 = 0
        while true {
            let rows = try tx.members(id, addedAfter: after, limit: 1000)
            guard let last = rows.last else { break }
            after = last.added
            for row in rows {
                guard let release = try tx.release(row.release), let package = try tx.package(row.package) else { continue }
                try place(
                    row.release, release.release, withdrawn: package.withdrawnSeq.map { release.release.ownerSeq <= $0 } ?? false,
                    in: id)
            }
        }
        // Then in: every release that a live grant names and that is ours to show.
        let grants = try tx.grants().filter { $0.agreement == view.agreement && $0.partner == view.recipient && $0.ended == nil }
        for city in Set(grants.map(\.pattern.city)).sorted() { try placeAll(of: city, grants, in: id) }
    }

    private func placeAll(of city: CityID, _ grants: [Grant], in id: Digest) throws {
        var last: PackageID?
        while true {
            let packages = try tx.packages(of: city, after: last, limit: 1000)
            guard let end = packages.last else { break }
            last = end.package
            for package in packages where grants.contains(where: { $0.pattern.matches(package.package) }) {
                for release in try tx.releases(of: package.package) where release.release.operation != .withdraw {
                    let withdrawn = package.withdrawnSeq.map { release.release.ownerSeq <= $0 } ?? false
                    try place(release.digest, release.release, withdrawn: withdrawn, in: id)
                }
            }
        }
    }

    /// What another city wrote is passed on only while we hold it, whole, from its writer itself and under the same agreement: that is the one hop
    /// that a term allows.
    private func isHeldFromItsWriter(_ digest: Digest, _ writer: CityID, under agreement: Digest) throws -> Bool {
        try tx.holdings(of: digest).contains { holding in
            guard holding.state == .accepted, holding.level == .sync, let view = try tx.subscribedView(holding.view) else {
                return false
            }
            return view.agreement == agreement && view.publisher == writer
        }
    }

    private func verdict(_ digest: Digest, _ summary: ReleaseSummary, withdrawn: Bool, in view: PublishedView) throws -> Verdict {
        let request = AccessRequest(
            package: summary.package, kind: summary.kind, tlp: summary.tlp, withdrawn: withdrawn, writer: summary.writer,
            publisher: own, recipient: view.recipient)
        let verdict = policy.decision(on: request, under: view.agreement, at: tx.now)
        guard verdict.isPermit, summary.writer != own else { return verdict }
        return try isHeldFromItsWriter(digest, summary.writer, under: view.agreement)
            ? verdict : .deny(Denial(reason: .unknownPackage))
    }

    /// Brings one release's row in one view to what the policy says now.
    private func place(_ digest: Digest, _ summary: ReleaseSummary, withdrawn: Bool, in id: Digest) throws {
        guard var view = views[id] else { return }
        let row = try tx.member(id, digest)
        switch try verdict(digest, summary, withdrawn: withdrawn, in: view) {
        case .deny:
            if let row, row.dropped == nil { try drop(row) }
        case .permit(let permit):
            let level = permit.level
            if var row, row.dropped == nil {
                guard
                    row.level != level || row.until != permit.until || row.grant != permit.grant ?? ""
                        || row.clause != permit.clause
                else { return }
                let moved = row.level != level
                if moved {
                    view.members.remove(MemberSet.memberID(release: digest, level: row.level.code))
                    view.members.insert(MemberSet.memberID(release: digest, level: level.code))
                    view.position += 1
                    row.added = view.position
                    // What was shown is answered again: its content may be refused where its document was accepted.
                    row.isListedAgain = row.sent
                }
                (row.level, row.until, row.grant, row.clause) = (level, permit.until, permit.grant ?? "", permit.clause)
                try tx.put(row)
                if moved {
                    views[id] = view
                    changed.insert(id)
                }
                return
            }
            view.position += 1
            var new = MemberRow(
                view: id, release: digest, package: summary.package, level: level, clause: permit.clause,
                grant: permit.grant ?? "",
                until: permit.until, added: view.position)
            // The partner knows the id from before: its transfer goes on under the same number, and `drop` may name it again.
            if let row {
                (new.sent, new.transfer, new.delivered) = (row.sent, row.transfer, row.delivered)
                // What was refused then may be accepted now, and what was accepted refused; a partner that never noticed says nothing more.
                (new.outcome, new.isListedAgain) = (row.outcome, row.sent)
            }
            try tx.put(new)
            view.members.insert(MemberSet.memberID(release: digest, level: level.code))
            views[id] = view
            changed.insert(id)
        }
    }

    private func drop(_ row: MemberRow) throws {
        guard var view = views[row.view] else { return }
        view.members.remove(MemberSet.memberID(release: row.release, level: row.level.code))
        view.position += 1
        if row.sent {
            var gone = row
            gone.dropped = view.position
            gone.delivered = false
            try tx.put(gone)
        } else {
            try tx.removeMember(row.view, row.release)
        }
        views[row.view] = view
        changed.insert(row.view)
    }
}

extension Grant.Level {
    /// The level that a member id or the wire names by this byte.
    public init?(code: UInt8) {
        switch code {
        case 1: self = .discover
        case 2: self = .sync
        default: return nil
        }
    }
}
