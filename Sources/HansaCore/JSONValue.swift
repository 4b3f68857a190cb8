// JSON as a value, for the parts of documents that have no fixed shape and for the documents that commands print.

/// One member of an object.
public struct JSONMember: Sendable, Equatable {
    public let name: String
    public let value: JSONValue

    public init(_ name: String, _ value: JSONValue) {
        self.name = name
        self.value = value
    }
}

/// A JSON value (RFC 8259) whose objects keep the order of their members.
///
/// Two objects are equal when they have the same members in the same order; `sortedByName()` makes the order canonical.
/// Made by literals, or by a `Decoder` after `StrictJSON.check`. A decoder tells no order, so decoded members are sorted
/// bytewise by name; numbers that are whole and fit are `integer`, the rest are `double`.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    /// The compact spelling, or one value a line, indented by two spaces, with a line feed at the end. UTF-8.
    public func serialized(pretty: Bool = false) -> [UInt8] {
        var writer = JSONWriter(pretty: pretty)
        writer.value(self)
        return writer.finish()
    }

    /// The same value with the members of every object sorted bytewise by name.
    public func sortedByName() -> JSONValue {
        switch self {
        case .array(let items): .array(items.map { $0.sortedByName() })
        case .object(let members):
            .object(
                members.map { JSONMember($0.name, $0.value.sortedByName()) }
                    .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) })
        default: self
        }
    }
}

// MARK: Reading

extension JSONValue {
    public var isNull: Bool { self == .null }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var object: [JSONMember]? { if case .object(let value) = self { value } else { nil } }
    /// Any number.
    public var double: Double? {
        switch self {
        case .double(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }

    /// The member of that name; nil when this is no object or has none. Linear in the number of members.
    public subscript(name: String) -> JSONValue? { object?.first { $0.name == name }?.value }
    /// The item at that index; nil when this is no array or is shorter.
    public subscript(index: Int) -> JSONValue? {
        guard let items = array, items.indices.contains(index) else { return nil }
        return items[index]
    }
}

// MARK: Literals

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements.map { JSONMember($0, $1) }) }
}

extension JSONValue {
    public init(_ value: String) { self = .string(value) }
    public init(_ value: String?) { self = value.map(JSONValue.string) ?? .null }
    public init(_ value: Bool) { self = .bool(value) }
    public init(_ value: Int) { self = .integer(Int64(value)) }
    public init(_ value: Int64) { self = .integer(value) }
    /// A number that JSON readers hold exactly up to 2^63 − 1; above it the nearest double.
    public init(_ value: UInt64) { self = Int64(exactly: value).map(JSONValue.integer) ?? .double(Double(value)) }
    public init(_ value: Digest) { self = .string(value.prefixed) }
    public init(_ value: Digest?) { self = value.map { .string($0.prefixed) } ?? .null }
    public init(_ value: Timestamp) { self = .string(value.description) }
    public init(_ value: Timestamp?) { self = value.map { .string($0.description) } ?? .null }
}

// MARK: Codable

extension JSONValue: Codable {
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public init(from decoder: any Decoder) throws {
        // Each refusal builds an error, so what is most common in documents is asked first.
        let single = try? decoder.singleValueContainer()
        if let value = try? single?.decode(String.self) {
            self = .string(value)
        } else if let value = try? single?.decode(Int64.self) {
            self = .integer(value)
        } else if single?.decodeNil() == true {
            self = .null
        } else if let container = try? decoder.container(keyedBy: Name.self) {
            let names = container.allKeys.sorted { $0.stringValue.utf8.lexicographicallyPrecedes($1.stringValue.utf8) }
            self = .object(
                try names.map { name throws in JSONMember(name.stringValue, try container.decode(JSONValue.self, forKey: name)) })
        } else if var container = try? decoder.unkeyedContainer() {
            var items: [JSONValue] = []
            while !container.isAtEnd { items.append(try container.decode(JSONValue.self)) }
            self = .array(items)
        } else if let value = try? single?.decode(Bool.self) {
            self = .bool(value)
        } else {
            // A fraction that a double cannot hold may leave a whole number: it is one at once, as it will be when it was written and is read again.
            let value = try decoder.singleValueContainer().decode(Double.self)
            self = Int64(exactly: value).map(JSONValue.integer) ?? .double(value)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .object(let members):
            var container = encoder.container(keyedBy: Name.self)
            for member in members { try container.encode(member.value, forKey: Name(stringValue: member.name)) }
        case .array(let items):
            var container = encoder.unkeyedContainer()
            for item in items { try container.encode(item) }
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .integer(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .double(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .string(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        }
    }
}
