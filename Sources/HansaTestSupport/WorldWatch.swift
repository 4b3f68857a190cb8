// Looks at every honest node after each step of a history: its rows against each other, against its bytes, and against what the world knows
// was published (SYNC.md §8). A node is looked at when it has committed something since the last time.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms

final class WorldWatch {
    private unowned let world: World
    private var commits: [Int: UInt64] = [:]
    private var restarts: [Int: Int] = [:]
    private var restores: [Int: Int] = [:]
    /// What a node said it accepted, and nothing has put it back since.
    private var acknowledged: [Int: Set<Digest>] = [:]
    /// Accepted, and not yet read back.
    private var unread: [(node: Int, release: Digest)] = []
    private var framesRead = 0
    /// Releases that their publisher may not offer, or did not sign.
    var forbidden: [Digest: String] = [:]
    /// What names of offers stand for.
    private var offers: [Digest: Digest] = [:]
    /// (view, transfer) → release, as feeds named them.
    private var transfers: [Digest: [[UInt8]: Digest]] = [:]
    /// Chunks that one city sent another.
    private var served: [CityID: [CityID: Set<Digest>]] = [:]
    private var publications: [Digest: WorldPublication] = [:]
    private var numbers: [Chain: [UInt64: Digest]] = [:]
    private var published = 0
    /// Rounds of the last repair of each view so far.
    private var rounds: [Digest: Int] = [:]
    private(set) var repairs = 0
    private(set) var roundsMost = 0
    private var lanes = LaneCache()
    /// Releases that were listed as damaged after the last step.
    private var damaged: [Int: (bits: Int, listed: Set<Digest>)] = [:]
    /// Passes of collection and starts when everything was read last.
    private var readFor: [Int: (Int, Int)] = [:]

    init(_ world: World) { self.world = world }

    private func find(_ invariant: Invariant, _ what: String) { world.findings.append("\(invariant.rawValue): \(what)") }

    func afterStep() {
        readPublications()
        readFrames()
        for node in world.nodes where !node.isDown && !node.isHostile {
            readReachable(node)
            // A session that stands still commits nothing.
            checkBounds(node)
            guard let memory = node.metadata as? MemoryMetadataStore else { continue }
            if restores[node.number] != node.restores {
                restores[node.number] = node.restores
                acknowledged[node.number] = nil
                unread.removeAll { $0.node == node.number }
            }
            let count = memory.commits
            guard commits[node.number] != count || restarts[node.number] != node.restarts else { continue }
            if restarts[node.number] != node.restarts { checkPromises(node, memory.contents) }
            commits[node.number] = count
            restarts[node.number] = node.restarts
            check(node, memory.contents)
        }
        readBack()
    }

    // MARK: What was published

    private func readPublications() {
        for publication in world.publications[published...] {
            publications[publication.digest] = publication
            guard let node = world.nodes.first(where: { $0.city == publication.city }), !node.isHostile, node.restores == 0 else {
                continue
            }
            let release = publication.release
            let chain = Chain(package: release.package, writer: release.writer)
            let before = numbers[chain] ?? [:]
            if let other = before[release.seq], other != publication.digest {
                find(
                    .s6, "\(node.city) signed \(publication.digest.short) and \(other.short) as \(release.package) \(release.seq)"
                )
            }
            let last = before.keys.max()
            if release.seq != (last ?? 0) + 1 || release.previous != last.flatMap({ before[$0] })
                || release.seq(of: release.writer) != release.seq
            {
                find(.s7, "\(node.city) signed \(release.package) \(release.seq) after \(last ?? 0)")
            }
            numbers[chain, default: [:]][release.seq] = publication.digest
        }
        published = world.publications.count
    }

    // MARK: Frames

