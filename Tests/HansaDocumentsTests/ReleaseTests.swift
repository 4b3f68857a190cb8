import HansaCore
import HansaDocuments
import Testing

@Suite struct ReleaseTests {
    @Test func aReleaseReadsBackFromItsPayload() throws {
        let releases = [
            try Fixture.release(), try Fixture.release(seq: 1, previous: nil, parents: [], clock: [(Fixture.kitchener, 1)]),
            try Fixture.release(operation: .withdraw),
            try Fixture.release(
                operation: .merge, seq: 3, previous: Fixture.digest(1), parents: [Fixture.digest(1), Fixture.digest(2)],
                clock: [(Fixture.kitchener, 3), (Fixture.auckland, 7)]),
        ]
        for release in releases {
            #expect(try Release(payload: release.payload()) == release)
            #expect(try Release(payload: release.payload()).payload() == release.payload())
        }
    }

    @Test func thePayloadIsSpelledAsTheFormatSays() throws {
        let release = try Release(
            package: PackageID("kitchener.ca/roads"), kind: .dataset, version: Version(1, 0, 0), operation: .publish,
            writer: Fixture.kitchener,
            keyring: 1, seq: 1, previous: nil, parents: [], clock: [ClockEntry(city: Fixture.kitchener, seq: 1)],
            issued: Timestamp(milliseconds: 1_790_000_000_000), tlp: .amberStrict, title: "Roads \"2026\"", bytes: 12, files: 1,
            manifest: Digest(0, 0, 0, 1), index: IndexReference(root: Digest(0, 0, 0, 2), chunks: 1), reason: "first")
        let zeros = String(repeating: "0", count: 63)
        #expect(
            String(decoding: release.payload(), as: UTF8.self)
                == #"{"schema":"hansa.release/1","package":"kitchener.ca/roads","kind":"dataset","version":"1.0.0","operation":"publish","#
                + #""writer":"kitchener.ca","keyring":1,"seq":1,"previous":null,"parents":[],"clock":{"kitchener.ca":1},"#
                + #""issued":"2026-09-21T14:13:20.000Z","tlp":"TLP:AMBER+STRICT","title":"Roads \"2026\"","bytes":12,"files":1,"#
                + #""manifest":"sha256:\#(zeros)1","index":{"root":"sha256:\#(zeros)2","chunks":1,"pages":1},"derivedFrom":null,"reason":"first"}"#
        )
    }

    @Test(
        arguments: [
            ("schema", "hansa.release/2", ""), ("schema", nil, "schema"), ("package", "kitchener.ca", "package"),
            ("package", "kitchener.ca/../x", "package"),
            ("kind", "data", "kind"), ("version", "1.0", "version"), ("operation", "delete", "operation"),
            ("writer", "KITCHENER.CA", "writer"),
            ("keyring", 0, "keyring"), ("keyring", -1, "keyring"), ("seq", 0, "seq"), ("seq", -1, "seq"), ("seq", "2", "seq"),
            ("seq", 3, "clock.kitchener.ca"),
            ("previous", "9", "previous"), ("previous", nil, "parents"), ("parents", [], "parents"),
            ("parents.0", "sha256:00", "parents"),
            ("clock", [:], "clock"), ("clock.kitchener", 1, "clock"), ("clock", ["auckland.nz": 2], "clock.kitchener.ca"),
            ("clock", ["kitchener.ca": 0], "clock.kitchener.ca"),
            ("clock", ["kitchener.ca": 2, "auckland.nz": 0], "clock.auckland.nz"), ("issued", "2026-09-21", "issued"),
            ("issued", "2026-09-21T14:13:20+02:00", "issued"),
            ("tlp", "AMBER", "tlp"), ("tlp", "TLP:WHITE", "tlp"), ("title", nil, "title"),
            ("title", .string(String(repeating: "é", count: 501)), "title"),
            ("bytes", -1, "bytes"), ("bytes", 70_368_744_177_665, "bytes"), ("files", -1, "files"), ("files", 200_001, "files"),
            ("manifest", nil, "manifest"),
            ("manifest", "x", "manifest"), ("index", nil, "index"), ("index.root", "x", "index.root"),
            ("index.chunks", 0, "index.chunks"),
            ("index.chunks", 67_108_865, "index.chunks"), ("index.pages", 1, "index.pages"),
            ("derivedFrom", [:], "derivedFrom.release"),
            ("derivedFrom", ["release": "x", "transform": "y"], "derivedFrom.release"),
            ("reason", .string(String(repeating: "x", count: 2001)), "reason"),
            ("operation", "merge", "parents"), ("operation", "withdraw", "manifest"),
        ] as [(String, JSONValue?, String)])
    func aFieldThatIsWrongIsNamed(path: String, value: JSONValue?, place: String) throws {
        let found = try #require(try fault(Release.self, Fixture.release().payload(), setting: path, to: value))
        #expect(found.path == place, "\(found)")
    }

    @Test func unknownFieldsAreIgnored() throws {
        #expect(try fault(Release.self, Fixture.release().payload(), setting: "licence", to: ["id": "CC-BY-4.0"]) == nil)
        #expect(
            try fault(
                Release.self, Fixture.release().payload(), setting: "title", to: .string(String(repeating: "é", count: 500)))
                == nil)
    }

    @Test func fractionsAndExponentsAreRefused() throws {
        let text = String(decoding: try Fixture.release().payload(), as: UTF8.self)
        for (number, fault) in [
            ("2.0", JSONFault.Kind.notInteger), ("2e0", .notInteger), ("02", .leadingZero), ("-0", .notInteger),
            ("9223372036854775808", .integerTooLarge),
        ] {
            let edited = Array(text.replacing("\"seq\":2", with: "\"seq\":\(number)").utf8)
            do throws(DocumentFault) {
                _ = try Release(payload: edited)
                Issue.record("\(number) passed")
            } catch {
                guard case .json(let found) = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(found.kind == fault)
            }
        }
    }

    @Test func theHighestSeqIsAccepted() throws {
        let top = UInt64(Int64.max)
        let release = try Fixture.release(seq: top, clock: [(Fixture.kitchener, top)])
        #expect(try Release(payload: release.payload()) == release)
        #expect(throws: DocumentFault.field("seq", "is not within 1…2^63-1")) {
            try Fixture.release(seq: top + 1, clock: [(Fixture.kitchener, top + 1)])
        }
    }

    @Test func aLineOfReleasesHasOneParentAndAFirstHasNone() throws {
        #expect(throws: DocumentFault.self) { try Fixture.release(seq: 1, clock: [(Fixture.kitchener, 1)]) }
        #expect(throws: DocumentFault.self) { try Fixture.release(parents: [Fixture.digest(1)]) }
        #expect(throws: DocumentFault.self) { try Fixture.release(parents: [Fixture.digest(9), Fixture.digest(1)]) }
        #expect(throws: DocumentFault.self) { try Fixture.release(previous: nil) }
        // After the history was lost, a writer goes on with a higher seq and nothing before it.
        #expect(throws: Never.self) { try Fixture.release(seq: 50, previous: nil, parents: [], clock: [(Fixture.kitchener, 50)]) }
        // A co-maintainer's first release follows another city's.
        #expect(throws: Never.self) {
            try Fixture.release(
                seq: 1, previous: nil, parents: [Fixture.digest(3)], clock: [(Fixture.auckland, 4), (Fixture.kitchener, 1)])
        }
        #expect(throws: DocumentFault.self) {
            try Fixture.release(previous: Fixture.digest(9), parents: [], clock: [(Fixture.auckland, 4), (Fixture.kitchener, 2)])
        }
        #expect(throws: DocumentFault.self) {
            try Fixture.release(
                operation: .merge, parents: [Fixture.digest(9)], clock: [(Fixture.auckland, 4), (Fixture.kitchener, 2)])
        }
    }

    @Test func whatIsWithdrawnHasNoContent() throws {
        let payload = try Fixture.release(operation: .withdraw).payload()
        for (path, value) in [
            ("bytes", 1), ("files", 1), ("manifest", .string(Fixture.digest(1).prefixed)),
            ("index", ["root": .string(Fixture.digest(1).prefixed), "chunks": 1, "pages": 1]),
        ]
            as [(String, JSONValue)]
        {
            #expect(try fault(Release.self, payload, setting: path, to: value) != nil)
        }
    }

    @Test func parentsAndClockAreOrdered() throws {
        let digests = [3, 1, 2].map { Fixture.digest($0) }
        let clock = [("z.b", 1), ("kitchener.ca", 5), ("a.b", 2)] as [(String, UInt64)]
        let release = try Fixture.release(
            operation: .merge, seq: 5, previous: digests[0], parents: digests,
            clock: clock.map { text, seq throws in (try CityID(text), seq) })
        #expect(release.parents == digests.sorted())
        #expect(release.clock.map(\.city.text) == ["a.b", "kitchener.ca", "z.b"])
        #expect(release.seq(of: Fixture.kitchener) == 5)
        #expect(release.seq(of: Fixture.auckland) == 0)
    }
}

