// A city in the world: its keys, its stores, and the commands an administrator gives it. The rows and documents that commands make are those
// that `Node` in HansaNode makes.
internal import HansaContent
public import HansaCore
public import HansaCrypto
public import HansaDocuments
internal import HansaLog
internal import HansaStore
public import HansaSync
internal import HansaTerms
internal import Synchronization

public final class WorldNode {
    unowned let world: World
    public let number: Int
    public let city: CityID
    public private(set) var officer: Ed25519PrivateKey
    public private(set) var packageKey: Ed25519PrivateKey
    public private(set) var spki: Digest
    /// TLS keys so far, the newest first.
    private var tlsKeys: [Digest]
    public let disk: MemoryDisk
    public private(set) var metadata: any MetadataStore
    public private(set) var content: any ContentStore
    public private(set) var context: ExchangeContext
    private let seed: UInt64
    private var random: SplitMix64
    private let views: ViewRandom
    public private(set) var keyring: Keyring
    /// Every version so far, as a card prints them.
    public private(set) var card: [Envelope]
    private let signing: SigningIdentity
    var connections: [CityID: WorldConnection] = [:]
    /// A TLS key of ours came out: partners that have not heard of its successor refuse us.
    private(set) var hasGivenUpTLS = false
    /// Whose cards came by another way.
    private var toldByHand: Set<Int> = []

    /// What this node's clock shows beyond the world's.
    public var clockOffsetMilliseconds: Int64 = 0
    /// Further milliseconds that a worker may take: a slow disk.
    public var slowness: UInt64 = 0
    public private(set) var isDown = false
    public private(set) var restarts = 0
    /// Its stores were put back to an earlier state: what it promised since is not kept.
    public private(set) var restores = 0
    /// A partner that lies: what it sends is changed on its way.
    public internal(set) var hostility: WorldHostility?
    public var isHostile: Bool { hostility != nil }
    /// Bytes of its disk are read wrong, or were until a moment ago: a job may not have told yet.
    var isMisread: Bool { !disk.faults.misreads.isEmpty || world.now.milliseconds < misreadUntil }
    /// What could not be read is set aside, and is not yet read again or fetched anew.
    var isDamaged: Bool {
        if isMisread { return true }
        guard let memory = metadata as? MemoryMetadataStore else {
            return (try? metadata.read { try !$0.damages().isEmpty || !$0.lostBlocks(limit: 1).isEmpty }) ?? true
        }
        let state = memory.contents
        return !state.damages.isEmpty || state.lostChunks.values.contains { !$0.isEmpty }
    }
    private var misreadUntil: Int64 = 0
    /// Bits turned on its disk: what was read right once may not be again.
    var bitsTurned = 0
    var hasTurnedBits: Bool { bitsTurned > 0 }
    /// With rows in SQLite: what collects their bytes. One for each pair of stores that was opened.
    private(set) var collection: StoreCollection?
    /// Begun passes, and the segments that they rewrote.
    var passes = 0
    var segmentsRewritten = 0

    /// A job under way may tell of it yet.
    func noteMisreads() { misreadUntil = world.now.milliseconds + 20_000 }
    private var failuresInRow = 0
    private var failedLast: Int64 = 0

    /// The disk reads as it should again, as after it was replaced by its mirror.
    func readRight() {
        guard !disk.faults.misreads.isEmpty else { return }
        disk.faults.misreads = [:]
        noteMisreads()
    }
    /// Where the last start found that records the database names were lost: a broken promise.
    public private(set) var recoveryFault: String?

    public var now: Timestamp { world.now.adding(milliseconds: clockOffsetMilliseconds) }

