public import HansaCore

/// A span of time as agreements write it: ISO 8601, `P30D`, `PT72H`, `P1Y6M`, `P2W`. Whole numbers, no sign.
public struct ISODuration: Hashable, Sendable, CustomStringConvertible {
    /// Years and months, whose length depends on where they begin.
    public let months: Int
    public let days: Int
    public let seconds: Int
    /// As it was written.
    public let description: String

    /// The longest of each part: about 1,000 years.
    public static let yearsMax = 1000

    /// Nil unless the text is a duration with at least one part, each part at most once and in order, weeks alone.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.first == UInt8(ascii: "P"), bytes.count <= 64 else { return nil }
        var months = 0
        var days = 0
        var seconds = 0
        var number: Int?
        var order = 0
        var parts = 0
        var inTime = false
        for byte in bytes.dropFirst() {
            if (0x30...0x39).contains(byte) {
                let value = (number ?? 0) * 10 + Int(byte - 0x30)
                guard value <= ISODuration.yearsMax * 366 * 86_400 else { return nil }
                number = value
                continue
            }
            if byte == UInt8(ascii: "T") {
                guard !inTime, number == nil else { return nil }
                inTime = true
                order = 4
                continue
            }
            guard let value = number else { return nil }
            let place: Int
            switch (byte, inTime) {
            case (UInt8(ascii: "Y"), false): (place, months) = (1, value * 12)
            case (UInt8(ascii: "M"), false): (place, months) = (2, months + value)
            case (UInt8(ascii: "D"), false): (place, days) = (3, value)
            case (UInt8(ascii: "W"), false):
                guard parts == 0, bytes.last == byte else { return nil }
                (place, days) = (4, value * 7)
            case (UInt8(ascii: "H"), true): (place, seconds) = (5, value * 3600)
            case (UInt8(ascii: "M"), true): (place, seconds) = (6, seconds + value * 60)
            case (UInt8(ascii: "S"), true): (place, seconds) = (7, seconds + value)
            default: return nil
            }
            guard place > order else { return nil }
            order = place
            parts += 1
            number = nil
        }
        // A T with nothing behind it leaves the order at its own place.
        guard number == nil, parts > 0, !(inTime && order == 4), months <= ISODuration.yearsMax * 12,
            days <= ISODuration.yearsMax * 366,
            seconds <= ISODuration.yearsMax * 366 * 86_400
        else { return nil }
        self.months = months
        self.days = days
        self.seconds = seconds
        description = String(text)
    }

    public var isZero: Bool { months == 0 && days == 0 && seconds == 0 }

    /// That long after a moment, in UTC: months first (the last day where the month is shorter), then days, then seconds.
    public func from(_ start: Timestamp) -> Timestamp {
        let inDay = start.milliseconds - start.date.start.milliseconds
        let day = start.date.adding(months: months).adding(days: Int64(days))
        return day.start.adding(milliseconds: inDay).adding(seconds: Int64(seconds))
    }

    /// That long before a moment, in UTC, in the same order.
    public func before(_ end: Timestamp) -> Timestamp {
        let inDay = end.milliseconds - end.date.start.milliseconds
        let day = end.date.adding(months: -months).adding(days: -Int64(days))
        return day.start.adding(milliseconds: inDay).adding(seconds: -Int64(seconds))
    }

    /// Two durations are equal when their parts are: `P1Y` and `P12M`, `P1W` and `P7D`.
    public static func == (left: ISODuration, right: ISODuration) -> Bool {
        left.months == right.months && left.days == right.days && left.seconds == right.seconds
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(months)
        hasher.combine(days)
        hasher.combine(seconds)
    }
}