@Suite struct ReceiptTests {
    @Test(arguments: [1, 2, 1000]) func aReceiptReadsBackFromItsPayload(items: Int) throws {
        let receipt = try Fixture.receipt(items: items)
        #expect(try Receipt(payload: receipt.payload()) == receipt)
        #expect(try Envelope(json: receipt.signed(with: [Fixture.key(12)]).json()).payload == receipt.payload())
    }

    @Test(
        arguments: [
            ("schema", "hansa.receipt/2", ""), ("view", "x", "view"), ("from", "kitchener.ca", "to"), ("to", "x", "to"),
            ("issued", "now", "issued"),
            ("items", [], "items"), ("items.0.release", "x", "items[0].release"), ("items.0.transfer", "0f", "items[0].transfer"),
            ("items.1.transfer", .string(String(repeating: "0F", count: 16)), "items[1].transfer"),
            ("items.0.outcome", "ok", "items[0].outcome"),
            ("items.1.reason", .string(String(repeating: "x", count: 501)), "items[1].reason"), ("log.root", "x", "log.root"),
            ("log.size", -1, "log.size"),
            ("log.origin", "", "log.origin"), ("keyring", 0, "keyring"), ("keyring", nil, "keyring"),
        ] as [(String, JSONValue?, String)])
    func aFieldThatIsWrongIsNamed(path: String, value: JSONValue?, place: String) throws {
        let found = try #require(try fault(Receipt.self, Fixture.receipt().payload(), setting: path, to: value))
        #expect(found.path == place, "\(found)")
    }

