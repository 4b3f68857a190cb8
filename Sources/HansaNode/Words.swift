internal import HansaCore

/// Numbers and times inside the sentences that a node writes for people, as the command line writes them in its tables.
enum Words {
    /// `1 segment`, `2 segments`.
    static func count(_ number: Int, _ one: String, _ many: String? = nil) -> String {
        "\(number) \(number == 1 ? one : many ?? one + "s")"
    }

    /// Decimal units: `64.7 GB`.
    static func size(_ bytes: UInt64) -> String {
        var value = Double(bytes)
        guard bytes >= 1000 else { return "\(bytes) B" }
        for unit in ["kB", "MB", "GB", "TB"] {
            value /= 1000
            // 999.95 would be written as 1000.0.
            guard value >= 999.95, unit != "TB" else {
                let tenths = UInt64((value * 10).rounded())
                return "\(tenths / 10).\(tenths % 10) \(unit)"
            }
        }
        return "\(bytes) B"
    }

    /// `2026-11-21 15:04:06 UTC`.
    static func time(_ time: Timestamp) -> String {
        let text = time.description
        return "\(text.prefix(10)) \(text.dropFirst(11).prefix(8)) UTC"
    }
}
