// Signed documents between two cities: keyrings (`+Keyrings`), agreements and their steps, withdrawals. Pushed from an outbox until acknowledged, stored as
// received, acted on in the transaction that stores them (SYNC.md §5, FORMATS.md §10).
//
// Confined to one thread at a time; blocks on the stores.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

public final class DocumentExchange {
    let context: ExchangeContext
    let peer: CityID
    /// Nothing but documents may go over: a keyring has expired.
    private let documentsOnly: Bool
    /// One lane of the outbox in this session.
    private struct LaneState {
        /// The last row sent.
        var sentTo: Int64 = 0
        /// Bytes that were sent and have no answer.
        var bytesUnderWay = 0
        /// What waited when the session began was sent.
        var isOldOut = false
    }
    private var lanes: [OutboxRow.Lane: LaneState] = [.documents: LaneState(), .receipts: LaneState()]
    /// The newest row that waited when the session began; nil before the first look.
    private var waitedTo: Int64?
    private struct Sent {
        let row: Int64
        let lane: OutboxRow.Lane
        let bytes: Int
    }
    /// What has no answer, by the number it went out under. The numbers are this session's: the rows' own ids count what other partners are sent.
    private var sent: [UInt64: Sent] = [:]
    var lastNumber: UInt64 = 0
    /// The newest version of our keyring that the partner holds or was sent in this session; nil before the first look.
    var toldKeyring: Int?
    /// The version of its keyring that the partner's hello named.
    var announcedKeyring = 0
    /// What the partner had signed before the first of its keyrings on the way to that version came.
    var signedByPeer: Set<Digest>?
    /// Documents and keyrings of this session on which the partner's word has come: what it says of others, or of nothing, counts for nothing.
    public private(set) var acknowledgedCount = 0
    /// Versions of our keyring by the number they went out under.
    var sentKeyrings: [UInt64: Int] = [:]

    /// Agreements that a partner proposed and that we have not signed: open ones, and all.
    static let openProposalsMax = 100
    static let unsignedProposalsMax = 1000
    /// Envelopes of one agreement with signatures that wait for a keyring.
    private static let waitingBytesMax = 1 << 20
    /// Packages of a partner that we know by their withdrawal only.
    static let withdrawnUnseenMax: UInt64 = 10_000

    /// No more is sent while about so many bytes of a lane have no answer: a partner that never answers costs no more memory than this.
    static let underWayBytesMax = 1 << 20
    private static let pieceBytes = 200 * 1024
    /// What a partner can have us put on its way by asking waits for acknowledgements when so many rows wait for it.
    static let outboxRowsMax = 1 << 16

    public init(_ context: ExchangeContext, peer: CityID, documentsOnly: Bool = false) {
        self.context = context
        self.peer = peer
        self.documentsOnly = documentsOnly
    }

    /// Documents that wait for the partner and were not yet sent in this session, as many as may be under way: asked again after each acknowledgement,
    /// it goes on. While keyrings are under way they alone.
    public func pending() throws(ExchangeFault) -> [Frame] {
        do {
            if waitedTo == nil { waitedTo = try context.metadata.read { try $0.outboxExtent(to: self.peer).last } }
            // Keyrings first: what follows may be signed under the newest.
            var frames = try pendingKeyrings()
            // They are durable at the other end when they are acknowledged: then what the new keys signed goes on.
            guard sentKeyrings.isEmpty else { return frames }
            frames += try pending(.documents)
            if !documentsOnly { frames += try pending(.receipts) }
            return frames
        } catch {
            throw .store(error)
        }
    }

    private func pending(_ lane: OutboxRow.Lane) throws -> [Frame] {
        guard var state = lanes[lane] else { return [] }
        defer { lanes[lane] = state }
        var frames: [Frame] = []
        while state.bytesUnderWay < DocumentExchange.underWayBytesMax {
            let rows = try context.metadata.read {
                try $0.outbox(
                    to: self.peer, lane, after: state.sentTo, limit: Documents.countMax, bytes: DocumentExchange.pieceBytes)
            }
            guard let last = rows.last else {
                state.isOldOut = true
                break
            }
            if SeededBug.isOn(.outboxForgotten) {
                let now = try context.metadata.read { try $0.lastLogTime } ?? Timestamp(milliseconds: 0)
                try context.metadata.write(at: now) { tx in for row in rows { try tx.removeOutbox(row.id) } }
            }
            var items: [Documents.Item] = []
            var frameBytes = 0
            var taken = last.id
            for row in rows {
                let bytes = row.envelope.payload.count + row.envelope.signatures.count * 100 + 16
                // The last row may be what a control frame has no room for beside the others.
                if lane == .documents, !items.isEmpty, frameBytes + bytes > DocumentExchange.pieceBytes { break }
                frameBytes += bytes
                taken = row.id
                lastNumber += 1
                state.bytesUnderWay += bytes
                sent[lastNumber] = Sent(row: row.id, lane: lane, bytes: bytes)
                switch lane {
                case .documents: items.append(Documents.Item(id: lastNumber, envelope: row.envelope))
                case .receipts:
                    // What it answers was listed in this session, or it would have been here before.
                    let short = state.isOldOut ? Accepted(id: lastNumber, row.envelope) : nil
                    frames.append(short?.frame ?? ReceiptMessage(id: lastNumber, envelope: row.envelope).frame)
                }
            }
            if !items.isEmpty { frames.append(Documents(items: items).frame) }
            state.sentTo = taken
            if let waitedTo, taken >= waitedTo { state.isOldOut = true }
        }
        return frames
    }

