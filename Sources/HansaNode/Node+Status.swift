// What needs a person, at a glance: status, doctor, configuration.
internal import Foundation
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import HansaYAML
internal import Logging
internal import Synchronization

extension Node {
    public func status(_ caller: Caller) throws(Problem) -> JSONValue {
        let now = clock.now
        var attention: [JSONValue] = []
        func needs(_ code: String, _ text: String, _ command: String) {
            attention.append([
                "code": .string(code), "text": .string(text.printable(charactersMax: 300)), "command": .string(command),
            ])
        }
        let facts = try read {
            store -> (
                agreements: [AgreementRecord], published: [PublishedView], subscribed: [SubscribedView], own: Int, received: Int,
                refused: [HoldingRow], refusedCount: Int, disputes: [DisputeRow],
                heads: [(package: PackageID, state: Heads.State)], last: Timestamp?
            ) in
            let own = try store.packageCount(of: self.city)
            let received = try store.packageCount(of: nil) - own
            let subscribed = try store.subscribedViews()
            var refused: [HoldingRow] = []
            var refusedCount = 0
            for view in subscribed {
                var after: Digest?
                while true {
                    let rows = try store.holdings(in: view.id, state: .refused, after: after, limit: 1000)
                    // Some of each are shown, all are counted.
                    if after == nil { refused += rows.prefix(20) }
                    refusedCount += rows.count
                    guard rows.count == 1000 else { break }
                    after = rows.last?.release
                }
            }
            let disputes = try store.disputes(of: nil).filter { $0.resolved == nil }
            return (
                try store.agreements(), try store.publishedViews(), subscribed, own, received, refused, refusedCount,
                disputes,
                try self.conflicted(store),
                try store.lastLogTime
            )
        }
        if let last = facts.last, last > now {
            needs(
                "clock-behind", "the clock stands before the log's last entry at \(last): nothing is shared until it has passed",
                "timedatectl status")
        }
        for dispute in facts.disputes {
            needs("package-\(dispute.kind.rawValue)", summary(of: dispute), "hansa conflict show \(dispute.package)")
        }
        for (package, state) in facts.heads where try isOursToSettle(package, state) {
            needs(
                state.isConflicted ? "package-heads" : "package-waiting",
                state.isConflicted
                    ? "\(package) has \(state.graph.heads.count) heads: one of its maintainers merges them, or takes one"
                    : "a maintainer published \(package), and it waits for us to take it up", "hansa conflict show \(package)")
        }
        for record in facts.agreements
        where record.state(at: now) == .proposed && record.isParty(city) && !record.signedBy.contains(city)
            && !record.rejecters.contains(city)
        {
            needs(
                "agreement-proposed",
                "\(record.proposer?.text ?? "a partner") proposes \(record.agreement.id): \(record.agreement.title)",
                "hansa agreement show \(record.agreement.id)")
        }
        for record in facts.agreements where record.isParty(city) {
            for step in record.steps.map(\.step)
            where step.by != city && now.milliseconds - step.issued.milliseconds < 30 * 86_400_000 {
                guard step.step == .terminate || step.step == .reject else { continue }
                needs(
                    "agreement-ended",
                    "\(step.by) \(step.step == .reject ? "rejected" : "terminated") \(record.agreement.id): \(step.reason)",
                    "hansa agreement show \(record.agreement.id)")
            }
        }
        if let free = try? PosixDisk(root: paths.home).freeBytes(), free < 256 << 20 {
            needs("disk-low", "\(Words.size(free)) are free for \(paths.home)", "df -h \(paths.home)")
        }
        for record in facts.agreements
        where record.state(at: now) == .active && record.expiry.milliseconds - now.milliseconds < 60 * 86_400_000 {
            needs(
                "agreement-expires", "\(record.agreement.id) expires on \(record.agreement.term.expires)",
                "hansa agreement show \(record.agreement.id)")
        }
        for view in facts.published {
            if let why = view.quarantine {
                needs(
                    "view-quarantined", "what we share with \(view.recipient) is stopped: \(why)", "hansa sync \(view.recipient)")
            }
        }
        for view in facts.subscribed {
            if let why = view.quarantine {
                needs(
                    "view-quarantined", "what \(view.publisher) shares with us is stopped: \(why)",
                    "hansa sync \(view.publisher)")
            }
        }
        for holding in facts.refused {
            let what = holding.package.map(\.description) ?? holding.release.short
            needs(
                "release-refused", "we refused \(what): \(holding.reason ?? "")",
                holding.package.map { "hansa package history \($0)" } ?? "hansa audit log --event release.refused")
        }
        for row in try read({ store in try store.damages().prefix(20).compactMap { try store.release($0.release) } }) {
            let remedy = try guarded { try self.remedy(for: row) }
            needs(
                "content-damaged",
                "\(row.release.package) \(row.release.version) cannot be read in part from our disk; \(remedy.text)",
                remedy.command)
        }
        let keyring = keyring
        if keyring.isExpired(at: now) {
            needs(
                "keyring-expired", "our keyring expired at \(Words.time(keyring.expires)): partners take nothing but a new one",
                "hansa city renew")
        } else if keyring.expires.milliseconds - now.milliseconds < Node.keyringWarningMilliseconds {
            needs("keyring-expires", "our keyring expires at \(Words.time(keyring.expires))", "hansa city renew")
        }
        for notice in try partnerKeyrings() {
            if let alarm = notice.alarm {
                needs(
                    "keyring-refused", "a keyring in the name of \(notice.city) was refused: \(alarm)",
                    "hansa audit log --partner \(notice.city) --event keyring.refused")
            }
            if let expires = notice.expires, expires <= now {
                needs(
                    "partner-keyring-expired",
                    "the keyring of \(notice.city) expired at \(Words.time(expires)): until they run hansa city renew, only documents are exchanged",
                    "hansa partner show \(notice.city)")
            }
            if notice.isPaused {
                needs("partner-paused", "\(notice.city) is paused: nothing is exchanged", "hansa partner resume \(notice.city)")
            }
        }
        for later in try laterCheckpoints() {
            needs(
                "log-behind",
                "\(later.partner) holds a checkpoint over \(later.checkpoint.size) entries of our log, which our log does not continue: this home "
                    + "was put back to an earlier state, or its log was rewritten", "hansa restore")
        }
        for (city, held, shown) in try contradictions() {
            needs(
                "partner-log",
                "the log of \(city) contradicts itself: we cosigned \(held.size) entries, and it signed \(shown.size) that do not continue them",
                "hansa audit log --partner \(city) --event witness.alarm")
        }
        let partners = try partnerRows()
        for partner in partners where partner["state"]?.string == "offline" {
            guard let error = partner["lastError"]?.string, let name = partner["city"]?.string else { continue }
            needs("partner-offline", "\(name) is not connected: \(error)", "hansa sync \(name) --wait")
        }
        let head = logService.checkpoint
        let bytes = try guarded { try self.storedBytes() }
        var document: [JSONMember] = [
            JSONMember("schema", "hansa.status/1"), JSONMember("city", .string(city.text)),
            JSONMember("attention", .array(attention)),
            JSONMember("partners", .array(partners)),
            JSONMember("packages", ["own": JSONValue(facts.own), "received": JSONValue(facts.received)]),
            JSONMember("log", ["size": JSONValue(head.size.value), "root": JSONValue(head.root)]),
            JSONMember("storage", ["bytes": JSONValue(bytes), "packages": JSONValue(facts.own + facts.received)]),
            JSONMember("agreements", ["active": JSONValue(facts.agreements.count { $0.state(at: now) == .active })]),
            JSONMember("serving", .bool(network.withLock { $0 } != nil)),
            JSONMember("listening", .array(listening.withLock { $0 }.map { .string($0) })),
        ]
        let transfers = try read { try $0.transfers() }
        document.append(
            JSONMember(
                "transfers",
                .array(
                    transfers.map {
                        [
                            "release": JSONValue($0.release), "chunksHeld": JSONValue($0.chunksHeld),
                            "chunksTotal": JSONValue($0.chunksTotal),
                        ]
                    })))
        let refused = JSONValue(facts.refusedCount)
        document.append(JSONMember("refused", refused))
        return .object(document)
    }