    init(_ world: World, number: Int, city: CityID, seed: UInt64) throws {
        self.world = world
        self.number = number
        self.city = city
        self.seed = seed
        random = SplitMix64(seed: World.mix(seed, 3))
        func key(_ job: UInt64) throws -> Ed25519PrivateKey { try WorldKeys.key(UInt64(number) << 8 | job) }
        SignatureMemo.remember()
        DocumentMemo.remember()
        officer = try key(1)
        packageKey = try key(2)
        spki = SHA256.hash(Array("tls of \(city)".utf8))
        tlsKeys = [spki]
        let log = try key(3)
        let witness = try key(4)
        keyring = try Keyring(
            version: 1, expires: World.start.adding(seconds: 86_400 * 900), city: city, name: "City of \(city)", country: nil,
            endpoints: ["\(city):7845"],
            officers: [officer.publicKey], officerThreshold: 1, packageKeys: [packageKey.publicKey], packageThreshold: 1,
            logKeys: [log.publicKey],
            tlsPins: [TLSPin(spki: spki, notAfter: World.start.adding(seconds: 86_400 * 800))],
            log: NoteKey(
                name: "\(city)/log", vkey: VerifierKey(name: "\(city)/log", algorithm: .ed25519, key: log.publicKey).text),
            witness: NoteKey(
                name: "\(city)/witness",
                vkey: VerifierKey(name: "\(city)/witness", algorithm: .cosignature, key: witness.publicKey).text))
        card = [WorldKeys.card(number, keyring, officer)]
        signing = SigningIdentity(SigningIdentity.Current(keyring: 1, packageKey: packageKey))
        disk = MemoryDisk(seed: World.mix(seed, 5))
        let salts = DeterministicRandom(seed: World.mix(seed, 6))
        metadata = world.options.engine == .memory ? MemoryMetadataStore(random: salts) : try SQLiteStore(inMemoryWith: salts)
        let store = try SegmentStore.open(disk: disk, bytesTarget: world.options.segmentBytesTarget) { _ in .known(0) }.store
        content = store
        collection = WorldNode.collection(metadata, store, world.options)
        views = ViewRandom(seed: World.mix(seed, 7))
        var limits = world.options.limits
        if world.options.asksForSmall, number % 2 == 1 { limits.smallReleaseBytesMax = Limits.smallReleaseBytesMax }
        context = ExchangeContext(
            own: city, signing: signing, metadata: metadata, content: store,
            random: DeterministicRandom(seed: World.mix(seed, 8)),
            limits: limits, randomOfView: views.source)
        try learn(self)
    }

    private static func collection(_ metadata: any MetadataStore, _ content: SegmentStore, _ options: World.Options)
        -> StoreCollection?
    {
        guard let sqlite = metadata as? SQLiteStore else { return nil }
        var settings = StoreCollection.Settings()
        settings.graceMilliseconds = options.collectionGraceMilliseconds
        return StoreCollection(sqlite, content, settings: settings)
    }

    /// Puts other stores around the node's own, to watch or to disturb them. Sessions that begin later use them.
    public func wrap(
        metadata wrapMetadata: (any MetadataStore) -> any MetadataStore,
        content wrapContent: (any ContentStore) -> any ContentStore
    ) {
        metadata = wrapMetadata(metadata)
        content = wrapContent(content)
        remakeContext()
    }

    private func remakeContext() {
        context = ExchangeContext(
            own: city, signing: signing, metadata: metadata, content: content, random: context.random,
            limits: context.limits, randomOfView: views.source)
    }

    /// As `partner add` with the city's card.
    func learn(_ other: WorldNode) throws {
        try metadata.write(at: now) { tx in
            let signed = try tx.agreements(signedBy: other.city)
            for envelope in other.card { try tx.insertKeyring(envelope, try Keyring(envelope)) }
            _ = try tx.judgeSignatures(of: other.city, before: signed)
            if other !== self { try tx.put(Partner(city: other.city, state: .active, endpoint: nil, added: tx.now)) }
        }
    }

    /// The card comes by another way, as after a telephone call: it is taken also where the first attempt fails.
    func learnByHand(_ other: WorldNode) throws {
        toldByHand.insert(other.number)
        do { try learn(other) } catch { try learn(other) }
        var changes = ExchangeChanges()
        changes.keyrings = [other.city]
        notify(changes)
    }