    /// Whether all documents that waited when the session began have been sent, or as many as may be under way: who waited for the acknowledgements of these
    /// would take no more frames, and the acknowledgements come behind frames. Receipts are left out: the partner acknowledges them after its own
    /// documents have been, and two that waited for each other would wait for ever.
    public var areOut: Bool {
        guard sentKeyrings.isEmpty, let state = lanes[.documents] else { return false }
        return state.isOldOut || state.bytesUnderWay >= DocumentExchange.underWayBytesMax
    }

    /// The partner's word on what we sent.
    @discardableResult
    public func acknowledged(_ frame: Frame, at now: Timestamp) throws(ExchangeFault) -> ExchangeChanges {
        do {
            let message = try DocumentsAcknowledged(frame)
            acknowledgedCount += message.items.count { sent[$0.id] != nil || sentKeyrings[$0.id] != nil }
            let changes = try keyringsAcknowledged(message, at: now)
            guard message.items.contains(where: { sent[$0.id] != nil }) else { return changes }
            try context.metadata.write(at: now) { tx in
                for item in message.items {
                    // What was not sent in this session cannot have arrived in it; an acknowledgement that is repeated changes nothing.
                    guard let id = self.sent[item.id]?.row, let row = try tx.outbox(to: self.peer, after: id - 1, limit: 1).first,
                        row.id == id
                    else { continue }
                    // What the partner lacks for it may still come: the next session tries again.
                    if let refusal = item.refusal, DocumentExchange.transient.contains(refusal) { continue }
                    try tx.removeOutbox(row.id)
                    try tx.log(
                        LogDraft(
                            item.refusal == nil ? .documentDelivered : .documentRefusedByPartner,
                            outcome: item.refusal == nil ? .ok : .refused,
                            partner: self.peer, agreement: self.agreementDigest(of: row.envelope),
                            reason: item.refusal?.printable(charactersMax: 60),
                            details: [
                                "document": .string(row.envelope.digest.prefixed), "type": .string(row.envelope.payloadType),
                            ]))
                }
            }
            for item in message.items {
                guard let answered = sent.removeValue(forKey: item.id) else { continue }
                lanes[answered.lane]?.bytesUnderWay -= answered.bytes
            }
            return changes
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

    /// Refusals of what may be taken later.
    private static let transient: Set<String> = ["unknown-agreement", "keyring", unknownOffer]
    /// Of a receipt in short, which the next session sends whole.
    static let unknownOffer = "unknown-offer"

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
        case .release:
            if let release = try? Release(payload: envelope.payload), release.writer == context.own {
                return try takeOwn(envelope, release, at: now, &changes)
            }
            return try takeWithdrawal(envelope, at: now, &changes)
        case .keyring: return try takeKeyring(envelope, at: now, &changes)
        case .receipt, .forkProof, nil: return try refuse(envelope, "type", at: now)
        }
    }

    func refuse(
        _ envelope: Envelope, _ word: String, at now: Timestamp, agreement: Digest? = nil, clause: String? = nil,
        details: JSONValue? = nil
    ) throws -> String {
        try context.logRefusal(
            LogDraft(
                .documentRefused, outcome: .refused, partner: peer, agreement: agreement, clause: clause, reason: word,
                details: details ?? ["document": .string(envelope.digest.prefixed)]), at: now)
        return word
    }

    // MARK: Agreements

