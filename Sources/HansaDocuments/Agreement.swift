// The agreement between cities: the signed document that is the nodes' configuration (TERMS.md §1).
public import HansaCore

/// An agreement, every part of which has a known shape: a key or a word that the format does not have is refused when it is
/// read, never dropped, because a term that one side ignores is a term that is not enforced.
///
/// Read from YAML's JSON (`init(json:)`) or from a signed payload (`init(payload:)`); there is no other way to make one. What a
/// node can enforce of it is `HansaTerms`' to say.
public struct Agreement: SignedDocument, Equatable {
    public static let type = DocumentType.agreement
    public static let schema = "hansa.agreement/1"

    /// Its name in commands: a letter or digit, then letters, digits, `.`, `_`, `-`; at most 100 characters.
    public let id: String
    public let title: String
    public let template: TemplateReference?
    /// At least two; the first is the proposer.
    public let parties: [Party]
    public let objective: Objective?
    public let term: Term
    public let confidentiality: Confidentiality?
    public let risk: Risk?
    public let intellectualProperty: IntellectualProperty?
    public let compliance: Compliance?
    public let funding: Funding?
    public let clauses: [Clause]
    public let terms: [SharingTerm]
    /// Nil when the agreement says nothing of co-maintained packages.
    public let maintainers: [Maintenance]?
}

extension Agreement {
    /// The template that the document was made from.
    public struct TemplateReference: Equatable, Sendable {
        public let name: String
        public let digest: Digest
    }

    public struct Party: Equatable, Sendable {
        public let city: CityID
        /// Version of the city's keyring whose officers sign.
        public let keyring: Int
        public let role: String?
        public let responsibilities: [String]
        public let signatory: Signatory?
    }

    public struct Signatory: Equatable, Sendable {
        public let name: String
        public let title: String?
    }

    public struct Objective: Equatable, Sendable {
        public let text: String
        public let purposes: [String]
    }

    /// From the start of the day `effective` to the end of the day `expires`, UTC.
    public struct Term: Equatable, Sendable {
        public let effective: CalendarDate
        public let expires: CalendarDate
        public let renewal: Renewal?
        public let termination: Termination?
    }

    public struct Renewal: Equatable, Sendable {
        public let automatic: Bool
        public let period: ISODuration?
        public let notice: ISODuration?
    }

    public struct Termination: Equatable, Sendable {
        public let notice: ISODuration?
        public let forCause: ISODuration?
        public let onEnd: OnEnd?
        public let within: ISODuration?
    }

    /// What happens to received content when the agreement ends.
    public enum OnEnd: String, CaseIterable, Sendable { case delete, `return`, retain }

    public struct Confidentiality: Equatable, Sendable {
        public let survival: ISODuration?
        public let carveOuts: [String]
    }

    public struct Risk: Equatable, Sendable {
        public let breachNotice: ISODuration?
        public let liability: String?
        /// Of any shape; members sorted by name.
        public let contact: JSONValue?
    }

    public struct IntellectualProperty: Equatable, Sendable {
        public let ownership: String?
        public let licence: String?
        public let attribution: String?
        public let derivatives: String?
    }

    public struct Compliance: Equatable, Sendable {
        public let laws: [String]
        public let dataResidency: [String]
        public let auditNotice: ISODuration?
        public let recordsKept: ISODuration?
    }

    public struct Funding: Equatable, Sendable {
        public let model: String?
        /// Of any shape; members sorted by name.
        public let shares: JSONValue?
    }

    public struct Clause: Equatable, Sendable {
        /// Letters, digits, `.`, `_`, `-`; at most 64 characters; unique in the agreement.
        public let id: String
        public let text: String
    }

    /// Packages that several cities write.
    public struct Maintenance: Equatable, Sendable {
        public let packages: [PackagePattern]
        public let cities: [CityID]
        /// How the canonical head is found: `owner`, `any`, or `2-of-3`.
        public let rule: String
        public let autoMerge: Bool
    }
}

/// What one clause lets one party share with others.
public struct SharingTerm: Equatable, Sendable {
    /// The id of the clause that it comes from; always one of the agreement's.
    public let clause: String
    public let from: CityID
    /// Parties, never `from` itself.
    public let to: [CityID]
    /// All of `from`'s city.
    public let packages: [PackagePattern]
    public let kinds: [PackageKind]
    public let ceiling: TLP
    public let purposes: [String]?
    public let redistribution: Redistribution?
    public let retention: Retention?
    public let embargo: ISODuration?
    public let redact: [Redaction]?
    public let attribution: String?

    /// The keys present that ask more of a node than to show or withhold, in the format's order: `purposes`, `retention`,
    /// `embargo`, `redact`, `attribution`. A node that does not enforce one of them must not take the agreement.
    public var unenforced: [String] {
        var keys: [String] = []
        if purposes != nil { keys.append("purposes") }
        if retention != nil { keys.append("retention") }
        if embargo != nil { keys.append("embargo") }
        if redact != nil { keys.append("redact") }
        if attribution != nil { keys.append("attribution") }
        return keys
    }
}

/// To whom a recipient may pass content on.
public struct Redistribution: Equatable, Sendable {
    public enum Audience: String, CaseIterable, Sendable { case none, parties, partners, `public` }
    public let to: Audience
    public let maxHops: Int?
}

/// How long a recipient may keep content.
public struct Retention: Equatable, Sendable {
    public enum Start: String, CaseIterable, Sendable {
        case receipt
        case agreementEnd = "agreement-end"
    }
    public let keep: ISODuration
    public let from: Start
}

/// What is taken out of the content before it is shared.
public struct Redaction: Equatable, Sendable {
    public enum Method: String, CaseIterable, Sendable { case drop, mask, hash, round, bucket }
    /// Column names, or JSON pointers for JSON.
    public let fields: [String]
    public let method: Method
}