    private func readFrames() {
        for sent in world.sent[framesRead...] {
            guard let node = world.nodes.first(where: { $0.city == sent.from }) else { continue }
            switch sent.frame.type {
            case .chunks:
                guard let message = try? Chunks(sent.frame), message.count > 0, let known = publications[message.release],
                    message.first + message.count <= UInt64(known.entries.count)
                else { continue }
                let ids = known.entries[Int(message.first)..<Int(message.first + message.count)].map(\.id)
                served[sent.to, default: [:]][sent.from, default: []].formUnion(ids)
            case .delta:
                guard let message = try? Delta(sent.frame), let known = publications[message.release] else { continue }
                let ids = message.runs.filter { $0.upperBound <= known.entries.count }.flatMap { known.entries[$0].map(\.id) }
                served[sent.to, default: [:]][sent.from, default: []].formUnion(ids)
            case .small:
                guard let message = try? Small(sent.frame) else { continue }
                for item in message.items where !item.files.isEmpty {
                    served[sent.to, default: [:]][sent.from, default: []].formUnion(
                        publications[offers[item.release] ?? item.release]?.entries.map(\.id) ?? [])
                }
            case .feed:
                readRepair(sent, node)
                guard let feed = try? Feed(sent.frame) else { continue }
                for case .add(let release, _, let transfer) in feed.changes {
                    if let name = OfferName.of(transfer) { offers[name] = release }
                }
                guard !node.isHostile else { continue }
                for case .add(let release, _, let transfer) in feed.changes {
                    let known = transfers[feed.view]?[transfer]
                    if let known, known != release, node.restores == 0 {
                        find(.log, "\(node.city) offers \(release.short) and \(known.short) under one transfer number")
                    }
                    transfers[feed.view, default: [:]][transfer] = release
                }
            case .accepted:
                guard !node.isHostile, let message = try? Accepted(sent.frame) else { continue }
                for release in message.offers.compactMap({ offers[$0] })
                where acknowledged[node.number, default: []].insert(release).inserted {
                    unread.append((node.number, release))
                }
            case .receipt:
                guard !node.isHostile, let message = try? ReceiptMessage(sent.frame),
                    let receipt = try? Receipt(payload: message.envelope.payload)
                else { continue }
                for item in receipt.items where item.outcome == .accepted {
                    // A receipt from before the node was put back may leave its outbox again.
                    if acknowledged[node.number, default: []].insert(item.release).inserted {
                        unread.append((node.number, item.release))
                    }
                }
            case .reconcile: readRepair(sent, node)
            default: break
            }
        }
        framesRead = world.sent.count
    }

    /// L2: the publisher's words of one repair are rounds 1, 2, 3 to 8 at most, and one that goes on has an end.
    private func readRepair(_ sent: World.Sent, _ node: WorldNode) {
        guard !node.isHostile, isHonest(sent.to), !isDisturbed(node, sent.to) else { return }
        if sent.frame.type == .feed {
            if let feed = try? Feed(sent.frame), feed.status == .repair { (rounds[feed.view], repairs) = (0, repairs + 1) }
            return
        }
        guard let message = try? Reconcile(sent.frame), message.speaker == .publisher, message.state == .whole,
            let before = rounds[message.view]
        else { return }
        rounds[message.view] = message.round
        roundsMost = max(roundsMost, message.round)
        if message.round != before + 1 || message.round > World.repairRoundsMax {
            find(.l2, "\(node.city) is in round \(message.round) of a repair for \(sent.to) after round \(before)")
        }
    }

