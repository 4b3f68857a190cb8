// When a changed setting counts.
internal import HansaCore
internal import HansaYAML

enum ConfigurationEffect: String {
    /// The node reads it whenever it needs it.
    case now
    /// The node reads it when it starts.
    case restart
    /// It stands in our keyring, and partners see it in the next version.
    case nextKeyring = "next-keyring"

    init(of key: String) {
        switch key {
        case "name", "country", "advertise": self = .nextKeyring
        case "listen", "limits.connectionsMax", "limits.connectionsPerMinutePerAddress", "limits.contentBytesInFlight",
            "sync.intervalSeconds", "sync.retrySecondsMax":
            self = .restart
        default: self = .now
        }
    }

    /// What brings it about; nil where nothing is left to do.
    var command: String? {
        switch self {
        case .now: nil
        case .restart: "systemctl restart hansa"
        case .nextKeyring: "hansa city renew"
        }
    }

    /// The keys that differ and do not count at once.
    static func pending(_ before: NodeConfiguration, _ after: NodeConfiguration, _ effect: ConfigurationEffect) -> [String] {
        NodeConfiguration.keys.filter { ConfigurationEffect(of: $0) == effect && before.value(of: $0) != after.value(of: $0) }
    }
}
