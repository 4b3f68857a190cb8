// What must hold in a world at a quiet point (SYNC.md §8: L1, S8, and the bytes themselves), and how it comes to one.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

extension World {
    /// Entries of logs that tell of a release which a partner made whole again.
    var healedByPartners: Int {
        nodes.reduce(0) { sum, node in
            let log = (node.metadata as? MemoryMetadataStore)?.contents.log ?? []
            return sum + log.count { ContentMemo.contains($0, "content.healed") && ContentMemo.contains($0, "\"partner\"") }
        }
    }

    /// What differs between publishers and recipients once everything has settled; empty when all honest pairs are equal.
    /// Rows and bytes are looked at once the digests are equal.
    public func differences() throws -> [String] {
        let found = try digestDifferences()
        return found.isEmpty ? try rowDifferences() : found
    }

    private func forEachPair(_ body: (WorldNode, WorldNode, AgreementRecord) throws -> Void) throws {
        for publisher in nodes where !publisher.isHostile && !publisher.isDown {
            for record in try publisher.metadata.read({ try $0.agreements() }) where record.state(at: publisher.now) == .active {
                for recipient in nodes
                where recipient !== publisher && !recipient.isHostile && record.isParty(recipient.city)
                    && record.isParty(publisher.city)
                {
                    try body(publisher, recipient, record)
                }
            }
        }
    }

    private func rowDifferences() throws -> [String] {
        var found = try versionErrors()
        try forEachPair { publisher, recipient, record in
            let id = record.viewID(publisher: publisher.city, recipient: recipient.city)
            let name = "\(record.agreement.id) \(publisher.city)→\(recipient.city)"
            found += try membershipErrors(of: publisher, id, record).map { "S8: \(name): \($0)" }
            found += try holdingErrors(of: recipient, from: publisher, id).map { "S3: \(name): \($0)" }
        }
        return found
    }

    private func digestDifferences() throws -> [String] {
        var found: [String] = []
        for node in nodes where node.isDown { found.append("L1: \(node.city) does not start") }
        // What could not be read comes back by itself once the disk reads right, or comes anew.
        for node in nodes where !node.isDown && !node.isHostile {
            if !node.context.damage.isEmpty { found.append("L1: \(node.city) has not listed what it could not read") }
            let (blocks, listed) = try node.metadata.read { (try $0.lostBlocks(limit: .max).count, try $0.damages()) }
            // Where bits turned for good, what nobody may give any more stays lost; what is shown is whole in the end.
            let releases = try node.hasTurnedBits ? listed.count { try node.isHealable($0.release) } : listed.count
            if releases > 0 || (blocks > 0 && !node.hasTurnedBits) {
                found.append("L1: \(node.city) cannot read \(blocks) blocks, and lists \(releases) releases")
            }
        }
        try forEachPair { publisher, recipient, record in
            let id = record.viewID(publisher: publisher.city, recipient: recipient.city)
            let name = "L1: \(record.agreement.id) \(publisher.city)→\(recipient.city)"
            guard !recipient.isDown else { return }
            let shown = try publisher.metadata.read { try $0.publishedView(id) }
            let held = try recipient.metadata.read { try $0.subscribedView(id) }
            guard let theirs = try recipient.metadata.read({ try $0.agreement(record.digest) }) else {
                // An agreement that a city forgot whole when it was put back is not sent again: a person brings it.
                if recipient.restores == 0 { found.append("\(name): the recipient has no agreement") }
                return
            }
            if theirs.policyEpoch != record.policyEpoch { found.append("\(name): the policy epochs differ") }
            if let why = shown?.quarantine ?? held?.quarantine { found.append("\(name): quarantined: \(why)") }
            if shown?.members ?? MemberSet() != held?.members ?? MemberSet() {
                let session = recipient.puller(to: publisher.city).map { "\($0.load); \($0.waits)" } ?? "no session"
                found.append("\(name): \(shown?.members.count ?? 0) members shown, \(held?.members.count ?? 0) held; \(session)")
            }
        }
        return found
    }