    public func doctor(_ caller: Caller) throws(Problem) -> JSONValue {
        var checks: [JSONValue] = []
        func check(_ name: String, _ body: () throws -> (String, String, String?)) {
            // One failing check never hides the rest.
            do {
                let (state, text, fix) = try body()
                checks.append(["name": .string(name), "state": .string(state), "text": .string(text), "fix": JSONValue(fix)])
            } catch {
                checks.append([
                    "name": .string(name), "state": "fail", "text": .string(problem(from: error).message),
                    "fix": JSONValue(problem(from: error).next),
                ])
            }
        }
        let now = clock.now
        check("clock") {
            let last = try metadata.read { try $0.lastLogTime }
            return last.map { $0 > now } == true
                ? ("fail", "the clock stands before the log's last entry", "timedatectl status")
                : ("pass", "the clock stands after the log's last entry", nil)
        }
        check("keys") {
            for name in ["officer.pem", "package.pem", "log.pem", "witness.pem", "tls.pem"] {
                let path = paths.keys + "/" + name
                if name == "officer.pem", !FileManager.default.fileExists(atPath: path) { continue }
                _ = try KeyFile.read(path: path)
            }
            return ("pass", "private keys are readable by us alone", nil)
        }
        check("keyring") {
            let keyring = keyring
            if keyring.isExpired(at: now) {
                return ("fail", "our keyring expired at \(Words.time(keyring.expires))", "hansa city renew")
            }
            let isNear = keyring.expires.milliseconds - now.milliseconds < Node.keyringWarningMilliseconds
            return (
                isNear ? "warn" : "pass", "our keyring \(keyring.version) is valid until \(Words.time(keyring.expires))",
                isNear ? "hansa city renew" : nil
            )
        }
        check("partners' keyrings") {
            let notices = try partnerKeyrings()
            if let refused = notices.first(where: { $0.alarm != nil }) {
                return (
                    "fail", "a keyring in the name of \(refused.city) was refused: \(refused.alarm ?? "")",
                    "call \(refused.city), then hansa partner add CARDFILE"
                )
            }
            if let expired = notices.first(where: { $0.expires.map { $0 <= now } == true }) {
                return ("warn", "the keyring of \(expired.city) has expired", "ask \(expired.city) to run: hansa city renew")
            }
            let behind = notices.filter { $0.isBehind }.map(\.city.text)
            return behind.isEmpty
                ? ("pass", "all hold our keyring \(keyring.version), as far as they have said", nil)
                : (
                    "warn", "not heard of our keyring \(keyring.version) yet: \(behind.joined(separator: ", "))",
                    "hansa sync, or give them the card: hansa city card"
                )
        }
        check("disk") {
            let free = try PosixDisk(root: paths.home).freeBytes()
            return free < 1 << 30
                ? ("warn", "\(Words.size(free)) are free", "df -h \(paths.home)")
                : ("pass", "\(Words.size(free)) are free", nil)
        }
        check("segments") {
            let disk = try PosixDisk(root: paths.home)
            let ends = try metadata.segmentEnds()
            let short = try ends.keys.sorted().filter { segment in
                let digits = String(segment, radix: 16)
                let path = "segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
                return try (disk.status(path)?.size ?? 0) < ends[segment] ?? 0
            }
            guard let first = short.first else {
                let all = Words.count(ends.count, "segment")
                return ("pass", "\(all) \(ends.count == 1 ? "is" : "are") as long as the database says", nil)
            }
            // What lay there may be here again, elsewhere: the segment stays short for ever.
            let isWhole = try surveying.withLockIfAvailable { _ in
                let check = try StoreCheck(of: metadata, content, only: Set(short))
                return try check.damagedReleases.isEmpty && check.damagedBlocks.isEmpty
                    && metadata.read { try $0.damages() }.isEmpty
            }
            let what = "\(short.count) of \(Words.count(ends.count, "segment")) missing or cut short: number \(first)"
            return isWhole == true
                ? ("warn", "\(what); no release lacks anything", "look at the disk; hansa store check tells what else lay there")
                : ("fail", what, "start the node: what partners hold comes back; hansa store check tells what is missing")
        }
        check("content") {
            let damaged = try metadata.read { try $0.damages() }
            guard let first = damaged.first else { return ("pass", "nothing was met that cannot be read", nil) }
            return (
                "fail", "\(Words.count(damaged.count, "release")) cannot be read in part: \(first.what)",
                "hansa status, and look at the disk"
            )
        }
        check("log") {
            let entries = Words.count(Int(clamping: try logService.size.value), "entry", "entries")
            return ("pass", "the log has \(entries); hansa audit verify checks every byte", nil)
        }
        check("witnesses") {
            if let later = try laterCheckpoints().first {
                return ("fail", "our log does not continue what \(later.partner) cosigned", "hansa restore")
            }
            let asked = configuration.withLock { $0.witnesses }
            let silent = try metadata.read { store in
                try asked.filter { try WitnessMemory.cosigned(by: $0, store) == nil }.map(\.text)
            }
            if !silent.isEmpty {
                return (
                    "warn", "have not cosigned our log yet: \(silent.joined(separator: ", "))",
                    "comes with the next session or announcement (15 min); is the partner connected? hansa status"
                )
            }
            return asked.isEmpty
                ? ("pass", "nobody cosigns our log; hansa config set witnesses PARTNER has one do it", nil)
                : ("pass", "cosigned by \(asked.map(\.text).joined(separator: ", "))", nil)
        }
        check("partners") {
            let offline = try partnerRows().filter { $0["state"]?.string == "offline" }.compactMap { $0["city"]?.string }
            return offline.isEmpty || network.withLock({ $0 }) == nil
                ? ("pass", "no partner is missing", nil)
                : ("warn", "not connected: \(offline.joined(separator: ", "))", "hansa sync --wait")
        }
        check("views") {
            let stopped = try metadata.read { store in
                try store.publishedViews().compactMap { view in view.quarantine.map { (view.recipient, $0) } }
                    + store.subscribedViews().compactMap { view in view.quarantine.map { (view.publisher, $0) } }
            }
            return stopped.isEmpty
                ? ("pass", "no view is quarantined", nil)
                : (
                    "fail",
                    "\(Words.count(stopped.count, "view")) \(stopped.count == 1 ? "is" : "are") quarantined, the first with \(stopped[0].0): \(stopped[0].1)",
                    "hansa sync \(stopped[0].0)"
                )
        }
        return ["schema": "hansa.doctor/1", "checks": .array(checks)]
    }

