// When a changed setting counts, and which ones are no good.
import HansaCore
import HansaYAML
import Testing

@testable import HansaNode

struct ConfigurationEffectTests {
    private let kitchener: TestHome

    init() throws { (kitchener, _) = try TestHome.pair() }

    private func set(_ key: String, _ value: String) throws -> JSONValue {
        try kitchener.node.configSet(kitchener.caller, key: key, value: value, dryRun: false)
    }

    @Test func eachSettingCountsAtOnceAfterARestartOrInTheNextKeyring() {
        func keys(_ effect: ConfigurationEffect) -> Set<String> {
            Set(NodeConfiguration.keys.filter { ConfigurationEffect(of: $0) == effect })
        }
        #expect(
            keys(.restart) == [
                "listen", "limits.connectionsMax", "limits.connectionsPerMinutePerAddress", "limits.contentBytesInFlight",
                "sync.intervalSeconds", "sync.retrySecondsMax",
            ])
        #expect(keys(.nextKeyring) == ["name", "country", "advertise"])
        #expect(
            keys(.now).isSuperset(of: ["logLevel", "witnesses", "roles.admin.users", "limits.sendRate", "limits.collectRate"]))
    }

    @Test func theAnswerSaysWhatIsLeftToDo() throws {
        let name = try set("name", "Kitchener upon Grand")
        #expect(name["takesEffect"] == "next-keyring" && name["try"] == "hansa city renew")
        // No node serves this home: its next start reads it.
        let listen = try set("listen", "127.0.0.1:4711")
        #expect(listen["takesEffect"] == "now" && listen["try"] == nil)
    }

    @Test func aWitnessIsAPartnerAndNotOurselves() throws {
        #expect(problem { _ = try set("witnesses", "kitchener.ca") }?.code == .configInvalid)
        #expect(try set("witnesses", "auckland.nz")["warning"] == nil)
        #expect(try set("witnesses", "oslo.no")["warning"]?.string?.contains("oslo.no") == true)
    }

    @Test func aNearMissIsSaidOnce() {
        let message = problem { _ = try set("lisen", "x") }?.message ?? ""
        #expect(message.components(of: "did you mean") == 2, "\(message)")
    }

    @Test func wordsHaveTheirNumberAndUnits() throws {
        #expect(Words.count(1, "segment") == "1 segment" && Words.count(0, "entry", "entries") == "0 entries")
        #expect(Words.size(999) == "999 B" && Words.size(64_707_000_000) == "64.7 GB" && Words.size(999_960) == "1.0 MB")
        #expect(Words.time(try #require(Timestamp("2026-11-21T15:04:06Z"))) == "2026-11-21 15:04:06 UTC")
    }
}

extension String {
    fileprivate func components(of separator: String) -> Int {
        split(separator: separator, omittingEmptySubsequences: false).count
    }
}
