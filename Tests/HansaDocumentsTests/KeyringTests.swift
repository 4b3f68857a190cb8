import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

@Suite struct KeyringTests {
    @Test func aKeyringReadsBackFromItsPayload() throws {
        for keyring in [
            try Fixture.keyring(),
            try Fixture.keyring(version: 7, officers: [1, 2, 3], threshold: 2, package: [11, 12], next: [4, 5], revoked: [9]),
        ] {
            let payload = keyring.payload()
            #expect(try Keyring(payload: payload) == keyring)
            #expect(try Keyring(payload: payload).payload() == payload)
        }
    }

    @Test func unknownFieldsAreIgnored() throws {
        let payload = try Fixture.keyring().payload()
        #expect(try fault(Keyring.self, payload, setting: "hansa.motto", to: "x") == nil)
        #expect(try fault(Keyring.self, payload, setting: "custom", to: ["a": 1]) == nil)
    }

    @Test(
        arguments: [
            ("_type", "targets", ""), ("spec_version", "2.0.0", ""), ("version", 0, "version"), ("version", "1", "version"),
            ("version", nil, "version"),
            ("version", 2_147_483_648, "version"), ("expires", "2028-12-10T00:00:00.000Z", "expires"),
            ("expires", "2028-12-10", "expires"),
            ("consistent_snapshot", nil, "consistent_snapshot"), ("roles.root.threshold", 0, "roles.root.threshold"),
            ("roles.root.threshold", 4, "roles.root.threshold"), ("roles.root.threshold", -1, "roles.root.threshold"),
            ("roles.root.keyids", [], "roles.root.keyids"), ("roles.targets.threshold", 2, "roles.targets.threshold"),
            ("roles.timestamp", nil, "roles.timestamp"), ("roles.timestamp.threshold", 2, "roles.timestamp"),
            ("roles.snapshot.keyids", [], "roles.timestamp"),
            ("hansa", nil, "hansa"), ("hansa.city", "Kitchener.ca", "hansa.city"), ("hansa.name", "", "hansa.name"),
            ("hansa.country", "ca", "hansa.country"),
            ("hansa.endpoints.0", "kitchener.ca", "hansa.endpoints[0]"),
            ("hansa.endpoints.0", "kitchener.ca:0", "hansa.endpoints[0]"),
            ("hansa.endpoints.0", "2001:db8::1:80", "hansa.endpoints[0]"), ("hansa.endpoints.0", ":80", "hansa.endpoints[0]"),
            ("hansa.endpoints.0", "a b:80", "hansa.endpoints[0]"), ("hansa.endpoints.0", "a:+80", "hansa.endpoints[0]"),
            ("hansa.tls.0.spki", "00", "hansa.tls[0].spki"), ("hansa.tls.0.notAfter", "never", "hansa.tls[0].notAfter"),
            ("hansa.log.vkey", "x", "hansa.log.vkey"), ("hansa.log.origin", "node.kitchener.ca/other", "hansa.log.vkey"),
            ("hansa.witness.name", "a+b", "hansa.witness"), ("hansa.witness.name", "a b", "hansa.witness"),
            ("hansa.revoked", ["sha256:00"], "hansa.revoked"),
            ("hansa.nextKeyHashes", ["00"], "hansa.nextKeyHashes"),
        ] as [(String, JSONValue?, String)])
    func aFieldThatIsWrongIsNamed(path: String, value: JSONValue?, place: String) throws {
        let payload = try Fixture.keyring(officers: [1, 2, 3], threshold: 2).payload()
        let found = try #require(try fault(Keyring.self, payload, setting: path, to: value))
        #expect(found.path == place)
    }

