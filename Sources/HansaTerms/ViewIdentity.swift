public import HansaCore
internal import HansaCrypto

/// The two digests by which sessions name what is shared (SYNC.md §2).
public enum ViewIdentity {
    /// SHA-256(`hansa-view/1` ‖ digest of the agreement ‖ publisher ‖ 0x0A ‖ recipient). Packages open by default use
    /// `Digest.zero` as the agreement.
    public static func viewID(agreement: Digest, publisher: CityID, recipient: CityID) -> Digest {
        var hash = SHA256()
        hash.update("hansa-view/1".utf8)
        hash.update(agreement)
        hash.update(publisher.text.utf8)
        hash.update(byte: 0x0A)
        hash.update(recipient.text.utf8)
        return hash.finish()
    }

    /// SHA-256(`hansa-policy/1` ‖ the digests of the agreement and of every step known, sorted bytewise).
    public static func policyEpoch(agreement: Digest, steps: [Digest]) -> Digest {
        var hash = SHA256()
        hash.update("hansa-policy/1".utf8)
        if steps.isEmpty { hash.update(agreement) } else { for digest in ([agreement] + steps).sorted() { hash.update(digest) } }
        return hash.finish()
    }
}
