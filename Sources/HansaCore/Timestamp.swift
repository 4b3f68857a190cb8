/// A moment: milliseconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX). Written as RFC 3339 UTC with milliseconds.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }
    /// Saturates: a count from a partner may be anything.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        milliseconds = overflow ? (seconds < 0 ? .min : .max) : product
    }

    /// Reads `YYYY-MM-DDThh:mm:ss[.fff]Z`, exactly: upper-case T and Z, no offset, years 1970–9999, at most three fraction digits.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes[10] == 0x54, bytes.last == 0x5A, let day = CalendarDate(ascii: bytes[0..<10]),
            let hour = Digits.value(bytes[11..<13]), bytes[13] == 0x3A, let minute = Digits.value(bytes[14..<16]),
            bytes[16] == 0x3A,
            let second = Digits.value(bytes[17..<19]), hour < 24, minute < 60, second < 60
        else { return nil }
        var fraction = 0
        if bytes.count > 20 {
            let digits = bytes[20..<(bytes.count - 1)]
            guard bytes[19] == 0x2E, (1...3).contains(digits.count), let value = Digits.value(digits) else { return nil }
            fraction = value * [100, 10, 1][digits.count - 1]
        } else if bytes[19] != 0x5A {
            return nil
        }
        let seconds = day.daysSinceEpoch * 86_400 + Int64(hour * 3600 + minute * 60 + second)
        milliseconds = seconds * 1000 + Int64(fraction)
    }

    /// The last millisecond of the year 9999: RFC 3339 writes no later one.
    public static let last = Timestamp(milliseconds: 253_402_300_799_999)
    /// The first millisecond of the year 0.
    private static let first = Timestamp(milliseconds: -62_167_219_200_000)

    private var dayAndRest: (day: Int64, milliseconds: Int64) {
        let (day, rest) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        return rest < 0 ? (day - 1, rest + 86_400_000) : (day, rest)
    }

    /// The UTC day this moment is in.
    public var date: CalendarDate { CalendarDate(daysSinceEpoch: dayAndRest.day) }

    /// A moment that has no form, before the year 0 or after 9999, is written as the nearest one that has.
    public var description: String {
        guard self >= Timestamp.first, self <= Timestamp.last else {
            return (self < Timestamp.first ? Timestamp.first : .last).description
        }
        let (_, inDay) = dayAndRest
        let day = date
        var text: [UInt8] = []
        text.reserveCapacity(24)
        day.append(to: &text)
        text.append(0x54)
        Digits.append(inDay / 3_600_000, width: 2, to: &text)
        text.append(0x3A)
        Digits.append(inDay / 60_000 % 60, width: 2, to: &text)
        text.append(0x3A)
        Digits.append(inDay / 1000 % 60, width: 2, to: &text)
        text.append(0x2E)
        Digits.append(inDay % 1000, width: 3, to: &text)
        text.append(0x5A)
        return String(decoding: text, as: UTF8.self)
    }

    /// As TUF writes it: whole seconds.
    public var secondsDescription: String { String(description.dropLast(5)) + "Z" }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.milliseconds < right.milliseconds }
    /// Saturates.
    public func adding(milliseconds: Int64) -> Timestamp {
        let (sum, overflow) = self.milliseconds.addingReportingOverflow(milliseconds)
        return Timestamp(milliseconds: overflow ? (milliseconds < 0 ? .min : .max) : sum)
    }
    /// Since another moment, negative when that is later. Saturates.
    public func milliseconds(since other: Timestamp) -> Int64 {
        let (difference, overflow) = milliseconds.subtractingReportingOverflow(other.milliseconds)
        return overflow ? (milliseconds < 0 ? .min : .max) : difference
    }
    /// Saturates.
    public func adding(seconds: Int64) -> Timestamp { adding(milliseconds: Timestamp(seconds: seconds).milliseconds) }
}

/// A UTC day, as agreements name them: `YYYY-MM-DD` (proleptic Gregorian calendar, years 1970–9999).
public struct CalendarDate: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let daysSinceEpoch: Int64

    public init(daysSinceEpoch: Int64) { self.daysSinceEpoch = daysSinceEpoch }

    public init?(_ text: some StringProtocol) { self.init(ascii: Array(text.utf8)[...]) }

    init?(ascii bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == 10, bytes[4] == 0x2D, bytes[7] == 0x2D, let year = Digits.value(bytes[0..<4]),
            let month = Digits.value(bytes[5..<7]), let day = Digits.value(bytes[8..<10]), year >= 1970
        else { return nil }
        self.init(year: year, month: month, day: day)
    }

    public init?(year: Int, month: Int, day: Int) {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), (1...lengths[month - 1]).contains(day) else { return nil }
        // Days from civil, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let y = Int64(month <= 2 ? year - 1 : year)
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = Int64((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1)
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        daysSinceEpoch = era * 146_097 + dayOfEra - 719_468
    }

    public var components: (year: Int, month: Int, day: Int) {
        let z = daysSinceEpoch + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0)), Int(month), Int(dayOfYear - (153 * shifted + 2) / 5 + 1))
    }

    /// 00:00Z of the day.
    public var start: Timestamp { Timestamp(seconds: daysSinceEpoch * 86_400) }
    /// 24:00Z of the day: the first moment after it.
    public var end: Timestamp { Timestamp(seconds: (daysSinceEpoch + 1) * 86_400) }
    public func adding(days: Int64) -> CalendarDate { CalendarDate(daysSinceEpoch: daysSinceEpoch + days) }

    /// The same day some months later; the last day of the month where there is none.
    public func adding(months: Int) -> CalendarDate {
        let (year, month, day) = components
        let total = year * 12 + month - 1 + months
        for candidate in stride(from: day, through: 28, by: -1) {
            if let date = CalendarDate(year: total / 12, month: total % 12 + 1, day: candidate) { return date }
        }
        return CalendarDate(year: total / 12, month: total % 12 + 1, day: min(day, 28)) ?? self
    }

    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(10)
        append(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    fileprivate func append(to text: inout [UInt8]) {
        let (year, month, day) = components
        Digits.append(Int64(year), width: 4, to: &text)
        text.append(0x2D)
        Digits.append(Int64(month), width: 2, to: &text)
        text.append(0x2D)
        Digits.append(Int64(day), width: 2, to: &text)
    }

    public static func < (left: CalendarDate, right: CalendarDate) -> Bool { left.daysSinceEpoch < right.daysSinceEpoch }
}

extension Timestamp: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let value = Timestamp(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not a time (RFC 3339 UTC, 2026-01-31T12:00:00.000Z)")
        }
        self = value
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension CalendarDate: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let value = CalendarDate(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a date (YYYY-MM-DD)")
        }
        self = value
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

private enum Digits {
    static func value(_ bytes: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for byte in bytes {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return bytes.isEmpty ? nil : value
    }

    static func append(_ value: Int64, width: Int, to text: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            text.append(0x30 + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
}
