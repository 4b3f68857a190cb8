import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

/// Seeded documents of every kind: what is written is read as the same value, through both forms of the envelope.
@Suite struct RoundTripTests {
    private struct Maker {
        var random: SeededRandom

        mutating func digest() -> Digest { Digest(random.next(), random.next(), random.next(), random.next()) }
        mutating func optionalDigest() -> Digest? { Bool.random(using: &random) ? digest() : nil }
        mutating func time() -> Timestamp { Timestamp(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &random)) }
        mutating func city() throws -> CityID { try CityID("c\(Int.random(in: 0..<1000, using: &random)).example") }

        mutating func text(max limit: Int = 20) -> String {
            let pool: [UnicodeScalar] = [
                "a", "Z", "0", " ", "\"", "\\", "/", "\n", "\u{0}", "\u{1B}", "é", "\u{301}", "\u{2028}", "\u{1F600}", "\u{FFFF}",
            ]
            var text = ""
            for _ in 0..<Int.random(in: 0...limit, using: &random) {
                text.unicodeScalars.append(pool.randomElement(using: &random) ?? "a")
            }
            return text
        }

        mutating func release() throws -> Release {
            let writer = try city()
            let seq = Bool.random(using: &random) ? 1 : UInt64.random(in: 2...UInt64(Int64.max), using: &random)
            let previous = seq == 1 ? nil : optionalDigest()
            var clock = [ClockEntry(city: writer, seq: seq)]
            var parents = previous.map { [$0] } ?? []
            if Bool.random(using: &random) {
                clock.append(ClockEntry(city: try CityID("other.example"), seq: UInt64.random(in: 1...1000, using: &random)))
                parents = (0..<Int.random(in: 2...5, using: &random)).map { _ in digest() }
            }
            let operation = parents.count > 1 ? Release.Operation.merge : (Bool.random(using: &random) ? .publish : .withdraw)
            let hasContent = operation != .withdraw
            return try Release(
                package: PackageID("\(writer)/p\(Int.random(in: 0..<99, using: &random))/q"),
                kind: PackageKind.allCases.randomElement(using: &random) ?? .offer,
                version: Version(UInt32.random(in: 0...Version.partMax, using: &random), 0, 7), operation: operation,
                writer: writer,
                keyring: Int.random(in: 1...Int(Int32.max), using: &random), seq: seq, previous: previous, parents: parents,
                clock: clock, issued: time(),
                tlp: TLP.allCases.randomElement(using: &random) ?? .red, title: text(),
                bytes: hasContent ? UInt64.random(in: 0...(1 << 40), using: &random) : 0,
                files: hasContent ? Int.random(in: 0...Limits.filesMax, using: &random) : 0,
                manifest: hasContent ? digest() : nil,
                index: hasContent
                    ? IndexReference(root: digest(), chunks: Int.random(in: 1...Limits.chunksMax, using: &random)) : nil,
                derivedFrom: Bool.random(using: &random) ? Derivation(release: digest(), transform: digest()) : nil,
                reason: Bool.random(using: &random) ? text() : nil)
        }

        mutating func receipt() throws -> Receipt {
            var items: [Receipt.Item] = []
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                items.append(
                    Receipt.Item(
                        release: digest(), transfer: Hex.encode(random.bytes(16)),
                        outcome: Receipt.Outcome.allCases.randomElement(using: &random) ?? .refused,
                        reason: Bool.random(using: &random) ? text() : nil))
            }
            let log =
                Bool.random(using: &random)
                ? Receipt.LogHead(origin: "x.example/log", size: random.next() >> 1, root: digest()) : nil
            return try Receipt(
                view: digest(), from: city(), to: CityID("to.example"), issued: time(), items: items, log: log, keyring: 1)
        }

        mutating func step() throws -> AgreementStep {
            let issued = Timestamp(milliseconds: Int64.random(in: 0...200_000_000_000_000, using: &random))
            return try AgreementStep(
                agreement: digest(), step: AgreementStep.Kind.allCases.randomElement(using: &random) ?? .amend, by: city(),
                previous: optionalDigest(),
                issued: issued, effective: issued.adding(milliseconds: Int64.random(in: 0...1_000_000_000, using: &random)),
                reason: text(), keyring: 9,
                contents: Bool.random(using: &random)
                    ? ["t": .string(text()), "n": .integer(Int64(bitPattern: random.next())), "l": [nil, true, [:]]] : nil)
        }

        mutating func keyring() throws -> Keyring {
            let officers = (0..<Int.random(in: 1...5, using: &random)).map { UInt8($0 + 1) }
            return try Fixture.keyring(
                version: Int.random(in: 1...1000, using: &random), officers: officers,
                threshold: Int.random(in: 1...officers.count, using: &random),
                next: Bool.random(using: &random) ? [41, 42] : [], revoked: Bool.random(using: &random) ? [51] : [],
                name: "N" + text())
        }
    }

    private func check<T: SignedDocument & Equatable>(_ document: T, seed: UInt64) throws {
        let payload = document.payload()
        #expect(try T(payload: payload) == document, "seed \(seed)")
        #expect(document.payload() == payload, "seed \(seed)")
        let envelope = document.signed(with: [Fixture.key(1), Fixture.key(2)])
        #expect(try Envelope(binary: envelope.binary()) == envelope, "seed \(seed)")
        #expect(try Envelope(json: envelope.json()) == envelope, "seed \(seed)")
        #expect(try T(envelope) == document, "seed \(seed)")
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func everyDocumentReadsBack(seed: UInt64) throws {
        var maker = Maker(random: SeededRandom(seed: seed))
        for _ in 0..<40 {
            try check(maker.release(), seed: seed)
            try check(maker.receipt(), seed: seed)
            try check(maker.step(), seed: seed)
        }
        for _ in 0..<3 { try check(maker.keyring(), seed: seed) }
    }
}
