// Is a directory the bag that was signed? Everything that is wrong is named, file by file.
//
// Two steps, so that the caller can hash in parallel: `init` looks at names, sizes and the tag files' text; `expected` lists
// what must be hashed; `findings(hashing:)` does it one by one.
public import HansaCore
internal import HansaCrypto

/// One thing that is wrong with a bag.
public struct BagFinding: Sendable, Equatable, CustomStringConvertible {
    /// Relative to the bag.
    public let file: String
    public let problem: String

    public init(_ file: String, _ problem: String) {
        self.file = file
        self.problem = problem
    }

    public var description: String { "\(file.printable()): \(problem)" }
}

/// Checks one bag against its own manifests and, when it is a release's, against the signed digest of its tag manifest.
public struct BagVerifier: Sendable {
    /// How much a bag must be ours.
    public enum Standard: Sendable, Equatable {
        /// A checked-out release: `manifest` of the signed release; no file may be there that no manifest lists.
        case release(manifest: Digest)
        /// A bag that anyone made, before it is published: RFC 8493, with SHA-256 manifests. Tag files beyond the standard's
        /// are left alone, hidden names allowed.
        case foreign
    }

    /// What names, sizes and tag files alone show.
    public private(set) var findings: [BagFinding] = []
    /// The files to hash with the digests they must have, sorted by path: the payload, and the tag files that are listed.
    public private(set) var expected: [BagManifest.Entry] = []
    /// Sum of the payload files' sizes, and their number, as found.
    public private(set) var payloadBytes: UInt64 = 0
    public private(set) var payloadFiles = 0

    private let standard: Standard
    private var isRelease: Bool { if case .release = standard { true } else { false } }

    /// `listing` is everything below the bag's directory; `read` gives the bytes of one tag file, whose size in the listing is
    /// at most `Bag.manifestBytesMax`.
    public init(listing: [DirectoryEntry], standard: Standard, read: (String) throws -> [UInt8]) {
        self.standard = standard
        let files = checkNames(listing)
        let tags = checkTagManifest(files, read)
        let payload = manifest(Bag.manifestName, in: files, read) ?? []
        for entry in payload where !entry.path.hasPrefix(Bag.payloadPrefix) {
            find(entry.path, "\(Bag.manifestName) lists a file outside data/")
        }
        checkListed(files, tags: tags, payload: payload)
        checkDeclaration(files, read)
        checkInfo(files, read)
        var digests: [String: Digest] = [:]
        for entry in tags + payload where files[entry.path] != nil { digests[entry.path] = entry.digest }
        expected = digests.map { BagManifest.Entry(path: $0, digest: $1) }.sorted { PayloadPath.precedes($0.path, $1.path) }
    }

    /// All findings: those of `init`, and a wrong or unreadable file for each of `expected` that `hash` does not confirm.
    public func findings(hashing hash: (String) throws -> Digest) -> [BagFinding] {
        var all = findings
        for entry in expected {
            do {
                if try hash(entry.path) != entry.digest { all.append(BagVerifier.wrongHash(entry.path)) }
            } catch {
                all.append(BagFinding(entry.path, "cannot be read: \(error)"))
            }
        }
        return all.sorted { PayloadPath.precedes($0.file, $1.file) }
    }

    /// The finding for a file of `expected` whose hash is another.
    public static func wrongHash(_ path: String) -> BagFinding { BagFinding(path, "its content is not what the manifest lists") }

    private mutating func find(_ file: String, _ problem: String) { findings.append(BagFinding(file, problem)) }

    // MARK: Names

    private mutating func checkNames(_ listing: [DirectoryEntry]) -> [String: DirectoryEntry] {
        var files: [String: DirectoryEntry] = [:]
        var collisions = PathCollisions(reserving: listing.count)
        for entry in listing.sorted(by: { PayloadPath.precedes($0.path, $1.path) }) {
            if let reason = PayloadPath.fault(in: entry.path), isRelease || reason != .hidden {
                find(entry.path, PathFault(entry.path, reason).description)
                // A hidden file is unlisted too; one finding says it.
                continue
            }
            switch entry.kind {
            case .directory: continue
            case .symlink: find(entry.path, "is a symbolic link")
            case .other: find(entry.path, "is no regular file")
            case .file:
                if let collision = collisions.insert(entry.path) { find(entry.path, collision.description) }
                files[entry.path] = entry
                if entry.path.hasPrefix(Bag.payloadPrefix) {
                    let (sum, overflow) = payloadBytes.addingReportingOverflow(entry.size)
                    payloadBytes = overflow ? .max : sum
                    payloadFiles += 1
                }
            }
        }
        return files
    }

