// From a directory to a node: making a home, opening one, serving.
internal import CLinux
internal import Foundation
internal import Glibc
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
public import ServiceLifecycle
internal import UnixSignals

/// An opened home: the services, and letting go of them.
public protocol NodeHandle: Services {
    func close() throws(Problem)
}

public enum NodeBootstrap {
    /// Where the running node of a home listens for commands.
    public static func socketPath(home: String) -> String { HomePaths(home).socket }

    // MARK: init

    /// Makes a home: keys, keyring version 1, configuration, database, log. The configuration is written last: without it there is no node, and
    /// running `init` again goes on with the keys that are there.
    public static func initialize(
        home: String, city: String, name: String, country: String?, listen: String?, advertise: [String]
    ) throws(Problem) -> JSONValue {
        let paths = HomePaths(home)
        let id: CityID
        do { id = try CityID(city) } catch {
            throw Problem(
                .badName, error.description,
                try: error.suggestion.map { "hansa init --city \($0) --name …" }
                    ?? "the name of the city's own domain, such as kitchener.ca")
        }
        guard !name.isEmpty, name.count <= 200, name == name.printable() else {
            throw Problem(.usage, "a city's name has 1 to 200 printable characters", try: "--name 'City of Kitchener'")
        }
        if let country, country.count != 2 || !country.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) {
            throw Problem(
                .usage, "'\(country.printable())' is no country code: two capital letters (ISO 3166-1)", try: "--country CA")
        }
        var configuration = NodeConfiguration(city: id, name: name, country: country)
        if let listen {
            _ = try Endpoint.parse(listen)
            configuration.listen = [listen]
        }
        for endpoint in advertise { _ = try Endpoint.parse(endpoint) }
        configuration.advertise = advertise
        guard !paths.isInitialised else {
            throw Problem(.homeExists, "\(paths.home) is a node's home already", try: "hansa city show --home \(paths.home)")
        }
        do throws(HomeFault) { try paths.create() } catch { throw problem(error) }
        let lock = try acquire(paths, "hansa init", wait: 0)
        let now = SystemClock().now
        let random = SystemRandom()

