internal import HansaCore
internal import HansaDocuments
internal import HansaSync

extension SQLiteWriting {
    func enqueue(_ envelope: Envelope, to partner: CityID) throws {
        let partner = try named(partner)
        let digest = envelope.outboxDigest
        // Asked first: an insertion that the index refuses uses up a number all the same.
        let waits = try first(
            .waits,
            {
                $0.int(partner)
                $0.digest(digest)
            }, { $0.int64(0) })
        guard waits == nil else { return }
        try run(.enqueue) {
            $0.int(partner)
            $0.bytes(envelope.binary())
            $0.flag(OutboxRow.Lane(envelope.type) == .receipts)
            $0.digest(digest)
        }
    }

    func removeOutbox(_ id: Int64) throws { try run(.removeOutbox) { $0.int(id) } }
}
