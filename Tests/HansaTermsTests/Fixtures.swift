import HansaCore
import HansaCrypto
import HansaDocuments
import HansaTerms

/// An agreement described by what matters to a test, and made into one through its JSON, as every agreement comes.
struct AgreementSketch {
    struct Term {
        var clause = "1"
        var from = "kitchener.ca"
        var to = ["auckland.nz"]
        var packages = ["kitchener.ca/**"]
        var kinds: [PackageKind] = [.dataset]
        var ceiling: TLP = .amberStrict
        /// Further keys, as they stand in the document.
        var more: [JSONMember] = [JSONMember("redistribution", ["to": "none"])]
    }

    var id = "exchange-2026"
    var parties = ["kitchener.ca", "auckland.nz"]
    var effective = "2026-01-01"
    var expires = "2026-12-31"
    var termMore: [JSONMember] = []
    var clauses: [String] = ["1", "2", "3", "4"]
    var terms = [Term()]
    /// Further keys of the document.
    var more: [JSONMember] = []

    var json: JSONValue {
        let parties = JSONValue.array(
            parties.map { ["city": .string($0), "keyring": 1, "role": "provider and recipient"] })
        let terms = JSONValue.array(
            terms.map { term in
                .object(
                    [
                        JSONMember("clause", .string(term.clause)), JSONMember("from", .string(term.from)),
                        JSONMember("to", .array(term.to.map(JSONValue.string))),
                        JSONMember("packages", .array(term.packages.map(JSONValue.string))),
                        JSONMember("kinds", .array(term.kinds.map { .string($0.rawValue) })),
                        JSONMember("ceiling", .string(term.ceiling.rawValue)),
                    ] + term.more)
            })
        return .object(
            [
                JSONMember("schema", "hansa.agreement/1"), JSONMember("id", .string(id)), JSONMember("title", "An exchange"),
                JSONMember("parties", parties),
                JSONMember(
                    "term",
                    .object([JSONMember("effective", .string(effective)), JSONMember("expires", .string(expires))] + termMore)),
                JSONMember("clauses", .array(clauses.map { ["id": .string($0), "text": "Words."] })),
                JSONMember("terms", terms),
            ] + more)
    }

    /// Each key of a term that is known and not enforced.
    static let unenforced = [
        JSONMember("purposes", ["dpv:PublicPolicyMaking"]),
        JSONMember("retention", ["keep": "P365D", "from": "receipt"]),
        JSONMember("embargo", "P7D"),
        JSONMember("redact", [["fields": ["LOCATION"], "method": "drop"]]),
        JSONMember("attribution", "required"),
        JSONMember("redistribution", ["to": "parties"]),
        JSONMember("redistribution", ["to": "partners", "maxHops": 1]),
        JSONMember("redistribution", ["to": "none", "maxHops": 1]),
    ]

    func agreement() throws -> Agreement { try Agreement(json: json) }

    /// As the node keeps it, signed by these parties (all, when nil), under a digest of its own.
    func record(number: UInt64 = 1, signedBy: [String]? = nil, steps: [StepRecord] = []) throws -> AgreementRecord {
        let agreement = try agreement()
        return AgreementRecord(
            digest: Digest(number, 0, 0, 0), agreement: agreement,
            envelope: Envelope(type: .agreement, payload: agreement.payload(), signatures: []),
            signedBy: Set(try (signedBy ?? parties).map { text throws(NameFault) in try CityID(text) }), steps: steps)
    }
}

func city(_ text: String) throws -> CityID { try CityID(text) }

func time(_ text: String) throws -> Timestamp {
    guard let time = Timestamp(text) else { throw FixtureFault.noTime(text) }
    return time
}

enum FixtureFault: Error { case noTime(String) }

func step(
    _ kind: AgreementStep.Kind, by: String, of agreement: UInt64 = 1, number: UInt64 = 100,
    effective: String = "2026-07-01T00:00:00Z"
) throws -> StepRecord {
    StepRecord(
        digest: Digest(number, 0, 0, 0),
        step: try AgreementStep(
            agreement: Digest(agreement, 0, 0, 0), step: kind, by: CityID(by), previous: nil,
            issued: time("2026-06-01T00:00:00Z"),
            effective: time(effective), reason: "A reason.", keyring: 1))
}

func grant(
    _ id: String = "g-0000000001", to partner: String = "auckland.nz", _ pattern: String = "kitchener.ca/**",
    under agreement: UInt64 = 1,
    level: Grant.Level = .sync, until: String? = nil, ceiling: TLP? = nil, ended: String? = nil
) throws -> Grant {
    Grant(
        id: id, partner: try CityID(partner), pattern: try PackagePattern(pattern), agreement: Digest(agreement, 0, 0, 0),
        level: level,
        until: try until.map(time), ceiling: ceiling, issued: try time("2026-01-01T00:00:00Z"), grantedBy: "admin",
        ended: try ended.map(time))
}

func request(
    _ package: String = "kitchener.ca/roads/breaks", kind: PackageKind = .dataset, tlp: TLP = .green, withdrawn: Bool = false,
    by writer: String? = nil, from publisher: String = "kitchener.ca", to recipient: String = "auckland.nz"
) throws -> AccessRequest {
    AccessRequest(
        package: try PackageID(package), kind: kind, tlp: tlp, withdrawn: withdrawn, writer: try writer.map { try CityID($0) },
        publisher: try CityID(publisher),
        recipient: try CityID(recipient))
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
struct Seeded {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func chance(_ one: Int, in all: Int) -> Bool { below(all) < one }
    mutating func pick<T>(_ items: [T]) -> T { items[below(items.count)] }

    mutating func some<T>(_ items: [T]) -> [T] {
        let chosen = items.filter { _ in chance(1, in: 2) }
        return chosen.isEmpty ? [pick(items)] : chosen
    }

    mutating func shuffled<T>(_ items: [T]) -> [T] {
        var items = items
        guard items.count > 1 else { return items }
        for index in (1..<items.count).reversed() { items.swapAt(index, below(index + 1)) }
        return items
    }
}
