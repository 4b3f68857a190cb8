// Where a package stands between us and a partner, beside whether it may go there: `why` names the true cause when something is allowed and has
// not arrived.
internal import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

/// How far a release has come, and what it waits for.
enum Delivery {
    /// The partner has it, and said so in a signed receipt.
    case accepted
    /// The partner refused it, and said so in a signed receipt.
    case refused
    /// It was sent in part or whole; the receipt is not here yet. What holds it up, where something does.
    case sent(Connection.Brake?)
    /// It is offered as soon as the partner asks.
    case waiting
    /// Here, and usable; what else of the package we refused, and why.
    case held(refused: String?)
    /// We refused all of it that came.
    case refusedHere(String)
    /// On its way to us: chunks here, chunks in all; none in all while that is not known.
    case fetching(held: Int, of: Int)
    /// Here, and checked again then: its date, its agreement or the keyring that signed it lies ahead.
    case notYetDue(Timestamp)
    /// A maintainer's release waits for the owner's, which its own city shows us.
    case missingParent(CityID)
    /// The partner lists it, and had nothing of it; it is asked again then.
    case unavailableThere(Timestamp)
    /// The partner lists so many releases of which it has shown no document: this package may be among them.
    case unnamed(Int)
    case paused
    /// There is no session with the partner, and this is why.
    case offline(String)
    /// There is a session, and nothing but documents goes through it.
    case documentsOnly
    case clockBehind(Timestamp)
    /// The view is stopped until a person has looked.
    case quarantined(String)

    var document: JSONValue {
        let (state, reason): (String, String?) =
            switch self {
            case .accepted: ("accepted", nil)
            case .refused: ("refused", "by the partner, in a signed receipt")
            case .sent(.none): ("sent", "its receipt has not come yet")
            case .sent(.credit): ("sent", "in part: the partner takes no more for now (its credit is used up)")
            case .sent(.rate): ("sent", "in part: our own rate of sending holds it up (hansa config show)")
            case .waiting: ("waiting", "the partner has not asked yet")
            case .held(let refused): ("held", refused.map { "another release of it was refused: \($0)" })
            case .refusedHere(let why): ("refused", "by us: \(why)")
            case .fetching(_, of: 0): ("fetching", "its index is on its way")
            case .fetching(let held, let total): ("fetching", "\(held) of \(total) chunks are here")
            case .notYetDue(let time): ("parked", "it is checked again at \(Words.time(time)): what it needs lies ahead")
            case .missingParent(let owner): ("parked", "it builds upon a release of \(owner) that is not here yet")
            case .unavailableThere(let time):
                ("put-off", "the partner lists it and could not hand it out; it is asked again at \(Words.time(time))")
            case .unnamed(let count):
                (
                    "put-off",
                    "the partner lists \(Words.count(count, "release")) that it has not shown yet: what they are of is not known"
                )
            case .paused: ("paused", "we exchange nothing with this partner")
            case .offline(let why): ("offline", why)
            case .documentsOnly:
                ("documents-only", "our keyring or the partner's has expired: nothing but documents is exchanged")
            case .clockBehind(let last):
                (
                    "clock-behind",
                    "our clock stands before the log's last entry at \(Words.time(last)): nothing is shared until then"
                )
            case .quarantined(let why): ("quarantined", "\(why); it begins anew when administrators of both say so")
            }
        return ["state": .string(state), "reason": JSONValue(reason?.printable())]
    }

    /// Whether it is on its way to us, and needs nobody.
    var isUnderWay: Bool {
        switch self {
        case .fetching, .notYetDue, .missingParent, .unavailableThere: true
        default: false
        }
    }

    /// What a person here can do about it.
    func next(_ partner: CityID) -> String? {
        switch self {
        case .quarantined: "hansa sync \(partner)"
        case .refusedHere: "hansa audit log --event release.refused --partner \(partner)"
        case .missingParent(let owner): "hansa sync \(owner)"
        case .clockBehind: "timedatectl status"
        case .documentsOnly: "hansa doctor"
        case .offline(Connection.diskFullReason): "hansa store stats"
        default: nil
        }
    }
}

/// What a session says of a package, asked before the store is: its answer may take a moment.
struct LiveDelivery: Sendable {
    var waiting: Puller.Waiting?
    var unnamed = 0
    var brake: Connection.Brake?
}

