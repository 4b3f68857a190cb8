// Frames of the admin socket: u32 BE length of what follows ‖ u8 type ‖ body. One frame holds at most 4 MiB.
//
// The client sends one `request`; the node may then ask for files, one ask at a time, and each ask has exactly one answer; progress, warnings
// and items may come at any time; `result` or `problem` ends the request. A connection may carry several requests, one after another.
// The socket is local and both ends are one program, so versions are not negotiated: a node that does not know a request answers with a problem.

/// What a frame is. Numbers are stable: below 16 the client's, below 32 the node's words, from 32 the node's asks.
enum FrameType: UInt8, Sendable, CaseIterable {
    /// An `AdminRequest` as JSON.
    case request = 1
    /// Answer to `nextListings` and `listTarget`: u8 1 if more of this answer follows ‖ a part of a `ListingCodec` batch.
    case listings = 2
    /// Answer to an ask for files: u16 count, with as many descriptors beside it.
    case descriptors = 3
    /// Answer to `commit` and `remove`.
    case done = 4
    /// Answer to any ask that failed: a problem.
    case refusal = 5
    /// The answer takes longer: the node's patience starts anew.
    case waiting = 6
    /// Answer to `sign`: 32 bytes of public key ‖ 64 bytes of signature.
    case signature = 7

    /// u8 1 if more of it follows ‖ a part of the document (`DocumentCodec`).
    case result = 16
    /// A problem (`ProblemCodec`).
    case problem = 17
    case progress = 18
    /// UTF-8 text.
    case warning = 19
    /// Values of a list, an array in `DocumentCodec`: instead of, not beside, their place in the result.
    case items = 20

    case nextListings = 32
    case openListed = 33
    case listTarget = 34
    case openExisting = 35
    case create = 36
    case commit = 37
    case remove = 38
    case sign = 39
}

/// A frame as received. Its descriptors belong to whoever receives it, and must be closed.
struct Frame: Sendable {
    let type: FrameType
    let body: [UInt8]
    let descriptors: [CInt]
}

/// Bounds of the wire.
enum WireLimits {
    static let frameBytesMax = 4 * 1024 * 1024
    /// A part of a document or listing: small enough that progress is never long behind it.
    static let partBytesMax = 1024 * 1024
    /// All parts of one listings answer together.
    static let listingBytesMax = 64 * 1024 * 1024
    static let listingsMax = 1000
    /// Files and directories of one directory: files have a lower limit of their own where they become a package.
    static let entriesMax = 500_000
    static let pathBytesMax = 4096
    static let descriptorsMax = 64
    /// Paths in one commit or remove.
    static let pathsMax = 4096
    /// What a client accepts as one result document.
    static let resultBytesMax = 512 * 1024 * 1024
}
