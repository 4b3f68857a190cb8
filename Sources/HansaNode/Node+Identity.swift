// Who we are and whom we know: city card, partners.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

extension Node {
    public func cityCard(_ caller: Caller) throws(Problem) -> JSONValue {
        let envelopes = try read { try $0.keyringEnvelopes(of: self.city) }
        return [
            "schema": "hansa.city-card/1", "city": .string(city.text), "fingerprint": .string(keyring.fingerprint.description),
            "envelopes": .array(envelopes.map { .string(String(decoding: $0.json(), as: UTF8.self)) }),
        ]
    }

    public func cityShow(_ caller: Caller) throws(Problem) -> JSONValue {
        var document = describe(keyring)
        document.insert(JSONMember("schema", "hansa.city-show/1"), at: 0)
        document.append(JSONMember("home", .string(paths.home)))
        document.append(JSONMember("officerKeyHere", .bool(keys.officer != nil)))
        return .object(document)
    }

    private func describe(_ keyring: Keyring) -> [JSONMember] {
        [
            JSONMember("city", .string(keyring.city.text)), JSONMember("name", .string(keyring.name)),
            JSONMember("country", JSONValue(keyring.country)),
            JSONMember("fingerprint", .string(keyring.fingerprint.description)),
            JSONMember("keyring", JSONValue(keyring.version)),
            JSONMember("expires", JSONValue(keyring.expires)),
            JSONMember("endpoints", .array(keyring.endpoints.map { .string($0) })),
            JSONMember(
                "tls", .array(keyring.tlsPins.map { ["spki": JSONValue($0.spki), "notAfter": JSONValue($0.notAfter)] })),
            JSONMember("log", ["origin": .string(keyring.log.name), "vkey": .string(keyring.log.vkey)]),
            JSONMember("witness", ["name": .string(keyring.witness.name), "vkey": .string(keyring.witness.vkey)]),
            JSONMember("officers", .array(keyring.officers.map { .string($0.keyID.hex) })),
            JSONMember("officerThreshold", JSONValue(keyring.officerThreshold)),
            JSONMember("announced", .array(keyring.nextKeyHashes.map { .string($0.hex) })),
            JSONMember("revoked", .array(keyring.revoked.map { .string($0.hex) })),
        ]
    }

    // MARK: Partners

