import Foundation
import HansaCore
import Testing

@Suite struct EncodingsTests {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64IsThatOfTheRFC(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.encode(text.utf8) == encoded)
        #expect(Base64.decode(encoded) == Array(text.utf8))
        #expect(Base64.decode(encoded.replacing("=", with: "")) == Array(text.utf8))
    }

    @Test func bothAlphabetsAreReadButNotMixed() {
        #expect(Base64.decode("+/+/") == [0xFB, 0xFF, 0xBF])
        #expect(Base64.decode("-_-_") == [0xFB, 0xFF, 0xBF])
        #expect(Base64.decode("+_+_") == nil)
        #expect(Base64.decode("-/") == nil)
        #expect(Base64.encode([0xFB, 0xFF, 0xBF]) == "+/+/")
    }

    @Test(arguments: [
        "Z", "Zg=", "Zg===", "Zm8==", "Zm9v=", "Zm9v==", "Zm9v====", "=", "==", "====", "Zg= =", " Zg==", "Zg==\n", "Zm\n9v",
        "Zm9v!", "Zh==", "Zm9=",
        "Zm8=Zm8=", "Zé==", "Z\u{0}==",
    ])
    func laxBase64IsRefused(text: String) { #expect(Base64.decode(text) == nil) }

    @Test(arguments: [1, 2] as [UInt64]) func base64AgreesWithFoundation(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for count in 0..<300 {
            let bytes = random.bytes(count)
            let text = Base64.encode(bytes)
            #expect(text == Data(bytes).base64EncodedString(), "seed \(seed)")
            #expect(Base64.decode(text) == bytes, "seed \(seed)")
            #expect(Base64.decode(text.replacing("+", with: "-").replacing("/", with: "_")) == bytes, "seed \(seed)")
            #expect(Hex.decode(Hex.encode(bytes)) == bytes, "seed \(seed)")
        }
    }

    /// Of all texts of two letters, padded, only those with zero trailing bits stand for a byte.
    @Test func everyByteHasOneSpelling() {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var seen: Set<[UInt8]> = []
        for first in letters {
            for second in letters {
                if let bytes = Base64.decode("\(first)\(second)==") { #expect(seen.insert(bytes).inserted) }
            }
        }
        #expect(seen.count == 256)
    }

    @Test(arguments: ["0", "0g", "AB", "0x00", " 00", "é0"]) func laxHexIsRefused(text: String) {
        #expect(Hex.decode(text) == nil)
    }

    @Test func hexIsLowerCase() {
        #expect(Hex.encode([0, 15, 16, 171, 255]) == "000f10abff")
        #expect(Hex.decode("000f10abff") == [0, 15, 16, 171, 255])
        #expect(Hex.decode("") == [])
    }
}
