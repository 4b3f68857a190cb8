// Keyrings between two nodes (FORMATS.md §3). Ours: the partner's hello says which version of it the partner holds, and the documents go on with every
// version after that one, before anything else. Theirs: each version follows the one held by the rules of `KeyringChain`, or is refused, logged, and
// kept as an alarm until a person has looked or the chain goes on.
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaTerms

/// What a node remembers beside the keyrings themselves, in small named values.
public enum KeyringMemory {
    /// The newest version of our keyring that the partner has said to hold; nil when it never said.
    public static func held(by partner: CityID, _ store: any MetadataReading) throws -> Int? {
        try store.value("keyring.held.\(partner)").map { $0.reduce(0) { $0 << 8 | Int($1) } }
    }

    static func setHeld(_ version: Int, by partner: CityID, _ tx: any MetadataWriting) throws {
        var bytes = ByteWriter(reserving: 4)
        bytes.u32(UInt32(clamping: version))
        try tx.setValue("keyring.held.\(partner)", bytes.bytes)
    }

    /// Which of our TLS keys (newest first) to show: the newest that every one of these partners knows from the version of our keyring it holds, as long as
    /// our current one still pins it. Where there is none that all know, the newest.
    public static func tlsKey(
        of own: CityID, among keys: [Digest], knownTo partners: [CityID], at now: Timestamp, _ store: any MetadataReading
    ) throws -> Digest? {
        guard let current = try store.currentKeyring(of: own) else { return keys.first }
        let known = try partners.map { partner -> Set<Digest> in
            // Who never said may have any version, so it is the oldest that counts.
            let keyring = try store.keyring(of: own, version: held(by: partner, store) ?? 1)
            return Set((keyring ?? current).tlsPins.map(\.spki))
        }
        let pinned = Set(current.tlsPins.filter { $0.notAfter > now }.map(\.spki))
        return keys.first { key in pinned.contains(key) && known.allSatisfy { $0.contains(key) } } ?? keys.first
    }

    /// The largest payload of a keyring that is taken in a session: more than all its fields can hold.
    public static let payloadBytesMax = 48 * 1024
    /// So many versions of one city are taken in sessions within 24 hours.
    public static let versionsOfADayMax = 32

    /// When versions of the city's keyring were taken in sessions, in the last 24 hours.
    static func taken(_ city: CityID, at now: Timestamp, _ store: any MetadataReading) throws -> [Timestamp] {
        let bytes = try store.value("keyring.taken.\(city)") ?? []
        return stride(from: 0, to: bytes.count - bytes.count % 8, by: 8).map { start in
            Timestamp(milliseconds: Int64(bitPattern: bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }))
        }.filter { $0.adding(seconds: 86_400) > now }
    }

    static func setTaken(_ times: [Timestamp], _ city: CityID, _ tx: any MetadataWriting) throws {
        var bytes = ByteWriter(reserving: times.count * 8)
        for time in times { bytes.u64(UInt64(bitPattern: time.milliseconds)) }
        try tx.setValue("keyring.taken.\(city)", bytes.bytes)
    }

    /// What was wrong with a keyring that came in the name of the partner; nil when nothing was.
    public static func alarm(_ partner: CityID, _ store: any MetadataReading) throws -> String? {
        guard let bytes = try store.value("keyring.alarm.\(partner)"), !bytes.isEmpty else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    public static func setAlarm(_ text: String?, _ partner: CityID, _ tx: any MetadataWriting) throws {
        guard try alarm(partner, tx) != text else { return }
        try tx.setValue("keyring.alarm.\(partner)", Array((text ?? "").utf8))
    }
}

extension DocumentExchange {
    /// The session is open. `held` is the version of our keyring that the partner's hello says it holds, `theirs` the version of its own.
    public func opened(held: UInt64, theirs: UInt64, at now: Timestamp) throws(ExchangeFault) {
        do {
            let (own, known, current, alarm) = try context.metadata.read { store in
                (
                    try store.currentKeyring(of: self.context.own)?.version ?? 0, try KeyringMemory.held(by: self.peer, store),
                    try store.currentKeyring(of: self.peer)?.version ?? 0, try KeyringMemory.alarm(self.peer, store)
                )
            }
            // A partner that holds more than there is has it from before a restore of ours: nothing can be sent that it would follow.
            let held = min(Int(clamping: held), own)
            toldKeyring = held
            if known != held { try context.metadata.write(at: now) { try KeyringMemory.setHeld(held, by: self.peer, $0) } }
            // A hello that was under way while it rotated puts itself right the next time.
            announcedKeyring = Int(clamping: theirs)
            let word = "keyring-rollback: its node"
            if Int(clamping: theirs) >= current, alarm?.hasPrefix(word) == true {
                try context.metadata.write(at: now) { try KeyringMemory.setAlarm(nil, self.peer, $0) }
            }
            if Int(clamping: theirs) < current {
                _ = try refuse(
                    "keyring-rollback",
                    "its node goes by version \(theirs) of its keyring, and version \(current) is held here: it runs from an old backup, or is not the city's",
                    at: now)
            }
        } catch let fault as ProtocolFault {
            throw .peer(fault)
        } catch {
            throw .store(error)
        }
    }

