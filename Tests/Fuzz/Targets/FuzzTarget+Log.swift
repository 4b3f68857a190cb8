internal import HansaCore
internal import HansaLog

extension FuzzTarget {
    static func note(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let note = try? SignedNote(bytes) {
            try expect(note.bytes == bytes, "a note has two spellings")
            if let checkpoint = try? Checkpoint(text: note.text) {
                try expect(checkpoint.text == note.text, "a checkpoint has two spellings")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { return }
        if let checkpoint = try? Checkpoint(text: text) { try expect(checkpoint.text == text, "a checkpoint has two spellings") }
        if let key = try? VerifierKey(text) {
            try expect(key.text == text, "a verifier key has two spellings")
            let note = SignedNote(text: "a\n", signatures: [NoteSignature(name: key.name, keyID: key.keyID, signature: [0])])
            _ = try? note.verified(by: [key])
        }
    }

    /// One entry, and a bundle of as many as the first byte says.
    static func entry(_ bytes: [UInt8]) throws(FuzzFinding) {
        if let entry = try? LogEntry(bytes) {
            // Entries were written by their own city's node; another may order its members otherwise. What we write must be read the same.
            if let written = try? entry.encoded() {
                guard let second = try? LogEntry(written) else {
                    throw FuzzFinding("a log entry that was read and written is refused")
                }
                try expect(second == entry, "a log entry that was read and written is another")
            }
        }
        guard let count = bytes.first else { return }
        let bundle = Array(bytes.dropFirst())
        if let entries = try? EntryBundle.decode(bundle, count: Int(count)) {
            try expect(EntryBundle.encode(entries.map(Array.init)) == bundle, "a bundle of entries has two spellings")
        }
    }

    static func text(_ bytes: [UInt8]) throws(FuzzFinding) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return }
        if let city = try? CityID(text) { try expect(same(city.text, text), "a city id has two spellings") }
        if let package = try? PackageID(text) { try expect(same(package.description, text), "a package id has two spellings") }
        if let pattern = try? PackagePattern(text) { try expect(same(pattern.text, text), "a pattern has two spellings") }
        if let version = Version(text) { try expect(same(version.description, text), "a version has two spellings") }
        if let time = Timestamp(text) {
            // A time may be written with or without its milliseconds.
            try expect(Timestamp(time.description) == time, "a time that was read and written is another")
        }
        if let date = CalendarDate(text) { try expect(same(date.description, text), "a date has two spellings") }
        if let raw = Hex.decode(text) {
            try expect(Hex.encode(raw).utf8.elementsEqual(text.lowercased().utf8), "hex has two spellings")
        }
        if let raw = Base64.decode(text) { try expect(Base64.decode(Base64.encode(raw)) == raw, "base64 is read as another") }
        if let path = TilePath(text) { try expect(same(path.text, text), "a tile's path has two spellings") }
        if let size = TreeSize(decimal: text) { try expect(same(size.description, text), "a size has two spellings") }
        _ = TLP(lenient: text)
        let shown = text.printable()
        try expect(
            !shown.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) },
            "a printable text has a control")
    }

    /// Byte for byte: Swift's own equality is canonical equivalence.
    private static func same(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }
}
