internal import CLinux
internal import HansaCore

/// What an errno means, in words.
enum SystemFault {
    static func text(_ code: CInt) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            // An allocation of 256 bytes has a base address.
            let base = buffer.baseAddress.unsafelyUnwrapped
            hansa_error_text(code, base, buffer.count)
            return String(cString: base).lowercased()
        }
    }
}
