internal import HansaCore

/// One key of `hansa.yaml`: its shape, how it is read from and put into a configuration, and the words that explain it.
struct ConfigurationKey: Sendable {
    /// Dotted where it stands inside a map: `limits.connectionsMax`.
    let name: String
    let schema: YAMLSchema
    let isRequired: Bool
    /// For the comment in the file and for `config show`.
    let summary: String
    let get: @Sendable (NodeConfiguration) -> JSONValue
    /// Nil when it was taken, else what is wrong with the value.
    let put: @Sendable (JSONValue, inout NodeConfiguration) -> String?

    private init(
        _ name: String, _ schema: YAMLSchema, isRequired: Bool = false, _ summary: String,
        get: @escaping @Sendable (NodeConfiguration) -> JSONValue,
        put: @escaping @Sendable (JSONValue, inout NodeConfiguration) -> String?
    ) {
        self.name = name
        self.schema = schema
        self.isRequired = isRequired
        self.summary = summary
        self.get = get
        self.put = put
    }

    var parts: [String] { name.split(separator: ".").map(String.init) }

    static func named(_ name: String) -> ConfigurationKey? { all.first { $0.name == name } }

    static func unknown(_ key: String) -> YAMLFault {
        if key == "openByDefault" { return YAMLFault(line: 1, column: 1, path: key, message: openByDefaultRefusal) }
        let near = NearMiss.best(for: key, among: all.map(\.name))
        return YAMLFault(
            line: 1, column: 1, path: key.printable(charactersMax: 60),
            message: "unknown key"
                + (near.map { "; did you mean '\($0)'?" } ?? "; known: \(all.map(\.name).joined(separator: ", "))"))
    }

    static let openByDefaultRefusal =
        "opening public packages without an agreement is not in this version; remove the key"

    /// The text a person typed on a command line, by this key's shape.
    func value(typed text: String) throws(YAMLFault) -> JSONValue {
        func fault(_ message: String) -> YAMLFault { YAMLFault(line: 1, column: 1, path: name, message: message) }
        let node: YAMLNode
        switch schema {
        case .list, .listOrSingle:
            if text.hasPrefix("[") {
                node = try YAMLDocument.read(text)
            } else {
                let items = text.split(separator: ",").map { item in
                    YAMLNode(.scalar(item.trimmed, isPlain: true), line: 1, column: 1)
                }
                node = YAMLNode(.list(items), line: 1, column: 1)
            }
        default:
            if text.isEmpty { throw fault("has no value") }
            node = YAMLNode(.scalar(text, isPlain: true), line: 1, column: 1)
        }
        return try schema.value(node, path: name)
    }
}

// MARK: The keys

extension ConfigurationKey {
    static let all: [ConfigurationKey] =
        identity + network
        + [
            ConfigurationKey(
                "logLevel", .text,
                "How much the node writes to its operational log: trace, debug, info, notice, warning or error."
            ) {
                .string($0.logLevel.rawValue)
            } put: { value, configuration in
                guard let level = value.string.flatMap(NodeConfiguration.LogLevel.init) else {
                    return "is one of \(NodeConfiguration.LogLevel.allCases.map(\.rawValue).joined(separator: ", "))"
                }
                configuration.logLevel = level
                return nil
            }
        ] + roles + limits + sync + audit

    private static let identity: [ConfigurationKey] = [
        ConfigurationKey("city", .text, isRequired: true, "The city's id, as in its keyring. It cannot be changed after init.") {
            .string($0.city.text)
        } put: { value, configuration in
            do throws(NameFault) {
                configuration.city = try CityID(value.string ?? "")
                return nil
            } catch {
                return error.description + (error.suggestion.map { "; try \($0)" } ?? "")
            }
        },
        ConfigurationKey("name", .text, isRequired: true, "The city's name, as people read it.") {
            .string($0.name)
        } put: { value, configuration in
            guard let name = value.string, (1...200).contains(name.unicodeScalars.count),
                name == name.printable(charactersMax: 200)
            else {
                return "is 1 to 200 printable characters"
            }
            configuration.name = name
            return nil
        },
        ConfigurationKey("country", .text, "The country, as two capital letters of ISO 3166-1, such as CA.") {
            $0.country.map(JSONValue.string) ?? .null
        } put: { value, configuration in
            guard let country = value.string, country.utf8.count == 2, country.utf8.allSatisfy({ (0x41...0x5A).contains($0) })
            else {
                return "is two capital letters, such as CA"
            }
            configuration.country = country
            return nil
        },
    ]

