// An agreement as a node keeps it: the document, who has signed it, and the steps known since (FORMATS.md §10).
//
// Call order: `init(envelope:keyrings:)` for the first envelope, then `merge(_:keyrings:)` for each further envelope over the
// same payload and `add(_:envelope…)` for each step, in the order in which they arrive. Each answers what came of it; nothing
// throws on what a partner sent. The signatures of the envelopes are checked here against keyrings that the caller hands in;
// a step's signature is the caller's to check, since steps are signed by officers of whatever keyring is current.
//
// Order of arrival matters in one case only: a party that both signs and rejects. What came first counts, and the second is
// refused. No honest node sends both.

public import HansaCore
internal import HansaCrypto
public import HansaDocuments

/// Where an agreement stands (TERMS.md §2).
public enum AgreementState: String, Hashable, Sendable, Codable, CaseIterable {
    /// The proposer has not signed it.
    case draft
    case proposed, active, suspended, rejected, expired, terminated
    /// Replaced by an amended or renewed one. No record of this version has it.
    case superseded
}

/// A step and the digest of its payload.
public struct StepRecord: Hashable, Sendable {
    public let digest: Digest
    public let step: AgreementStep

    public init(digest: Digest, step: AgreementStep) {
        self.digest = digest
        self.step = step
    }

    public static func == (left: StepRecord, right: StepRecord) -> Bool { left.digest == right.digest }
    public func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}

/// What came of an envelope over a known payload.
public enum MergeOutcome: Hashable, Sendable {
    /// Nothing new in it.
    case unchanged
    /// New signatures, and the parties that have signed by them.
    case merged(newlySigned: Set<CityID>)
    /// Another payload or another type.
    case otherDocument
    /// Together more officers' signatures than an envelope holds.
    case tooManySignatures
    /// These parties' signatures are there, but they rejected the agreement before.
    case refused(rejectedBefore: Set<CityID>)
}

/// What came of a step.
public enum StepOutcome: Hashable, Sendable {
    case added
    /// The step was known.
    case known
    case refused(StepRefusal)
}

/// Why a step is not taken.
public enum StepRefusal: String, Hashable, Sendable {
    case otherAgreement = "the step is of another agreement"
    case notAParty = "its city is no party to the agreement"
    case rejectAfterSigning = "a party that has signed ends the agreement with a termination, not with a rejection"
    case notYetEnforceable = "amending, renewing, suspending and resuming are not in this version"
    case tooManySteps = "the agreement has too many steps"
}

public struct AgreementRecord: Hashable, Sendable {
    /// More than any honest life of an agreement has; a partner cannot grow a record without bound.
    public static let stepsMax = 256

    /// SHA-256 of the payload.
    public let digest: Digest
    /// Apart, since records are copied at every look at them, and agreements are large.
    private let document: Document
    public var agreement: Agreement { _read { yield document.agreement } }
    /// The parties' officers' signatures seen over the payload.
    public private(set) var envelope: Envelope
    /// The parties whose officer threshold is met, without those that had rejected the agreement before they signed.
    public private(set) var signedBy: Set<CityID>
    /// In the order in which they were added.
    public private(set) var steps: [StepRecord]
    /// False when the agreement has a part that this node cannot enforce: then it permits nothing.
    public let isEnforceable: Bool
    /// The policy epoch (SYNC.md §2): partners whose epochs differ exchange agreements before anything else.
    public private(set) var policyEpoch: Digest

    private final class Document: Sendable {
        let agreement: Agreement
        init(_ agreement: Agreement) { self.agreement = agreement }
    }

    /// A record from its stored parts.
    public init(digest: Digest, agreement: Agreement, envelope: Envelope, signedBy: Set<CityID>, steps: [StepRecord] = []) {
        self.digest = digest
        document = Document(agreement)
        self.envelope = envelope
        self.signedBy = signedBy
        self.steps = steps
        policyEpoch = ViewIdentity.policyEpoch(agreement: digest, steps: steps.map(\.digest))
        isEnforceable = EnforcementReport.isEnforceable(agreement)
    }

    /// A record from the first envelope seen: reads the payload and finds out who has signed it. Of its signatures those of
    /// the parties' officers are kept: whatever else a relay put there would only fill the room for more.
    public init(envelope: Envelope, keyrings: (CityID, Int) -> Keyring?) throws(DocumentFault) {
        let agreement = try Agreement(payload: envelope.payload)
        let kept = envelope.keeping(signaturesOf: AgreementRecord.officers(of: agreement, keyrings: keyrings))
        self.init(
            digest: envelope.digest, agreement: agreement, envelope: kept,
            signedBy: AgreementRecord.signatories(of: agreement, in: kept, keyrings: keyrings))
    }

    public static func == (left: AgreementRecord, right: AgreementRecord) -> Bool {
        left.digest == right.digest && left.envelope == right.envelope && left.signedBy == right.signedBy
            && left.steps == right.steps
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(digest) }

    // MARK: Signatures

    /// The parties whose officer threshold, under the keyring version the agreement names for them, is met by the envelope's
    /// signatures. A party whose keyring is not known has not signed.
    public static func signatories(
        of agreement: Agreement, in envelope: Envelope, keyrings: (CityID, Int) -> Keyring?
    ) -> Set<CityID> {
        guard envelope.payloadType == DocumentType.agreement.rawValue else { return [] }
        var signed: Set<CityID> = []
        for party in agreement.parties {
            guard let keyring = keyrings(party.city, party.keyring), keyring.city == party.city, keyring.version == party.keyring,
                keyring.officerThreshold >= 1,
                envelope.isSigned(by: keyring.officers, threshold: keyring.officerThreshold)
            else { continue }
            signed.insert(party.city)
        }
        return signed
    }

