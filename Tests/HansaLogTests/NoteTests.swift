import HansaCore
import HansaCrypto
import HansaLog
import Testing

@Suite struct NoteTests {
    private static let logName = "hansa.luebeck.example/log1"
    private static let logKeyText = "hansa.luebeck.example/log1+73f72bbb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    private static let witnessKeyText = "hansa.hamburg.example/w1+23e40a67+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
    private static let note70 = """
        hansa.luebeck.example/log1
        70
        5uPoRcCqIzZ9j+FJi6lzO03/o98hNi1CQB3Lv7OQnBI=

        — hansa.luebeck.example/log1 c/cru6c8uRG1M3vW6zryxDLoZI1lqq23FLKKr6gfcH6YntlLD78nMjCLO5reP/5fTflXkQpJnTorT4tLE8oE1nCBLAc=
        — hansa.hamburg.example/w1 I+QKZwAAAABlU/EAOWxhkMxWsCgw/cUpdAHRJUN/hOgHaz5DoQlS6S5C8vMMyhOPpXZ7X8Fih3M4n4oa7gXERwVYU+B1hYlcJiEcAg==

        """
    private let log: LogSigner
    private let witness: WitnessSigner

    init() throws {
        log = try LogSigner(origin: Self.logName, key: Sample.signingKey(0x00))
        witness = try WitnessSigner(name: "hansa.hamburg.example/w1", key: Sample.signingKey(0x20))
    }

    // MARK: Known answers

    @Test func verifierKeysHaveTheirKnownSpelling() throws {
        #expect(log.verifierKey.text == Self.logKeyText)
        #expect(witness.verifierKey.text == Self.witnessKeyText)
        #expect(try VerifierKey(Self.logKeyText) == log.verifierKey)
        #expect(try VerifierKey(Self.witnessKeyText) == witness.verifierKey)
    }

    @Test func theEmptyLogHasItsKnownCheckpoint() throws {
        let note = log.sign(try Checkpoint(origin: Self.logName, size: 0, root: MerkleTree.emptyRoot))
        let line =
            "— hansa.luebeck.example/log1 c/cru7vewmzwrjX1qnAyPs+k4W00xEPRoAhvkDZiHpuQw8jjjsRk2cqNPybDvOMvJlIauA5sCOI3DI4MeS4NWIyuTgk=\n"
        #expect(String(decoding: note.bytes, as: UTF8.self).hasSuffix("\n\n" + line))
    }

    @Test func aLogOf70EntriesHasItsKnownCheckpointAndCosignature() throws {
        let root = MerkleTree.root((0..<70).map { MerkleTree.leafHash(Array("entry \($0)".utf8)) })
        let checkpoint = try Checkpoint(origin: Self.logName, size: 70, root: root)
        let note = log.sign(checkpoint).adding(witness.cosign(checkpoint, at: Timestamp(seconds: 1_700_000_000)))
        #expect(String(decoding: note.bytes, as: UTF8.self) == Self.note70)

        let read = try SignedCheckpoint(Array(Self.note70.utf8), log: log.verifierKey, witnesses: [witness.verifierKey])
        #expect(read.checkpoint == checkpoint)
        #expect(read.bytes == Array(Self.note70.utf8))
        #expect(read.cosignatures.map(\.time) == [Timestamp(seconds: 1_700_000_000)])
        #expect(read.cosignatures.map(\.witness) == [witness.verifierKey])
    }

    // MARK: Trust

    @Test func linesOfUnknownKeysAreIgnored() throws {
        let read = try SignedCheckpoint(Array(Self.note70.utf8), log: log.verifierKey)
        #expect(read.size == 70)
        #expect(read.cosignatures.isEmpty)
    }

