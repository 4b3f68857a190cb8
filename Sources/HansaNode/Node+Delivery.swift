// Where a package stands between us and a partner, beside whether it may go there: `why` names the true cause when something is allowed and has
// not arrived.
internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms
internal import Synchronization

/// How far a release has come, and what it waits for.
enum Delivery {
    /// The partner has it, and said so in a signed receipt.
    case accepted
    /// The partner refused it, and said so in a signed receipt.
    case refused
    /// It was sent in part or whole; the receipt is not here yet.
    case sent
    /// It is offered as soon as the partner asks.
    case waiting
    /// Here, and usable; what else of the package we refused, and why.
    case held(refused: String?)
    /// On its way to us: chunks here, chunks in all.
    case fetching(held: Int, of: Int)
    case paused
    /// There is no session with the partner, and this is why.
    case offline(String)
    /// The view is stopped until a person has looked.
    case quarantined(String)

    var document: JSONValue {
        let (state, reason): (String, String?) =
            switch self {
            case .accepted: ("accepted", nil)
            case .refused: ("refused", "by the partner, in a signed receipt")
            case .sent: ("sent", "its receipt has not come yet")
            case .waiting: ("waiting", "the partner has not asked yet")
            case .held(let refused): ("held", refused.map { "another release of it was refused: \($0)" })
            case .fetching(let held, let total): ("fetching", "\(held) of \(total) chunks are here")
            case .paused: ("paused", "we exchange nothing with this partner")
            case .offline(let why): ("offline", why)
            case .quarantined(let why): ("quarantined", why)
            }
        return ["state": .string(state), "reason": JSONValue(reason?.printable())]
    }
}

extension Node {
    /// Of a release that we show a partner that may have it under an agreement.
    func delivery(of release: Digest, to partner: Partner, under agreement: AgreementRecord, _ store: any MetadataReading)
        throws -> Delivery
    {
        let id = agreement.viewID(publisher: city, recipient: partner.city)
        let view = try store.publishedView(id)
        let member = try store.member(id, release)
        switch member?.outcome {
        case .accepted: return .accepted
        case .refused: return .refused
        case .delivered, nil: break
        }
        if let why = view?.quarantine { return .quarantined(why) }
        if let obstacle = obstacle(partner) { return obstacle }
        return member?.sent == true ? .sent : .waiting
    }

    /// Of a partner's package to us.
    func arrival(_ package: PackageRow, from partner: Partner, under agreement: AgreementRecord, _ store: any MetadataReading)
        throws -> Delivery
    {
        let id = agreement.viewID(publisher: partner.city, recipient: city)
        if let why = try store.subscribedView(id)?.quarantine { return .quarantined(why) }
        for transfer in try store.transfers() where transfer.view == id && transfer.release == package.head {
            return obstacle(partner) ?? .fetching(held: transfer.chunksHeld, of: transfer.chunksTotal)
        }
        let refused = try store.holdings(of: package.package).first { $0.view == id && $0.state == .refused }
        return .held(refused: refused?.reason)
    }

    /// Why nothing can move between us and the partner at all.
    private func obstacle(_ partner: Partner) -> Delivery? {
        if partner.state == .paused { return .paused }
        guard let network = network.withLock({ $0 }) else { return .offline("our node does not serve: hansa serve") }
        let link = network.link(to: partner.city)
        guard link.connection == nil else { return nil }
        if !network.hasEndpoint(partner.city) { return .offline("no address of the partner is known, and it has not dialled us") }
        return .offline(link.lastError ?? "no session yet")
    }
}