    func acquaintance(of city: CityID) -> HansaSync.Session.Acquaintance? {
        // A store that fails answers as one that knows nobody.
        try? metadata.read { store in
            guard let partner = try store.partner(city), let keyring = try store.currentKeyring(of: city) else { return nil }
            return HansaSync.Session.Acquaintance(
                keyring: keyring.version, pins: Set(keyring.tlsPins.filter { $0.notAfter > self.now }.map(\.spki)),
                expires: keyring.expires,
                isActive: partner.state == .active)
        }
    }

    /// A key that gets a successor in the next keyring.
    public enum Rotated: Sendable, CaseIterable { case officer, package, tls, nothing }

    /// As `city rotate` and `city renew`: the next version of our keyring, pushed to whoever is connected. A partner's session shows its old TLS key
    /// until it ends.
    public func rotate(_ what: Rotated, isCompromised: Bool = false, expires: Timestamp? = nil) throws {
        let fresh = try Ed25519PrivateKey(seed: DeterministicRandom(seed: random.next()).bytes(32))
        var (nextOfficer, nextPackageKey, nextSPKI) = (officer, packageKey, spki)
        var change = KeyringChange(
            nil, isCompromised: isCompromised, name: keyring.name, country: keyring.country, endpoints: keyring.endpoints)
        switch what {
        case .officer:
            change.rotation = .officer(officer.publicKey, by: fresh.publicKey)
            nextOfficer = fresh
        case .package:
            change.rotation = .package(packageKey.publicKey, by: fresh.publicKey)
            nextPackageKey = fresh
        case .tls:
            nextSPKI = SHA256.hash(fresh.publicKey.bytes)
            change.rotation = .tls(spki, by: nextSPKI)
        case .nothing: break
        }
        let next = try keyring.successor(
            change, tls: nextSPKI, expires: expires ?? now.adding(seconds: 86_400 * 700), at: now)
        let envelope = next.signed(with: what == .officer ? [officer, nextOfficer] : [officer])
        try metadata.write(at: now) { tx in
            try tx.insertKeyring(envelope, next)
            if what == .package, isCompromised { try SignedAgain.begin(tx) }
        }
        // Where the transaction fails the old keys go on.
        (officer, packageKey, keyring) = (nextOfficer, nextPackageKey, next)
        if nextSPKI != spki { tlsKeys.insert(nextSPKI, at: 0) }
        if what == .tls, isCompromised { hasGivenUpTLS = true }
        spki = nextSPKI
        card.append(envelope)
        signing.replace(SigningIdentity.Current(keyring: next.version, packageKey: packageKey))
        var changes = ExchangeChanges()
        changes.outboxes = Set(world.nodes.map(\.city))
        notify(changes)
    }

    /// The TLS key that a session with this partner shows.
    func spki(shownTo partner: CityID) -> Digest {
        let shown = try? metadata.read {
            try KeyringMemory.tlsKey(of: self.city, among: self.tlsKeys, knownTo: [partner], at: self.now, $0)
        }
        return (shown ?? nil) ?? spki
    }

    func expiry(ofOwnKeyring version: Int) -> Timestamp? {
        (try? metadata.read { try $0.keyring(of: self.city, version: version)?.expires }) ?? nil
    }

    // MARK: Sessions

    /// What `Network.connectionOpened` does: false where another session with this city stays.
    func opened(_ connection: WorldConnection, peer: CityID) -> Bool {
        let before = connections[peer]
        if let before, before !== connection, connection.dialler != min(city, peer), before.dialler == min(city, peer) {
            return false
        }
        connections[peer] = connection
        if before !== connection { before?.close("duplicate") }
        return true
    }

    /// What `Network.notify` does.
    public func notify(_ changes: ExchangeChanges) {
        for peer in connections.keys.sorted() {
            guard let connection = connections[peer] else { continue }
            if let views = changes.views[peer] { connection.viewsChanged(views) }
            if changes.outboxes.contains(peer) { connection.documentsWait() }
            if changes.policies.contains(peer) { connection.ask() }
            if changes.keyrings.contains(peer) { connection.checkPins() }
        }
    }

