internal import HansaCore
internal import HansaDocuments

/// One pass over an agreement's terms: the one that covers the request, and else the one that fails latest.
struct TermSearch {
    /// Where a term fails whose parties and packages match. Later is further.
    enum Failure: Int, Comparable {
        case kind, ceiling

        static func < (left: Failure, right: Failure) -> Bool { left.rawValue < right.rawValue }
    }

    /// Of the terms that cover the request, the one with the smallest clause id.
    private(set) var covering: SharingTerm?
    /// Of the terms whose parties and packages match but that fail later, the one that fails latest, then the smallest clause.
    private(set) var nearest: (clause: String, failsAt: Failure)?

    /// Of the terms by which `from` lets `to` have it.
    init(_ request: AccessRequest, from: CityID, to: CityID, in agreement: Agreement) {
        for term in agreement.terms
        where term.from == from && term.to.contains(to)
            && term.packages.contains(where: { $0.matches(request.package) })
        {
            guard let failure = TermSearch.failure(of: term, for: request) else {
                if let held = covering, ByteText(held.clause) <= ByteText(term.clause) { continue }
                covering = term
                continue
            }
            if let held = nearest,
                held.failsAt > failure || held.failsAt == failure && ByteText(held.clause) <= ByteText(term.clause)
            {
                continue
            }
            nearest = (term.clause, failure)
        }
    }

    private static func failure(of term: SharingTerm, for request: AccessRequest) -> Failure? {
        guard term.kinds.contains(request.kind) else { return .kind }
        // RED names persons, and a node replicates to cities: no ceiling admits it.
        guard request.tlp <= term.ceiling, request.tlp != .red else { return .ceiling }
        return nil
    }
}