    /// S2: what a receipt says is accepted is here, whole, whatever happened since; S1: and came from this publisher.
    private func readBack() {
        var later: [(node: Int, release: Digest)] = []
        for (number, release) in unread {
            let node = world.nodes[number]
            if node.isDown || node.isDamaged || node.disk.faults.stopAtOperation != nil {
                later.append((number, release))
                continue
            }
            do {
                // What was only shown is acknowledged by its document alone.
                let isShown = try node.metadata.read { store in
                    try store.release(release)?.hasContent == false
                        && store.holdings(of: release).allSatisfy { $0.state != .accepted || $0.level == .discover }
                }
                guard let known = publications[release] else { continue }
                if try !isShown && node.files(of: release) != known.content {
                    find(.s2, "\(node.city) acknowledged \(release.short) and does not hold it whole")
                }
                if !isShown, let held = try node.metadata.read({ try $0.release(release) }) {
                    for place in [held.document] + held.table + held.pages where !isDurable(place, node) {
                        find(.s2, "\(node.city) acknowledged \(release.short), and a record of it is not durable")
                    }
                    let places = try node.metadata.read { try $0.chunkLocations(of: held.servedBy, known.entries.map(\.id)) }
                    for place in Set(places.compactMap { $0?.block }) where !isDurable(place, node) {
                        find(.s2, "\(node.city) acknowledged \(release.short), and a block of it is not durable")
                    }
                    let came = served[node.city]?[held.servedBy] ?? []
                    if !known.entries.allSatisfy({ came.contains($0.id) }) {
                        find(
                            .s1,
                            "\(node.city) did not ask \(known.city) for chunks of \(release.short): it tells what others gave it")
                    }
                }
            } catch StoreFault.damaged where node.hasTurnedBits {
                // Rotten at rest, and nobody has read it since: the node finds it when it does, and has it healed.
                later.append((number, release))
            } catch {
                find(.s2, "\(node.city), \(release.short): \(error)")
            }
        }
        unread = later
    }

    private func isDurable(_ place: ContentLocation, _ node: WorldNode) -> Bool {
        let digits = String(place.segment, radix: 16)
        let path = "segments/" + String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
        return node.disk.isDurable(path, Int(place.offset)..<Int(place.offset + place.length))
    }

    /// After a restart: all that was acknowledged is still known.
    private func checkPromises(_ node: WorldNode, _ state: MemoryState) {
        for release in (acknowledged[node.number] ?? []).sorted() where state.releases[release] == nil {
            find(.s2, "\(node.city) acknowledged \(release.short) and does not know it after a restart")
        }
    }

    /// S11, after each pass and each start since one.
    private func readReachable(_ node: WorldNode) {
        guard node.collection != nil, !node.isDamaged, node.disk.faults.stopAtOperation == nil else { return }
        let state = (node.passes, node.restarts)
        guard node.passes > 0, readFor[node.number].map({ $0 != state }) ?? true else { return }
        readFor[node.number] = state
        do {
            for what in try node.unreadable(publications) { find(.s11, "\(node.city): \(what)") }
        } catch {
            find(.s11, "\(node.city): \(error)")
        }
    }

    // MARK: Rows

    /// S13: what is not listed as damaged any more is whole again.
    private func checkHealed(_ node: WorldNode, _ state: MemoryState) {
        let now = (bits: node.bitsTurned, listed: Set(state.damages.keys))
        let before = damaged.updateValue(now, forKey: node.number)
        guard let before, before.bits == now.bits, !node.isMisread, node.disk.faults.stopAtOperation == nil else { return }
        for release in before.listed.subtracting(now.listed).sorted() {
            guard let known = publications[release], state.releases[release]?.hasContent == true else { continue }
            if (try? node.files(of: release)) != known.content {
                find(.s13, "\(node.city) lists \(release.short) as damaged no more, and it is not whole")
            }
        }
    }

