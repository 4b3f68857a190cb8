import HansaCore
import HansaCrypto
import HansaPackages
import Testing

@Suite struct DataPackageTests {
    private func document(_ json: String, _ placement: DataPackageDocument.Placement = .directory) throws -> DataPackageDocument {
        try DataPackageDocument(reading: Array(json.utf8), placement: placement)
    }

    private func errors(_ json: String, files: [FileDigest]? = nil) throws -> [String] {
        try document(json).findings(files: files).filter { $0.severity == .error }.map(\.description)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func completingPrefixesPathsAndFillsHashAndBytes() throws {
        let files = [file("counts.csv", "a,b\n"), file("README.md", "hello")]
        let bytes = try document(
            #"{"x":{"deep":[1,2.5,null,true]},"title":"T","resources":[{"path":"counts.csv","name":"counts","bytes":1,"hash":"old","mine":"kept"}]}"#
        ).completed(files: files, version: Version(1, 2, 3))
        #expect(
            text(bytes) == """
                {
                  "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
                  "title": "T",
                  "version": "1.2.3",
                  "hansa": {
                    "specVersion": 1,
                    "kind": "dataset"
                  },
                  "x": {
                    "deep": [
                      1,
                      2.5,
                      null,
                      true
                    ]
                  },
                  "resources": [
                    {
                      "name": "counts",
                      "path": "data/counts.csv",
                      "bytes": 4,
                      "hash": "\(SHA256.hash(Array("a,b\n".utf8)).prefixed)",
                      "mine": "kept"
                    }
                  ]
                }

                """)
    }

    @Test func aCompletedDocumentReadAsABagCompletesToItself() throws {
        let files = [file("a.csv", "1\n"), file("b/c.csv", "2\n"), file("s.json", "{}")]
        let first = try document(
            #"{"name":"n","resources":[{"name":"x","path":["a.csv","b/c.csv"],"schema":"s.json"},{"name":"y","data":[1]},{"name":"z","path":"b/c.csv","schema":{"fields":[{"name":"q"}],"primaryKey":"q"}}]}"#
        ).completed(files: files)
        #expect(text(first).contains(#""schema": "data/s.json""#))
        let again = try document(text(first), .bag)
        #expect(again.resourcePaths == ["a.csv", "b/c.csv", "b/c.csv"])
        #expect(try again.completed(files: files) == first)
        #expect(again.findings(files: files).allSatisfy { $0.severity == .warning })
        #expect(again["resources"]?[2]?["schema"]?["primaryKey"] == ["q"])
    }

    @Test func inABagPathsBeginWithData() {
        #expect(throws: DataPackageFault.self) { try document(#"{"resources":[{"name":"x","path":"a.csv"}]}"#, .bag) }
    }

    @Test func whatIsNoDocumentIsRefused() {
        for json in [
            "", "[]", "1", "{", #"{"a":1,"a":2}"#, "\u{FEFF}{}", #"{"a":"\ud800"}"#, String(repeating: "[", count: 10_000),
        ] {
            #expect(throws: DataPackageFault.self) { try document(json) }
        }
    }

