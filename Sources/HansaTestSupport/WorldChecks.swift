// What must hold in a world: at a quiet point (SYNC.md §8: L1, S8, and the bytes themselves), and for every frame that leaves (S1, S12).
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

extension World {
    /// What differs between publishers and recipients once everything has settled; empty when all pairs are equal.
    public func differences() throws -> [String] {
        var found: [String] = []
        for publisher in nodes {
            for record in try publisher.metadata.read({ try $0.agreements() }) where record.state(at: publisher.now) == .active {
                for recipient in nodes
                where recipient !== publisher && record.isParty(recipient.city) && record.isParty(publisher.city) {
                    let id = record.viewID(publisher: publisher.city, recipient: recipient.city)
                    let name = "\(record.agreement.id) \(publisher.city)→\(recipient.city)"
                    let shown = try publisher.metadata.read { try $0.publishedView(id) }
                    let held = try recipient.metadata.read { try $0.subscribedView(id) }
                    guard let theirs = try recipient.metadata.read({ try $0.agreement(record.digest) }) else {
                        found.append("\(name): the recipient has no agreement")
                        continue
                    }
                    if theirs.policyEpoch != record.policyEpoch { found.append("\(name): the policy epochs differ") }
                    if let why = shown?.quarantine ?? held?.quarantine { found.append("\(name): quarantined: \(why)") }
                    let ours = shown?.members.digest(view: id, policyEpoch: record.policyEpoch)
                    let other = held?.members.digest(view: id, policyEpoch: record.policyEpoch)
                    if ours != other {
                        found.append("\(name): \(shown?.members.count ?? 0) members shown, \(held?.members.count ?? 0) held")
                    }
                    found += try membershipErrors(of: publisher, id, record).map { "\(name): \($0)" }
                    found += try holdingErrors(of: recipient, from: publisher, id).map { "\(name): \($0)" }
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
            for package in try store.packages(of: publisher.city, after: nil, limit: .max) {
                let releases = try store.releases(of: package.package)
                let withdrawn = releases.last { $0.release.operation == .withdraw }?.release.seq ?? 0
                for row in releases where row.release.operation != .withdraw {
                    let request = AccessRequest(
                        package: row.release.package, kind: row.release.kind, tlp: row.release.tlp,
                        withdrawn: row.release.seq <= withdrawn, publisher: publisher.city,
                        recipient: view.recipient)
                    let member = try store.member(id, row.digest)
                    guard case .permit(let permit) = policy.decision(on: request, under: record.digest, at: publisher.now) else {
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
            if row.level == .sync, try recipient.files(of: row.release) != publisher.files(of: row.release) {
                errors.append("\(row.release.short) is accepted and its bytes are not the publisher's")
            }
        }
        if members != view?.members ?? MemberSet() {
            errors.append("the held digest is not that of the rows (\(view?.members.count ?? 0), \(members.count))")
        }
        return errors
    }

    /// Lets everything mend: faults end, clocks agree, every pair is joined; then runs until all pairs are equal, for so long at most.
    @discardableResult
    public func heal(seconds: Int64 = 1800) throws -> [String] {
        for node in nodes {
            node.disk.faults = .init()
            node.slowness = 0
        }
        for node in nodes {
            node.clockOffsetMilliseconds = 0
            if node.isDown { node.restart() }
        }
        // A clock that ran ahead wrote entries whose time must pass before that node shares again.
        let last = try nodes.compactMap { node in try node.metadata.read { try $0.lastLogTime } }.max() ?? now
        run(milliseconds: max(0, last.milliseconds - now.milliseconds) + 1000)
        for node in nodes where node.isDown { node.restart() }
        for link in links {
            link.redials = true
            link.join()
        }
        for node in nodes { try node.timePasses() }
        var left = try differences()
        for _ in 0..<(seconds / 10) {
            if left.isEmpty || !findings.isEmpty { break }
            run(seconds: 10)
            for node in nodes where !node.isDown { try node.timePasses() }
            left = try differences()
        }
        return left
    }
}

/// Looks at every frame that leaves for what its reader may not know (S1) and for what was revoked (S12).
///
/// Every 32 bytes that derive from a release (its digest, index root, table, pages, files, chunks) are known by whose they are. Frames are taken
/// apart as their reader would, compressed parts included, and searched for the ids of releases outside the reader's views at that moment.
public final class TaintWatch {
    private unowned let world: World
    private struct Origin: Hashable {
        let publisher: CityID
        let release: Digest
    }
    private var marks: [UInt64: [Digest: Set<Origin>]] = [:]
    private var known: Set<Digest> = []
    public private(set) var framesChecked = 0

    public init(_ world: World) {
        self.world = world
        world.onFrames = { [unowned self] node, peer, frames, now in
            do { try self.check(node, peer, frames, now) } catch { world.findings.append("taint: \(error)") }
        }
    }

    private func mark(_ id: Digest, _ origin: Origin) {
        marks[TaintWatch.head(id.bytes[...]), default: [:]][id, default: []].insert(origin)
    }
    private static func head(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private func learn(_ node: WorldNode) throws {
        try node.metadata.read { store in
            for package in try store.packages(of: node.city, after: nil, limit: .max) {
                for row in try store.releases(of: package.package) where known.insert(row.digest).inserted {
                    let origin = Origin(publisher: node.city, release: row.digest)
                    mark(row.digest, origin)
                    guard row.release.operation != .withdraw else { continue }
                    var table: [UInt8] = []
                    for location in row.table { table += try node.content.body(at: location) }
                    mark(SHA256.hash(table), origin)
                    for file in try FileTable(encoded: table, chunks: row.release.chunks).files { mark(file.digest, origin) }
                    for location in row.pages {
                        let page = try node.content.body(at: location)
                        mark(SHA256.hash(page), origin)
                        for entry in try IndexPage.decode(page) { mark(entry.id, origin) }
                    }
                    let release = try Release(payload: Envelope(binary: try node.content.body(at: row.document)).payload)
                    if let root = release.index?.root { mark(root, origin) }
                    if let manifest = release.manifest { mark(manifest, origin) }
                }
            }
        }
    }

    private func check(_ node: WorldNode, _ peer: CityID, _ frames: [Frame], _ now: Timestamp) throws {
        try learn(node)
        // What this partner may see of ours at this moment, and what it was sent before.
        var allowed: Set<Digest> = []
        var contentAllowed: Set<Digest> = []
        var wasSent: Set<Digest> = []
        var withdrawals: Set<Digest> = []
        var packageOf: [Digest: PackageID] = [:]
        try node.metadata.read { store in
            let policy = try store.policy()
            let agreements = try store.agreements().filter { $0.isParty(peer) && $0.state(at: now) == .active }
            for package in try store.packages(of: node.city, after: nil, limit: .max) {
                let releases = try store.releases(of: package.package)
                let withdrawn = releases.last { $0.release.operation == .withdraw }?.release.seq ?? 0
                for row in releases {
                    packageOf[row.digest] = package.package
                    if row.release.operation == .withdraw { withdrawals.insert(row.digest) }
                    for record in try store.agreements() where record.isParty(peer) {
                        let view = record.viewID(publisher: node.city, recipient: peer)
                        if try store.member(view, row.digest)?.sent == true { wasSent.insert(row.digest) }
                    }
                    let request = AccessRequest(
                        package: row.release.package, kind: row.release.kind, tlp: row.release.tlp,
                        withdrawn: row.release.seq <= withdrawn, publisher: node.city,
                        recipient: peer)
                    for record in agreements {
                        if case .permit(let permit) = policy.decision(on: request, under: record.digest, at: now) {
                            allowed.insert(row.digest)
                            if permit.level == .sync { contentAllowed.insert(row.digest) }
                        }
                    }
                }
            }
        }
        for frame in frames {
            framesChecked += 1
            let (bytes, ids, content) = try TaintWatch.takeApart(frame)
            if let content, !contentAllowed.contains(content) {
                report(node, peer, frame, "content of \(content.short) leaves and is not granted")
            }
            let seen = ids.union(search(bytes))
            for id in seen {
                guard let origins = marks[TaintWatch.head(id.bytes[...])]?[id] else { continue }
                let ours = origins.filter { $0.publisher == node.city }
                guard !ours.isEmpty, !ours.contains(where: { allowed.contains($0.release) }) else { continue }
                switch frame.type {
                case .feed where wasSent.contains(id): continue  // A drop of what it was sent.
                case .documents where withdrawals.contains(id): continue
                // Earlier releases of the same package are named in the chain of one that it may see.
                case .releases where packageOf[id].map({ package in allowed.contains { packageOf[$0] == package } }) == true:
                    continue
                case .documents where packageOf[id].map({ package in wasSent.contains { packageOf[$0] == package } }) == true:
                    continue
                // Echoes: the partner named the id itself.
                case .releases, .index, .chunks: if isEcho(frame, id) { continue }
                // As a recipient we answer what it sent us.
                case .getReleases, .getIndex, .getChunks, .receipt: continue
                default: break
                }
                report(node, peer, frame, "an id of \(ours.map(\.release.short).sorted().joined(separator: ", ")) leaves")
            }
        }
    }

    private func report(_ node: WorldNode, _ peer: CityID, _ frame: Frame, _ what: String) {
        world.findings.append("S1: \(node.city) → \(peer), \(frame.type) at \(world.now): \(what)")
    }

    private func isEcho(_ frame: Frame, _ id: Digest) -> Bool {
        switch frame.type {
        case .releases: (try? Releases(frame))?.items.contains { $0.release == id && $0.envelope == nil } ?? false
        case .index:
            (try? IndexParts(frame))?.parts.contains { if case .absent(id) = $0 { true } else { false } } ?? false
        case .chunks: (try? Chunks(frame)).map { $0.release == id && $0.count == 0 } ?? false
        default: false
        }
    }

    private func search(_ bytes: [UInt8]) -> Set<Digest> {
        guard bytes.count >= 32, !marks.isEmpty else { return [] }
        var found: Set<Digest> = []
        var head: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            head = head << 8 | UInt64(byte)
            guard index >= 7, let ids = marks[head], index - 7 + 32 <= bytes.count else { continue }
            let candidate = Array(bytes[(index - 7)..<(index + 25)])
            for id in ids.keys where id.bytes == candidate { found.insert(id) }
        }
        return found
    }

    /// The bytes to search, ids that stand in text, and the release whose content it carries.
    private static func takeApart(_ frame: Frame) throws -> (bytes: [UInt8], ids: Set<Digest>, content: Digest?) {
        switch frame.type {
        case .releases:
            let message = try Releases(frame)
            var ids: Set<Digest> = []
            for item in message.items {
                ids.insert(item.release)
                if let envelope = item.envelope { ids.formUnion(try named(in: envelope)) }
            }
            return ([], ids, nil)
        case .documents:
            var ids: Set<Digest> = []
            for item in try Documents(frame).items where item.envelope.type == .release {
                ids.formUnion(try named(in: item.envelope))
            }
            return (frame.body, ids, nil)
        case .index:
            var bytes: [UInt8] = []
            var ids: Set<Digest> = []
            for part in try IndexParts(frame).parts {
                switch part {
                case .table(let release, _, _, let part), .page(let release, _, let part):
                    ids.insert(release)
                    bytes += part
                case .absent(let release): ids.insert(release)
                }
            }
            return (bytes, ids, nil)
        case .chunks:
            let message = try Chunks(frame)
            return ([], [message.release], message.count > 0 ? message.release : nil)
        default: return (frame.body, [], nil)
        }
    }

    private static func named(in envelope: Envelope) throws -> Set<Digest> {
        let release = try Release(payload: envelope.payload)
        return Set(
            [envelope.digest] + [release.previous, release.manifest, release.index?.root].compactMap { $0 } + release.parents)
    }
}