    private func check(_ node: WorldNode, _ state: MemoryState) {
        checkHealed(node, state)
        let isWhole = world.nodes.allSatisfy { $0.restores == 0 }
        for view in state.published.values.sorted(by: { $0.id < $1.id }) {
            let members = (state.members[view.id] ?? [:]).values.filter { $0.row.dropped == nil }
            if !lanes.isDigest(
                of: members.map { MemberSet.memberID(release: $0.row.release, level: $0.row.level.code) }, view.members)
            {
                find(.s8, "\(node.city): the digest of its view for \(view.recipient) is not that of its members")
            }
            if isWhole, view.mismatches > 0 || view.quarantine != nil, isHonest(view.recipient),
                !isDisturbed(node, view.recipient)
            {
                find(.s8, "\(node.city): its view for \(view.recipient) and \(view.recipient)'s differed at one cursor")
            }
        }
        for view in state.subscribed.values.sorted(by: { $0.id < $1.id }) {
            let rows = (state.holdings[view.id] ?? [:]).values.filter { $0.state != .ended }
            if !lanes.isDigest(of: rows.map { MemberSet.memberID(release: $0.release, level: $0.level.code) }, view.members) {
                find(.s8, "\(node.city): the digest of what it holds of \(view.publisher) is not that of its rows")
            }
            for row in rows where row.state == .accepted { checkHolding(node, state, view, row) }
        }
        // Where two releases have one number the head stands still; only who signed both is ever proved to have.
        let forks = state.disputes.filter { $0.kind == .fork }
        let frozen = Set(forks.filter { $0.resolved == nil }.map(\.package))
        for fork in forks { checkFork(node, fork) }
        for fork in forks where isHonest(fork.writer) && isWhole {
            find(.s6, "\(node.city) keeps a proof that \(fork.writer) signed \(fork.package) \(fork.seq) twice")
        }
        for (package, digests) in state.releasesOfPackage {
            var seen: [Chain: [UInt64: Digest]] = [:]
            for digest in digests {
                guard let release = state.releases[digest]?.release else { continue }
                let chain = Chain(package: package, writer: release.writer)
                if let other = seen[chain, default: [:]].updateValue(digest, forKey: release.seq),
                    isWhole || package.city != node.city
                {
                    find(.s6, "\(node.city) holds \(digest.short) and \(other.short) as \(package) \(release.seq)")
                }
            }
            // Of several writers `VersionGraph` says what the head is; its tests and the convergence of worlds look at that.
            guard seen.keys.allSatisfy({ $0.writer == package.city }) else { continue }
            // S5, one writer: the head is the highest that is no withdrawal.
            let highest = digests.compactMap { state.releases[$0]?.release }.filter { $0.operation != .withdraw }.map(\.seq).max()
            if let highest, !frozen.contains(package), state.packages[package]?.headSeq != highest {
                find(
                    .s5,
                    "\(node.city): the head of \(package) is \(state.packages[package]?.headSeq ?? 0), and it holds \(highest)")
            }
        }
        if !node.isDamaged, node.disk.faults.stopAtOperation == nil {
            for transfer in state.transfers.values { checkTransfer(node, state, transfer) }
        }
    }

    /// S6: a proof is of two releases that were signed under one number, and where a release is refused for that there is a proof.
    private func checkFork(_ node: WorldNode, _ fork: DisputeRow) {
        guard let known = fork.known.flatMap({ publications[$0] })?.release, let other = publications[fork.other]?.release,
            known.package == other.package, known.writer == other.writer, known.seq == other.seq, fork.known != fork.other
        else { return find(.s6, "\(node.city) keeps a proof for \(fork.package) \(fork.seq) of what is no fork") }
    }

    private func checkForkProofs(_ node: WorldNode, _ state: MemoryState) {
        let proven = Set(state.disputes.filter { $0.kind == .fork }.map(\.other))
        for rows in state.holdings.values {
            for row in rows.values where row.state == .refused && row.reason == ReleaseRefusal.fork.word {
                guard !proven.contains(row.release), isHonest(publications[row.release]?.city ?? node.city),
                    state.disputes.count(where: { $0.package == row.package }) < World.disputesMax
                else { continue }
                find(.s6, "\(node.city) refuses \(row.release.short) as a fork and keeps no proof")
            }
        }
    }

    private func checkHolding(_ node: WorldNode, _ state: MemoryState, _ view: SubscribedView, _ row: HoldingRow) {
        if let why = forbidden[row.release] { find(.s3, "\(node.city) holds \(row.release.short) of \(view.publisher): \(why)") }
        guard let known = publications[row.release] else {
            return find(.s3, "\(node.city) holds \(row.release.short), which nobody published")
        }
        let isPassedOn = known.release.writer == known.release.package.city && isPassedOn(view.agreement, state)
        if known.city != view.publisher, !isPassedOn {
            find(.s3, "\(node.city) holds \(row.release.short) of \(known.city) from \(view.publisher)")
        }
        if let withdrawn = state.packages[known.release.package]?.withdrawnSeq,
            known.release.seq(of: known.release.package.city) <= withdrawn
        {
            find(.s4, "\(node.city) holds \(known.release.package) \(known.release.seq), withdrawn at \(withdrawn)")
        }
    }