    @Test func moreThanABatchIsRefused() { #expect(throws: DocumentFault.self) { try Fixture.receipt(items: 1001) } }

    @Test func theLogMayBeAbsent() throws {
        #expect(try fault(Receipt.self, Fixture.receipt().payload(), setting: "log", to: JSONValue.null) == nil)
        #expect(try fault(Receipt.self, Fixture.receipt().payload(), setting: "log", to: nil) == nil)
    }
}

@Suite struct AgreementStepTests {
    @Test func aStepReadsBackFromItsPayload() throws {
        let step = try Fixture.step()
        #expect(try AgreementStep(payload: step.payload()) == step)
        for kind in AgreementStep.Kind.allCases {
            let other = try AgreementStep(
                agreement: Fixture.digest(1), step: kind, by: Fixture.kitchener, previous: nil, issued: Fixture.now,
                effective: Fixture.now, reason: "",
                keyring: 1)
            #expect(try AgreementStep(payload: other.payload()) == other)
        }
    }

    @Test(
        arguments: [
            ("schema", "hansa.agreement/1", ""), ("agreement", "x", "agreement"), ("step", "accept", "step"), ("by", "x", "by"),
            ("previous", "x", "previous"),
            ("issued", "x", "issued"), ("effective", "2001-01-01T00:00:00.000Z", "effective"), ("reason", nil, "reason"),
            ("reason", .string(String(repeating: "x", count: 2001)), "reason"), ("keyring", 0, "keyring"),
        ] as [(String, JSONValue?, String)])
    func aFieldThatIsWrongIsNamed(path: String, value: JSONValue?, place: String) throws {
        let found = try #require(try fault(AgreementStep.self, Fixture.step().payload(), setting: path, to: value))
        #expect(found.path == place, "\(found)")
    }
}
