internal import CZstd
// Blocks: up to 1 MiB of neighbouring chunks compressed together (SYNC.md §7: single chunks compress badly).
public import HansaCore
internal import HansaCrypto
internal import Synchronization

/// Why stored or received bytes are no block.
public enum BlockFault: Error, Equatable, Sendable {
    /// A declared raw length above `Limits.blockRawBytesMax`.
    case tooLarge(Int)
    /// The raw length is not the declared one.
    case wrongLength(declared: Int, actual: Int)
    /// Not exactly one Zstandard frame, or one that does not decode within the declared length; the text is libzstd's.
    case corrupt(String)
}

/// Compression of blocks. Stateless for callers; contexts of libzstd are kept and used again.
public enum Block {
    public enum Codec: UInt8, Hashable, Sendable, CaseIterable {
        case raw = 0
        /// One Zstandard frame (RFC 8878) without dictionary and checksum, window at most 1 MiB.
        case zstd = 1
        /// The same of bytes from which digests of chunks before were cut out (`CutDigests`): read with the chunks alone.
        case zstdCut = 2
    }

    /// The level blocks are stored at unless somebody asks for another.
    public static let levelDefault: Int32 = 1
    /// The largest window a writer asks for: one block.
    static let windowLogMax: Int32 = 20
    /// A delta's window reaches over what it refers to.
    static let deltaWindowLogMax: Int32 = 23
    private static let probeBytes = 4 << 10
    private static let probeAboveBytes = 32 << 10

    /// Compresses, when that saves a thirty-second or more; else returns the bytes as they are.
    ///
    /// Larger blocks are probed first: where 4 KiB at the start, in the middle and at the end do not shrink, nothing more is tried.
    /// The output is a function of the input, the level and the version of libzstd; nothing may depend on its bytes.
    /// - Precondition: `raw` has at most `Limits.blockRawBytesMax` bytes.
    public static func encode(raw: UnsafeRawBufferPointer, level: Int32 = levelDefault) -> (codec: Codec, bytes: [UInt8]) {
        precondition(raw.count <= Limits.blockRawBytesMax, "a block is at most 1 MiB")
        let worthwhile = raw.count - raw.count / 32 - 1
        guard worthwhile > 0 else { return (.raw, [UInt8](raw)) }
        let compressed = Compressor.pool.with { compressor -> [UInt8]? in
            if raw.count > probeAboveBytes && !compressor.shrinks(raw, probeBytes: probeBytes) { return nil }
            return compressor.compress(raw, level: level, bytesMax: worthwhile)
        }
        return compressed.map { (.zstd, $0) } ?? (.raw, [UInt8](raw))
    }

    public static func encode(raw: [UInt8], level: Int32 = levelDefault) -> (codec: Codec, bytes: [UInt8]) {
        raw.withUnsafeBytes { encode(raw: $0, level: level) }
    }

    /// The raw bytes: exactly `rawLength`, which was declared beside the block and is allocated before anything is read from the bytes.
    /// What a frame says of itself is not trusted.
    public static func decode(_ codec: Codec, _ bytes: UnsafeRawBufferPointer, rawLength: Int) throws(BlockFault) -> [UInt8] {
        guard rawLength >= 0, rawLength <= Limits.blockRawBytesMax else { throw .tooLarge(rawLength) }
        var fault: BlockFault?
        let raw = [UInt8](unsafeUninitializedCapacity: rawLength) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: rawLength)
            do throws(BlockFault) {
                try decode(codec, bytes, into: target)
                count = rawLength
            } catch {
                fault = error
                count = 0
            }
        }
        if let fault { throw fault }
        return raw
    }

    public static func decode(_ codec: Codec, _ bytes: ArraySlice<UInt8>, rawLength: Int) throws(BlockFault) -> [UInt8] {
        // `withUnsafeBytes` does not carry a typed error through, so the result does.
        try bytes.withUnsafeBytes { buffer -> Result<[UInt8], BlockFault> in
            do throws(BlockFault) { return .success(try decode(codec, buffer, rawLength: rawLength)) } catch {
                return .failure(error)
            }
        }.get()
    }

    public static func decode(_ codec: Codec, _ bytes: [UInt8], rawLength: Int) throws(BlockFault) -> [UInt8] {
        try decode(codec, bytes[...], rawLength: rawLength)
    }

    /// Fills `raw`, whose size is the declared raw length. After an error its contents are undefined.
    public static func decode(_ codec: Codec, _ bytes: UnsafeRawBufferPointer, into raw: UnsafeMutableRawBufferPointer)
        throws(BlockFault)
    {
        guard raw.count <= Limits.blockRawBytesMax else { throw .tooLarge(raw.count) }
        switch codec {
        case .raw:
            guard bytes.count == raw.count else { throw .wrongLength(declared: raw.count, actual: bytes.count) }
            raw.copyMemory(from: bytes)
        case .zstd:
            let written = try Decompressor.pool.with { $0.decompress(bytes, into: raw) }.get()
            guard written == raw.count else { throw .wrongLength(declared: raw.count, actual: written) }
        case .zstdCut: throw .corrupt("digests are cut out, and no chunks are known")
        }
    }
}