    private func takeAgreement(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        guard let agreement = try? Agreement(payload: envelope.payload) else { return try refuse(envelope, "malformed", at: now) }
        let digest = envelope.digest
        let cities = agreement.parties.map(\.city)
        guard cities.contains(peer), cities.contains(context.own) else {
            return try refuse(envelope, "not-a-party", at: now, agreement: digest)
        }
        let refused = EnforcementReport.check(agreement).refused
        guard refused.isEmpty else {
            return try refuse(
                envelope, "not-enforceable", at: now, agreement: digest,
                details: ["terms": .array(refused.map { .string("\($0.path): \($0.reason)") })])
        }
        let verdict = try context.metadata.read { store -> String? in
            // The proposer's word first, and of third parties nothing: whose keyrings are held here is no business of the partner's. Who is not known
            // here has not signed yet; its signature counts when its keyring comes.
            guard let first = agreement.parties.first else { return "not-a-party" }
            let proposer = first.city
            let keyring = try store.keyring(of: proposer, version: first.keyring)
            guard let keyring, envelope.isSigned(by: keyring.officers, threshold: keyring.officerThreshold) else {
                let isThird = proposer != self.peer && proposer != self.context.own
                return keyring == nil || isThird ? "keyring" : "signature"
            }
            for party in agreement.parties where party.city == self.peer || party.city == self.context.own {
                if try store.keyring(of: party.city, version: party.keyring) == nil { return "keyring" }
            }
            let signed = try self.signatories(of: envelope, agreement, store)
            // The version named stays the measure after a rotation, but not for a key that came into other hands.
            for party in agreement.parties where signed.contains(party.city) {
                let known = try store.agreement(digest)?.signedBy.contains(party.city) ?? false
                if !known, try store.isRevoked(party.city, party.keyring) { return "key-revoked" }
            }
            // Signatures that are not of a party under its keyring are noise a relay may have added: they are not stored.
            if try store.agreements().contains(where: {
                $0.digest != digest && $0.agreement.id == agreement.id && $0.agreement.parties.first?.city == proposer
            }) {
                return "id-taken"
            }
            if try store.agreement(digest) == nil {
                let unsigned = try store.agreements().filter {
                    $0.proposer == proposer && !$0.signedBy.contains(self.context.own)
                }
                let open = unsigned.lazy.filter { [.proposed, .draft].contains($0.state(at: now)) }.count
                guard open < DocumentExchange.openProposalsMax, unsigned.count < DocumentExchange.unsignedProposalsMax else {
                    return "too-many-proposals"
                }
            }
            return nil
        }
        if let verdict { return try refuse(envelope, verdict, at: now, agreement: digest) }
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            let before = try tx.agreement(digest)
            let signed = try self.signatories(of: envelope, agreement, tx)
            // Kept only when it says something new: other spellings of the same would fill the store.
            if var copy = before {
                switch copy.merge(envelope, keyrings: { city, version in (try? tx.keyring(of: city, version: version)) ?? nil }) {
                case .merged: break
                case .unchanged:
                    if try self.waitsForKeyring(envelope, agreement, tx) { try tx.insertAgreement(envelope) }
                    return changes
                case .otherDocument, .tooManySignatures, .refused: return changes
                }
            }
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

    /// Whether there is a signature in it that is not kept yet and that only a keyring which is not here could tell. Each such envelope is kept whole: a
    /// handful of agreements' usual size, since nobody can say whether it is noise.
    private func waitsForKeyring(_ envelope: Envelope, _ agreement: Agreement, _ store: any MetadataReading) throws -> Bool {
        let keyrings = try agreement.parties.map { try store.keyring(of: $0.city, version: $0.keyring) }
        guard keyrings.contains(where: { $0 == nil }) else { return false }
        let kept = try store.agreementEnvelopes(envelope.digest).filter { $0.type == .agreement }
        guard (kept.count + 1) * envelope.payload.count <= DocumentExchange.waitingBytesMax else { return false }
        let known = Set(kept.flatMap(\.signatures))
        let unknown = envelope.dropping(signaturesOf: keyrings.flatMap { $0?.officers ?? [] }).signatures
        return unknown.contains { !known.contains($0) } && known.union(unknown).count <= Limits.signaturesMax
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
            // What the partner is no party to does not exist for it.
            guard let record = try store.agreement(step.agreement), record.isParty(self.peer) else { return "unknown-agreement" }
            if record.steps.contains(where: { $0.digest == envelope.digest }) { return nil }
            // Its maker's signature is what counts: another party may bring it, where the two have no session, and what we made ourselves may
            // come back to a node that was put back to an earlier state.
            guard record.isParty(step.by) else { return "not-a-party" }
            guard let keyring = try store.keyring(of: step.by, version: step.keyring),
                envelope.isSigned(by: keyring.officers, threshold: keyring.officerThreshold)
            else { return "signature" }
            if try store.isRevoked(step.by, step.keyring) { return "key-revoked" }
            // One end is enough: the same party's next one would only be one more document to keep.
            if record.steps.contains(where: { $0.step.by == step.by && $0.step.step == step.step }) { return "already-ended" }
            // The record's own rules: a termination is kept also when its city's signature has not arrived yet.
            var next = record
            switch next.add(StepRecord(digest: envelope.digest, step: step)) {
            case .added, .known: return nil
            case .refused(.rejectAfterSigning): return "rejects-what-it-signed"
            case .refused(.notYetEnforceable): return "step-not-enforceable"
            case .refused(.tooManySteps): return "too-many-steps"
            case .refused(.notAParty), .refused(.otherAgreement): return "not-a-party"
            }
        }
        if let verdict { return try refuse(envelope, verdict, at: now, agreement: step.agreement) }
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            guard let before = try tx.agreement(step.agreement), !before.steps.contains(where: { $0.digest == envelope.digest })
            else { return changes }
            try tx.insertStep(envelope, step)
            try tx.log(
                LogDraft(
                    step.step == .reject ? .agreementRejected : .agreementTerminated, partner: self.peer,
                    agreement: step.agreement,
                    reason: step.reason.printable(),
                    details: ["by": .string(step.by.text), "effective": .string(step.effective.description)]))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(step.agreement)
            changes.views = try update.finish()
            changes.policies = Set(before.agreement.parties.map(\.city).filter { $0 != self.context.own })
            // Its maker may have no session with every other party, and what is passed on must end with what it rests on.
            for party in before.agreement.parties
            where try ![self.context.own, self.peer, step.by].contains(party.city) && tx.partner(party.city) != nil {
                try tx.enqueue(envelope, to: party.city)
                changes.outboxes.insert(party.city)
            }
            return changes
        }
        changes.formUnion(changed)
        return nil
    }

    // MARK: Withdrawals

    private func takeWithdrawal(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        guard let release = try? Release(payload: envelope.payload), release.operation == .withdraw else {
            return try refuse(envelope, "malformed", at: now)
        }
        let digest = envelope.digest
        /// The release that its writer signed under the same number.
        var forked: ReleaseRow?
        let verdict = try context.metadata.read { store -> String? in
            guard release.writer == release.package.city else { return "not-writer" }
            // Who passed the package on to us passes this on too.
            if release.writer != self.peer, try !self.isServedByPeer(release.package, store) { return "not-writer" }
            guard let keyring = try store.keyring(of: release.writer, version: release.keyring),
                let current = try store.currentKeyring(of: release.writer)
            else { return release.writer == self.peer ? "signature" : "keyring" }
            guard envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold) else { return "signature" }
            if keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) { return "key-revoked" }
            // Only its own writer, in its own session, vouches for what a superseded key signed, as of releases (`ReleaseCheck`).
            if release.writer != self.peer,
                current.isExpired(at: now) || !keyring.packageKeys.allSatisfy(current.packageKeys.contains)
            {
                // Where the writer has said as much itself, this adds nothing.
                return try store.package(release.package)?.withdrawnSeq.map { release.seq <= $0 } ?? false ? nil : "keyring"
            }
            if let known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq), known != digest
            {
                forked = try store.release(known)
            }
            return nil
        }
        if let verdict { return try refuse(envelope, verdict, at: now) }
        // Evidence, and a withdrawal all the same: what its writer takes back is not kept because it contradicts itself. The proof holds the document.
        if let forked, let fork = try context.fork(context.envelope(at: forked.document), envelope, partner: peer, at: now) {
            try context.content.sync()
            try context.metadata.write(at: now) { try $0.record(fork) }
        }
        let known = try context.metadata.read { try $0.package(release.package) }
        // Nothing at or below a known withdrawal can come back: this one adds nothing.
        if let withdrawn = known?.withdrawnSeq, release.seq <= withdrawn { return nil }
        // Of a package that we know by its withdrawal only, the first document is kept and of the others the number.
        let isUnseen = known.map { $0.headSeq == 0 } ?? false
        let counter = "withdrawn-unseen.\(peer)"
        var unseen: UInt64 = 0
        if known == nil {
            for byte in try context.metadata.read({ try $0.value(counter) }) ?? [] { unseen = unseen << 8 | UInt64(byte) }
            guard unseen < DocumentExchange.withdrawnUnseenMax else {
                return try refuse(envelope, "too-many-withdrawals", at: now)
            }
        }
        var location: ContentLocation?
        if !isUnseen, forked == nil {
            location = try context.content.append(document: envelope.binary(), digest: digest)
            if !SeededBug.isOn(.withdrawalBeforeFsync) { try context.content.sync() }
        }
        let changed = try context.metadata.write(at: now) { tx -> ExchangeChanges in
            var changes = ExchangeChanges()
            guard try tx.release(digest) == nil else { return changes }
            if let location {
                try tx.insert(
                    ReleaseRow(
                        digest: digest, release: ReleaseSummary(release), document: location, table: [], pages: [],
                        committed: tx.now))
            }
            let before = try tx.package(release.package)
            if before == nil {
                var count = ByteWriter(reserving: 8)
                count.u64(unseen + 1)
                try tx.setValue(counter, count.bytes)
            }
            var row =
                before
                ?? PackageRow(
                    package: release.package, kind: release.kind, head: digest, headVersion: release.version, headSeq: 0,
                    lastSeq: 0, last: digest,
                    tlp: release.tlp, title: release.title, bytes: 0, withdrawnSeq: nil)
            row.withdrawnSeq = max(row.withdrawnSeq ?? 0, release.seq)
            if release.seq > row.lastSeq, location != nil { (row.lastSeq, row.last) = (release.seq, digest) }
            try tx.put(row)
            if !SeededBug.isOn(.forgottenWithdrawal) { try tx.endHoldings(of: release.package, upTo: release.seq) }
            try tx.log(
                LogDraft(
                    .packageWithdrawn, partner: self.peer, package: release.package, release: digest,
                    reason: release.reason?.printable()))
            let recipients = try tx.recipients(everSent: release.package)
            let policy = try tx.policy()
            // What is listed for somebody and not told yet is not told any more.
            guard !recipients.isEmpty || policy.hasRelays || policy.hasMaintainers else { return changes }
            // What we passed on of it, or wrote of it ourselves, ends as well, and those who had it from us hear of it.
            let update = try MembershipUpdate(self.context, tx)
            try update.withdrew(release.package)
            changes.views = try update.finish()
            for recipient in recipients where recipient != release.writer {
                try tx.enqueue(envelope, to: recipient)
                changes.outboxes.insert(recipient)
            }
            return changes
        }
        changes.formUnion(changed)
        return nil
    }

    /// The partner served us a release of the package.
    /// It was offered by the partner, or may have been: what is still being fetched has no row, and its withdrawal is told once.
    private func isServedByPeer(_ package: PackageID, _ store: any MetadataReading) throws -> Bool {
        if try store.holdings(of: package).contains(where: { try store.subscribedView($0.view)?.publisher == self.peer }) {
            return true
        }
        return try store.agreements().contains { record in
            (record.agreement.isPassedOn || record.agreement.maintenance(of: package) != nil) && record.isParty(self.peer)
                && record.isParty(self.context.own) && record.isParty(package.city)
        }
    }
}

