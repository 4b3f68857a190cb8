// Receipts of the partner: signed words that are kept, and what they say of each release.
internal import HansaContent
internal import HansaCore
internal import HansaDocuments
internal import HansaLog

extension Publisher {
    /// A receipt in short. Where it cannot be made from what is known here, the whole one comes in the next session.
    func accepted(_ message: Accepted, at now: Timestamp) throws -> [Frame] {
        let offers = message.offers.compactMap { told.offer($0, of: message.view) }
        guard offers.count == message.offers.count,
            let envelope = message.envelope(from: peer, to: context.own, offers),
            let keyring = try context.metadata.read({ try $0.keyring(of: self.peer, version: message.keyring) }),
            envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
        else {
            return [DocumentsAcknowledged(items: [.init(id: message.id, refusal: DocumentExchange.unknownOffer)]).frame]
        }
        return try receipt(ReceiptMessage(id: message.id, envelope: envelope), at: now)
    }

    func receipt(_ message: ReceiptMessage, at now: Timestamp) throws -> [Frame] {
        let envelope = message.envelope
        guard envelope.payloadType == DocumentType.receipt.rawValue, let receipt = try? Receipt(payload: envelope.payload) else {
            throw ProtocolFault.malformed(.receipt, "not a receipt")
        }
        guard receipt.from == peer, receipt.to == context.own, receipt.items.count <= Limits.batchReleasesMax else {
            throw ProtocolFault.malformed(.receipt, "from or to another city")
        }
        // Everything is looked at before a byte is kept: a receipt that changes nothing costs neither disk nor log.
        let look = try context.metadata.read { store -> (isKnown: Bool, isGood: Bool, isNew: Bool) in
            if try store.receiptLocation(envelope.digest) != nil { return (true, true, false) }
            guard let view = try store.publishedView(receipt.view), view.recipient == self.peer,
                let keyring = try store.keyring(of: self.peer, version: receipt.keyring),
                envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold)
            else { return (false, false, false) }
            return (
                false, true,
                try receipt.items.contains { if case .new = try self.word($0, in: receipt.view, store) { true } else { false } }
            )
        }
        func answer(_ refusal: String?) -> [Frame] {
            [DocumentsAcknowledged(items: [.init(id: message.id, refusal: refusal)]).frame]
        }
        if look.isKnown { return answer(nil) }
        guard look.isGood else {
            try context.logRefusal(
                LogDraft(.receiptRefused, outcome: .refused, partner: peer, reason: "signature-or-view"), at: now)
            return answer("receipt")
        }
        var location: ContentLocation?
        if look.isNew {
            location = try context.content.append(document: envelope.binary(), digest: envelope.digest)
            try context.content.sync()
        }
        try context.metadata.write(at: now) { tx in
            let agreement = try tx.publishedView(receipt.view)?.agreement
            if let location { try tx.insertReceipt(envelope.digest, document: location, view: receipt.view, from: self.peer) }
            for item in receipt.items {
                switch try self.word(item, in: receipt.view, tx) {
                case .known: break
                case .refused(let reason):
                    let draft = LogDraft(
                        .receiptRefused, outcome: .refused, partner: self.peer, release: item.release, agreement: agreement,
                        transfer: Hex.decode(item.transfer), reason: reason)
                    for entry in self.context.refusals.admit(draft, view: receipt.view, at: now) { try tx.log(entry) }
                case .new(var row):
                    row.outcome = item.outcome
                    try tx.put(row)
                    try tx.log(
                        LogDraft(
                            .receiptReceived, outcome: item.outcome == .refused ? .refused : .ok, partner: self.peer,
                            package: row.package,
                            release: item.release, agreement: agreement, clause: row.clause, grant: row.grant,
                            transfer: row.transfer,
                            reason: item.reason))
                }
            }
        }
        return answer(nil)
    }

    private enum Word {
        case new(MemberRow)
        case known
        case refused(String)
    }

    /// What a receipt says about one release: the first word about a listing stands, but for `delivered`, which another follows. What is listed
    /// again keeps its transfer's number, and is answered again.
    private func word(_ item: Receipt.Item, in view: Digest, _ store: any MetadataReading) throws -> Word {
        guard let row = try store.member(view, item.release), row.sent, row.transfer == Hex.decode(item.transfer) else {
            return .refused("unknown-transfer")
        }
        if row.outcome == nil || (row.outcome == .delivered && item.outcome != .delivered) { return .new(row) }
        if row.outcome == item.outcome || item.outcome == .delivered { return .known }
        guard row.isListedAgain else { return .refused("contradicts-an-earlier-receipt") }
        // Once for a listing: words that take turns would fill log and disk.
        var answered = row
        answered.isListedAgain = false
        return .new(answered)
    }
}