    public func partnerAdd(
        _ caller: Caller, card: String, fingerprint: String?, trustWithoutComparison: Bool, endpoint: String?, dryRun: Bool
    ) throws(Problem) -> JSONValue {
        let envelopes = try readCard(card)
        let chain: Keyring
        do { chain = try KeyringChain.follow(envelopes).keyring } catch {
            throw Problem(
                .keyringInvalid, "the card is not a valid chain of keyrings: \(error)",
                try: "ask the partner for a fresh card: hansa city card > card.json")
        }
        guard chain.city != city else { throw Problem(.partnerIsSelf, "this is our own card") }
        if let endpoint { _ = try Endpoint.parse(endpoint) }
        guard !chain.isExpired(at: clock.now) else {
            throw Problem(
                .keyringInvalid, "the keyring of \(chain.city) expired at \(chain.expires)",
                try: "ask \(chain.city) to run: hansa city renew")
        }
        let known = try read { store in (try store.partner(chain.city), try store.keyringEnvelopes(of: chain.city)) }
        let before = try guarded { try known.1.last.map { try Keyring($0) } }
        // Whoever knows the city compares anew only where other people may sign for it.
        let rotated =
            before.map {
                $0.fingerprint == chain.fingerprint ? "" : "; its officers' keys have changed, it was \($0.fingerprint)"
            } ?? ""
        if let fingerprint {
            guard let given = Fingerprint(parsing: fingerprint) else {
                throw Problem(
                    .usage, "'\(fingerprint.printable())' is no fingerprint: it is eight groups of five digits",
                    try: "ask \(chain.city) by telephone for what hansa city show prints there")
            }
            guard given == chain.fingerprint else {
                throw Problem(
                    .fingerprintMismatch,
                    "the card of \(chain.city) has the fingerprint \(chain.fingerprint), not the one given\(rotated): it is not the card they meant",
                    try: "compare with \(chain.city) by telephone: hansa city show")
            }
        } else if !trustWithoutComparison {
            throw Problem(
                .fingerprintNeeded,
                "the card of \(chain.city) has the fingerprint \(chain.fingerprint)\(rotated): compare it with them by telephone",
                try: "hansa partner add CARDFILE --fingerprint '\(chain.fingerprint)'")
        }
        let fresh = try accept(envelopes, known: known.1, of: chain.city)
        try refuseBorrowed(chain)
        let isNew = known.0 == nil || known.0?.state == .removed
        if !dryRun {
            try change { tx in
                let signed = try tx.agreements(signedBy: chain.city)
                for envelope in fresh { try tx.insertKeyring(envelope, try Keyring(envelope)) }
                let lost = try tx.judgeSignatures(of: chain.city, before: signed)
                try KeyringMemory.setAlarm(nil, chain.city, tx)
                var partner = known.0 ?? Partner(city: chain.city, state: .active, endpoint: nil, added: tx.now)
                partner.state = .active
                if let endpoint { partner.endpoint = endpoint }
                try tx.put(partner)
                try tx.log(
                    LogDraft(
                        isNew ? .partnerAdded : .keyringAccepted, actor: self.actor(caller), partner: chain.city,
                        details: [
                            "fingerprint": .string(chain.fingerprint.description), "keyring": JSONValue(chain.version),
                            "compared": .bool(fingerprint != nil),
                            "changes": .array((before?.changes(to: chain) ?? []).map { .string($0.rawValue) }),
                        ]))
                var changes = ExchangeChanges()
                let update = try MembershipUpdate(self.context, tx)
                for agreement in lost.sorted() { try update.policyChanged(agreement) }
                changes.policies = try update.signatoryKnown(chain.city)
                changes.views = try update.finish()
                return ((), changes)
            }
            // Within the command: what is no longer pinned has no session when it returns.
            let network = network.withLock { $0 }
            try guarded { try network?.refreshPartners() }
            // Whatever the back-off says: the card is what was missing.
            network?.dial(chain.city)
        }
        var document: [JSONMember] = [
            JSONMember("schema", "hansa.partner-add/1"), JSONMember("city", .string(chain.city.text)),
            JSONMember("name", .string(chain.name)), JSONMember("fingerprint", .string(chain.fingerprint.description)),
            JSONMember("keyring", JSONValue(chain.version)),
            JSONMember("endpoint", JSONValue(endpoint ?? known.0?.endpoint ?? chain.endpoints.first)),
            JSONMember("new", .bool(isNew)), JSONMember("dryRun", .bool(dryRun)),
        ]
        if let before {
            document.append(JSONMember("previousKeyring", JSONValue(before.version)))
            document.append(JSONMember("officersChanged", .bool(before.fingerprint != chain.fingerprint)))
            document.append(JSONMember("changes", .array(before.changes(to: chain).map { .string($0.rawValue) })))
        }
        return .object(document)
    }

    private func readCard(_ card: String) throws(Problem) -> [Envelope] {
        guard card.utf8.count <= Limits.documentBytesMax * 4 else {
            throw Problem(.limitExceeded, "the card is larger than any card")
        }
        let lines = card.split(whereSeparator: \.isNewline).map { $0.filter { $0 != "\r" } }.filter {
            !$0.allSatisfy(\.isWhitespace)
        }
        guard !lines.isEmpty, lines.count <= 1000 else {
            throw Problem(.keyringInvalid, "the file holds no card", try: "hansa city card > card.json (at the partner's node)")
        }
        var envelopes: [Envelope] = []
        for (number, line) in lines.enumerated() {
            do { envelopes.append(try Envelope(json: Array(line.utf8))) } catch {
                throw Problem(
                    .keyringInvalid, "line \(number + 1) of the card is no signed keyring: \(error)",
                    try: "ask the partner for a fresh card: hansa city card > card.json")
            }
        }
        return envelopes
    }

    /// The card must go on from what we hold: same versions with the same content, then new ones, from version 1 on where we hold none. Returns
    /// the new ones.
    private func accept(_ envelopes: [Envelope], known: [Envelope], of city: CityID) throws(Problem) -> [Envelope] {
        let card = try guarded { try envelopes.map { (version: try Keyring($0).version, envelope: $0) } }
        let held = try guarded { try known.map { (keyring: try Keyring($0), envelope: $0) } }
        guard let last = held.max(by: { $0.keyring.version < $1.keyring.version }) else {
            guard card.first?.version == 1 else {
                throw Problem(
                    .keyringInvalid,
                    "the card of \(city) begins at version \(card.first?.version ?? 0): the versions before it are missing, and with them the chain",
                    try: "ask \(city) for the whole card: hansa city card > card.json")
            }
            return (try follow(envelopes, from: nil, city))
        }
        for (version, envelope) in card {
            if let same = held.first(where: { $0.keyring.version == version }), same.envelope.digest != envelope.digest {
                try refuseKeyring(
                    city,
                    "version \(version) of the keyring differs from the one we hold: one of the two is forged, or the city began anew"
                )
            }
        }
        guard let newest = card.last?.version, newest >= last.keyring.version else {
            try refuseKeyring(
                city,
                "the card ends at version \(card.last?.version ?? 0), and we hold version \(last.keyring.version): it is out of date",
                try: "ask \(city) for its newest card: hansa city card"
            )
            return []
        }
        return try follow(envelopes, from: last, city)
    }

