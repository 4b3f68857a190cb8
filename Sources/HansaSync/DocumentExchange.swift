// Signed documents between two cities: keyrings, agreements and their steps, withdrawals. Pushed from an outbox until acknowledged, stored as
// received, acted on in the transaction that stores them (SYNC.md §5, FORMATS.md §10).
//
// Confined to one thread at a time; blocks on the stores.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

public final class DocumentExchange {
    private let context: ExchangeContext
    private let peer: CityID
    /// The last outbox row sent in this session.
    private var sentTo: Int64 = 0

    public init(_ context: ExchangeContext, peer: CityID) {
        self.context = context
        self.peer = peer
    }

    /// Documents that wait for the partner and were not yet sent in this session.
    public func pending() throws(ExchangeFault) -> [Frame] {
        do {
            var frames: [Frame] = []
            while true {
                let rows = try context.metadata.read { try $0.outbox(to: self.peer, after: self.sentTo, limit: Documents.countMax) }
                var items: [Documents.Item] = []
                var bytes = 0
                for row in rows {
                    let size = row.envelope.payload.count + row.envelope.signatures.count * 100 + 16
                    if bytes + size > 200 * 1024, !items.isEmpty { break }
                    bytes += size
                    items.append(Documents.Item(id: UInt64(row.id), envelope: row.envelope))
                    sentTo = row.id
                }
                guard !items.isEmpty else { return frames }
                frames.append(Documents(items: items).frame)
            }
        } catch {
            throw .store(error)
        }
    }

    /// The partner's word on what we sent.
    public func acknowledged(_ frame: Frame, at now: Timestamp) throws(ExchangeFault) {
        do {
            let message = try DocumentsAcknowledged(frame)
            guard !message.items.isEmpty else { return }
            try context.metadata.write(at: now) { tx in
                for item in message.items {
                    guard item.id <= UInt64(Int64.max), let row = try tx.outbox(to: self.peer, after: Int64(item.id) - 1, limit: 1).first,
                        row.id == Int64(item.id)
                    else { continue }
                    try tx.removeOutbox(row.id)
                    try tx.log(
                        LogDraft(
                            item.refusal == nil ? .documentDelivered : .documentRefusedByPartner, outcome: item.refusal == nil ? .ok : .refused,
                            partner: self.peer, agreement: self.agreementDigest(of: row.envelope), reason: item.refusal?.printable(charactersMax: 60),
                            details: ["document": .string(row.envelope.digest.prefixed), "type": .string(row.envelope.payloadType)]))
                }
            }
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch {
            throw .store(error)
        }
    }

    /// Takes documents; the acknowledgement is made after they are durable.
    public func receive(_ frame: Frame, at now: Timestamp) throws(ExchangeFault) -> (answer: Frame, changes: ExchangeChanges) {
        do {
            let message = try Documents(frame)
            var changes = ExchangeChanges()
            var answers: [DocumentsAcknowledged.Item] = []
            for item in message.items {
                // Each in a transaction of its own: one bad document does not hold up the others.
                let refusal = try take(item.envelope, at: now, &changes)
                answers.append(DocumentsAcknowledged.Item(id: item.id, refusal: refusal))
            }
            return (DocumentsAcknowledged(items: answers).frame, changes)
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch {
            throw .store(error)
        }
    }

    private func agreementDigest(of envelope: Envelope) -> Digest? {
        switch DocumentType(rawValue: envelope.payloadType) {
        case .agreement: envelope.digest
        case .agreementStep: (try? AgreementStep(payload: envelope.payload))?.agreement
        default: nil
        }
    }

    private func take(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        switch DocumentType(rawValue: envelope.payloadType) {
        case .agreement: return try takeAgreement(envelope, at: now, &changes)
        case .agreementStep: return try takeStep(envelope, at: now, &changes)
        case .release: return try takeWithdrawal(envelope, at: now)
        case .keyring, .receipt, nil: return try refuse(envelope, "type", at: now)
        }
    }

    private func refuse(_ envelope: Envelope, _ word: String, at now: Timestamp, agreement: Digest? = nil, clause: String? = nil, details: JSONValue? = nil) throws -> String {
        try context.metadata.write(at: now) { tx in
            try tx.log(
                LogDraft(
                    .documentRefused, outcome: .refused, partner: self.peer, agreement: agreement, clause: clause, reason: word,
                    details: details ?? ["document": .string(envelope.digest.prefixed)]))
        }
        return word
    }

    // MARK: Agreements

    private func takeAgreement(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        guard let agreement = try? Agreement(payload: envelope.payload) else { return try refuse(envelope, "malformed", at: now) }
        let digest = envelope.digest
        let cities = agreement.parties.map(\.city)
        guard cities.contains(peer), cities.contains(context.own) else { return try refuse(envelope, "not-a-party", at: now, agreement: digest) }
        let refused = EnforcementReport.check(agreement).refused
        guard refused.isEmpty else {
            return try refuse(
                envelope, "not-enforceable", at: now, agreement: digest,
                details: ["terms": .array(refused.map { .string("\($0.path): \($0.reason)") })])
        }
        let verdict = try context.metadata.read { store -> String? in
            for party in agreement.parties where try store.keyring(of: party.city, version: party.keyring) == nil { return "keyring" }
            let signed = try self.signatories(of: envelope, agreement, store)
            guard let proposer = cities.first, signed.contains(proposer) else { return "signature" }
            // Signatures that are not of a party under its keyring are noise a relay may have added: they are not stored.
            if try store.agreements().contains(where: { $0.digest != digest && $0.agreement.id == agreement.id && $0.agreement.parties.first?.city == proposer }) {
                return "id-taken"
            }
            return nil
        }
        if let verdict { return try refuse(envelope, verdict, at: now, agreement: digest) }
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            let before = try tx.agreement(digest)
            let signed = try self.signatories(of: envelope, agreement, tx)
            if let before, signed.isSubset(of: before.signedBy) { return changes }
            try tx.insertAgreement(envelope)
            let after = try tx.agreement(digest)
            try tx.log(
                LogDraft(
                    before == nil ? .agreementReceived : .agreementSigned, partner: self.peer, agreement: digest,
                    details: [
                        "id": .string(agreement.id), "signedBy": .array(signed.sorted().map { .string($0.text) }),
                        "state": .string(after?.state(at: now).rawValue ?? ""),
                    ]))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(digest)
            changes.views = try update.finish()
            changes.policies = Set(cities.filter { $0 != self.context.own })
            return changes
        }
        changes.formUnion(changed)
        return nil
    }

    private func signatories(of envelope: Envelope, _ agreement: Agreement, _ store: any MetadataReading) throws -> Set<CityID> {
        var cities: Set<CityID> = []
        for party in agreement.parties {
            guard let keyring = try store.keyring(of: party.city, version: party.keyring) else { continue }
            if envelope.isSigned(by: keyring.officers, threshold: keyring.officerThreshold) { cities.insert(party.city) }
        }
        return cities
    }

    private func takeStep(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        guard let step = try? AgreementStep(payload: envelope.payload) else { return try refuse(envelope, "malformed", at: now) }
        let verdict = try context.metadata.read { store -> String? in
            guard let record = try store.agreement(step.agreement) else { return "unknown-agreement" }
            if record.steps.contains(where: { $0.digest == envelope.digest }) { return nil }
            guard record.agreement.parties.contains(where: { $0.city == step.by }), step.by == self.peer else { return "not-a-party" }
            guard let keyring = try store.keyring(of: step.by, version: step.keyring),
                envelope.isSigned(by: keyring.officers, threshold: keyring.officerThreshold)
            else { return "signature" }
            switch step.step {
            case .reject: return record.signedBy.contains(step.by) ? "rejects-what-it-signed" : nil
            case .terminate: return record.signedBy.contains(step.by) ? nil : "terminates-what-it-did-not-sign"
            case .amend, .renew, .suspend, .resume: return "step-not-enforceable"
            }
        }
        if let verdict { return try refuse(envelope, verdict, at: now, agreement: step.agreement) }
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            guard let before = try tx.agreement(step.agreement), !before.steps.contains(where: { $0.digest == envelope.digest }) else { return changes }
            try tx.insertStep(envelope, step)
            try tx.log(
                LogDraft(
                    step.step == .reject ? .agreementRejected : .agreementTerminated, partner: self.peer, agreement: step.agreement,
                    reason: step.reason.printable(), details: ["by": .string(step.by.text), "effective": .string(step.effective.description)]))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(step.agreement)
            changes.views = try update.finish()
            changes.policies = Set(before.agreement.parties.map(\.city).filter { $0 != self.context.own })
            return changes
        }
        changes.formUnion(changed)
        return nil
    }

