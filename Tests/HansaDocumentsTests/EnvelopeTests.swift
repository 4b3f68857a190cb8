import HansaCore
import HansaCrypto
import HansaDocuments
import Testing

@Suite struct EnvelopeTests {
    private let payload = Array("{\"hello\":\"Lübeck\"}".utf8)

    /// FORMATS.md §1, made by an independent implementation.
    @Test func theVectorOfTheFormatIsSignedAndEncodedAlike() throws {
        let key = Fixture.key(1)
        #expect(Hex.encode(key.publicKey.bytes) == "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
        #expect(key.publicKey.keyID.hex == "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e")
        let message = Envelope.preAuthentication(type: "application/vnd.hansa.test+json", body: payload)
        #expect(message == Array("DSSEv1 31 application/vnd.hansa.test+json 19 {\"hello\":\"Lübeck\"}".utf8))
        #expect(
            Base64.encode(key.sign(message))
                == "Aa2ynt9pV7SCgSCsSJhgsyCux3r9TfKhd4xUbWpTwqytGF/4BMOIkaDMD5znJXeWPFlae4fC76yiO3HNBM9dDw==")
    }

    @Test func lengthsInTheEncodingAreBytes() {
        #expect(Envelope.preAuthentication(type: "", body: []) == Array("DSSEv1 0  0 ".utf8))
        #expect(Envelope.preAuthentication(type: "é", body: Array("ü".utf8)) == Array("DSSEv1 2 é 2 ü".utf8))
        // The example of the DSSE specification.
        #expect(
            Envelope.preAuthentication(type: "http://example.com/HelloWorld", body: Array("hello world".utf8))
                == Array("DSSEv1 29 http://example.com/HelloWorld 11 hello world".utf8))
    }

    // MARK: Signatures

    @Test func aSignatureHoldsForItsPayloadTypeAndKeyOnly() {
        let envelope = Envelope.sign(payload, as: .release, with: [Fixture.key(1)])
        let key = Fixture.key(1).publicKey
        #expect(envelope.isSigned(by: [key], threshold: 1))
        #expect(!envelope.isSigned(by: [Fixture.key(2).publicKey], threshold: 1))
        #expect(!Envelope(type: .receipt, payload: payload, signatures: envelope.signatures).isSigned(by: [key], threshold: 1))
        #expect(
            !Envelope(type: .release, payload: payload + [0x20], signatures: envelope.signatures).isSigned(
                by: [key], threshold: 1))
        #expect(!Envelope(type: .release, payload: payload, signatures: []).isSigned(by: [key], threshold: 1))
    }

    @Test func aThresholdCountsKeysAndNothingElse() {
        let keys = [Fixture.key(1), Fixture.key(2), Fixture.key(3)]
        let publicKeys = keys.map(\.publicKey)
        let one = Envelope.sign(payload, as: .agreement, with: [keys[0]])
        // The same signature under every claim there is, and one key listed three times.
        let claims = publicKeys.map { DocumentSignature(keyID: $0.keyID, signature: one.signatures[0].signature) }
        let echo = Envelope(
            type: .agreement, payload: payload,
            signatures: claims + [DocumentSignature(keyID: .zero, signature: claims[0].signature)])
        #expect(echo.signatures.count == 4)
        #expect(echo.validKeys(among: publicKeys) == [publicKeys[0]])
        #expect(!echo.isSigned(by: [publicKeys[0], publicKeys[0], publicKeys[0]], threshold: 2))
        #expect(echo.isSigned(by: publicKeys, threshold: 1))
        #expect(!echo.isSigned(by: publicKeys, threshold: 2))
        let two = Envelope.sign(payload, as: .agreement, with: [keys[0], keys[2], keys[0]])
        #expect(two.signatures.count == 2)
        #expect(two.isSigned(by: publicKeys, threshold: 2))
        #expect(!two.isSigned(by: publicKeys, threshold: 3))
    }

    @Test func aThresholdBelowOneIsNeverMet() {
        let envelope = Envelope.sign(payload, as: .release, with: [Fixture.key(1)])
        for threshold in [0, -1, Int.min] { #expect(!envelope.isSigned(by: [Fixture.key(1).publicKey], threshold: threshold)) }
        #expect(!envelope.isSigned(by: [], threshold: 1))
    }

    @Test func theClaimedKeyDecidesNothing() {
        let key = Fixture.key(1)
        let signature = Envelope.sign(payload, as: .release, with: [key]).signatures[0].signature
        for claim in [Digest.zero, Fixture.key(2).publicKey.keyID, Fixture.digest(1)] {
            let envelope = Envelope(
                type: .release, payload: payload, signatures: [DocumentSignature(keyID: claim, signature: signature)])
            #expect(envelope.validKeys(among: [Fixture.key(2).publicKey, key.publicKey]) == [key.publicKey])
        }
    }

    @Test func signaturesMerge() throws {
        let first = Envelope.sign(payload, as: .agreement, with: [Fixture.key(1)])
        let second = Envelope.sign(payload, as: .agreement, with: [Fixture.key(2), Fixture.key(3)])
        let merged = try #require(first.merging(second))
        #expect(merged == second.merging(first))
        #expect(merged.signatures.count == 3)
        #expect(merged.merging(first) == merged)
        #expect(first.merging(Envelope.sign(payload + [0x20], as: .agreement, with: [])) == nil)
        #expect(first.merging(Envelope.sign(payload, as: .receipt, with: [])) == nil)
    }

    @Test func whatARelayAddedIsDropped() {
        let key = Fixture.key(1)
        let good = Envelope.sign(payload, as: .agreement, with: [key])
        let junk = (0..<20).map {
            DocumentSignature(
                keyID: $0 < 10 ? key.publicKey.keyID : Fixture.digest($0), signature: [UInt8](repeating: $0, count: 64))
        }
        let relayed = Envelope(type: .agreement, payload: payload, signatures: good.signatures + junk)
        #expect(relayed.isSigned(by: [key.publicKey], threshold: 1))
        #expect(relayed.keeping(signaturesOf: [key.publicKey, Fixture.key(2).publicKey]) == good)
    }

    /// 64 signatures against 16 keys would be 1,024 verifications. What claims its key is found among any; what claims nothing, where honest
    /// signatures are.
    @Test func wrongSignaturesAreLookedThroughOnlySoFar() {
        let keys = (1...16).map { Fixture.key(UInt8($0)) }
        let publicKeys = keys.map(\.publicKey)
        let good = Envelope.sign(payload, as: .agreement, with: keys)
        let mute = good.signatures.map { DocumentSignature(keyID: .zero, signature: $0.signature) }
        #expect(Envelope(type: .agreement, payload: payload, signatures: mute).validKeys(among: publicKeys).count == 16)
        let junk = (0..<48).map { number in
            DocumentSignature(keyID: .zero, signature: [0, UInt8(number)] + [UInt8](repeating: 7, count: 62))
        }
        #expect(
            Envelope(type: .agreement, payload: payload, signatures: good.signatures + junk).validKeys(among: publicKeys).count
                == 16)
        #expect(Envelope(type: .agreement, payload: payload, signatures: mute + junk).validKeys(among: publicKeys).count < 16)
        // Of one key all may be, in whatever order.
        let one = Envelope(type: .agreement, payload: payload, signatures: [mute[0]] + junk)
        #expect(
            publicKeys.allSatisfy { one.validKeys(among: [$0]).count == (mute[0].signature == $0.signature(in: good) ? 1 : 0) })
    }

    // MARK: Binary form

    @Test func theBinaryFormReadsBack() throws {
        for type in DocumentType.allCases {
            let envelope = Envelope.sign(payload, as: type, with: [Fixture.key(3), Fixture.key(1), Fixture.key(2)])
            let bytes = envelope.binary()
            #expect(bytes.count == 1 + 1 + payload.count + 1 + 3 * 96)
            #expect(bytes[0] == type.code)
            #expect(try Envelope(binary: bytes) == envelope)
            #expect(try Envelope(binary: ([0xFF] + bytes)[1...]) == envelope)
        }
    }

    @Test func theBinaryFormHasOneSpelling() throws {
        let bytes = Envelope.sign(payload, as: .release, with: [Fixture.key(1), Fixture.key(2)]).binary()
        let start = bytes.count - 2 * 96
        let swapped = Array(bytes[..<start] + bytes[(start + 96)...] + bytes[start..<(start + 96)])
        let repeated = Array(bytes[..<start] + bytes[start..<(start + 96)] + bytes[start..<(start + 96)])
        #expect(throws: DocumentFault.binary(.malformed("signatures out of order"))) { try Envelope(binary: swapped) }
        #expect(throws: DocumentFault.binary(.malformed("signatures out of order"))) { try Envelope(binary: repeated) }
        for cut in 0..<bytes.count { #expect(throws: DocumentFault.self) { try Envelope(binary: bytes[..<cut]) } }
        #expect(throws: DocumentFault.self) { try Envelope(binary: bytes + [0]) }
        for code in [0, 7, 255] as [UInt8] {
            #expect(throws: DocumentFault.binary(.malformed("unknown document type"))) {
                try Envelope(binary: [code] + bytes[1...])
            }
        }
        #expect(throws: DocumentFault.binary(.overlongInteger)) { try Envelope(binary: [4, 0x40, 19] + payload + [0]) }
        #expect(throws: DocumentFault.binary(.aboveLimit(262_145, limit: 262_144))) { try Envelope(binary: [4, 0x80, 4, 0, 1]) }
        #expect(throws: DocumentFault.binary(.aboveLimit(65, limit: 64))) {
            try Envelope(binary: [4, 0, 0x40, 65] + [UInt8](repeating: 1, count: 65 * 96))
        }
    }

    // MARK: JSON form

    private func fault(_ json: String) -> DocumentFault? {
        do throws(DocumentFault) {
            _ = try Envelope(json: Array(json.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func theJSONFormIsThatOfDSSE() throws {
        let key = Fixture.key(1)
        let envelope = Envelope.sign(payload, as: .release, with: [key])
        let signature = Base64.encode(envelope.signatures[0].signature)
        #expect(
            String(decoding: envelope.json(), as: UTF8.self)
                == #"{"payload":"\#(Base64.encode(payload))","payloadType":"application/vnd.hansa.release.v1+json","#
                + #""signatures":[{"keyid":"\#(key.publicKey.keyID.hex)","sig":"\#(signature)"}]}"#)
        #expect(try Envelope(json: envelope.json()) == envelope)
    }

    @Test func unknownFieldsAreIgnoredAndBothAlphabetsRead() throws {
        let envelope = Envelope.sign(Array("{\"a\":\"~~~???>>>\"}".utf8), as: .agreement, with: [Fixture.key(1)])
        let signature = Base64.encode(envelope.signatures[0].signature).replacing("+", with: "-").replacing("/", with: "_")
        let body = Base64.encode(envelope.payload).replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        let json = """
            {"extra": [1.5e3, {"x": null}], "payloadType": "application/vnd.hansa.agreement.v1+json", "payload": "\(body)",
             "signatures": [{"sig": "\(signature)", "cert": "x", "keyid": "\(Fixture.key(1).publicKey.keyID.hex)"}]}
            """
        #expect(try Envelope(json: Array(json.utf8)) == envelope)
    }

    @Test func aSignatureWithoutAKeyIDStillCounts() throws {
        let envelope = Envelope.sign(payload, as: .release, with: [Fixture.key(1)])
        let signature = Base64.encode(envelope.signatures[0].signature)
        for member in ["", "\"keyid\":\"\",", "\"keyid\":\"https://example.org/key\",", "\"keyid\":null,"] {
            let json =
                #"{"payload":"\#(Base64.encode(payload))","payloadType":"\#(envelope.payloadType)","signatures":[{\#(member)"sig":"\#(signature)"}]}"#
            let read = try Envelope(json: Array(json.utf8))
            #expect(read.signatures.map(\.keyID) == [.zero])
            #expect(read.isSigned(by: [Fixture.key(1).publicKey], threshold: 1))
            #expect(try Envelope(json: read.json()) == read)
            #expect(try Envelope(binary: read.binary()) == read)
        }
    }

    @Test func signaturesOfOtherAlgorithmsAreLeftOut() throws {
        let json =
            #"{"payload":"e30=","payloadType":"application/vnd.hansa.release.v1+json","signatures":[{"keyid":"x","sig":"AAAA"}]}"#
        #expect(try Envelope(json: Array(json.utf8)).signatures.isEmpty)
    }

    @Test func oddJSONIsRefused() {
        let type = #""payloadType":"application/vnd.hansa.release.v1+json""#
        let zeros = Base64.encode([UInt8](repeating: 0, count: 64))
        #expect(fault(#"{"payload":"e30=",\#(type),"signatures":[]}"#) == nil)
        #expect(
            fault(#"{"payload":"e30=","payload":"e30=",\#(type),"signatures":[]}"#)
                == .json(JSONFault(.duplicateKey("payload"), at: 18)))
        #expect(
            fault(#"{"payload":"e30=","p\u0061yload":"e30=",\#(type),"signatures":[]}"#)
                == .json(JSONFault(.duplicateKey("payload"), at: 18)))
        #expect(fault(#"{"payload":"e30",\#(type),"signatures":[]}"#) == nil)
        #expect(fault(#"{"payload":"e30==",\#(type),"signatures":[]}"#) == .field("payload", "is not base64"))
        #expect(fault(#"{"payload":"e3 0=",\#(type),"signatures":[]}"#) == .field("payload", "is not base64"))
        #expect(fault(#"{"payload":"e31=",\#(type),"signatures":[]}"#) == .field("payload", "is not base64"))
        #expect(fault(#"{"payload":"e30=","payloadType":"text/plain","signatures":[]}"#) == .payloadType("text/plain"))
        #expect(fault(#"{"payload":"e30=","payloadType":"application/vnd.hansa.Release.v1+json","signatures":[]}"#)?.path == "")
        #expect(fault(#"{"payload":"e30=",\#(type)}"#) == .field("signatures", "is missing"))
        #expect(fault(#"{"payload":"e30=",\#(type),"signatures":{}}"#)?.path == "signatures")
        #expect(fault(#"{"payload":"e30=",\#(type),"signatures":[{"keyid":"x"}]}"#) == .field("signatures[0].sig", "is missing"))
        #expect(
            fault(#"{"payload":"e30=",\#(type),"signatures":[{"keyid":"x","sig":"A"}]}"#)
                == .field("signatures[0].sig", "is not base64"))
        #expect(fault(#"{"payload":{},\#(type),"signatures":[]}"#) == .field("payload", "is not a string"))
        #expect(
            fault(#"{"payload":"e30=",\#(type),"signatures":[{"keyid":"x","sig":"\#(zeros)"},{"keyid":"y","sig":"\#(zeros)"}]}"#)
                == .repeatedSignature)
        #expect(fault("\u{FEFF}{}") == .json(JSONFault(.byteOrderMark, at: 0)))
        #expect(fault("[]")?.path == "")
        #expect(
            fault(#"{"payload":"e30=",\#(type),"signatures":[],"x":\#(String(repeating: "[", count: 10_000))"#)
                == .json(JSONFault(.tooDeep(limit: 32), at: 123)))
    }

    @Test func tooManySignaturesAndTooManyBytesAreRefused() {
        func envelope(_ count: Int) -> String {
            let entries = (0..<count).map {
                #"{"keyid":"","sig":"\#(Base64.encode([UInt8](repeating: UInt8($0 % 250), count: 63) + [UInt8($0 / 250)]))"}"#
            }
            return
                #"{"payload":"e30=","payloadType":"application/vnd.hansa.release.v1+json","signatures":[\#(entries.joined(separator: ","))]}"#
        }
        #expect(fault(envelope(64)) == nil)
        #expect(fault(envelope(65)) == .tooManySignatures(65))
        #expect(fault(envelope(1000)) == .tooManySignatures(1000))
        #expect(fault(String(repeating: " ", count: 262_145)) == .json(JSONFault(.tooLarge(limit: 262_144), at: 262_144)))
    }

    @Test func aDocumentIsReadUnderItsOwnTypeOnly() throws {
        let release = try Fixture.release()
        let envelope = Envelope.sign(release.payload(), as: .receipt, with: [Fixture.key(11)])
        #expect(throws: DocumentFault.payloadType("application/vnd.hansa.receipt.v1+json")) { try Release(envelope) }
        #expect(try Release(release.signed(with: [Fixture.key(11)])) == release)
    }
}

extension Ed25519PublicKey {
    fileprivate func signature(in envelope: Envelope) -> [UInt8]? { envelope.signatures.first { $0.keyID == keyID }?.signature }
}
