// A double of the node for tests of what stands in front of it: canned documents in the shapes of CLI.md's table, real file work, and a record
// of what was asked.
internal import Glibc
public import HansaCore
public import HansaNode
internal import Synchronization

public final class FakeServices: Services {
    public struct Script: Sendable {
        /// By command (`partner list`): thrown instead of an answer.
        public var problems: [String: Problem] = [:]
        /// By command: answered instead of the canned document.
        public var documents: [String: JSONValue] = [:]
        /// Relative paths and contents that `package checkout` writes.
        public var checkoutFiles: [String: [UInt8]] = [
            "data/a.csv": Array("a\n1\n".utf8), "bagit.txt": Array("BagIt-Version: 1.0\n".utf8),
        ]
        /// What `agreement propose|accept|reject|terminate` ask an officer's key to sign.
        public var toSign: (payloadType: String, payload: [UInt8]) = ("", [])
        public var roles: [RoleRule] = []
        public var logEntries: [JSONValue] = []
        /// Called in the middle of `sync`; the conversation tells whether the client is still there.
        public var duringSync: (@Sendable (any Conversation) -> Void)?

        public init() {}
    }

    private struct State {
        var script = Script()
        var calls: [String] = []
        var refusals: [String] = []
        var published: [String: [UInt8]] = [:]
    }

    private let state = Mutex(State())

    public init(_ script: Script = Script()) { state.withLock { $0.script = script } }

    public var script: Script {
        get { state.withLock { $0.script } }
        set { state.withLock { $0.script = newValue } }
    }
    /// `command role account-uid` in the order asked.
    public var calls: [String] { state.withLock { $0.calls } }
    public var refusals: [String] { state.withLock { $0.refusals } }
    /// Bytes that came through descriptors, by `directory number/path`.
    public var published: [String: [UInt8]] { state.withLock { $0.published } }

    private func answer(_ command: String, _ caller: Caller, _ document: @autoclosure () -> JSONValue) throws(Problem)
        -> JSONValue
    {
        let found = state.withLock { state in
            state.calls.append("\(command) \(caller.role.rawValue)")
            return (state.script.problems[command], state.script.documents[command])
        }
        if let problem = found.0 { throw problem }
        return found.1 ?? document()
    }

    // MARK: Whole node

    public func status(_ caller: Caller) throws(Problem) -> JSONValue { try answer("status", caller, FakeDocuments.status) }
    public func doctor(_ caller: Caller) throws(Problem) -> JSONValue { try answer("doctor", caller, FakeDocuments.doctor) }

    public func why(_ caller: Caller, partner: String, package: String) throws(Problem) -> JSONValue {
        try answer(
            "why", caller,
            [
                "schema": "hansa.why/1", "partner": .string(partner), "package": .string(package), "allowed": false,
                "reason": "no-agreement",
                "clause": nil, "agreement": nil, "grant": nil, "until": nil,
            ])
    }

    public func cityCard(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "city card", caller,
            [
                "schema": "hansa.city-card/1", "city": "kitchener.ca",
                "envelopes": [#"{"payloadType":"a"}"#, #"{"payloadType":"b"}"#],
            ])
    }

