internal import HansaCore
internal import HansaDocuments
internal import HansaTerms

/// An agreement for people: what it is, who signed, what is shared under which clause, and what of it the node enforces.
enum AgreementText {
    static func render(_ record: AgreementRecord, state: AgreementState, markdown: Bool) -> String {
        let agreement = record.agreement
        var lines: [String] = []
        func heading(_ text: String) { lines += ["", markdown ? "## \(text)" : text.uppercased()] }
        func item(_ text: String) { lines.append((markdown ? "- " : "  ") + text.printable(charactersMax: 2000)) }
        lines.append((markdown ? "# " : "") + agreement.title.printable())
        item("\(agreement.id)  \(record.digest.prefixed)")
        item(
            "\(state.rawValue.uppercased()), from \(agreement.term.effective) to \(agreement.term.expires) (inclusive, UTC days)")
        heading("Parties")
        for party in agreement.parties {
            item(
                "\(party.city) (keyring \(party.keyring)), \(party.role.map { "\($0)" } ?? "party"): \(record.signedBy.contains(party.city) ? "signed" : "has not signed")"
            )
            for text in party.responsibilities { item("    \(text)") }
        }
        if !record.steps.isEmpty {
            heading("Steps")
            for step in record.steps {
                item("\(step.step.issued): \(step.step.step.rawValue) by \(step.step.by): \(step.step.reason)")
            }
        }
        heading("Clauses")
        for clause in agreement.clauses { item("\(clause.id)  \(clause.text)") }
        heading("What may be shared")
        for term in agreement.terms {
            item(
                "clause \(term.clause): \(term.from) to \(term.to.map(\.text).joined(separator: ", ")): \(term.packages.map(\.text).joined(separator: ", ")); "
                    + "kinds \(term.kinds.map(\.rawValue).joined(separator: ", ")); up to \(term.ceiling.rawValue)")
        }
        let report = EnforcementReport.check(agreement)
        heading("Enforced by the node")
        for line in report.enforced { item("\(line.clause): \(line.text)") }
        heading("Kept, not enforced")
        for line in report.kept { item("\(line.clause): \(line.text)") }
        return lines.joined(separator: "\n") + "\n"
    }
}
