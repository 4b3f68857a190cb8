/// Bounds that hold across rooms. A length from a peer or a file is checked against one of these before anything is allocated.
public enum Limits {
    public static let documentBytesMax = 256 * 1024
    public static let signaturesMax = 64
    public static let jsonDepthMax = 32
    public static let controlBodyBytesMax = 256 * 1024
    public static let contentBodyBytesMax = 1024 * 1024 + 4096
    public static let blockRawBytesMax = 1024 * 1024
    public static let chunkBytesMax = 1024 * 1024
    /// Up to so many bytes of chunks that are there already do not part a stored block, or an ask for one, from its new neighbours.
    public static let seamBytesMax = 1024
    /// What a delta may refer to, in raw bytes; with the block itself it lies within a window of 2^23.
    public static let deltaReferenceBytesMax = 4 * 1024 * 1024
    /// A release of this many bytes or less, and this many files, may travel in one frame with others of its kind.
    public static let smallReleaseBytesMax = 64 * 1024
    public static let smallFilesMax = 64
    /// With its tag files.
    public static let smallContentBytesMax = 128 * 1024
    public static let indexPageChunks = 1024
    public static let filesMax = 200_000
    public static let filePathBytesMax = 1024
    public static let fileTableBytesMax = 64 * 1024 * 1024
    /// 2^32 chunks of 64 KiB would be 256 TiB; a release names at most this many.
    public static let chunksMax = 1 << 26
    public static let batchReleasesMax = 1000
    public static let logEntryBytesMax = 65_535
}
