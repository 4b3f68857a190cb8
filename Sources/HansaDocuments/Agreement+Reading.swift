// From JSON, which YAML makes and payloads are, to an agreement.
public import HansaCore

extension Agreement {
    public init(payload: [UInt8]) throws(DocumentFault) {
        self = try DocumentMemo.document(payload) { () throws(DocumentFault) in try Agreement(reading: payload) }
    }

    private init(reading payload: [UInt8]) throws(DocumentFault) {
        let value = try StrictJSON.decodePayload(JSONValue.self, from: payload)
        try self.init(json: value)
    }

    /// Reads an agreement's JSON, however its members are ordered.
    public init(json: JSONValue) throws(DocumentFault) {
        let reader = try ObjectReader(
            json, at: "",
            keys: [
                "schema", "id", "title", "template", "parties", "objective", "term", "confidentiality", "risk",
                "intellectualProperty",
                "compliance", "funding", "clauses", "terms", "maintainers",
            ])
        try Field.schema(reader.text("schema", max: 100), is: Agreement.schema)
        id = try reader.identifier("id", max: 100)
        title = try reader.text("title", max: Bounds.title)
        template = try reader.object("template", keys: ["name", "digest"]) { template throws(DocumentFault) in
            TemplateReference(
                name: try template.identifier("name", max: 100),
                digest: try Field.digest(template.text("digest", max: 100), at: template.place(of: "digest")))
        }
        parties = try Agreement.parties(reader)
        objective = try reader.object("objective", keys: ["text", "purposes"]) { objective throws(DocumentFault) in
            Objective(
                text: try objective.text("text", max: Bounds.text),
                purposes: try objective.texts("purposes", max: Bounds.list, charactersMax: Bounds.word))
        }
        term = try Agreement.term(reader)
        confidentiality = try Agreement.confidentiality(reader)
        risk = try Agreement.risk(reader)
        intellectualProperty = try Agreement.intellectualProperty(reader)
        compliance = try Agreement.compliance(reader)
        funding = try reader.object("funding", keys: ["model", "shares"]) { funding throws(DocumentFault) in
            Funding(model: try funding.optionalText("model", max: Bounds.text), shares: try funding.free("shares"))
        }
        clauses = try Agreement.clauses(reader)
        terms = try Agreement.terms(reader, cities: parties.map(\.city), clauses: clauses.map(\.id))
        maintainers = try Agreement.maintainers(reader, cities: parties.map(\.city))
    }

    private enum Bounds {
        static let title = 500
        static let text = 20_000
        static let word = 500
        static let list = 64
        static let parties = 32
        static let clauses = 256
        static let terms = 256
    }
}

// MARK: The headings

extension Agreement {
    private static func parties(_ reader: ObjectReader) throws(DocumentFault) -> [Party] {
        let parties = try reader.objects(
            "parties", least: 2, max: Bounds.parties, keys: ["city", "keyring", "role", "responsibilities", "signatory"]
        ) { party throws(DocumentFault) in
            Party(
                city: try party.city("city"), keyring: try party.integer("keyring", in: Field.keyringVersions),
                role: try party.optionalText("role", max: Bounds.word),
                responsibilities: try party.texts("responsibilities", max: Bounds.list, charactersMax: Bounds.text),
                signatory: try party.object("signatory", keys: ["name", "title"]) { signatory throws(DocumentFault) in
                    Signatory(
                        name: try signatory.text("name", max: Bounds.word),
                        title: try signatory.optionalText("title", max: Bounds.word))
                })
        }
        for index in parties.indices where parties[..<index].contains(where: { $0.city == parties[index].city }) {
            throw .field("parties[\(index)].city", "stands twice")
        }
        return parties
    }