    private static let network: [ConfigurationKey] = [
        ConfigurationKey(
            "listen", .listOrSingle(.text),
            "Where the node waits for partners, host:port; IPv6 as \"[::]:8471\", in quotes. One, or a list."
        ) {
            .array($0.listen.map(JSONValue.string))
        } put: { value, configuration in
            let addresses = value.array?.compactMap(\.string) ?? []
            guard !addresses.isEmpty, addresses.count <= 16 else { return "is one host:port or up to 16" }
            for address in addresses where HostPort(address) == nil {
                return
                    "'\(address.printable(charactersMax: 80))' is no host:port, such as \(NodeConfiguration.listenDefault) or [::]:8471"
            }
            configuration.listen = addresses
            return nil
        },
        ConfigurationKey(
            "advertise", .listOrSingle(.text),
            "Where partners reach the node, host:port, as its city card tells them. One, or a list; empty: the node only dials."
        ) {
            .array($0.advertise.map(JSONValue.string))
        } put: { value, configuration in
            let addresses = value.array?.compactMap(\.string) ?? []
            guard addresses.count <= 16 else { return "is at most 16 addresses" }
            for address in addresses where HostPort(address).map({ $0.port > 0 }) != true {
                return
                    "'\(address.printable(charactersMax: 80))' is no host:port that a partner can dial, such as hansa.kitchener.ca:8471"
            }
            configuration.advertise = addresses
            return nil
        },
    ]

    private static let roles: [ConfigurationKey] = [
        accounts(
            "roles.admin.users", "Users of this machine who may do everything. The owner of the home always may.",
            \.roles.admin.users),
        accounts("roles.admin.groups", "Groups of this machine whose members may do everything.", \.roles.admin.groups),
        accounts("roles.operator.users", "Users who may publish, check out and sync.", \.roles.operator.users),
        accounts("roles.operator.groups", "Groups whose members may publish, check out and sync.", \.roles.operator.groups),
        accounts("roles.auditor.users", "Users who may read everything and change nothing.", \.roles.auditor.users),
        accounts("roles.auditor.groups", "Groups whose members may read everything and change nothing.", \.roles.auditor.groups),
    ]

    private static let limits: [ConfigurationKey] = [
        number(
            "limits.connectionsMax", 1...65_536, "Connections at once, over all partners and strangers.", \.limits.connectionsMax),
        number(
            "limits.connectionsPerMinutePerAddress", 1...100_000,
            "New connections a minute from one address; further ones are closed.",
            \.limits.connectionsPerMinutePerAddress),
        number(
            "limits.contentBytesInFlight", 4_194_304...17_179_869_184,
            "Content asked for and not yet written, over all partners, in bytes: bounds the node's memory.",
            \.limits.contentBytesInFlight),
        rate("limits.sendRate", "How fast content leaves the node, over all partners.", \.limits.sending.node),
        rate("limits.sendRatePerPartner", "How fast content leaves to each partner.", \.limits.sending.partner),
        ConfigurationKey(
            "limits.sendRates", .listOrSingle(.text),
            "Partners with a rate of their own, such as \"auckland.nz 2MB/s\". One, or a list."
        ) {
            .array(
                $0.limits.sending.partners.sorted { $0.key < $1.key }.map { .string("\($0.key) \(SendingRates.text($0.value))") })
        } put: { value, configuration in
            var partners: [CityID: UInt64?] = [:]
            for text in value.array?.compactMap(\.string) ?? [] {
                let words = text.split(separator: " ")
                guard words.count == 2, let city = try? CityID(String(words[0])), let rate = SendingRates.rate(words[1]) else {
                    return "'\(text.printable(charactersMax: 80))' is no city and rate, such as auckland.nz 2MB/s"
                }
                guard partners.updateValue(rate, forKey: city) == nil else { return "names \(city) twice" }
            }
            configuration.limits.sending.partners = partners
            return nil
        },
        ConfigurationKey(
            "limits.sendWeights", .listOrSingle(.text),
            "Partners that get more of the node's rate than others, such as \"auckland.nz 3\", 1 to 100. One, or a list."
        ) {
            .array($0.limits.sending.weights.sorted { $0.key < $1.key }.map { .string("\($0.key) \($0.value)") })
        } put: { value, configuration in
            var weights: [CityID: UInt64] = [:]
            for text in value.array?.compactMap(\.string) ?? [] {
                let words = text.split(separator: " ")
                guard words.count == 2, let city = try? CityID(String(words[0])), let weight = UInt64(words[1]),
                    (1...SendingRates.weightMax).contains(weight)
                else { return "'\(text.printable(charactersMax: 80))' is no city and weight, such as auckland.nz 3" }
                guard weights.updateValue(weight, forKey: city) == nil else { return "names \(city) twice" }
            }
            configuration.limits.sending.weights = weights
            return nil
        },
        ConfigurationKey(
            "limits.sendSchedule", .listOrSingle(.text),
            "The node's rate by hours of the UTC day, such as \"08:00-18:00 20MB/s\"; the first that holds counts. One, or a list."
        ) {
            .array($0.limits.sending.schedule.map { .string(SendingRates.text($0)) })
        } put: { value, configuration in
            var schedule: [SendingRates.Hours] = []
            for text in value.array?.compactMap(\.string) ?? [] {
                guard let hours = SendingRates.hours(text) else {
                    return "'\(text.printable(charactersMax: 80))' is no span of hours and rate, such as 08:00-18:00 20MB/s"
                }
                schedule.append(hours)
            }
            guard schedule.count <= 48 else { return "is at most 48 spans" }
            configuration.limits.sending.schedule = schedule
            return nil
        },
        rate(
            "limits.collectRate", "How fast a node that serves reads, copies and deletes what no release needs any more.",
            \.limits.collectBytesPerSecond),
    ]

