// Agreements and their life (TERMS.md §1–2, FORMATS.md §10): drafted in YAML, signed as JSON, delivered from the outbox.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms
internal import HansaYAML

extension Node {
    public func agreementTemplates(_ caller: Caller) throws(Problem) -> JSONValue {
        [
            "schema": "hansa.agreement-templates/1",
            "templates": .array(
                Templates.all.map { ["name": .string($0.name), "summary": .string($0.text), "digest": JSONValue($0.digest)] }),
        ]
    }

    public func agreementNew(_ caller: Caller, template: String, with other: String) throws(Problem) -> JSONValue {
        let partner = try partner(other)
        guard Templates.names.contains(template) else {
            let near = Suggestion.nearest(to: template, among: Templates.names)
            throw Problem(
                .usage, "there is no template '\(template.printable())' yet: there is \(Templates.names.joined(separator: ", "))",
                try: "hansa agreement new --template \(near ?? Templates.names[0]) --with \(partner.city)")
        }
        guard let theirs = try read({ try $0.currentKeyring(of: partner.city) }) else {
            throw Problem(.partnerUnknown, "no keyring of \(partner.city) is here", try: "hansa partner add CARDFILE")
        }
        let today = clock.now.date
        var id = Templates.defaultID(city, partner.city, today)
        let taken = Set(try read { try $0.agreements() }.map(\.agreement.id))
        var number = 1
        while taken.contains(id) {
            number += 1
            id = Templates.defaultID(city, partner.city, today) + "-\(number)"
        }
        let yaml = Templates.cityExchange(
            own: Templates.Party(city: city, keyring: keyring.version, name: keyring.name),
            partner: Templates.Party(city: partner.city, keyring: theirs.version, name: theirs.name), effective: today, id: id,
            title: "\(keyring.name) and \(theirs.name): an exchange of data and practice")
        return ["schema": "hansa.agreement-new/1", "id": .string(id), "yaml": .string(yaml)]
    }

    private func readAgreement(_ yaml: String) throws(Problem) -> Agreement {
        do { return try AgreementYAML.read(yaml) } catch {
            throw Problem(
                .agreementInvalid, "line \(error.line): \(error.path.isEmpty ? "" : "\(error.path): ")\(error.message)",
                try: "hansa agreement check FILE")
        }
    }

    public func agreementCheck(_ caller: Caller, yaml: String) throws(Problem) -> JSONValue {
        let agreement = try readAgreement(yaml)
        let report = EnforcementReport.check(agreement)
        let digest = SHA256.hash(agreement.payload())
        func lines(_ lines: [EnforcementReport.Line]) -> JSONValue {
            .array(lines.map { ["clause": .string($0.clause), "text": .string($0.text)] })
        }
        let document: JSONValue = [
            "schema": "hansa.agreement-check/1", "id": .string(agreement.id), "digest": JSONValue(digest),
            "enforceable": .bool(report.isEnforceable),
            "enforced": lines(report.enforced), "kept": lines(report.kept),
            "refused": .array(report.refused.map { refusalLine($0, in: yaml) }),
            "problems": .array(try partyProblems(agreement).map { .string($0) }),
        ]
        guard report.isEnforceable else { throw notEnforceable(report, yaml) }
        return document
    }

    private func refusalLine(_ refusal: EnforcementReport.Refusal, in yaml: String) -> JSONValue {
        [
            "path": .string(refusal.path), "clause": JSONValue(refusal.clause), "reason": .string(refusal.reason),
            "line": AgreementYAML.place(of: refusal.path, in: yaml).map { JSONValue($0.line) } ?? .null,
        ]
    }

    private func notEnforceable(_ report: EnforcementReport, _ yaml: String?) -> Problem {
        let list = report.refused.map { refusal -> String in
            let line = yaml.flatMap { AgreementYAML.place(of: refusal.path, in: $0) }.map { "line \($0.line), " } ?? ""
            return "\(line)\(refusal.path): \(refusal.reason)"
        }
        return Problem(
            .termNotEnforceable,
            "this node cannot enforce what the agreement asks, and signs nothing it cannot keep:\n  "
                + list.joined(separator: "\n  "),
            clause: report.refused.first?.clause, try: "change those lines, then hansa agreement check FILE",
            exit: .refusedByTerms)
    }