    // MARK: Manifests

    private mutating func checkTagManifest(
        _ files: [String: DirectoryEntry], _ read: (String) throws -> [UInt8]
    ) -> [BagManifest.Entry] {
        guard files[Bag.tagManifestName] != nil || isRelease else { return [] }
        guard let bytes = tagFile(Bag.tagManifestName, in: files, read) else { return [] }
        if case .release(let manifest) = standard, SHA256.hash(bytes) != manifest {
            find(Bag.tagManifestName, "is not the one that the release signed")
        }
        let entries = parsed(bytes, Bag.tagManifestName) ?? []
        for entry in entries
        where entry.path.hasPrefix(Bag.payloadPrefix) || entry.path == Bag.tagManifestName || entry.path == Bag.releaseName {
            find(entry.path, "may not be listed in \(Bag.tagManifestName)")
        }
        if isRelease {
            let listed = Set(entries.map(\.path))
            for name in [Bag.infoName, Bag.declarationName, DataPackageDocument.fileName, Bag.manifestName]
            where !listed.contains(name) {
                find(name, "is not listed in \(Bag.tagManifestName)")
            }
        }
        return entries
    }

    private mutating func manifest(
        _ name: String, in files: [String: DirectoryEntry], _ read: (String) throws -> [UInt8]
    ) -> [BagManifest.Entry]? {
        tagFile(name, in: files, read).flatMap { parsed($0, name) }
    }

    private mutating func parsed(_ bytes: [UInt8], _ name: String) -> [BagManifest.Entry]? {
        do throws(ManifestFault) { return try BagManifest(bytes, allowsHidden: !isRelease).entries } catch {
            find(name, error.description)
            return nil
        }
    }

    private mutating func tagFile(
        _ name: String, in files: [String: DirectoryEntry], _ read: (String) throws -> [UInt8]
    ) -> [UInt8]? {
        guard let entry = files[name] else {
            find(name, "is missing")
            return nil
        }
        guard entry.size <= UInt64(Bag.manifestBytesMax) else {
            find(name, "is larger than \(Bag.manifestBytesMax) bytes")
            return nil
        }
        do { return try read(name) } catch {
            find(name, "cannot be read: \(error)")
            return nil
        }
    }

    private mutating func checkListed(
        _ files: [String: DirectoryEntry], tags: [BagManifest.Entry], payload: [BagManifest.Entry]
    ) {
        let listed = Set((tags + payload).map(\.path))
        for entry in tags + payload where files[entry.path] == nil { find(entry.path, "is listed but missing") }
        for path in files.keys.sorted(by: PayloadPath.precedes) where !listed.contains(path) {
            if path == Bag.tagManifestName || path == Bag.releaseName { continue }
            // A foreign bag's other tag files are not ours to judge; its payload must be listed.
            if isRelease || path.hasPrefix(Bag.payloadPrefix) { find(path, "is listed in no manifest") }
        }
    }

    // MARK: Tag files

    private mutating func checkDeclaration(_ files: [String: DirectoryEntry], _ read: (String) throws -> [UInt8]) {
        guard let bytes = tagFile(Bag.declarationName, in: files, read) else { return }
        let lines = TagLines.labelled(bytes) ?? []
        guard lines.count == 2, lines[0].label == "BagIt-Version", ["1.0", "0.97"].contains(lines[0].value),
            lines[1].label == "Tag-File-Character-Encoding", lines[1].value.uppercased() == "UTF-8"
        else { return find(Bag.declarationName, "does not declare BagIt 1.0 (or 0.97) in UTF-8") }
        if !isRelease, let entry = files["fetch.txt"], entry.size > 0 {
            find("fetch.txt", "names payload to be fetched from elsewhere; complete the bag first")
        }
    }

    private mutating func checkInfo(_ files: [String: DirectoryEntry], _ read: (String) throws -> [UInt8]) {
        guard files[Bag.infoName] != nil || isRelease else { return }
        guard let bytes = tagFile(Bag.infoName, in: files, read) else { return }
        guard let lines = TagLines.labelled(bytes) else { return find(Bag.infoName, "holds a line that is no 'Label: value'") }
        let sums = lines.filter { $0.label.lowercased() == "payload-oxum" }.map(\.value)
        if sums.isEmpty && !isRelease { return }
        let found = "\(payloadBytes).\(payloadFiles)"
        guard sums.count == 1, sums[0] == found else {
            let said = sums.first.map { "says \($0.printable(charactersMax: 40))" } ?? "is missing"
            return find(Bag.infoName, "Payload-Oxum \(sums.count > 1 ? "stands twice" : said); the payload is \(found)")
        }
    }
}
