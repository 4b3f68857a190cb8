// The keyring as TUF writes a root, with our own part under `hansa`.
internal import HansaCore
internal import HansaCrypto

extension Keyring {
    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 2048)
        writer.object { object in
            object.field("_type", "root")
            object.field("version", version)
            object.field("spec_version", Keyring.specVersion)
            object.field("expires", expires.secondsDescription)
            object.field("consistent_snapshot", true)
            object.object("keys") { keys in
                for key in (officers + packageKeys + logKeys).sorted(by: { $0.keyID < $1.keyID }) {
                    keys.object(key.keyID.hex) { object in
                        object.field("keytype", "ed25519")
                        object.field("scheme", "ed25519")
                        object.object("keyval") { $0.field("public", Hex.encode(key.bytes)) }
                    }
                }
            }
            object.object("roles") { roles in
                Keyring.write("root", officers, officerThreshold, to: &roles)
                Keyring.write("targets", packageKeys, packageThreshold, to: &roles)
                Keyring.write("snapshot", logKeys, 1, to: &roles)
                Keyring.write("timestamp", logKeys, 1, to: &roles)
            }
            object.object("hansa") { writeOwnPart(to: &$0) }
        }
        return writer.finish()
    }

    private static func write(_ role: String, _ keys: [Ed25519PublicKey], _ threshold: Int, to roles: inout JSONWriter) {
        roles.object(role) { object in
            object.field("keyids", keys.map(\.keyID.hex))
            object.field("threshold", threshold)
        }
    }

    private func writeOwnPart(to object: inout JSONWriter) {
        object.field("city", city.text)
        object.field("name", name)
        if let country { object.field("country", country) }
        object.field("endpoints", endpoints)
        object.array("tls") { array in
            for pin in tlsPins {
                array.object { object in
                    object.field("spki", pin.spki)
                    object.field("notAfter", pin.notAfter.secondsDescription)
                }
            }
        }
        object.object("log") { object in
            object.field("origin", log.name)
            object.field("vkey", log.vkey)
        }
        object.object("witness") { object in
            object.field("name", witness.name)
            object.field("vkey", witness.vkey)
        }
        if !nextKeyHashes.isEmpty { object.field("nextKeyHashes", nextKeyHashes) }
        if !revoked.isEmpty { object.field("revoked", revoked.map(\.hex)) }
    }

    private struct Wire: Decodable {
        struct Key: Decodable {
            struct Value: Decodable { let `public`: String }
            let keytype: String
            let scheme: String
            let keyval: Value
        }
        struct Role: Decodable {
            let keyids: [String]
            let threshold: Int
        }
        struct Roles: Decodable {
            let root: Role
            let targets: Role
            let snapshot: Role
            let timestamp: Role
        }
        struct Pin: Decodable {
            let spki: String
            let notAfter: String
        }
        struct Log: Decodable {
            let origin: String
            let vkey: String
        }
        struct Witness: Decodable {
            let name: String
            let vkey: String
        }
        struct Own: Decodable {
            let city: String
            let name: String
            let country: String?
            let endpoints: [String]
            let tls: [Pin]
            let log: Log
            let witness: Witness
            let nextKeyHashes: [String]?
            let revoked: [String]?
        }
        let type: String
        let version: Int
        let specVersion: String
        let expires: String
        let consistentSnapshot: Bool
        let keys: [String: Key]
        let roles: Roles
        let hansa: Own

        enum CodingKeys: String, CodingKey {
            case type = "_type"
            case version, expires, keys, roles, hansa
            case specVersion = "spec_version"
            case consistentSnapshot = "consistent_snapshot"
        }
    }

    public init(payload: [UInt8]) throws(DocumentFault) {
        self = try DocumentMemo.document(payload) { () throws(DocumentFault) in try Keyring(reading: payload) }
    }

    private init(reading payload: [UInt8]) throws(DocumentFault) {
        let wire = try StrictJSON.decodePayload(Wire.self, from: payload)
        guard wire.type == "root" else { throw .schema(wire.type) }
        guard wire.specVersion.hasPrefix("1.0.") else { throw .schema("TUF \(wire.specVersion)") }
        guard wire.expires.utf8.count == 20 else { throw .field("expires", "is not YYYY-MM-DDThh:mm:ssZ") }
        var keys: [String: Ed25519PublicKey] = [:]
        for (id, key) in wire.keys { keys[id] = try Keyring.key(key, id: id) }
        guard wire.roles.timestamp.keyids.sorted() == wire.roles.snapshot.keyids.sorted(), wire.roles.timestamp.threshold == 1,
            wire.roles.snapshot.threshold == 1
        else { throw .field("roles.timestamp", "is not the snapshot role, or their threshold is not 1") }
        var pins: [TLSPin] = []
        for (index, pin) in wire.hansa.tls.enumerated() {
            pins.append(
                TLSPin(
                    spki: try Field.digest(pin.spki, at: "hansa.tls[\(index)].spki"),
                    notAfter: try Field.time(pin.notAfter, at: "hansa.tls[\(index)].notAfter")))
        }
        var next: [Digest] = []
        for hash in wire.hansa.nextKeyHashes ?? [] { next.append(try Field.digest(hash, at: "hansa.nextKeyHashes")) }
        var revoked: [Digest] = []
        for id in wire.hansa.revoked ?? [] {
            guard let digest = Digest(hex: id) else { throw .field("hansa.revoked", "is no key id (64 hex digits)") }
            revoked.append(digest)
        }
        try self.init(
            version: wire.version, expires: Field.time(wire.expires, at: "expires"),
            city: Field.city(wire.hansa.city, at: "hansa.city"),
            name: wire.hansa.name, country: wire.hansa.country, endpoints: wire.hansa.endpoints,
            officers: Keyring.keys(of: "root", wire.roles.root, among: keys), officerThreshold: wire.roles.root.threshold,
            packageKeys: Keyring.keys(of: "targets", wire.roles.targets, among: keys),
            packageThreshold: wire.roles.targets.threshold,
            logKeys: Keyring.keys(of: "snapshot", wire.roles.snapshot, among: keys), tlsPins: pins,
            log: NoteKey(name: wire.hansa.log.origin, vkey: wire.hansa.log.vkey),
            witness: NoteKey(name: wire.hansa.witness.name, vkey: wire.hansa.witness.vkey), nextKeyHashes: next, revoked: revoked)
    }

    private static func key(_ wire: Wire.Key, id: String) throws(DocumentFault) -> Ed25519PublicKey {
        let path = "keys.\(id.printable(charactersMax: 64))"
        guard wire.keytype == "ed25519", wire.scheme == "ed25519" else { throw .field(path, "is not an Ed25519 key") }
        guard let bytes = Hex.decode(wire.keyval.public) else { throw .field(path, "is not hex") }
        let key: Ed25519PublicKey
        do throws(KeyFault) { key = try Ed25519PublicKey(enrolling: bytes) } catch { throw .field(path, error.description) }
        // One key under two ids would count twice for whoever counts ids; with the id bound to the key it cannot.
        guard key.keyID.hex == id else { throw .field(path, "is not the id of its key (SHA-256 of its 32 bytes)") }
        return key
    }

    private static func keys(of role: String, _ wire: Wire.Role, among keys: [String: Ed25519PublicKey]) throws(DocumentFault)
        -> [Ed25519PublicKey]
    {
        guard wire.keyids.count <= keysPerRoleMax else { throw .field("roles.\(role).keyids", "are more than \(keysPerRoleMax)") }
        var found: [Ed25519PublicKey] = []
        for id in wire.keyids {
            guard let key = keys[id] else { throw .field("roles.\(role).keyids", "name a key that is not in keys") }
            found.append(key)
        }
        return found
    }
}
