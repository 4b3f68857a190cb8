// Fingerprints of values and a compact set of them, for the search for primary keys.

/// SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of a sequence of byte strings.
///
/// Each string is closed by its length, so that ("ab", "c") and ("a", "bc") differ. The key is fixed: equal files give equal
/// schemas on every machine, and the worst that chosen collisions do is to hide a key.
struct SipHash13: Sendable {
    private var v0: UInt64 = 0x736f_6d65_7073_6575 ^ 0x6861_6e73_612d_6b65
    private var v1: UInt64 = 0x646f_7261_6e64_6f6d ^ 0x792d_7365_6172_6368
    private var v2: UInt64 = 0x6c79_6765_6e65_7261 ^ 0x6861_6e73_612d_6b65
    private var v3: UInt64 = 0x7465_6462_7974_6573 ^ 0x792d_7365_6172_6368

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index + 8 <= bytes.count {
            compress(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
            index += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for offset in index..<bytes.count { last |= UInt64(bytes[offset]) << UInt64((offset - index) * 8) }
        compress(last)
    }

    consuming func finish() -> UInt64 {
        v2 ^= 0xFF
        for _ in 0..<3 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    @inline(__always)
    private mutating func compress(_ word: UInt64) {
        v3 ^= word
        round()
        v0 ^= word
    }

    @inline(__always)
    private mutating func round() {
        v0 = v0 &+ v1
        v2 = v2 &+ v3
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v1
        v0 = v0 &+ v3
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 = v2 << 32 | v2 >> 32
    }
}

/// A set of 64-bit fingerprints: open addressing, at most half full, 16 bytes an element at the worst.
struct FingerprintSet: Sendable {
    private var slots: [UInt64] = []
    private var count = 0
    private var hasZero = false

    /// True when it was not there.
    mutating func insert(_ fingerprint: UInt64) -> Bool {
        // Zero marks a free slot, so it is kept beside them.
        if fingerprint == 0 {
            defer { hasZero = true }
            return !hasZero
        }
        if (count + 1) * 2 > slots.count { grow() }
        let isNew = FingerprintSet.place(fingerprint, in: &slots)
        if isNew { count += 1 }
        return isNew
    }

    private mutating func grow() {
        var larger = [UInt64](repeating: 0, count: max(64, slots.count * 2))
        for fingerprint in slots where fingerprint != 0 { _ = FingerprintSet.place(fingerprint, in: &larger) }
        slots = larger
    }

    private static func place(_ fingerprint: UInt64, in slots: inout [UInt64]) -> Bool {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: fingerprint) & mask
        while slots[index] != 0 {
            if slots[index] == fingerprint { return false }
            index = (index + 1) & mask
        }
        slots[index] = fingerprint
        return true
    }
}