// MARK: - Blocks of known chunks

extension Block {
    /// Compresses these chunks, one after the other, without the digests that they spell out of one another. Of `reference` see `encodeDelta`; with one it is
    /// nil where nothing shrinks.
    /// - Precondition: the bytes are the chunks', at most `Limits.blockRawBytesMax`.
    public static func encode(raw: [UInt8], chunks: [ChunkEntry], level: Int32 = levelDefault, reference: [UInt8] = [])
        -> (codec: Codec, bytes: [UInt8])?
    {
        let cut = raw.withUnsafeBytes { CutDigests.cut($0, chunks: chunks) }
        if reference.isEmpty {
            if let cut {
                let packed = encode(raw: cut, level: level)
                if packed.codec == .zstd { return (.zstdCut, packed.bytes) }
            }
            return encode(raw: raw, level: level)
        }
        let text = cut ?? raw
        return encodeDelta(raw: text, reference: reference, bytesMax: text.count).map { (cut == nil ? .zstd : .zstdCut, $0) }
    }

    /// The raw bytes of a block of any codec. They are not compared with the chunks' ids.
    public static func decode(_ codec: Codec, _ bytes: ArraySlice<UInt8>, chunks: [ChunkEntry]) throws(BlockFault) -> [UInt8] {
        let rawLength = chunks.reduce(0) { $0 + Int($1.length) }
        guard codec == .zstdCut else { return try decode(codec, bytes, rawLength: rawLength) }
        let ids = chunks.map(\.id)
        return try filled(bytes, lengths: chunks.map { Int($0.length) }, reference: []) { number, _ in ids[number] }.raw
    }

    /// The raw bytes of a block of which only the lengths of the chunks are known, and the chunks' ids, made from the bytes.
    public static func decode(_ codec: Codec, _ bytes: ArraySlice<UInt8>, lengths: [Int], reference: [UInt8] = [])
        throws(BlockFault) -> (raw: [UInt8], ids: [Digest])
    {
        let rawLength = lengths.reduce(0, +)
        if codec == .zstdCut { return try filled(bytes, lengths: lengths, reference: reference) { SHA256.hash($1) } }
        let raw =
            reference.isEmpty
            ? try decode(codec, bytes, rawLength: rawLength) : try decodeDelta(bytes, rawLength: rawLength, reference: reference)
        var start = 0
        let ids = raw.withUnsafeBytes { raw in
            lengths.map { length in
                defer { start += length }
                return SHA256.hash(UnsafeRawBufferPointer(rebasing: raw[start..<(start + length)]))
            }
        }
        return (raw, ids)
    }

