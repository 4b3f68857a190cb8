// Who may have what, by one state of the rows at one moment (SYNC.md §5). Made for one transaction or one look at the rows, and gone with it: what
// is the same for all releases of a view is looked up once, what differs for each of them.
internal import HansaCore
internal import HansaTerms

struct Authority {
    private let peer: CityID
    private let store: any MetadataReading
    private let now: Timestamp
    /// The agreement of each view that was asked about; nil: nothing of it is for this partner now.
    private var agreements: [Digest: Digest?] = [:]

    init(of peer: CityID, by store: any MetadataReading, at now: Timestamp) {
        self.peer = peer
        self.store = store
        self.now = now
    }

    /// The agreement under which a view is open to the partner; nil when it is not, or there is none.
    mutating func agreement(of view: Digest) throws -> Digest? {
        if let known = agreements[view] { return known }
        var agreement: Digest?
        if let published = try store.publishedView(view), published.recipient == peer || SeededBug.isOn(.anyonesView),
            published.quarantine == nil,
            let record = try store.agreement(published.agreement), record.state(at: now) == .active
        {
            agreement = published.agreement
        }
        agreements[view] = .some(agreement)
        return agreement
    }

    /// A release that the partner itself signed and once showed us in this view of its own: it gets it back. Bytes that it wrote tell it nothing.
    private func returned(_ release: Digest, of view: Digest) throws -> MemberRow? {
        guard let subscribed = try store.subscribedView(view), subscribed.publisher == peer,
            let holding = try store.holding(view, release), holding.state != .refused, let row = try store.release(release),
            row.release.writer == peer, row.servedBy == peer
        else { return nil }
        var member = MemberRow(
            view: view, release: release, package: row.release.package, level: row.hasContent ? .sync : .discover, clause: "",
            grant: "", until: nil, added: 0)
        member.sent = true
        return member
    }

    /// Whether the partner may have this release's content in this view: as `member`, for each ask and each frame, without what only the log wants.
    mutating func maySync(_ release: Digest, of view: Digest) throws -> Bool {
        if try agreement(of: view) != nil, let standing = try store.memberStanding(view, release), standing.isOffered,
            standing.level == .sync, standing.until.map({ $0 > now }) ?? true
        {
            return true
        }
        return try member(release, of: view)?.level == .sync
    }

    /// The member row if the partner may have this release in this view; nil answers as for no such release.
    mutating func member(_ release: Digest, of view: Digest) throws -> MemberRow? {
        if SeededBug.isOn(.skippedPolicyCheck), let row = try store.member(view, release), row.sent { return row }
        if let row = try returned(release, of: view) { return row }
        guard try agreement(of: view) != nil, let row = try store.member(view, release), row.dropped == nil, row.sent else {
            return nil
        }
        if let until = row.until, until <= now, !SeededBug.isOn(.expiredMembershipServed) { return nil }
        return row
    }
}
