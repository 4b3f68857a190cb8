internal import COpenSSL
internal import Synchronization

/// Owns one `EVP_PKEY`, from its making to its end.
///
/// `@unchecked Sendable`: the pointer never changes, and the key behind it is not altered after it was made; libcrypto counts
/// references and fills its caches under its own lock, so several threads may sign and verify with one handle.
final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Contexts that were made ready once. Making one ready looks up the algorithm by its name each time; copying it costs a third.
    private let ready = Mutex(Ready())

    /// `@unchecked Sendable`: nobody but the holder of the lock above touches the contexts, and nothing changes them.
    private struct Ready: @unchecked Sendable {
        var signing: OpaquePointer?
        var verifying: OpaquePointer?

        subscript(use: Use) -> OpaquePointer? {
            get { use == .sign ? signing : verifying }
            set { if use == .sign { signing = newValue } else { verifying = newValue } }
        }
    }

    private enum Use { case sign, verify }

    /// Takes over the caller's reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit {
        ready.withLock { ready in
            EVP_MD_CTX_free(ready.signing)
            EVP_MD_CTX_free(ready.verifying)
        }
        EVP_PKEY_free(pointer)
    }

    /// Makes `context` ready for `EVP_DigestSign` with this key. False when libcrypto cannot: its queue of errors says why.
    func readyToSign(_ context: OpaquePointer) -> Bool {
        isReady(context, .sign) { EVP_DigestSignInit($0, nil, nil, nil, pointer) == 1 }
    }

    /// The same for `EVP_DigestVerify`.
    func readyToVerify(_ context: OpaquePointer) -> Bool {
        isReady(context, .verify) { EVP_DigestVerifyInit($0, nil, nil, nil, pointer) == 1 }
    }

    private func isReady(_ context: OpaquePointer, _ use: Use, _ make: (OpaquePointer) -> Bool) -> Bool {
        nonisolated(unsafe) let context = context
        return ready.withLock { ready in
            if ready[use] == nil {
                guard let first = EVP_MD_CTX_new() else { return false }
                guard make(first) else {
                    EVP_MD_CTX_free(first)
                    return false
                }
                ready[use] = first
            }
            // A provider that cannot copy its contexts makes a new one each time.
            return EVP_MD_CTX_copy_ex(context, ready[use]) == 1 || make(context)
        }
    }
}
