// What a CSV field can be read as, judged on its bytes.

/// A type of Table Schema v2 that inference gives to a column.
///
/// Narrow on purpose, so that every reader of the schema reads the values alike and identifiers stay text: an integer has at
/// most 18 digits; numbers and integers have no leading zeros or a plus sign.
public enum TableFieldType: UInt8, Sendable, CaseIterable {
    /// Only missing values so far; written as string.
    case unknown
    case integer
    /// Decimal point or exponent, or `NaN`, `INF`, `-INF`.
    case number
    /// `true`, `True`, `TRUE`, `false`, `False`, `FALSE`.
    case boolean
    /// `2026-01-31`, a day of the Gregorian calendar from year 1 on.
    case date
    /// `23:59:59`.
    case time
    /// `2026-01-31T23:59:59`, with a fraction of up to six digits and `Z` or an offset if they are given.
    case datetime
    /// `2026-01-31 23:59:59`: written with a format.
    case datetimeSpaced
    case string

    /// As Table Schema names it.
    public var name: String {
        switch self {
        case .unknown, .string: "string"
        case .integer: "integer"
        case .number: "number"
        case .boolean: "boolean"
        case .date: "date"
        case .time: "time"
        case .datetime, .datetimeSpaced: "datetime"
        }
    }

    /// The `format` of the field; nil for the type's default.
    public var format: String? { self == .datetimeSpaced ? "%Y-%m-%d %H:%M:%S" : nil }

    /// The narrowest type that holds the values of a column of this type and one more value. O(bytes), none for string.
    @inline(__always)
    func widened(by value: UnsafeRawBufferPointer) -> TableFieldType {
        switch self {
        case .string: .string
        case .integer: TableValue.isShortInteger(value) ? .integer : TableFieldType.widenedSlowly(self, value)
        case .number: TableValue.isShortNumber(value) ? .number : TableFieldType.widenedSlowly(self, value)
        default: TableFieldType.widenedSlowly(self, value)
        }
    }

    @inline(never)
    private static func widenedSlowly(_ type: TableFieldType, _ value: UnsafeRawBufferPointer) -> TableFieldType {
        type.joined(with: TableValue.type(of: value))
    }

    /// The narrowest type of a column that has values of both types. In any order and grouping the same.
    func joined(with other: TableFieldType) -> TableFieldType {
        switch (self, other) {
        case (.unknown, _): return other
        case (_, .unknown): return self
        case (.integer, .number), (.number, .integer): return .number
        default: return self == other ? self : .string
        }
    }
}

/// Texts that stand for a missing value in a column that is no text, as statistics programs and databases write them.
struct MissingMarkers: OptionSet, Sendable {
    let rawValue: UInt8

    private static let all: [StaticString] = ["NA", "N/A", "NULL", "null"]

    /// The marker that these bytes are, or nil.
    init?(of value: UnsafeRawBufferPointer) {
        guard let index = MissingMarkers.all.firstIndex(where: { TableValue.equals(value, $0) }) else { return nil }
        rawValue = 1 << UInt8(index)
    }
    init(rawValue: UInt8) { self.rawValue = rawValue }

    var texts: [String] {
        MissingMarkers.all.indices.filter { rawValue & 1 << UInt8($0) != 0 }.map { "\(MissingMarkers.all[$0])" }
    }
}

/// Reads single values.
enum TableValue {
    /// The narrowest type of one value that is not empty.
    static func type(of value: UnsafeRawBufferPointer) -> TableFieldType {
        guard let first = value.first else { return .unknown }
        switch first {
        case UInt8(ascii: "t"), UInt8(ascii: "T"), UInt8(ascii: "f"), UInt8(ascii: "F"):
            return isBoolean(value) ? .boolean : .string
        case UInt8(ascii: "N"): return equals(value, "NaN") ? .number : .string
        case UInt8(ascii: "I"): return equals(value, "INF") ? .number : .string
        case UInt8(ascii: "-"), UInt8(ascii: "."), 0x30...0x39: break
        default: return .string
        }
        if let number = numberType(value) { return number }
        if equals(value, "-INF") { return .number }
        switch value.count {
        case 8: return isTime(value, at: 0) ? .time : .string
        case 10: return isDate(value) ? .date : .string
        case 19...32: return datetimeType(value)
        default: return .string
        }
    }

