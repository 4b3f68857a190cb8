public import HansaCore
internal import HansaCrypto

/// The two digests by which sessions name what is shared (SYNC.md §2).
public enum ViewIdentity {
    /// SHA-256(`hansa-view/1` ‖ digest of the agreement ‖ publisher ‖ 0x0A ‖ recipient). Packages open by default use
    /// `Digest.zero` as the agreement.
    public static func viewID(agreement: Digest, publisher: CityID, recipient: CityID) -> Digest {
        var bytes = Array("hansa-view/1".utf8)
        bytes.append(contentsOf: agreement.bytes)
        bytes.append(contentsOf: publisher.text.utf8)
        bytes.append(0x0A)
        bytes.append(contentsOf: recipient.text.utf8)
        return SHA256.hash(bytes)
    }

    /// SHA-256(`hansa-policy/1` ‖ the digests of the agreement and of every step known, sorted bytewise).
    public static func policyEpoch(agreement: Digest, steps: [Digest]) -> Digest {
        var bytes = Array("hansa-policy/1".utf8)
        for digest in ([agreement] + steps).sorted() { bytes.append(contentsOf: digest.bytes) }
        return SHA256.hash(bytes)
    }
}