    /// A transaction of the node's own, and its news to the sessions.
    @discardableResult
    public func change(_ body: (any MetadataWriting) throws -> ExchangeChanges) throws -> ExchangeChanges {
        let changes = try metadata.write(at: now, body)
        if !changes.isEmpty { notify(changes) }
        return changes
    }

    public func askAll() { for peer in connections.keys.sorted() { connections[peer]?.ask() } }
    public func announceAll() { for peer in connections.keys.sorted() { connections[peer]?.announce() } }
    public func puller(to peer: CityID) -> Puller? { connections[peer]?.puller }

    /// As housekeeping does each second.
    public func keepHouse() throws {
        if try metadata.read({ try MembershipUpdate.isDue(at: self.now, $0) }) { try timePasses() } else { try signAgain() }
    }

    /// What time alone brings; and each partner is asked where its views stand.
    public func timePasses() throws {
        try change { tx in
            var changes = ExchangeChanges()
            let update = try MembershipUpdate(self.context, tx)
            try update.timePassed()
            changes.views = try update.finish()
            changes.policies = Set(try tx.partners().map(\.city))
            return changes
        }
        try signAgain()
    }

    // MARK: Faults

    func failed(_ fault: ExchangeFault) {
        guard case .store(let error) = fault else { return }
        let known = error as? StoreFault
        // Printing an error by reflection costs as much as a session; the name of its case says enough.
        world.note("store \(city) \(known?.word ?? "other")")
        switch known {
        case .diskFull, .clockBehind: return
        case .damaged(let what): if !isMisread, !hasTurnedBits { world.findings.append("S3: \(city): damaged: \(what)") }
        case .inputOutput, .logUnavailable, nil: break
        }
        // The process stops rather than go on with a store it cannot trust.
        crash()
        // As systemd does: each time that it fails soon after, it waits longer; a fault that stays would else take up the whole history.
        failuresInRow = world.now.milliseconds - failedLast < 20_000 ? min(failuresInRow + 1, 5) : 0
        failedLast = world.now.milliseconds
        world.after(500 << UInt64(failuresInRow)) { [weak self] in self?.restart() }
    }

    /// The power goes: what was not synchronised is lost or not, and only committed rows remain.
    public func crash() {
        guard !isDown else { return }
        isDown = true
        world.note("crash \(city)")
        for link in world.links where link.left === self || link.right === self {
            for end in link.ends(at: self) { end.kill() }
            link.breakNow()
        }
        connections = [:]
        let misreads = disk.faults.misreads
        disk.crash()
        disk.faults.misreads = misreads
        if let memory = metadata as? MemoryMetadataStore { metadata = memory.crash() }
    }

    /// The process ends, an older database is put in the place of its own, and it starts again. Segments stay as they are.
    public func restore(_ backup: MemoryMetadataStore) {
        crash()
        metadata = backup.backup()
        restart()
    }

    public func restart() {
        guard isDown else { return }
        do {
            let marks = try durableMarks()
            let (store, recovery) = try SegmentStore.open(
                disk: disk, bytesTarget: world.options.segmentBytesTarget, named: Set(marks.keys)
            ) { .known(marks[$0] ?? 0) }
            content = store
            collection = WorldNode.collection(metadata, store, world.options)
            if !recovery.lost.isEmpty { throw SegmentStoreFault.nothingThere(segments: recovery.lost.count) }
        } catch {
            if !disk.faults.misreads.isEmpty {
                readRight()
                return restart()
            }
            recoveryFault = "\(error)"
            world.findings.append("S2: \(city): after a crash: \(error)")
            return
        }
        isDown = false
        restarts += 1
        remakeContext()
        for link in world.links where link.left === self || link.right === self { if link.redials { link.connect() } }
    }

    /// Rows and bytes as they are now, durable ones only. Nil with rows in SQLite.
    public func backup() -> WorldBackup? {
        guard let memory = metadata as? MemoryMetadataStore, !isDown else { return nil }
        return WorldBackup(
            metadata: memory.contents, disk: disk.durableContents, clock: now, keyring: keyring.version)
    }

