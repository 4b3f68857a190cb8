// Frames of a session (PROTOCOL.md): `u24 length of the body ‖ u8 type ‖ varint channel ‖ body`. One encoding for each value, strict to the last byte.
internal import HansaCore

/// What a frame is for. The numbers are the wire's and are never reused.
public enum FrameType: UInt8, Sendable, CaseIterable {
    case hello = 0x01
    case documents = 0x02
    case documentsAcknowledged = 0x03
    case views = 0x04
    case feed = 0x05
    case feedAcknowledged = 0x06
    case getReleases = 0x07
    case releases = 0x08
    case getIndex = 0x09
    case index = 0x0A
    case getChunks = 0x0B
    case chunks = 0x0C
    case receipt = 0x0D
    case announce = 0x0E
    case credit = 0x0F
    case error = 0x10
    case close = 0x11
    case reconcile = 0x12
    case checkpoint = 0x13
    case cosign = 0x14
    case equal = 0x15
    case getDelta = 0x16
    case delta = 0x17
    case getSmall = 0x18
    case small = 0x19
    case accepted = 0x1A

    /// Frames that carry content are larger, wait behind control frames, and cost credit.
    public var isContent: Bool { self == .chunks || self == .delta || self == .small }
    public var bodyBytesMax: Int { isContent ? Limits.contentBodyBytesMax : Limits.controlBodyBytesMax }
}

public struct Frame: Sendable, Equatable {
    public let type: FrameType
    /// 0 for control; 1 for content.
    public let channel: UInt64
    /// The body, or its beginning where a tail follows.
    public let head: [UInt8]
    /// The body's end where it lies already: a block as it was read goes out without a copy. Empty in every frame that came from a peer.
    public let tail: ArraySlice<UInt8>

    public init(_ type: FrameType, body: [UInt8], tail: ArraySlice<UInt8> = []) {
        self.type = type
        channel = type.isContent ? 1 : 0
        head = body
        self.tail = tail
    }

    /// The whole body; copied where there is a tail.
    public var body: [UInt8] { tail.isEmpty ? head : head + tail }
    public var bodyCount: Int { head.count + tail.count }

    public static func == (one: Frame, other: Frame) -> Bool { one.type == other.type && one.body == other.body }

    /// The bytes before the body.
    public var header: [UInt8] {
        var writer = ByteWriter(reserving: 8)
        writer.u24(UInt32(bodyCount))
        writer.u8(type.rawValue)
        writer.varint(channel)
        return writer.bytes
    }

    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + bodyCount)
        bytes += header
        bytes += head
        bytes += tail
        return bytes
    }
}

/// Reads frame headers; the shell keeps the bytes.
public struct FrameHeader: Sendable, Equatable {
    /// Length, type and a one-byte channel: no valid header is longer, since channels are 0 and 1.
    public static let byteCount = 5

    public let type: FrameType
    public let bodyCount: Int

    /// The header in the first five bytes. Everything about it is checked before a byte of the body is awaited.
    public init(_ bytes: ArraySlice<UInt8>) throws(ProtocolFault) {
        let start = bytes.startIndex
        precondition(bytes.count >= FrameHeader.byteCount, "a header has five bytes")
        let length = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
        guard let type = FrameType(rawValue: bytes[start + 3]) else { throw .unknownFrame(bytes[start + 3]) }
        guard length <= type.bodyBytesMax else { throw .oversized(type, length) }
        guard bytes[start + 4] == (type.isContent ? 1 : 0) else { throw .malformed(type, "channel") }
        self.type = type
        bodyCount = length
    }
}

/// What a peer did wrong. The session closes with it; nothing of the frame was acted on.
public enum ProtocolFault: Error, Sendable, Equatable, CustomStringConvertible {
    case unknownFrame(UInt8)
    case oversized(FrameType, Int)
    case malformed(FrameType, String)
    /// A frame that may not come now.
    case unexpected(FrameType, String)
    case noCommonVersion
    case notForUs
    case notWhomWeDialled
    case pinUnknown
    case keyringExpired
    case tooManyAsks

    public var description: String {
        switch self {
        case .unknownFrame(let type): "unknown frame type \(type)"
        case .oversized(let type, let count): "\(type) frame of \(count) bytes"
        case .malformed(let type, let what): "malformed \(type) frame: \(what.printable())"
        case .unexpected(let type, let why): "unexpected \(type) frame: \(why.printable())"
        case .noCommonVersion: "no common protocol version"
        case .notForUs: "the hello is for another city"
        case .notWhomWeDialled: "another city answered than the one dialled"
        case .pinUnknown: "its TLS key is not pinned in the keyring of the city it claims to be"
        case .keyringExpired: "its keyring has expired"
        case .tooManyAsks: "more outstanding requests than granted"
        }
    }
}

extension FrameType: CustomStringConvertible {
    public var description: String {
        switch self {
        case .hello: "hello"
        case .documents: "documents"
        case .documentsAcknowledged: "documents-ack"
        case .views: "views"
        case .feed: "feed"
        case .feedAcknowledged: "feed-ack"
        case .getReleases: "get-releases"
        case .releases: "releases"
        case .getIndex: "get-index"
        case .index: "index"
        case .getChunks: "get-chunks"
        case .chunks: "chunks"
        case .receipt: "receipt"
        case .announce: "announce"
        case .credit: "credit"
        case .error: "error"
        case .close: "close"
        case .reconcile: "reconcile"
        case .checkpoint: "checkpoint"
        case .cosign: "cosign"
        case .equal: "equal"
        case .getDelta: "get-delta"
        case .delta: "delta"
        case .getSmall: "get-small"
        case .small: "small"
        case .accepted: "accepted"
        }
    }
}