    @Test(arguments: [
        (#"{}"#, "resources: is missing"),
        (#"{"resources":[]}"#, "resources: is empty"),
        (#"{"resources":{}}"#, "resources: is no array"),
        (#"{"resources":[1]}"#, "resources[0]: is no object"),
        (#"{"resources":[{"path":"a.csv"}]}"#, "resources[0].name: is missing"),
        (#"{"resources":[{"name":"A b","path":"a.csv"}]}"#, "try 'a-b'"),
        (
            #"{"resources":[{"name":"a","path":"a.csv"},{"name":"a","path":"a.csv"}]}"#,
            "resources[1].name: 'a' is the name of resources[0]"
        ),
        (#"{"resources":[{"name":"a"}]}"#, "neither path nor data"),
        (#"{"resources":[{"name":"a","path":"a.csv","data":[]}]}"#, "both path and data"),
        (#"{"resources":[{"name":"a","path":"../a.csv"}]}"#, "'.' or '..'"),
        (#"{"resources":[{"name":"a","path":"/a.csv"}]}"#, "absolute"),
        (#"{"resources":[{"name":"a","path":".a.csv"}]}"#, "starts with a dot"),
        (#"{"resources":[{"name":"a","path":"https://example.org/a.csv"}]}"#, "is a URL"),
        (#"{"resources":[{"name":"a","path":7}]}"#, "neither text nor an array"),
        (#"{"resources":[{"name":"a","path":["a.csv",7]}]}"#, "resources[0].path[1]: is no text"),
        (#"{"resources":[{"name":"a","path":"a.csv","bytes":"4"}]}"#, "no whole number"),
        (#"{"resources":[{"name":"a","path":"a.csv","bytes":-1}]}"#, "no whole number"),
        (#"{"resources":[{"name":"a","path":"a.csv","schema":{"fields":[{"name":"x"},{"name":"x"}]}}]}"#, "earlier field"),
        (
            #"{"resources":[{"name":"a","path":"a.csv","schema":{"fields":[{"name":"x"}],"primaryKey":["y"]}}]}"#,
            "no field of the table"
        ),
        (
            #"{"resources":[{"name":"a","path":"a.csv","schema":{"fields":[{"name":"x"}],"primaryKey":7}}]}"#,
            "no array of field names"
        ),
        (#"{"resources":[{"name":"a","path":"a.csv"}],"hansa":{"specVersion":2}}"#, "hansa.specVersion"),
        (#"{"resources":[{"name":"a","path":"a.csv"}],"hansa":{"kind":"datasets"}}"#, "hansa.kind"),
        (#"{"resources":[{"name":"a","path":"a.csv"}],"hansa":[]}"#, "hansa: is no object"),
        (#"{"resources":[{"name":"a","path":"a.csv"}],"title":7}"#, "title: is no text"),
        (#"{"resources":[{"name":"a","path":"b.csv"}]}"#, "no file 'b.csv' in the package; did you mean 'a.csv'?"),
        (#"{"resources":[{"name":"a","path":"A.CSV"}]}"#, "did you mean 'a.csv'?"),
    ])
    func whatIsWrongIsNamed(json: String, message: String) throws {
        let files = [file("a.csv", "x\n1\n")]
        let found = try errors(json, files: files)
        #expect(found.count == 1 && found[0].contains(message), "\(found)")
        #expect(throws: DataPackageFault.self) { try document(json).completed(files: files) }
    }

    @Test func staleSizesAndHashesAreWarningsOnly() throws {
        let json =
            #"{"licenses":[{"name":"CC0-1.0"}],"version":"1","resources":[{"name":"a","path":"a.csv","bytes":9,"hash":"md5:00"}]}"#
        let files = [file("a.csv", "x\n1\n")]
        #expect(try document(json).findings(files: files).map(\.place) == ["version", "resources[0].bytes", "resources[0].hash"])
        #expect(try errors(json, files: files) == [])
    }

    @Test func otherKindsComeLater() throws {
        let json = #"{"resources":[{"name":"a","path":"a"}],"hansa":{"specVersion":1,"kind":"practice"}}"#
        #expect(throws: DataPackageFault.comesLater(.practice)) { try document(json).completed(files: [file("a", "")]) }
        #expect(DataPackageFault.comesLater(.practice).problem.code == .notYet)
        #expect(throws: DataPackageFault.nothingToPublish) {
            try document(#"{"resources":[{"name":"a","data":1}]}"#).completed(files: [])
        }
    }

    @Test func inferredDocumentsAreDeterministicAndComplete() throws {
        let table = try infer("id;at\n1;2024-01-01 10:00:00\n2;2024-01-01 11:00:00\n")
        let files = [
            InferredResource(path: "b/Über Zählung.csv", size: 4, content: .table(table)),
            InferredResource(path: "README.md", size: 5),
            InferredResource(path: "b/uber-zahlung.csv", size: 6, digest: SHA256.hash([1])),
            InferredResource(path: "表.bin2", size: 1),
            InferredResource(path: "LICENSE", size: 1),
        ]
        let made = DataPackageDocument.inferred(
            name: "roads/breaks", title: "Breaks", files: files, created: Timestamp(seconds: 0))
        for _ in 0..<5 {
            let other = DataPackageDocument.inferred(
                name: "roads/breaks", title: "Breaks", files: files.shuffled(), created: Timestamp(seconds: 0))
            #expect(other.bytes == made.bytes)
        }
        #expect(
            made["resources"]?.array?.compactMap { $0["name"]?.string } == [
                "license", "readme", "b-uber-zahlung", "b-ber-z-hlung", "resource",
            ])
        let resource = try #require(made["resources"]?[3])
        #expect(resource["dialect"]?["delimiter"]?.string == ";")
        #expect(resource["type"]?.string == "table")
        #expect(resource["schema"]?["fields"]?[1]?["format"]?.string == "%Y-%m-%d %H:%M:%S")
        #expect(resource["schema"]?["primaryKey"] == ["id"])
        #expect(made["name"]?.string == "roads-breaks")
        #expect(made.findings().allSatisfy { $0.severity == .warning })
        // It reads back as itself.
        #expect(try DataPackageDocument(reading: made.bytes).bytes == made.bytes)
    }

    @Test func resourceNamesStayUniqueWhateverTheFilesAreCalled() {
        let files = ["a.csv", "a.md", "a-2.csv", "A.txt", "a-2", "ä", "ö", "-"].map { InferredResource(path: $0, size: 0) }
        let names =
            DataPackageDocument.inferred(name: "n", files: files)["resources"]?.array?.compactMap { $0["name"]?.string } ?? []
        #expect(Set(names).count == files.count)
    }

    /// An inferred document is not checked and sorted when it is completed; that must not show.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func inferredAndReadDocumentsCompleteAlike(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let tables = [try infer("id;b\n1;x\n2;y\n"), try infer("a,b,a\n1,2024-01-01 10:00:00,\n")]
        let names = ["a.csv", "b/a.csv", "c.md", "LICENSE", "d.JSON", "ü.tsv", "e.zip", "f.unknown", "g/h/i.csv"].shuffled(
            using: &random)
        var resources: [InferredResource] = []
        var files: [FileDigest] = []
        for name in names.prefix(Int.random(in: 1...names.count, using: &random)) {
            let digest = SHA256.hash(Array(name.utf8))
            files.append(FileDigest(path: name, size: UInt64.random(in: 0...1 << 40, using: &random), digest: digest))
            let content =
                tables.randomElement(using: &random).map {
                    Bool.random(using: &random) ? InferredResource.Content.table($0) : .file
                } ?? .file
            resources.append(
                InferredResource(path: name, size: 1, digest: Bool.random(using: &random) ? digest : nil, content: content))
        }
        let made = DataPackageDocument.inferred(
            name: "n", title: Bool.random(using: &random) ? "t" : nil, files: resources,
            version: Bool.random(using: &random) ? Version(1, 0, 0) : nil,
            created: Bool.random(using: &random) ? Timestamp(seconds: 1) : nil)
        let version = Bool.random(using: &random) ? Version(2, 0, 0) : nil
        let completed = try made.completed(files: files, version: version)
        let read = try DataPackageDocument(reading: made.bytes)
        #expect(try read.completed(files: files, version: version) == completed, "seed \(seed)")
        #expect(
            try DataPackageDocument(reading: completed, placement: .bag).findings(files: files).allSatisfy {
                $0.place == "licenses"
            }, "seed \(seed)")
        #expect(throws: DataPackageFault.self) { try made.completed(files: [FileDigest(path: "other", size: 0, digest: .zero)]) }
    }

    @Test func resourcesAreInferredByNameAndContent() {
        func resource(_ path: String, _ content: String) -> (wants: Bool, content: InferredResource.Content) {
            var inference = ResourceInference(path: path)
            let wants = inference.wantsBytes
            if wants { Array(content.utf8).withUnsafeBytes { inference.feed($0) } }
            return (wants, inference.finish(size: UInt64(content.utf8.count)).content)
        }
        #expect(resource("a.geojson", "{}").wants == false)
        #expect(resource("a.csv.gz", "").wants == false)
        #expect(resource("LICENSE", "").content == .file)
        #expect(resource("a.CSV", "a\n1\n").wants)
        #expect(resource("a.csv", "a,b\n1,\"2").content == .noTable(.csv(.openQuote(row: 2))))
        #expect(resource("a.csv", "").content == .noTable(.empty))
        // A file called tsv is divided by tabs, whatever else is in it.
        guard case .table(let table) = resource("a.tsv", "a,x\tb\n1,x\t2\n").content else {
            return #expect(Bool(false), "no table")
        }
        #expect(table.delimiter == 0x09)
    }

    @Test func faultsLeaveWithTheirCodes() {
        #expect(PublishFault.notRegular(["x"], more: 0).problem.code == .fileUnsafe)
        #expect(PublishFault.tooManyFiles(2, max: 1).problem.code == .limitExceeded)
        #expect(PublishFault.empty.problem.code == .packageInvalid)
        #expect(DataPackageFault.notObject.problem.code == .packageInvalid)
        #expect(VersionFault.notHigher(given: Version(1, 0, 0), head: Version(1, 0, 0)).problem.code == .versionNotHigher)
        #expect(VersionFault.malformed("x").problem.exit == .usage)
    }
}
