// The bodies of frames. Each message encodes itself and reads itself back; `decode` refuses every other spelling of the same value.
// The messages stand in SessionMessages, ViewMessages and ContentMessages, each with its codec: the places to compare with PROTOCOL.md.
internal import HansaContent
public import HansaCore
internal import HansaDocuments

/// A frame's body as a value.
public protocol Message: Sendable, Equatable {
    static var type: FrameType { get }
    func encode(to writer: inout ByteWriter)
    init(from reader: inout ByteReader) throws(ByteFault)
}

extension Message {
    public var frame: Frame {
        var writer = ByteWriter(reserving: 64)
        encode(to: &writer)
        return Frame(Self.type, body: writer.bytes)
    }

    public init(_ frame: Frame) throws(ProtocolFault) {
        precondition(frame.type == Self.type, "a \(frame.type) frame read as \(Self.type)")
        var reader = ByteReader(frame.body)
        do {
            self = try Self(from: &reader)
            try reader.end()
        } catch {
            throw ProtocolFault.malformed(frame.type, "\(error)")
        }
    }
}

/// `varint raw length ‖ u8 codec ‖ bytes`: bodies that repeat themselves go compressed.
enum Packed {
    static func write(_ raw: [UInt8], to writer: inout ByteWriter) {
        let packed = raw.withUnsafeBytes { Block.encode(raw: $0, level: 1) }
        writer.varint(raw.count)
        writer.u8(packed.codec.rawValue)
        writer.raw(packed.bytes)
    }

    static func read(from reader: inout ByteReader, rawBytesMax: Int) throws(ByteFault) -> [UInt8] {
        let count = try reader.count(max: rawBytesMax)
        guard let codec = Block.Codec(rawValue: try reader.u8()) else { throw .malformed("codec") }
        do {
            return try Block.decode(codec, Array(reader.rest()), rawLength: count)
        } catch {
            throw .malformed("packed body: \(error)")
        }
    }
}

extension ByteWriter {
    /// A varint count, then each item.
    mutating func list<Item>(_ items: [Item], _ write: (inout ByteWriter, Item) -> Void) {
        varint(items.count)
        for item in items { write(&self, item) }
    }
}

extension ByteReader {
    /// A varint count of at most `limit`, then each item. Nothing is set aside for the count: a frame may lie about it.
    mutating func list<Item>(max limit: Int, _ item: (inout ByteReader) throws(ByteFault) -> Item) throws(ByteFault) -> [Item] {
        var items: [Item] = []
        for _ in 0..<(try count(max: limit)) { items.append(try item(&self)) }
        return items
    }

    /// Milliseconds since 1970, up to the end of the year 9999: a time that can be written, and reckoned with.
    mutating func time() throws(ByteFault) -> Timestamp {
        let milliseconds = try u64()
        guard milliseconds <= UInt64(Timestamp.last.milliseconds) else {
            throw .malformed("a time that is not of the years 1970 to 9999")
        }
        return Timestamp(milliseconds: Int64(milliseconds))
    }

    mutating func city() throws(ByteFault) -> CityID {
        let text = try text(max: 253)
        do { return try CityID(text) } catch { throw .malformed("city id") }
    }

    mutating func envelope() throws(ByteFault) -> Envelope {
        try ByteReader.envelope(try prefixed(max: Limits.documentBytesMax))
    }

    static func envelope(_ bytes: ArraySlice<UInt8>) throws(ByteFault) -> Envelope {
        do { return try Envelope(binary: Array(bytes)) } catch { throw .malformed("envelope: \(error)") }
    }
}
