// What questions and answers of a session call a release that was listed in it: by its offer, whose number only the two of them know, in a quarter of
// the bytes of its digest.
//
// The number is random and the publisher's own choice, so nobody who writes releases can make two offers meet.
public import HansaCore

/// The name of an offer: the first 8 bytes of its transfer number, and zeros in place of the rest of a digest.
public enum OfferName {
    static let byteCount = 8

    /// Nil where there is no number: a release that is asked back is in no list.
    public static func of(_ transfer: [UInt8]) -> Digest? {
        guard transfer.count >= byteCount else { return nil }
        return Digest(transfer[..<byteCount].reduce(0) { $0 << 8 | UInt64($1) }, 0, 0, 0)
    }

    static func isOffer(_ name: Digest) -> Bool {
        name.withUnsafeBytes { bytes in bytes[byteCount...].allSatisfy { $0 == 0 } }
    }
}

extension ByteWriter {
    /// `u8 mark ‖ 8 bytes` for an offer, where the mark has `bit`; `u8 mark ‖ 32 bytes` for a digest.
    mutating func name(_ name: Digest, mark: UInt8 = 0, bit: UInt8 = 1) {
        let isOffer = OfferName.isOffer(name)
        u8(isOffer ? mark | bit : mark)
        if isOffer { name.withUnsafeBytes { raw($0[..<OfferName.byteCount]) } } else { digest(name) }
    }
}

extension ByteReader {
    /// What `name` wrote after its mark.
    mutating func name(isOffer: Bool) throws(ByteFault) -> Digest {
        if isOffer { return Digest(try u64(), 0, 0, 0) }
        let name = try digest()
        guard !OfferName.isOffer(name) else { throw .malformed("a digest that is an offer's name") }
        return name
    }
}

/// The offers of a session, as the publisher told them: the newest of them, and those are who is asked for.
struct ToldOffers {
    struct Offer {
        let view: Digest
        let release: Digest
        let transfer: [UInt8]
    }

    /// Twice what a recipient is told before it has to ask on, and more.
    private static let countMax = 1 << 17
    private var offers: [Digest: Offer] = [:]
    /// In the order in which they were told; before `first` they are forgotten.
    private var order: [Digest] = []
    private var first = 0

    mutating func note(_ release: Digest, of view: Digest, transfer: [UInt8]) {
        guard let name = OfferName.of(transfer) else { return }
        if offers.updateValue(Offer(view: view, release: release, transfer: transfer), forKey: name) == nil { order.append(name) }
        while offers.count > ToldOffers.countMax, first < order.count {
            offers[order[first]] = nil
            first += 1
        }
        if first > ToldOffers.countMax {
            order.removeFirst(first)
            first = 0
        }
    }

    /// Nil for an offer that was not told in this view, or so long ago that it is forgotten.
    func offer(_ name: Digest, of view: Digest) -> Offer? { offers[name].flatMap { $0.view == view ? $0 : nil } }

    /// The digest that a name stands for.
    func release(_ name: Digest, of view: Digest) -> Digest? {
        OfferName.isOffer(name) ? offer(name, of: view)?.release : name
    }
}
