internal import Glibc
internal import HansaCore

/// How values look to a person: always a word, sometimes a colour too (CLI.md §7, §12, §13).
struct Style {
    let colours: Bool

    func bold(_ text: String) -> String { wrap(text, "1") }
    func red(_ text: String) -> String { wrap(text, "31") }
    func green(_ text: String) -> String { wrap(text, "32") }
    func yellow(_ text: String) -> String { wrap(text, "33") }
    func dim(_ text: String) -> String { wrap(text, "2") }

    private func wrap(_ text: String, _ code: String) -> String {
        colours && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// 12 hex digits of a digest; anything else as it is.
    static func short(_ digest: String) -> String {
        let hex = digest.hasPrefix("sha256:") ? digest.dropFirst(7) : digest[...]
        guard hex.utf8.count == 64, hex.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
            return digest.printable()
        }
        return String(hex.prefix(12))
    }

    /// Decimal units with their label: `12.3 MB`.
    static func size(_ bytes: Int64) -> String {
        guard bytes >= 1000 else { return "\(bytes) B" }
        var value = Double(bytes)
        for unit in ["kB", "MB", "GB", "TB", "PB"] {
            value /= 1000
            // 999.95 would print as 1000.0.
            if value < 999.95 || unit == "PB" { return "\(fixed(value)) \(unit)" }
        }
        return "\(bytes) B"
    }

    /// `1 file`, `2 files`.
    static func count(_ value: JSONValue?, _ thing: String) -> String {
        "\(text(value)) \(thing)\(value?.integer == 1 ? "" : "s")"
    }

    /// One decimal.
    static func fixed(_ value: Double) -> String {
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(abs(tenths % 10))"
    }

    /// RFC 3339 UTC as local time with its zone; anything else as it is.
    static func local(_ text: String) -> String {
        guard let time = Timestamp(text) else { return text.printable() }
        var seconds = time_t(time.milliseconds / 1000)
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return text }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            // An allocation of 64 bytes has a base address.
            let base = buffer.baseAddress.unsafelyUnwrapped
            return strftime(base, buffer.count, "%Y-%m-%d %H:%M:%S %Z", &parts) > 0 ? String(cString: base) : text
        }
    }

    /// A value for a table cell or a line, by what it is. `name` tells sizes from counts.
    static func text(_ value: JSONValue?, name: String = "") -> String {
        switch value {
        case nil, .null?: return "-"
        case .bool(let value)?: return value ? "yes" : "no"
        case .integer(let value)?: return isSize(name) ? size(value) : String(value)
        case .double(let value)?: return fixed(value)
        case .string(let value)?:
            if value.hasPrefix("sha256:") { return short(value) }
            return value.utf8.count >= 20 && value.utf8.last == 0x5A ? local(value) : value.printable()
        case .array(let items)?: return items.isEmpty ? "-" : items.map { text($0) }.joined(separator: ", ")
        case .object(let members)?: return members.map { "\($0.name) \(text($0.value, name: $0.name))" }.joined(separator: ", ")
        }
    }

    private static func isSize(_ name: String) -> Bool {
        name.hasPrefix("bytes") || name.contains("Bytes")
    }
}