extension MetadataWriting {
    /// What we hold of a package's releases up to the number of a withdrawal is accepted no longer. From its own city it has left the view with the
    /// withdrawal. Who else shows it (wrote it, or passes it on) may not have heard yet: until he drops it the id stays in the digest, as that of a
    /// release which was refused.
    public func endHoldings(of package: PackageID, upTo seq: UInt64) throws {
        for var holding in try holdings(of: package) where holding.state == .accepted {
            guard let known = try release(holding.release), known.release.ownerSeq <= seq else { continue }
            (holding.state, holding.reason) = (.ended, "withdrawn")
            if var view = try subscribedView(holding.view) {
                if view.publisher == package.city {
                    view.members.remove(MemberSet.memberID(release: holding.release, level: holding.level.code))
                    try put(view)
                } else {
                    holding.state = .refused
                }
            }
            try put(holding)
        }
    }
}

extension MetadataReading {
    /// What tells a partner all we know of an agreement: one envelope with every signature, since one without the proposer's is refused, and
    /// the steps.
    func agreementDocuments(_ digest: Digest) throws -> [Envelope] {
        guard let record = try agreement(digest) else { return [] }
        return try [record.envelope] + agreementEnvelopes(digest).filter { $0.type == .agreementStep }
    }
}

extension MetadataWriting {
    /// Puts them on their way to a partner that does not have them, as far as its questions tell. Where too much waits already they come in a later session.
    func enqueuePapers(of agreement: Digest, to partner: CityID) throws {
        guard try outboxExtent(to: partner).rows < DocumentExchange.outboxRowsMax else { return }
        for envelope in try agreementDocuments(agreement) { try enqueue(envelope, to: partner) }
    }
}
