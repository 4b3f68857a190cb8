internal import COpenSSL

/// Where unpredictable bytes come from; an argument wherever they are used, so that simulations repeat.
public protocol RandomSource: Sendable {
    func bytes(_ count: Int) -> [UInt8]
}

/// The system's random source, by libcrypto's generator.
public struct SystemRandom: RandomSource {
    public init() {}

    /// Traps when there is no randomness: nothing safe can follow.
    public func bytes(_ count: Int) -> [UInt8] {
        precondition(count >= 0 && count <= Int(CInt.max), "count out of range")
        var bytes = [UInt8](repeating: 0, count: count)
        ERR_clear_error()
        precondition(count == 0 || RAND_bytes(&bytes, CInt(count)) == 1, "no randomness: \(OpenSSLError(draining: "RAND_bytes"))")
        return bytes
    }
}
