// An agreement of all cities of a history: packages that several of them write, or releases that one passes on for another.
internal import HansaCore
internal import HansaDocuments
internal import HansaSync
internal import HansaTerms

extension WorldHistory {
    /// What the agreement of all says.
    struct Region {
        let agreement: Digest
        let parties: [Int]
        /// Who writes `regional/**` of the first city, itself among them; empty where nobody else does.
        let writers: [Int]
    }

    /// Signed by all at once, and shared under from the beginning: else there would be little to go wrong.
    mutating func beginRegion() throws {
        guard troubles.contains(.writers) || troubles.contains(.relays) else { return }
        let parties = Array(world.nodes.indices.prefix(4).filter { !world.nodes[$0].isHostile })
        let owner = world.nodes[0]
        let writers = troubles.contains(.writers) ? Array(parties.prefix(2 + below(2))) : []
        let maintainers: JSONValue = [
            [
                "packages": [.string("\(owner.city)/regional/**")],
                "cities": .array(writers.map { .string(world.nodes[$0].city.text) }),
                "rule": .string(chance(1, in: 2) ? "any" : "owner"),
            ]
        ]
        let agreement = try world.propose(
            parties, id: "region", redistribution: troubles.contains(.relays) ? ["to": "parties", "maxHops": 1] : ["to": "none"],
            maintainers: writers.isEmpty ? JSONValue?.none : maintainers)
        try world.signByAll(agreement, parties)
        region = Region(agreement: agreement, parties: parties, writers: writers)
        agreements.append((agreement, parties))
        for (place, left) in parties.enumerated() {
            for right in parties.dropFirst(place + 1) where !world.link(left, right).isUsed { world.connect(left, right) }
        }
        for from in writers {
            for to in parties where to != from {
                try world.nodes[from].grant(world.nodes[to].city, "\(owner.city)/regional/**", under: agreement)
            }
        }
        if !writers.isEmpty { paths[0, default: []].insert("regional/0") }
        guard troubles.contains(.relays) else { return }
        for (from, to) in zip(parties, parties.dropFirst()) {
            let (node, next) = (world.nodes[from], world.nodes[to])
            try node.grant(next.city, "\(node.city)/roads/**", under: agreement)
            // What the one before gives is passed on.
            if from > 0 { try node.grant(next.city, "\(world.nodes[from - 1].city)/roads/**", under: agreement) }
        }
    }

    /// One or two of those who write a package do, the second without a look at what the first did.
    mutating func publishTogether() {
        guard let region, !region.writers.isEmpty else { return }
        let owner = world.nodes[0]
        let path = "regional/\(below(2))"
        let first = below(region.writers.count)
        let count = chance(1, in: 3) ? 2 : 1
        for offset in 0..<count {
            let node = world.nodes[region.writers[(first + offset) % region.writers.count]]
            let content = content(chunksMax: 4, big: false)
            let isMerging = chance(1, in: 3)
            attempt(node) {
                guard let label = try node.label(toWrite: path, of: owner.city, under: region.agreement) else { return }
                let digest = try node.publish(path, of: owner.city, content, merging: isMerging, tlp: label)
                tell("\(node.city) publishes \(owner.city)/\(path) as \(digest.short)\(isMerging ? ", upon all heads" : "")")
            }
        }
        paths[0, default: []].insert(path)
    }

    /// One city grants another what a third gave it.
    mutating func passOn(_ number: Int) {
        guard let region, region.parties.contains(number), region.parties.count > 2 else { return }
        let others = region.parties.filter { $0 != number }
        let from = below(others.count)
        let to = (from + 1 + below(others.count - 1)) % others.count
        let (node, origin, recipient) = (world.nodes[number], world.nodes[others[from]], world.nodes[others[to]])
        let pattern = ["\(origin.city)/**", "\(origin.city)/roads/**", "\(origin.city)/water/**"][below(3)]
        let until = chance(1, in: 4) ? node.now.adding(seconds: Int64(1 + below(30))) : nil
        attempt(node) {
            let id = try node.grant(recipient.city, pattern, under: region.agreement, until: until)
            grants.append((number, id))
            tell("\(node.city) passes \(pattern) on to \(recipient.city)\(until.map { " until \($0)" } ?? "")")
        }
    }
}

extension WorldNode {
    /// The label under which a release of a package may be signed here that an agreement has several write; nil where none may, as `package publish` decides.
    func label(toWrite path: String, of owner: CityID, under agreement: Digest) throws -> TLP? {
        let package = try PackageID(city: owner, path: path)
        return try metadata.read { store in
            guard try store.agreement(agreement)?.state(at: self.now) == .active,
                // A person decides first where a chain of ours was lost or signed twice.
                try !store.disputes(of: package).contains(where: { $0.resolved == nil })
            else { return nil }
            let row = try store.package(package)
            if owner == self.city { return row?.tlp ?? .green }
            guard let row, row.headSeq > 0, !row.isWithdrawn else { return nil }
            return row.tlp
        }
    }
}
