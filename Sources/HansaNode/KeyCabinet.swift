// The node's private keys as files (DESIGN.md §6), and how one takes another's place so that a kill at any step loses none.
//
//   keys/tls.pem            in use: the keyring names it
//   keys/tls.next.pem       made for the next keyring; nothing names it until that one is durable
//   keys/retired/tls-3.pem  was in use up to keyring 3
//
//   1  prepare   the new key is written beside the old one           (a kill: a file that nobody names; the next rotation takes it up)
//   2  the database's transaction makes the new keyring durable      (a kill: `load` finds that the keyring names the next file, and does 3)
//   3  install   the old key gets its name in `retired`, the new one takes its place by one rename
internal import Glibc
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore

struct KeyCabinet {
    enum Job: String, CaseIterable { case officer, package, log, witness, tls }

    let paths: HomePaths

    private var retired: String { paths.keys + "/retired" }
    func path(_ job: Job) -> String { "\(paths.keys)/\(job.rawValue).pem" }
    func nextPath(_ job: Job) -> String { "\(paths.keys)/\(job.rawValue).next.pem" }
    func retiredPath(_ job: Job, version: Int) -> String { "\(retired)/\(job.rawValue)-\(version).pem" }

    private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    // MARK: Loading

    /// The keys that the keyring names, a switch that was cut off finished. `history` is every version of our keyring so far, this one included.
    func load(_ keyring: Keyring, history: [Keyring], accounts: [UInt8]) throws -> NodeKeys {
        func signing(_ job: Job, _ fits: (Ed25519PublicKey) throws -> Bool) throws -> Ed25519PrivateKey? {
            try key(job, keyring, read: { try Ed25519PrivateKey(pem: $0) }, fits: { try fits($0.publicKey) })
        }
        let officer = try signing(.officer) { keyring.officers.contains($0) }
        if officer == nil, exists(path(.officer)) {
            // An officer whose successor's key is elsewhere: it has done its work. Any other key is not ours at all.
            let left = try Ed25519PrivateKey(pem: try KeyFile.read(path: path(.officer)))
            guard let last = history.last(where: { $0.officers.contains(left.publicKey) }) else { throw unknownKey(keyring) }
            try retire(.officer, version: last.version)
        }
        let witnessName = keyring.witness.name
        guard let package = try signing(.package, { keyring.packageKeys.contains($0) }),
            let log = try signing(.log, { keyring.logKeys.contains($0) }),
            let witness = try signing(
                .witness, { try VerifierKey(name: witnessName, algorithm: .cosignature, key: $0).text == keyring.witness.vkey }),
            let tls = try key(
                .tls, keyring, read: { try TLSIdentity(pem: $0) },
                // Old keys are pinned for a while too: in use is the one whose pin was written first.
                fits: { $0.spkiHash == keyring.tlsPins.first?.spki })
        else { throw unknownKey(keyring) }
        return NodeKeys(
            officer: officer, package: package, log: log, witness: witness, tls: tls,
            formerTLS: try formerTLS(pinnedBy: keyring), accounts: accounts)
    }

    private func key<K>(_ job: Job, _ keyring: Keyring, read: ([UInt8]) throws -> K, fits: (K) throws -> Bool) throws -> K? {
        // A home without its officer's key is in order; without another it says which file is missing.
        if exists(path(job)) || (job != .officer && !exists(nextPath(job))) {
            let key = try read(try KeyFile.read(path: path(job)))
            if try fits(key) { return key }
        }
        guard exists(nextPath(job)) else { return nil }
        let key = try read(try KeyFile.read(path: nextPath(job)))
        guard try fits(key) else { return nil }
        try install(job, after: keyring.version - 1)
        return key
    }

    /// TLS keys of before that the keyring still pins, the newest first: for partners that have not heard of the new one.
    private func formerTLS(pinnedBy keyring: Keyring) throws -> [TLSIdentity] {
        let pinned = Set(keyring.tlsPins.dropFirst().map(\.spki))
        guard !pinned.isEmpty else { return [] }
        var found: [TLSIdentity] = []
        for version in stride(from: keyring.version - 1, through: 1, by: -1) where found.count < pinned.count {
            let path = retiredPath(.tls, version: version)
            guard exists(path) else { continue }
            let identity = try TLSIdentity(pem: try KeyFile.read(path: path))
            if pinned.contains(identity.spkiHash) { found.append(identity) }
        }
        return found
    }

    private func unknownKey(_ keyring: Keyring) -> Problem {
        Problem(
            .keyUnsafe,
            "the keys in \(paths.keys) are not those of keyring \(keyring.version): nothing they sign would be believed",
            try: "restore keys/ from the backup that belongs to this home")
    }

    // MARK: Changing

    /// The key for the next keyring: made and durable, or the one that a rotation which came no further left.
    func prepareSigning(_ job: Job) throws -> Ed25519PrivateKey {
        if exists(nextPath(job)) { return try Ed25519PrivateKey(pem: try KeyFile.read(path: nextPath(job))) }
        let key = Ed25519PrivateKey.generate()
        try KeyFile.create(path: nextPath(job), contents: key.pem())
        return key
    }

    func prepareTLS(_ make: () throws -> TLSIdentity) throws -> TLSIdentity {
        if exists(nextPath(.tls)) { return try TLSIdentity(pem: try KeyFile.read(path: nextPath(.tls))) }
        let identity = try make()
        try KeyFile.create(path: nextPath(.tls), contents: identity.pem())
        return identity
    }

    /// The next key takes the place of the one that was in use up to this version. The keyring that names it is durable.
    func install(_ job: Job, after version: Int) throws {
        if exists(path(job)) { try keep(job, version: version) }
        // A crash before this leaves the old key under two names, after it the new one under one.
        guard rename(nextPath(job), path(job)) == 0 else { throw fault("rename", nextPath(job)) }
        try synchronise(paths.keys)
    }

    /// The key is of no use any more, and its successor is elsewhere.
    func retire(_ job: Job, version: Int) throws {
        try keep(job, version: version)
        guard unlink(path(job)) == 0 else { throw fault("remove", path(job)) }
        try synchronise(paths.keys)
    }

    private func keep(_ job: Job, version: Int) throws {
        guard mkdir(retired, 0o700) == 0 || errno == EEXIST else { throw fault("make", retired) }
        try synchronise(paths.keys)
        // Another key of that name cannot be: a version has one of a kind. So the name is ours, from a run that was cut off.
        guard link(path(job), retiredPath(job, version: version)) == 0 || errno == EEXIST else {
            throw fault("keep", path(job))
        }
        try synchronise(retired)
    }

    private func synchronise(_ directory: String) throws {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw fault("open", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw fault("sync", directory) }
    }

    private func fault(_ call: String, _ path: String) -> Problem {
        Problem(.inputOutput, "cannot \(call) \(path): \(String(cString: strerror(errno)))", try: "hansa doctor")
    }
}
