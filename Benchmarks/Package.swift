// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that building Hansa never builds a benchmark. Everything that needs no Swift is in `run` and `lib/`.
let package = Package(
    name: "hansa-benchmarks",
    dependencies: [
        // Named, as the directory of a checkout may have any name.
        .package(name: "hansa", path: ".."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    ],
    targets: [
        .executableTarget(
            name: "tls-blast",
            dependencies: [
                .product(name: "HansaTLS", package: "hansa"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault")]),
        .executableTarget(
            name: "stages",
            dependencies: [
                .product(name: "HansaPackages", package: "hansa"), .product(name: "HansaContent", package: "hansa"),
            ],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault")]),
        .executableTarget(
            name: "repair-sets", dependencies: [.product(name: "HansaSync", package: "hansa")],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault")]),
    ])