    private static func filled(
        _ bytes: ArraySlice<UInt8>, lengths: [Int], reference: [UInt8], id: (Int, UnsafeRawBufferPointer) -> Digest
    ) throws(BlockFault) -> (raw: [UInt8], ids: [Digest]) {
        let rawLength = lengths.reduce(0, +)
        guard rawLength <= Limits.blockRawBytesMax else { throw .tooLarge(rawLength) }
        // What was cut is shorter than what it stands for, so the text is no longer than the block.
        let text = try unpacked(bytes, bytesMax: rawLength, reference: reference)
        var ids: [Digest] = []
        ids.reserveCapacity(lengths.count)
        var fault: BlockFault?
        let raw = [UInt8](unsafeUninitializedCapacity: rawLength) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: rawLength)
            fault = text.withUnsafeBytes { text in
                do throws(BlockFault) {
                    var filling = CutDigests.Filling(text)
                    var start = 0
                    for (number, length) in lengths.enumerated() {
                        let chunk = UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + length)])
                        try filling.fill(chunk, ids: ids, count: number)
                        ids.append(id(number, UnsafeRawBufferPointer(chunk)))
                        start += length
                    }
                    try filling.end()
                    return nil
                } catch {
                    return error
                }
            }
            count = fault == nil ? rawLength : 0
        }
        if let fault { throw fault }
        return (raw, ids)
    }

    private static func unpacked(_ bytes: ArraySlice<UInt8>, bytesMax: Int, reference: [UInt8]) throws(BlockFault) -> [UInt8] {
        var outcome: Result<Int, BlockFault> = .success(0)
        let text = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: bytesMax)
            outcome = bytes.withUnsafeBytes { bytes in
                reference.withUnsafeBytes { reference in
                    Decompressor.pool.with { $0.decompress(bytes, into: target, reference: reference.isEmpty ? nil : reference) }
                }
            }
            if case .success(let written) = outcome { count = written } else { count = 0 }
        }
        _ = try outcome.get()
        return text
    }
}

// MARK: - Deltas

extension Block {
    /// Compresses against bytes that the reader holds too (RFC 8878 with `reference` as the history before the frame): 15 bytes for an edited
    /// row, 2 GB/s. Nil where it would not be smaller than `bytesMax`.
    /// - Precondition: at most `Limits.blockRawBytesMax` raw bytes and `Limits.deltaReferenceBytesMax` to refer to.
    public static func encodeDelta(raw: [UInt8], reference: [UInt8], bytesMax: Int) -> [UInt8]? {
        precondition(raw.count <= Limits.blockRawBytesMax && reference.count <= Limits.deltaReferenceBytesMax, "a delta's bounds")
        guard bytesMax > 0 else { return nil }
        return raw.withUnsafeBytes { raw in
            reference.withUnsafeBytes { reference in
                Compressor.pool.with { $0.compress(raw, reference: reference, bytesMax: bytesMax) }
            }
        }
    }

    /// The raw bytes of a delta: exactly `rawLength`, which is allocated before anything is read. With another reference than the writer's they are
    /// other bytes, or a fault; the chunks' ids tell.
    public static func decodeDelta(_ bytes: ArraySlice<UInt8>, rawLength: Int, reference: [UInt8]) throws(BlockFault) -> [UInt8] {
        guard rawLength >= 0, rawLength <= Limits.blockRawBytesMax else { throw .tooLarge(rawLength) }
        var outcome: Result<Int, BlockFault> = .success(0)
        let raw = [UInt8](unsafeUninitializedCapacity: rawLength) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: rawLength)
            outcome = bytes.withUnsafeBytes { bytes in
                reference.withUnsafeBytes { reference in
                    Decompressor.pool.with { $0.decompress(bytes, into: target, reference: reference) }
                }
            }
            if case .success(rawLength) = outcome { count = rawLength } else { count = 0 }
        }
        let written = try outcome.get()
        guard written == rawLength else { throw .wrongLength(declared: rawLength, actual: written) }
        return raw
    }
}

// MARK: - Contexts of libzstd

/// Wraps one ZSTD_CCtx.
///
/// Unchecked, because the context is not thread-safe: `ContextPool` gives it to one caller at a time.
private final class Compressor: @unchecked Sendable {
    static let pool = ContextPool<Compressor> { Compressor() }

    private let context: OpaquePointer