    private func follow(_ envelopes: [Envelope], from held: (keyring: Keyring, envelope: Envelope)?, _ city: CityID)
        throws(Problem) -> [Envelope]
    {
        do { return try KeyringChain.follow(envelopes, from: held).taken } catch {
            throw Problem(
                .keyringInvalid, "the card of \(city) does not go on from the keyring we hold: \(error)",
                try: "ask \(city) for the whole card: hansa city card > card.json")
        }
    }

    /// Keys, TLS pins and names in the log belong to one city: another that shows them would be taken for it.
    private func refuseBorrowed(_ card: Keyring) throws(Problem) {
        let others = try read { store in
            try [self.keyring]
                + store.partners().filter { $0.city != card.city }.compactMap { try store.currentKeyring(of: $0.city) }
        }
        for other in others {
            guard let what = card.shared(with: other) else { continue }
            let why = "the card of \(card.city) holds \(other.city)'s \(what)"
            try change { tx in
                try tx.log(LogDraft(.keyringRefused, outcome: .refused, partner: card.city, reason: why))
                return ((), ExchangeChanges())
            }
            throw Problem(
                .keyringInvalid, "\(why): one of the two is not who it says",
                try: "call \(card.city) and \(other.city): hansa city show")
        }
    }

    private func refuseKeyring(_ city: CityID, _ why: String, try next: String? = nil) throws(Problem) {
        try change { tx in
            try tx.log(LogDraft(.keyringRefused, outcome: .refused, partner: city, reason: why))
            return ((), ExchangeChanges())
        }
        throw Problem(
            .keyringRollback, "\(city): \(why)",
            try: next ?? "ask \(city) by telephone for what hansa city show prints there")
    }

    public func partnerList(_ caller: Caller) throws(Problem) -> JSONValue {
        ["schema": "hansa.partner-list/1", "partners": .array(try partnerRows())]
    }

    func partnerRows() throws(Problem) -> [JSONValue] {
        let rows = try read { store in
            try store.partners().filter { $0.state != .removed }.compactMap { partner in
                try store.currentKeyring(of: partner.city).map {
                    (
                        partner, $0, try self.isInSync(with: partner.city, store), try self.views(from: partner.city, store),
                        try SyncMemory.lastSync(with: partner.city, store)
                    )
                }
            }
        }
        let network = network.withLock { $0 }
        return rows.map { partner, keyring, storedInSync, views, lastSync in
            let link = network?.link(to: partner.city)
            let state = partner.state == .paused ? "paused" : link?.connection != nil ? "connected" : "offline"
            var row: [JSONMember] = [
                JSONMember("city", .string(partner.city.text)), JSONMember("name", .string(keyring.name)),
                JSONMember("state", .string(state)),
                JSONMember("fingerprint", .string(keyring.fingerprint.description)),
                JSONMember("endpoint", JSONValue(partner.endpoint ?? keyring.endpoints.first)),
                JSONMember("lastSync", JSONValue([lastSync, link?.lastSettled].compactMap { $0 }.max())),
                JSONMember("inSync", .bool(storedInSync && link?.connection != nil && link?.progress.isEqual(in: views) == true)),
            ]
            if let link, link.connection != nil {
                row.append(JSONMember("chunksHeld", JSONValue(link.progress.chunksHeld)))
                row.append(JSONMember("chunksTotal", JSONValue(link.progress.chunksTotal)))
            }
            if let error = link?.lastError { row.append(JSONMember("lastError", .string(error.printable()))) }
            if let detail = link?.lastErrorDetail { row.append(JSONMember("lastErrorDetail", .string(detail.printable()))) }
            return .object(row)
        }
    }

    /// The views that it shows us under agreements in force.
    func views(from city: CityID, _ store: any MetadataReading) throws -> [Digest] {
        let now = clock.now
        return try store.subscribedViews().filter { $0.publisher == city }
            .filter { try store.agreement($0.agreement)?.state(at: now) == .active }.map(\.id)
    }

