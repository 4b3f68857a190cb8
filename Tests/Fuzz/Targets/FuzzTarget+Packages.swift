internal import Foundation
internal import HansaCore
internal import HansaDocuments
internal import HansaPackages
internal import HansaYAML

extension FuzzTarget {
    // MARK: JSON

    /// What the scanner passes, Foundation must be able to read, and our writer's text must be the same value.
    static func json(_ bytes: [UInt8]) throws(FuzzFinding) {
        for integersOnly in [true, false] {
            guard (try? StrictJSON.check(bytes, integersOnly: integersOnly)) != nil else { continue }
            let value: JSONValue
            do { value = try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) } catch {
                // Numbers beyond a double are left to the decoder, where fractions are allowed.
                try expect(!integersOnly, "the scanner passed what the decoder refuses: \(error)")
                continue
            }
            for pretty in [false, true] {
                let written = value.serialized(pretty: pretty)
                guard written.count <= Limits.documentBytesMax else { continue }
                guard let second = try? StrictJSON.decode(JSONValue.self, from: written, integersOnly: integersOnly) else {
                    throw FuzzFinding("JSON that was read and written is refused")
                }
                try expect(second == value, "JSON that was read and written is another")
            }
        }
    }

    // MARK: Text tables

    static func csv(_ bytes: [UInt8]) throws(FuzzFinding) {
        let whole = Rows(bytes, pieces: bytes.count + 1)
        for pieces in [1, 7] {
            try expect(Rows(bytes, pieces: pieces) == whole, "a table is read otherwise in pieces of \(pieces) bytes")
        }
        var inference = TableInference(keyRowsMax: 4096)
        withExact(bytes) { inference.feed($0) }
        _ = try? inference.finish()
        // Two tables, parted by the middle line feed.
        let feeds = bytes.indices.filter { bytes[$0] == 0x0A }
        let middle = feeds.isEmpty ? bytes.count : feeds[feeds.count / 2] + 1
        let (one, two) = (Table(bytes: Array(bytes[..<middle])), Table(bytes: Array(bytes[middle...])))
        if let diff = try? TableDiff(from: one, to: one, key: nil, rowsMax: 4096) {
            try expect(diff.isEmpty, "a table differs from itself")
        }
        let there = try? TableDiff(from: one, to: two, key: nil, rowsMax: 4096)
        let back = try? TableDiff(from: two, to: one, key: nil, rowsMax: 4096)
        try expect(
            there?.added == back?.removed && there?.removed == back?.added, "comparing in the other direction tells another story"
        )
        for key in [nil, ["id"]] as [[String]?] {
            var output: [UInt8] = []
            var options = TableMergeOptions(key: key)
            options.rowsMax = 4096
            let result = try? TableMerge.merge(base: one, ours: one, theirs: two, options: options) {
                output.append(contentsOf: $0)
            }
            if let result {
                try expect(result.isClean && output == two.bytes, "a merge with what nobody else changed is not their table")
            }
        }
    }

    private struct Table: TableSource {
        let bytes: [UInt8]
        func read(_ body: (UnsafeRawBufferPointer) throws -> Bool) throws {
            let half = bytes.count / 2
            guard try FuzzTarget.withExact(bytes[..<half], body) else { return }
            _ = try FuzzTarget.withExact(bytes[half...], body)
        }
    }

    private struct Rows: CSVHandler, Equatable {
        var bytes: [UInt8] = []
        var fault: CSVFault?

        init(_ input: [UInt8], pieces: Int) {
            var reader = CSVReader(fieldBytesMax: 4096, fieldsMax: 256)
            do throws(CSVFault) {
                var start = 0
                while start < input.count {
                    let end = min(start + pieces, input.count)
                    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 1)
                    defer { piece.deallocate() }
                    piece.copyBytes(from: input[start..<end])
                    try reader.feed(UnsafeRawBufferPointer(piece), to: &self)
                    start = end
                }
                try reader.finish(to: &self)
            } catch {
                fault = error
            }
        }

        mutating func field(_ field: UnsafeRawBufferPointer, quoted: Bool) throws(CSVFault) {
            bytes += [quoted ? 1 : 0] + field + [0]
        }
        mutating func endOfRow(count: Int) throws(CSVFault) { bytes += [2, UInt8(truncatingIfNeeded: count)] }
    }

    // MARK: YAML

    static func yaml(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let agreement = try? AgreementYAML.read(bytes) {
            guard let second = try? AgreementYAML.read(AgreementYAML.write(agreement)) else {
                throw FuzzFinding("an agreement that was read and written is refused")
            }
            try expect(second == agreement, "an agreement that was read and written is another")
        }
        guard let configuration = try? ConfigurationYAML.read(bytes), let text = String(validating: bytes, as: UTF8.self) else {
            return
        }
        for (key, value) in [("logLevel", "debug"), ("limits.connectionsMax", "77"), ("listen", "127.0.0.1:1")] {
            guard let changed = try? ConfigurationYAML.set(text, key, value) else { continue }
            guard let second = try? ConfigurationYAML.read(changed) else { throw FuzzFinding("a changed hansa.yaml is refused") }
            var wanted = configuration
            try? wanted.set(key, to: value, origin: .flag("fuzz"))
            try expect(second == wanted, "a changed hansa.yaml says something else")
        }
    }

    // MARK: Files of packages

    static func package(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let manifest = try? BagManifest(bytes) {
            for entry in manifest.entries { try expect((try? PayloadPath(entry.path)) != nil, "a manifest has an unsafe path") }
        }
        _ = try? BagManifest(bytes, allowsHidden: true)
        if let snapshot = try? DirectorySnapshot(encoded: bytes) {
            try expect(snapshot.encoded() == bytes, "a snapshot of a directory has two spellings")
        }
        for placement in [DataPackageDocument.Placement.directory, .bag] {
            guard let document = try? DataPackageDocument(reading: bytes, placement: placement) else { continue }
            _ = document.findings()
            _ = (document.title, document.version, document.package, document.kind, document.resourcePaths)
            _ = try? document.completed(files: [])
            guard let second = try? DataPackageDocument(reading: document.bytes) else {
                throw FuzzFinding("a datapackage.json that was read and written is refused")
            }
            try expect(second.bytes == document.bytes, "a datapackage.json changes each time it is written")
        }
    }
}