    /// True for most integers, quickly; false says nothing.
    @inline(__always)
    static func isShortInteger(_ value: UnsafeRawBufferPointer) -> Bool {
        let count = value.count
        guard count > 0, count <= 8, value[0] != 0x30 || count == 1 else { return false }
        for byte in value where byte &- 0x30 > 9 { return false }
        return true
    }

    /// True for most integers and decimal fractions, quickly; false says nothing.
    @inline(__always)
    static func isShortNumber(_ value: UnsafeRawBufferPointer) -> Bool {
        let count = value.count
        guard count > 0, count <= 16 else { return false }
        let first = value[0]
        guard first &- 0x31 <= 8 else { return false }
        var index = 1
        while index < count, value[index] &- 0x30 <= 9 { index += 1 }
        if index == count { return true }
        guard value[index] == 0x2E else { return false }
        index += 1
        while index < count, value[index] &- 0x30 <= 9 { index += 1 }
        return index == count
    }

    /// Integer or number, or nil when it is neither.
    private static func numberType(_ value: UnsafeRawBufferPointer) -> TableFieldType? {
        var index = value[0] == UInt8(ascii: "-") ? 1 : 0
        let whole = digits(value, &index)
        if whole > 1, value[index - whole] == 0x30 { return nil }
        if index == value.count { return whole == 0 ? nil : whole <= 18 ? .integer : nil }
        var fraction = 0
        if value[index] == UInt8(ascii: ".") {
            index += 1
            fraction = digits(value, &index)
        }
        guard whole + fraction > 0 else { return nil }
        if index < value.count, value[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < value.count, value[index] == UInt8(ascii: "-") || value[index] == UInt8(ascii: "+") { index += 1 }
            let exponent = digits(value, &index)
            // Three digits: beyond them no reader's double is finite, and such texts are identifiers.
            guard (1...3).contains(exponent) else { return nil }
        }
        return index == value.count ? .number : nil
    }

    private static func digits(_ value: UnsafeRawBufferPointer, _ index: inout Int) -> Int {
        let start = index
        while index < value.count, value[index] &- 0x30 <= 9 { index += 1 }
        return index - start
    }

    private static func isBoolean(_ value: UnsafeRawBufferPointer) -> Bool {
        equals(value, "true") || equals(value, "false") || equals(value, "True") || equals(value, "False")
            || equals(value, "TRUE")
            || equals(value, "FALSE")
    }

    static func equals(_ value: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        value.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private static func number(_ value: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int? {
        var number = 0
        for byte in value[range] {
            guard byte &- 0x30 <= 9 else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        return number
    }

    private static func isDate(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value[4] == 0x2D, value[7] == 0x2D, let year = number(value, 0..<4), let month = number(value, 5..<7),
            let day = number(value, 8..<10), year >= 1, (1...12).contains(month), day >= 1
        else { return false }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        switch month {
        case 2: return day <= (leap ? 29 : 28)
        case 4, 6, 9, 11: return day <= 30
        default: return day <= 31
        }
    }

    private static func isTime(_ value: UnsafeRawBufferPointer, at start: Int) -> Bool {
        guard value[start + 2] == 0x3A, value[start + 5] == 0x3A, let hour = number(value, start..<(start + 2)),
            let minute = number(value, (start + 3)..<(start + 5)), let second = number(value, (start + 6)..<(start + 8))
        else { return false }
        return hour < 24 && minute < 60 && second < 60
    }

    private static func datetimeType(_ value: UnsafeRawBufferPointer) -> TableFieldType {
        guard isDate(value), isTime(value, at: 11) else { return .string }
        if value[10] == 0x20 { return value.count == 19 ? .datetimeSpaced : .string }
        guard value[10] == UInt8(ascii: "T") else { return .string }
        var index = 19
        if index < value.count, value[index] == 0x2E {
            index += 1
            guard (1...6).contains(digits(value, &index)) else { return .string }
        }
        if index == value.count { return .datetime }
        if value[index] == UInt8(ascii: "Z") { return index + 1 == value.count ? .datetime : .string }
        guard value[index] == 0x2B || value[index] == 0x2D, index + 6 == value.count, value[index + 3] == 0x3A,
            let hour = number(value, (index + 1)..<(index + 3)), let minute = number(value, (index + 4)..<(index + 6)), hour < 24,
            minute < 60
        else { return .string }
        return .datetime
    }
}
