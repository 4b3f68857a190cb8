public import HansaCore

/// Why bytes are no chunk index, or none that belongs to its release.
public enum IndexFault: Error, Equatable, Sendable {
    case bytes(ByteFault)
    /// The table's entry, counted from 0, has a path that no package may hold.
    case unsafePath(entry: Int)
    /// Entries are not strictly ascending by path bytes, or two paths differ only by case or Unicode normalisation.
    case outOfOrder(entry: Int)
    /// One path is a file, and also a directory of another.
    case fileIsDirectory(entry: Int)
    /// First chunks do not follow each other, or the number of chunks cannot make up the size under the profile.
    case wrongChunkCount(entry: Int)
    /// The table, or the release, names more than `Limits` allow.
    case tooLarge(String)
    /// A page does not hold the entries that its number asks for.
    case wrongPage(Int)
    /// A chunk is shorter or longer than its file's profile allows.
    case wrongChunkLength(chunk: Int)
    /// The lengths of a file's chunks do not add up to its size.
    case wrongSize(entry: Int)
    /// A file of one chunk whose digest is not the chunk's.
    case wrongDigest(entry: Int)
}

extension IndexFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .bytes(let fault): "the bytes are malformed: \(fault)"
        case .unsafePath(let entry): "the path of file \(entry) is not safe"
        case .outOfOrder(let entry): "file \(entry) is out of order"
        case .fileIsDirectory(let entry): "the path of file \(entry) has a file as its directory"
        case .wrongChunkCount(let entry): "file \(entry) cannot have the number of chunks it claims"
        case .tooLarge(let what): "\(what) is above its limit"
        case .wrongPage(let page): "page \(page) does not hold what its number asks for"
        case .wrongChunkLength(let chunk): "the length of chunk \(chunk) is outside its profile"
        case .wrongSize(let entry): "the chunks of file \(entry) do not add up to its size"
        case .wrongDigest(let entry): "file \(entry) is one chunk, but has another digest"
        }
    }
}
