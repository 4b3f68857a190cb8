// Content-defined chunking: FastCDC with normalised chunking (Xia et al., "The Design of Fast Content-Defined Chunking for Data
// Deduplication Based Storage Systems", IEEE TPDS 2020), with three choices of our own:
//
// - The hash at a place is a function of the 64 bytes before it and of nothing else, the beginning of a chunk included: it runs in over the
//   64 bytes before the smallest chunk's end. Two files that share a stretch therefore have the same candidates in it.
// - A place is a candidate when the hash is below a threshold (its top bits are zero): those are the bits that see all 64 bytes.
// - The threshold changes not at the nominal average but where the true mean becomes the nominal average (`ChunkProfile.centre`).
//
// The cut, for a buffer b of the next n bytes of a file (all that are left, or at least `max`):
//
//     gear[v]  = the first 8 bytes, big-endian, of SHA-256("hansa-gear/1" ‖ u8 v)
//     H(p)     = Σ gear[b[p − 1 − j]] · 2^j for j in 0...63, mod 2^64
//     last     = max − lineWindow
//     p        = the smallest p in min+1 ... Swift.min(n, last) with H(p) < hard, if p ≤ centre, or H(p) < easy, if p > centre;
//                else Swift.min(n, last)
//     cut      = p; with a lineWindow, the smallest q in p ... Swift.min(n, p + lineWindow) with b[q − 1] = LF, or p where there is none
//     n ≤ min  : cut = n
internal import HansaCore
internal import HansaCrypto

#if canImport(Glibc)
    internal import Glibc
#endif

/// Finds the ends of chunks. A value without state: the same bytes are cut alike however they arrive.
public struct Chunker: Sendable {
    public let profile: ChunkProfile

    public init(_ profile: ChunkProfile) { self.profile = profile }

    /// The length of the chunk that begins at the start of `buffer`; 0 only for an empty buffer.
    ///
    /// - Parameters:
    ///   - buffer: what follows in the file: at least `profile.max` bytes, or, `atEnd`, all that is left. Bytes beyond `max` are not read.
    ///   - atEnd: the buffer holds the end of the file.
    /// - Complexity: O(length), about 0.3 ns a byte.
    public func cut(_ buffer: UnsafeRawBufferPointer, atEnd: Bool) -> Int {
        let available = Swift.min(buffer.count, profile.max)
        precondition(atEnd || available == profile.max, "a chunker needs max bytes, or the end of the file")
        guard available > profile.min, let base = buffer.baseAddress else { return available }
        let window = profile.lineWindow
        let last = Swift.min(available, profile.max - window)
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        let place = Gear.table.withUnsafeBufferPointer { table -> Int in
            guard let gear = table.baseAddress else { preconditionFailure("the gear table is never empty") }
            var hash: UInt64 = 0
            for index in (profile.min - Gear.windowBytes)..<profile.min { hash = hash << 1 &+ gear[Int(bytes[index])] }
            let centre = Swift.min(profile.centre, last)
            if let place = Gear.scan(bytes, profile.min, centre, gear, profile.hardThreshold, &hash) { return place }
            return Gear.scan(bytes, centre, last, gear, profile.easyThreshold, &hash) ?? last
        }
        guard window > 0 else { return place }
        let from = place - 1
        let upTo = Swift.min(available, place + window)
        guard let feed = memchr(base + from, 0x0A, upTo - from) else { return place }
        return UnsafeRawPointer(feed) - base + 1
    }

    /// The lengths of all chunks of `bytes`, a whole file.
    public func lengths(of bytes: UnsafeRawBufferPointer) -> [Int] {
        var lengths: [Int] = []
        var start = 0
        while start < bytes.count {
            let length = cut(UnsafeRawBufferPointer(rebasing: bytes[start...]), atEnd: true)
            lengths.append(length)
            start += length
        }
        return lengths
    }

    public func lengths(of bytes: [UInt8]) -> [Int] { bytes.withUnsafeBytes { lengths(of: $0) } }

    /// Cuts a stream in constant memory.
    ///
    /// - Parameters:
    ///   - bufferBytes: the memory to use; at least twice `profile.max` is taken.
    ///   - read: fills a part of the buffer and returns how many bytes; fewer than asked are fine, 0 means the end.
    ///   - body: is given each chunk in order; the bytes are valid during the call only.
    /// - Returns: the bytes read.
    @discardableResult
    public func forEachChunk<E: Error>(
        bufferBytes: Int = 4 << 20, read: (UnsafeMutableRawBufferPointer) throws(E) -> Int,
        _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) -> UInt64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max(bufferBytes, profile.max * 2), alignment: 64)
        defer { buffer.deallocate() }
        var total: UInt64 = 0
        var start = 0
        var end = 0
        var atEnd = false
        while true {
            while !atEnd && end - start < profile.max {
                if buffer.count - start < profile.max {
                    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
                    end -= start
                    start = 0
                }
                let count = try read(UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
                precondition(count >= 0 && count <= buffer.count - end, "a reader returned more than was asked")
                atEnd = count == 0
                end += count
                total += UInt64(count)
            }
            guard start < end else { return total }
            let rest = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
            let length = cut(rest, atEnd: atEnd)
            try body(UnsafeRawBufferPointer(rebasing: rest[..<length]))
            start += length
        }
    }
}

/// The gear hash.
enum Gear {
    static let windowBytes = 64

    static let table: [UInt64] = (0...255).map { value -> UInt64 in
        let digest = SHA256.hash(Array("hansa-gear/1".utf8) + [UInt8(value)])
        return digest.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    /// The smallest place in `from + 1 ... to` whose hash is below the threshold. `hash` is H(from) before, and H(to) after nil.
    ///
    /// Four bytes a step: the sums s1...s4 of a step do not wait for the hash, so the chain that the processor must follow is one
    /// shift and one addition in four bytes. The result is that of the plain loop below it.
    @inline(__always)
    static func scan(
        _ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int, _ gear: UnsafePointer<UInt64>, _ threshold: UInt64,
        _ hash: inout UInt64
    ) -> Int? {
        var h = hash
        var place = from
        while place &+ 4 <= to {
            let s1 = gear[Int(bytes[place])]
            let s2 = s1 &<< 1 &+ gear[Int(bytes[place &+ 1])]
            let s3 = s2 &<< 1 &+ gear[Int(bytes[place &+ 2])]
            let s4 = s3 &<< 1 &+ gear[Int(bytes[place &+ 3])]
            if h &<< 1 &+ s1 < threshold { return place &+ 1 }
            if h &<< 2 &+ s2 < threshold { return place &+ 2 }
            if h &<< 3 &+ s3 < threshold { return place &+ 3 }
            h = h &<< 4 &+ s4
            if h < threshold { return place &+ 4 }
            place &+= 4
        }
        while place < to {
            h = h &<< 1 &+ gear[Int(bytes[place])]
            place &+= 1
            if h < threshold { return place }
        }
        hash = h
        return nil
    }
}