    @Test func aNoteThatNobodyWeTrustSignedIsRefused() throws {
        let stranger = try LogSigner(origin: Self.logName, key: Sample.signingKey(0x40))
        #expect(throws: NoteFault.notSigned) { try SignedCheckpoint(Array(Self.note70.utf8), log: stranger.verifierKey) }
        // A cosignature alone is no log's word.
        let note = try SignedNote(Array(Self.note70.utf8))
        let onlyWitness = SignedNote(text: note.text, signatures: [note.signatures[1]])
        #expect(throws: NoteFault.notSigned) {
            try SignedCheckpoint(onlyWitness, log: log.verifierKey, witnesses: [witness.verifierKey])
        }
    }

    @Test func aFailingLineOfATrustedKeyRefusesTheNote() throws {
        let note = try SignedNote(Array(Self.note70.utf8))
        var broken = note.signatures[1].signature
        broken[20] ^= 1
        let wrong = NoteSignature(name: note.signatures[1].name, keyID: note.signatures[1].keyID, signature: broken)
        let bad = SignedNote(text: note.text, signatures: [note.signatures[0], wrong])
        #expect(throws: NoteFault.badSignature(witness.verifierKey.name)) {
            try SignedCheckpoint(bad, log: log.verifierKey, witnesses: [witness.verifierKey])
        }
        // Also when another line of the same key holds.
        #expect(throws: NoteFault.badSignature(witness.verifierKey.name)) {
            try SignedCheckpoint(bad.adding(note.signatures[1]), log: log.verifierKey, witnesses: [witness.verifierKey])
        }
        #expect(throws: Never.self) { try SignedCheckpoint(bad, log: log.verifierKey) }
    }

    @Test func aWitnessSignatureIsNoLogSignatureAndTheReverse() throws {
        let key = Sample.signingKey(0x00)
        let asWitness = try WitnessSigner(name: Self.logName, key: key)
        let checkpoint = try Checkpoint(origin: Self.logName, size: 1, root: .zero)
        let cosigned = SignedNote(text: checkpoint.text, signatures: [asWitness.cosign(checkpoint, at: Timestamp(seconds: 1))])
        #expect(throws: NoteFault.notSigned) { try SignedCheckpoint(cosigned, log: log.verifierKey) }
        // Even when the line claims the other key's id.
        let disguised = NoteSignature(
            name: Self.logName, keyID: log.verifierKey.keyID, signature: cosigned.signatures[0].signature)
        #expect(throws: NoteFault.badSignature(Self.logName)) {
            try SignedCheckpoint(SignedNote(text: checkpoint.text, signatures: [disguised]), log: log.verifierKey)
        }
        let asLog = NoteSignature(
            name: Self.logName, keyID: asWitness.verifierKey.keyID, signature: log.sign(checkpoint).signatures[0].signature)
        #expect(throws: NoteFault.badSignature(Self.logName)) {
            try SignedCheckpoint(log.sign(checkpoint).adding(asLog), log: log.verifierKey, witnesses: [asWitness.verifierKey])
        }
        #expect(throws: NoteFault.malformedKey("it is not the key of a log")) {
            try SignedCheckpoint(cosigned, log: asWitness.verifierKey)
        }
    }

    @Test func aCheckpointOfAnotherLogUnderTheSameKeyIsRefused() throws {
        let text = "other.example/log\n0\n\(Base64.encode(MerkleTree.emptyRoot.bytes))\n"
        let signature = Sample.signingKey(0x00).sign(Array(text.utf8))
        let note = SignedNote(
            text: text, signatures: [NoteSignature(name: Self.logName, keyID: log.verifierKey.keyID, signature: signature)])
        #expect(throws: NoteFault.foreignOrigin("other.example/log")) { try SignedCheckpoint(note, log: log.verifierKey) }
    }

    // MARK: Hostile spellings

    private static let good = "text\n\n— a.example/log AAAAAAE=\n"

    @Test func aSmallNoteReadsBack() throws {
        let note = try SignedNote(Array(Self.good.utf8))
        #expect(note.text == "text\n")
        #expect(note.signatures == [NoteSignature(name: "a.example/log", keyID: 0, signature: [1])])
        #expect(note.bytes == Array(Self.good.utf8))
    }

    @Test func aNoteIsSplitAtItsLastBlankLine() throws {
        let note = try SignedNote(Array("one\n\n— a.example/log AAAAAAE=\n\n— b.example/log AAAAAAE=\n".utf8))
        #expect(note.text == "one\n\n— a.example/log AAAAAAE=\n")
        #expect(note.signatures.map(\.name) == ["b.example/log"])
        #expect(try SignedNote(Array("text\n\n\n— a AAAAAAE=\n".utf8)).text == "text\n\n")
    }

    @Test(arguments: [
        "", "\n", "\n\n", "text", "text\n", "text\n\n", "text\n— a AAAAAAE=\n",  // no signature block
        "\n\n— a AAAAAAE=\n",  // no text
        "text\n\n— a AAAAAAE=",  // no line feed at the end
        "text\n\n— a AAAAAAE=\n\n",  // nothing after the last blank line
        // dashes and spaces
        "text\n\n- a AAAAAAE=\n", "text\n\n– a AAAAAAE=\n", "text\n\n—a AAAAAAE=\n", "text\n\n—  AAAAAAE=\n",
        "text\n\n— a  AAAAAAE=\n", "text\n\n— a AAAAAAE= \n", "text\n\n— a b AAAAAAE=\n", "text\n\n— a\n",
        " text\n\n — a AAAAAAE=\n",
        "text\n\n— a+b AAAAAAE=\n", "text\n\n— a\u{A0}b AAAAAAE=\n", "text\n\n— a\u{2003}b AAAAAAE=\n",
        "text\n\n— a\u{85}b AAAAAAE=\n",  // names
        // base64
        "text\n\n— a AAAAAAE\n", "text\n\n— a AAAAAAF=\n", "text\n\n— a AAAA\n", "text\n\n— a AAAAAA==\n", "text\n\n— a \n",
        "text\n\n— a AAAAA-E=\n", "text\n\n— a AAAA AE=\n", "text\n\n— a AAAAAAE=A\n", "text\n\n— a AAAAAAE==\n",
        "text\n\n— a AAAAAAE=\nmore\n",
        "text\r\n\r\n— a AAAAAAE=\r\n", "te\u{0}xt\n\n— a AAAAAAE=\n", "te\txt\n\n— a AAAAAAE=\n",
        "text\n\n— a\u{7F} AAAAAAE=\n",  // controls
        "\u{1B}[31mtext\n\n— a AAAAAAE=\n",
    ])
    func aMalformedNoteIsRefused(text: String) {
        #expect(throws: NoteFault.self) { try SignedNote(Array(text.utf8)) }
    }

    @Test func aNoteThatIsNoUTF8IsRefused() {
        #expect(throws: NoteFault.notUTF8) { try SignedNote([0xC3, 0x28] + Array(Self.good.utf8)) }
        #expect(throws: NoteFault.notUTF8) { try SignedNote([0xED, 0xA0, 0x80] + Array(Self.good.utf8)) }
        #expect(throws: NoteFault.notUTF8) { try SignedNote([0xC0, 0x8A] + Array(Self.good.utf8)) }
    }

    @Test func aHugeNoteIsRefusedBeforeItIsRead() {
        #expect(throws: NoteFault.tooLarge) { try SignedNote([UInt8](repeating: 0x41, count: SignedNote.bytesMax + 1)) }
        let lines = String(repeating: "— a AAAAAAE=\n", count: SignedNote.signaturesMax + 1)
        #expect(throws: NoteFault.tooLarge) { try SignedNote(Array("text\n\n\(lines)".utf8)) }
    }

    @Test(arguments: [
        "", "a", "a+73f72bbb", "a+73f72bbb+", "+73f72bbb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "hansa.luebeck.example/log1+73F72BBB+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // upper case
        "hansa.luebeck.example/log1+73f72bbc+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // another id
        "hansa.luebeck.example/log2+73f72bbb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // another name
        "hansa.luebeck.example/log1+73f72bb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "hansa.luebeck.example/log1+73f72bbb+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // another type
        "hansa.luebeck.example/log1+73f72bbb+AgOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // unknown type
        "hansa.luebeck.example/log1+73f72bbb+AQOhB7_zzhC-HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",  // URL alphabet
        "hansa.luebeck.example/log1+73f72bbb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n",
        "a+b+73f72bbb+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        "hansa.luebeck.example/log1+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",  // a point of small order
    ])
    func aMalformedVerifierKeyIsRefused(text: String) {
        #expect(throws: NoteFault.self) { try VerifierKey(text) }
    }

    private static let root = "5uPoRcCqIzZ9j+FJi6lzO03/o98hNi1CQB3Lv7OQnBI="

    @Test(arguments: ["007", "-1", "+7", "", " 7", "7 ", "0x7", "9223372036854775808", "18446744073709551616", "1e3", "٧", "00"])
    func aSizeThatIsNoPlainNumberIsRefused(size: String) {
        #expect(throws: NoteFault.self) { try Checkpoint(text: "a.example/log\n\(size)\n\(Self.root)\n") }
        #expect(TreeSize(decimal: size) == nil)
        #expect(LeafIndex(decimal: size) == nil)
    }

    @Test func theLargestSizeIsTaken() throws {
        #expect(try Checkpoint(text: "a.example/log\n9223372036854775807\n\(Self.root)\n").size == .max)
    }

    @Test(arguments: [
        "", "\n\n\n", "a.example/log\n7\n", "a.example/log\n7\n\(root)", "\n7\n\(root)\n", "a b\n7\n\(root)\n",
        "a+b\n7\n\(root)\n",
        "a.example/log\n7\n\(root)\nextension\n", "a.example/log\n7\n\(root)\n\n",
        "a.example/log\n7\n5uPoRcCqIzZ9j+FJi6lzO03/o98hNi1CQB3Lv7OQnB==\n",
        "a.example/log\n7\n5uPoRcCqIzZ9j-FJi6lzO03_o98hNi1CQB3Lv7OQnBI=\n", "a.example/log\n7\nAAAA\n",
        "a.example/log\n7\n5uPoRcCqIzZ9j+FJi6lzO03/o98hNi1CQB3Lv7OQnBI\n",
        "a.example/log\n0\n\(root)\n",
    ])
    func aMalformedCheckpointIsRefused(text: String) {
        #expect(throws: NoteFault.self) { try Checkpoint(text: text) }
    }

    @Test(arguments: [7, 8] as [UInt64])
    func aCheckpointWithAnyByteFlippedIsRefused(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let bytes = log.sign(try Checkpoint(origin: Self.logName, size: 70, root: .zero)).bytes
        for position in bytes.indices {
            var flipped = bytes
            flipped[position] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
            #expect(throws: NoteFault.self, "seed \(seed), byte \(position)") {
                try SignedCheckpoint(flipped, log: log.verifierKey)
            }
        }
    }

    @Test func aCosignatureOfAnotherLengthOrBeyondTimeIsRefused() throws {
        let checkpoint = try Checkpoint(origin: Self.logName, size: 70, root: .zero)
        let good = witness.cosign(checkpoint, at: Timestamp(seconds: 5)).signature
        let far = [UInt8](repeating: 0xFF, count: 8) + good.dropFirst(8)
        for signature in [Array(good.dropLast()), good + [0], Array(good.dropFirst(8)), far] {
            #expect(!witness.verifierKey.isValid(signature, for: checkpoint.text))
        }
        #expect(witness.verifierKey.isValid(good, for: checkpoint.text))
    }

    @Test(arguments: [9, 10] as [UInt64])
    func mutilatedTextsAreRefusedOrReadBackAsTheyAre(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let samples = [Self.note70, Self.logKeyText, "tile/entries/x001/x234/067.p/17", "18446744073709551615\n\n— + x000"].map {
            Array($0.utf8)
        }
        for _ in 0..<5000 {
            var bytes = samples[Int.random(in: 0..<samples.count, using: &random)]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let position = Int.random(in: 0..<bytes.count, using: &random)
                switch random.next() % 4 {
                case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
                case 1 where bytes.count > 1: bytes.remove(at: position)
                case 2: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: position)
                default: bytes.swapAt(position, Int.random(in: 0..<bytes.count, using: &random))
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            if let note = try? SignedNote(bytes) {
                #expect(note.bytes == bytes, "seed \(seed)")
                if let checkpoint = try? Checkpoint(text: note.text) { #expect(checkpoint.text == note.text, "seed \(seed)") }
            }
            if let key = try? VerifierKey(text) { #expect(key.text == text, "seed \(seed)") }
            if let tile = TilePath(text) { #expect(tile.text == text, "seed \(seed)") }
        }
    }
}