    /// Packages of several writers: each release that no other has heard of is a head, whose clocks are right, and who holds the same shows the same.
    private func versionErrors() throws -> [String] {
        // A writer that was put back signs by clocks that it has used before, and a hostile one by any.
        guard nodes.allSatisfy({ $0.restores == 0 && !$0.isHostile }) else { return [] }
        var found: [String] = []
        var shown: [Set<Digest>: (city: CityID, rule: String?, canonical: VersionGraph.Canonical)] = [:]
        for node in nodes where !node.isDown {
            try node.metadata.read { store in
                for row in try store.packages(of: nil, after: nil, limit: .max) {
                    let releases = try store.releases(of: row.package).filter {
                        $0.release.operation != .withdraw && $0.release.ownerSeq > row.withdrawnSeq ?? 0
                    }
                    guard releases.contains(where: { $0.release.writer != row.package.city }) else { continue }
                    let state = try node.context.heads(of: row.package, in: store, at: node.now)
                    let name = "\(node.city): \(row.package)"
                    found += state.graph.misclocked.map { "S7: \(name): the clock of \($0.short) is not what its parents make" }
                    let known = releases.compactMap { state.graph.node($0.digest) }
                    let unheard = known.filter { node in
                        !known.contains { $0.digest != node.digest && $0.seq(of: node.writer) >= node.seq }
                    }
                    if Set(unheard.map(\.digest)) != Set(state.graph.heads.flatMap(\.releases)) {
                        found.append("S5: \(name): the heads are not the releases that no other follows")
                    }
                    let isFrozen = try store.disputes(of: row.package).contains { $0.kind == .fork && $0.resolved == nil }
                    if !isFrozen, let counted = state.counted, row.head != counted {
                        found.append("S5: \(name): the head is \(row.head.short), and \(counted.short) counts")
                    }
                    let rule = state.maintenance.map { "\($0.rule)" }
                    let key = Set(known.map(\.digest))
                    if let other = shown[key], other.rule == rule, other.canonical != state.canonical {
                        found.append("S7: \(name): it holds what \(other.city) does, and another head counts")
                    }
                    shown[key] = (node.city, rule, state.canonical)
                }
            }
        }
        return found
    }

    /// The publisher's rows and digest against a decision on each of its releases now.
    private func membershipErrors(of publisher: WorldNode, _ id: Digest, _ record: AgreementRecord) throws -> [String] {
        try publisher.metadata.read { store in
            guard let view = try store.publishedView(id) else { return ["there is no published view"] }
            let policy = try store.policy()
            var members = MemberSet()
            var errors: [String] = []
            for package in try store.packages(of: nil, after: nil, limit: .max) {
                let releases = try store.releases(of: package.package)
                let withdrawn = max(
                    releases.last { $0.release.operation == .withdraw }?.release.seq ?? 0,
                    package.package.city == publisher.city ? 0 : package.withdrawnSeq ?? 0)
                for row in releases where row.release.operation != .withdraw {
                    let request = AccessRequest(
                        package: row.release.package, kind: row.release.kind, tlp: row.release.tlp,
                        withdrawn: row.release.ownerSeq <= withdrawn, writer: row.release.writer, publisher: publisher.city,
                        recipient: view.recipient)
                    let member = try store.member(id, row.digest)
                    // What is passed on is held from its writer.
                    let isHere =
                        try row.release.writer == publisher.city
                        || store.holding(record.viewID(publisher: row.release.writer, recipient: publisher.city), row.digest).map
                        {
                            $0.state == .accepted && $0.level == .sync
                        } ?? false
                    guard isHere, case .permit(let permit) = policy.decision(on: request, under: record.digest, at: publisher.now)
                    else {
                        if let member, member.dropped == nil {
                            errors.append("\(row.digest.short) is a member and not permitted")
                        }
                        continue
                    }
                    members.insert(MemberSet.memberID(release: row.digest, level: permit.level.code))
                    if member?.dropped != nil || member?.level != permit.level {
                        errors.append("\(row.digest.short) is permitted and no member")
                    }
                }
            }
            if members != view.members {
                errors.append("the view's digest is not that of its members (\(view.members.count), \(members.count))")
            }
            return errors
        }
    }

