internal import COpenSSL

/// Owns one `EVP_PKEY`, from its making to its end.
///
/// `@unchecked Sendable`: the pointer never changes, and the key behind it is not altered after it was made; libcrypto counts
/// references and fills its caches under its own lock, so several threads may sign and verify with one handle.
final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over the caller's reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_PKEY_free(pointer) }
}
