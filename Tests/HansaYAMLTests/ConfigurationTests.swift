import HansaCore
import Testing

@testable import HansaYAML

@Suite struct ConfigurationTests {
    private let minimal = "city: kitchener.ca\nname: Kitchener\n"

    private func refusal(of text: String) -> YAMLFault? {
        do throws(YAMLFault) {
            _ = try ConfigurationYAML.read(text)
            return nil
        } catch {
            return error
        }
    }

    private func full() throws -> NodeConfiguration {
        var configuration = NodeConfiguration(city: try CityID("kitchener.ca"), name: "Kitchener: \"the city\" #1", country: "CA")
        configuration.listen = ["0.0.0.0:8471", "[::]:8471"]
        configuration.advertise = ["hansa.kitchener.ca:8471"]
        configuration.logLevel = .debug
        configuration.roles.admin = .init(users: ["alice"], groups: ["wheel", "hansa"])
        configuration.roles.auditor.groups = ["audit"]
        configuration.limits.connectionsMax = 12
        configuration.sync.retrySecondsMax = 60
        return configuration
    }

    @Test func aMinimalFileGivesTheDefaults() throws {
        let configuration = try ConfigurationYAML.read(minimal)
        #expect(configuration == NodeConfiguration(city: try CityID("kitchener.ca"), name: "Kitchener"))
        #expect(configuration.listen == ["0.0.0.0:8471"])
        #expect(configuration.value(of: "limits.connectionsMax") == 256)
        #expect(configuration.value(of: "country") == JSONValue.null)
        #expect(configuration.value(of: "nothing") == nil)
        #expect(configuration.origin(of: "city") == .file(line: 1))
        #expect(configuration.origin(of: "listen") == .builtIn)
        #expect(configuration.origin(of: "nothing") == nil)
    }

    @Test func whatIsWrittenReadsBackTheSame() throws {
        for configuration in [try full(), NodeConfiguration(city: try CityID("auckland.nz"), name: "Tāmaki Makaurau / Auckland")]
        {
            let text = ConfigurationYAML.write(configuration)
            #expect(try ConfigurationYAML.read(text) == configuration, "\(text)")
            for key in NodeConfiguration.keys {
                let last = String(key.split(separator: ".")[key.split(separator: ".").count - 1])
                #expect(text.contains(last + ":"), "\(key) is not in the file")
            }
        }
    }

