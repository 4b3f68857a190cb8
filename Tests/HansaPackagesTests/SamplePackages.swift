import Foundation
import HansaCore
import HansaCrypto
import HansaPackages
import Testing

/// Writes bags for the check by foreign tools (`Tests/Foreign/check_package.py`): below $HANSA_SAMPLES/packages, when that is set.
@Suite struct SamplePackages {
    static let directory = ProcessInfo.processInfo.environment["HANSA_SAMPLES"]

    @Test(.enabled(if: directory != nil, "HANSA_SAMPLES names no directory"))
    func bagsAreWrittenForForeignTools() throws {
        let samples = URL(fileURLWithPath: try #require(SamplePackages.directory)).appendingPathComponent("packages")
        for (name, files) in SamplePackages.packages() {
            let bag = try SamplePackages.bag(name: name, files: files)
            let target = samples.appendingPathComponent(name)
            try? FileManager.default.removeItem(at: target)
            for (path, content) in bag {
                let url = target.appendingPathComponent(path)
                try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(content).write(to: url)
            }
        }
    }

    /// The bag as publishing makes it from a directory without `datapackage.json`.
    private static func bag(name: String, files: [String: [UInt8]]) throws -> [String: [UInt8]] {
        let plan = try PublishPlan(files.map { DirectoryEntry(path: $0, size: UInt64($1.count)) })
        var digests: [FileDigest] = []
        var resources: [InferredResource] = []
        for file in plan.files {
            let content = files[file.source] ?? []
            var inference = ResourceInference(path: file.path)
            if inference.wantsBytes { content.withUnsafeBytes { inference.feed($0) } }
            let digest = SHA256.hash(content)
            resources.append(inference.finish(size: file.size, digest: digest))
            digests.append(FileDigest(path: file.path, size: file.size, digest: digest))
        }
        let created = Timestamp(seconds: 1_790_000_000)
        let document = DataPackageDocument.inferred(name: name, title: name, files: resources, created: created)
        let bag = Bag(
            payload: digests, datapackage: try document.completed(files: digests, version: Version(1, 0, 0)),
            info: BagInfo(organisation: "Hansestadt Lübeck", identifier: "luebeck.example/\(name)", date: created.date))
        var result: [String: [UInt8]] = [:]
        for file in plan.files { result[file.bagPath] = files[file.source] }
        for tag in bag.tagFiles { result[tag.path] = tag.bytes }
        return result
    }

    private static func packages() -> [(String, [String: [UInt8]])] {
        var packages: [(String, [String: [UInt8]])] = [
            (
                "types",
                [
                    "types.csv": Array(
                        """
                        id,number,flag,day,time,at,local,code,text,blank\r
                        1,1.5,true,2024-02-29,23:59:59,2024-02-29T10:00:00Z,2024-02-29 10:00:00,007,"a,b",\r
                        -2,NaN,FALSE,0001-01-01,00:00:00,2024-02-29T10:00:00.5+02:00,1999-12-31 23:59:59,08,"line\nbreak ""q"" x",\r
                        3,.5,True,,,2024-02-29T10:00:00,,+5,ü,\r
                        4,-1e-3,,,,,,,,\r
                        5,INF,,,,,,,,\r

                        """.utf8),
                    "missing.csv": Array("id,n,day,country\n1,NA,NULL,NA\n2,5,2024-01-01,DE\n3,N/A,,NA\n".utf8),
                    "pairs.csv": Array("day,hour,n\n2024-01-01,1,5\n2024-01-01,2,5\n2024-01-02,1,5\n".utf8),
                ]
            ),
            (
                "delimiters",
                [
                    "semicolon.csv": Array("a;b\n1,5;x\n2,5;y\n".utf8), "tab.tsv": Array("a\tb\n1\tx\n".utf8),
                    "pipe.csv": Array("a|b\n1|x\n".utf8),
                    "marked.csv": Array("\u{FEFF}a,b\n1,2\n".utf8),
                ]
            ),
            (
                "names",
                [
                    "README.md": Array("# Read me\n".utf8), "data/inner.csv": Array("a\n1\n".utf8),
                    "Größe/mit Leerzeichen.csv": Array("a,b\n1,2\n".utf8),
                    "日本/表.txt": Array("x".utf8), "empty.bin": [], "sub/notes.json": Array("[]".utf8),
                    "a'b\"c.txt": Array("x".utf8),
                ]
            ),
        ]
        if let counts = sharedData("auckland/hourly_counts.csv"), let places = sharedData("auckland/locations.csv") {
            packages.append(("auckland", ["hourly_counts.csv": counts, "locations.csv": places]))
        }
        if let airports = sharedData("airports/20260803.csv") { packages.append(("airports", ["airports.csv": airports])) }
        if let points = sharedData("london/cycle_hire.geojson") { packages.append(("london", ["cycle_hire.geojson": points])) }
        // With $HANSA_SAMPLES_FROM, every directory below it is a package too: for a trial on data of one's own.
        guard let root = ProcessInfo.processInfo.environment["HANSA_SAMPLES_FROM"] else { return packages }
        for name in ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted() {
            var files: [String: [UInt8]] = [:]
            for file in (try? FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(name)")) ?? [] {
                if let data = try? Data(contentsOf: URL(fileURLWithPath: "\(root)/\(name)/\(file)")) {
                    files[file] = [UInt8](data)
                }
            }
            packages.append((name, files))
        }
        return packages
    }
}
