// One payload file and what is inferred from it.
public import HansaCore

/// A file as it becomes a resource of an inferred `datapackage.json`.
public struct InferredResource: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        case table(InferredTable)
        case file
        /// A file named like a table that is none; published as a plain file.
        case noTable(TableFault)
    }

    /// Relative to the payload, without `data/`.
    public let path: String
    /// In bytes.
    public let size: UInt64
    /// Nil while the file is not hashed: the document then says no hash.
    public let digest: Digest?
    public let content: Content

    public init(path: String, size: UInt64, digest: Digest? = nil, content: Content = .file) {
        self.path = path
        self.size = size
        self.digest = digest
        self.content = content
    }
}

/// Infers one resource while its bytes pass by.
///
/// Call order: `feed` with all bytes of the file when `wantsBytes`, then `finish` once. Constant memory, see `TableInference`.
public struct ResourceInference: Sendable {
    public let path: String
    private var table: TableInference?

    public init(path: String) {
        self.path = path
        guard let type = MediaType(path: path), type.isDelimitedText else { return }
        table = TableInference(delimiter: type.format == "csv" ? nil : 0x09)
    }

    /// False when the file's name says enough, or when its bytes turned out to be no table: they need not be read for this.
    public var wantsBytes: Bool { table?.wantsMore ?? false }

    public mutating func feed(_ bytes: UnsafeRawBufferPointer) { table?.feed(bytes) }

    /// See `TableInference`.
    public mutating func feed(stretch bytes: UnsafeRawBufferPointer) -> TableStretch? { table?.feed(stretch: bytes) }
    public mutating func skip(_ stretch: TableStretch) -> Bool { table?.skip(stretch) ?? false }
    public var mustReadWhole: Bool { table?.mustReadWhole ?? false }
    public var delimiterInUse: UInt8? { table?.delimiterInUse }
    /// It has too many rows for a key to be looked for: what is known of its stretches is enough to know it again.
    public var isLong: Bool { table?.isLong ?? false }

    public consuming func finish(size: UInt64, digest: Digest? = nil) -> InferredResource {
        guard let table else { return InferredResource(path: path, size: size, digest: digest) }
        let content: InferredResource.Content
        do throws(TableFault) { content = .table(try table.finish()) } catch { content = .noTable(error) }
        return InferredResource(path: path, size: size, digest: digest, content: content)
    }
}