    // MARK: Withdrawals

    private func takeWithdrawal(_ envelope: Envelope, at now: Timestamp) throws -> String? {
        guard let release = try? Release(payload: envelope.payload), release.operation == .withdraw else { return try refuse(envelope, "malformed", at: now) }
        let digest = envelope.digest
        let verdict = try context.metadata.read { store -> String? in
            guard release.writer == self.peer, release.package.city == self.peer else { return "not-writer" }
            guard let keyring = try store.keyring(of: self.peer, version: release.keyring), let current = try store.currentKeyring(of: self.peer),
                envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
            else { return "signature" }
            if keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) { return "key-revoked" }
            if let known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq), known != digest { return "fork" }
            return nil
        }
        if let verdict { return try refuse(envelope, verdict, at: now) }
        let location = try context.content.append(document: envelope.binary(), digest: digest)
        try context.content.sync()
        try context.metadata.write(at: now) { tx in
            guard try tx.release(digest) == nil else { return }
            try tx.insert(ReleaseRow(digest: digest, release: ReleaseSummary(release), document: location, table: [], pages: [], committed: tx.now))
            var row =
                try tx.package(release.package)
                ?? PackageRow(
                    package: release.package, kind: release.kind, head: digest, headVersion: release.version, headSeq: 0, lastSeq: 0, last: digest,
                    tlp: release.tlp, title: release.title, bytes: 0, withdrawnSeq: nil)
            row.withdrawnSeq = max(row.withdrawnSeq ?? 0, release.seq)
            if release.seq > row.lastSeq { (row.lastSeq, row.last) = (release.seq, digest) }
            try tx.put(row)
            for var holding in try tx.holdings(of: release.package) where holding.state == .accepted {
                guard let known = try tx.release(holding.release), known.release.seq <= release.seq, var view = try tx.subscribedView(holding.view) else { continue }
                view.members.remove(MemberSet.memberID(release: holding.release, level: holding.level.code))
                holding.state = .ended
                holding.reason = "withdrawn"
                try tx.put(holding)
                try tx.put(view)
            }
            try tx.log(
                LogDraft(.packageWithdrawn, partner: self.peer, package: release.package, release: digest, reason: release.reason?.printable()))
        }
        return nil
    }
}
