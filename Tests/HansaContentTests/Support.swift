/// SplitMix64 (Steele, Lea, Flood 2014), as the vectors define it.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Each value's eight bytes, little-endian.
    mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count + 8) { buffer, initialized in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: count, by: 8) {
                raw.storeBytes(of: next().littleEndian, toByteOffset: offset, as: UInt64.self)
            }
            initialized = count
        }
    }

    /// A table of `rows` rows of ten to a hundred characters.
    mutating func table(rows: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for row in 0..<rows {
            let fields = (0..<Int.random(in: 1...8, using: &self)).map { _ in
                String(UInt32.random(in: 0...9_999_999, using: &self))
            }
            bytes += Array("\(row),\(fields.joined(separator: ","))\n".utf8)
        }
        return bytes
    }
}
