internal import COpenSSL

/// Keys and certificates in PEM (RFC 7468), over memory BIOs that erase what they held.
enum PEM {
    /// libcrypto asks at the terminal unless it is given someone to ask.
    static let noPassphrase: @convention(c) (UnsafeMutablePointer<CChar>?, CInt, CInt, UnsafeMutableRawPointer?) -> CInt = {
        _, _, _, _ in
        -1
    }

    /// The first unencrypted PKCS#8 key of `pem`.
    static func readKey(_ pem: [UInt8]) throws(KeyFault) -> KeyHandle {
        ERR_clear_error()
        let bio = try reader(pem)
        defer { BIO_free(bio) }
        return try readKey(from: bio)
    }

    static func readKey(from bio: OpaquePointer) throws(KeyFault) -> KeyHandle {
        guard let info = PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, nil, noPassphrase, nil) else {
            throw .unreadable(OpenSSLError(draining: "PEM_read_bio_PKCS8_PRIV_KEY_INFO"))
        }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        guard let pointer = EVP_PKCS82PKEY(info) else { throw .unreadable(OpenSSLError(draining: "EVP_PKCS82PKEY")) }
        return KeyHandle(owning: pointer)
    }

    /// A BIO over `pem`; the caller frees it. The bytes are copied, as the BIO outlives the array's pointer.
    static func reader(_ pem: [UInt8]) throws(KeyFault) -> OpaquePointer {
        guard pem.count <= KeyFile.bytesMax, let bio = BIO_new(BIO_s_secmem()) else {
            throw .unreadable(OpenSSLError(draining: "BIO_new"))
        }
        guard BIO_write(bio, pem, CInt(pem.count)) == CInt(pem.count) else {
            BIO_free(bio)
            throw .unreadable(OpenSSLError(draining: "BIO_write"))
        }
        return bio
    }

    /// Traps when libcrypto fails, which means memory has run out.
    static func write(_ key: KeyHandle?, certificate: OpaquePointer?) -> [UInt8] {
        ERR_clear_error()
        guard let bio = BIO_new(BIO_s_secmem()) else { preconditionFailure("out of memory") }
        defer { BIO_free(bio) }
        if let key {
            precondition(
                PEM_write_bio_PKCS8PrivateKey(bio, key.pointer, nil, nil, 0, nil, nil) == 1,
                "cannot write a key: \(OpenSSLError(draining: "PEM_write_bio_PKCS8PrivateKey"))")
        }
        if let certificate {
            precondition(
                PEM_write_bio_X509(bio, certificate) == 1,
                "cannot write a certificate: \(OpenSSLError(draining: "PEM_write_bio_X509"))")
        }
        var data: UnsafeMutablePointer<CChar>?
        let count = hansa_bio_mem_data(bio, &data)
        return [UInt8](UnsafeRawBufferPointer(start: data, count: count))
    }

    /// libcrypto's name for the key's algorithm.
    static func algorithm(of key: KeyHandle) -> String {
        EVP_PKEY_get0_type_name(key.pointer).map { String(cString: $0) } ?? "of an unknown algorithm"
    }
}
