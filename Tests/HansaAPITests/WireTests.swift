import Glibc
import HansaCore
import HansaNode
import Testing

@testable import HansaAPI

struct WireTests {
    private static let listing = DirectoryListing(
        number: 3, path: "/data/roads", derivedName: "roads", listedAt: -5,
        entries: [
            FileStat(
                path: "a.csv", kind: .file, size: 12, modified: 1_700_000_000_123_456_789, changed: .min, inode: .max, device: 0),
            FileStat(path: "sub", kind: .directory, size: 0, modified: 0, changed: 0, inode: 1, device: 2),
            FileStat(path: "sub/ü", kind: .symlink, size: 0, modified: 0, changed: 0, inode: 1, device: 2),
        ])

    private static let faulty = DirectoryListing(
        number: 4, path: "/data/bad", derivedName: nil, listedAt: 0, entries: [], fault: Problem(.fileUnreadable, "no", try: "ls")
    )

    private static let asks: [Ask] = [
        .nextListings, .openListed([ListedFile(directory: 0, path: "a"), ListedFile(directory: 70_000, path: "b/c")]),
        .listTarget(""),
        .listTarget("data"), .openExisting(["a", "b"]), .create(["data/ä"]), .commit([]), .remove(["x/y/z"]),
        .sign(payloadType: "application/x", payload: [0, 255]),
    ]

    private static let document: JSONValue = [
        "schema": "hansa.test/1", "z": [1, -1, 2.5, nil, true, false], "a": ["": "text \u{1F600}"], "min": .integer(.min),
    ]

    @Test func listingsComeBackAsTheyWere() throws {
        let back = try ListingCodec.decode(ListingCodec.encode([Self.listing]))
        #expect(back.count == 1)
        #expect(back[0].number == 3 && back[0].path == "/data/roads" && back[0].derivedName == "roads" && back[0].listedAt == -5)
        #expect(back[0].entries == Self.listing.entries)
        #expect(try ListingCodec.decode(ListingCodec.encode([])).isEmpty)
        let fault = Problem(.fileUnsafe, "a name that is not UTF-8", try: "rename it")
        let faulty = DirectoryListing(number: 0, path: "/a", derivedName: nil, listedAt: 0, entries: [], fault: fault)
        #expect(try ListingCodec.decode(ListingCodec.encode([faulty])).first?.fault == fault)
    }