    /// As far as rows tell: what we publish to it is acknowledged, no view is quarantined, no document waits.
    func isInSync(with city: CityID, _ store: any MetadataReading) throws -> Bool {
        let now = clock.now
        for view in try store.publishedViews() where view.recipient == city {
            guard let record = try store.agreement(view.agreement), record.state(at: now) == .active else { continue }
            if view.quarantine != nil || view.acknowledgedPosition != view.position || !view.acknowledgedEqual { return false }
        }
        for view in try store.subscribedViews() where view.publisher == city && view.quarantine != nil { return false }
        return try store.outbox(to: city, after: 0, limit: 1).isEmpty
    }

    public func partnerShow(_ caller: Caller, city text: String) throws(Problem) -> JSONValue {
        let partner = try partner(text)
        guard let keyring = try read({ try $0.currentKeyring(of: partner.city) }) else {
            throw Problem(.partnerUnknown, "no keyring of \(partner.city) is here", try: "hansa partner add CARDFILE")
        }
        var document = describe(keyring)
        document.insert(JSONMember("schema", "hansa.partner-show/1"), at: 0)
        document.append(JSONMember("state", .string(partner.state.rawValue)))
        document.append(JSONMember("endpoint", JSONValue(partner.endpoint)))
        document.append(JSONMember("added", JSONValue(partner.added)))
        let stored = try read { try SyncMemory.lastSync(with: partner.city, $0) }
        let settled = network.withLock { $0 }?.settledTimes[partner.city]
        document.append(JSONMember("lastSync", JSONValue([stored, settled].compactMap { $0 }.max())))
        return .object(document)
    }

    public func partnerPause(_ caller: Caller, city text: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try setState(.paused, of: text, caller, "hansa.partner-pause/1", dryRun)
    }

    public func partnerResume(_ caller: Caller, city text: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try setState(.active, of: text, caller, "hansa.partner-resume/1", dryRun)
    }

    /// Grants, agreements and views stay as they are: what changes meanwhile goes over when sessions are allowed again.
    private func setState(_ state: Partner.State, of text: String, _ caller: Caller, _ schema: String, _ dryRun: Bool)
        throws(Problem)
        -> JSONValue
    {
        let partner = try partner(text)
        let changes = partner.state != state
        if changes, !dryRun {
            try change { tx in
                var fresh = partner
                fresh.state = state
                try tx.put(fresh)
                try tx.log(
                    LogDraft(
                        state == .paused ? .partnerPaused : .partnerResumed, actor: self.actor(caller), partner: partner.city))
                return ((), ExchangeChanges())
            }
            let network = network.withLock { $0 }
            try guarded { try network?.refreshPartners() }
            if state == .active { network?.dial(partner.city) }
        }
        return [
            "schema": .string(schema), "city": .string(partner.city.text), "state": .string(state.rawValue),
            "changed": .bool(changes), "dryRun": .bool(dryRun),
        ]
    }

    public func partnerRemove(_ caller: Caller, city text: String, confirm: String?, dryRun: Bool) throws(Problem) -> JSONValue {
        let partner = try partner(text)
        let grants = try read { try $0.grants() }.filter { $0.partner == partner.city && $0.ended == nil }
        guard dryRun || confirm == partner.city.text else {
            throw Problem(
                .confirmationNeeded,
                "removing \(partner.city) ends \(Words.count(grants.count, "grant")) and closes its connections",
                try: "hansa partner remove \(partner.city) --confirm \(partner.city)")
        }
        if !dryRun {
            try change { tx in
                var changes = ExchangeChanges()
                var gone = partner
                gone.state = .removed
                try tx.put(gone)
                for var grant in grants {
                    grant.ended = tx.now
                    try tx.put(grant)
                    try tx.log(
                        LogDraft(
                            .accessRevoked, actor: self.actor(caller), partner: partner.city, agreement: grant.agreement,
                            grant: grant.id, reason: "partner-removed"))
                }
                try tx.log(LogDraft(.partnerRemoved, actor: self.actor(caller), partner: partner.city))
                let update = try MembershipUpdate(self.context, tx)
                for agreement in Set(grants.map(\.agreement)).sorted() { try update.policyChanged(agreement) }
                changes.views = try update.finish()
                return ((), changes)
            }
            try guarded { try network.withLock { $0 }?.refreshPartners() }
        }
        return [
            "schema": "hansa.partner-remove/1", "city": .string(partner.city.text), "grantsEnded": JSONValue(grants.count),
            "dryRun": .bool(dryRun),
        ]
    }
}