    private static func rate(
        _ name: String, _ summary: String, _ path: any WritableKeyPath<NodeConfiguration, UInt64?> & Sendable
    ) -> ConfigurationKey {
        ConfigurationKey(name, .text, "\(summary) unlimited, or such as 800kB/s, 2.5MB/s, 100Mbit/s.") {
            .string(SendingRates.text($0[keyPath: path]))
        } put: { value, configuration in
            guard let rate = value.string.flatMap({ SendingRates.rate($0) }) else { return SendingRates.form }
            configuration[keyPath: path] = rate
            return nil
        }
    }

    private static let sync: [ConfigurationKey] = [
        number(
            "sync.intervalSeconds", 1...86_400, "How often a session announces its views although nothing changed, in seconds.",
            \.sync.intervalSeconds),
        number(
            "sync.retrySecondsMax", 1...86_400, "The longest wait before an unreachable partner is dialled again, in seconds.",
            \.sync.retrySecondsMax),
    ]

    private static let audit: [ConfigurationKey] = [
        ConfigurationKey(
            "witnesses", .listOrSingle(.text),
            "Partners that cosign our log's checkpoints, so that it cannot be rewritten unseen; they learn its length. One, or a list."
        ) {
            .array($0.witnesses.map { .string($0.text) })
        } put: { value, configuration in
            var cities: [CityID] = []
            for text in value.array?.compactMap(\.string) ?? [] {
                do throws(NameFault) { cities.append(try CityID(text)) } catch {
                    return error.description + (error.suggestion.map { "; try \($0)" } ?? "")
                }
            }
            guard cities.count <= 64, Set(cities).count == cities.count else { return "is at most 64 cities, each once" }
            configuration.witnesses = cities
            return nil
        }
    ]

    private static func number(
        _ name: String, _ range: ClosedRange<Int64>, _ summary: String,
        _ path: any WritableKeyPath<NodeConfiguration, Int> & Sendable
    ) -> ConfigurationKey {
        ConfigurationKey(name, .integer(range), "\(summary) \(range.lowerBound) to \(range.upperBound).") {
            .integer(Int64($0[keyPath: path]))
        } put: { value, configuration in
            guard let number = value.integer else { return "is a whole number" }
            configuration[keyPath: path] = Int(number)
            return nil
        }
    }

    private static func accounts(
        _ name: String, _ summary: String, _ path: any WritableKeyPath<NodeConfiguration, [String]> & Sendable
    ) -> ConfigurationKey {
        ConfigurationKey(name, .list(.text), summary) {
            .array($0[keyPath: path].map(JSONValue.string))
        } put: { value, configuration in
            let names = value.array?.compactMap(\.string) ?? []
            guard names.count <= 256 else { return "is at most 256 names" }
            for name in names where !isAccount(name) {
                return "'\(name.printable(charactersMax: 40))' is no name of a user or group"
            }
            configuration[keyPath: path] = names
            return nil
        }
    }

    // As useradd(8) and nss accept them; a bare number would be mistaken for an id.
    private static func isAccount(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "$"),
                    UInt8(ascii: "\\"):
                    true
                default: false
                }
            } && !name.utf8.allSatisfy { (0x30...0x39).contains($0) } && !name.hasPrefix("-")
    }
}

extension StringProtocol {
    /// Without spaces and tabs at either end.
    var trimmed: String {
        let start = drop { $0 == " " || $0 == "\t" }
        guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return String(start[...last])
    }
}
