// Reads objects whose every key must be known, and names the place of what is wrong: `terms[0].redistribution.to`.
internal import HansaCore

/// One object of a document in which unknown keys are refused.
///
/// Keys are compared by their bytes: Swift's `==` would take canonically equivalent spellings, such as U+212A for `K`, for the same key.
struct ObjectReader {
    let path: String
    private let members: [JSONMember]

    /// Refuses what is no object, and keys that are unknown, repeated or null. `path` is empty for the document itself.
    init(_ value: JSONValue, at path: String, keys: [String]) throws(DocumentFault) {
        guard case .object(let members) = value else { throw .field(path.isEmpty ? "document" : path, "is not an object") }
        self.path = path
        self.members = members
        for (index, member) in members.enumerated() {
            guard keys.contains(where: { ObjectReader.isSame($0, member.name) }) else {
                throw .unknownKey(place(of: member.name.printable(charactersMax: 60)))
            }
            guard !members[..<index].contains(where: { ObjectReader.isSame($0.name, member.name) }) else {
                throw .field(place(of: member.name), "stands twice")
            }
            // "Nothing" has one spelling: the key left out. A key with an empty value is a slip of the pen in YAML.
            if member.value.isNull { throw .field(place(of: member.name), "is empty; leave the key out or give it a value") }
        }
    }

    private static func isSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

    func place(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    func optional(_ name: String) -> JSONValue? { members.first { ObjectReader.isSame($0.name, name) }?.value }

    func value(_ name: String) throws(DocumentFault) -> JSONValue {
        guard let value = optional(name) else { throw .field(place(of: name), "is missing") }
        return value
    }

    // MARK: Text

    func text(_ name: String, max limit: Int) throws(DocumentFault) -> String {
        try ObjectReader.text(value(name), max: limit, at: place(of: name))
    }

    func optionalText(_ name: String, max limit: Int) throws(DocumentFault) -> String? {
        guard let value = optional(name) else { return nil }
        return try ObjectReader.text(value, max: limit, at: place(of: name))
    }

    /// Empty when absent.
    func texts(_ name: String, max limit: Int, charactersMax: Int) throws(DocumentFault) -> [String] {
        try optionalTexts(name, max: limit, charactersMax: charactersMax) ?? []
    }

    func optionalTexts(_ name: String, max limit: Int, charactersMax: Int) throws(DocumentFault) -> [String]? {
        try optionalList(name, max: limit) { value, path throws(DocumentFault) in
            try ObjectReader.text(value, max: charactersMax, at: path)
        }
    }

    private static func text(_ value: JSONValue, max limit: Int, at path: String) throws(DocumentFault) -> String {
        guard let text = value.string else { throw .field(path, "is not text; put it in quotation marks") }
        guard !text.isEmpty else { throw .field(path, "is empty") }
        return try Field.text(text, max: limit, at: path)
    }

    /// A name for use in commands: `[A-Za-z0-9][A-Za-z0-9._-]*`.
    func identifier(_ name: String, max limit: Int) throws(DocumentFault) -> String {
        let text = try text(name, max: limit)
        guard ObjectReader.isIdentifier(text) else {
            throw .field(place(of: name), "may hold only letters, digits, '.', '_' and '-', and begins with a letter or digit")
        }
        return text
    }

    private static func isIdentifier(_ text: String) -> Bool {
        func isLetterOrDigit(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        return text.utf8.first.map(isLetterOrDigit) == true
            && text.utf8.allSatisfy { isLetterOrDigit($0) || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D }
    }

    // MARK: Other shapes

    func integer(_ name: String, in range: ClosedRange<Int>) throws(DocumentFault) -> Int {
        guard let integer = try value(name).integer, let number = Int(exactly: integer) else {
            throw .field(place(of: name), "is not an integer")
        }
        return try Field.number(number, in: range, at: place(of: name))
    }

    func bool(_ name: String) throws(DocumentFault) -> Bool {
        guard let bool = try value(name).bool else { throw .field(place(of: name), "is not true or false") }
        return bool
    }

    func date(_ name: String) throws(DocumentFault) -> CalendarDate {
        guard let text = try value(name).string, let date = CalendarDate(text) else {
            throw .field(place(of: name), "is no date (YYYY-MM-DD)")
        }
        return date
    }

    func duration(_ name: String) throws(DocumentFault) -> ISODuration {
        guard let text = try value(name).string, let duration = ISODuration(text) else {
            throw .field(place(of: name), "is no duration (ISO 8601, such as P30D, PT72H, P1Y)")
        }
        return duration
    }

    func optionalDuration(_ name: String) throws(DocumentFault) -> ISODuration? {
        optional(name) == nil ? nil : try duration(name)
    }

    func word<T: RawRepresentable & CaseIterable>(_ name: String) throws(DocumentFault) -> T where T.RawValue == String {
        try Field.word(text(name, max: 200), at: place(of: name))
    }

    func optionalWord<T: RawRepresentable & CaseIterable>(_ name: String) throws(DocumentFault) -> T? where T.RawValue == String {
        optional(name) == nil ? nil : try word(name)
    }

    func city(_ name: String) throws(DocumentFault) -> CityID { try Field.city(text(name, max: 300), at: place(of: name)) }

    /// A part of any shape (`Field.free`); nil when absent.
    func free(_ name: String) throws(DocumentFault) -> JSONValue? {
        guard let value = optional(name) else { return nil }
        return try Field.free(value, at: place(of: name))
    }

    func object<T>(_ name: String, keys: [String], _ read: (ObjectReader) throws(DocumentFault) -> T) throws(DocumentFault) -> T?
    {
        guard let value = optional(name) else { return nil }
        return try read(ObjectReader(value, at: place(of: name), keys: keys))
    }

    // MARK: Lists

    func optionalList<T>(
        _ name: String, max limit: Int, _ read: (JSONValue, String) throws(DocumentFault) -> T
    ) throws(DocumentFault) -> [T]? {
        guard let value = optional(name) else { return nil }
        guard let items = value.array else { throw .field(place(of: name), "is not a list") }
        guard items.count <= limit else { throw .field(place(of: name), "has more than \(limit) items") }
        var result: [T] = []
        for (index, item) in items.enumerated() { result.append(try read(item, "\(place(of: name))[\(index)]")) }
        return result
    }

    /// At least `least` items.
    func list<T>(
        _ name: String, least: Int = 0, max limit: Int, _ read: (JSONValue, String) throws(DocumentFault) -> T
    ) throws(DocumentFault) -> [T] {
        guard let items = try optionalList(name, max: limit, read) else { throw .field(place(of: name), "is missing") }
        guard items.count >= least else {
            throw .field(place(of: name), least == 1 ? "is empty" : "has fewer than \(least) items")
        }
        return items
    }

    func objects<T>(
        _ name: String, least: Int = 0, max limit: Int, keys: [String], _ read: (ObjectReader) throws(DocumentFault) -> T
    ) throws(DocumentFault) -> [T] {
        try list(name, least: least, max: limit) { value, path throws(DocumentFault) in
            try read(ObjectReader(value, at: path, keys: keys))
        }
    }

    /// A list of different values, at least one.
    func set<T: Equatable>(_ name: String, max limit: Int, _ read: (String, String) throws(DocumentFault) -> T)
        throws(DocumentFault) -> [T]
    {
        let items = try list(name, least: 1, max: limit) { value, path throws(DocumentFault) in
            try read(ObjectReader.text(value, max: 500, at: path), path)
        }
        for index in items.indices where items[..<index].contains(items[index]) {
            throw .field("\(place(of: name))[\(index)]", "stands twice")
        }
        return items
    }
}
