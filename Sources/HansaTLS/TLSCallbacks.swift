internal import COpenSSL
internal import HansaCore
internal import HansaCrypto

/// What libssl calls in the middle of a handshake; each finds its `TLSConnection` through the SSL's application data.
enum TLSCallbacks {
    /// Without this a client that offers no application protocol at all is accepted: the selection is never asked.
    static let clientHello: @convention(c) (OpaquePointer?, UnsafeMutablePointer<CInt>?, UnsafeMutableRawPointer?) -> CInt = {
        ssl, alert, _ in
        var data: UnsafePointer<UInt8>?
        var count = 0
        let offered = SSL_client_hello_get0_ext(
            ssl, CUnsignedInt(TLSEXT_TYPE_application_layer_protocol_negotiation), &data, &count)
        if offered == 1 { return SSL_CLIENT_HELLO_SUCCESS }
        alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
        connection(of: ssl)?.refusal = .applicationProtocolMissing(chosen: nil)
        return SSL_CLIENT_HELLO_ERROR
    }

    /// Ours or nothing; "nothing" is the alert no_application_protocol.
    static let selectApplicationProtocol:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?,
            CUnsignedInt, UnsafeMutableRawPointer?
        ) -> CInt = { ssl, chosen, chosenCount, offered, offeredCount, _ in
            guard let connection = connection(of: ssl), let offered else { return SSL_TLSEXT_ERR_ALERT_FATAL }
            // Names with a length byte before each; libssl has checked that they fill the list.
            let list = UnsafeBufferPointer(start: offered, count: Int(offeredCount))
            let ours = connection.context.applicationProtocol.utf8
            var start = 0
            while start < list.count, start + 1 + Int(list[start]) <= list.count {
                let name = (start + 1)..<(start + 1 + Int(list[start]))
                if list[name].elementsEqual(ours) {
                    // The result may point into the offer.
                    chosen?.pointee = offered + name.lowerBound
                    chosenCount?.pointee = list[start]
                    return SSL_TLSEXT_ERR_OK
                }
                start = name.upperBound
            }
            connection.refusal = .applicationProtocolMissing(chosen: nil)
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }

    /// Replaces the whole check of chains, names and dates: the key's pin decides.
    static let verifyCertificate: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = { store, _ in
        guard let store, let connection = connection(of: hansa_store_context_ssl(store)) else { return 0 }
        if connection.accepts(certificate: X509_STORE_CTX_get0_cert(store)) {
            X509_STORE_CTX_set_error(store, X509_V_OK)
            return 1
        }
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
        return 0
    }

    private static func connection(of ssl: OpaquePointer?) -> TLSConnection? {
        guard let ssl, let owner = hansa_ssl_owner(ssl) else { return nil }
        // The connection frees the SSL in its deinit and is borrowed by whoever called into libssl, so it is alive here.
        return Unmanaged<TLSConnection>.fromOpaque(owner).takeUnretainedValue()
    }
}
