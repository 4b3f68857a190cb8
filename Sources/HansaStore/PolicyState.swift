// Keyrings, partners, agreements and grants: few, small, and asked for at every decision. Every store keeps them in memory as this value; a
// transaction works on its own copy, which becomes the store's at its commit and is dropped at a rollback.
//
// A record of an agreement is a function of the envelopes and steps in their order of arrival and of the keyrings known now: it is made anew
// when any of these changes, so that a store that was reopened holds the same records as before.
package import HansaCore
package import HansaDocuments
package import HansaSync
package import HansaTerms

package struct PolicyState: Sendable {
    private struct KeyringVersion {
        let envelope: Envelope
        let keyring: Keyring
    }

    private enum Arrival {
        case envelope(Envelope)
        case step(Envelope, StepRecord)

        var envelope: Envelope {
            switch self {
            case .envelope(let envelope), .step(let envelope, _): envelope
            }
        }
    }

    private struct AgreementFile {
        var arrivals: [Arrival] = []
        /// Nil while only steps have arrived.
        var record: AgreementRecord?
    }

    /// By version.
    private var keyringVersions: [CityID: [KeyringVersion]] = [:]
    private var partnersByCity: [CityID: Partner] = [:]
    private var files: [Digest: AgreementFile] = [:]
    /// Those of `files`, by digest: asked for at every question.
    private var records: [AgreementRecord] = []
    private var grantsByID: [String: Grant] = [:]
    private var builtPolicy: Policy?

    package init() {}

    // MARK: Reading

    package func keyringEnvelopes(of city: CityID) -> [Envelope] { (keyringVersions[city] ?? []).map(\.envelope) }
    package func keyring(of city: CityID, version: Int) -> Keyring? {
        keyringVersions[city]?.first { $0.keyring.version == version }?.keyring
    }
    package func currentKeyring(of city: CityID) -> Keyring? { keyringVersions[city]?.last?.keyring }
    package func partners() -> [Partner] { partnersByCity.values.sorted { $0.city < $1.city } }
    package func partner(_ city: CityID) -> Partner? { partnersByCity[city] }
    package func agreements() -> [AgreementRecord] { records }
    package func agreement(_ digest: Digest) -> AgreementRecord? { files[digest]?.record }
    package func agreementEnvelopes(_ digest: Digest) -> [Envelope] { (files[digest]?.arrivals ?? []).map(\.envelope) }
    package func grants() -> [Grant] { grantsByID.values.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) } }

    /// Agreements and grants as one value, made when it is first asked for after a change.
    package mutating func policy() -> Policy {
        if let builtPolicy { return builtPolicy }
        let policy = Policy(agreements: agreements(), grants: grants())
        builtPolicy = policy
        return policy
    }

    // MARK: Changing

    /// False when this version is known: the first stays.
    package mutating func insert(_ envelope: Envelope, _ keyring: Keyring) -> Bool {
        var versions = keyringVersions[keyring.city] ?? []
        let place = versions.firstIndex { $0.keyring.version >= keyring.version } ?? versions.count
        if place < versions.count, versions[place].keyring.version == keyring.version { return false }
        versions.insert(KeyringVersion(envelope: envelope, keyring: keyring), at: place)
        keyringVersions[keyring.city] = versions
        for (digest, file) in files where file.record?.isParty(keyring.city) == true { rebuild(digest) }
        return true
    }

    package mutating func put(_ partner: Partner) { partnersByCity[partner.city] = partner }

    package mutating func put(_ grant: Grant) {
        grantsByID[grant.id] = grant
        builtPolicy = nil
    }

    /// False when exactly this envelope is known. Throws `DocumentFault` when the payload is no agreement.
    package mutating func insertAgreement(_ envelope: Envelope) throws -> Bool {
        let digest = envelope.digest
        if files[digest]?.record == nil { _ = try Agreement(payload: envelope.payload) }
        return append(.envelope(envelope), to: digest)
    }

    /// False when exactly this envelope is known.
    package mutating func insertStep(_ envelope: Envelope, _ step: AgreementStep) -> Bool {
        append(.step(envelope, StepRecord(digest: envelope.digest, step: step)), to: step.agreement)
    }

    /// Takes the signatures of the city's officers, by the version that the agreement names, out of all that is kept of it. Returns what that changed.
    package mutating func dropSignatures(of city: CityID, on digest: Digest) -> [(before: Envelope, after: Envelope)] {
        guard var file = files[digest], let party = file.record?.agreement.parties.first(where: { $0.city == city }),
            let keyring = keyring(of: city, version: party.keyring)
        else { return [] }
        var changed: [(before: Envelope, after: Envelope)] = []
        for (index, arrival) in file.arrivals.enumerated() {
            guard case .envelope(let before) = arrival else { continue }
            let after = before.dropping(signaturesOf: keyring.officers)
            guard after != before else { continue }
            file.arrivals[index] = .envelope(after)
            changed.append((before, after))
        }
        guard !changed.isEmpty else { return [] }
        files[digest] = file
        rebuild(digest)
        return changed
    }

    private mutating func append(_ arrival: Arrival, to digest: Digest) -> Bool {
        if files[digest]?.arrivals.contains(where: { $0.envelope == arrival.envelope }) == true { return false }
        files[digest, default: AgreementFile()].arrivals.append(arrival)
        rebuild(digest)
        return true
    }

    private mutating func rebuild(_ digest: Digest) {
        guard let arrivals = files[digest]?.arrivals else { return }
        let versions = keyringVersions
        let keyrings = { (city: CityID, version: Int) in versions[city]?.first { $0.keyring.version == version }?.keyring }
        var record: AgreementRecord?
        var early: [StepRecord] = []
        for arrival in arrivals {
            switch arrival {
            case .envelope(let envelope):
                if record == nil {
                    // Its payload was read when it was inserted.
                    record = try? AgreementRecord(envelope: envelope, keyrings: keyrings)
                    for step in early { record?.take(step) }
                } else {
                    _ = record?.merge(envelope, keyrings: keyrings)
                }
            case .step(_, let step):
                if record == nil { early.append(step) } else { record?.take(step) }
            }
        }
        files[digest]?.record = record
        let place = records.firstIndex { $0.digest >= digest } ?? records.count
        let isKnown = place < records.count && records[place].digest == digest
        records.replaceSubrange(place..<(isKnown ? place + 1 : place), with: record.map { [$0] } ?? [])
        builtPolicy = nil
    }
}

extension AgreementRecord {
    /// A stored step. A kind that this version does not take yet was stored by a newer one: it is kept, and stops the sharing.
    fileprivate mutating func take(_ step: StepRecord) {
        guard case .refused(.notYetEnforceable) = add(step) else { return }
        self = AgreementRecord(
            digest: digest, agreement: agreement, envelope: envelope, signedBy: signedBy, steps: steps + [step])
    }
}
