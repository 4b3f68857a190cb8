import HansaCore
import HansaCrypto
import HansaPackages
import Testing

@Suite struct BagTests {
    private static let info = BagInfo(
        organisation: "City of Kitchener", identifier: "kitchener.ca/roads", date: CalendarDate(daysSinceEpoch: 20_000))

    /// A bag in memory with what a directory listing would say.
    private struct MemoryBag {
        var files: [String: [UInt8]] = [:]
        var extra: [DirectoryEntry] = []

        init(_ payload: [String: String] = ["a.csv": "x\n1\n", "b/ü.md": "hello"]) throws {
            let digests = payload.map { file($0, $1) }
            let descriptor = DataPackageDocument.inferred(
                name: "n", files: payload.keys.map { InferredResource(path: $0, size: 0) })
            let bag = Bag(payload: digests, datapackage: try descriptor.completed(files: digests), info: info)
            for (path, content) in payload { files["data/" + path] = Array(content.utf8) }
            for tag in bag.tagFiles { files[tag.path] = tag.bytes }
            files[Bag.releaseName] = Array("{}".utf8)
            manifest = bag.manifest
        }

        var manifest: Digest
        func findings(foreign: Bool = false) -> [String] {
            let listing =
                extra + files.map { DirectoryEntry(path: $0, size: UInt64($1.count)) } + [
                    DirectoryEntry(path: "data", kind: .directory, size: 0)
                ]
            let verifier = BagVerifier(
                listing: listing, standard: foreign ? .foreign : .release(manifest: manifest), read: { files[$0] ?? [] })
            return verifier.findings(hashing: { SHA256.hash(files[$0] ?? []) }).map(\.description)
        }
    }