    init() {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("out of memory: ZSTD_createCCtx") }
        self.context = context
    }

    deinit { ZSTD_freeCCtx(context) }

    /// Nil when the frame would not be smaller than `bytesMax`.
    func compress(_ raw: UnsafeRawBufferPointer, level: Int32, bytesMax: Int) -> [UInt8]? {
        configure(level: level)
        var fits = false
        let bytes = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            let written = ZSTD_compress2(context, buffer.baseAddress, bytesMax, raw.baseAddress, raw.count)
            fits = ZSTD_isError(written) == 0
            count = fits ? written : 0
        }
        guard fits else { return nil }
        // The buffer was as large as the input; what is kept for long is given back to size.
        return bytes.count < bytesMax / 2 ? Array(bytes[...]) : bytes
    }

    /// As above, with bytes before it that the reader has. Long matches are looked for over all of them: what is edited lies far apart.
    func compress(_ raw: UnsafeRawBufferPointer, reference: UnsafeRawBufferPointer, bytesMax: Int) -> [UInt8]? {
        configure(level: 3)
        // Nothing of the reference stays behind in a context that others use.
        defer { ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, Block.deltaWindowLogMax)
        ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1)
        ZSTD_CCtx_refPrefix(context, reference.baseAddress, reference.count)
        var fits = false
        let bytes = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            let written = ZSTD_compress2(context, buffer.baseAddress, bytesMax, raw.baseAddress, raw.count)
            fits = ZSTD_isError(written) == 0
            count = fits ? written : 0
        }
        return fits ? Array(bytes[...]) : nil
    }

    /// Whether samples of `raw` shrink by 3 % or more.
    func shrinks(_ raw: UnsafeRawBufferPointer, probeBytes: Int) -> Bool {
        configure(level: 1)
        return withUnsafeTemporaryAllocation(byteCount: probeBytes * 2, alignment: 16) { target in
            let starts = [0, (raw.count - probeBytes) / 2, raw.count - probeBytes]
            return starts.contains { start in
                let sample = UnsafeRawBufferPointer(rebasing: raw[start..<(start + probeBytes)])
                let written = ZSTD_compress2(context, target.baseAddress, target.count, sample.baseAddress, sample.count)
                return ZSTD_isError(written) == 0 && written < probeBytes - probeBytes / 32
            }
        }
    }

    private func configure(level: Int32) {
        ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters)
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, Block.windowLogMax)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)
    }
}

/// Wraps one ZSTD_DCtx, unchecked for the same reason.
private final class Decompressor: @unchecked Sendable {
    static let pool = ContextPool<Decompressor> { Decompressor() }

    private let context: OpaquePointer

    init() {
        guard let context = ZSTD_createDCtx() else { preconditionFailure("out of memory: ZSTD_createDCtx") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// How many bytes were written, at most as many as there is room for.
    func decompress(
        _ bytes: UnsafeRawBufferPointer, into raw: UnsafeMutableRawBufferPointer, reference: UnsafeRawBufferPointer? = nil
    ) -> Result<Int, BlockFault> {
        // libzstd would also take several frames, skippable ones, and older formats: one frame of today's format is all there may be.
        guard bytes.count >= 4, UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) == ZSTD_MAGICNUMBER else {
            return .failure(.corrupt("no Zstandard frame"))
        }
        let frame = ZSTD_findFrameCompressedSize(bytes.baseAddress, bytes.count)
        if ZSTD_isError(frame) != 0 { return .failure(.corrupt(String(cString: ZSTD_getErrorName(frame)))) }
        guard frame == bytes.count else { return .failure(.corrupt("bytes after the frame")) }
        // Only for this frame; a context that goes back to the pool keeps nothing of it.
        if let reference { ZSTD_DCtx_refPrefix(context, reference.baseAddress, reference.count) }
        defer { if reference != nil { ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters) } }
        // The output buffer is the window, so a frame that asks for a large window costs nothing.
        let written = ZSTD_decompressDCtx(context, raw.baseAddress, raw.count, bytes.baseAddress, bytes.count)
        if ZSTD_isError(written) != 0 { return .failure(.corrupt(String(cString: ZSTD_getErrorName(written)))) }
        return .success(written)
    }
}

/// Contexts that are not in use: a context is large, and making one costs more than a small block.
private final class ContextPool<Context: Sendable>: Sendable {
    private let idle = Mutex<[Context]>([])
    private let idleMax = 8
    private let make: @Sendable () -> Context

    init(make: @escaping @Sendable () -> Context) { self.make = make }

    func with<T>(_ body: (Context) -> T) -> T {
        let context = idle.withLock { $0.popLast() } ?? make()
        defer { idle.withLock { if $0.count < idleMax { $0.append(context) } } }
        return body(context)
    }
}
