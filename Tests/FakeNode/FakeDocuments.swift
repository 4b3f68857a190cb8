public import HansaCore

/// Documents in the shapes of CLI.md's table, with a hostile name among them.
public enum FakeDocuments {
    public static let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    public static let fingerprint = "12345 67890 12345 67890 12345 67890 12345 67890"

    public static let partners: JSONValue = [
        "schema": "hansa.partner-list/1",
        "partners": [
            [
                "city": "auckland.nz", "name": "Auckland", "state": "connected", "fingerprint": .string(fingerprint),
                "endpoint": "hansa.auckland.nz:4747", "lastSync": "2026-11-20T09:30:00.000Z", "inSync": true,
            ],
            [
                "city": "boston.gov", "name": "Boston \u{1B}[31mred\u{202E}", "state": "offline",
                "fingerprint": .string(fingerprint), "endpoint": nil,
                "lastSync": nil, "inSync": false,
            ],
        ],
    ]

    public static let status: JSONValue = [
        "schema": "hansa.status/1", "city": "kitchener.ca",
        "attention": [
            [
                "code": "agreement-proposed", "text": "auckland.nz proposes exchange-2026",
                "command": "hansa agreement show exchange-2026",
            ]
        ], "partners": partners["partners"] ?? [], "packages": ["own": 3, "received": 12],
        "log": ["size": 42, "root": .string(digest)], "storage": ["bytes": 123_456_789, "packages": 15],
    ]

    public static let storeCheck: JSONValue = [
        "schema": "hansa.store-check/1", "valid": true, "segments": 1, "records": 9, "bytes": 4096, "releases": 1, "chunks": 3,
        "findingsCount": 0, "findings": [],
    ]

    public static let doctor: JSONValue = [
        "schema": "hansa.doctor/1",
        "checks": [
            ["name": "home", "state": "pass", "text": "owned by hansa"],
            ["name": "clock", "state": "warn", "text": "no time service runs", "fix": "apt-get install chrony"],
            ["name": "log", "state": "pass", "text": "42 entries"],
        ],
    ]

    public static let agreements: JSONValue = [
        "schema": "hansa.agreement-list/1",
        "agreements": [
            [
                "id": "exchange-2026", "digest": .string(digest), "parties": ["kitchener.ca", "auckland.nz"], "state": "active",
                "effective": "2026-12-01", "expires": "2027-11-30",
            ]
        ],
    ]

    public static let packages: JSONValue = [
        "schema": "hansa.package-list/1",
        "packages": [
            [
                "package": "kitchener.ca/roads", "kind": "dataset", "version": "1.0.0", "release": .string(digest),
                "city": "kitchener.ca",
                "tlp": "TLP:GREEN", "title": "Roads", "bytes": 1_234_567, "heads": 1, "origin": "own", "agreements": [],
            ],
            [
                "package": "auckland.nz/pedestrians", "kind": "dataset", "version": "2.1.0", "release": .string(digest),
                "city": "auckland.nz",
                "tlp": "TLP:AMBER+STRICT", "title": "Pedestrians 行人", "bytes": 999, "heads": 1, "origin": "received",
                "agreements": ["exchange-2026"],
            ],
        ],
    ]

    public static let sync: JSONValue = [
        "schema": "hansa.sync/1",
        "partners": [
            [
                "city": "auckland.nz", "state": "in-sync", "reason": nil, "releasesReceived": 2, "releasesSent": 0,
                "contentBytesReceived": 52_000_000,
                "contentBytesSent": 0, "wireBytesReceived": 10_000_000, "wireBytesSent": 4096, "seconds": 1.5,
            ]
        ],
    ]
}
