internal import HansaCore

/// `host:port`: a name, an IPv4 address or an IPv6 address in brackets, and a decimal port.
public struct HostPort: Hashable, Sendable, CustomStringConvertible {
    /// Without brackets.
    public let host: String
    public let port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Nil for anything else: no scheme, no path, no white space, a port from 0 to 65535.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        guard (1...5).contains(portText.utf8.count), portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(portText)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.utf8.allSatisfy({ HostPort.isAddress($0) }) else { return nil }
        } else {
            guard host.utf8.allSatisfy({ HostPort.isName($0) }), host.utf8.count <= 253, host.first != "-", host.first != "."
            else {
                return nil
            }
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    // Hex digits, colons, the dots of an embedded IPv4 address, and a zone (fe80::1%eth0).
    private static func isAddress(_ byte: UInt8) -> Bool {
        isName(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "%")
    }
}