    /// What partners' logs said that does not continue what we cosigned.
    private func contradictions() throws(Problem) -> [(city: CityID, held: Checkpoint, shown: Checkpoint)] {
        try read { store in
            try store.partners().compactMap { partner in
                guard
                    let shown = try WitnessMemory.contradiction(of: partner.city, store).flatMap({
                        try? Checkpoint(text: $0.text)
                    }),
                    let held = try WitnessMemory.held(of: partner.city, store).flatMap({ try? Checkpoint(text: $0.text) })
                else { return nil }
                return (partner.city, held, shown)
            }
        }
    }

    static let keyringWarningMilliseconds: Int64 = 90 * 86_400_000

    private struct KeyringNotice {
        let city: CityID
        let expires: Timestamp?
        let alarm: String?
        /// It said that it holds an older version of ours than the current.
        let isBehind: Bool
        let isPaused: Bool
    }

    private func partnerKeyrings() throws(Problem) -> [KeyringNotice] {
        let version = keyring.version
        return try read { store in
            try store.partners().filter { $0.state != .removed }.map { partner in
                KeyringNotice(
                    city: partner.city, expires: try store.currentKeyring(of: partner.city)?.expires,
                    alarm: try KeyringMemory.alarm(partner.city, store),
                    isBehind: try KeyringMemory.held(by: partner.city, store).map { $0 < version } ?? false,
                    isPaused: partner.state == .paused)
            }
        }
    }