    /// What stands between this text and a proposal: parties we do not know, keyring versions that are not theirs.
    private func partyProblems(_ agreement: Agreement) throws(Problem) -> [String] {
        try read { store in
            var problems: [String] = []
            if !agreement.parties.contains(where: { $0.city == self.city }) { problems.append("\(self.city) is no party") }
            if agreement.parties.first?.city != self.city {
                problems.append("the first party is the proposer: \(self.city) must stand first to propose it")
            }
            for party in agreement.parties {
                guard try store.keyring(of: party.city, version: party.keyring) != nil else {
                    problems.append("keyring \(party.keyring) of \(party.city) is not known here")
                    continue
                }
                // What was signed under an older version stays signed; what is signed now is signed by the officers of now.
                guard let current = try store.currentKeyring(of: party.city), current.version == party.keyring else {
                    problems.append(
                        "keyring \(party.keyring) of \(party.city) is no longer the one in force: new signatures need the current one"
                    )
                    continue
                }
            }
            return problems
        }
    }

    /// The payload with an officer's signature: from the key in the home, or from whoever holds it.
    private func signed(_ payload: [UInt8], as type: DocumentType, _ signer: (any OfficerSigner)?) throws(Problem) -> Envelope {
        let identity = currentIdentity
        let (keyring, keys) = (identity.keyring, identity.keys)
        guard let signer else {
            guard let own = keys.officer else {
                throw Problem(.officerKeyMissing, "the officer key is not in this home", try: "name it with --officer-key FILE")
            }
            guard keyring.officers.contains(own.publicKey) else { throw notAnOfficer() }
            return Envelope.sign(payload, as: type, with: [own])
        }
        let answer = try signer.sign(payload, payloadType: type.rawValue)
        guard let officer = keyring.officers.first(where: { $0.bytes == answer.publicKey }) else { throw notAnOfficer() }
        let envelope = Envelope(
            type: type, payload: payload, signatures: [DocumentSignature(keyID: officer.keyID, signature: answer.signature)])
        guard envelope.isSigned(by: [officer], threshold: 1) else {
            throw Problem(
                .signatureInvalid, "the signature that came does not fit what was to be signed", try: "run the command again")
        }
        return envelope
    }

    func notAnOfficer() -> Problem {
        Problem(
            .officerKeyMissing, "that key is not an officer's in keyring \(keyring.version) of \(city)", try: "hansa city show")
    }

