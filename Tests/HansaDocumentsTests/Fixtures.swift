import Foundation
import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

/// Keys, documents and edits that the tests share. Keys are of fixed seeds, so every document here has one spelling.
enum Fixture {
    static let kitchener = try! CityID("kitchener.ca")  // A name that is one.
    static let auckland = try! CityID("auckland.nz")  // A name that is one.
    static let now = Timestamp(milliseconds: 1_796_000_000_000)

    /// The key whose seed is 32 times this byte.
    static func key(_ byte: UInt8) -> Ed25519PrivateKey {
        try! Ed25519PrivateKey(seed: [UInt8](repeating: byte, count: 32))  // 32 bytes are a seed.
    }

    static func digest(_ byte: UInt8) -> Digest { SHA256.hash([byte]) }

    static func noteKey(_ name: String, type: UInt8, _ key: Ed25519PrivateKey) -> NoteKey {
        let bytes = [type] + key.publicKey.bytes
        let id = SHA256.hash([Array(name.utf8), [0x0A], bytes]).bytes.prefix(4)
        return NoteKey(name: name, vkey: "\(name)+\(Hex.encode(id))+\(Base64.encode(bytes))")
    }

    /// Officers 1, 2, 3; package key 11; log key 21; witness key 31 unless told otherwise.
    static func keyring(
        version: Int = 1, city: CityID = kitchener, officers: [UInt8] = [1], threshold: Int = 1, package: [UInt8] = [11],
        log: UInt8 = 21,
        witness: UInt8 = 31, next: [UInt8] = [], revoked: [UInt8] = [], name: String = "City of Kitchener"
    ) throws -> Keyring {
        try Keyring(
            version: version, expires: Timestamp(seconds: 1_860_000_000), city: city, name: name, country: "CA",
            endpoints: ["node.kitchener.ca:7845", "[2001:db8::1]:7845"], officers: officers.map { key($0).publicKey },
            officerThreshold: threshold, packageKeys: package.map { key($0).publicKey }, packageThreshold: 1,
            logKeys: [key(log).publicKey], tlsPins: [TLSPin(spki: digest(1), notAfter: Timestamp(seconds: 1_850_000_000))],
            log: noteKey("node.\(city)/log", type: 0x01, key(log)),
            witness: noteKey("node.\(city)/witness", type: 0x04, key(witness)),
            nextKeyHashes: next.map { key($0).publicKey.keyID }, revoked: revoked.map { key($0).publicKey.keyID })
    }

    static func release(
        package: String = "kitchener.ca/roads/water-main-breaks", operation: Release.Operation = .publish, seq: UInt64 = 2,
        previous: Digest? = digest(9), parents: [Digest] = [digest(9)], clock: [(CityID, UInt64)] = [(kitchener, 2)],
        title: String = "Breaks"
    ) throws -> Release {
        let hasContent = operation != .withdraw
        return try Release(
            package: PackageID(package), kind: .dataset, version: Version(1, 0, 1), operation: operation, writer: kitchener,
            keyring: 1,
            seq: seq, previous: previous, parents: parents, clock: clock.map { ClockEntry(city: $0.0, seq: $0.1) }, issued: now,
            tlp: .amber, title: title, bytes: hasContent ? 123_456 : 0, files: hasContent ? 2 : 0,
            manifest: hasContent ? digest(4) : nil, index: hasContent ? IndexReference(root: digest(5), chunks: 1025) : nil)
    }

    static func receipt(items: Int = 2) throws -> Receipt {
        try Receipt(
            view: digest(1), from: auckland, to: kitchener, issued: now,
            items: (0..<items).map {
                Receipt.Item(
                    release: SHA256.hash(Array("\($0)".utf8)), transfer: String(repeating: "0f", count: 16),
                    outcome: $0 == 1 ? .refused : .accepted, reason: $0 == 1 ? "no-term" : nil)
            }, log: Receipt.LogHead(origin: "node.auckland.nz/log", size: 70, root: digest(7)), keyring: 3)
    }

    static func step() throws -> AgreementStep {
        try AgreementStep(
            agreement: digest(1), step: .terminate, by: auckland, previous: digest(2), issued: now,
            effective: now.adding(seconds: 30 * 86_400),
            reason: "The pilot is over.", keyring: 2, contents: ["b": 1, "a": ["é", nil]])
    }

    static func json(_ bytes: [UInt8]) throws -> JSONValue { try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) }
}

extension JSONValue {
    /// The same with one member or item set, or removed for nil, along a path such as `roles.root.keyids.0`.
    func setting(_ path: String, to value: JSONValue?) -> JSONValue {
        setting(path.split(separator: ".").map(String.init)[...], to: value)
    }

    private func setting(_ path: ArraySlice<String>, to new: JSONValue?) -> JSONValue {
        guard let name = path.first else { return new ?? .null }
        let rest = path.dropFirst()
        switch self {
        case .object(var members):
            if let index = members.firstIndex(where: { $0.name == name }) {
                if rest.isEmpty, new == nil {
                    members.remove(at: index)
                } else {
                    members[index] = JSONMember(name, members[index].value.setting(rest, to: new))
                }
            } else if let new {
                members.append(JSONMember(name, JSONValue.object([]).setting(rest, to: new)))
            }
            return .object(members)
        case .array(var items):
            guard let index = Int(name) else { return self }
            if index == items.count {
                if let new { items.append(new) }
            } else if rest.isEmpty, new == nil {
                items.remove(at: index)
            } else {
                items[index] = items[index].setting(rest, to: new)
            }
            return .array(items)
        default: return rest.isEmpty ? new ?? .null : self
        }
    }
}

/// The fault of reading an edited payload; nil when it is read.
func fault<T: SignedDocument>(_ type: T.Type, _ payload: [UInt8], setting path: String, to value: JSONValue?) throws
    -> DocumentFault?
{
    let edited = try Fixture.json(payload).setting(path, to: value)
    do throws(DocumentFault) {
        _ = try T(payload: edited.serialized())
        return nil
    } catch {
        return error
    }
}

extension DocumentFault {
    /// Where it is; empty for faults of no place.
    var path: String {
        switch self {
        case .field(let path, _), .unknownKey(let path): path
        default: ""
        }
    }
}