    /// What the segments take on disk.
    private func storedBytes() throws -> UInt64 {
        let disk = try PosixDisk(root: paths.segments)
        return try disk.list("").reduce(0) { $0 + (try disk.status($1)?.size ?? 0) }
    }

    // MARK: Configuration

    public func configShow(_ caller: Caller) throws(Problem) -> JSONValue {
        let configuration = configuration.withLock { $0 }
        return [
            "schema": "hansa.config-show/1",
            "settings": .array(
                NodeConfiguration.keys.map { key in
                    [
                        "key": .string(key), "value": configuration.value(of: key) ?? .null,
                        "origin": .string(configuration.origin(of: key)?.description ?? "default"),
                        "summary": JSONValue(NodeConfiguration.summary(of: key)),
                    ]
                }),
        ]
    }

    public func configSet(_ caller: Caller, key: String, value: String, dryRun: Bool) throws(Problem) -> JSONValue {
        let path = paths.configuration
        let text = try guarded { try String(contentsOfFile: path, encoding: .utf8) }
        let changed: String
        let fresh: NodeConfiguration
        do {
            changed = try ConfigurationYAML.set(text, key, value)
            fresh = try ConfigurationYAML.read(changed)
        } catch {
            throw Problem(
                .configInvalid, "\(error.path.isEmpty ? key : error.path): \(error.message)", try: "hansa config show")
        }
        guard fresh.city == city else {
            throw Problem(
                .configInvalid, "the city is part of every key and document: it cannot be changed",
                try: "hansa init in another home")
        }
        var strangers: [String] = []
        if key == "witnesses" {
            guard !fresh.witnesses.contains(city) else {
                throw Problem(
                    .configInvalid, "witnesses: \(city) is our own city, and nobody is their own witness",
                    try: "hansa config set witnesses PARTNER")
            }
            let known = try read { try $0.partners() }.filter { $0.state != .removed }.map(\.city)
            strangers = fresh.witnesses.filter { !known.contains($0) }.map(\.text)
        }
        if !dryRun {
            try change { tx in
                try tx.log(
                    LogDraft(
                        .configurationChanged, actor: self.actor(caller), details: ["key": .string(key), "value": .string(value)])
                )
                try tx.setValue("config.digest", SHA256.hash(Array(changed.utf8)).bytes)
                return ((), ExchangeChanges())
            }
            try guarded { try PosixDisk(root: paths.home).writeAtomically("hansa.yaml", Array(changed.utf8)) }
            take(fresh)
        }
        var effect = ConfigurationEffect(of: key)
        // The next start reads it.
        if effect == .restart, network.withLock({ $0 }) == nil { effect = .now }
        var document: [JSONMember] = [
            JSONMember("schema", "hansa.config-set/1"), JSONMember("key", .string(key)),
            JSONMember("value", fresh.value(of: key) ?? .null), JSONMember("takesEffect", .string(effect.rawValue)),
            JSONMember("dryRun", .bool(dryRun)),
        ]
        if let command = effect.command { document.append(JSONMember("try", .string(command))) }
        if !strangers.isEmpty {
            document.append(
                JSONMember(
                    "warning",
                    .string(
                        "no partner of ours, so nobody is asked yet: \(strangers.joined(separator: ", ")); hansa partner add CARDFILE"
                    )))
        }
        return .object(document)
    }

    /// From here on the node goes by this configuration, as far as it reads it while it runs. Returns the one before.
    @discardableResult
    func take(_ fresh: NodeConfiguration) -> NodeConfiguration {
        let before = configuration.withLock { configuration in
            defer { configuration = fresh }
            return configuration
        }
        if network.withLock({ $0 }) != nil, let level = Logger.Level(rawValue: fresh.logLevel.rawValue) {
            // All loggers of a serving node share it.
            var log = log
            log.logLevel = level
        }
        return before
    }
}
