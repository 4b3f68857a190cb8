// Signatures on agreements, judged when a keyring comes: what waited for it counts, unless the key that made it has come into other hands.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

extension MetadataReading {
    /// The agreements that count the city as a signatory. Asked before a keyring of its is kept, for `judgeSignatures`.
    public func agreements(signedBy city: CityID) throws -> Set<Digest> {
        Set(try agreements().lazy.filter { $0.signedBy.contains(city) }.map(\.digest))
    }

    /// Whether the current keyring names officers of this version compromised, so that too few for its threshold are left.
    func isRevoked(_ city: CityID, _ version: Int) throws -> Bool {
        guard let named = try keyring(of: city, version: version), let current = try currentKeyring(of: city) else {
            return false
        }
        return named.officers.count(where: { !current.revoked.contains($0.keyID) }) < named.officerThreshold
    }
}

extension MetadataWriting {
    /// Keyrings of the city have come. What it had signed `before` stands; a signature that waited for them does not where they say that its key
    /// has come into other hands, as it would not if it came now. Returns the agreements that lost it. Before `MembershipUpdate`.
    public func judgeSignatures(of city: CityID, before: Set<Digest>) throws -> Set<Digest> {
        var lost: Set<Digest> = []
        for record in try agreements() where record.signedBy.contains(city) && !before.contains(record.digest) {
            guard let party = record.agreement.parties.first(where: { $0.city == city }), try isRevoked(city, party.keyring)
            else {
                continue
            }
            try dropSignatures(of: city, on: record.digest)
            try log(
                LogDraft(
                    .documentRefused, outcome: .refused, partner: city, agreement: record.digest, reason: "key-revoked",
                    details: ["document": .string(record.digest.prefixed)]))
            lost.insert(record.digest)
        }
        return lost
    }
}