    private static func term(_ reader: ObjectReader) throws(DocumentFault) -> Term {
        let term = try ObjectReader(reader.value("term"), at: "term", keys: ["effective", "expires", "renewal", "termination"])
        let effective = try term.date("effective")
        let expires = try term.date("expires")
        guard effective <= expires else { throw .field("term.expires", "is before effective") }
        return Term(
            effective: effective, expires: expires,
            renewal: try term.object("renewal", keys: ["automatic", "period", "notice"]) { renewal throws(DocumentFault) in
                Renewal(
                    automatic: try renewal.bool("automatic"), period: try renewal.optionalDuration("period"),
                    notice: try renewal.optionalDuration("notice"))
            },
            termination: try term.object("termination", keys: ["notice", "forCause", "onEnd", "within"]) {
                termination throws(DocumentFault) in
                Termination(
                    notice: try termination.optionalDuration("notice"), forCause: try termination.optionalDuration("forCause"),
                    onEnd: try termination.optionalWord("onEnd"), within: try termination.optionalDuration("within"))
            })
    }

    private static func confidentiality(_ reader: ObjectReader) throws(DocumentFault) -> Confidentiality? {
        try reader.object("confidentiality", keys: ["survival", "carveOuts"]) { part throws(DocumentFault) in
            Confidentiality(
                survival: try part.optionalDuration("survival"),
                carveOuts: try part.texts("carveOuts", max: Bounds.list, charactersMax: Bounds.word))
        }
    }

    private static func risk(_ reader: ObjectReader) throws(DocumentFault) -> Risk? {
        try reader.object("risk", keys: ["breachNotice", "liability", "contact"]) { part throws(DocumentFault) in
            Risk(
                breachNotice: try part.optionalDuration("breachNotice"),
                liability: try part.optionalText("liability", max: Bounds.text),
                contact: try part.free("contact"))
        }
    }

    private static func intellectualProperty(_ reader: ObjectReader) throws(DocumentFault) -> IntellectualProperty? {
        try reader.object("intellectualProperty", keys: ["ownership", "licence", "attribution", "derivatives"]) {
            part throws(DocumentFault) in
            IntellectualProperty(
                ownership: try part.optionalText("ownership", max: Bounds.word),
                licence: try part.optionalText("licence", max: Bounds.word),
                attribution: try part.optionalText("attribution", max: Bounds.word),
                derivatives: try part.optionalText("derivatives", max: Bounds.word))
        }
    }

    private static func compliance(_ reader: ObjectReader) throws(DocumentFault) -> Compliance? {
        try reader.object("compliance", keys: ["laws", "dataResidency", "auditNotice", "recordsKept"]) {
            part throws(DocumentFault) in
            Compliance(
                laws: try part.texts("laws", max: Bounds.list, charactersMax: Bounds.word),
                dataResidency: try part.texts("dataResidency", max: Bounds.list, charactersMax: Bounds.word),
                auditNotice: try part.optionalDuration("auditNotice"), recordsKept: try part.optionalDuration("recordsKept"))
        }
    }
}

// MARK: Clauses and terms

extension Agreement {
    private static func clauses(_ reader: ObjectReader) throws(DocumentFault) -> [Clause] {
        let clauses = try reader.objects("clauses", least: 1, max: Bounds.clauses, keys: ["id", "text"]) {
            clause throws(DocumentFault) in
            Clause(id: try clause.identifier("id", max: 64), text: try clause.text("text", max: Bounds.text))
        }
        for index in clauses.indices where clauses[..<index].contains(where: { $0.id == clauses[index].id }) {
            throw .field("clauses[\(index)].id", "stands twice")
        }
        return clauses
    }

    private static let termKeys = [
        "clause", "from", "to", "packages", "kinds", "ceiling", "purposes", "redistribution", "retention", "embargo", "redact",
        "attribution",
    ]