        let officer = try key(paths.officerKey)
        let package = try key(paths.packageKey)
        let logKey = try key(paths.logKey)
        let witness = try key(paths.witnessKey)
        let ends = now.adding(seconds: Node.keyringDays * 86_400)
        let tls = try tlsIdentity(paths.tlsKey, id, now, KeyringChange.pinEnd(keyring: ends))
        let fault = FatalSwitch(Logger(label: "hansa"))
        let (keyring, envelope) = try wrapped {
            let keyring = try Keyring(
                version: 1, expires: Timestamp(seconds: ends.milliseconds / 1000), city: id, name: name, country: country,
                endpoints: advertise,
                officers: [officer.publicKey], officerThreshold: 1, packageKeys: [package.publicKey], packageThreshold: 1,
                logKeys: [logKey.publicKey],
                tlsPins: [TLSPin(spki: tls.spkiHash, notAfter: Timestamp(seconds: tls.notAfter.milliseconds / 1000))],
                log: try NoteKey(
                    name: "\(id)/log", vkey: VerifierKey(name: "\(id)/log", algorithm: .ed25519, key: logKey.publicKey).text),
                witness: try NoteKey(
                    name: "\(id)/witness",
                    vkey: VerifierKey(name: "\(id)/witness", algorithm: .cosignature, key: witness.publicKey).text),
                nextKeyHashes: [], revoked: [])
            return (keyring, keyring.signed(with: [officer]))
        }
        let node = try open(
            paths, lock: lock, configuration: configuration, now: now, random: random, log: Logger(label: "hansa"), fatal: fault,
            created: (keyring, envelope))
        try node.change { tx in
            if try tx.keyring(of: id, version: 1) == nil {
                try tx.insertKeyring(envelope, keyring)
                try tx.log(
                    LogDraft(
                        .identityCreated,
                        details: ["city": .string(id.text), "fingerprint": .string(keyring.fingerprint.description)]))
            }
            return ((), ExchangeChanges())
        }
        let fingerprint = try node.read { try $0.currentKeyring(of: id) }?.fingerprint ?? keyring.fingerprint
        try node.guarded {
            let current = try node.metadata.read { try $0.keyringEnvelopes(of: id) }.last ?? envelope
            let disk = try PosixDisk(root: paths.home)
            try disk.writeAtomically("keyring/1.dsse.json", current.json())
            try disk.writeAtomically("hansa.yaml", Array(ConfigurationYAML.write(configuration).utf8))
        }
        try node.close()
        return [
            "schema": "hansa.init/1", "city": .string(id.text), "fingerprint": .string(fingerprint.description),
            "home": .string(paths.home),
        ]
    }

    private static func key(_ path: String) throws(Problem) -> Ed25519PrivateKey {
        try wrapped {
            if access(path, F_OK) == 0 { return try Ed25519PrivateKey(pem: try KeyFile.read(path: path)) }
            let key = Ed25519PrivateKey.generate()
            try KeyFile.create(path: path, contents: key.pem())
            return key
        }
    }

    private static func tlsIdentity(_ path: String, _ city: CityID, _ now: Timestamp, _ ends: Timestamp) throws(Problem)
        -> TLSIdentity
    {
        try wrapped {
            if access(path, F_OK) == 0 { return try TLSIdentity(pem: try KeyFile.read(path: path)) }
            // A clock that is a little behind at the other end must not find it not yet valid.
            let identity = try TLSIdentity.generate(
                commonName: city.text, notBefore: now.adding(seconds: -86_400), notAfter: ends)
            try KeyFile.create(path: path, contents: identity.pem())
            return identity
        }
    }

    /// The database is there, and no database of this home.
    private static let rebuildRemedy =
        "stop the node, move hansa.sqlite, hansa.sqlite-wal and hansa.sqlite-shm away, then: hansa store rebuild --dry-run"

    /// A part of the home is not there.
    static let goneRemedy = "is the disk mounted? else bring the whole home back from a backup"

    static func wrapped<T>(_ body: () throws -> T) throws(Problem) -> T {
        do { return try body() } catch let problem as Problem { throw problem } catch let fault as KeyFileFault {
            throw Problem(.keyUnsafe, fault.description, try: "chmod 0600 the key, or restore keys/ from a backup")
        } catch let fault as StoreFault {
            if case .damaged(let what) = fault {
                throw Problem(
                    .contentDamaged, "damaged: \(what)",
                    try: rebuildRemedy
                )
            }
            throw Problem(.inputOutput, "\(fault)", try: "hansa doctor")
        } catch let fault as SegmentStoreFault {
            if case .nothingThere = fault {
                throw Problem(.contentDamaged, "\(fault)", try: NodeBootstrap.goneRemedy)
            }
            throw Problem(.inputOutput, "\(fault)", try: "hansa doctor")
        } catch {
            throw Problem(.internalFault, "\(error)")
        }
    }

    static func problem(_ fault: HomeFault) -> Problem {
        switch fault {
        case .missing(let path): Problem(.homeMissing, "\(path) does not exist", try: "mkdir -p \(path)")
        case .notEmpty: Problem(.homeExists, fault.description, try: "hansa init --home NEWDIR")
        case .unsafe: Problem(.homeUnsafe, fault.description, try: "chown and chmod it as the message says, then: hansa doctor")
        case .inUse(_, let pid, _): Problem(.homeInUse, fault.description, try: pid.map { "ps -p \($0)" } ?? "hansa status")
        case .failed: Problem(.inputOutput, fault.description)
        }
    }

    /// That all parts of a home stand where they should, and are ours alone.
    static func check(_ paths: HomePaths) throws(Problem) {
        do throws(HomeFault) { try paths.check() } catch {
            if case .missing = error { throw Problem(.homeMissing, error.description, try: goneRemedy) }
            throw problem(error)
        }
    }

    static func acquire(_ paths: HomePaths, _ command: String, wait milliseconds: Int) throws(Problem) -> HomeLock {
        do throws(HomeFault) { return try HomeLock.acquire(paths, command: command, waitMilliseconds: milliseconds) } catch {
            throw problem(error)
        }
    }

    // MARK: open

    private static func open(
        _ paths: HomePaths, lock: HomeLock, configuration: NodeConfiguration, now: Timestamp, random: any RandomSource,
        log: Logger, fatal: FatalSwitch,
        created: (Keyring, Envelope)? = nil
    ) throws(Problem) -> Node {
        hansa_keep_blocks_in_heap()
        return try wrapped {
            let disk = try PosixDisk(root: paths.home)
            let metadata = try SQLiteStore(path: paths.database, random: random) { fatal.trip("\($0)") }
            let (content, recovery) = try SegmentStore.open(
                disk: disk, bytesTarget: StorePace.current.segmentBytes, named: Set(try metadata.segmentEnds().keys),
                durable: try metadata.durableMarks())
            if !recovery.setAside.isEmpty {
                log.warning(
                    "segments had torn tails after a crash; they were set aside", metadata: ["segments": "\(recovery.setAside)"])
            }
            if !recovery.mended.isEmpty {
                log.warning(
                    "headers of segments were damaged; they were written anew", metadata: ["segments": "\(recovery.mended)"])
            }
            if !recovery.lost.isEmpty {
                log.error(
                    "segments are shorter than the database says, or gone; what cannot be read of them is damaged, and heals",
                    metadata: ["segments": "\(recovery.lost)"])
            }
            let envelopes = try metadata.read { try $0.keyringEnvelopes(of: configuration.city) }
            guard let envelope = envelopes.last ?? created?.1 else {
                throw Problem(
                    .keyringInvalid,
                    "the database of \(paths.home) has no keyring of \(configuration.city): it is another city's, or damaged",
                    try: rebuildRemedy)
            }
            let keyring = try Keyring(envelope)
            let history = try envelopes.map { try Keyring($0) }
            let accounts: [UInt8]
            if let known = try metadata.read({ try $0.value("log.accounts") }) {
                accounts = known
            } else {
                accounts = random.bytes(32)
                try metadata.write(at: now) { try $0.setValue("log.accounts", accounts) }
            }
            // A rotation that was cut off behind its transaction is finished here.
            let keys = try KeyCabinet(paths: paths).load(keyring, history: history, accounts: accounts)
            for (envelope, version) in zip(envelopes, history) where access(paths.keyring(version: version.version), F_OK) != 0 {
                try Node.writeKeyring(envelope, version: version.version, paths)
            }
            let signer = try LogSigner(origin: keyring.log.name, key: keys.log)
            // A crash may have come between a log key's rotation and the checkpoint that its successor signs.
            let logs = try LogChain(history.isEmpty ? [keyring] : history)
            let former = logs.current.keys.filter { $0 != signer.verifierKey }
            let service: LogService
            do {
                service = try LogService(
                    store: metadata, storage: try Node.logStorage(logs.current.number, paths), signer: signer,
                    former: former
                ) { fatal.trip("\($0)") }
            } catch let fault as DiskFault {
                throw Problem(.logDamaged, "the log cannot be read, so the node does not start: \(fault)", try: goneRemedy)
            } catch LogFault.checkpointMissing(let first) {
                throw Problem(
                    .logDamaged, "the node does not start: \(LogFault.checkpointMissing(first: first))", try: goneRemedy)
            } catch {
                throw Problem(
                    .logDamaged, "the log contradicts itself, so the node does not start: \(error)",
                    try: "keep a copy of log/ as it is, then bring the last backup back (OPERATIONS, The log does not verify)")
            }
            return Node(
                paths: paths, lock: lock, configuration: configuration,
                identity: NodeIdentity(keyring: keyring, envelope: envelope, keys: keys), metadata: metadata, content: content,
                lostSegments: Set(recovery.lost),
                logService: service, clock: SystemClock(), random: random, log: log,
                fatal: fatal)
        }
    }

    static func openHome(_ home: String, command: String, wait milliseconds: Int, log: (NodeConfiguration) -> Logger)
        throws(Problem) -> Node
    {
        let paths = HomePaths(home)
        guard paths.isInitialised else {
            throw Problem(
                .homeMissing, "there is no Hansa home at \(paths.home)",
                try: "hansa init --home \(paths.home) --city ID --name TEXT")
        }
        try check(paths)
        guard access(paths.database, F_OK) == 0 else {
            // Opening would make an empty one, and hide what is missing.
            throw Problem(
                .contentDamaged, "\(paths.database) is missing",
                try: "restore it from a backup that belongs to this home, or make it again: hansa store rebuild")
        }
        let lock = try acquire(paths, command, wait: milliseconds)
        let (configuration, bytes) = try readConfiguration(paths)
        let logger = log(configuration)
        let node = try open(
            paths, lock: lock, configuration: configuration, now: SystemClock().now, random: SystemRandom(), log: logger,
            fatal: FatalSwitch(logger))
        // A configuration changed on disk while nobody looked is an event of the log.
        let digest = SHA256.hash(bytes).bytes
        let known = try node.read { try $0.value("config.digest") }
        if known != digest {
            try node.change { tx in
                try tx.setValue("config.digest", digest)
                if known != nil {
                    try tx.log(
                        LogDraft(
                            .configurationChanged,
                            details: ["found": "at start", "digest": .string("sha256:" + Hex.encode(digest))]))
                }
                return ((), ExchangeChanges())
            }
        }
        return node
    }

    static func readConfiguration(_ paths: HomePaths) throws(Problem) -> (NodeConfiguration, [UInt8]) {
        let bytes = try wrapped { [UInt8](try Data(contentsOf: URL(fileURLWithPath: paths.configuration))) }
        do { return (try ConfigurationYAML.read(bytes), bytes) } catch {
            throw Problem(
                .configInvalid,
                "\(paths.configuration), line \(error.line): \(error.path.isEmpty ? "" : "\(error.path): ")\(error.message)",
                try: "mend that line; hansa config show lists every key")
        }
    }

    /// Opens a home for one command: no sessions, no socket. Waits a little for another command to end.
    public static func openForCommand(home: String) throws(Problem) -> any NodeHandle {
        try openHome(home, command: "a hansa command", wait: 2000) { _ in CommandLog.logger() }
    }

    // MARK: serve

    /// Runs the node until SIGTERM or SIGINT: sessions, admin socket, housekeeping.
    public static func serve(
        home: String,
        adminServer: @escaping @Sendable (_ services: any Services, _ home: String, _ socketPath: String) -> any Service
    ) async throws {
        let node = try openHome(home, command: "hansa serve", wait: 10_000) { configuration in
            var log = Logger(label: "hansa", factory: { _ in StructuredLog() })
            log.logLevel = Logger.Level(rawValue: configuration.logLevel.rawValue) ?? .info
            return log
        }
        let log = node.log
        do {
            let server = NodeService(node)
            let group = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [
                        .init(
                            service: server, successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup),
                        .init(
                            service: adminServer(node, node.paths.home, node.paths.socket),
                            successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup),
                        .init(service: ReloadService(node: node)),
                    ], gracefulShutdownSignals: [.sigterm, .sigint], logger: log))
            try await server.start()
            try await group.run()
        } catch {
            try? node.close()
            throw error
        }
        try node.close()
    }
}