    @Test func aKeyIsNamedByItsOwnHash() throws {
        let payload = try Fixture.keyring(officers: [1, 2]).payload()
        let other = Hex.encode(Fixture.key(99).publicKey.bytes)
        let id = Fixture.key(1).publicKey.keyID.hex
        #expect(try fault(Keyring.self, payload, setting: "keys.\(id).keyval.public", to: .string(other))?.path == "keys.\(id)")
        // One key under two ids.
        let twice = try Fixture.json(payload).setting("keys.other", to: try Fixture.json(payload)["keys"]?[id]).setting(
            "roles.root.keyids.2", to: "other")
        #expect(throws: DocumentFault.field("keys.other", "is not the id of its key (SHA-256 of its 32 bytes)")) {
            try Keyring(payload: twice.serialized())
        }
        #expect(
            try fault(Keyring.self, payload, setting: "roles.root.keyids.1", to: .string(Fixture.digest(1).hex))?.path
                == "roles.root.keyids")
        #expect(
            try fault(Keyring.self, payload, setting: "roles.root.keyids", to: [.string(id), .string(id)])?.path
                == "roles.root.keyids")
        #expect(try fault(Keyring.self, payload, setting: "keys.\(id).keytype", to: "rsa")?.path == "keys.\(id)")
    }

    @Test func weakKeysAreNotEnrolled() throws {
        let payload = try Fixture.json(try Fixture.keyring().payload())
        // The identity point, and a second spelling of a point.
        for weak in [
            "01" + String(repeating: "00", count: 31), "ee" + String(repeating: "ff", count: 30) + "7f",
            String(repeating: "00", count: 32),
        ] {
            let bytes = try #require(Hex.decode(weak))
            let id = SHA256.hash(bytes).hex
            let edited = payload.setting(
                "keys",
                to: .object(
                    (payload["keys"]?.object ?? []) + [
                        JSONMember(id, ["keytype": "ed25519", "scheme": "ed25519", "keyval": ["public": .string(weak)]])
                    ])
            )
            .setting("roles.root.keyids.1", to: .string(id))
            #expect(throws: DocumentFault.self) { try Keyring(payload: edited.serialized()) }
        }
    }

    @Test func oneKeyHasOneJob() {
        #expect(throws: DocumentFault.self) { try Fixture.keyring(officers: [1], package: [1]) }
        #expect(throws: DocumentFault.self) { try Fixture.keyring(officers: [1], log: 1) }
        #expect(throws: DocumentFault.self) { try Fixture.keyring(log: 21, witness: 21) }
        #expect(throws: DocumentFault.self) { try Fixture.keyring(package: [31], witness: 31) }
        #expect(throws: DocumentFault.self) { try Fixture.keyring(officers: [1, 1]) }
        #expect(throws: DocumentFault.self) { try Fixture.keyring(officers: [1, 2], revoked: [2]) }
    }

    @Test func theLogsKeyIsTheSnapshotRoles() throws {
        let keyring = try Fixture.keyring()
        #expect(throws: DocumentFault.field("hansa.log.vkey", "is of no key of the snapshot role")) {
            try Keyring(
                version: 1, expires: keyring.expires, city: keyring.city, name: "x", country: nil, endpoints: [],
                officers: keyring.officers,
                officerThreshold: 1, packageKeys: keyring.packageKeys, packageThreshold: 1, logKeys: keyring.logKeys, tlsPins: [],
                log: Fixture.noteKey("a.b/log", type: 1, Fixture.key(22)), witness: keyring.witness)
        }
        // A witness signature must not pass for one of the log: the types differ in the key's name.
        #expect(throws: DocumentFault.self) {
            try Keyring(
                version: 1, expires: keyring.expires, city: keyring.city, name: "x", country: nil, endpoints: [],
                officers: keyring.officers,
                officerThreshold: 1, packageKeys: keyring.packageKeys, packageThreshold: 1, logKeys: keyring.logKeys, tlsPins: [],
                log: Fixture.noteKey("a.b/log", type: 4, Fixture.key(21)), witness: keyring.witness)
        }
    }

    @Test func expiryIsAMomentTheCallerChooses() throws {
        let keyring = try Fixture.keyring()
        #expect(!keyring.isExpired(at: keyring.expires.adding(milliseconds: -1)))
        #expect(keyring.isExpired(at: keyring.expires))
    }
}

@Suite struct FingerprintTests {
    @Test func theFingerprintFollowsItsDefinition() throws {
        let keyring = try Fixture.keyring(officers: [1, 2], threshold: 2)
        let ids = [Fixture.key(1), Fixture.key(2)].map(\.publicKey.keyID.hex).sorted().joined(separator: "\n")
        let hash = SHA256.hash(Array("hansa-fingerprint/1kitchener.ca\n2\n\(ids)".utf8)).bytes
        let first = (Int(hash[0]) << 24 | Int(hash[1]) << 16 | Int(hash[2]) << 8 | Int(hash[3])) % 100_000
        #expect(keyring.fingerprint.groups.count == 8)
        #expect(Int(keyring.fingerprint.groups[0]) == first)
        #expect(keyring.fingerprint.description.count == 47)
    }

    @Test func itIsReadHoweverPeopleWriteIt() throws {
        let fingerprint = try Fixture.keyring().fingerprint
        let text = fingerprint.description
        #expect(Fingerprint(parsing: text) == fingerprint)
        #expect(Fingerprint(parsing: text.replacing(" ", with: "-")) == fingerprint)
        #expect(Fingerprint(parsing: text.replacing(" ", with: "")) == fingerprint)
        #expect(Fingerprint(parsing: "  " + text.replacing(" ", with: "\n") + "\n") == fingerprint)
        for other in ["", "12345", text + "1", text.dropLast() + "", text.replacing(" ", with: "x"), "１" + text.dropFirst()] {
            #expect(Fingerprint(parsing: other) == nil)
        }
    }

    @Test func cityThresholdAndKeysAllChangeIt() throws {
        let fingerprints = [
            try Fixture.keyring(officers: [1, 2]).fingerprint, try Fixture.keyring(officers: [1, 2], threshold: 2).fingerprint,
            try Fixture.keyring(officers: [1, 3]).fingerprint,
            try Fixture.keyring(city: Fixture.auckland, officers: [1, 2]).fingerprint,
        ]
        #expect(Set(fingerprints).count == 4)
        // Other keys and the version change nothing: officers vouch for them.
        #expect(try Fixture.keyring(version: 9, officers: [1, 2], package: [12], log: 22).fingerprint == fingerprints[0])
    }
}