    @Test func tagFilesAreAsTheStandardSays() throws {
        let payload = [file("b.csv", "2"), file("a%b.csv", "1")]
        let bag = Bag(payload: payload, datapackage: Array("{}".utf8), info: BagTests.info)
        let texts = Dictionary(uniqueKeysWithValues: bag.tagFiles.map { ($0.path, String(decoding: $0.bytes, as: UTF8.self)) })
        #expect(texts["bagit.txt"] == "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        #expect(
            texts["bag-info.txt"] == """
                Source-Organization: City of Kitchener
                External-Identifier: kitchener.ca/roads
                Bagging-Date: 2024-10-04
                Payload-Oxum: 2.2

                """)
        #expect(
            texts["manifest-sha256.txt"] == "\(payload[1].digest.hex)  data/a%25b.csv\n\(payload[0].digest.hex)  data/b.csv\n")
        let listed = bag.tagFiles.dropLast().map { "\($0.digest.hex)  \($0.path)\n" }.joined()
        #expect(texts["tagmanifest-sha256.txt"] == listed)
        #expect(bag.manifest == SHA256.hash(Array(listed.utf8)))
        #expect(bag.payloadBytes == 2 && bag.payloadFiles == 2)
        for tag in bag.tagFiles { #expect(tag.digest == SHA256.hash(tag.bytes)) }
    }

    @Test func textFromOutsideCannotAddLines() {
        let info = BagInfo(
            organisation: "X\nPayload-Oxum: 1.1\r\u{2028}\u{85}ü", identifier: "a\tb", date: CalendarDate(daysSinceEpoch: 0))
        let bag = Bag(payload: [], datapackage: [], info: info)
        let text = String(decoding: bag.tagFiles[0].bytes, as: UTF8.self)
        #expect(
            text
                == "Source-Organization: X Payload-Oxum: 1.1   ü\nExternal-Identifier: a b\nBagging-Date: 1970-01-01\nPayload-Oxum: 0.0\n"
        )
    }

    @Test func aBagAsMadeIsFaultless() throws {
        #expect(try MemoryBag().findings() == [])
        #expect(try MemoryBag().findings(foreign: true) == [])
    }

    @Test func anyFlippedByteIsFound() throws {
        let bag = try MemoryBag()
        for (path, content) in bag.files where path != Bag.releaseName {
            for index in content.indices {
                var changed = bag
                changed.files[path]?[index] ^= 1
                #expect(!changed.findings().isEmpty, "\(path) byte \(index)")
            }
        }
    }

    @Test func missingAndStrayFilesAreNamed() throws {
        for path in try MemoryBag().files.keys where path != Bag.releaseName {
            var bag = try MemoryBag()
            bag.files[path] = nil
            #expect(bag.findings().contains { $0.hasPrefix(path) }, "\(path)")
        }
        for path in ["stray.txt", "data/stray.csv", "manifest-md5.txt", "fetch.txt", ".hidden", "data/.hidden", "meta/x"] {
            var bag = try MemoryBag()
            bag.files[path] = Array("x".utf8)
            #expect(bag.findings().contains { $0.hasPrefix(path) }, "\(path)")
        }
    }

    @Test func linksAndUnsafeNamesAreNamed() throws {
        var bag = try MemoryBag()
        bag.extra = [
            DirectoryEntry(path: "data/link", kind: .symlink, size: 1), DirectoryEntry(path: "data/pipe", kind: .other, size: 0),
            DirectoryEntry(path: "data/linked", kind: .symlink, size: 1), DirectoryEntry(path: "/etc/passwd", size: 1),
            DirectoryEntry(path: "data/../../x", size: 1), DirectoryEntry(path: "data/a\u{0}", size: 1),
        ]
        let findings = bag.findings()
        #expect(findings.contains("data/link: is a symbolic link"))
        #expect(findings.contains("data/pipe: is no regular file"))
        #expect(
            findings.contains { $0.contains("absolute") } && findings.contains { $0.contains("'..'") }
                && findings.contains { $0.contains("control") })
    }

    @Test func collidingNamesAreNamed() throws {
        let bag = try MemoryBag(["a.csv": "1", "A.csv": "2"])
        #expect(bag.findings().contains { $0.contains("differ only by case") })
    }

    @Test func aTagManifestOfAnotherReleaseIsNamed() throws {
        var bag = try MemoryBag()
        bag.manifest = .zero
        #expect(bag.findings() == ["tagmanifest-sha256.txt: is not the one that the release signed"])
    }

    @Test func oxumIsChecked() throws {
        var bag = try MemoryBag()
        let info = String(decoding: bag.files["bag-info.txt"] ?? [], as: UTF8.self).replacing(
            "Payload-Oxum: 9.2", with: "Payload-Oxum: 10.2")
        bag.files["bag-info.txt"] = Array(info.utf8)
        #expect(bag.findings(foreign: true).contains { $0.contains("Payload-Oxum says 10.2; the payload is 9.2") })
    }

    @Test func manifestsOfOthersAreRead() throws {
        let hex = String(repeating: "Ab", count: 32)
        let text = "\(hex)  data/a\r\n\(hex)\tdata/b%0Ac%25d%0d\r\(hex) data/100%.csv"
        #expect(throws: ManifestFault.self) { try BagManifest(Array(text.utf8)) }  // a line feed in a name is no path of ours
        let fine = "\(hex)  data/a\r\n\(hex)\tdata/c%25d\r\(hex) data/100%.csv"
        #expect(try BagManifest(Array(fine.utf8)).entries.map(\.path) == ["data/a", "data/c%d", "data/100%.csv"])
        #expect(try BagManifest(Array(fine.utf8)).entries[0].digest.hex == hex.lowercased())
        #expect(try BagManifest(Array("\(hex)  data/.x\n".utf8), allowsHidden: true).entries.count == 1)
        for bad in [
            "\(hex)", "\(hex)data/a", "\(hex.dropLast())  data/a", "\(hex)  ../a", "\(hex)  /a", "\(hex)  ", "zz  data/a",
            "\(hex)  data/.x",
            "\(hex)  data/a\n\(hex)  data/a\n", "\(hex)  data/a\u{0}",
        ] {
            #expect(throws: ManifestFault.self, "\(bad)") { try BagManifest(Array(bad.utf8)) }
        }
        #expect(throws: ManifestFault.self) { try BagManifest([0xFF]) }
    }

    @Test func aForeignBagMayHaveMoreTagFilesButNoUnlistedPayload() throws {
        var bag = try MemoryBag()
        bag.files["manifest-md5.txt"] = []
        bag.files["meta/notes.txt"] = []
        bag.files["tagmanifest-sha256.txt"] = nil
        bag.files["bag-info.txt"] = Array("Contact-Name: A\n  folded line\n".utf8)
        bag.files["bagit.txt"] = Array("BagIt-Version: 0.97\r\nTag-File-Character-Encoding: utf-8\r\n".utf8)
        #expect(bag.findings(foreign: true) == [])
        bag.files["data/more"] = []
        #expect(bag.findings(foreign: true) == ["data/more: is listed in no manifest"])
        bag.files["fetch.txt"] = [0x61]
        #expect(bag.findings(foreign: true).count == 2)
    }

    /// Random damage to the texts of a bag never traps and never passes.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func damagedBagsNeverPass(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var bag = try MemoryBag()
        let path =
            ["bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "datapackage.json"].randomElement(
                using: &random) ?? ""
        var content = bag.files[path] ?? []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let at = Int.random(in: 0...content.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: content.insert(UInt8.random(in: 0...255, using: &random), at: at)
            case 1 where at < content.count: content.remove(at: at)
            default: content.replaceSubrange(min(at, content.count)..., with: [0x0A])
            }
        }
        guard content != bag.files[path] else { return }
        bag.files[path] = content
        #expect(!bag.findings().isEmpty, "seed \(seed): \(path)")
    }
}
