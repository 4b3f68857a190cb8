public import HansaCore

/// How fast content may leave the node, in bytes a second; nil is unlimited. Control frames are not slowed: they are few, and others wait for them.
public struct SendingRates: Sendable, Equatable {
    /// Over all partners.
    public var node: UInt64?
    /// To each partner that has no rate of its own.
    public var partner: UInt64?
    /// To one partner.
    public var partners: [CityID: UInt64?] = [:]
    /// How much of the node's rate a partner gets beside one without a weight, which has 1.
    public var weights: [CityID: UInt64] = [:]
    /// The node's rate by hours of the UTC day; the first that holds counts, outside of all of them `node`.
    public var schedule: [Hours] = []

    public struct Hours: Sendable, Equatable {
        /// Minutes of the day; where `end` is not after `start` the hours go on past midnight.
        public let start: Int
        public let end: Int
        public let rate: UInt64?

        public func contain(minute: Int) -> Bool {
            start < end ? (start..<end).contains(minute) : minute >= start || minute < end
        }
    }

    public init() {}

    /// The node's rate at a moment.
    public func node(at now: Timestamp) -> UInt64? {
        let minute = Int(((now.milliseconds / 60_000) % 1440 + 1440) % 1440)
        return schedule.first { $0.contain(minute: minute) }.map(\.rate) ?? node
    }

    public static let weightMax: UInt64 = 100
    public func weight(_ city: CityID) -> UInt64 { weights[city] ?? 1 }

    /// The rate to one partner.
    public func partner(_ city: CityID) -> UInt64? { partners[city] ?? partner }

    // MARK: Texts

    private static let units: [(name: String, bytes: Double)] = [
        ("kB/s", 1e3), ("MB/s", 1e6), ("GB/s", 1e9), ("kbit/s", 125), ("Mbit/s", 125_000), ("Gbit/s", 125_000_000), ("B/s", 1),
    ]
    static let form = "is unlimited, or a rate such as 800kB/s, 2.5MB/s or 100Mbit/s, at least 1kB/s"

    /// `unlimited` or a number with its unit; nil for what is neither.
    static func rate(_ text: some StringProtocol) -> UInt64?? {
        if text == "unlimited" { return .some(nil) }
        guard let unit = units.first(where: { text.hasSuffix($0.name) }) else { return nil }
        let digits = text.dropLast(unit.name.count).trimmed
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }), let number = Double(digits),
            case let bytes = number * unit.bytes, bytes >= 1000, bytes <= 1e12
        else { return nil }
        return .some(UInt64(bytes))
    }

    /// As the file writes it: the largest unit that leaves no fraction.
    static func text(_ rate: UInt64?) -> String {
        guard let rate else { return "unlimited" }
        for (name, bytes) in [("GB/s", 1_000_000_000 as UInt64), ("MB/s", 1_000_000), ("kB/s", 1000)]
        where rate.isMultiple(of: bytes) { return "\(rate / bytes)\(name)" }
        return "\(rate)B/s"
    }

    /// `08:00-18:00 20MB/s`.
    static func hours(_ text: String) -> Hours? {
        let words = text.split(separator: " ")
        guard words.count == 2, let rate = rate(words[1]) else { return nil }
        let ends = words[0].split(separator: "-", omittingEmptySubsequences: false).map(minute)
        guard ends.count == 2, let start = ends[0], let end = ends[1], start != end else { return nil }
        return Hours(start: start, end: end, rate: rate)
    }

    static func text(_ hours: Hours) -> String { "\(clock(hours.start))-\(clock(hours.end)) \(text(hours.rate))" }

    private static func clock(_ minute: Int) -> String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(minute / 60)):\(two(minute % 60))"
    }

    private static func minute(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), hour < 24, minute < 60
        else { return nil }
        return hour * 60 + minute
    }
}
