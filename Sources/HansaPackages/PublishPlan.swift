// What of a directory becomes payload, decided from its listing alone: nothing has been read yet.
internal import HansaCore

/// Why a directory cannot be published as it stands.
public enum PublishFault: Error, Sendable, Equatable, CustomStringConvertible {
    case path(PathFault)
    case collision(PathCollision)
    /// Symbolic links, devices, sockets and pipes, by name; `more` others are not named.
    case notRegular([String], more: Int)
    case tooManyFiles(Int, max: Int)
    case pathsTooLong(bytesMax: Int)
    case tooLarge
    case empty

    public var description: String {
        switch self {
        case .path(let fault): "\(fault)"
        case .collision(let collision): "\(collision); rename one of them"
        case .notRegular(let names, let more):
            "symbolic links and special files are not published: "
                + names.map { "'\($0.printable(charactersMax: 120))'" }.joined(separator: ", ")
                + (more > 0 ? " and \(more) more" : "")
        case .tooManyFiles(let count, let max): "\(count) files; a package holds at most \(max)"
        case .pathsTooLong(let bytesMax): "the names of all files together are longer than \(bytesMax) bytes"
        case .tooLarge: "the files together are larger than 2^63 bytes"
        case .empty: "the directory holds no file to publish"
        }
    }
}

/// Something that is left out, or will look odd elsewhere.
public enum PublishWarning: Sendable, Equatable, CustomStringConvertible {
    /// A name that starts with a dot, and all below it.
    case skippedHidden(String)
    /// So many more hidden names, beyond those that are named.
    case skippedMoreHidden(Int)
    /// A tag file of a foreign bag that ours does not carry.
    case skippedTagFile(String)
    /// Manifests write `%` as `%25` (RFC 8493), which `sha256sum -c` and some BagIt tools do not read.
    case percentInName(String)

    public var description: String {
        switch self {
        case .skippedHidden(let path): "'\(path.printable())' starts with a dot and is skipped"
        case .skippedMoreHidden(let count): "\(count) more names that start with a dot are skipped"
        case .skippedTagFile(let path): "'\(path.printable())' is a tag file of the bag and is not carried over"
        case .percentInName(let path):
            "'\(path.printable())' holds a %; sha256sum -c will not find it by its name in the manifest"
        }
    }
}

/// The payload and tag sources of one directory.
public struct PublishPlan: Sendable, Equatable {
    public struct File: Sendable, Equatable {
        /// Below the directory: what to open.
        public let source: String
        /// Below `data/`.
        public let path: String
        public let size: UInt64

        /// In the bag.
        public var bagPath: String { Bag.payloadPrefix + path }
    }

    /// Names above this many of one kind of warning or fault are counted, not listed.
    public static let namesMax = 20
    /// So that a manifest, with its digests, stays within `Bag.manifestBytesMax`.
    public static let pathBytesTotalMax = Bag.manifestBytesMax - Limits.filesMax * 80

    /// Sorted by path bytes; at least one.
    public let files: [File]
    /// Sum of sizes.
    public let bytes: UInt64
    /// The source of `datapackage.json`; nil when the document is to be inferred.
    public let descriptor: String?
    /// The directory is a bag: verify it as `.foreign`, and read its `datapackage.json` with `placement: .bag`.
    public let isBag: Bool
    public let warnings: [PublishWarning]

    /// Plans from everything below the directory, in any order. O(n log n).
    public init(_ entries: [DirectoryEntry]) throws(PublishFault) {
        isBag = entries.contains { $0.path == Bag.declarationName && $0.kind == .file }
        var warnings: [PublishWarning] = []
        // Once for a hidden directory, not for each file in it.
        var hidden: Set<String> = []
        var special: [String] = []
        var files: [File] = []
        var descriptor: String?
        files.reserveCapacity(entries.count)
        for entry in entries {
            if let top = PublishPlan.hiddenTop(of: entry.path) {
                hidden.insert(top)
                continue
            }
            if entry.kind == .directory { continue }
            guard entry.kind == .file else {
                special.append(entry.path)
                continue
            }
            if entry.path == DataPackageDocument.fileName {
                descriptor = entry.path
                continue
            }
            var path = entry.path
            if isBag {
                guard path.hasPrefix(Bag.payloadPrefix) else {
                    if !PublishPlan.madeAnew.contains(path) { warnings.append(.skippedTagFile(path)) }
                    continue
                }
                path = String(path.dropFirst(Bag.payloadPrefix.count))
            }
            files.append(File(source: entry.path, path: path, size: entry.size))
        }
        guard special.isEmpty else {
            special.sort(by: PayloadPath.precedes)
            let named = special.prefix(PublishPlan.namesMax)
            throw .notRegular(Array(named), more: special.count - named.count)
        }
        guard files.count <= Limits.filesMax else { throw .tooManyFiles(files.count, max: Limits.filesMax) }
        if files.count > 1 { files.sort { PayloadPath.precedes($0.path, $1.path) } }
        self.bytes = try PublishPlan.check(files)
        let named = hidden.sorted(by: PayloadPath.precedes).prefix(PublishPlan.namesMax).map(PublishWarning.skippedHidden)
        let more: [PublishWarning] = hidden.count > named.count ? [.skippedMoreHidden(hidden.count - named.count)] : []
        warnings = named + more + warnings.prefix(PublishPlan.namesMax)
        warnings += files.lazy.filter { $0.path.utf8.contains(0x25) }.prefix(PublishPlan.namesMax).map { .percentInName($0.path) }
        self.files = files
        self.descriptor = descriptor
        self.warnings = warnings
    }

    private static let madeAnew: Set<String> = [
        Bag.declarationName, Bag.infoName, Bag.manifestName, Bag.tagManifestName, Bag.releaseName,
    ]

    private static func check(_ files: [File]) throws(PublishFault) -> UInt64 {
        if files.isEmpty { throw .empty }
        var pathBytes = 0
        var bytes: UInt64 = 0
        var collisions = PathCollisions(reserving: files.count)
        for file in files {
            // In the bag the path is five bytes longer.
            let count = file.path.utf8.count + Bag.payloadPrefix.utf8.count
            if let reason = PayloadPath.fault(in: file.path) { throw .path(PathFault(file.path, reason)) }
            guard count <= PayloadPath.bytesMax else {
                throw .path(PathFault(file.path, .tooLong(bytesMax: PayloadPath.bytesMax - Bag.payloadPrefix.utf8.count)))
            }
            if let collision = collisions.insert(file.path) { throw .collision(collision) }
            pathBytes += count
            let (sum, overflow) = bytes.addingReportingOverflow(file.size)
            guard !overflow, sum <= UInt64(Int64.max) else { throw .tooLarge }
            bytes = sum
        }
        guard pathBytes <= pathBytesTotalMax else { throw .pathsTooLong(bytesMax: pathBytesTotalMax) }
        return bytes
    }

    /// The path up to its first segment that starts with a dot (but is not `.` or `..`, which are faults); nil without one.
    static func hiddenTop(of path: String) -> String? {
        let utf8 = path.utf8
        guard utf8.contains(UInt8(ascii: ".")) else { return nil }
        var start = utf8.startIndex
        while start < utf8.endIndex {
            let end = utf8[start...].firstIndex(of: UInt8(ascii: "/")) ?? utf8.endIndex
            let segment = utf8[start..<end]
            if segment.first == UInt8(ascii: "."), !segment.elementsEqual(".".utf8), !segment.elementsEqual("..".utf8) {
                return String(path[..<end])
            }
            start = end == utf8.endIndex ? end : utf8.index(after: end)
        }
        return nil
    }
}
