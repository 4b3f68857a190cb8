// swift-tools-version: 6.2
import PackageDescription

// Warnings are errors only where we ask for it (`make check`, CI): a newer compiler must not break a user's build.
let strict = Context.environment["HANSA_STRICT"] == "1"

// Bugs for the simulator to find (Sources/HansaSync/SeededBug.swift): in no build but `make simulate-bugs`.
let seededBugs = Context.environment["HANSA_SEEDED_BUGS"] == "1"

// The coverage that libFuzzer steers by, in every room: in no build but `make fuzz` (Tests/Fuzz/run).
let fuzzing = Context.environment["HANSA_FUZZ"] == "1"
let sanitizers = ["-sanitize=fuzzer,address"]

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .enableUpcomingFeature("InferIsolatedConformances"),
    ] + (strict ? [.treatAllWarnings(as: .error)] : []) + (seededBugs ? [.define("HANSA_SEEDED_BUGS")] : [])
    + (fuzzing ? [.unsafeFlags(sanitizers)] : [])

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "hansa",
    products: [
        .executable(name: "hansa", targets: ["hansa"]),
        .executable(name: "hansa-simulator", targets: ["HansaSimulator"]),
        .library(name: "HansaTLS", targets: ["HansaTLS"]),
        .library(name: "HansaSync", targets: ["HansaSync", "HansaCore", "HansaCrypto"]),
        .library(name: "HansaContent", targets: ["HansaContent", "HansaCore", "HansaCrypto"]),
        .library(name: "HansaPackages", targets: ["HansaPackages"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "COpenSSL", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CLinux"),
        .target(name: "CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),

        room("HansaCore"),
        room("HansaCrypto", ["HansaCore", "COpenSSL"]),
        room("HansaDocuments", ["HansaCore", "HansaCrypto"]),
        room("HansaTerms", ["HansaCore", "HansaCrypto", "HansaDocuments"]),
        room("HansaYAML", ["HansaCore", "HansaDocuments", "HansaTerms", yams]),
        room("HansaPackages", ["HansaCore", "HansaCrypto", "HansaDocuments"]),
        room("HansaContent", ["HansaCore", "HansaCrypto", "CLinux", "CZstd"]),
        room("HansaLog", ["HansaCore", "HansaCrypto"]),
        room("HansaSync", ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog"]),
        room(
            "HansaStore",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "CLinux",
                "CSQLite",
                grdb,
            ]),
        room("HansaTLS", ["HansaCore", "HansaCrypto", "COpenSSL", nio]),
        room(
            "HansaNode",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaYAML", "HansaPackages", "HansaContent",
                "HansaLog", "HansaSync", "HansaStore", "HansaTLS", "CLinux", nio, nioPosix, logging, lifecycle,
            ]),
        room("HansaAPI", ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaNode", "CLinux", logging, lifecycle]),
        .executableTarget(
            name: "hansa", dependencies: ["HansaCore", "HansaDocuments", "HansaAPI", "HansaNode", arguments, logging, lifecycle],
            swiftSettings: settings),
        room(
            "HansaTestSupport",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "HansaStore",
            ]),
        .executableTarget(name: "HansaSimulator", dependencies: ["HansaTestSupport", arguments], swiftSettings: settings),

        tests("HansaCoreTests", ["HansaCore"]),
        tests("HansaCryptoTests", ["HansaCore", "HansaCrypto"]),
        tests("HansaTLSTests", ["HansaCore", "HansaCrypto", "HansaTLS", nio, nioPosix, nioEmbedded]),
        tests("HansaDocumentsTests", ["HansaCore", "HansaCrypto", "HansaDocuments"]),
        tests("HansaPackagesTests", ["HansaCore", "HansaCrypto", "HansaPackages"]),
        tests(
            "HansaStoreTests",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "HansaStore",
                "HansaTestSupport", grdb,
            ]),
        tests("HansaContentTests", ["HansaCore", "HansaCrypto", "HansaContent"]),
        tests("HansaLogTests", ["HansaCore", "HansaCrypto", "HansaLog"]),
        tests(
            "HansaSyncTests",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "HansaStore",
                "HansaTestSupport",
            ]),
        tests(
            "SimulationTests",
            [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaContent", "HansaLog", "HansaSync", "HansaStore",
                "HansaTestSupport",
            ]),
        tests("HansaTermsTests", ["HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms"]),
        .target(name: "FakeNode", dependencies: ["HansaCore", "HansaNode"], path: "Tests/FakeNode", swiftSettings: settings),
        tests(
            "HansaNodeTests",
            ["HansaAPI", "HansaCore", "HansaCrypto", "HansaDocuments", "HansaLog", "HansaNode", "HansaStore", "HansaSync"]),
        tests(
            "HansaAPITests",
            ["HansaAPI", "HansaCore", "HansaCrypto", "HansaDocuments", "HansaNode", "CLinux", "FakeNode", logging]),
        .testTarget(
            name: "CLITests",
            dependencies: ["hansa", "HansaAPI", "HansaCore", "HansaCrypto", "HansaDocuments", "HansaNode", "FakeNode", logging],
            exclude: ["Transcripts"],
            swiftSettings: settings),
        tests("HansaYAMLTests", ["HansaCore", "HansaDocuments", "HansaTerms", "HansaYAML"]),
        tests("TidyTests", []),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "HansaCore", "HansaCrypto", "HansaDocuments", "HansaTerms", "HansaYAML", "HansaPackages", "HansaContent",
                "HansaLog",
                "HansaSync",
            ], path: "Tests/Fuzz/Targets", swiftSettings: settings),
        tests("FuzzCorpusTests", ["FuzzTargets"]),
        // The tests run the program itself; the dependency has it built.
        tests("EndToEndTests", ["hansa"]),
    ]
        + (fuzzing
            ? [
                .executableTarget(
                    name: "hansa-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver",
                    swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])],
                    linkerSettings: [.unsafeFlags(sanitizers + ["-use-ld=lld"])])
            ] : [])
)
