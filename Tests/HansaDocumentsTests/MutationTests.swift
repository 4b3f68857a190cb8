import HansaCore
import HansaDocuments
import Testing

/// Documents with bytes changed, cut, doubled and moved: every reader gives a value or a fault, and what it reads it can write and
/// read again. Seeds that once failed stay in the list.
@Suite struct MutationTests {
    private static let seeds: [UInt64] = [1, 2, 3, 4]

    private func mutated(_ start: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = start
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            if bytes.isEmpty { return bytes }
            let place = Int.random(in: 0..<bytes.count, using: &random)
            let other = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.removeSubrange(min(place, other)..<max(place, other))
            case 3: bytes.insert(contentsOf: bytes[min(place, other)..<max(place, other)].prefix(200), at: place)
            case 4: bytes.removeLast(bytes.count - place)
            case 5: bytes[place] = bytes[other]
            case 6:
                // Another value where a value is: the shapes are what a reader trusts most.
                let words = [
                    "null", "0", "-1", "9223372036854775807", "\"\"", "[]", "{}", "true", "1e9", "\"\\u0000\"",
                    "99999999999999999999", "1.0",
                ]
                guard let colon = bytes[place...].firstIndex(of: 0x3A) else { continue }
                let end = bytes[(colon + 1)...].firstIndex { $0 == 0x2C || $0 == 0x7D } ?? bytes.endIndex
                bytes.replaceSubrange((colon + 1)..<end, with: (words.randomElement(using: &random) ?? "").utf8)
            default:
                bytes.insert(
                    contentsOf: (["\\", "\"", "{", "}", "[", "]", ",", ":", "é", "\u{212A}", "\\ud800"].randomElement(
                        using: &random) ?? "").utf8, at: place)
            }
        }
        return bytes
    }

    private func run<T: SignedDocument & Equatable>(_ document: T, seed: UInt64, rounds: Int) {
        var random = SeededRandom(seed: seed)
        let payload = document.payload()
        var read = 0
        for _ in 0..<rounds {
            let bytes = mutated(payload, &random)
            do throws(DocumentFault) {
                let value = try T(payload: bytes)
                read += 1
                let again = try T(payload: value.payload())
                #expect(again == value, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(read > 0, "seed \(seed): no mutation was ever read, so nothing behind the scanner was tested")
    }

    /// With a space before it a text is no longer as we write it, and the decoder's.
    @Test(arguments: seeds) func aReleaseIsReadAsTheDecoderReadsIt(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let written = [
            try Fixture.release().payload(),
            try Fixture.release(seq: 1, previous: nil, parents: [], clock: [(Fixture.kitchener, 1)]).payload(),
            try Fixture.release(title: "Åker \"9\" \\ väg\n").payload(),
        ]
        for round in 0..<3000 {
            let start = written[round % written.count]
            let bytes = round < written.count ? start : mutated(start, &random)
            let read = try? Release(payload: bytes)
            #expect(read == (try? Release(payload: [0x20] + bytes)), "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            #expect(round >= written.count || read != nil)
        }
    }

    @Test(arguments: seeds) func aMutatedReleaseIsReadOrRefused(seed: UInt64) throws {
        run(try Fixture.release(), seed: seed, rounds: 2000)
    }
    @Test(arguments: seeds) func aMutatedReceiptIsReadOrRefused(seed: UInt64) throws {
        run(try Fixture.receipt(), seed: seed, rounds: 2000)
    }
    @Test(arguments: seeds) func aMutatedStepIsReadOrRefused(seed: UInt64) throws {
        run(try Fixture.step(), seed: seed, rounds: 2000)
    }
    @Test(arguments: seeds) func aMutatedKeyringIsReadOrRefused(seed: UInt64) throws {
        run(try Fixture.keyring(officers: [1, 2], threshold: 2, next: [3], revoked: [9]), seed: seed, rounds: 1000)
    }
    @Test(arguments: seeds) func aMutatedAgreementIsReadOrRefused(seed: UInt64) throws {
        run(try Agreement(json: exampleAgreement), seed: seed, rounds: 1000)
    }

    @Test(arguments: seeds) func aMutatedEnvelopeIsReadOrRefused(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let envelope = try Fixture.release().signed(with: [Fixture.key(1), Fixture.key(2)])
        for _ in 0..<2000 {
            if let read = try? Envelope(json: mutated(envelope.json(), &random)) {
                #expect(try Envelope(json: read.json()) == read, "seed \(seed)")
                #expect(try Envelope(binary: read.binary()) == read, "seed \(seed)")
            }
            let bytes = mutated(envelope.binary(), &random)
            if let read = try? Envelope(binary: bytes) { #expect(read.binary() == bytes, "seed \(seed): a second spelling") }
        }
    }
}
