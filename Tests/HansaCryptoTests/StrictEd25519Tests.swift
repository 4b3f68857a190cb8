import Foundation
import HansaCore
import HansaCrypto
import Testing

/// What must never verify, and what must never be enrolled.
@Suite struct StrictEd25519Tests {
    /// The 14 encodings of the eight points of small order: the canonical eight, and six second spellings.
    static let smallOrder: [String] = {
        let ordinates = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ]
        return ordinates.flatMap { text -> [String] in
            var bytes = Hex.decode(text) ?? []
            bytes[31] |= 0x80
            return [text, Hex.encode(bytes)]
        }
    }()

    @Test func allFourteenKeysOfSmallOrderAreRefused() throws {
        #expect(Set(Self.smallOrder).count == 14)
        for text in Self.smallOrder {
            let bytes = try #require(Hex.decode(text))
            #expect(throws: KeyFault.smallOrder) { try Ed25519PublicKey(enrolling: bytes) }
        }
    }

    @Test func everySecondSpellingOfAKeyIsRefused() throws {
        // y = p … 2^255 − 1 in both signs: 38 encodings, of which 4 are of small order.
        for low in UInt8(0xED)...0xFF {
            for top: UInt8 in [0x7F, 0xFF] {
                let bytes = [low] + [UInt8](repeating: 0xFF, count: 30) + [top]
                let expected: KeyFault = low <= 0xEE ? .smallOrder : .notCanonical
                #expect(throws: expected) { try Ed25519PublicKey(enrolling: bytes) }
            }
        }
    }

    @Test func aKeyThatIsNoPointIsRefused() throws {
        // RFC 8032's curve has no point with y = 2, and one with y = 3.
        #expect(throws: KeyFault.notOnCurve) { try Ed25519PublicKey(enrolling: [2] + [UInt8](repeating: 0, count: 31)) }
        #expect(throws: Never.self) { try Ed25519PublicKey(enrolling: [3] + [UInt8](repeating: 0, count: 31)) }
        for count in [0, 31, 33] {
            #expect(throws: KeyFault.wrongLength(count)) { try Ed25519PublicKey(enrolling: [UInt8](repeating: 3, count: count)) }
        }
    }

    @Test func everyKeyWeMakeCanBeEnrolled() throws {
        for seed in UInt8(0)..<100 {
            let key = try Ed25519PrivateKey(seed: [UInt8](repeating: seed, count: 32))
            let enrolled = try Ed25519PublicKey(enrolling: key.publicKey.bytes)
            #expect(enrolled == key.publicKey && enrolled.hashValue == key.publicKey.hashValue)
        }
    }

    @Test func aSignatureHasOneSpelling() throws {
        let key = try Ed25519PrivateKey(seed: [UInt8](repeating: 7, count: 32))
        let message = Array("one spelling".utf8)
        let signature = key.sign(message)
        #expect(key.publicKey.isValid(signature, for: message))
        // S + L is the same number to the equation.
        let order: [UInt8] = [
            0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ]
        var malleated = signature
        var carry = 0
        for index in 0..<32 {
            let sum = Int(signature[32 + index]) + Int(order[index]) + carry
            malleated[32 + index] = UInt8(sum & 0xFF)
            carry = sum >> 8
        }
        #expect(carry == 0)
        #expect(!key.publicKey.isValid(malleated, for: message))
        for index in 0..<64 {
            var changed = signature
            changed[index] ^= 1
            #expect(!key.publicKey.isValid(changed, for: message))
        }
        #expect(!key.publicKey.isValid(signature + [0], for: message))
        #expect(!key.publicKey.isValid([], for: message))
    }

    /// One line of C2SP's table (c2sp.org/CCTV/ed25519), made by Filippo Valsorda.
    struct EdgeCase: Decodable {
        let number: Int
        let key: String
        let sig: String
        let msg: String
        let flags: [String]?
    }

    /// Strict means: nothing of small order, nothing in a second spelling, and no residue of small order in the equation, which only
    /// a verifier with the cofactor would forgive. What has merely a component of small order in A and R, cancelling out, is valid.
    @Test(.enabled(if: SharedData.exists("vectors/ed25519vectors.json"), "needs ../shared/data/vectors/ed25519vectors.json"))
    func eachEdgeCaseOfC2SPIsDecidedStrictly() throws {
        let cases = try JSONDecoder().decode([EdgeCase].self, from: SharedData.read("vectors/ed25519vectors.json"))
        #expect(cases.count == 914)
        let refused: Set = ["low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R", "low_order_residue"]
        let known = refused.union(["low_order_component_A", "low_order_component_R", "reencoded_k"])
        var accepted = 0
        for edge in cases {
            let flags = Set(edge.flags ?? [])
            #expect(flags.isSubset(of: known), "case \(edge.number) has a flag that no rule is known for")
            let key = try? Ed25519PublicKey(enrolling: try #require(Hex.decode(edge.key)))
            let valid = key?.isValid(try #require(Hex.decode(edge.sig)), for: Array(edge.msg.utf8)) ?? false
            #expect(valid == flags.isDisjoint(with: refused), "case \(edge.number), \(flags.sorted())")
            // Enrolment looks at A alone, and refuses just what is wrong with A.
            #expect(
                (key == nil) == !flags.isDisjoint(with: ["low_order_A", "non_canonical_A"]), "case \(edge.number), enrolment")
            if valid { accepted += 1 }
        }
        #expect(accepted == 43)
    }
}

/// Vectors that stand beside the package, not in it.
enum SharedData {
    static var root: String {
        ProcessInfo.processInfo.environment["HANSA_SHARED"].map { $0 + "/data" }
            ?? URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../shared/data").standardized.path
    }
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: root + "/" + path) }
    static func read(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: root + "/" + path)) }
}