    /// Versions of our keyring that the partner lacks, in order.
    func pendingKeyrings() throws -> [Frame] {
        let (told, envelopes) = try context.metadata.read { store -> (Int, [Envelope]) in
            let current = try store.currentKeyring(of: self.context.own)?.version ?? 0
            let told = try self.toldKeyring ?? KeyringMemory.held(by: self.peer, store) ?? current
            guard told < current else { return (told, []) }
            return (told, Array(try store.keyringEnvelopes(of: self.context.own).suffix(current - told)))
        }
        toldKeyring = told
        var frames: [Frame] = []
        var items: [Documents.Item] = []
        for (index, envelope) in envelopes.enumerated() {
            lastNumber += 1
            sentKeyrings[lastNumber] = told + index + 1
            toldKeyring = told + index + 1
            items.append(Documents.Item(id: lastNumber, envelope: envelope))
            // A keyring has at most some 20 KB: sixteen officers, sixteen pins, two lists.
            if items.count == 8 || index == envelopes.count - 1 {
                frames.append(Documents(items: items).frame)
                items = []
            }
        }
        return frames
    }

    func keyringsAcknowledged(_ message: DocumentsAcknowledged, at now: Timestamp) throws -> ExchangeChanges {
        var changes = ExchangeChanges()
        let answered = message.items.filter { sentKeyrings[$0.id] != nil }
        guard !answered.isEmpty else { return changes }
        try context.metadata.write(at: now) { tx in
            for item in answered {
                guard let version = self.sentKeyrings[item.id] else { continue }
                if item.refusal == nil, version > (try KeyringMemory.held(by: self.peer, tx) ?? 0) {
                    try KeyringMemory.setHeld(version, by: self.peer, tx)
                }
                try tx.log(
                    LogDraft(
                        item.refusal == nil ? .documentDelivered : .documentRefusedByPartner,
                        outcome: item.refusal == nil ? .ok : .refused, partner: self.peer,
                        reason: item.refusal?.printable(charactersMax: 60),
                        details: ["type": .string(DocumentType.keyring.rawValue), "keyring": JSONValue(version)]))
            }
        }
        for item in answered { sentKeyrings[item.id] = nil }
        changes.keyrings = [peer]
        return changes
    }

    // MARK: Theirs

    func takeKeyring(_ envelope: Envelope, at now: Timestamp, _ changes: inout ExchangeChanges) throws -> String? {
        // Who passes on what another city published passes on its keyrings: without them its releases cannot be checked.
        var city = peer
        if let named = (try? Keyring(envelope))?.city, named != peer, try context.metadata.read({ try self.passesOn(named, $0) })
        {
            city = named
        }
        let verdict = try context.metadata.read { try self.verdict(on: envelope, of: city, $0, at: now) }
        switch verdict {
        case .refused(let word, let why) where city != peer:
            return try refuse(
                envelope, word, at: now, details: ["city": .string(city.text), "why": .string(why.printable(charactersMax: 300))])
        case .refused(let word, let why): return try refuse(word, why, at: now)
        case .known: return nil
        case .next(let before, let keyring):
            var told: Set<CityID> = []
            var shared = ExchangeChanges()
            // A later version of one session may revoke what an earlier one made count: all that it announced are judged as one.
            let signed = city == peer ? signedByPeer : nil
            let changed = try context.metadata.write(at: now) { tx -> Bool in
                // A card may have been added by hand meanwhile.
                guard try tx.currentKeyring(of: city)?.version == before.version else { return false }
                let known = try signed ?? tx.agreements(signedBy: city)
                try tx.insertKeyring(envelope, keyring)
                try KeyringMemory.setTaken(try KeyringMemory.taken(city, at: now, tx) + [now], city, tx)
                let lost = try tx.judgeSignatures(of: city, before: known)
                if city == self.peer { self.signedByPeer = keyring.version < self.announcedKeyring ? known : nil }
                let update = try MembershipUpdate(self.context, tx)
                for agreement in lost.sorted() { try update.policyChanged(agreement) }
                shared.policies = try update.signatoryKnown(city)
                shared.views = try update.finish()
                if city == self.peer {
                    try KeyringMemory.setAlarm(nil, self.peer, tx)
                    told = try self.tellOthers(envelope, of: city, tx)
                }
                try tx.log(
                    LogDraft(
                        .keyringAccepted, partner: self.peer,
                        details: [
                            "keyring": JSONValue(keyring.version), "fingerprint": .string(keyring.fingerprint.description),
                            "changes": .array(before.changes(to: keyring).map { .string($0.rawValue) }),
                            "city": .string(city.text),
                        ]))
                return true
            }
            if changed { changes.keyrings.insert(city) }
            changes.formUnion(shared)
            changes.outboxes.formUnion(told)
            return nil
        }
    }

