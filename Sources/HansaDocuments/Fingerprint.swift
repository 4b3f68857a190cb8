internal import HansaCore
internal import HansaCrypto

/// What two people read to each other on the telephone before their cities trust each other's keys: eight groups of five digits.
///
/// h = SHA-256(`hansa-fingerprint/1` ‖ city ‖ 0x0A ‖ root threshold in decimal ‖ 0x0A ‖ sorted officer key ids in hex, joined by 0x0A);
/// group i = BE32(h[4i…4i+3]) mod 100,000 (FORMATS.md §3). 132 bits, and bound to the threshold as well as to the keys.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    /// Eight numbers below 100,000.
    public let groups: [UInt32]

    init(city: CityID, officerThreshold: Int, officerKeyIDs: [Digest]) {
        let ids = officerKeyIDs.sorted().map(\.hex).joined(separator: "\n")
        let hash = SHA256.hash(domain: "hansa-fingerprint/1", Array("\(city)\n\(officerThreshold)\n\(ids)".utf8)).bytes
        groups = stride(from: 0, to: 32, by: 4).map { start in
            hash[start..<(start + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } % 100_000
        }
    }

    /// Reads 40 digits with any spaces, line breaks, dots and dashes between them; nil for anything else.
    public init?(parsing text: some StringProtocol) {
        var digits: [UInt32] = []
        for scalar in text.unicodeScalars {
            switch scalar {
            case "0"..."9": digits.append(scalar.value - 0x30)
            case " ", "\t", "\n", "\r", "-", ".", "\u{A0}", "\u{2010}"..."\u{2014}": continue
            default: return nil
            }
        }
        guard digits.count == 40 else { return nil }
        groups = stride(from: 0, to: 40, by: 5).map { start in digits[start..<(start + 5)].reduce(0) { $0 * 10 + $1 } }
    }

    /// `12345 67890 …`
    public var description: String {
        groups.map { group in
            let digits = String(group)
            return String(repeating: "0", count: 5 - digits.count) + digits
        }.joined(separator: " ")
    }
}
