// Imports point to the left and up in the list of modules (Sources/ARCHITECTURE.md), and pure modules know no outside world.
import Foundation
import Testing

struct ImportTests {
    /// Rooms by what they may import of ours, in the order of the house: a room sees only rooms above it.
    private static let rooms: [(name: String, imports: Set<String>)] = [
        ("CLinux", []), ("COpenSSL", []), ("CSQLite", []), ("CZstd", []),
        ("HansaCore", []),
        ("HansaCrypto", ["HansaCore", "COpenSSL"]),
        ("HansaDocuments", ["HansaCore", "HansaCrypto"]),
        ("HansaTerms", ["HansaCore", "HansaCrypto", "HansaDocuments"]),
        ("HansaYAML", ["HansaCore", "HansaDocuments", "HansaTerms"]),
        ("HansaPackages", ["HansaCore", "HansaCrypto", "HansaDocuments"]),
        ("HansaContent", ["HansaCore", "HansaCrypto", "CLinux", "CZstd"]),
        ("HansaLog", ["HansaCore", "HansaCrypto"]),
        ("HansaSync", ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog"]),
        (
            "HansaStore",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "CLinux",
                "CSQLite",
            ]
        ),
        ("HansaTLS", ["HansaCore", "HansaCrypto", "COpenSSL"]),
        (
            "HansaNode",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaYAML", "HansaPackages", "HansaContent",
                "HansaLog",
                "HansaSync", "HansaStore", "HansaTLS", "CLinux",
            ]
        ),
        ("HansaAPI", ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaNode", "CLinux"]),
        ("hansa", ["HansaCore", "HansaDocuments", "HansaAPI", "HansaNode"]),
        (
            "HansaTestSupport",
            ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "HansaStore"]
        ),
        ("HansaSimulator", ["HansaTestSupport"]),
    ]

    /// What is not ours, by room. A room that is not here imports nothing of the kind.
    private static let outside: [String: Set<String>] = [
        "HansaYAML": ["Yams"],
        // A pool of compressors that threads share, and memcmp.
        "HansaContent": ["Synchronization", "Glibc"],
        // The memory of what simulations read again and again.
        "HansaDocuments": ["Synchronization"],
        // A mutex around what the publishing and the pulling worker of one session share.
        "HansaSync": ["Synchronization"],
        "HansaStore": ["GRDB", "GRDBSQLite", "Dispatch", "Synchronization", "Glibc", "Foundation"],
        "HansaTLS": ["NIOCore", "Synchronization"],
        "HansaNode": [
            "Foundation", "Glibc", "Synchronization", "Dispatch", "Logging", "NIOCore", "NIOPosix", "ServiceLifecycle",
            "UnixSignals",
        ],
        "HansaAPI": ["Foundation", "Glibc", "Synchronization", "Dispatch", "Logging", "ServiceLifecycle"],
        "hansa": ["Foundation", "Glibc", "ArgumentParser", "Logging", "ServiceLifecycle", "Synchronization"],
        "HansaTestSupport": ["Foundation", "Glibc", "Synchronization"],
        "HansaSimulator": ["ArgumentParser", "Foundation", "Synchronization"],
        // OpenSSL's callbacks and key files speak C's types; a mutex around what simulations remember of signatures.
        "HansaCrypto": ["Glibc", "Synchronization"],
    ]

    /// The only pure rooms with a use for Foundation: its JSON decoder, for signed documents, descriptions and entries.
    private static let readsJSON: Set<String> = ["HansaDocuments", "HansaPackages", "HansaLog"]

    private static let pure = [
        "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaYAML", "HansaPackages", "HansaContent", "HansaLog",
        "HansaSync",
    ]

    @Test func everyRoomIsInTheListAndLooksOnlyUpwards() throws {
        let names = Self.rooms.map(\.name)
        #expect(Set(try SourceTree.directories("Sources")).subtracting(names) == [], "a room without rules")
        for (place, room) in Self.rooms.enumerated() {
            #expect(room.imports.subtracting(names[..<place]) == [], "\(room.name) may import what stands below it")
        }
    }

    @Test func aRoomImportsOnlyWhatItMay() throws {
        let ours = Set(Self.rooms.map(\.name))
        var offences: [String] = []
        for room in Self.rooms {
            for file in try SourceTree.swiftFiles("Sources/" + room.name) {
                for (number, module) in file.imports where module != "Swift" {
                    let isAllowed =
                        if ours.contains(module) {
                            room.imports.contains(module)
                        } else {
                            Self.outside[room.name, default: []].contains(module)
                                || module == "Foundation" && Self.readsJSON.contains(room.name) && Self.usesOnlyJSON(file)
                        }
                    if !isAllowed { offences.append("\(file.path):\(number) imports \(module)") }
                }
            }
        }
        #expect(offences == [])
    }

    @Test func thePackageGivesEachRoomOnlyWhatTheRulesAllow() throws {
        // What a target does not depend on cannot be imported by accident; SwiftPM checks that only as far as the manifest goes.
        let manifest = try SourceTree.text("Package.swift").replacing("\n", with: " ")
        for room in Self.rooms where room.name.hasPrefix("Hansa") {
            guard let start = manifest.range(of: "room(\"\(room.name)\""),
                let end = manifest.range(of: ")", range: start.upperBound..<manifest.endIndex)
            else { continue }
            let named = manifest[start.upperBound..<end.lowerBound].split(separator: "\"").filter {
                $0.hasPrefix("Hansa") || $0.hasPrefix("C")
            }
            #expect(Set(named.map(String.init)).subtracting(room.imports) == [], "\(room.name) in Package.swift")
        }
    }

    @Test func onlyTheStoreKnowsTheDatabaseAndOnlyTwoRoomsKnowOpenSSL() throws {
        var offences: [String] = []
        for file in try SourceTree.swiftFiles("Sources") {
            for (number, module) in file.imports {
                let keepers: Set<String>? =
                    switch module {
                    case "GRDB", "GRDBSQLite", "SQLite3", "CSQLite": ["HansaStore"]
                    case "COpenSSL": ["HansaCrypto", "HansaTLS"]
                    case "CZstd": ["HansaContent"]
                    case "Yams": ["HansaYAML"]
                    case "ArgumentParser": ["hansa", "HansaSimulator"]
                    case "Crypto", "NIOSSL", "CryptoKit": []
                    default: nil
                    }
                if let keepers, !keepers.contains(file.module) { offences.append("\(file.path):\(number) imports \(module)") }
            }
        }
        #expect(offences == [])
    }

    /// A pure module is given time and randomness as values; it starts nothing and waits for nobody.
    @Test func pureModulesKnowNoClockNoTaskAndNoRandomness() throws {
        let forbidden: [(name: String, expression: Regex<Substring>)] = [
            ("Date()", /\bDate\(\)/), ("a clock", /\b(?:ContinuousClock|SuspendingClock|DispatchTime|clock_gettime)\b/),
            ("randomness", /\bSystemRandomNumberGenerator\b|\.random\(|\.randomElement\(|\.shuffled\(\)/),
            ("UUID()", /\bUUID\(\)/),
            ("a task", /\bTask\s*(?:\{|\(|\.)|\bwithTaskGroup\b|\bwithThrowingTaskGroup\b|\basync\b|\bawait\b/),
            ("an environment", /\bProcessInfo\b|\bgetenv\b/),
        ]
        let suspicious = [
            "Date", "Clock", "DispatchTime", "clock_gettime", "andom", "shuffled", "UUID", "Task", "async", "await",
            "ProcessInfo", "getenv",
        ]
        var offences: [String] = []
        for module in Self.pure {
            for file in try SourceTree.swiftFiles("Sources/" + module) {
                for (number, line) in file.code {
                    // Most lines name none of it; a regular expression for each would take most of the tests' time.
                    guard suspicious.contains(where: { line.contains($0) }) else { continue }
                    for (name, expression) in forbidden where line.contains(expression) {
                        offences.append("\(file.path):\(number) uses \(name)")
                    }
                }
            }
        }
        #expect(offences == [])
    }

    private static func usesOnlyJSON(_ file: SourceFile) -> Bool {
        // Of Foundation these files take the decoder and Data, and nothing that reaches a disk, a clock or a network.
        !file.text.contains(/\b(FileManager|FileHandle|URLSession|ProcessInfo|Timer|RunLoop|NSLock|Thread)\b/)
    }
}