    /// The recipient's rows against its digest, and the bytes it holds against the publisher's.
    private func holdingErrors(of recipient: WorldNode, from publisher: WorldNode, _ id: Digest) throws -> [String] {
        var errors: [String] = []
        let (view, rows) = try recipient.metadata.read {
            (try $0.subscribedView(id), try $0.holdings(in: id, state: nil, after: nil, limit: .max))
        }
        var members = MemberSet()
        for row in rows where row.state != .ended {
            members.insert(MemberSet.memberID(release: row.release, level: row.level.code))
            guard row.state == .accepted else { continue }
            guard row.level == .sync else { continue }
            do {
                if try recipient.files(of: row.release) != content(of: row.release) {
                    errors.append("\(row.release.short) is accepted and its bytes are not the publisher's")
                }
            } catch StoreFault.damaged(let what) {
                // What is listed and can come anew was told before.
                guard try recipient.metadata.read({ try $0.damage(of: row.release) }) == nil else { continue }
                errors.append("\(row.release.short) cannot be read and is not listed: \(what)")
            }
        }
        if members != view?.members ?? MemberSet() {
            errors.append("the held digest is not that of the rows (\(view?.members.count ?? 0), \(members.count))")
        }
        return errors
    }

    private func content(of release: Digest) -> WorldContent? { publications.last { $0.digest == release }?.content }

    /// Lets everything mend: faults end, clocks agree, every pair is joined; then runs until all pairs are equal, for so long at most.
    /// - Parameter knownRounds: how often it ran on when the same history was told before: then nothing is compared.
    @discardableResult
    public func heal(seconds: Int64 = 1800, knownRounds: Int? = nil) throws -> (left: [String], rounds: Int) {
        for node in nodes {
            node.readRight()
            node.disk.faults = .init()
            node.slowness = 0
            (node.metadata as? MemoryMetadataStore)?.forgetFaults()
        }
        for node in nodes {
            node.clockOffsetMilliseconds = 0
            if node.isDown { node.restart() }
        }
        // A clock that ran ahead wrote entries whose time must pass before that node shares again.
        let last = try nodes.compactMap { node in try node.metadata.read { try $0.lastLogTime } }.max() ?? now
        runLong(milliseconds: max(0, last.milliseconds - now.milliseconds) + 1000)
        for node in nodes where node.isDown { node.restart() }
        for node in nodes where !node.isDown {
            for other in nodes where other !== node && (other.hasGivenUpTLS || node.restores > 0) { try node.learnByHand(other) }
        }
        for link in links {
            link.redials = true
            link.framesDisturbed = 0
            if link.isUsed { link.join() }
        }
        for node in nodes { try node.timePasses() }
        for node in nodes where node.hasTurnedBits { try node.readAll() }
        var rounds = 0
        var left = knownRounds == nil ? try differences() : []
        while rounds < knownRounds ?? Int(seconds / 10) {
            if knownRounds == nil, left.isEmpty || !findings.isEmpty { break }
            rounds += 1
            run(seconds: 10)
            for node in nodes where !node.isDown { try node.timePasses() }
            if knownRounds == nil { left = try differences() }
        }
        return (left, rounds)
    }

    /// A long wait in which timers look less often.
    func runLong(milliseconds: Int64, tickMilliseconds ticks: UInt64 = 30_000) {
        if milliseconds >= 60_000 { tickMilliseconds = ticks }
        run(milliseconds: milliseconds)
        tickMilliseconds = 1000
    }
}