    private static func officers(of agreement: Agreement, keyrings: (CityID, Int) -> Keyring?) -> [Ed25519PublicKey] {
        agreement.parties.flatMap { keyrings($0.city, $0.keyring)?.officers ?? [] }
    }

    /// As the static one, for this record; it does not look at rejections.
    public func signatories(keyrings: (CityID, Int) -> Keyring?) -> Set<CityID> {
        AgreementRecord.signatories(of: agreement, in: envelope, keyrings: keyrings)
    }

    /// Takes the signatures of another envelope over the same payload.
    public mutating func merge(_ other: Envelope, keyrings: (CityID, Int) -> Keyring?) -> MergeOutcome {
        guard other.type == envelope.type, other.digest == digest else { return .otherDocument }
        let kept = other.keeping(signaturesOf: AgreementRecord.officers(of: agreement, keyrings: keyrings))
        guard let union = envelope.merging(kept) else { return .tooManySignatures }
        let newly = AgreementRecord.signatories(of: agreement, in: union, keyrings: keyrings).subtracting(signedBy)
        let barred = newly.intersection(rejecters)
        let counted = newly.subtracting(barred)
        if !barred.isEmpty, counted.isEmpty { return .refused(rejectedBefore: barred) }
        guard union != envelope || !counted.isEmpty else { return .unchanged }
        envelope = union
        signedBy.formUnion(counted)
        return .merged(newlySigned: counted)
    }

    public var proposer: CityID? { agreement.parties.first?.city }

    /// Whether the envelope may be taken at all: its proposer has signed it.
    public var isSignedByProposer: Bool { proposer.map(signedBy.contains) == true }

    public func isParty(_ city: CityID) -> Bool { agreement.parties.contains { $0.city == city } }

    // MARK: Steps

    /// Takes a step whose signature the caller has checked. A termination is kept also when its city's signature on the
    /// agreement has not arrived yet, and counts once it has.
    public mutating func add(_ record: StepRecord) -> StepOutcome {
        let step = record.step
        if steps.contains(where: { $0.digest == record.digest }) { return .known }
        guard step.agreement == digest else { return .refused(.otherAgreement) }
        guard isParty(step.by) else { return .refused(.notAParty) }
        switch step.step {
        case .amend, .renew, .suspend, .resume: return .refused(.notYetEnforceable)
        case .reject where signedBy.contains(step.by): return .refused(.rejectAfterSigning)
        case .reject, .terminate: break
        }
        guard steps.count < AgreementRecord.stepsMax else { return .refused(.tooManySteps) }
        steps.append(record)
        policyEpoch = ViewIdentity.policyEpoch(agreement: digest, steps: steps.map(\.digest))
        return .added
    }

    /// The digest that the next step names as `previous`.
    public var lastStep: Digest? { steps.last?.digest }

    /// The parties whose rejection counts.
    public var rejecters: Set<CityID> {
        if steps.isEmpty { return [] }
        return Set(
            steps.lazy.filter { $0.step.step == .reject && !signedBy.contains($0.step.by) && isParty($0.step.by) }.map(\.step.by))
    }

    /// The first termination that counts, by its formal end and then its digest.
    public var termination: StepRecord? {
        if steps.isEmpty { return nil }
        return steps.filter { $0.step.step == .terminate && signedBy.contains($0.step.by) && isParty($0.step.by) }
            .min { ($0.step.effective, $0.digest) < ($1.step.effective, $1.digest) }
    }

    /// When a termination issued now formally ends the agreement: after the notice it asks for, at once without one.
    public func terminationEffective(issued now: Timestamp) -> Timestamp {
        agreement.term.termination?.notice?.from(now) ?? now
    }

    // MARK: State

    /// The state at a moment. Concurrent steps join: terminated > rejected > suspended > active > proposed; time makes it
    /// expired where neither terminated nor rejected. An agreement before its first day is active here, and the decision
    /// under it says `not-yet-effective`.
    public func state(at now: Timestamp) -> AgreementState {
        if termination != nil { return .terminated }
        if !rejecters.isEmpty { return .rejected }
        if now >= expiry { return .expired }
        if isSuspended { return .suspended }
        if agreement.parties.allSatisfy({ signedBy.contains($0.city) }) { return .active }
        return isSignedByProposer ? .proposed : .draft
    }

    // `add` takes no suspension yet. One that a newer node stored in this home is not ignored: it stops the sharing, and
    // no other step of that kind starts it again.
    private var isSuspended: Bool {
        steps.contains { record in
            switch record.step.step {
            case .suspend, .resume, .amend, .renew: true
            case .reject, .terminate: false
            }
        }
    }

    /// 00:00Z of the first day.
    public var effective: Timestamp { agreement.term.effective.start }
    /// 24:00Z of the last day: the first moment at which the agreement no longer holds by itself.
    public var expiry: Timestamp { agreement.term.expires.end }

    // MARK: Names on the wire

    /// The id of the view that one party shows the other under this agreement (SYNC.md §2).
    public func viewID(publisher: CityID, recipient: CityID) -> Digest {
        ViewIdentity.viewID(agreement: digest, publisher: publisher, recipient: recipient)
    }
}
