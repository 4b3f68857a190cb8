// By what right one city shows another a release: its own package, one that it maintains, or one that it passes on (TERMS.md §1, §4).
//
// own         the package is the publisher's, and so is the release
// maintained  the publisher wrote the release of another city's package, as one of its maintainers. The owner's terms must let both have the
//             package: what is made from it goes to nobody who may not have it
// relayed     the owner wrote it and the publisher hands it on as it came. The owner's terms must let the publisher pass it on, and must let the
//             recipient have it
//
// Pure; of time and grants `Policy` asks.
public import HansaCore
public import HansaDocuments

public enum Passage: Hashable, Sendable {
    case own, maintained, relayed
}

/// Who writes a package, and which of its heads counts.
public struct Maintenance: Hashable, Sendable {
    public enum Rule: String, Hashable, Sendable {
        /// The owner's newest release counts; what others add waits until it takes or merges it.
        case owner
        /// A pick among the heads that is the same everywhere.
        case any
    }
    /// In order; the owner is one of them.
    public let cities: [CityID]
    public let rule: Rule
    /// A merge without conflicts may be signed without a person.
    public let autoMerge: Bool
    /// Digests, in order.
    public let agreements: [Digest]
}

extension Agreement {
    /// The entry that makes a package co-maintained.
    public func maintenance(of package: PackageID) -> Agreement.Maintenance? {
        maintainers?.first { entry in
            entry.cities.contains(package.city) && entry.packages.contains { $0.matches(package) }
        }
    }

    /// By what right the publisher may show the release at all; nil where it has none. Kind and classification are for the terms.
    public func passage(of request: AccessRequest) -> Passage? {
        let owner = request.package.city
        guard request.writer != request.recipient else { return nil }
        if request.writer == request.publisher {
            if owner == request.publisher { return .own }
            return maintenance(of: request.package)?.cities.contains(request.publisher) == true ? .maintained : nil
        }
        guard request.writer == owner else { return nil }
        let held = terms.filter { term in
            term.from == owner && term.to.contains(request.publisher) && term.packages.contains { $0.matches(request.package) }
        }
        // One term that forbids it is enough.
        guard !held.isEmpty, held.allSatisfy(\.mayBePassedOn) else { return nil }
        return .relayed
    }

    /// Whether anything of it may be passed on by somebody.
    public var isPassedOn: Bool { terms.contains(where: \.mayBePassedOn) }
}

extension SharingTerm {
    /// To the other parties that a term names, one hop: what a node can check by itself.
    public var mayBePassedOn: Bool { redistribution.map { $0.to == .parties && $0.maxHops == 1 } ?? false }
}

extension Policy {
    /// Who writes a package now, by all agreements in force that say so: with several, the stricter word counts. Nil: its own city alone.
    public func maintenance(of package: PackageID, at now: Timestamp) -> Maintenance? {
        guard hasMaintainers else { return nil }
        let found = agreements.filter { $0.isEnforceable && $0.state(at: now) == .active && $0.effective <= now }
            .compactMap { record in record.agreement.maintenance(of: package).map { (record.digest, $0) } }
        guard !found.isEmpty else { return nil }
        return Maintenance(
            cities: Set(found.flatMap(\.1.cities)).sorted(),
            rule: found.allSatisfy { $0.1.rule == Maintenance.Rule.any.rawValue } ? .any : .owner,
            autoMerge: found.allSatisfy(\.1.autoMerge), agreements: found.map(\.0))
    }
}
