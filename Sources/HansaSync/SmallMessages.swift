// Messages for releases of a few bytes: index and content of many of them in one answer.
public import HansaContent
public import HansaCore
internal import HansaCrypto

/// Asks for index and content together, of releases whose documents say that they are small.
public struct GetSmall: Message {
    public static let type = FrameType.getSmall
    public static let countMax = 256
    public struct Ask: Sendable, Equatable {
        /// Its digest, or the name of its offer.
        public var release: Digest
        /// A small release of the package that the recipient holds: what this one repeats of it need not be sent.
        public var base: Digest?
        public init(release: Digest, base: Digest? = nil) {
            self.release = release
            self.base = base
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
            writer.name(ask.release, mark: ask.base == nil ? 0 : 1, bit: 2)
            if let base = ask.base { writer.digest(base) }
        }
    }
    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        asks = try reader.list(max: GetSmall.countMax) { reader throws(ByteFault) in
            let mark = try reader.u8()
            guard mark < 4 else { throw .malformed("ask") }
            return Ask(release: try reader.name(isOffer: mark & 2 != 0), base: mark & 1 != 0 ? try reader.digest() : nil)
        }
    }
}

/// Small releases of one view: the names and sizes of their files, and all their bytes compressed together.
///
/// No digest of a file or chunk is in it: the recipient makes the index from the bytes, and the release has signed its root. Nor need it be spelled out in
/// another file of the frame (`Block.Codec.zstdCut`).
public struct Small: Message {
    public static let type = FrameType.small
    /// Names and sizes of all files of a frame.
    public static let headBytesMax = 256 * 1024
    private static let offerBit: UInt8 = 0x80
    /// Over all releases of a frame: as many chunks as a stored block may have.
    public static let filesMax = 4096
    public struct File: Sendable, Equatable {
        public var path: String
        /// At most one chunk: none where it is 0.
        public var size: Int
        public var profile: ChunkProfile
        public init(path: String, size: Int, profile: ChunkProfile) {
            self.path = path
            self.size = size
            self.profile = profile
        }
    }
    public enum Form: UInt8, Sendable {
        /// Its bytes follow.
        case whole = 0
        /// Its bytes follow, and the content of the base that was named goes into the history before the frame.
        case againstBase = 1
        /// It is to be asked for as any other: `get-index`, `get-chunks`.
        case apart = 2
        /// There is no such release for you.
        case absent = 3
    }
    public struct Item: Sendable, Equatable {
        /// As it was asked for.
        public var release: Digest
        public var form: Form
        /// In the order of the file table.
        public var files: [File]
        public init(release: Digest, form: Form, files: [File] = []) {
            self.release = release
            self.form = form
            self.files = files
        }
        /// Raw bytes of it in the frame.
        public var bytes: Int { files.reduce(0) { $0 + $1.size } }
    }
    public var view: Digest
    public var items: [Item]
    public var codec: Block.Codec
    /// The sum of all files.
    public var rawLength: Int
    public var bytes: ArraySlice<UInt8>

    public init(view: Digest, items: [Item], codec: Block.Codec, bytes: ArraySlice<UInt8>) {
        self.view = view
        self.items = items
        self.codec = codec
        rawLength = items.reduce(0) { $0 + $1.bytes }
        self.bytes = bytes
    }

    public func encode(to writer: inout ByteWriter) {
        encodeHead(to: &writer)
        writer.raw(bytes)
    }

    private func encodeHead(to writer: inout ByteWriter) {
        writer.digest(view)
        var head = ByteWriter(reserving: items.count * 200)
        head.list(items) { head, item in
            head.name(item.release, mark: item.form.rawValue, bit: Small.offerBit)
            guard item.form == .whole || item.form == .againstBase else { return }
            head.list(item.files) { head, file in
                head.prefixed(file.path)
                head.varint(file.size)
                head.u8(file.profile.code)
            }
        }
        var packed = ByteWriter(reserving: head.bytes.count / 2)
        Packed.write(head.bytes, to: &packed)
        writer.prefixed(packed.bytes)
        writer.u8(codec.rawValue)
    }

    public var frame: Frame {
        var writer = ByteWriter(reserving: 4096)
        encodeHead(to: &writer)
        return Frame(Self.type, body: writer.bytes, tail: bytes)
    }

