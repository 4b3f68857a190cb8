// What of an agreement this node enforces, what it keeps as text, and what it will not sign (TERMS.md §3, "fail closed").
//
// Every part of the document falls into one of the three. Nothing is ever ignored: a part that would change who sees what, or
// that promises an act of the node which the node does not do, is refused when the agreement is checked, proposed or
// accepted; and an agreement that is in a home all the same permits nothing (`AgreementRecord.isEnforceable`).

internal import HansaCore
public import HansaDocuments

public struct EnforcementReport: Hashable, Sendable {
    /// Something the node does, or keeps in words.
    public struct Line: Hashable, Sendable {
        /// The clause's id, or the heading for a part outside the clauses.
        public let clause: String
        public let text: String

        public init(clause: String, text: String) {
            self.clause = clause
            self.text = text
        }
    }

    /// A part that the node refuses.
    public struct Refusal: Hashable, Sendable {
        /// Where it stands, such as `terms[0].purposes`.
        public let path: String
        /// The clause it belongs to; nil outside the clauses.
        public let clause: String?
        public let reason: String

        public init(path: String, clause: String?, reason: String) {
            self.path = path
            self.clause = clause
            self.reason = reason
        }
    }

    public let enforced: [Line]
    /// Kept, shown and signed, but not enforced.
    public let kept: [Line]
    public let refused: [Refusal]

    /// True when the agreement may be proposed and accepted.
    public var isEnforceable: Bool { refused.isEmpty }

    public static func check(_ agreement: Agreement) -> EnforcementReport {
        EnforcementReport(enforced: enforced(agreement), kept: kept(agreement), refused: refusals(agreement))
    }

    /// `check(agreement).isEnforceable`, without the lines for people.
    public static func isEnforceable(_ agreement: Agreement) -> Bool { refusals(agreement).isEmpty }
}

// MARK: Enforced

extension EnforcementReport {
    private static func enforced(_ agreement: Agreement) -> [Line] {
        var lines = agreement.terms.map { Line(clause: $0.clause, text: sentence($0)) }
        let term = agreement.term
        lines.append(Line(clause: "term", text: "in force from \(term.effective) to \(term.expires), both days included, by UTC"))
        if let termination = term.termination {
            let notice = termination.notice.map { "a termination names as its formal end the moment \($0) after it is issued" }
            lines.append(
                Line(clause: "term", text: (notice.map { $0 + "; " } ?? "") + "sharing stops as soon as the termination is known")
            )
        } else {
            lines.append(Line(clause: "term", text: "sharing stops as soon as a termination is known"))
        }
        for entry in agreement.maintainers ?? [] { lines.append(Line(clause: "maintainers", text: sentence(entry))) }
        lines.append(Line(clause: "term", text: "at the end what was received is kept, and no new copy is made of it"))
        return lines
    }

    private static func sentence(_ entry: Agreement.Maintenance) -> String {
        let cities = entry.cities.map(\.text).joined(separator: ", ")
        let packages = entry.packages.map(\.text).joined(separator: ", ")
        let head = entry.rule == "any" ? "any newest release counts" : "the newest release of the package's own city counts"
        return "\(cities) each write \(packages); \(head)"
            + (entry.autoMerge ? "; what does not contradict itself is merged without a person" : "")
    }

    private static func sentence(_ term: SharingTerm) -> String {
        let to = term.to.map(\.text).joined(separator: ", ")
        let packages = term.packages.map(\.text).joined(separator: ", ")
        let kinds = term.kinds.map(\.rawValue).joined(separator: ", ")
        let passing =
            term.mayBePassedOn
            ? "\(to) may pass it on, as it came, to other parties that \(term.from) shares it with" : "\(to) may not pass it on"
        let limit =
            term.ceiling == .red
            ? "every classification but TLP:RED, which is never replicated" : "at most \(term.ceiling.rawValue)"
        return "\(term.from) may share \(packages) (\(kinds)) with \(to), \(limit); \(passing)"
    }
}

// MARK: Kept