    public func cityShow(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "city show", caller,
            ["schema": "hansa.city-show/1", "city": "kitchener.ca", "fingerprint": .string(FakeDocuments.fingerprint)])
    }

    public func cityRotate(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem)
        -> JSONValue
    {
        guard request.key == "tls" || request.confirm == "kitchener.ca" || request.dryRun else {
            throw Problem(
                .confirmationNeeded, "another officer's key changes the fingerprint of kitchener.ca",
                try: "hansa city rotate \(request.key ?? "") --confirm kitchener.ca")
        }
        return try answer(
            "city rotate", caller,
            [
                "schema": "hansa.city-rotate/1", "city": "kitchener.ca", "key": JSONValue(request.key), "keyring": 2,
                "changes": [JSONValue(request.key), "expires"], "fingerprint": .string(FakeDocuments.fingerprint),
                "compromised": .bool(request.compromised), "dryRun": .bool(request.dryRun),
            ])
    }

    public func cityRenew(_ caller: Caller, _ request: RotationRequest, officerKey: (any OfficerSigner)?) throws(Problem)
        -> JSONValue
    {
        try answer(
            "city renew", caller,
            [
                "schema": "hansa.city-renew/1", "city": "kitchener.ca", "keyring": 2, "changes": ["expires"],
                "fingerprint": .string(FakeDocuments.fingerprint), "dryRun": .bool(request.dryRun),
            ])
    }

    // MARK: Partners

    public func partnerPause(_ caller: Caller, city: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try answer(
            "partner pause", caller,
            [
                "schema": "hansa.partner-pause/1", "city": .string(city), "state": "paused", "changed": true,
                "dryRun": .bool(dryRun),
            ])
    }

    public func partnerResume(_ caller: Caller, city: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try answer(
            "partner resume", caller,
            [
                "schema": "hansa.partner-resume/1", "city": .string(city), "state": "active", "changed": true,
                "dryRun": .bool(dryRun),
            ])
    }

    public func partnerAdd(
        _ caller: Caller, card: String, fingerprint: String?, trustWithoutComparison: Bool, endpoint: String?, dryRun: Bool
    ) throws(Problem) -> JSONValue {
        guard fingerprint != nil || trustWithoutComparison else {
            throw Problem(
                .fingerprintNeeded, "the card of auckland.nz has the fingerprint \(FakeDocuments.fingerprint)",
                try: "hansa partner add CARDFILE --fingerprint DIGITS")
        }
        return try answer(
            "partner add", caller,
            [
                "schema": "hansa.partner-add/1", "city": "auckland.nz", "fingerprint": .string(FakeDocuments.fingerprint),
                "compared": .bool(fingerprint != nil), "dryRun": .bool(dryRun),
            ])
    }

    public func partnerList(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer("partner list", caller, FakeDocuments.partners)
    }

    public func partnerShow(_ caller: Caller, city: String) throws(Problem) -> JSONValue {
        try answer("partner show", caller, ["schema": "hansa.partner-show/1", "city": .string(city), "state": "connected"])
    }

    public func partnerRemove(_ caller: Caller, city: String, confirm: String?, dryRun: Bool) throws(Problem) -> JSONValue {
        guard dryRun || confirm == city else {
            throw Problem(
                .confirmationNeeded, "removing \(city) needs its name once more",
                try: "hansa partner remove \(city) --confirm \(city)")
        }
        return try answer(
            "partner remove", caller, ["schema": "hansa.partner-remove/1", "city": .string(city), "dryRun": .bool(dryRun)])
    }

    // MARK: Agreements

    public func agreementNew(_ caller: Caller, template: String, with city: String) throws(Problem) -> JSONValue {
        try answer(
            "agreement new", caller,
            ["schema": "hansa.agreement-new/1", "yaml": .string("schema: hansa.agreement/1\nwith: \(city)\n")])
    }
    public func agreementTemplates(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "agreement templates", caller,
            ["schema": "hansa.agreement-templates/1", "templates": [["name": "city-exchange", "title": "Two cities"]]])
    }
    public func agreementCheck(_ caller: Caller, yaml: String) throws(Problem) -> JSONValue {
        try answer(
            "agreement check", caller,
            ["schema": "hansa.agreement-check/1", "valid": true, "bytes": .integer(Int64(yaml.utf8.count))])
    }
    public func agreementPropose(_ caller: Caller, yaml: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    {
        try agreementStep("propose", caller, "exchange-2026", officerKey, dryRun, state: "proposed")
    }
    public func agreementAccept(_ caller: Caller, id: String, officerKey: (any OfficerSigner)?, dryRun: Bool) throws(Problem)
        -> JSONValue
    {
        try agreementStep("accept", caller, id, officerKey, dryRun, state: "active")
    }
    public func agreementReject(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem)
        -> JSONValue
    {
        try agreementStep("reject", caller, id, officerKey, dryRun, state: "rejected")
    }
    public func agreementTerminate(_ caller: Caller, id: String, reason: String, officerKey: (any OfficerSigner)?, dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        try agreementStep("terminate", caller, id, officerKey, dryRun, state: "terminated")
    }
    private func agreementStep(
        _ verb: String, _ caller: Caller, _ id: String, _ signer: (any OfficerSigner)?, _ dryRun: Bool, state: String
    ) throws(Problem) -> JSONValue {
        let wanted = script.toSign
        let signature = try signer?.sign(wanted.payload, payloadType: wanted.payloadType)
        return try answer(
            "agreement \(verb)", caller,
            [
                "schema": .string("hansa.agreement-\(verb)/1"), "id": .string(id), "digest": .string(FakeDocuments.digest),
                "state": .string(state),
                "signature": JSONValue(signature.map { Hex.encode($0.publicKey + $0.signature) }), "dryRun": .bool(dryRun),
            ])
    }
    public func agreementList(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer("agreement list", caller, FakeDocuments.agreements)
    }
    public func agreementShow(_ caller: Caller, id: String, format: String) throws(Problem) -> JSONValue {
        try answer(
            "agreement show", caller,
            [
                "schema": "hansa.agreement-show/1", "id": .string(id), "digest": .string(FakeDocuments.digest),
                "state": "proposed",
                "text": .string("An exchange (\(format))\nwith \u{1B}[31ma colour\n"),
            ])
    }

    // MARK: Access

    public func accessGrant(
        _ caller: Caller, partner: String, pattern: String, agreement: String, level: String, until: String?, ceiling: String?,
        dryRun: Bool
    ) throws(Problem) -> JSONValue {
        try answer(
            "access grant", caller,
            [
                "schema": "hansa.access-grant/1", "grant": "g-0123456789", "partner": .string(partner),
                "pattern": .string(pattern),
                "agreement": .string(agreement), "level": .string(level), "until": JSONValue(until),
                "ceiling": JSONValue(ceiling),
            ])
    }
    public func accessList(_ caller: Caller, partner: String?) throws(Problem) -> JSONValue {
        try answer("access list", caller, ["schema": "hansa.access-list/1", "grants": []])
    }
    public func accessRevoke(_ caller: Caller, grant: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try answer(
            "access revoke", caller, ["schema": "hansa.access-revoke/1", "grant": .string(grant), "dryRun": .bool(dryRun)])
    }
    public func accessTest(_ caller: Caller, partner: String) throws(Problem) -> JSONValue {
        try answer("access test", caller, ["schema": "hansa.access-test/1", "partner": .string(partner), "packages": []])
    }

    // MARK: Packages

    public func packageNew(_ caller: Caller, kind: String, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        let listing = try reader.listing()
        let names = listing.entries.filter { $0.kind == .file }.map(\.path).sorted()
        return try answer(
            "package new", caller,
            [
                "schema": "hansa.package-new/1",
                "datapackage": .string("{\"resources\":[\(names.map { "\"\($0)\"" }.joined(separator: ","))]}\n"),
            ])
    }

    public func packageCheck(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        try read("package check", caller, reader)
    }
    public func packageDiff(
        _ caller: Caller, from first: String, to second: String, limit: Int, conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        try answer(
            "package diff", caller,
            [
                "schema": "hansa.package-diff/1", "from": ["package": .string(first)], "to": ["package": .string(second)],
                "equal": .bool(first == second), "limit": JSONValue(limit),
            ])
    }
    public func conflictList(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer("conflict list", caller, ["schema": "hansa.conflict-list/1", "conflicts": []])
    }
    public func conflictShow(_ caller: Caller, package: String) throws(Problem) -> JSONValue {
        try answer("conflict show", caller, ["schema": "hansa.conflict-show/1", "package": .string(package), "conflicts": []])
    }
    public func conflictResolve(_ caller: Caller, package: String, take reference: String?, merge: Bool, dryRun: Bool)
        throws(Problem) -> JSONValue
    {
        try answer(
            "conflict resolve", caller,
            [
                "schema": "hansa.conflict-resolve/1", "package": .string(package), "take": JSONValue(reference),
                "merge": .bool(merge),
            ])
    }
    public func conflictMerge(
        _ caller: Caller, package: String, with reference: String?, publish: Bool, limit: Int, dryRun: Bool,
        sink: (any CheckoutSink)?,
        conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        try answer(
            "conflict merge", caller,
            ["schema": "hansa.conflict-merge/1", "package": .string(package), "clean": true, "conflicts": 0, "files": []])
    }
    public func restore(
        _ caller: Caller, _ request: RotationRequest, against checkpoint: String?, officerKey: (any OfficerSigner)?
    ) throws(Problem) -> JSONValue {
        try answer(
            "restore", caller,
            ["schema": "hansa.restore/1", "packages": 0, "raisedBy": 1_048_576, "dryRun": .bool(request.dryRun)])
    }
    public func packageVerify(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        try read("package verify", caller, reader)
    }

    /// Valid when every file holds at least a byte.
    private func read(_ command: String, _ caller: Caller, _ reader: any DirectoryReader) throws(Problem) -> JSONValue {
        let paths = try reader.listing().entries.filter { $0.kind == .file }.map(\.path).sorted()
        let files = try Self.contents(try reader.open(paths))
        let findings = zip(paths, files).filter { $0.1.isEmpty }.map { path, _ -> JSONValue in
            ["file": .string(path), "problem": "is empty"]
        }
        return try answer(
            command, caller,
            [
                "schema": .string("hansa.\(command.replacing(" ", with: "-"))/1"), "package": "kitchener.ca/roads",
                "version": "1.0.0",
                "release": .string(FakeDocuments.digest), "valid": .bool(findings.isEmpty), "findings": .array(findings),
            ])
    }

    public func packagePublish(_ caller: Caller, options: PublishOptions, source: any PublishSource) throws(Problem) -> JSONValue
    {
        var packages: [JSONValue] = []
        var faults: [Problem] = []
        while let listings = try source.nextListings() {
            var files: [(directory: Int, path: String)] = []
            for listing in listings {
                if let fault = listing.fault {
                    faults.append(fault)
                    packages.append([
                        "path": .string(listing.path),
                        "error": ["code": .string(fault.code.rawValue), "message": .string(fault.message)],
                    ])
                    continue
                }
                let own = listing.entries.filter { $0.kind == .file && !$0.path.hasPrefix(".") }
                for hidden in listing.entries where hidden.path.hasPrefix(".") { source.warn("\(hidden.path) is left out") }
                files += own.map { (listing.number, $0.path) }
                packages.append([
                    "package": .string("kitchener.ca/\(listing.derivedName ?? "?")"), "kind": "dataset",
                    "version": .string(options.version ?? "1.0.0"),
                    "release": .string(FakeDocuments.digest), "bytes": JSONValue(own.reduce(0) { $0 + $1.size }),
                    "files": JSONValue(own.count),
                    "chunks": 1, "newChunks": 1, "storedBytes": 1234, "unchanged": false,
                ])
            }
            var start = 0
            while start < files.count {
                let batch = Array(files[start..<min(files.count, start + 64)])
                let contents = try Self.contents(try source.open(batch))
                state.withLock { state in
                    for (file, bytes) in zip(batch, contents) { state.published["\(file.directory)/\(file.path)"] = bytes }
                }
                start += batch.count
                source.report(
                    Progress(item: batch[0].path, bytesDone: 1, bytesTotal: nil, itemsDone: start, itemsTotal: files.count))
            }
        }
        // As the node does: the only directory's fault is the command's.
        if packages.count == 1, let fault = faults.first { throw fault }
        let members = packages.count == 1 ? packages[0].object ?? [] : [JSONMember("packages", .array(packages))]
        return try answer("package publish", caller, .object([JSONMember("schema", "hansa.package-publish/1")] + members))
    }

    public func packageList(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer("package list", caller, FakeDocuments.packages)
    }
    public func packageShow(_ caller: Caller, reference: String) throws(Problem) -> JSONValue {
        try answer("package show", caller, ["schema": "hansa.package-show/1", "package": .string(reference), "bytes": 1_234_567])
    }
    public func packageHistory(_ caller: Caller, package: String) throws(Problem) -> JSONValue {
        try answer("package history", caller, ["schema": "hansa.package-history/1", "package": .string(package), "releases": []])
    }

    public func packageCheckout(
        _ caller: Caller, reference: String, payload: Bool, purpose: String?, force: Bool, dryRun: Bool, sink: any CheckoutSink
    ) throws(Problem) -> JSONValue {
        let wanted = script.checkoutFiles
        let standing = try sink.listing(of: "").filter { $0.kind == .file }.map(\.path)
        let missing = wanted.keys.filter { !standing.contains($0) || force }.sorted()
        if !dryRun {
            for (path, file) in zip(missing, try sink.create(missing)) {
                let bytes = wanted[path] ?? []
                _ = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
                close(file)
            }
            if let problem = script.problems["package checkout halfway"] { throw problem }
            try sink.commit(missing)
            try sink.remove(standing.filter { wanted[$0] == nil && $0.hasPrefix("data/") })
        }
        return try answer(
            "package checkout", caller,
            [
                "schema": "hansa.package-checkout/1", "package": .string(reference), "version": "1.0.0",
                "release": .string(FakeDocuments.digest),
                "directory": "", "bytes": JSONValue(wanted.values.reduce(0) { $0 + $1.count }), "files": JSONValue(wanted.count),
                "written": JSONValue(missing.count), "removed": 0,
            ])
    }

    public func packageWithdraw(_ caller: Caller, package: String, reason: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try answer(
            "package withdraw", caller,
            ["schema": "hansa.package-withdraw/1", "package": .string(package), "dryRun": .bool(dryRun)])
    }

    // MARK: The rest

    public func sync(
        _ caller: Caller, partners: [String], wait: Bool, timeoutSeconds: Int?, dryRun: Bool, conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        script.duringSync?(conversation)
        return try answer("sync", caller, FakeDocuments.sync)
    }

    public func auditLog(_ caller: Caller, filter: LogFilter, emit: (([JSONValue]) throws(Problem) -> Void)?) throws(Problem)
        -> JSONValue
    {
        let entries = script.logEntries
        if let emit {
            var start = 0
            while start < entries.count {
                try emit(Array(entries[start..<min(entries.count, start + 1000)]))
                start += 1000
            }
            return try answer("audit log", caller, ["schema": "hansa.audit-log/1"])
        }
        return try answer("audit log", caller, ["schema": "hansa.audit-log/1", "entries": .array(entries)])
    }
    public func auditShow(_ caller: Caller, index: UInt64, log: Int?) throws(Problem) -> JSONValue {
        try answer("audit show", caller, ["schema": "hansa.audit-show/1", "index": JSONValue(index)])
    }
    public func auditVerify(_ caller: Caller, against checkpoint: String?) throws(Problem) -> JSONValue {
        try answer(
            "audit verify", caller,
            ["schema": "hansa.audit-verify/1", "valid": true, "size": 12, "root": .string(FakeDocuments.digest), "findings": []])
    }
    public func storeCheck(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue {
        try answer("store check", caller, FakeDocuments.storeCheck)
    }
    public func storeRebuild(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue {
        try answer(
            "store rebuild", caller,
            [
                "schema": "hansa.store-rebuild/1", "placed": 0, "stillLost": 0, "dryRun": .bool(dryRun), "valid": true,
                "segments": 1,
                "records": 9, "bytes": 4096, "releases": 1, "chunks": 3, "findingsCount": 0, "findings": [],
            ])
    }
    public func storeCollect(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue {
        try answer(
            "store collect", caller,
            [
                "schema": "hansa.store-collect/1", "dryRun": .bool(dryRun), "releasesGivenUp": 1, "chunks": 3, "chunksWaiting": 0,
                "segments": 1, "bytesCopied": 100, "bytesFreed": 4096, "bytesDeleted": 4096, "bytesWaiting": 0, "damaged": 0,
            ])
    }
    public func storeStats(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue {
        try answer(
            "store stats", caller,
            [
                "schema": "hansa.store-stats/1", "segments": 1, "diskBytes": 4096, "rawBytes": 9000, "storedBytes": 3000,
                "reclaimableBytes": 0,
                "releases": 1,
                "chunks": 3, "packages": [],
            ])
    }
    public func auditCheckpoint(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "audit checkpoint", caller,
            ["schema": "hansa.audit-checkpoint/1", "note": "kitchener.ca/log\n12\nAAAA\n\n— kitchener.ca/log BBBB\n"])
    }
    public func auditEvents(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "audit events", caller,
            ["schema": "hansa.audit-events/1", "events": [["event": "release.published", "text": "a release was signed"]]])
    }
    public func configShow(_ caller: Caller) throws(Problem) -> JSONValue {
        try answer(
            "config show", caller,
            ["schema": "hansa.config-show/1", "settings": [["key": "listen", "value": "0.0.0.0:4747", "origin": "hansa.yaml"]]])
    }
    public func configSet(_ caller: Caller, key: String, value: String, dryRun: Bool) throws(Problem) -> JSONValue {
        try answer(
            "config set", caller,
            ["schema": "hansa.config-set/1", "key": .string(key), "value": .string(value), "dryRun": .bool(dryRun)])
    }

    public func roleRules() -> [RoleRule] { script.roles }
    public func noteRefusal(uid: UInt32, account: String, role: Role?, command: String?, merged: Int) {
        state.withLock { $0.refusals.append("\(uid) \(role?.rawValue ?? "-") \(command ?? "-")") }
    }

    /// Reads each to its end and closes it.
    private static func contents(_ descriptors: [CInt]) throws(Problem) -> [[UInt8]] {
        descriptors.map { descriptor in
            defer { close(descriptor) }
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let got = Glibc.read(descriptor, &buffer, buffer.count)
                if got <= 0 { return bytes }
                bytes += buffer[..<got]
            }
        }
    }
}
