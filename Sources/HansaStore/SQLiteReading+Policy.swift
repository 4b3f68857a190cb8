internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

extension SQLiteReading {
    func keyringEnvelopes(of city: CityID) throws -> [Envelope] { try withPolicy { $0.keyringEnvelopes(of: city) } }
    func keyring(of city: CityID, version: Int) throws -> Keyring? { try withPolicy { $0.keyring(of: city, version: version) } }
    func currentKeyring(of city: CityID) throws -> Keyring? { try withPolicy { $0.currentKeyring(of: city) } }
    func partners() throws -> [Partner] { try withPolicy { $0.partners() } }
    func partner(_ city: CityID) throws -> Partner? { try withPolicy { $0.partner(city) } }
    func agreements() throws -> [AgreementRecord] { try withPolicy { $0.agreements() } }
    func agreement(_ digest: Digest) throws -> AgreementRecord? { try withPolicy { $0.agreement(digest) } }
    func agreementEnvelopes(_ digest: Digest) throws -> [Envelope] { try withPolicy { $0.agreementEnvelopes(digest) } }
    func grants() throws -> [Grant] { try withPolicy { $0.grants() } }
    func policy() throws -> Policy { try withPolicy { $0.policy() } }

    /// Reads all of it from the tables: once at the start, and for a reader whose snapshot is older than the value in memory.
    func readPolicy() throws -> PolicyState {
        var state = PolicyState()
        for envelope in try all(.keyrings, { _ in }, { try SQLiteReading.envelope($0.bytes(1)) }) {
            _ = state.insert(envelope, try SQLiteReading.document { try Keyring(payload: envelope.payload) })
        }
        for partner in try all(.partners, { _ in }, { try SQLiteReading.partner($0) }) { state.put(partner) }
        for row in try all(
            .agreementEnvelopes, { _ in }, { (isStep: $0.flag(1), envelope: try SQLiteReading.envelope($0.bytes(2))) })
        {
            if row.isStep {
                _ = state.insertStep(
                    row.envelope, try SQLiteReading.document { try AgreementStep(payload: row.envelope.payload) })
            } else {
                _ = try SQLiteReading.document { try state.insertAgreement(row.envelope) }
            }
        }
        for grant in try all(.grants, { _ in }, { try SQLiteReading.grant($0) }) { state.put(grant) }
        _ = state.policy()
        return state
    }

    static func envelope(_ bytes: [UInt8]) throws -> Envelope { try document { try Envelope(binary: bytes) } }

    /// A document that was read once and stored does not fail to be read unless the database is damaged.
    private static func document<T>(_ read: () throws -> T) throws -> T {
        do { return try read() } catch { throw StoreFault.damaged("a stored document: \(error)") }
    }

    private static func partner(_ row: Statement.Columns) throws -> Partner {
        Partner(
            city: try city(row.text(0)), state: try Codes.value(row.int64(1), in: Codes.partnerStates),
            endpoint: row.textIfAny(2),
            added: row.time(3))
    }

    private static func grant(_ row: Statement.Columns) throws -> Grant {
        let pattern: PackagePattern
        do { pattern = try PackagePattern(row.text(2)) } catch { throw StoreFault.damaged("a row of the database: \(error)") }
        return Grant(
            id: row.text(0), partner: try city(row.text(1)), pattern: pattern, agreement: try row.digest(3),
            level: try Codes.value(row.int64(4), in: Codes.levels), until: row.timeIfAny(5),
            ceiling: try row.int64IfAny(6).map { try Codes.value($0, in: Codes.labels) }, issued: row.time(7),
            grantedBy: row.text(8),
            ended: row.timeIfAny(9))
    }
}
