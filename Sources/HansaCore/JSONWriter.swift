// JSON written straight into bytes, in the order of the calls: the same calls give the same bytes on every machine.

/// Writes one JSON text (RFC 8259).
///
/// Call order: `value`, `object` or `array` once at the top; inside an object only the calls that take a name, inside an array
/// only those that take none; then `finish()`. Control characters, `"` and `\` are escaped (short form where JSON has one, else
/// `\u00xx`); everything else, `/` and U+007F included, is written as it is in UTF-8.
public struct JSONWriter: Sendable {
    private var bytes: [UInt8] = []
    private var needsComma = false
    private let pretty: Bool
    private var depth = 0

    public init(reserving capacity: Int = 256, pretty: Bool = false) {
        self.pretty = pretty
        bytes.reserveCapacity(capacity)
    }

    /// The text. A pretty one ends in a line feed.
    public consuming func finish() -> [UInt8] {
        precondition(depth == 0, "a scope is open")
        if pretty { bytes.append(0x0A) }
        return bytes
    }

    // MARK: Scopes

    public mutating func object<E: Error>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
        beforeValue()
        open(0x7B)
        try body(&self)
        close(0x7D)
    }

    public mutating func array<E: Error>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
        beforeValue()
        open(0x5B)
        try body(&self)
        close(0x5D)
    }

    public mutating func object<E: Error>(_ name: String, _ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
        key(name)
        open(0x7B)
        try body(&self)
        close(0x7D)
    }

    public mutating func array<E: Error>(_ name: String, _ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
        key(name)
        open(0x5B)
        try body(&self)
        close(0x5D)
    }

    // MARK: Items of an array, or the whole text

    public mutating func value(_ value: String) {
        beforeValue()
        text(value)
    }
    public mutating func value(_ value: some FixedWidthInteger) {
        beforeValue()
        number(value)
    }
    public mutating func value(_ value: Bool) {
        beforeValue()
        literal(value ? "true" : "false")
    }
    /// Written as documents do: `"sha256:…"`.
    public mutating func value(_ value: Digest) {
        beforeValue()
        digest(value)
    }
    public mutating func value(_ value: JSONValue) {
        beforeValue()
        json(value)
    }
    public mutating func null() {
        beforeValue()
        literal("null")
    }
    /// Bytes that are one JSON value already.
    public mutating func raw(_ value: some Collection<UInt8>) {
        beforeValue()
        bytes.append(contentsOf: value)
    }

    // MARK: Members of an object

    public mutating func field(_ name: String, _ value: String) {
        key(name)
        text(value)
    }
    public mutating func field(_ name: String, _ value: some FixedWidthInteger) {
        key(name)
        number(value)
    }
    public mutating func field(_ name: String, _ value: Bool) {
        key(name)
        literal(value ? "true" : "false")
    }
    public mutating func field(_ name: String, _ value: Digest) {
        key(name)
        digest(value)
    }
    public mutating func field(_ name: String, _ value: Timestamp) {
        key(name)
        text(value.description)
    }
    public mutating func field(_ name: String, _ value: JSONValue) {
        key(name)
        json(value)
    }
    public mutating func null(_ name: String) {
        key(name)
        literal("null")
    }
    /// Bytes that are one JSON value already.
    public mutating func raw(_ name: String, _ value: some Collection<UInt8>) {
        key(name)
        bytes.append(contentsOf: value)
    }

    // Absent is written as null; leave the call out where absent means left out.
    public mutating func field(_ name: String, _ value: String?) { if let value { field(name, value) } else { null(name) } }
    public mutating func field(_ name: String, _ value: Digest?) { if let value { field(name, value) } else { null(name) } }
    public mutating func field(_ name: String, _ value: Timestamp?) { if let value { field(name, value) } else { null(name) } }
    public mutating func field(_ name: String, _ value: (some FixedWidthInteger)?) {
        if let value { field(name, value) } else { null(name) }
    }

    public mutating func field(_ name: String, _ values: [String]) {
        array(name) { array in for value in values { array.value(value) } }
    }
    public mutating func field(_ name: String, _ values: [Digest]) {
        array(name) { array in for value in values { array.value(value) } }
    }

    // MARK: Bytes

    private mutating func open(_ bracket: UInt8) {
        bytes.append(bracket)
        depth += 1
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        depth -= 1
        if pretty, needsComma { newLine() }
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func key(_ name: String) {
        beforeValue()
        text(name)
        bytes.append(0x3A)
        if pretty { bytes.append(0x20) }
    }

    private mutating func beforeValue() {
        if needsComma { bytes.append(0x2C) }
        if pretty, depth > 0 { newLine() }
        needsComma = true
    }

    private mutating func newLine() {
        bytes.append(0x0A)
        for _ in 0..<(depth * 2) { bytes.append(0x20) }
    }

    private mutating func literal(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func number(_ value: some FixedWidthInteger) {
        bytes.append(contentsOf: String(value).utf8)
    }

    private mutating func digest(_ value: Digest) {
        bytes.append(0x22)
        bytes.append(contentsOf: value.prefixed.utf8)
        bytes.append(0x22)
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    private mutating func text(_ value: String) {
        bytes.append(0x22)
        var value = value
        // In line in the closure: `withUTF8` makes the storage contiguous when it is not.
        value.withUTF8 { utf8 in
            var plain = 0
            for index in utf8.indices {
                let byte = utf8[index]
                guard byte < 0x20 || byte == 0x22 || byte == 0x5C else { continue }
                bytes.append(contentsOf: utf8[plain..<index])
                plain = index + 1
                escape(byte)
            }
            bytes.append(contentsOf: utf8[plain...])
        }
        bytes.append(0x22)
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(0x5C)
        switch byte {
        case 0x22, 0x5C: bytes.append(byte)
        case 0x08: bytes.append(0x62)
        case 0x09: bytes.append(0x74)
        case 0x0A: bytes.append(0x6E)
        case 0x0C: bytes.append(0x66)
        case 0x0D: bytes.append(0x72)
        default:
            bytes.append(contentsOf: [0x75, 0x30, 0x30])
            bytes.append(JSONWriter.hexDigit(byte >> 4))
            bytes.append(JSONWriter.hexDigit(byte & 15))
        }
    }

    private mutating func json(_ value: JSONValue) {
        switch value {
        case .null: literal("null")
        case .bool(let value): literal(value ? "true" : "false")
        case .integer(let value): number(value)
        // JSON has no spelling for infinities and NaN; null is what other writers give.
        case .double(let value): if value.isFinite { bytes.append(contentsOf: value.description.utf8) } else { literal("null") }
        case .string(let value): text(value)
        case .array(let items):
            open(0x5B)
            for item in items { self.value(item) }
            close(0x5D)
        case .object(let members):
            open(0x7B)
            for member in members { field(member.name, member.value) }
            close(0x7D)
        }
    }
}
