internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

/// What the log says was ended. A policy archive may be older than the log, by a second as a rule and by much more where the disk was full: what was
/// revoked since then must not come to life with it. Only ever restricts: an archive may also be newer than the last entry that reached the log's files.
struct LoggedRestrictions {
    private var grants: Set<String> = []
    private var agreements: Set<Digest> = []
    private var partners: [CityID: Partner.State] = [:]
    private var keyrings: [CityID: Int64] = [:]

    /// In the order of the log.
    mutating func take(_ entry: LogEntry) {
        guard entry.outcome == .ok, let event = entry.event else { return }
        switch event {
        case .accessRevoked: if let grant = entry.grant { grants.insert(grant) }
        case .agreementTerminated: if let agreement = entry.agreement { agreements.insert(agreement) }
        case .partnerAdded, .keyringAccepted: takeKeyring(entry)
        case .partnerResumed: if let partner = entry.partner { partners[partner] = .active }
        case .partnerPaused: if let partner = entry.partner { partners[partner] = .paused }
        case .partnerRemoved: if let partner = entry.partner { partners[partner] = .removed }
        default: break
        }
    }

    private mutating func takeKeyring(_ entry: LogEntry) {
        // A card by hand makes a partner active; a keyring that came over a session says nothing of that, and may be another city's.
        if entry.event == .partnerAdded || entry.details?["compared"] != nil, let partner = entry.partner {
            partners[partner] = .active
        }
        guard let city = entry.details?["city"]?.string.flatMap({ try? CityID($0) }) ?? entry.partner,
            let version = entry.details?["keyring"]?.integer
        else { return }
        keyrings[city] = max(keyrings[city] ?? 0, version)
    }

    /// What `apply` found to be later than the archive.
    struct Applied {
        var grants = 0
        /// Paused or removed, or paused here because their newest keyring is not in the archive: the keys before it may be stolen.
        var partners = 0
        /// Terminated: what we hold under them has ended, as if they had dropped it.
        var agreements: Set<Digest> = []
    }

    func apply(to tx: any MetadataWriting) throws -> Applied {
        var applied = Applied()
        var ended: Set<Digest> = []
        for agreement in agreements {
            // A termination that the archive has may take effect later: then its own date counts.
            if let record = try tx.agreement(agreement), !record.steps.contains(where: { $0.step.step == .terminate }) {
                ended.insert(agreement)
            }
        }
        applied.agreements = ended
        for var grant in try tx.grants()
        where grant.ended == nil && (grants.contains(grant.id) || ended.contains(grant.agreement)) {
            grant.ended = tx.now
            try tx.put(grant)
            applied.grants += 1
        }
        for var partner in try tx.partners() {
            let isBehind = try Int64(tx.currentKeyring(of: partner.city)?.version ?? 0) < keyrings[partner.city] ?? 0
            let state: Partner.State =
                switch (partner.state, partners[partner.city] ?? .active) {
                case (.removed, _), (_, .removed): .removed
                case (.paused, _), (_, .paused): .paused
                case (.active, .active): isBehind ? .paused : .active
                }
            guard state != partner.state else { continue }
            partner.state = state
            try tx.put(partner)
            applied.partners += 1
        }
        return applied
    }
}
