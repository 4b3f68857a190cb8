public import HansaCore

/// One thing that the verification of a log found.
public enum LogFinding: Sendable, Equatable, CustomStringConvertible {
    // The checkpoint
    case checkpointMissing
    /// Not a note, not signed by the log's key, or about another log.
    case checkpointInvalid(String)
    /// A line in our own checkpoint under a key that nobody told us of.
    case unknownSignature(name: String)
    /// The entries give another root than the one that was signed.
    case rootDiffers(computed: Digest)
    /// The caller holds an earlier checkpoint of more entries than the log has: the log was rolled back.
    case shorterThanKnown(known: TreeSize)
    /// The caller holds an earlier checkpoint that the log does not extend: its history was rewritten.
    case historyDiffers(at: TreeSize)

    // Files
    case fileMissing(path: String)
    case fileUnreadable(path: String, why: String)
    /// A file of the wrong length or shape.
    case fileMalformed(path: String, why: String)
    /// An item of this tile is not what the entries give; for a tile of level 0, `entry` is that entry's index.
    case tileDiffers(path: String, item: Int, entry: LeafIndex?)
    /// No file of a log of this size.
    case unknownFile(path: String)
    /// A leftover tile that contradicts the log.
    case leftoverDiffers(path: String)

    // Entries
    case entryMalformed(LeafIndex, why: String)
    /// An entry that says it is another.
    case entryMisplaced(LeafIndex, says: LeafIndex)
    /// The clock of the node went back before this entry.
    case timeWentBack(LeafIndex)
    /// The table continues elsewhere than the log ends.
    case pendingGap(expected: LeafIndex, found: LeafIndex)
    /// An entry in the table is not the one in the log.
    case pendingDiffers(LeafIndex)

    /// False for what is worth telling but breaks nothing.
    public var isDamage: Bool {
        switch self {
        case .timeWentBack: false
        default: true
        }
    }

    public var description: String {
        switch self {
        case .checkpointMissing: "the log has no checkpoint"
        case .checkpointInvalid(let why): "the checkpoint cannot be trusted: \(why)"
        case .unknownSignature(let name): "the checkpoint has a signature line of the unknown key \(name)"
        case .rootDiffers(let computed): "the entries give the root \(computed), not the one that was signed"
        case .shorterThanKnown(let known): "the log was cut: a checkpoint over \(known) entries is known"
        case .historyDiffers(let size): "the log was rewritten: its first \(size) entries are not those of a known checkpoint"
        case .fileMissing(let path): "\(path) is missing"
        case .fileUnreadable(let path, let why): "\(path) cannot be read: \(why)"
        case .fileMalformed(let path, let why): "\(path) is malformed: \(why)"
        case .tileDiffers(let path, _, let entry?): "entry \(entry) does not have the hash that \(path) holds"
        case .tileDiffers(let path, let item, nil): "item \(item) of \(path) is not the root over the tile below it"
        case .unknownFile(let path): "\(path) is no file of this log"
        case .leftoverDiffers(let path): "\(path) is left over and contradicts the log"
        case .entryMalformed(let index, let why): "entry \(index) cannot be read: \(why)"
        case .entryMisplaced(let index, let says): "entry \(index) says that it is entry \(says)"
        case .timeWentBack(let index): "entry \(index) is older than the one before it"
        case .pendingGap(let expected, let found): "the database continues at entry \(found) where \(expected) is due"
        case .pendingDiffers(let index): "entry \(index) in the database is not the one in the log"
        }
    }
}

/// What the verification of a log found out.
public struct LogReport: Sendable, Equatable {
    /// The log's name, as far as the checkpoint can be read.
    public internal(set) var origin: String?
    /// Entries under the checkpoint, and its root.
    public internal(set) var size: TreeSize = 0
    public internal(set) var root: Digest = MerkleTree.emptyRoot
    /// Entries that are only in the table so far.
    public internal(set) var pending: UInt64 = 0
    /// Tiles that an earlier checkpoint needed, or of a growth that was cut off: whole and right, merely not cleared yet.
    public internal(set) var leftovers = 0
    /// Of the first and the last entry.
    public internal(set) var firstTime: Timestamp?
    public internal(set) var lastTime: Timestamp?
    /// In the order they were found; the first `findingsMax`.
    public internal(set) var findings: [LogFinding] = []
    /// All of them, also those beyond `findingsMax`.
    public internal(set) var findingsCount = 0
    public internal(set) var damageCount = 0

    public static let findingsMax = 1000

    /// Every entry, tile and signature holds together.
    public var isValid: Bool { damageCount == 0 }

    mutating func add(_ finding: LogFinding) {
        findingsCount += 1
        if finding.isDamage { damageCount += 1 }
        if findings.count < LogReport.findingsMax { findings.append(finding) }
    }
}
