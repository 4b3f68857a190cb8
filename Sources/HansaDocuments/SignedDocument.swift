// What all signed documents have in common, and the one way in which their bytes become values.
internal import Foundation
public import HansaCore
public import HansaCrypto

/// A document that is signed: read from the payload bytes that a signature covers, written to bytes that will be signed.
///
/// A payload is never written again from the value that was read from it: what was signed is handed onward as it came.
public protocol SignedDocument: Sendable {
    static var type: DocumentType { get }
    /// Reads and checks a payload. Signatures are the caller's to check.
    init(payload: [UInt8]) throws(DocumentFault)
    /// The payload that these fields make; the same fields give the same bytes on every machine.
    func payload() -> [UInt8]
}

extension SignedDocument {
    /// Reads an envelope's payload, if the envelope is of this type. Signatures are the caller's to check.
    public init(_ envelope: Envelope) throws(DocumentFault) {
        guard envelope.type == Self.type else { throw .payloadType(envelope.payloadType) }
        try self.init(payload: envelope.payload)
    }

    public func signed(with keys: [Ed25519PrivateKey]) -> Envelope { Envelope.sign(payload(), as: Self.type, with: keys) }
}

extension StrictJSON {
    private static let decoder = JSONDecoder()

    /// Checks a text and has Foundation decode it. A decoder's refusal becomes `JSONFault.Kind.shape`.
    public static func decode<T: Decodable>(
        _ type: T.Type, from bytes: [UInt8], bytesMax: Int = Limits.documentBytesMax, depthMax: Int = Limits.jsonDepthMax,
        integersOnly: Bool = true
    ) throws(JSONFault) -> T {
        try check(bytes, bytesMax: bytesMax, depthMax: depthMax, integersOnly: integersOnly)
        do { return try decoder.decode(type, from: Data(bytes)) } catch {
            throw JSONFault(.shape(Shape(error).description), at: 0)
        }
    }

    /// The same for a document's payload, with the place of what is wrong.
    static func decodePayload<T: Decodable>(_ type: T.Type, from bytes: [UInt8], integersOnly: Bool = true) throws(DocumentFault)
        -> T
    {
        do throws(JSONFault) { try check(bytes, integersOnly: integersOnly) } catch { throw .json(error) }
        do { return try decoder.decode(type, from: Data(bytes)) } catch {
            let shape = Shape(error)
            throw .field(shape.path, shape.problem)
        }
    }
}

/// A decoder's refusal in our words.
private struct Shape: CustomStringConvertible {
    let path: String
    let problem: String

    init(_ error: any Error) {
        guard let error = error as? DecodingError else {
            path = ""
            problem = "cannot be decoded"
            return
        }
        switch error {
        case .keyNotFound(let key, let context): (path, problem) = (Shape.path(context.codingPath + [key]), "is missing")
        case .valueNotFound(_, let context): (path, problem) = (Shape.path(context.codingPath), "is null")
        case .typeMismatch(let type, let context):
            (path, problem) = (Shape.path(context.codingPath), "is not \(Shape.name(of: type))")
        case .dataCorrupted(let context): (path, problem) = (Shape.path(context.codingPath), context.debugDescription.printable())
        @unknown default: (path, problem) = ("", "cannot be decoded")
        }
    }

    var description: String { path.isEmpty ? problem : "\(path): \(problem)" }

    private static func path(_ keys: [any CodingKey]) -> String {
        var text = ""
        for key in keys {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue.printable(charactersMax: 60)
            }
        }
        return text
    }

    private static func name(of type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is any FixedWidthInteger.Type: "an integer in range"
        default: "of the shape that belongs here"
        }
    }
}

/// Readers for the fields of payloads, each with the place to name when it fails.
enum Field {
    static func digest(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault) -> Digest {
        guard let digest = Digest(prefixed: text) else { throw .field(path(), "is no digest (sha256: and 64 hex digits)") }
        return digest
    }

    static func optionalDigest(_ text: String?, at path: @autoclosure () -> String) throws(DocumentFault) -> Digest? {
        guard let text else { return nil }
        return try digest(text, at: path())
    }

    static func time(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault) -> Timestamp {
        guard let time = Timestamp(text) else {
            throw .field(path(), "is no time (RFC 3339 UTC, such as 2026-01-31T12:00:00.000Z)")
        }
        return time
    }

    static func city(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault) -> CityID {
        do throws(NameFault) { return try CityID(text) } catch { throw .field(path(), error.description) }
    }

    static func package(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault) -> PackageID {
        do throws(NameFault) { return try PackageID(text) } catch { throw .field(path(), error.description) }
    }

    static func pattern(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault) -> PackagePattern {
        do throws(NameFault) { return try PackagePattern(text) } catch { throw .field(path(), error.description) }
    }

    /// One of a closed set of words.
    static func word<T: RawRepresentable & CaseIterable>(_ text: String, at path: @autoclosure () -> String) throws(DocumentFault)
        -> T
    where T.RawValue == String {
        guard let value = T(rawValue: text) else {
            let known = T.allCases.map(\.rawValue).joined(separator: ", ")
            throw .field(path(), "'\(text.printable(charactersMax: 60))' is not one of \(known)")
        }
        return value
    }

    /// Text for people: bounded, counted in Unicode scalars.
    static func text(_ text: String, max limit: Int, at path: @autoclosure () -> String) throws(DocumentFault) -> String {
        // A byte count within the limit is the common case and needs no walk.
        guard text.utf8.count <= limit || text.unicodeScalars.count <= limit else {
            throw .field(path(), "is longer than \(limit) characters")
        }
        return text
    }

    static func number(_ value: Int, in range: ClosedRange<Int>, at path: @autoclosure () -> String) throws(DocumentFault) -> Int
    {
        guard range.contains(value) else { throw .field(path(), "is not within \(range.lowerBound)…\(range.upperBound)") }
        return value
    }

    /// A part of any shape: whole numbers only, no name twice in an object, at most eight levels; members sorted by name.
    static func free(_ value: JSONValue, at path: String) throws(DocumentFault) -> JSONValue {
        try checkFree(value, depth: 0, at: path)
        return value.sortedByName()
    }

    private static func checkFree(_ value: JSONValue, depth: Int, at path: String) throws(DocumentFault) {
        guard depth <= 8 else { throw .field(path, "is nested deeper than 8") }
        switch value {
        case .null, .bool, .integer, .string: return
        case .double: throw .field(path, "is a number with a fraction; put it in quotation marks")
        case .array(let items):
            for (index, item) in items.enumerated() { try checkFree(item, depth: depth + 1, at: "\(path)[\(index)]") }
        case .object(let members):
            guard Set(members.map(\.name)).count == members.count else { throw .field(path, "has a name twice") }
            for member in members {
                try checkFree(member.value, depth: depth + 1, at: "\(path).\(member.name.printable(charactersMax: 60))")
            }
        }
    }

    /// A count that is not negative. Wires hold `Int64`, because a decoder names no place when a number does not fit its type.
    static func count(_ value: Int64, at path: @autoclosure () -> String) throws(DocumentFault) -> UInt64 {
        guard value >= 0 else { throw .field(path(), "is negative") }
        return UInt64(value)
    }

    static func schema(_ found: String, is wanted: String) throws(DocumentFault) {
        guard found == wanted else { throw .schema(found) }
    }

    /// What a keyring version, `keyring`, may be.
    static let keyringVersions = 1...Int(Int32.max)
    static let reasonCharactersMax = 2000
}
