// Reads texts that `JSONWriter` wrote, which nearly all documents of partners are.

/// A cursor over a text that is taken for one of our writer's: known members in a known order, no white space, no escapes.
///
/// It looks only for what that writer writes, and every method says nil or false at the first byte that is another. It does not check that the
/// text is JSON: who reads with it writes the value again and compares the bytes, and gives every text that is not the same to the decoder.
struct WrittenText {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    /// Steps over bytes that stand here; stays where others stand.
    mutating func passes(_ literal: StaticString) -> Bool {
        let count = literal.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for index in 0..<count where bytes[position + index] != literal.utf8Start[index] { return false }
        position += count
        return true
    }

    /// The characters up to the next quotation mark, which it steps over.
    mutating func text() -> String? {
        guard let end = bytes[position...].firstIndex(where: { $0 == 0x22 || $0 == 0x5C }), bytes[end] == 0x22 else { return nil }
        defer { position = end + 1 }
        return String(decoding: bytes[position..<end], as: UTF8.self)
    }

    /// A whole number that is not negative.
    mutating func number() -> Int64? {
        let start = position
        var value: Int64 = 0
        // Eighteen digits cannot overflow; longer numbers are the decoder's.
        while position < bytes.count, position - start < 18, bytes[position] &- 0x30 < 10 {
            value = value * 10 + Int64(bytes[position] - 0x30)
            position += 1
        }
        return position > start ? value : nil
    }

    /// A text after its quotation mark, or null.
    mutating func textOrNull() -> String?? {
        if passes("null") { return .some(nil) }
        guard passes("\""), let text = text() else { return nil }
        return .some(text)
    }

    /// Texts up to the bracket that ends their array.
    mutating func texts() -> [String]? {
        var texts: [String] = []
        if passes("]") { return texts }
        repeat {
            guard passes("\""), let text = text() else { return nil }
            texts.append(text)
        } while passes(",")
        return passes("]") ? texts : nil
    }

    /// Numbers and their names up to the brace that ends their object; nil when a name stands twice.
    mutating func numbers() -> [String: Int64]? {
        var numbers: [String: Int64] = [:]
        repeat {
            guard passes("\""), let name = text(), passes(":"), let number = number(),
                numbers.updateValue(number, forKey: name) == nil
            else { return nil }
        } while passes(",")
        return passes("}") ? numbers : nil
    }
}
