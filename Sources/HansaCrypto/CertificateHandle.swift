internal import COpenSSL
internal import Glibc
internal import HansaCore

/// Owns one `X509`, from its making to its end.
///
/// `@unchecked Sendable`: the pointer never changes and the certificate is not altered after `init`; libcrypto fills its caches
/// under its own lock.
final class CertificateHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes over the caller's reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { X509_free(pointer) }

    /// A certificate of `key` for itself, signed with ECDSA and SHA-256. RFC 5280, about 400 bytes.
    convenience init(selfSigning key: KeyHandle, commonName: String, notBefore: Timestamp, notAfter: Timestamp) throws(KeyFault) {
        guard let pointer = X509_new() else { throw .library(OpenSSLError(draining: "X509_new")) }
        self.init(owning: pointer)
        // 16 random bytes; the first between 0x40 and 0x7F keeps the number positive and its length fixed.
        var serial = SystemRandom().bytes(16)
        serial[0] = serial[0] & 0x3F | 0x40
        guard let number = BN_bin2bn(serial, CInt(serial.count), nil) else { throw .library(OpenSSLError(draining: "BN_bin2bn")) }
        defer { BN_free(number) }
        let name = Array(commonName.utf8)
        let subject = X509_get_subject_name(pointer)
        guard X509_set_version(pointer, 2) == 1, BN_to_ASN1_INTEGER(number, X509_get_serialNumber(pointer)) != nil,
            ASN1_TIME_set(X509_getm_notBefore(pointer), time_t(notBefore.wholeSeconds)) != nil,
            ASN1_TIME_set(X509_getm_notAfter(pointer), time_t(notAfter.wholeSeconds)) != nil,
            X509_NAME_add_entry_by_NID(
                subject, NID_commonName, MBSTRING_UTF8, name, CInt(min(name.count, TLSIdentity.commonNameBytesMax)), -1, 0) == 1,
            X509_set_issuer_name(pointer, subject) == 1, X509_set_pubkey(pointer, key.pointer) == 1
        else { throw .library(OpenSSLError(draining: "making a certificate")) }
        try add(NID_basic_constraints, "critical,CA:FALSE")
        try add(NID_key_usage, "critical,digitalSignature")
        try add(NID_ext_key_usage, "serverAuth,clientAuth")
        guard X509_sign(pointer, key.pointer, EVP_sha256()) > 0 else { throw .library(OpenSSLError(draining: "X509_sign")) }
    }

    private func add(_ identifier: CInt, _ value: String) throws(KeyFault) {
        guard let item = X509V3_EXT_conf_nid(nil, nil, identifier, value) else {
            throw .library(OpenSSLError(draining: "X509V3_EXT_conf_nid"))
        }
        defer { X509_EXTENSION_free(item) }
        guard X509_add_ext(pointer, item, -1) == 1 else { throw .library(OpenSSLError(draining: "X509_add_ext")) }
    }

    func der() -> [UInt8]? { CertificateHandle.der(of: pointer) }
    func publicKeyInfo() -> [UInt8]? { CertificateHandle.publicKeyInfo(of: pointer) }

    static func der(of certificate: OpaquePointer) -> [UInt8]? { encoded { i2d_X509(certificate, $0) } }

    /// The DER SubjectPublicKeyInfo, byte for byte as it stands in the certificate.
    static func publicKeyInfo(of certificate: OpaquePointer) -> [UInt8]? {
        guard let info = X509_get_X509_PUBKEY(certificate) else { return nil }
        return encoded { i2d_X509_PUBKEY(info, $0) }
    }

    /// Calls libcrypto's encoder twice: for the length, and to write.
    private static func encoded(_ encode: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> CInt) -> [UInt8]? {
        let count = Int(encode(nil))
        guard count > 0 else { return nil }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var end = buffer.baseAddress
            initialized = max(0, Int(encode(&end)))
        }
    }

    /// Nil for a time that is none or lies outside what POSIX can say.
    static func time(_ value: UnsafePointer<ASN1_TIME>?) -> Timestamp? {
        var parts = tm()
        guard let value, ASN1_TIME_to_tm(value, &parts) == 1 else { return nil }
        return Timestamp(seconds: Int64(timegm(&parts)))
    }
}

extension Timestamp {
    fileprivate var wholeSeconds: Int64 { milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000 }
}
