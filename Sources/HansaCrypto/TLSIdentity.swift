internal import COpenSSL
public import HansaCore

/// What a node shows on its TLS connections: a P-256 key and a self-signed certificate around it.
///
/// Partners pin the key (`spkiHash`, in the keyring); the certificate only carries it, so its names prove nothing and its
/// dates are for other programs' eyes. Safe to use from any thread.
public final class TLSIdentity: Sendable {
    /// X.520's bound of a common name; a longer city id is cut, as the name is only a hint for people.
    static let commonNameBytesMax = 64

    /// SHA-256 of the DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): what partners pin.
    public let spkiHash: Digest
    public let certificateDER: [UInt8]
    public let notBefore: Timestamp
    public let notAfter: Timestamp
    private let key: KeyHandle
    private let certificate: CertificateHandle

    /// A new key and its certificate: X.509 v3, random serial, digitalSignature, serverAuth and clientAuth, no CA.
    /// The times are cut to whole seconds.
    public static func generate(commonName: String, notBefore: Timestamp, notAfter: Timestamp) throws(KeyFault) -> TLSIdentity {
        ERR_clear_error()
        guard let pointer = hansa_p256_generate() else { throw .library(OpenSSLError(draining: "EVP_PKEY_Q_keygen")) }
        let key = KeyHandle(owning: pointer)
        let certificate = try CertificateHandle(
            selfSigning: key, commonName: commonName, notBefore: notBefore, notAfter: notAfter)
        return try TLSIdentity(key: key, certificate: certificate)
    }

    /// Reads what `pem()` writes: an unencrypted PKCS#8 P-256 key, then its certificate.
    public convenience init(pem: [UInt8]) throws(KeyFault) {
        ERR_clear_error()
        let bio = try PEM.reader(pem)
        defer { BIO_free(bio) }
        let key = try PEM.readKey(from: bio)
        guard EVP_PKEY_get_id(key.pointer) == EVP_PKEY_EC, EVP_PKEY_get_security_bits(key.pointer) == 128,
            TLSIdentity.groupName(of: key) == "prime256v1"
        else { throw .wrongAlgorithm(wanted: "EC P-256", found: "\(PEM.algorithm(of: key)) \(TLSIdentity.groupName(of: key))") }
        guard let pointer = PEM_read_bio_X509(bio, nil, PEM.noPassphrase, nil) else {
            throw .unreadable(OpenSSLError(draining: "PEM_read_bio_X509"))
        }
        try self.init(key: key, certificate: CertificateHandle(owning: pointer))
    }

    private init(key: KeyHandle, certificate: CertificateHandle) throws(KeyFault) {
        guard X509_check_private_key(certificate.pointer, key.pointer) == 1 else {
            ERR_clear_error()
            throw .certificateOfAnotherKey
        }
        guard let der = certificate.der(), let spki = certificate.publicKeyInfo(),
            let notBefore = CertificateHandle.time(X509_get0_notBefore(certificate.pointer)),
            let notAfter = CertificateHandle.time(X509_get0_notAfter(certificate.pointer))
        else { throw .unreadable(OpenSSLError(draining: "i2d_X509")) }
        self.key = key
        self.certificate = certificate
        self.notBefore = notBefore
        self.notAfter = notAfter
        certificateDER = der
        spkiHash = SHA256.hash(spki)
    }

    /// The unencrypted PKCS#8 key and the certificate in PEM, for a file that only its owner reads (`KeyFile`).
    public func pem() -> [UInt8] { PEM.write(key, certificate: certificate.pointer) }

    /// The certificate alone, which may be shown to anyone.
    public func certificatePEM() -> [UInt8] { PEM.write(nil, certificate: certificate.pointer) }

    /// Calls `body` with the `EVP_PKEY` and the `X509`. They are only lent: take a reference to keep one.
    package func withHandles<T, E: Error>(_ body: (_ key: OpaquePointer, _ certificate: OpaquePointer) throws(E) -> T) throws(E)
        -> T
    {
        let result = try body(key.pointer, certificate.pointer)
        extendLifetime(self)
        return result
    }

    private static func groupName(of key: KeyHandle) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { buffer in
            guard let start = buffer.baseAddress, EVP_PKEY_get_group_name(key.pointer, start, buffer.count, nil) == 1 else {
                ERR_clear_error()
                return ""
            }
            return String(cString: start)
        }
    }
}

/// The hash that pins name a certificate's key by, from a certificate of libssl's. Nil when it cannot be encoded.
package func spkiHash(ofCertificate certificate: OpaquePointer) -> Digest? {
    CertificateHandle.publicKeyInfo(of: certificate).map { SHA256.hash($0) }
}

/// A certificate of libssl's in DER. Nil when it cannot be encoded.
package func der(ofCertificate certificate: OpaquePointer) -> [UInt8]? { CertificateHandle.der(of: certificate) }
