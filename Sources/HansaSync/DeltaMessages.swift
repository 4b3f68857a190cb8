// Messages for content that is told by what it has in common with a release that the recipient holds.
internal import HansaContent
public import HansaCore

/// Asks for chunks of a release as they differ from those of another one of its package, which the recipient holds.
///
/// It is answered with `delta` frames, and with `chunks` for runs that a delta makes no shorter, or where there is none.
public struct GetDelta: Message {
    public static let type = FrameType.getDelta
    public static let countMax = 1024
    public struct Ask: Sendable, Equatable {
        public var release: Digest
        public var base: Digest
        /// Numbers of chunks: ascending, and apart from one another.
        public var runs: [Range<Int>]
        public init(release: Digest, base: Digest, runs: [Range<Int>]) {
            self.release = release
            self.base = base
            self.runs = runs
        }
    }
    public var view: Digest
    public var asks: [Ask]
    public init(view: Digest, asks: [Ask]) {
        self.view = view
        self.asks = asks
    }
    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.list(asks) { writer, ask in
            writer.digest(ask.release)
            writer.digest(ask.base)
            writer.runs(ask.runs)
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        asks = try reader.list(max: GetDelta.countMax) { reader throws(ByteFault) in
            Ask(release: try reader.digest(), base: try reader.digest(), runs: try reader.runs())
        }
    }
}

/// Chunks of one release, compressed against chunks of the base that was named in the ask.
public struct Delta: Message {
    public static let type = FrameType.delta
    /// Chunks of a release in one frame.
    public static let chunksMax = 4096
    public var view: Digest
    public var release: Digest
    /// The chunks that it is, one after the other.
    public var runs: [Range<Int>]
    /// The chunks of the base that it refers to, one after the other.
    public var reference: [Range<Int>]
    public var rawLength: UInt32
    public var bytes: ArraySlice<UInt8>

    public init(
        view: Digest, release: Digest, runs: [Range<Int>], reference: [Range<Int>], rawLength: UInt32, bytes: ArraySlice<UInt8>
    ) {
        self.view = view
        self.release = release
        self.runs = runs
        self.reference = reference
        self.rawLength = rawLength
        self.bytes = bytes
    }

    public func encode(to writer: inout ByteWriter) {
        writer.digest(view)
        writer.digest(release)
        writer.runs(runs)
        writer.runs(reference)
        writer.varint(UInt64(rawLength))
        writer.raw(bytes)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        release = try reader.digest()
        runs = try reader.runs()
        guard runs.reduce(0, { $0 + $1.count }) <= Delta.chunksMax else { throw .malformed("too many chunks") }
        reference = try reader.runs()
        rawLength = UInt32(try reader.count(max: Limits.blockRawBytesMax))
        bytes = reader.rest()
    }
}

/// A page of an index by what it has in common with another index, until its entries are whole:
/// `varint entries that stand there too ‖ (if any) varint place ‖ varint entries that follow here ‖ these, 36 bytes each`.
///
/// A place is said by how far it lies from the one that is due: behind the last one that was told, or where the page itself begins.
enum PageDelta {
    /// Nil where it would be no shorter than seven tenths of the page.
    static func encode(_ entries: [ChunkEntry], page: Int, from base: BaseIndex) throws -> [UInt8]? {
        var writer = ByteWriter(reserving: 1024)
        var due = page * Limits.indexPageChunks
        var next = 0
        while next < entries.count {
            let place = try base.place(of: entries[next], near: due)
            var copied = 0
            if let place {
                while next + copied < entries.count, try base.entry(place + copied) == entries[next + copied] { copied += 1 }
            }
            writer.varint(copied)
            if let place {
                writer.varint(zigzag(place - due))
                due = place + copied
                next += copied
            }
            let first = next
            while next < entries.count, try base.place(of: entries[next], near: due) == nil { next += 1 }
            writer.varint(next - first)
            writer.raw(IndexPage.encode(entries[first..<next]))
            due += next - first
            if writer.bytes.count * 10 >= entries.count * ChunkEntry.byteCount * 7 { return nil }
        }
        return writer.bytes
    }

    /// The bytes of a page of `count` entries.
    static func decode(_ bytes: [UInt8], page: Int, count: Int, from base: BaseIndex) throws -> [UInt8] {
        var reader = ByteReader(bytes)
        var due = page * Limits.indexPageChunks
        var writer = ByteWriter(reserving: count * ChunkEntry.byteCount)
        var left = count
        while left > 0 {
            let copied = try reader.count(max: left)
            if copied > 0 {
                let place = due + unzigzag(try reader.count(max: 4 * Limits.chunksMax))
                guard place >= 0, place + copied <= base.chunkCount else { throw ByteFault.malformed("place in the base") }
                writer.raw(IndexPage.encode(try base.entries(place..<(place + copied))))
                due = place + copied
            }
            let told = try reader.count(max: left - copied)
            guard copied + told > 0 else { throw ByteFault.malformed("nothing said") }
            writer.raw(try reader.raw(told * ChunkEntry.byteCount))
            due += told
            left -= copied + told
        }
        try reader.end()
        return writer.bytes
    }

    private static func zigzag(_ value: Int) -> Int { value >= 0 ? value * 2 : -value * 2 - 1 }
    private static func unzigzag(_ value: Int) -> Int { value % 2 == 0 ? value / 2 : -(value / 2) - 1 }
}

extension ByteWriter {
    /// Runs of chunk numbers, each by how far it begins behind the one before, and its length.
    mutating func runs(_ runs: [Range<Int>]) {
        varint(runs.count)
        var end = 0
        for run in runs {
            varint(run.lowerBound - end)
            varint(run.count)
            end = run.upperBound
        }
    }
}

extension ByteReader {
    /// At least one run, at most 1,024; none empty, and none that begins where another ends: there would be two spellings.
    mutating func runs() throws(ByteFault) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var end = 0
        for _ in 0..<(try count(max: GetDelta.countMax)) {
            let gap = try count(max: Limits.chunksMax)
            let count = try count(max: Limits.chunksMax)
            guard count > 0, gap > 0 || runs.isEmpty, end + gap + count <= Limits.chunksMax else { throw .malformed("run") }
            runs.append((end + gap)..<(end + gap + count))
            end += gap + count
        }
        guard !runs.isEmpty else { throw .malformed("no run") }
        return runs
    }
}