    private static func terms(_ reader: ObjectReader, cities: [CityID], clauses: [String]) throws(DocumentFault) -> [SharingTerm]
    {
        try reader.objects("terms", max: Bounds.terms, keys: termKeys) { term throws(DocumentFault) in
            let read = SharingTerm(
                clause: try term.identifier("clause", max: 64), from: try term.city("from"),
                to: try term.set("to", max: Bounds.parties) { text, path throws(DocumentFault) in try Field.city(text, at: path)
                },
                packages: try term.set("packages", max: Bounds.list) { text, path throws(DocumentFault) in
                    try Field.pattern(text, at: path)
                },
                kinds: try term.set("kinds", max: Bounds.list) { text, path throws(DocumentFault) in
                    try Field.word(text, at: path)
                },
                ceiling: try term.word("ceiling"),
                purposes: try term.optionalTexts("purposes", max: Bounds.list, charactersMax: Bounds.word),
                redistribution: try redistribution(term), retention: try retention(term),
                embargo: try term.optionalDuration("embargo"),
                redact: try redactions(term), attribution: try term.optionalText("attribution", max: Bounds.word))
            try check(read, at: term, cities: cities, clauses: clauses)
            return read
        }
    }

    private static func check(
        _ term: SharingTerm, at reader: ObjectReader, cities: [CityID], clauses: [String]
    ) throws(DocumentFault) {
        guard clauses.contains(term.clause) else {
            throw .field(reader.place(of: "clause"), "no clause has the id '\(term.clause)'")
        }
        guard cities.contains(term.from) else { throw .field(reader.place(of: "from"), "\(term.from) is no party") }
        for (index, city) in term.to.enumerated() {
            guard cities.contains(city) else { throw .field(reader.place(of: "to[\(index)]"), "\(city) is no party") }
            guard city != term.from else { throw .field(reader.place(of: "to[\(index)]"), "a city does not share with itself") }
        }
        for (index, pattern) in term.packages.enumerated() where pattern.city != term.from {
            throw .field(
                reader.place(of: "packages[\(index)]"), "\(pattern) is not of \(term.from): a city shares its own packages")
        }
    }

    private static func redistribution(_ term: ObjectReader) throws(DocumentFault) -> Redistribution? {
        try term.object("redistribution", keys: ["to", "maxHops"]) { part throws(DocumentFault) in
            Redistribution(
                to: try part.word("to"),
                maxHops: part.optional("maxHops") == nil ? nil : try part.integer("maxHops", in: 0...1000))
        }
    }

    private static func retention(_ term: ObjectReader) throws(DocumentFault) -> Retention? {
        try term.object("retention", keys: ["keep", "from"]) { part throws(DocumentFault) in
            Retention(keep: try part.duration("keep"), from: try part.word("from"))
        }
    }

    private static func redactions(_ term: ObjectReader) throws(DocumentFault) -> [Redaction]? {
        guard term.optional("redact") != nil else { return nil }
        return try term.objects("redact", least: 1, max: Bounds.list, keys: ["fields", "method"]) { part throws(DocumentFault) in
            Redaction(
                fields: try part.set("fields", max: Bounds.list) { text, _ throws(DocumentFault) in text },
                method: try part.word("method"))
        }
    }

    private static func maintainers(_ reader: ObjectReader, cities: [CityID]) throws(DocumentFault) -> [Maintenance]? {
        guard reader.optional("maintainers") != nil else { return nil }
        return try reader.objects("maintainers", max: Bounds.list, keys: ["packages", "cities", "rule", "autoMerge"]) {
            part throws(DocumentFault) in
            let read = Maintenance(
                packages: try part.set("packages", max: Bounds.list) { text, path throws(DocumentFault) in
                    try Field.pattern(text, at: path)
                },
                cities: try part.set("cities", max: Bounds.parties) { text, path throws(DocumentFault) in
                    try Field.city(text, at: path)
                },
                rule: try part.text("rule", max: 20),
                autoMerge: part.optional("autoMerge") == nil ? false : try part.bool("autoMerge"))
            for (index, city) in read.cities.enumerated() where !cities.contains(city) {
                throw .field(part.place(of: "cities[\(index)]"), "\(city) is no party")
            }
            guard isRule(read.rule, among: read.cities.count) else {
                throw .field(part.place(of: "rule"), "is not owner, any, or k-of-n such as 2-of-\(read.cities.count)")
            }
            return read
        }
    }

    private static func isRule(_ rule: String, among count: Int) -> Bool {
        if rule == "owner" || rule == "any" { return true }
        return (1...count).contains { rule == "\($0)-of-\(count)" }
    }
}
