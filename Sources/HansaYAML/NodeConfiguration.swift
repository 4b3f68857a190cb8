// What a node is told by its administrator: `hansa.yaml` in the home, over it the environment, over that the flags.
// Every key is in `ConfigurationKey.all`, with its default, its bounds and what it does; the file that `hansa init` writes is
// made from that list, and so is `config show`.

public import HansaCore

public struct NodeConfiguration: Sendable, Equatable {
    public static let listenDefault = "0.0.0.0:8471"

    public var city: CityID
    public var name: String
    /// ISO 3166-1 alpha-2, upper case.
    public var country: String?
    /// Where the node waits for partners: `host:port`, IPv6 in brackets. Port 0 takes any free one.
    public var listen: [String] = [NodeConfiguration.listenDefault]
    /// Where partners reach it, as its city card says; empty: it only dials.
    public var advertise: [String] = []
    public var logLevel: LogLevel = .info
    public var roles = Roles()
    public var limits = ConnectionLimits()
    public var sync = SyncTimes()
    /// Partners that are asked to cosign our log's checkpoints, and so learn how long it is.
    public var witnesses: [CityID] = []
    /// Where each key that is not at its default got its value, by dotted name. Not compared by `==`.
    public private(set) var origins: [String: Origin] = [:]

    public init(city: CityID, name: String, country: String? = nil) {
        self.city = city
        self.name = name
        self.country = country
    }

    public static func == (left: NodeConfiguration, right: NodeConfiguration) -> Bool {
        ConfigurationKey.all.allSatisfy { $0.get(left) == $0.get(right) }
    }

    public enum LogLevel: String, Sendable, Equatable, CaseIterable {
        case trace, debug, info, notice, warning, error
    }

    /// Who may do what over the admin socket, by the accounts of this machine.
    public struct Roles: Sendable, Equatable {
        /// Everything.
        public var admin = Accounts()
        /// Packages and sync, no agreements and no access.
        public var `operator` = Accounts()
        /// Reads everything, changes nothing.
        public var auditor = Accounts()

        public init() {}
    }

    /// Names of users and groups.
    public struct Accounts: Sendable, Equatable {
        public var users: [String]
        public var groups: [String]

        public init(users: [String] = [], groups: [String] = []) {
            self.users = users
            self.groups = groups
        }
    }

    public struct ConnectionLimits: Sendable, Equatable {
        public var connectionsMax = 256
        public var connectionsPerMinutePerAddress = 60
        /// Content asked for and not yet written, over all partners.
        public var contentBytesInFlight = 256 * 1024 * 1024
        public var sending = SendingRates()
        /// What collection reads, copies and deletes beside a node that serves; nil: as fast as it can.
        public var collectBytesPerSecond: UInt64? = 32_000_000

        public init() {}
    }

    public struct SyncTimes: Sendable, Equatable {
        /// How often a session announces its views although nothing changed.
        public var intervalSeconds = 900
        /// The longest wait before a partner that did not answer is dialled again.
        public var retrySecondsMax = 900

        public init() {}
    }

    /// Where a value comes from; later ones win.
    public enum Origin: Sendable, Hashable, CustomStringConvertible {
        case builtIn
        case file(line: Int)
        /// The variable's name.
        case environment(String)
        /// The flag, with its dashes.
        case flag(String)

        public var description: String {
            switch self {
            case .builtIn: "default"
            case .file(let line): "hansa.yaml:\(line)"
            case .environment(let name): "environment \(name)"
            case .flag(let flag): "flag \(flag)"
            }
        }
    }
}

// MARK: By key

extension NodeConfiguration {
    /// The dotted names of all keys, in the order of the file.
    public static var keys: [String] { ConfigurationKey.all.map(\.name) }

    /// The value of a key; nil for a name that is no key, `null` for one without a value.
    public func value(of key: String) -> JSONValue? { ConfigurationKey.named(key)?.get(self) }

    /// Where the key's value comes from; nil for a name that is no key.
    public func origin(of key: String) -> Origin? {
        ConfigurationKey.named(key).map { origins[$0.name] ?? .builtIn }
    }

    /// What the key does, for people; nil for a name that is no key.
    public static func summary(of key: String) -> String? { ConfigurationKey.named(key)?.summary }

    /// Sets a key from text as a person types it: a list as `a,b` or `[a, b]`. The fault's line is 1 and its path the key.
    public mutating func set(_ key: String, to text: String, origin: Origin) throws(YAMLFault) {
        guard let known = ConfigurationKey.named(key) else { throw ConfigurationKey.unknown(key) }
        try apply(known, known.value(typed: text), origin: origin, at: (1, 1))
    }

    mutating func apply(
        _ key: ConfigurationKey, _ value: JSONValue, origin: Origin, at place: (line: Int, column: Int)
    ) throws(YAMLFault) {
        if let problem = key.put(value, &self) {
            throw YAMLFault(line: place.line, column: place.column, path: key.name, message: problem)
        }
        origins[key.name] = origin
    }
}
