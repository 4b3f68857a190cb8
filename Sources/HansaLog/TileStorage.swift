/// Where the files of one log lie: paths below its root, `/` between segments, all in ASCII (`checkpoint` and what `TilePath`
/// writes).
///
/// Contract: a file is replaced whole (temporary file, fsync, rename, fsync of the directories) and is durable when `write`
/// returns; after a crash each file is whole, old or new. A write that failed, or an fsync that failed, is thrown, and nothing is
/// tried again: the sequencer stops. Temporary files are cleared when the storage opens; `forEachPath` never shows them. One
/// sequencer writes; several may read.
public protocol TileStorage: Sendable {
    /// The whole file; nil when there is none.
    func read(_ path: String) throws -> [UInt8]?
    /// All files durable when it returns; after a crash within it, any subset of them. Empty directories on the way are made.
    func write(_ files: [TileFile]) throws
    /// Durable at some later time: a crash may bring the files back. Missing ones are no error.
    func remove(_ paths: [String]) throws
    /// Every file below the root, in any order, whoever put it there. Symlinks and others that are no plain files too: they are
    /// findings.
    func forEachPath(_ body: (String) throws -> Void) throws
}

/// A file to be written.
public struct TileFile: Sendable, Equatable {
    /// The path of the signed checkpoint.
    public static let checkpointPath = "checkpoint"

    public let path: String
    public let bytes: [UInt8]

    public init(path: String, bytes: [UInt8]) {
        self.path = path
        self.bytes = bytes
    }
}

extension TileStorage {
    public func write(_ path: String, _ bytes: [UInt8]) throws { try write([TileFile(path: path, bytes: bytes)]) }
}