    /// Documents of ours have not arrived everywhere.
    var hasOutbox: Bool { (metadata as? MemoryMetadataStore).map { !$0.contents.outbox.isEmpty } ?? false }

    /// Made under the keys that the node has now.
    func isKeyring(of backup: WorldBackup) -> Bool { backup.keyring == keyring.version }

    /// The machine is lost, and the backup put in its place.
    public func restore(_ backup: WorldBackup) {
        guard let memory = metadata as? MemoryMetadataStore else { return }
        world.note("restore \(city)")
        restores += 1
        crash()
        isDown = true
        disk.restore(backup.disk)
        metadata = memory.replaced(by: backup.metadata)
        restart()
        // What came by hand is not pushed: it must be given to the older state again.
        for number in toldByHand.sorted() where !isDown { try? learnByHand(world.nodes[number]) }
    }

    /// The end of the last record in each segment that committed rows name.
    private func durableMarks() throws -> [UInt32: UInt64] {
        var ends: [UInt32: UInt64] = [:]
        func note(_ location: ContentLocation) {
            ends[location.segment] = max(ends[location.segment] ?? 0, UInt64(location.offset) + UInt64(location.length))
        }
        if let sqlite = metadata as? SQLiteStore {
            let mark = try sqlite.durableMarks()
            for segment in UInt32(0)..<4096 { if case .known(let end) = mark(segment), end > 0 { ends[segment] = end } }
            return ends
        }
        try metadata.read { store in
            guard let state = (store as? MemoryReading)?.state else { return }
            for release in state.releases.values {
                for place in [release.document] + release.table + release.pages { note(place) }
            }
            for city in state.chunks.values { for place in city.values { note(place.block) } }
            // What could not be read was whole once, and may be again.
            for block in try store.lostBlocks(limit: .max) { note(block) }
            for transfer in state.transfers.values {
                for place in [transfer.document] + transfer.table + transfer.pages { note(place) }
            }
            for place in state.receipts.values { note(place) }
        }
        return ends
    }

    func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
}

extension StoreFault {
    fileprivate var word: String {
        switch self {
        case .diskFull: "full"
        case .clockBehind: "clock"
        case .damaged(let what): "damaged " + what
        // Whether a file was open already is for those to say who looked at it, and that may be a watch.
        case .inputOutput: "input or output"
        case .logUnavailable: "log"
        }
    }
}

/// What a node's stores held at one moment.
public struct WorldBackup {
    let metadata: MemoryState
    let disk: MemoryDisk.Contents
    let clock: Timestamp
    let keyring: Int
}

/// Keys by number, made once a process: no seed needs keys of its own, and a key costs as much as a signature.
private enum WorldKeys {
    private static let keys = Mutex<[UInt64: Ed25519PrivateKey]>([:])
    private static let cards = Mutex<[Int: (digest: Digest, envelope: Envelope)]>([:])

    static func key(_ number: UInt64) throws -> Ed25519PrivateKey {
        try keys.withLock { keys in
            if let known = keys[number] { return known }
            let made = try Ed25519PrivateKey(seed: DeterministicRandom(seed: World.mix(number, 99)).bytes(32))
            keys[number] = made
            return made
        }
    }

    static func card(_ number: Int, _ keyring: Keyring, _ officer: Ed25519PrivateKey) -> Envelope {
        let digest = SHA256.hash(keyring.payload())
        return cards.withLock { cards in
            if let known = cards[number], known.digest == digest { return known.envelope }
            let made = keyring.signed(with: [officer])
            cards[number] = (digest, made)
            return made
        }
    }
}

/// A source for each view, that a restart does not begin again.
private final class ViewRandom: Sendable {
    private let seed: UInt64
    private let sources = Mutex<[Digest: DeterministicRandom]>([:])

    init(seed: UInt64) { self.seed = seed }

    var source: @Sendable (Digest) -> any RandomSource {
        { view in
            self.sources.withLock { sources in
                if let known = sources[view] { return known }
                let made = DeterministicRandom(
                    seed: World.mix(self.seed, view.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }))
                sources[view] = made
                return made
            }
        }
    }
}