    @Test func theWrittenFileTakesEachKeyAtItsDefaultWhenTheCommentMarkIsRemoved() throws {
        let configuration = NodeConfiguration(city: try CityID("auckland.nz"), name: "Auckland", country: "NZ")
        let lines = ConfigurationYAML.write(configuration).split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let indent = line.prefix { $0 == " " }
            let content = line.dropFirst(indent.count)
            return content.hasPrefix("#") && !content.hasPrefix("# ") ? indent + content.dropFirst() : line
        }
        let read = try ConfigurationYAML.read(lines.joined(separator: "\n"))
        #expect(read == configuration)
        #expect(NodeConfiguration.keys.allSatisfy { read.origin(of: $0) != .builtIn })
    }

    @Test(arguments: [
        ("city: kitchener.ca\nname: K\nlisen: x\n", 3, 1, "did you mean 'listen'"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionMax: 3\n", 4, 3, "did you mean 'connectionsMax'"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionsMax: lots\n", 4, 19, "whole number"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionsMax: \"3\"\n", 4, 19, "whole number"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionsMax: 0\n", 4, 19, "from 1"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionsMax: 0x10\n", 4, 19, "whole number"),
        ("city: kitchener.ca\nname: K\nlimits:\n  connectionsMax: 010\n", 4, 19, "whole number"),
        ("city: kitchener.ca\nname: K\nlimits: 3\n", 3, 9, "is a map"),
        ("city: kitchener.ca\nname: K\nlisten: nowhere\n", 3, 1, "no host:port"),
        ("city: kitchener.ca\nname: K\nlisten: []\n", 3, 1, "host:port"),
        ("city: kitchener.ca\nname: K\nadvertise: [a.ca:0]\n", 3, 1, "partner can dial"),
        ("city: kitchener.ca\nname: K\nlogLevel: loud\n", 3, 1, "is one of trace"),
        ("city: kitchener.ca\nname: K\ncountry: Canada\n", 3, 1, "two capital letters"),
        ("city: kitchener.ca\nname: K\nroles: {admin: {users: [\"a b\"]}}\n", 3, 17, "no name of a user"),
        ("city: kitchener.ca\nname: K\nroles:\n  admin:\n    users: root\n", 5, 12, "is a list"),
        ("city: kitchener.ca\nname: K\nopenByDefault: true\n", 3, 1, "is not in this version"),
        ("city: Kitchener.ca\nname: K\n", 1, 1, "no city id"),
        ("name: K\n", 1, 1, "'city' is missing"),
        ("city: kitchener.ca\n", 1, 1, "'name' is missing"),
        ("city: kitchener.ca\nname:\n", 2, 6, "has no value"),
        ("- a\n", 1, 1, "is a map"),
    ])
    func whatIsWrongIsToldWithItsPlace(text: String, line: Int, column: Int, message: String) throws {
        let fault = try #require(refusal(of: text))
        #expect(fault.message.contains(message), "\(fault)")
        #expect(fault.line == line && fault.column == column, "\(fault)")
    }

    @Test func norwayStaysNorwayAndAMapMayBeLeftEmpty() throws {
        let text = "city: oslo.no\nname: NO\ncountry: NO\nlimits:\n  # connectionsMax: 3\nlisten: [::1]:0\n"
        #expect(refusal(of: text) != nil)
        let quoted = text.replacing("[::1]:0", with: "\"[::1]:0\"")
        let configuration = try ConfigurationYAML.read(quoted)
        #expect(configuration.country == "NO" && configuration.name == "NO" && configuration.listen == ["[::1]:0"])
    }

    @Test func aFlagOrAVariableComesBeforeTheFile() throws {
        var configuration = try ConfigurationYAML.read(minimal + "listen: 127.0.0.1:1\n")
        try configuration.set("listen", to: "127.0.0.1:2", origin: .environment("HANSA_LISTEN"))
        #expect(configuration.listen == ["127.0.0.1:2"])
        #expect(configuration.origin(of: "listen")?.description == "environment HANSA_LISTEN")
        try configuration.set("listen", to: "127.0.0.1:3, [::1]:3", origin: .flag("--listen"))
        #expect(configuration.listen == ["127.0.0.1:3", "[::1]:3"])
        #expect(throws: YAMLFault.self) { try configuration.set("listen", to: "x", origin: .flag("--listen")) }
        #expect(throws: YAMLFault.self) { try configuration.set("listn", to: "127.0.0.1:3", origin: .flag("--listn")) }
        #expect(throws: YAMLFault.self) { try configuration.set("city", to: "", origin: .flag("--city")) }
    }

    @Test func settingAKeyKeepsEverythingElse() throws {
        let text = """
            # Ours.
            city: kitchener.ca   # never changes
            name: "Kitchener"    # the short name

            listen:      # two of them
              - 0.0.0.0:8471
              # the second
              - "[::]:8471"
            # after the list
            limits: {connectionsMax: 10}  # few
            sync:
              # how often
              #intervalSeconds: 900
              retrySecondsMax: 5 # short
            """
        let renamed = try ConfigurationYAML.set(text, "name", "City of \"Kitchener\"")
        #expect(renamed == text.replacing("name: \"Kitchener\"    #", with: "name: \"City of \\\"Kitchener\\\"\"    #") + "\n")
        let retry = try ConfigurationYAML.set(text, "sync.retrySecondsMax", "7")
        #expect(retry == text.replacing("retrySecondsMax: 5 #", with: "retrySecondsMax: 7 #") + "\n")
        let interval = try ConfigurationYAML.set(text, "sync.intervalSeconds", "30")
        #expect(interval == text.replacing("#intervalSeconds: 900", with: "intervalSeconds: 30") + "\n")
        let listen = try ConfigurationYAML.set(text, "listen", "127.0.0.1:9")
        #expect(listen.contains("\nlisten: \"127.0.0.1:9\"\n# after the list\n"))
        let limits = try ConfigurationYAML.set(text, "limits.connectionsPerMinutePerAddress", "9")
        #expect(limits.contains("limits: {connectionsMax: 10, connectionsPerMinutePerAddress: 9}  # few"))
        let level = try ConfigurationYAML.set(text, "logLevel", "debug")
        #expect(level == text + "\nlogLevel: debug\n")
        let admin = try ConfigurationYAML.set(text, "roles.admin.users", "alice,bob")
        #expect(admin == text + "\nroles:\n  admin:\n    users: [alice, bob]\n")
        let groups = try ConfigurationYAML.set(admin, "roles.admin.groups", "[wheel]")
        #expect(try ConfigurationYAML.read(groups).roles.admin == .init(users: ["alice", "bob"], groups: ["wheel"]))
    }

    @Test func everyKeyCanBeSetInTheWrittenFile() throws {
        let values = [
            "name": "Waterloo", "country": "CA", "listen": "127.0.0.1:1,127.0.0.1:2",
            "advertise": "a.ca:1",
            "logLevel": "trace", "limits.sendRate": "20MB/s", "limits.sendRatePerPartner": "unlimited",
            "limits.sendRates": "auckland.nz 2MB/s,oslo.no unlimited", "limits.sendSchedule": "22:00-06:00 1GB/s",
            "witnesses": "auckland.nz,oslo.no", "limits.collectRate": "8MB/s", "limits.sendWeights": "auckland.nz 3,oslo.no 100",
        ]
        var text = ConfigurationYAML.write(NodeConfiguration(city: try CityID("kitchener.ca"), name: "Kitchener"))
        var wanted = try ConfigurationYAML.read(text)
        for key in NodeConfiguration.keys where key != "city" {
            let value = values[key] ?? (key.hasPrefix("roles") ? "alice,bob" : "4200000")
            let number = key == "limits.contentBytesInFlight" || key.hasPrefix("roles") || values[key] != nil ? value : "42"
            let lines = text.split(separator: "\n").count
            text = try ConfigurationYAML.set(text, key, number)
            try wanted.set(key, to: number, origin: .flag("x"))
            #expect(try ConfigurationYAML.read(text) == wanted, "\(key)\n\(text)")
            #expect(text.split(separator: "\n").count == lines, "\(key) is written on its own line")
        }
    }

    @Test func ratesOfSendingAreReadAndWritten() throws {
        var configuration = NodeConfiguration(city: try CityID("kitchener.ca"), name: "Kitchener")
        #expect(configuration.value(of: "limits.sendRate") == "unlimited")
        for (text, rate, shown) in [
            ("800kB/s", 800_000, "800kB/s"), ("2.5MB/s", 2_500_000, "2500kB/s"), ("100Mbit/s", 12_500_000, "12500kB/s"),
            ("1001B/s", 1001, "1001B/s"), ("unlimited", nil, "unlimited"), ("1 GB/s", 1_000_000_000, "1GB/s"),
        ] as [(String, UInt64?, String)] {
            try configuration.set("limits.sendRate", to: text, origin: .flag("x"))
            #expect(configuration.limits.sending.node == rate)
            #expect(configuration.value(of: "limits.sendRate") == .string(shown))
        }
        for text in ["10", "MB/s", "-1MB/s", "1e9B/s", "999B/s", "0.5B/s", "nanMB/s", "infMB/s", "10TB/s", ""] {
            #expect(throws: YAMLFault.self, "\(text)") {
                try configuration.set("limits.sendRatePerPartner", to: text, origin: .flag("x"))
            }
        }
        for text in ["auckland.nz", "auckland.nz 2MB/s,auckland.nz 1MB/s", "no_city 1MB/s", "auckland.nz 2 MB/s x"] {
            #expect(throws: YAMLFault.self, "\(text)") { try configuration.set("limits.sendRates", to: text, origin: .flag("x")) }
        }
        for text in [
            "8:00-18:00 1MB/s", "08:00-24:00 1MB/s", "08:00-08:00 1MB/s", "08:00 1MB/s", "08:00-18:60 1MB/s", "08:00-18:00",
        ] {
            #expect(throws: YAMLFault.self, "\(text)") {
                try configuration.set("limits.sendSchedule", to: text, origin: .flag("x"))
            }
        }
        try configuration.set("limits.sendRate", to: "1MB/s", origin: .flag("x"))
        try configuration.set("limits.sendSchedule", to: "08:00-18:00 2MB/s,22:00-06:30 unlimited", origin: .flag("x"))
        try configuration.set("limits.sendRates", to: "auckland.nz 3MB/s,oslo.no unlimited", origin: .flag("x"))
        try configuration.set("limits.sendRatePerPartner", to: "4MB/s", origin: .flag("x"))
        let rates = configuration.limits.sending
        func node(_ time: String) throws -> UInt64? { rates.node(at: try #require(Timestamp("2026-11-21T\(time):00Z"))) }
        #expect(try node("07:59") == 1_000_000)
        #expect(try node("08:00") == 2_000_000)
        #expect(try node("17:59") == 2_000_000)
        #expect(try node("18:00") == 1_000_000)
        #expect(try node("22:00") == nil)
        #expect(try node("06:29") == nil)
        #expect(try node("06:30") == 1_000_000)
        #expect(rates.partner(try CityID("auckland.nz")) == 3_000_000)
        #expect(rates.partner(try CityID("oslo.no")) == nil)
        #expect(rates.partner(try CityID("boston.gov")) == 4_000_000)
    }

    @Test func settingRefusesWhatTheFileWouldRefuse() {
        #expect(throws: YAMLFault.self) { try ConfigurationYAML.set(minimal, "listn", "a:1") }
        #expect(throws: YAMLFault.self) { try ConfigurationYAML.set(minimal, "listen", "nowhere") }
        #expect(throws: YAMLFault.self) { try ConfigurationYAML.set(minimal, "openByDefault", "true") }
        #expect(throws: YAMLFault.self) { try ConfigurationYAML.set(minimal, "city", "waterloo.ca") }
        #expect(throws: YAMLFault.self) { try ConfigurationYAML.set("name: [", "name", "x") }
    }

    @Test func settingKeepsTheFilesLineEndsAndLeavesWhatItCannotEditToAPerson() throws {
        let windows = "city: kitchener.ca\r\nname: K # short\r\n"
        #expect(try ConfigurationYAML.set(windows, "name", "L") == "city: kitchener.ca\r\nname: L # short\r\n")
        for text in [
            "city: kitchener.ca\r\nname: K\n", "city: kitchener.ca\rname: K\r", "{city: kitchener.ca, name: K}\n",
            "city: kitchener.ca\u{85}name: K\n",
            "city: kitchener.ca\nname: K\n...\n", "? city\n: kitchener.ca\n? name\n: K\n",
        ] {
            // Either it cannot be read so, or it says that a person must; it never says something else.
            do throws(YAMLFault) {
                let changed = try ConfigurationYAML.set(text, "logLevel", "debug")
                #expect(try ConfigurationYAML.read(changed).logLevel == .debug, "\(text)")
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
    }

    @Test(
        arguments: [
            ("0.0.0.0:8471", "0.0.0.0", 8471), ("[::]:8471", "::", 8471), ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
            ("hansa.kitchener.ca:65535", "hansa.kitchener.ca", 65535), ("localhost:0", "localhost", 0),
        ] as [(String, String, UInt16)])
    func anAddressHasAHostAndAPort(text: String, host: String, port: UInt16) {
        #expect(HostPort(text) == HostPort(host: host, port: port))
        #expect(HostPort(text)?.description == text)
    }

    @Test(arguments: [
        "", ":1", "a", "a:", "a:65536", "a:-1", "a:1 ", "::1:1", "[]:1", "[a]:1", "http://a:1", "a/b:1", "a b:1", "-a:1",
        "a:000001",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(HostPort(text) == nil)
    }
}