extension EnforcementReport {
    private static func kept(_ agreement: Agreement) -> [Line] {
        var lines: [Line] = []
        func keep(_ heading: String, _ part: Any?, _ text: String) {
            if part != nil { lines.append(Line(clause: heading, text: text)) }
        }
        keep("objective", agreement.objective, "the purpose both cities state")
        for party in agreement.parties where !party.responsibilities.isEmpty {
            let count = party.responsibilities.count
            lines.append(
                Line(
                    clause: "responsibilities",
                    text: "\(party.city) has \(count) \(count == 1 ? "responsibility" : "responsibilities")"))
        }
        keep("risk", agreement.risk, "risk allocation: liability, contacts, and the time for a breach notice")
        keep("confidentiality", agreement.confidentiality, "confidentiality: how long it lasts and what it does not cover")
        keep("intellectualProperty", agreement.intellectualProperty, "ownership, licence, attribution and derivatives")
        keep("compliance", agreement.compliance, "laws, residency of data, audits and records")
        keep("funding", agreement.funding, "who pays for what")
        keep("term", agreement.term.renewal?.period, "renewal.period: how long a renewal would last")
        keep("term", agreement.term.renewal?.notice, "renewal.notice: how long before the end a renewal is to be spoken of")
        keep("term", agreement.term.termination?.forCause, "termination.forCause: the notice for a termination with cause")
        keep("term", agreement.term.termination?.within, "termination.within: the time for what is to be done at the end")
        let used = Set(agreement.terms.map(\.clause))
        for clause in agreement.clauses where !used.contains(clause.id) {
            lines.append(Line(clause: clause.id, text: "words only: no term comes from this clause"))
        }
        return lines
    }
}

// MARK: Refused

extension EnforcementReport {
    // What makes no agreement at all (a term of a city that is no party, another city's packages, a clause that is not there)
    // `Agreement` itself refuses to read.
    private static func refusals(_ agreement: Agreement) -> [Refusal] {
        var refusals: [Refusal] = []
        let term = agreement.term
        if term.renewal?.automatic == true {
            refusals.append(
                Refusal(
                    path: "term.renewal.automatic", clause: nil,
                    reason: "not yet enforceable: this node does not renew by itself; write false, and renew by a new agreement"))
        }
        if let onEnd = term.termination?.onEnd, onEnd != .retain {
            refusals.append(
                Refusal(
                    path: "term.termination.onEnd", clause: nil,
                    reason: "not yet enforceable: this node does not delete or return at the end by itself; write retain"))
        }
        refusals += maintainerRefusals(agreement)
        for (index, term) in agreement.terms.enumerated() { refusals += termRefusals(term, path: "terms[\(index)]") }
        return refusals
    }

    private static func maintainerRefusals(_ agreement: Agreement) -> [Refusal] {
        var refusals: [Refusal] = []
        let entries = agreement.maintainers ?? []
        for (index, entry) in entries.enumerated() {
            func refuse(_ key: String, _ reason: String) {
                refusals.append(Refusal(path: "maintainers[\(index)].\(key)", clause: nil, reason: reason))
            }
            if entry.packages.isEmpty { refuse("packages", "names no package") }
            if entry.cities.count < 2 { refuse("cities", "names fewer than two cities") }
            if entry.rule != "owner", entry.rule != "any" {
                refuse(
                    "rule",
                    "not yet enforceable: a release carries one city's signature, so nothing shows that several agreed; write owner or any"
                )
            }
            for pattern in entry.packages {
                guard entry.cities.contains(pattern.city) else {
                    refuse("cities", "leaves out \(pattern.city), whose packages \(pattern) are")
                    continue
                }
                // Without a term nothing of the package could reach who is to write it.
                for city in entry.cities where city != pattern.city {
                    let has = agreement.terms.contains { term in
                        term.from == pattern.city && term.to.contains(city)
                            && term.packages.contains { PatternOverlap.intersects($0, pattern) }
                    }
                    if !has { refuse("cities", "no term lets \(city) have packages of \(pattern)") }
                }
                let isTold = entries[..<index].contains { $0.packages.contains { PatternOverlap.intersects($0, pattern) } }
                if isTold { refuse("packages", "\(pattern) meets packages that an earlier entry speaks of") }
            }
        }
        return refusals
    }

    private static func termRefusals(_ term: SharingTerm, path: String) -> [Refusal] {
        var refusals: [Refusal] = []
        func refuse(_ key: String, _ reason: String) {
            refusals.append(Refusal(path: "\(path).\(key)", clause: term.clause, reason: reason))
        }
        if term.to.isEmpty { refuse("to", "names nobody") }
        if term.packages.isEmpty { refuse("packages", "names no package") }
        if term.kinds.isEmpty { refuse("kinds", "names no kind of package") }
        if let redistribution = term.redistribution {
            switch redistribution.to {
            case .none:
                if redistribution.maxHops != nil { refuse("redistribution.maxHops", "says nothing where nothing is passed on") }
            case .parties:
                // A release does not carry the way it came: who has it from another than its writer cannot show how far it has come.
                if redistribution.maxHops != 1 {
                    refuse(
                        "redistribution.maxHops",
                        "not yet enforceable: write 1, which lets those in `to` pass it on and nobody after them")
                }
            case .partners, .public: refuse("redistribution.to", "not yet enforceable: only none and parties are")
            }
        }
        for key in term.unenforced { refuse(key, "not yet enforceable") }
        return refusals
    }
}
