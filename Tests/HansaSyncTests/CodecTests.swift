import Foundation
import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTestSupport
import Testing

/// The frames of PROTOCOL.md, byte by byte.
@Suite struct CodecTests {
    /// Times are reckoned with and written: one that no clock shows is not read at all.
    @Test(arguments: [0x8000_0000_0000_0000, 253_402_300_800_000, .max] as [UInt64])
    func aTimeThatNoClockShowsIsMalformed(milliseconds: UInt64) throws {
        var hello = try Hello(
            from: CityID("auckland.nz"), to: CityID("kitchener.ca"), keyring: 1, peerKeyring: 1,
            nonce: [UInt8](repeating: 1, count: 32), contentCredit: 1, clock: Timestamp(milliseconds: 0)
        ).frame.body
        hello.replaceSubrange(
            (hello.count - 8)..., with: (0..<8).map { UInt8(truncatingIfNeeded: milliseconds >> (56 - 8 * $0)) })
        #expect(throws: ByteFault.self) {
            var reader = ByteReader(hello[...])
            _ = try Hello(from: &reader)
        }
    }

    static let cities = (try! CityID("kitchener.ca"), try! CityID("auckland.nz"))  // Names that are ones.
    static func digest(_ byte: UInt8) -> Digest { SHA256.hash([byte]) }
    static let key = try! Ed25519PrivateKey(seed: [UInt8](repeating: 7, count: 32))  // 32 bytes are a seed.

    static func step() throws -> Envelope {
        let moment = Timestamp(milliseconds: 1_790_000_000_000)
        return try AgreementStep(
            agreement: digest(1), step: .terminate, by: cities.1, previous: nil, issued: moment, effective: moment,
            reason: "It is over.", keyring: 1
        ).signed(with: [key])
    }

    static func receipt() throws -> Envelope {
        try Receipt(
            view: digest(1), from: cities.1, to: cities.0, issued: Timestamp(milliseconds: 1_790_000_000_000),
            items: [Receipt.Item(release: digest(2), transfer: String(repeating: "0f", count: 16), outcome: .accepted)], log: nil,
            keyring: 1
        ).signed(with: [key])
    }

    struct Sample {
        let name: String
        let frame: Frame
        /// Reads the body and writes it again.
        let again: (Frame) throws -> Frame

        init<M: Message>(_ name: String, _ message: M) {
            self.name = name
            frame = message.frame
            again = { frame in try M(frame).frame }
        }
    }

    /// One of each type, and each spelling that differs.
    static func samples() throws -> [Sample] {
        let cursor = [UInt8](repeating: 0xC0, count: 16)
        let number = [UInt8](repeating: 0x0F, count: 16)
        let offer = try #require(OfferName.of(number))
        let log = try LogSigner(origin: "kitchener.ca/log", key: key)
        let note = log.sign(try Checkpoint(origin: log.origin, size: 3, root: digest(1)))
        return [
            Sample(
                "hello",
                Hello(
                    from: cities.0, to: cities.1, keyring: 1, peerKeyring: 2, nonce: [UInt8](0..<32), contentCredit: 8 << 20,
                    clock: Timestamp(milliseconds: 1_790_000_000_000))),
            Sample("documents", Documents(items: [Documents.Item(id: 1, envelope: try step())])),
            Sample(
                "documents-ack", DocumentsAcknowledged(items: [.init(id: 1, refusal: nil), .init(id: 300, refusal: "signature")])),
            Sample(
                "views",
                Views(
                    round: 1,
                    lines: [
                        Views.Line(view: digest(1), policyEpoch: digest(2), cursor: [], digest: digest(3)),
                        Views.Line(view: digest(4), policyEpoch: digest(5), cursor: cursor, digest: digest(6)),
                    ])),
            Sample("feed, none", Feed(round: 1, view: digest(1), status: .none)),
            Sample(
                "feed, changes",
                Feed(
                    round: 1, view: digest(1), status: .changes, since: [],
                    changes: [.add(release: digest(2), level: 2, transfer: number), .drop(release: digest(3), level: 2)],
                    cursor: cursor, more: false,
                    digest: digest(4))),
            Sample(
                "feed, reset", Feed(round: 0, view: digest(1), status: .reset, since: [], changes: [], cursor: cursor, more: true)
            ),
            Sample("feed-ack", FeedAcknowledged(view: digest(1), cursor: cursor, digest: digest(2))),
            Sample("get-releases", GetReleases(view: digest(1), releases: [digest(2), offer])),
            Sample("releases", Releases(view: digest(1), items: try documents())),
            Sample(
                "get-index",
                GetIndex(
                    view: digest(1),
                    asks: [
                        .init(release: digest(2), tableFrom: 0, firstPage: 0, pageCount: 1),
                        .init(release: digest(3), tableFrom: 9, firstPage: 1, pageCount: 2, base: digest(4)),
                    ])),
            Sample(
                "index",
                IndexParts(
                    view: digest(1),
                    parts: [
                        .absent(release: digest(2)), .table(release: digest(3), total: 3, from: 0, bytes: [1, 2, 3]),
                        .pageDelta(release: digest(3), number: 1, bytes: [2, 0, 0]),
                    ])),
            Sample("get-chunks", GetChunks(view: digest(1), runs: [.init(release: digest(2), first: 70_000, count: 3)])),
            Sample(
                "chunks",
                Chunks(
                    view: digest(1), release: digest(2), first: 0, count: 1, codec: .raw, rawLength: 5, bytes: Array("hansa".utf8)
                )),
            Sample(
                "chunks, absent",
                Chunks(view: digest(1), release: digest(2), first: 9, count: 0, codec: .raw, rawLength: 0, bytes: [])),
            Sample("receipt", ReceiptMessage(id: 2, envelope: try receipt())),
            Sample(
                "accepted",
                Accepted(
                    id: 2, view: digest(1), issued: World.start, keyring: 1,
                    signature: DocumentSignature(keyID: digest(9), signature: (0..<64).map { $0 }), offers: [offer])),
            Sample("announce", Announce(lines: [.init(view: digest(1), digest: digest(2))])),
            Sample("credit", Credit(bytes: 1 << 20)),
            Sample("error", ErrorMessage(code: "busy", view: .zero, retryAfterSeconds: 60)),
            Sample("close", CloseMessage(reason: "protocol")),
            Sample("equal", EqualViews(round: 1, lines: [0, 2, 9])),
            Sample(
                "get-delta",
                GetDelta(view: digest(1), asks: [.init(release: digest(2), base: digest(3), runs: [0..<2, 70_000..<70_001])])),
            Sample(
                "delta",
                Delta(
                    view: digest(1), release: digest(2), runs: [0..<2, 70_000..<70_001], reference: [1..<4], rawLength: 5,
                    bytes: Array("zstd".utf8)[...])),
            Sample("checkpoint", CheckpointMessage(request: WitnessRequest(old: 2, proof: [digest(2)], checkpoint: note))),
            Sample("cosign", CosignMessage(code: 409, body: Array("3\n".utf8), evidence: note.bytes)),
            Sample(
                "get-small",
                GetSmall(
                    view: digest(1),
                    asks: [.init(release: digest(2)), .init(release: offer), .init(release: digest(3), base: digest(4))])),
            Sample(
                "small",
                Small(
                    view: digest(1),
                    items: [
                        .init(
                            release: offer, form: .whole,
                            files: [
                                .init(path: "bagit.txt", size: 0, profile: .fastcdc64k),
                                .init(path: "data/a.csv", size: 5, profile: .line16k),
                            ]), .init(release: digest(3), form: .apart),
                    ], codec: .raw, bytes: Array("hansa".utf8)[...])),
            Sample("reconcile", try ReconciliationTests.described()),
        ]
    }

    /// One that is not for the reader, and one that spells out digests, one of them twice.
    private static func documents() throws -> [Releases.Item] {
        let text =
            "\u{FF}{\"previous\":\"sha256:\(digest(7).hex)\",\"parents\":[\"sha256:\(digest(7).hex)\"],\"root\":\"sha256:\(digest(8).hex)\"}"
        let envelope = Envelope(
            type: .release, payload: Array(text.unicodeScalars.map { UInt8($0.value) }),
            signatures: [DocumentSignature(keyID: digest(9), signature: (0..<64).map { $0 })])
        return [.init(release: digest(2), envelope: nil), .init(release: envelope.digest, envelope: envelope)]
    }

    @Test func everyMessageIsReadBackAsItWasWritten() throws {
        let samples = try Self.samples()
        for sample in samples { #expect(try sample.again(sample.frame) == sample.frame, "\(sample.name)") }
        #expect(Set(samples.map(\.frame.type)) == Set(FrameType.allCases))
    }

    @Test func framesAreTheVectors() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
            path: "Vectors/frames.json")
        let vectors = JSONValue.array(
            try Self.samples().map {
                [
                    "hex": .string(Hex.encode($0.frame.encoded)), "name": .string($0.name),
                    "type": JSONValue(Int($0.frame.type.rawValue)),
                ]
            })
        if ProcessInfo.processInfo.environment["HANSA_WRITE_VECTORS"] == "1" {
            // One vector a line, so that a change of one is a change of one line.
            let lines = (vectors.array ?? []).map { String(decoding: $0.serialized(), as: UTF8.self) }
            try Data(("[\n" + lines.joined(separator: ",\n") + "\n]\n").utf8).write(to: file)
        }
        let known = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: file))
        #expect(known == vectors)
    }

    /// PROTOCOL.md quotes each frame under its name, 64 bytes a line.
    @Test func protocolQuotesEachFrame() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Sources/PROTOCOL.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        let quoted = try #require(text.firstRange(of: "```frames\n"))
        let end = try #require(text[quoted.upperBound...].firstRange(of: "```\n"))
        var expected = ""
        for sample in try Self.samples() {
            expected += sample.name + "\n"
            let bytes = sample.frame.encoded
            for start in stride(from: 0, to: bytes.count, by: 64) {
                expected += "    " + Hex.encode(Array(bytes[start..<min(bytes.count, start + 64)])) + "\n"
            }
        }
        if ProcessInfo.processInfo.environment["HANSA_WRITE_VECTORS"] == "1" {
            let written = text.replacingCharacters(in: quoted.upperBound..<end.lowerBound, with: expected)
            try Data(written.utf8).write(to: file)
        }
        #expect(String(text[quoted.upperBound..<end.lowerBound]) == expected)
    }

    @Test func aByteTooManyOrTooFewIsRefused() throws {
        for sample in try Self.samples() {
            // What an announcement or a close leaves out at its end may be another message of its kind only by chance; none of these is.
            if !sample.frame.type.isContent {
                #expect(throws: ProtocolFault.self, "\(sample.name)") {
                    try sample.again(Frame(sample.frame.type, body: sample.frame.body + [0]))
                }
            }
            for count in 0..<sample.frame.body.count where !sample.frame.type.isContent {
                #expect(throws: ProtocolFault.self, "\(sample.name) cut at \(count)") {
                    try sample.again(Frame(sample.frame.type, body: Array(sample.frame.body.prefix(count))))
                }
            }
        }
        let chunks = Chunks(view: .zero, release: .zero, first: 0, count: 1, codec: .raw, rawLength: 5, bytes: [1, 2, 3, 4])
        #expect(throws: ProtocolFault.self) { try Chunks(chunks.frame) }
    }

    @Test(arguments: [[0x40, 0x01], [0x80, 0, 0, 1], [0xC0, 0, 0, 0, 0, 0, 0, 1]] as [[UInt8]])
    func aLongSpellingOfANumberIsRefused(spelling: [UInt8]) {
        #expect(throws: ProtocolFault.self) { try Credit(Frame(.credit, body: spelling)) }
        #expect(throws: Never.self) { try Credit(Frame(.credit, body: [1])) }
    }

    @Test func anAnswerForEqualViewsHasOneSpelling() throws {
        for body in [[1, 1, 0], [1, 2, 0x80, 0], [1, 0x40, 129] + [UInt8](repeating: 1, count: 129)] as [[UInt8]] {
            #expect(throws: ProtocolFault.self) { try EqualViews(Frame(.equal, body: body)) }
        }
        #expect(EqualViews(round: 1, lines: []).frame.body == [1, 0])
        let last = try EqualViews(EqualViews(round: 1, lines: [1023]).frame)
        #expect((0..<1100).filter { last.contains(line: $0) } == [1023])
    }

    @Test func headersAreCheckedBeforeABodyIsAwaited() throws {
        func header(_ bytes: [UInt8]) -> ProtocolFault? {
            do throws(ProtocolFault) {
                _ = try FrameHeader(bytes[...])
                return nil
            } catch { return error }
        }
        #expect(header([0, 0, 1, FrameType.credit.rawValue, 0]) == nil)
        #expect(header([0, 0, 1, FrameType.chunks.rawValue, 1]) == nil)
        // Unknown types; the other channel; a channel that does not exist or is spelled with two bytes.
        for type in [0, 0x1B, 0x40, 0xFF] as [UInt8] { #expect(header([0, 0, 1, type, 0]) == .unknownFrame(type)) }
        for channel in [1, 2, 0x40] as [UInt8] {
            #expect(header([0, 0, 1, FrameType.credit.rawValue, channel]) == .malformed(.credit, "channel"))
        }
        #expect(header([0, 0, 1, FrameType.chunks.rawValue, 0]) == .malformed(.chunks, "channel"))
        // Lengths: the last that is allowed, the first that is not, and the largest there is.
        #expect(header([4, 0, 0, FrameType.views.rawValue, 0]) == nil)
        #expect(header([4, 0, 1, FrameType.views.rawValue, 0]) == .oversized(.views, 256 * 1024 + 1))
        #expect(header([0xFF, 0xFF, 0xFF, FrameType.chunks.rawValue, 1]) == .oversized(.chunks, 0xFF_FFFF))
    }

    @Test func countsAreBoundedBeforeAnythingIsRead() throws {
        var writer = ByteWriter()
        writer.digest(.zero)
        writer.varint(UInt64(1) << 40)
        for type in [FrameType.getReleases, .getIndex, .getChunks] {
            let frame = Frame(type, body: writer.bytes)
            #expect(throws: ProtocolFault.self) {
                switch type {
                case .getReleases: _ = try GetReleases(frame)
                case .getIndex: _ = try GetIndex(frame)
                default: _ = try GetChunks(frame)
                }
            }
        }
        // A packed body that says it is larger than it may be, and one whose contents are larger than it says.
        var bomb = ByteWriter()
        bomb.digest(.zero)
        bomb.varint(UInt64(1) << 30)
        bomb.u8(1)
        bomb.raw([UInt8](repeating: 0, count: 100))
        #expect(throws: ProtocolFault.self) { try IndexParts(Frame(.index, body: bomb.bytes)) }
        let packed = Block.encode(raw: [UInt8](repeating: 0, count: 1 << 20))
        var lying = ByteWriter()
        lying.digest(.zero)
        lying.varint(100)
        lying.u8(packed.codec.rawValue)
        lying.raw(packed.bytes)
        #expect(throws: ProtocolFault.self) { try IndexParts(Frame(.index, body: lying.bytes)) }
    }
}