    @Test func asksComeBackAsTheyWere() throws {
        for ask in Self.asks { #expect(try Ask(Frame(type: ask.type, body: ask.body, descriptors: [])) == ask) }
    }

    @Test func documentsKeepTheOrderOfTheirMembers() throws {
        let back = try DocumentCodec.decode(DocumentCodec.encode(Self.document))
        #expect(back == Self.document)
        #expect(back.object?.first?.name == "schema")
    }

    @Test func problemsComeBackWithClauseCommandAndExit() throws {
        let problem = Problem(.refusedByTerms, "no", clause: "5.1", try: "hansa why", exit: .partlyDone)
        #expect(try ProblemCodec.decode(ProblemCodec.encode(problem)) == problem)
    }

    @Test func aCodeFromANewerNodeKeepsItsMessageAndExit() throws {
        let bytes = DocumentCodec.encode(["code": "H999", "message": "new", "clause": nil, "try": nil, "exit": 9])
        let problem = try ProblemCodec.decode(bytes)
        #expect(problem.code == .internalFault && problem.message == "new (H999)" && problem.exit == .conflict)
    }

    @Test func progressComesBackAndItsNameIsCut() throws {
        let progress = Progress(
            item: String(repeating: "ß", count: 5000), bytesDone: .max, bytesTotal: nil, itemsDone: 7, itemsTotal: 9)
        let back = try ProgressCodec.decode(ProgressCodec.encode(progress))
        #expect(back.itemsDone == 7 && back.itemsTotal == 9 && back.bytesTotal == nil && back.item.count == 201)
        #expect(ProgressCodec.encode(progress).count < 2048)
    }

    @Test func requestsComeBackAsTheyWere() throws {
        let requests: [AdminRequest] = [
            .status, .why(partner: "a.b", package: "c.d/e"),
            .agreementPropose(yaml: "x: 1", signsHere: true, dryRun: true),
            .packagePublish(PublishOptions(version: "1.0.0")),
            .sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false),
            .auditLog(LogFilter(since: "2026-01-01T00:00:00.000Z")), .auditShow(index: 1 << 62, log: 2),
        ]
        for request in requests { #expect(try AdminRequest(encoded: try request.encoded()) == request) }
    }

    @Test func badRequestsAreRefusedWithACode() {
        for text in [
            "", "{", "null", "{}", #"{"status":{},"doctor":{}}"#, #"{"launch":{}}"#, #"{"why":{"partner":1}}"#,
            #"{"status":{},"status":{}}"#,
        ] {
            #expect(problem { _ = try AdminRequest(encoded: Array(text.utf8)) }?.code == .adminProtocol, "\(text)")
        }
    }

    @Test func pathsThatLeaveTheirDirectoryAreRefused() {
        for path in [
            "", "/", "/etc/passwd", "..", "a/..", "../a", "a//b", "a/", ".", "./a", "a/./b", "a\0b",
            String(repeating: "x", count: 256),
        ] {
            #expect(!RelativePath.isSafe(path), "\(path.debugDescription)")
        }
        for path in ["a", ".a", "..a", "a/b", "...", "ü/行", String(repeating: "x", count: 255)] {
            #expect(RelativePath.isSafe(path))
        }
        #expect(!RelativePath.isSafe(Array(repeating: "abcd", count: 900).joined(separator: "/")))
    }

    @Test func aResultInManyPartsIsWholeAgain() throws {
        for count in [0, 1, WireLimits.partBytesMax, WireLimits.partBytesMax + 1, 3 * WireLimits.partBytesMax] {
            let bytes = [UInt8](repeating: 7, count: count)
            let parts = PartCodec.split(bytes)
            #expect(parts.count == max(1, (count + WireLimits.partBytesMax - 1) / WireLimits.partBytesMax))
            var back: [UInt8] = []
            for (index, part) in parts.enumerated() {
                let (more, slice) = try PartCodec.read(part)
                #expect(more == (index < parts.count - 1))
                back += slice
            }
            #expect(back == bytes)
        }
    }

    /// Changed, cut and random bytes give values or faults, and what is read is what would be written.
    @Test(arguments: [UInt64(1), 42, 20_261_121]) func noBytesTrapADecoder(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let seeds: [(FrameType, [UInt8])] =
            Self.asks.map { ($0.type, $0.body) } + [
                (.listings, ListingCodec.encode([Self.listing, Self.faulty])), (.result, DocumentCodec.encode(Self.document)),
                (.problem, ProblemCodec.encode(Problem(.usage, "x", try: "y"))),
                (.progress, ProgressCodec.encode(Progress(item: "a", bytesDone: 1, bytesTotal: 2, itemsDone: 3, itemsTotal: 4))),
            ]
        for round in 0..<20_000 {
            let (type, original) = seeds[Int(random.next() % UInt64(seeds.count))]
            var bytes = original
            switch random.next() % 4 {
            case 0: bytes = random.bytes(Int(random.next() % 64))
            case 1: bytes = Array(bytes.prefix(Int(random.next() % UInt64(bytes.count + 1))))
            case 2: bytes += random.bytes(1 + Int(random.next() % 4))
            default:
                for _ in 0...(random.next() % 3) where !bytes.isEmpty {
                    bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            let comment = Comment(rawValue: "seed \(seed) round \(round)")
            if let ask = try? Ask(Frame(type: type, body: bytes, descriptors: [])) { #expect(ask.body == bytes, comment) }
            // A problem from a newer node may hold more than we write again.
            if let listings = try? ListingCodec.decode(bytes), listings.allSatisfy({ $0.fault == nil }) {
                #expect(ListingCodec.encode(listings) == bytes, comment)
            }
            if let value = try? DocumentCodec.decode(bytes) { #expect(DocumentCodec.encode(value) == bytes, comment) }
            _ = try? ProblemCodec.decode(bytes)
            _ = try? ProgressCodec.decode(bytes)
            _ = try? PartCodec.read(bytes)
            _ = try? AdminRequest(encoded: bytes)
        }
    }

    @Test func aDocumentTooDeepIsRefused() {
        var bytes: [UInt8] = []
        for _ in 0..<100_000 { bytes += [6, 1] }
        bytes += [0]
        #expect(throws: ByteFault.self) { try DocumentCodec.decode(bytes) }
    }

    @Test func aCountThatLiesAllocatesNothing() {
        // 2^62 − 1 entries in a listing of a few bytes.
        var writer = ByteWriter()
        writer.varint(1)
        writer.varint(0)
        writer.prefixed("/a")
        writer.u8(0)
        writer.u8(0)
        writer.u64(0)
        writer.varint(WireLimits.entriesMax)
        #expect(throws: ByteFault.self) { try ListingCodec.decode(writer.bytes) }
    }
}
