// What was found out about the chunks of long tables when they were published, so that the next version's types are told by what changed.
//
// A value for each package (`store.tables.PACKAGE`): 32 bytes release ‖ for each long table its path, with a varint length, and `TableStretches` likewise. It is
// written with the release and left out of the policy's archive. Nothing depends on it: without it, or where it does not fit, the table is read whole.
internal import HansaContent
internal import HansaCore
internal import HansaPackages
internal import HansaStore
internal import HansaSync

/// Looks up the chunks of one table among those of the version that was published last. For one thread.
final class TableMemory {
    static let bytesMax = 64 << 20
    private let search: ChunkSearch
    private let stretches: TableStretches

    var delimiter: UInt8 { stretches.delimiter }

    static func name(_ package: PackageID) -> String { "store.tables.\(package)" }

    static func encoded(_ tables: [(path: String, stretches: TableStretches)], of release: Digest) -> [UInt8] {
        var writer = ByteWriter()
        writer.digest(release)
        for table in tables {
            writer.prefixed(table.path)
            writer.prefixed(table.stretches.encoded())
        }
        return writer.bytes
    }

    /// Nil where nothing is known of the file, or its release is not here.
    init?(_ node: Node, _ package: PackageID, path: String) {
        guard let bytes = try? node.metadata.read({ try $0.value(TableMemory.name(package)) }), !bytes.isEmpty else { return nil }
        var reader = ByteReader(bytes)
        var found: ArraySlice<UInt8>?
        guard let release = try? reader.digest() else { return nil }
        while found == nil, !reader.isAtEnd {
            guard let name = try? reader.text(max: Limits.filePathBytesMax),
                let body = try? reader.prefixed(max: TableMemory.bytesMax)
            else { return nil }
            if name == path { found = body }
        }
        guard let found, let row = try? node.metadata.read({ try $0.release(release) }), row.hasContent,
            let content = try? ReleaseContent(node, row, isCancelled: { false }),
            let number = content.table.files.firstIndex(where: { $0.path == path })
        else { return nil }
        search = ChunkSearch(content, file: number)
        guard let stretches = TableStretches(encoded: found, chunks: search.range.count) else { return nil }
        self.stretches = stretches
    }

    /// Of a chunk that stood in the version before, at the one that was found last or not far behind it.
    func stretch(of chunk: ChunkEntry) -> TableStretch? {
        search.place(of: chunk).flatMap { stretches[$0.chunk - search.range.lowerBound] }
    }
}