    public func agreementPropose(_ caller: Caller, yaml: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    {
        let agreement = try readAgreement(yaml)
        let report = EnforcementReport.check(agreement)
        guard report.isEnforceable else { throw notEnforceable(report, yaml) }
        if let problem = try partyProblems(agreement).first {
            throw Problem(.agreementInvalid, problem, try: "hansa agreement check FILE")
        }
        let payload = agreement.payload()
        let digest = SHA256.hash(payload)
        let existing = try read { try $0.agreements() }
        if let same = existing.first(where: { $0.agreement.id == agreement.id && $0.agreement.parties.first?.city == city }),
            same.digest != digest
        {
            throw Problem(
                .agreementIDTaken, "we have proposed another text under the id \(agreement.id): the first one binds",
                try: "give it another id")
        }
        if let known = existing.first(where: { $0.digest == digest }) {
            switch known.state(at: clock.now) {
            case .draft, .proposed, .active: break
            case let state:
                throw Problem(
                    .agreementState, "\(agreement.id) is \(state.rawValue): the same text cannot be proposed again",
                    try: "give it another id, then hansa agreement propose FILE")
            }
        }
        if agreement.term.expires.end <= clock.now {
            throw Problem(
                .agreementInvalid, "\(agreement.id) expired on \(agreement.term.expires) before it began",
                try: "set term.expires to a day to come")
        }
        // Signed last: nobody is asked to sign what would be refused.
        let envelope = try signed(payload, as: .agreement, officerKey)
        if !dryRun { try sign(envelope, agreement, caller, .agreementProposed) }
        return try standing("hansa.agreement-propose/1", digest, agreement, dryRun: dryRun)
    }

    /// Stores our signature, puts the document on its way to the other parties, and brings the views up to date if it is active now.
    private func sign(_ envelope: Envelope, _ agreement: Agreement, _ caller: Caller, _ event: LogEvent) throws(Problem) {
        try change { tx in
            var changes = ExchangeChanges()
            let before = try tx.agreement(envelope.digest)?.state(at: tx.now)
            try tx.insertAgreement(envelope)
            let record = try tx.agreement(envelope.digest)
            let state = record?.state(at: tx.now)
            for party in agreement.parties where party.city != self.city {
                guard try tx.partner(party.city) != nil else { continue }
                // What travels carries all signatures so far: a receiver may meet it for the first time.
                try tx.enqueue(record?.envelope ?? envelope, to: party.city)
                changes.outboxes.insert(party.city)
            }
            try tx.log(
                LogDraft(
                    event, actor: self.actor(caller), partner: agreement.parties.first { $0.city != self.city }?.city,
                    agreement: envelope.digest,
                    details: ["id": .string(agreement.id), "state": .string(state?.rawValue ?? "")]))
            if state == .active, before != .active {
                try tx.log(LogDraft(.agreementAccepted, agreement: envelope.digest, details: ["id": .string(agreement.id)]))
            }
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(envelope.digest)
            changes.views = try update.finish()
            changes.policies = Set(agreement.parties.map(\.city).filter { $0 != self.city })
            return ((), changes)
        }
    }

    private func standing(_ schema: String, _ digest: Digest, _ agreement: Agreement, dryRun: Bool) throws(Problem) -> JSONValue {
        let state = try read { try $0.agreement(digest)?.state(at: self.clock.now) } ?? .draft
        return [
            "schema": .string(schema), "id": .string(agreement.id), "digest": JSONValue(digest), "state": .string(state.rawValue),
            "parties": .array(agreement.parties.map { .string($0.city.text) }), "dryRun": .bool(dryRun),
        ]
    }

    /// By id, full digest or a unique prefix of it.
    func agreement(_ text: String) throws(Problem) -> AgreementRecord {
        let all = try read { try $0.agreements() }
        let named = all.filter { $0.agreement.id == text }
        if named.count == 1 { return named[0] }
        let hex = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
        let found = named.isEmpty && hex.count >= 6 ? all.filter { $0.digest.hex.hasPrefix(hex) } : named
        if found.count == 1 { return found[0] }
        if found.count > 1 {
            throw Problem(
                .agreementAmbiguous,
                "\(found.count) agreements answer to '\(text.printable())': "
                    + found.map { "\($0.agreement.id) \($0.digest.short) by \($0.proposer?.text ?? "?")" }.joined(separator: ", "),
                try: "name it by its digest: \(found[0].digest.short)")
        }
        let near = Suggestion.nearest(to: text, among: all.map(\.agreement.id))
        throw Problem(
            .agreementUnknown, "there is no agreement '\(text.printable())'" + (near.map { "; did you mean \($0)?" } ?? ""),
            try: "hansa agreement list")
    }

    public func agreementAccept(_ caller: Caller, id: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    {
        let record = try agreement(id)
        let now = clock.now
        guard record.isParty(city) else { throw Problem(.agreementState, "we are no party to \(record.agreement.id)") }
        switch record.state(at: now) {
        case .proposed: break
        case .active where record.signedBy.contains(city):
            return try standing("hansa.agreement-accept/1", record.digest, record.agreement, dryRun: dryRun)
        case let state:
            throw Problem(
                .agreementState, "\(record.agreement.id) is \(state.rawValue): only a proposed agreement can be accepted",
                try: "hansa agreement show \(record.agreement.id)")
        }
        if record.rejecters.contains(city) {
            throw Problem(
                .agreementState, "we rejected \(record.agreement.id): it cannot be signed any more", try: "ask for a new proposal"
            )
        }
        let report = EnforcementReport.check(record.agreement)
        guard report.isEnforceable else { throw notEnforceable(report, nil) }
        let party = record.agreement.parties.first { $0.city == city }
        guard party?.keyring == keyring.version else {
            throw Problem(
                .agreementState,
                "\(record.agreement.id) names keyring \(party?.keyring ?? 0) of ours; the one in force is \(keyring.version)",
                try: "ask for a new proposal")
        }
        let envelope = try signed(record.envelope.payload, as: .agreement, officerKey)
        if !dryRun { try sign(envelope, record.agreement, caller, .agreementSigned) }
        return try standing("hansa.agreement-accept/1", record.digest, record.agreement, dryRun: dryRun)
    }

    public func agreementReject(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        let record = try agreement(id)
        guard record.isParty(city) else { throw Problem(.agreementState, "we are no party to \(record.agreement.id)") }
        guard !record.signedBy.contains(city) else {
            throw Problem(
                .agreementState, "we have signed \(record.agreement.id): a signed agreement is terminated, not rejected",
                try: "hansa agreement terminate \(record.agreement.id) --reason …")
        }
        let now = clock.now
        try takeStep(.reject, record, effective: now, reason: reason, officerKey, caller, dryRun)
        return try standing("hansa.agreement-reject/1", record.digest, record.agreement, dryRun: dryRun)
    }

    public func agreementTerminate(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        let record = try agreement(id)
        guard record.signedBy.contains(city) else {
            throw Problem(
                .agreementState, "we have not signed \(record.agreement.id): an unsigned proposal is rejected, not terminated",
                try: "hansa agreement reject \(record.agreement.id) --reason …")
        }
        let now = clock.now
        if record.termination == nil {
            try takeStep(
                .terminate, record, effective: record.terminationEffective(issued: now), reason: reason, officerKey, caller,
                dryRun)
        }
        return try standing("hansa.agreement-terminate/1", record.digest, record.agreement, dryRun: dryRun)
    }

    private func takeStep(
        _ kind: AgreementStep.Kind, _ record: AgreementRecord, effective: Timestamp, reason: String,
        _ officerKey: (any OfficerSigner)?, _ caller: Caller, _ dryRun: Bool
    ) throws(Problem) {
        guard !reason.isEmpty, reason.count <= 500, reason == reason.printable(charactersMax: 500) else {
            throw Problem(
                .usage, "a reason of 1 to 500 printable characters is needed: the partner keeps it", try: "--reason TEXT")
        }
        let step = try guarded {
            try AgreementStep(
                agreement: record.digest, step: kind, by: city, previous: record.lastStep, issued: min(clock.now, effective),
                effective: effective, reason: reason,
                keyring: keyring.version)
        }
        // What would be done is known without a signature.
        guard !dryRun else { return }
        let envelope = try signed(step.payload(), as: .agreementStep, officerKey)
        try change { tx in
            var changes = ExchangeChanges()
            try tx.insertStep(envelope, step)
            for party in record.agreement.parties where party.city != self.city {
                guard try tx.partner(party.city) != nil else { continue }
                try tx.enqueue(envelope, to: party.city)
                changes.outboxes.insert(party.city)
            }
            try tx.log(
                LogDraft(
                    kind == .reject ? .agreementRejected : .agreementTerminated, actor: self.actor(caller),
                    partner: record.agreement.parties.first { $0.city != self.city }?.city, agreement: record.digest,
                    reason: reason,
                    details: ["id": .string(record.agreement.id), "effective": JSONValue(effective)]))
            let update = try MembershipUpdate(self.context, tx)
            try update.policyChanged(record.digest)
            changes.views = try update.finish()
            changes.policies = Set(record.agreement.parties.map(\.city).filter { $0 != self.city })
            return ((), changes)
        }
    }

    public func agreementList(_ caller: Caller) throws(Problem) -> JSONValue {
        let now = clock.now
        let rows = try read { try $0.agreements() }.sorted { ($0.agreement.id, $0.digest) < ($1.agreement.id, $1.digest) }
        return [
            "schema": "hansa.agreement-list/1",
            "agreements": .array(
                rows.map { record in
                    [
                        "id": .string(record.agreement.id), "digest": JSONValue(record.digest),
                        "parties": .array(record.agreement.parties.map { .string($0.city.text) }),
                        "state": .string(record.state(at: now).rawValue),
                        "effective": .string(record.agreement.term.effective.description),
                        "expires": .string(record.agreement.term.expires.description),
                        "title": .string(record.agreement.title),
                        "signedBy": .array(record.signedBy.sorted().map { .string($0.text) }),
                    ]
                }),
        ]
    }

    public func agreementShow(_ caller: Caller, id: String, format: String) throws(Problem) -> JSONValue {
        let record = try agreement(id)
        let state = record.state(at: clock.now)
        var members: [JSONMember] = [
            JSONMember("schema", "hansa.agreement-show/1"), JSONMember("id", .string(record.agreement.id)),
            JSONMember("digest", JSONValue(record.digest)),
            JSONMember("state", .string(state.rawValue)),
            JSONMember("signedBy", .array(record.signedBy.sorted().map { .string($0.text) })),
            JSONMember(
                "steps",
                .array(
                    record.steps.map {
                        [
                            "digest": JSONValue($0.digest), "step": .string($0.step.step.rawValue),
                            "by": .string($0.step.by.text),
                            "issued": JSONValue($0.step.issued), "effective": JSONValue($0.step.effective),
                            "reason": .string($0.step.reason),
                        ]
                    })),
        ]
        switch format {
        case "json": members.append(JSONMember("agreement", record.agreement.json))
        case "text", "markdown":
            members.append(
                JSONMember("text", .string(AgreementText.render(record, state: state, markdown: format == "markdown"))))
        case "odrl":
            throw Problem(
                .notYet, "ODRL is not in this version", try: "hansa agreement show \(record.agreement.id) --format json")
        default: throw Problem(.usage, "'\(format.printable())' is no format: text, markdown or json")
        }
        return .object(members)
    }
}