extension Node {
    private static let answerSecondsMax = 2

    func liveDelivery(of package: PackageID, with partner: CityID) -> LiveDelivery {
        var live = LiveDelivery()
        guard let connection = network.withLock({ $0 })?.link(to: partner).connection else { return live }
        if package.city == city {
            live.brake = connection.brake(withinSeconds: Node.answerSecondsMax)
        } else {
            let answer = connection.look(withinSeconds: Node.answerSecondsMax) { puller in
                // Of what cannot be read now the rows still speak.
                ((try? puller.waiting(for: package)) ?? nil, puller.unnamedCount)
            }
            (live.waiting, live.unnamed) = answer ?? (nil, 0)
        }
        return live
    }

    /// Of a release that we show a partner that may have it under an agreement.
    func delivery(
        of release: Digest, to partner: Partner, under agreement: AgreementRecord, _ live: LiveDelivery,
        _ store: any MetadataReading
    ) throws -> Delivery {
        let id = agreement.viewID(publisher: city, recipient: partner.city)
        let view = try store.publishedView(id)
        let member = try store.member(id, release)
        switch member?.outcome {
        case .accepted: return .accepted
        case .refused: return .refused
        case .delivered, nil: break
        }
        if let why = view?.quarantine { return .quarantined(why) }
        if let obstacle = try obstacle(partner, store) { return obstacle }
        return member?.sent == true ? .sent(live.brake) : .waiting
    }

    /// Of a package that the partner shows us, with a row here or not yet: what of it is under way, else what is here, else what stands in the way. Nil
    /// where nothing of it is known at all. `agreement` is the one under which it is held.
    func arrival(
        _ package: PackageID, from partner: Partner, under agreement: AgreementRecord?, isHeld: Bool, _ live: LiveDelivery,
        _ store: any MetadataReading
    ) throws -> Delivery? {
        let now = clock.now
        let views = try store.subscribedViews().filter { view in
            guard view.publisher == partner.city, let record = try store.agreement(view.agreement) else { return false }
            return agreement.map { $0.digest == record.digest } ?? (record.state(at: now) == .active)
        }
        if let why = views.compactMap(\.quarantine).first { return .quarantined(why) }
        let obstacle = try obstacle(partner, store)
        if let waiting = live.waiting {
            switch waiting {
            case .fetching(let held, let total): return obstacle ?? .fetching(held: held, of: total)
            case .committing: return obstacle ?? .fetching(held: 0, of: 0)
            case .notYetDue(let time): return .notYetDue(time)
            case .missingParent: return .missingParent(package.city)
            case .unavailableThere(let time): return .unavailableThere(time)
            }
        }
        // Without a session, or before it has taken it up again: what is durable in part.
        let ids = Set(views.map(\.id))
        for transfer in try store.transfers() where ids.contains(transfer.view) {
            guard let body = try? content.body(at: transfer.document), let envelope = try? Envelope(binary: body),
                let release = try? Release(envelope), release.package == package
            else { continue }
            return obstacle ?? .fetching(held: transfer.chunksHeld, of: transfer.chunksTotal)
        }
        let refused = try store.holdings(of: package).first { ids.contains($0.view) && $0.state == .refused }
        if isHeld { return .held(refused: refused?.reason) }
        if let refused { return .refusedHere(refused.reason ?? "it failed a check") }
        if let obstacle { return obstacle }
        return live.unnamed > 0 ? .unnamed(live.unnamed) : nil
    }

    /// Why nothing can move between us and the partner at all.
    private func obstacle(_ partner: Partner, _ store: any MetadataReading) throws -> Delivery? {
        if partner.state == .paused { return .paused }
        if let last = try store.lastLogTime, last > clock.now { return .clockBehind(last) }
        guard let network = network.withLock({ $0 }) else { return .offline("our node does not serve: hansa serve") }
        let link = network.link(to: partner.city)
        guard link.connection == nil else { return link.isDocumentsOnly ? .documentsOnly : nil }
        if let reason = link.lastError { return .offline(reason) }
        if !network.hasEndpoint(partner.city) { return .offline("no address of the partner is known, and it has not dialled us") }
        return .offline("no session yet")
    }
}