    /// An agreement of the three of us lets the partner pass on what that city published.
    private func passesOn(_ city: CityID, _ store: any MetadataReading) throws -> Bool {
        guard city != context.own, try store.currentKeyring(of: city) != nil else { return false }
        return try store.agreements().contains {
            $0.agreement.isPassedOn && $0.isParty(city) && $0.isParty(peer) && $0.isParty(context.own)
        }
    }

    /// To those to whom we may pass on the city's releases.
    private func tellOthers(_ envelope: Envelope, of city: CityID, _ tx: any MetadataWriting) throws -> Set<CityID> {
        var others: Set<CityID> = []
        for record in try tx.agreements()
        where record.agreement.isPassedOn && record.isParty(city) && record.state(at: tx.now) == .active {
            for party in record.agreement.parties where party.city != city && party.city != context.own {
                if try tx.partner(party.city) != nil { others.insert(party.city) }
            }
        }
        for other in others.sorted() { try tx.enqueue(envelope, to: other) }
        return others
    }

    private enum KeyringVerdict {
        case next(after: Keyring, Keyring)
        /// Held already.
        case known
        case refused(String, String)
    }

    private func verdict(on envelope: Envelope, of city: CityID, _ store: any MetadataReading, at now: Timestamp) throws
        -> KeyringVerdict
    {
        let envelopes = try store.keyringEnvelopes(of: city)
        guard let current = try store.currentKeyring(of: city), let last = envelopes.last else {
            return .refused("keyring-unknown", "no keyring of the city is held: it begins with a card and its fingerprint")
        }
        let keyring: Keyring
        do throws(KeyringFault) {
            keyring = try KeyringChain.advance(current, currentEnvelope: last, with: envelope)
        } catch {
            // An older version that is the one we have is a repeat, no attack.
            if case .rollback = error, envelopes.contains(where: { $0.digest == envelope.digest }) { return .known }
            return .refused(error.word, error.description)
        }
        guard keyring.version > current.version else { return .known }
        // Every version is kept for good, and officers could sign without end.
        guard envelope.payload.count <= KeyringMemory.payloadBytesMax else {
            return .refused(
                "keyring-too-large",
                "its payload has \(envelope.payload.count) bytes, and \(KeyringMemory.payloadBytesMax) are taken: issue a smaller one"
            )
        }
        let taken = try KeyringMemory.taken(city, at: now, store)
        if taken.count >= KeyringMemory.versionsOfADayMax, let first = taken.first {
            return .refused(
                "keyring-too-many",
                "\(taken.count) versions came within 24 hours: the next is taken from \(first.adding(seconds: 86_400)) on, or from a card by hand"
            )
        }
        for other in try store.partners().map(\.city) + [context.own] where other != city {
            guard let theirs = try store.currentKeyring(of: other), let what = keyring.shared(with: theirs) else { continue }
            return .refused("keyring-borrowed", "the keyring of \(city) holds \(other)'s \(what)")
        }
        return .next(after: current, keyring)
    }

    private func refuse(_ word: String, _ why: String, at now: Timestamp) throws -> String {
        try context.logRefusal(
            LogDraft(
                .keyringRefused, outcome: .refused, partner: peer, reason: word,
                details: ["why": .string(why.printable(charactersMax: 300))]), at: now)
        try alarm("\(word): \(why.printable(charactersMax: 300))", at: now)
        return word
    }

    private func alarm(_ text: String, at now: Timestamp) throws {
        // Who repeats it writes nothing more.
        guard try context.metadata.read({ try KeyringMemory.alarm(self.peer, $0) }) != text else { return }
        try context.metadata.write(at: now) { try KeyringMemory.setAlarm(text, self.peer, $0) }
    }
}

extension KeyringFault {
    /// The word that an acknowledgement carries (PROTOCOL.md).
    var word: String {
        switch self {
        case .document: "malformed"
        case .otherCity: "keyring-other-city"
        case .rollback: "keyring-rollback"
        case .equivocation: "keyring-equivocation"
        case .skipped: "keyring-skipped"
        case .notSignedByHeld, .notSignedByItself: "keyring-signatures"
        case .keyNotAnnounced: "keyring-not-announced"
        case .revocationTakenBack: "keyring-revocation"
        case .empty: "malformed"
        }
    }
}