    private func isPassedOn(_ agreement: Digest, _ state: MemoryState) -> Bool {
        state.policy.agreement(agreement)?.agreement.isPassedOn ?? false
    }

    private func isHonest(_ city: CityID) -> Bool { world.nodes.contains { $0.city == city && !$0.isHostile } }

    /// Frames between the two came twice or out of order: their sessions may have told each other what was not so.
    private func isDisturbed(_ node: WorldNode, _ peer: CityID) -> Bool { world.link(node.city, peer)?.wasDisturbed ?? false }

    /// S13: what is marked is here and is what it should be.
    private func checkTransfer(_ node: WorldNode, _ state: MemoryState, _ row: TransferRow) {
        guard let view = state.subscribed[row.view], let known = publications[row.release], !known.entries.isEmpty else { return }
        guard row.chunksHeld <= row.chunksTotal, row.bitmap.reduce(0, { $0 + $1.nonzeroBitCount }) == row.chunksHeld else {
            return find(.s13, "\(node.city): the marks of \(row.release.short) are not as many as it says")
        }
        var blocks = WorldBlocks(node.content)
        for (number, entry) in known.entries.enumerated() where row.bitmap[number >> 3] & (1 << UInt8(number & 7)) != 0 {
            guard let place = state.chunks[view.publisher]?[entry.id] else {
                return find(.s13, "\(node.city): chunk \(number) of \(row.release.short) is marked and not here")
            }
            guard let bytes = try? blocks.bytes(at: place), ContentMemo.isChunk(bytes, entry) else {
                return find(.s13, "\(node.city): chunk \(number) of \(row.release.short) is marked and is not what it should be")
            }
        }
    }

    // MARK: Bounds

    private func checkBounds(_ node: WorldNode) {
        let limits = world.options.limits
        for peer in node.connections.keys.sorted() {
            if let why = node.connections[peer]?.neglect { find(.l3, "\(node.city) for \(peer): \(why)") }
            guard let puller = node.connections[peer]?.puller, let publisher = node.connections[peer]?.publisher else { continue }
            let load = puller.load
            if load.outstanding > limits.outstandingMax
                || load.transfers > limits.transfersMax + GetReleases.countMax * limits.releaseAsksMax
                || load.contentAskedBytes > limits.contentAskedBytesMax + 8 * 1024 * 1024
                || load.documentBytes > limits.documentBytesMax + GetReleases.countMax * limits.releaseAsksMax
                    * Limits.documentBytesMax
                || load.contentAskedBytes < 0 || load.documentBytes < 0 || load.indexBytes < 0
            {
                find(.s9, "\(node.city) keeps for \(peer): \(load)")
            }
            if publisher.queuedRuns > limits.queuedRunsMax || publisher.queuedIndexAsks > limits.queuedIndexAsksMax {
                find(.s9, "\(node.city) queues for \(peer): \(publisher.queuedRuns) runs, \(publisher.queuedIndexAsks) indexes")
            }
        }
    }

    // MARK: At the end

