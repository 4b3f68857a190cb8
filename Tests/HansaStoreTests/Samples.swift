import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms

/// Rows and documents that tests put into stores; the same numbers give the same rows.
enum Samples {
    static let start = Timestamp(milliseconds: 1_790_000_000_000)
    static let kitchener = city("kitchener.ca")
    static let auckland = city("auckland.nz")
    static let boston = city("boston.gov")
    static let cities = [kitchener, auckland, boston]

    static func city(_ text: String) -> CityID {
        guard let city = try? CityID(text) else { preconditionFailure("\(text) is a city id") }
        return city
    }

    static func package(_ path: String, of city: CityID = kitchener) -> PackageID {
        guard let package = try? PackageID(city: city, path: path) else { preconditionFailure("\(path) is a package path") }
        return package
    }

    static func digest(_ number: UInt64, _ kind: UInt64 = 0) -> Digest {
        // Spread, so that order of digests is not order of numbers.
        Digest(number &* 0x9E37_79B9_7F4A_7C15, kind, 0, number)
    }

    static func place(_ number: UInt32) -> ContentLocation {
        ContentLocation(segment: number % 7, offset: number &* 4096, length: 100 + number)
    }

    // MARK: Documents

    static func key(_ city: CityID, _ job: UInt8) throws -> Ed25519PrivateKey {
        try Ed25519PrivateKey(seed: SHA256.hash(Array("\(city) \(job)".utf8)).bytes)
    }

    static func keyring(_ city: CityID, version: Int = 1) throws -> (Envelope, Keyring) {
        let officer = try key(city, 1)
        let log = try key(city, 3)
        let keyring = try Keyring(
            version: version, expires: start.adding(seconds: 86_400 * 700), city: city, name: "City of \(city) \(version)",
            country: nil,
            endpoints: ["\(city):4470"], officers: [officer.publicKey], officerThreshold: 1,
            packageKeys: [try key(city, 2).publicKey],
            packageThreshold: 1, logKeys: [log.publicKey], tlsPins: [],
            log: NoteKey(
                name: "\(city)/log", vkey: VerifierKey(name: "\(city)/log", algorithm: .ed25519, key: log.publicKey).text),
            witness: NoteKey(
                name: "\(city)/witness",
                vkey: VerifierKey(name: "\(city)/witness", algorithm: .cosignature, key: try key(city, 4).publicKey).text))
        return (Envelope.sign(keyring.payload(), as: .keyring, with: [officer]), keyring)
    }

    /// An agreement of Kitchener and another city; signed by these.
    static func agreement(_ id: String = "exchange", with other: CityID = auckland, signedBy: [CityID] = [kitchener]) throws
        -> Envelope
    {
        let term: JSONValue = [
            "clause": "1", "from": "kitchener.ca", "to": .array([.string(other.text)]), "packages": ["kitchener.ca/**"],
            "kinds": ["dataset"], "ceiling": "TLP:AMBER", "redistribution": ["to": "none"],
        ]
        let agreement = try Agreement(json: [
            "schema": "hansa.agreement/1", "id": .string(id), "title": "An exchange",
            "parties": [
                ["city": "kitchener.ca", "keyring": 1, "role": "provider"],
                ["city": .string(other.text), "keyring": 1, "role": "recipient"],
            ],
            "term": ["effective": "2026-01-01", "expires": "2029-12-31"], "clauses": [["id": "1", "text": "Words."]],
            "terms": .array([term]),
        ])
        return Envelope.sign(agreement.payload(), as: .agreement, with: try signedBy.map { try key($0, 1) })
    }

    static func termination(of agreement: Digest, by city: CityID, reason: String = "It is over.") throws -> (
        Envelope, AgreementStep
    ) {
        let step = try AgreementStep(
            agreement: agreement, step: .terminate, by: city, previous: nil, issued: start, effective: start, reason: reason,
            keyring: 1)
        return (Envelope.sign(step.payload(), as: .agreementStep, with: [try key(city, 1)]), step)
    }

    // MARK: Rows

    static func partner(_ city: CityID, endpoint: String? = nil) -> Partner {
        Partner(city: city, state: .active, endpoint: endpoint, added: start)
    }

    static func grant(_ number: UInt8, to partner: CityID = auckland, under agreement: Digest) throws -> Grant {
        Grant(
            id: Grant.id(random: [0, 0, 0, 0, number]), partner: partner, pattern: try PackagePattern("kitchener.ca/**"),
            agreement: agreement,
            level: .sync, until: start.adding(seconds: 3600), ceiling: .green, issued: start, grantedBy: "admin:0011")
    }

    static func packageRow(_ package: PackageID, seq: UInt64 = 1, withdrawn: UInt64? = nil) -> PackageRow {
        PackageRow(
            package: package, kind: .dataset, head: digest(seq, 1), headVersion: Version(1, 2, 3), headSeq: seq,
            lastSeq: withdrawn ?? seq,
            last: digest(seq, 2), tlp: .amberStrict, title: "Brüche in \(package.path)", bytes: 1 << 40, withdrawnSeq: withdrawn)
    }

    static func release(_ digest: Digest, of package: PackageID, seq: UInt64 = 1, writer: CityID = kitchener) -> ReleaseRow {
        let summary = ReleaseSummary(
            package: package, kind: .practice, version: Version(1, 0, UInt32(truncatingIfNeeded: seq)), operation: .publish,
            writer: writer,
            seq: seq, issued: start, tlp: .green, title: "", bytes: 12, files: 3, chunks: 2)
        return ReleaseRow(
            digest: digest, release: summary, document: place(1), table: [place(2)], pages: [place(3), place(4)],
            committed: start.adding(milliseconds: 5))
    }

    static func view(_ number: UInt64, recipient: CityID = auckland) -> PublishedView {
        var view = PublishedView(
            id: digest(number, 10), agreement: digest(number, 11), recipient: recipient, feedKey: [UInt8](repeating: 7, count: 16)
        )
        view.position = number
        return view
    }

    static func member(
        _ view: Digest, _ release: Digest, package: PackageID = package("a"), added: UInt64, until: Timestamp? = nil,
        dropped: UInt64? = nil,
        sent: Bool = false
    ) -> MemberRow {
        var row = MemberRow(
            view: view, release: release, package: package, level: .sync, clause: "1", grant: "g-1", until: until, added: added)
        row.dropped = dropped
        row.sent = sent
        return row
    }

    static func holding(
        _ view: Digest, _ release: Digest, _ state: HoldingRow.State = .accepted, package: PackageID? = package("a")
    ) -> HoldingRow {
        HoldingRow(
            view: view, release: release, level: .discover, state: state, transfer: [UInt8](repeating: 3, count: 16),
            reason: state == .refused ? "kind" : nil, package: package)
    }

    static func transfer(_ view: Digest, _ release: Digest, held: Int = 1) -> TransferRow {
        TransferRow(
            view: view, release: release, transfer: [1, 2], document: place(5), table: [], pages: [place(6), place(7)],
            bitmap: [1, 0, 255],
            chunksHeld: held, chunksTotal: 17)
    }
}
