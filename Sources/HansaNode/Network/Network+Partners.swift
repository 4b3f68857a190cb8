// What the network knows of partners and of our own keys, taken anew whenever either changes.
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import HansaTLS
internal import NIOPosix
internal import Synchronization

extension Network {
    /// How long a session under a TLS key of ours that is no longer pinned has to carry the keyring that says so.
    private static let droppedKeySeconds: Int64 = 10

    /// Takes the partners and our own keys as they are now: pins are checked again at once, and live sessions of removed, paused or re-pinned
    /// partners close; so do those whose end of a keyring came, or was moved, meanwhile: the next session exchanges more, or less.
    func refreshPartners() throws {
        let now = clock.now
        let identities = identities()
        let keys = identities.map(\.spkiHash)
        struct Known {
            let city: CityID
            let acquaintance: Session.Acquaintance
            let endpoints: [String]
            let ownKey: Digest?
            let ownExpiry: Timestamp?
        }
        let (known, acceptKey, own, expiries) = try context.metadata.read { store in
            let own = try store.currentKeyring(of: self.context.own)
            var expiries: [Int: Timestamp] = [:]
            for version in 1...max(1, own?.version ?? 1) {
                expiries[version] = try store.keyring(of: self.context.own, version: version)?.expires
            }
            let partners = try store.partners()
            let known = try partners.compactMap { partner -> Known? in
                guard let keyring = try store.currentKeyring(of: partner.city) else { return nil }
                let pins = Set(keyring.tlsPins.filter { $0.notAfter > now }.map(\.spki))
                let held = try KeyringMemory.held(by: partner.city, store)
                return Known(
                    city: partner.city,
                    acquaintance: Session.Acquaintance(
                        keyring: keyring.version, pins: pins, expires: keyring.expires, isActive: partner.state == .active),
                    endpoints: (partner.endpoint.map { [$0] } ?? []) + keyring.endpoints,
                    ownKey: try KeyringMemory.tlsKey(
                        of: self.context.own, among: keys, knownTo: [partner.city], at: now, store),
                    ownExpiry: held.flatMap { expiries[$0] })
            }
            // Who dials us is unknown until it has seen our certificate, so it is one that all know.
            let acceptKey = try KeyringMemory.tlsKey(
                of: self.context.own, among: keys, knownTo: partners.filter { $0.state == .active }.map(\.city), at: now, store)
            return (known, acceptKey, own, expiries)
        }
        let pinned = Set((own?.tlsPins ?? []).filter { $0.notAfter > now }.map(\.spki))
        var contexts = state.withLock { $0.contexts }.filter { keys.contains($0.key) }
        for identity in identities where contexts[identity.spkiHash] == nil {
            contexts[identity.spkiHash] = try TLSContext(identity: identity, applicationProtocol: "hansa/1")
        }
        let instant = ContinuousClock.now
        let closing = state.withLock { [contexts] state -> [(Connection, String)] in
            state.acquaintances = Dictionary(uniqueKeysWithValues: known.map { ($0.city, $0.acquaintance) })
            state.endpoints = Dictionary(
                uniqueKeysWithValues: known.filter(\.acquaintance.isActive).map { ($0.city, $0.endpoints) })
            state.ownExpiries = expiries
            state.contexts = contexts
            state.dialContexts = Dictionary(uniqueKeysWithValues: known.map { ($0.city, $0.ownKey ?? keys[0]) })
            state.acceptContext = acceptKey ?? keys.first
            let shown = Set(state.links.values.compactMap(\.ownSPKI))
            state.dropped = state.dropped.filter { shown.contains($0.key) && !pinned.contains($0.key) }
            for key in shown where !pinned.contains(key) && state.dropped[key] == nil { state.dropped[key] = instant }
            let facts = Dictionary(uniqueKeysWithValues: known.map { ($0.city, $0) })
            return state.links.compactMap { city, link in
                guard let connection = link.connection else { return nil }
                guard let known = facts[city], known.acquaintance.isActive else {
                    return (connection, "partner is no longer active")
                }
                guard let spki = link.spki, known.acquaintance.pins.contains(spki) else {
                    return (connection, "the partner's TLS key is no longer pinned")
                }
                let isExpired = known.acquaintance.expires <= now || known.ownExpiry.map { $0 <= now } ?? false
                if isExpired != link.isDocumentsOnly { return (connection, isExpired ? "keyring-expired" : "keyring renewed") }
                if let own = link.ownSPKI, let since = state.dropped[own], instant - since > .seconds(Network.droppedKeySeconds) {
                    return (connection, "our TLS key is no longer pinned")
                }
                return nil
            }
        }
        for (connection, reason) in closing { connection.close(reason) }
    }

    /// The same, on a worker: for callers on an event loop.
    func refreshSoon() {
        workers.submit(of: .own) { [self] in
            do { try refreshPartners() } catch { storeFault(error) }
        }
    }

    func expiry(ofOwnKeyring version: Int) -> Timestamp? { state.withLock { $0.ownExpiries[version] } }
}
