internal import COpenSSL

/// What the bytes of an Ed25519 point and scalar say, as far as libcrypto does not check it (RFC 8032 §5.1).
enum Edwards {
    /// p = 2^255 − 19, little-endian.
    private static let fieldPrime: [UInt8] = [0xED] + [UInt8](repeating: 0xFF, count: 30) + [0x7F]
    /// L = 2^252 + 27742317777372353535851937790883648493, little-endian.
    private static let order: [UInt8] =
        [0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14]
        + [UInt8](repeating: 0, count: 15) + [0x10]
    /// d of the curve −x² + y² = 1 + d·x²·y², little-endian.
    private static let curveConstant: [UInt8] = [
        0xA3, 0x78, 0x59, 0x13, 0xCA, 0x4D, 0xEB, 0x75, 0xAB, 0xD8, 0x41, 0x41, 0x4D, 0x0A, 0x70, 0x00,
        0x98, 0xE8, 0x79, 0x77, 0x79, 0x40, 0xC7, 0x8C, 0x73, 0xFE, 0x6F, 0x2B, 0xEE, 0x6C, 0x03, 0x52,
    ]

    /// The y coordinates, sign bit cleared, of the eight points of small order in all spellings: 0, 1, −1, two of order 8,
    /// p and p + 1. With the sign bit they are the 14 encodings.
    private static let smallOrder: [[UInt8]] = [
        [UInt8](repeating: 0, count: 32),
        [1] + [UInt8](repeating: 0, count: 31),
        [
            0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98, 0xF0,
            0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53, 0xFC, 0x05,
        ],
        [
            0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67, 0x0F,
            0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC, 0x03, 0x7A,
        ],
        [0xEC] + [UInt8](repeating: 0xFF, count: 30) + [0x7F],
        [0xED] + [UInt8](repeating: 0xFF, count: 30) + [0x7F],
        [0xEE] + [UInt8](repeating: 0xFF, count: 30) + [0x7F],
    ]

    static func isSmallOrder(_ point: ArraySlice<UInt8>) -> Bool {
        smallOrder.contains { candidate in
            for (index, byte) in zip(0..., point) where candidate[index] != (index == 31 ? byte & 0x7F : byte) { return false }
            return true
        }
    }

    /// Whether y < p. (A sign bit on x = 0 is the other second spelling; those two points are of small order.)
    static func isCanonical(_ point: ArraySlice<UInt8>) -> Bool { isBelow(point, fieldPrime, topMask: 0x7F) }

    static func isScalarBelowOrder(_ scalar: ArraySlice<UInt8>) -> Bool { isBelow(scalar, order, topMask: 0xFF) }

    /// Compares 32 little-endian bytes; public values, so it may stop early.
    private static func isBelow(_ value: ArraySlice<UInt8>, _ bound: [UInt8], topMask: UInt8) -> Bool {
        for index in stride(from: 31, through: 0, by: -1) {
            let byte = value[value.startIndex + index] & (index == 31 ? topMask : 0xFF)
            if byte != bound[index] { return byte < bound[index] }
        }
        return false
    }

    /// Whether some x has x² = (y² − 1) / (d·y² + 1). That quotient is a square just when the product of the two is,
    /// and the denominator is never zero as −1/d is no square; so one Jacobi symbol decides. About 10 µs.
    static func isOnCurve(_ point: [UInt8]) throws(KeyFault) -> Bool {
        ERR_clear_error()
        var y = point
        y[31] &= 0x7F
        guard let context = BN_CTX_new() else { throw .library(OpenSSLError(draining: "BN_CTX_new")) }
        defer { BN_CTX_free(context) }
        BN_CTX_start(context)
        defer { BN_CTX_end(context) }
        // BN_CTX_get returns nil for every later call after one failed, so the last tells of all.
        let p = BN_CTX_get(context)
        let d = BN_CTX_get(context)
        let square = BN_CTX_get(context)
        let numerator = BN_CTX_get(context)
        let denominator = BN_CTX_get(context)
        guard denominator != nil, BN_lebin2bn(fieldPrime, 32, p) != nil, BN_lebin2bn(curveConstant, 32, d) != nil,
            BN_lebin2bn(y, 32, square) != nil, BN_mod_sqr(square, square, p, context) == 1,
            BN_mod_sub(numerator, square, BN_value_one(), p, context) == 1,
            BN_mod_mul(denominator, square, d, p, context) == 1, BN_add_word(denominator, 1) == 1,
            BN_mod_mul(numerator, numerator, denominator, p, context) == 1
        else { throw .library(OpenSSLError(draining: "BN arithmetic")) }
        let symbol = BN_kronecker(numerator, p, context)
        guard symbol >= -1 else { throw .library(OpenSSLError(draining: "BN_kronecker")) }
        return symbol != -1
    }
}