    /// When all is quiet: withdrawals and receipts have arrived, and the log says what was done.
    func checkEnd(readsLogs: Bool) throws {
        let isWhole = world.nodes.allSatisfy { $0.restores == 0 }
        for publisher in world.nodes where !publisher.isHostile && !publisher.isDown {
            guard let state = (publisher.metadata as? MemoryMetadataStore)?.contents else { continue }
            checkForkProofs(publisher, state)
            for (id, members) in state.members.sorted(by: { $0.key < $1.key }) {
                guard let city = state.recipients[id], let recipient = world.nodes.first(where: { $0.city == city }),
                    !recipient.isHostile,
                    let theirs = (recipient.metadata as? MemoryMetadataStore)?.contents
                else { continue }
                for member in members.values.map(\.row).sorted(by: { $0.release < $1.release }) where member.sent {
                    // A recipient that was put back has forgotten what it acknowledged; it holds nothing of it.
                    if recipient.restores == 0, let withdrawn = state.packages[member.package]?.withdrawnSeq,
                        let release = state.releases[member.release],
                        release.release.ownerSeq <= withdrawn,
                        theirs.packages[member.package].map({ ($0.withdrawnSeq ?? 0) < withdrawn }) ?? true,
                        // Put back behind its own back it withdrew under a number that it had given before: that is proved, and for people.
                        publisher.restores == 0
                            || !theirs.disputes.contains(where: { $0.package == member.package && $0.kind == .fork })
                    {
                        find(.s4, "\(city) was sent a release of \(member.package) and does not know that it was withdrawn")
                    }
                    guard isWhole, let holding = theirs.holdings[id]?[member.release], holding.state != .ended,
                        holding.transfer == member.transfer,
                        // What was accepted ends by the owner's word, also where who passed it on can say no more.
                        holding.reason != ReleaseRefusal.withdrawn.word || member.outcome != .accepted
                    else { continue }
                    if member.outcome != (holding.state == .accepted ? .accepted : .refused) {
                        find(.wire, "\(publisher.city) has no receipt of \(city) for \(member.release.short)")
                    }
                }
            }
            if readsLogs, isWhole { try checkLog(publisher, state) }
        }
    }

    /// Log before act.
    private func checkLog(_ node: WorldNode, _ state: MemoryState) throws {
        var told: [LogEvent: Set<Digest>] = [:]
        var withdrawn: [PackageID: UInt64] = [:]
        for bytes in state.log {
            let entry = try LogEntry(bytes)
            guard let event = entry.event, let release = entry.release, let partner = entry.partner else { continue }
            // S4 by the order of entries: rows of a moment later may have forgotten it.
            if let known = publications[release]?.release {
                if event == .packageWithdrawn { withdrawn[known.package] = max(withdrawn[known.package] ?? 0, known.seq) }
                if event == .releaseReceived, known.seq(of: known.package.city) <= withdrawn[known.package] ?? 0 {
                    find(.s4, "\(node.city) took \(known.package) \(known.seq) after it knew that it was withdrawn")
                }
            }
            told[event, default: []].insert(SHA256.hash(release.bytes + Array(partner.text.utf8)))
        }
        for (id, members) in state.members {
            guard let city = state.recipients[id] else { continue }
            for member in members.values.map(\.row) {
                let name = SHA256.hash(member.release.bytes + Array(city.text.utf8))
                if member.sent, told[.releaseOffered]?.contains(name) != true {
                    find(.log, "\(node.city) offered \(member.release.short) to \(city) and the log does not say so")
                }
                if member.delivered, told[.releaseDelivered]?.contains(name) != true {
                    find(.log, "\(node.city) delivered \(member.release.short) to \(city) and the log does not say so")
                }
            }
        }
    }
}

/// What one city signs of one package.
private struct Chain: Hashable {
    let package: PackageID
    let writer: CityID
}

/// Sums of lifted ids, lifted once each: a digest is computed anew after every step.
private struct LaneCache {
    private var lifted: [Digest: [UInt16]] = [:]

    mutating func isDigest(of ids: [Digest], _ members: MemberSet) -> Bool {
        guard members.count == UInt64(ids.count) else { return false }
        var sum = [UInt16](repeating: 0, count: 1024)
        for id in ids {
            let lanes = lift(id)
            for index in 0..<1024 { sum[index] &+= lanes[index] }
        }
        let encoded = members.encoded
        guard !encoded.isEmpty else { return ids.isEmpty }
        return encoded.withUnsafeBytes { bytes in
            (0..<1024).allSatisfy {
                sum[$0] == UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 + $0 * 2, as: UInt16.self))
            }
        }
    }

    private mutating func lift(_ id: Digest) -> [UInt16] {
        if let known = lifted[id] { return known }
        let bytes = SHAKE128.hash(Array("hansa-lthash/1".utf8) + id.bytes, count: 2048)
        let lanes = bytes.withUnsafeBytes { buffer in
            (0..<1024).map { UInt16(littleEndian: buffer.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) }
        }
        lifted[id] = lanes
        return lanes
    }
}