    public init(from reader: inout ByteReader) throws(ByteFault) {
        view = try reader.digest()
        var packed = ByteReader(Array(try reader.prefixed(max: Small.headBytesMax + 64)))
        var head = ByteReader(try Packed.read(from: &packed, rawBytesMax: Small.headBytesMax))
        var total = 0
        var files = 0
        items = try head.list(max: GetSmall.countMax) { head throws(ByteFault) in
            let mark = try head.u8()
            guard let form = Form(rawValue: mark & ~Small.offerBit) else { throw .malformed("form") }
            var item = Item(release: try head.name(isOffer: mark & Small.offerBit != 0), form: form)
            guard form == .whole || form == .againstBase else { return item }
            item.files = try head.list(max: Limits.smallFilesMax) { head throws(ByteFault) in
                let path = try head.text(max: Limits.filePathBytesMax)
                let size = try head.count(max: Limits.smallContentBytesMax)
                guard let profile = ChunkProfile(code: try head.u8()) else { throw .malformed("chunk profile") }
                return File(path: path, size: size, profile: profile)
            }
            let bytes = item.bytes
            guard bytes > 0, bytes <= Limits.smallContentBytesMax else { throw .malformed("content of a small release") }
            total += bytes
            files += item.files.count
            return item
        }
        try head.end()
        guard total <= Limits.blockRawBytesMax, files <= Small.filesMax else { throw .malformed("more than a block") }
        rawLength = total
        guard let codec = Block.Codec(rawValue: try reader.u8()) else { throw .malformed("codec") }
        self.codec = codec
        bytes = reader.rest()
        let isAgainstBases = items.contains { $0.form == .againstBase }
        guard codec != .raw ? total > 0 : bytes.count == total && !isAgainstBases else { throw .malformed("small") }
    }
}

// MARK: - The order of the bytes

extension Small {
    /// A file, by the places of its release in the frame and of itself in the release.
    public struct Place: Sendable, Equatable {
        public var item: Int
        public var file: Int
    }

    /// The order in which the bytes of files stand: by path, and those of one path as their releases do. What is alike stands together, and within a
    /// release they are in the order of the file table. Files without bytes have no place.
    public static func order(of items: [Item]) -> [Place] {
        var places: [[UInt8]: [Place]] = [:]
        for (item, release) in items.enumerated() {
            for (file, entry) in release.files.enumerated() where entry.size > 0 {
                places[Array(entry.path.utf8), default: []].append(Place(item: item, file: file))
            }
        }
        return places.keys.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { places[$0] ?? [] }
    }

    /// What a frame's bytes are. They are compared with nothing yet.
    public struct Unpacked: Sendable {
        /// Of all files, in `order`.
        public let raw: [UInt8]
        public let order: [Place]
        /// Made from the bytes, in `order`.
        public let chunks: [ChunkEntry]

        /// The digests of an item's files, in their order.
        public func digests(of items: [Item]) -> [[Digest]] {
            var digests = items.map { Array(repeating: Unpacked.ofNothing, count: $0.files.count) }
            for (place, chunk) in zip(order, chunks) { digests[place.item][place.file] = chunk.id }
            return digests
        }

        private static let ofNothing = SHA256.hash([UInt8]())

        /// The bytes of an item's files, one after the other.
        public func bytes(ofItem item: Int) -> [UInt8] {
            var parts: [(file: Int, range: Range<Int>)] = []
            var start = 0
            for (place, chunk) in zip(order, chunks) {
                let end = start + Int(chunk.length)
                if place.item == item { parts.append((place.file, start..<end)) }
                start = end
            }
            return parts.sorted { $0.file < $1.file }.flatMap { raw[$0.range] }
        }
    }

    /// `history`: the content of all bases, in the order of their releases.
    public func unpacked(history: [UInt8]) throws(BlockFault) -> Unpacked {
        let order = Small.order(of: items)
        let lengths = order.map { items[$0.item].files[$0.file].size }
        let isAgainstBases = items.contains { $0.form == .againstBase }
        guard !isAgainstBases || !history.isEmpty else { throw .corrupt("a base without bytes") }
        let (raw, ids) = try Block.decode(codec, bytes, lengths: lengths, reference: isAgainstBases ? history : [])
        return Unpacked(
            raw: raw, order: order, chunks: zip(ids, lengths).map { ChunkEntry(id: $0, length: UInt32($1)) })
    }
}
