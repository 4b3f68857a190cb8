internal import COpenSSL

/// A failure of libcrypto or libssl: what we asked for, and everything its error queue of this thread said about it.
public struct OpenSSLError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The function that failed.
    public let operation: String
    /// The queue, oldest entry first; may be empty, as not every failure leaves one.
    public let entries: [String]

    /// Takes all entries out of this thread's queue. Call it at once after the failure, in the same synchronous function:
    /// after an `await` the queue may be another thread's.
    public init(draining operation: String) {
        self.operation = operation
        var entries: [String] = []
        var data: UnsafePointer<CChar>?
        var flags: CInt = 0
        while true {
            let code = ERR_get_error_all(nil, nil, nil, &data, &flags)
            guard code != 0 else { break }
            var text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
                ERR_error_string_n(code, buffer.baseAddress, buffer.count)
                return buffer.baseAddress.map { String(cString: $0) } ?? "error \(code)"
            }
            if flags & ERR_TXT_STRING != 0, let data, data.pointee != 0 { text += ": " + String(cString: data) }
            entries.append(text)
        }
        self.entries = entries
    }

    public var description: String {
        entries.isEmpty ? "\(operation) failed" : "\(operation): " + entries.joined(separator: "; ")
    }
}
