internal import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import HansaTerms

extension WorldHistory {
    /// Work, and troubles of each kind with how often they come among the rest.
    enum Deed {
        case publish, grant, revoke, withdraw, agree, terminate, ask, announce
        case breakLink, cutOrJoin, dialAgain, disturb, slow, crash, stop, fill, failSync, failWrites, misread, failCommit, jump,
            end, restore, rotate, changeTwins
        case deceive
        case publishTogether, passOn
        case damage, collect
    }

    private static let work: [(Deed, Int)] = [
        (.publish, 24), (.grant, 14), (.revoke, 6), (.withdraw, 4), (.agree, 3), (.terminate, 2), (.ask, 4), (.announce, 5),
    ]

    private static func deeds(_ trouble: Trouble) -> [(Deed, Int)] {
        switch trouble {
        case .cuts: [(.breakLink, 8), (.cutOrJoin, 3)]
        case .twoSessions: [(.dialAgain, 5)]
        case .repeats: [(.disturb, 8)]
        case .slowness: [(.slow, 5)]
        case .crashes: [(.crash, 8)]
        case .stops: [(.stop, 5)]
        case .fullDisks: [(.fill, 4)]
        case .failedSyncs: [(.failSync, 2)]
        case .writeErrors: [(.failWrites, 2)]
        case .misreads: [(.misread, 4)]
        case .commitFaults: [(.failCommit, 3)]
        case .clocks: [(.jump, 3)]
        case .endings: [(.end, 8)]
        case .restores: [(.restore, 5)]
        case .rotations: [(.rotate, 4)]
        case .clones: [(.changeTwins, 8)]
        case .hostility: [(.deceive, 12)]
        case .writers: [(.publishTogether, 20)]
        case .relays: [(.passOn, 8)]
        case .damage: [(.damage, 6)]
        case .collection: [(.collect, 12)]
        }
    }

    static func choices(_ troubles: Set<Trouble>) -> [(Deed, Int)] {
        work + Trouble.allCases.filter(troubles.contains).flatMap(deeds)
    }

    mutating func step() throws {
        let number = below(world.nodes.count)
        var draw = below(choices.reduce(0) { $0 + $1.1 })
        guard
            let deed = choices.first(where: { (_, weight) in
                draw -= weight
                return draw < 0
            })?.0, !world.nodes[number].isDown
        else { return }
        work(deed, number)
    }

    private mutating func work(_ deed: Deed, _ number: Int) {
        let node = world.nodes[number]
        switch deed {
        case .publish: publish(number)
        case .grant: grant(number)
        case .revoke: revoke()
        case .withdraw: withdraw(number)
        case .agree: agree(number)
        case .terminate:
            let (digest, parties) = agreements[below(agreements.count)]
            guard parties.contains(number), agreements.count > 2 || chance(1, in: 3) else { return }
            terminate(number, digest)
        case .ask: node.askAll()
        case .announce: node.announceAll()
        case .end: endUnderWay(number)
        case .deceive: deceive()
        case .publishTogether: publishTogether()
        case .passOn: passOn(number)
        case .damage: attempt(node) { if let what = try node.damage() { tell(what) } }
        case .collect: collect(node)
        default: trouble(deed, node)
        }
    }

    private mutating func trouble(_ deed: Deed, _ node: WorldNode) {
        let used = world.links.filter(\.isUsed)
        switch deed {
        case .breakLink:
            tell("a link breaks")
            used[below(used.count)].breakNow()
        case .cutOrJoin:
            let link = used[below(used.count)]
            tell("a link is \(link.isCut ? "joined" : "cut")")
            if link.isCut { link.join() } else { link.cut() }
        case .dialAgain:
            tell("a pair has two sessions")
            used[below(used.count)].dialAgain()
        case .disturb:
            tell("frames of a link come twice and out of order")
            used[below(used.count)].framesDisturbed = 1 + below(20)
        case .slow:
            node.slowness = node.slowness == 0 ? UInt64(below(3000)) : 0
            tell("\(node.city) is slow by \(node.slowness) ms")
        case .crash:
            tell("\(node.city) loses power")
            node.crash()
            if chance(1, in: 2) { node.restart() } else { world.after(UInt64(below(6000))) { node.restart() } }
        case .jump:
            let jump = Int64(below(7_200_000)) - 3_600_000
            tell("\(node.city)'s clock jumps by \(jump / 1000) s")
            node.clockOffsetMilliseconds = jump
        case .rotate: rotate(node)
        case .changeTwins:
            guard let here = node.backup() else { return }
            if let other = twins[node.number], node.isKeyring(of: other) {
                tell("\(node.city) runs on as its twin")
                twins[node.number] = here
                node.restore(other)
            } else {
                tell("\(node.city) is cloned")
                twins[node.number] = here
            }
        case .restore:
            // Keys that a city has thrown away do not come back with its rows.
            if let backup = backups[node.number], node.isKeyring(of: backup), chance(1, in: 2) {
                tell(
                    "\(node.city) is put back to its state of \((backup.clock.milliseconds - World.start.milliseconds) / 1000) s")
                node.restore(backup)
            } else if let backup = node.backup() {
                tell("\(node.city) makes a backup")
                backups[node.number] = backup
            }
        default: diskTrouble(deed, node)
        }
    }

    private mutating func rotate(_ node: WorldNode) {
        guard !node.isHostile, twins[node.number] == nil else { return }
        let what = WorldNode.Rotated.allCases[below(WorldNode.Rotated.allCases.count)]
        // A TLS key that came out is shown to nobody again: who has not heard of its successor must be told by hand.
        let isTold = what == .tls
        // What an officer signed before the key came out is refused where it has not arrived: so it comes out when nothing is on its way, and nobody
        // forgets. Releases and withdrawals are signed again.
        let isQuiet = (what == .package || !node.hasOutbox) && !troubles.contains(.restores) && !troubles.contains(.clones)
        let isCompromised = what != .nothing && chance(1, in: 4) && isQuiet && !(isTold && world.nodes.contains(where: \.isDown))
        tell("\(node.city) rotates \(what)\(isCompromised ? ", which came out" : "")")
        let before = node.keyring.version
        attempt(node) { try node.rotate(what, isCompromised: isCompromised) }
        guard isTold, isCompromised, node.keyring.version > before else { return }
        for other in world.nodes where other !== node { attempt(other) { try other.learnByHand(node) } }
    }

    private mutating func diskTrouble(_ deed: Deed, _ node: WorldNode) {
        switch deed {
        case .stop:
            let more = 1 + below(12)
            tell("\(node.city) will stop at disk operation +\(more)")
            node.disk.faults.stopAtOperation = node.disk.operations + more
        case .fill:
            if node.disk.faults.capacityBytes == nil {
                // 256 bytes to 64 KiB are left: some appends fit, others do not.
                let left = UInt64(256 << below(9))
                tell("\(node.city) has \(left) bytes left")
                node.disk.faults.capacityBytes = node.disk.usedBytes + left
            } else {
                tell("\(node.city) has room again")
                node.disk.faults.capacityBytes = nil
            }
        case .failSync:
            tell("\(node.city) cannot fsync")
            node.disk.faults.failsSync = true
        case .failWrites:
            tell("\(node.city) cannot write")
            node.disk.faults.failWritesFromOperation = node.disk.operations + below(6)
        case .misread:
            guard let (path, size) = node.disk.someFile(below(1 << 20)), size > 0 else { return }
            let byte = below(size)
            tell("\(node.city) reads byte \(byte) of \(path) wrong")
            node.disk.faults.misreads[path, default: [:]][byte] = 1 << UInt8(below(8))
        case .failCommit:
            tell("\(node.city) fails at its next commit")
            (node.metadata as? MemoryMetadataStore)?.failNextCommit(
                with: chance(1, in: 2) ? .diskFull(bytesMissing: 1) : .inputOutput("seeded"))
        default: preconditionFailure("no trouble of a disk")
        }
    }

    // MARK: Care

    /// A pass, which may end in the middle of an operation of the disk; a second one after the grace, and then everything is read.
    private mutating func collect(_ node: WorldNode) {
        let stop = chance(1, in: 4) ? node.disk.operations + 1 + below(12) : nil
        let isTwice = chance(1, in: 2)
        func pass() {
            attempt(node) {
                guard let report = try node.collect() else { return }
                node.segmentsRewritten += report.segmentsRewritten
                tell("\(node.city) collects: \(report.chunksSwept) chunks, \(report.segmentsRewritten) segments")
            }
        }
        if let stop { node.disk.faults.stopAtOperation = stop }
        pass()
        guard isTwice, !node.isDown else { return }
        world.run(milliseconds: world.options.collectionGraceMilliseconds + 1)
        pass()
    }

    // MARK: Work

    mutating func content(chunksMax: Int, big: Bool) -> WorldContent {
        // Chunks from one pool for all: packages, versions and cities share some of them.
        var files: [(String, [[UInt8]])] = []
        for file in 0..<(1 + below(3)) {
            let chunks = (0..<(1 + below(chunksMax))).map { _ -> [UInt8] in
                let id = UInt64(below(60))
                return WorldContent.chunk(id, count: 4200 + Int(id) * (big ? 60 : 10))
            }
            files.append(("data/\(file).csv", chunks))
        }
        files.append(("datapackage.json", [WorldContent.chunk(UInt64(1000 + below(20)), count: 300)]))
        return WorldContent(files)
    }

    private mutating func publish(_ number: Int) {
        let node = world.nodes[number]
        let path = ["roads/a", "roads/b", "water/a", "water/deep/b", "plans"][below(5)]
        let big = chance(1, in: 12)
        let content = content(chunksMax: big ? 24 : 5, big: big)
        let issued = chance(1, in: 15) ? node.now.adding(seconds: 3600) : nil
        let tlp: TLP = chance(1, in: 6) ? .red : .green
        attempt(node) {
            let digest = try node.publish(path, content, tlp: tlp, issued: issued)
            paths[number, default: []].insert(path)
            if let issued { lastIssued = max(lastIssued, issued) }
            tell("\(node.city) publishes \(path) as \(digest.short), \(tlp.rawValue)\(issued == nil ? "" : ", an hour ahead")")
        }
    }

    private mutating func grant(_ number: Int) {
        let own = agreements.filter { $0.parties.contains(number) }
        guard !own.isEmpty else { return }
        let (digest, parties) = own[below(own.count)]
        let others = parties.filter { $0 != number }
        guard let first = others.first else { return }
        let other = others.count == 1 ? first : others[below(others.count)]
        let node = world.nodes[number]
        let pattern = ["\(node.city)/**", "\(node.city)/roads/**", "\(node.city)/water/**", "\(node.city)/plans"][below(4)]
        let until = chance(1, in: 4) ? node.now.adding(seconds: Int64(1 + below(30))) : nil
        let level: Grant.Level = chance(1, in: 5) ? .discover : .sync
        attempt(node) {
            let id = try node.grant(world.nodes[other].city, pattern, under: digest, level: level, until: until)
            grants.append((number, id))
            tell("\(node.city) grants \(level.rawValue) of \(pattern) under \(digest.short)\(until.map { " until \($0)" } ?? "")")
        }
    }

    private mutating func revoke() {
        guard !grants.isEmpty else { return }
        let (owner, id) = grants[below(grants.count)]
        tell("\(world.nodes[owner].city) revokes \(id)")
        attempt(world.nodes[owner]) { try world.nodes[owner].revoke(id) }
    }

    private mutating func withdraw(_ number: Int) {
        let all = (paths[number] ?? []).sorted()
        guard !all.isEmpty else { return }
        let path = all[below(all.count)]
        tell("\(world.nodes[number].city) withdraws \(path)")
        attempt(world.nodes[number]) { try world.nodes[number].withdraw(path) }
    }

    private mutating func terminate(_ number: Int, _ digest: Digest) {
        guard twins[number] == nil else { return }
        tell("\(world.nodes[number].city) terminates \(digest.short)")
        attempt(world.nodes[number]) { try world.nodes[number].terminate(digest) }
    }

    private mutating func agree(_ number: Int) {
        // A proposal that waits for us is accepted; otherwise we make one.
        let node = world.nodes[number]
        // A person who runs a city twice must not say yes with one and no with the other.
        guard twins[number] == nil else { return }
        let waiting =
            (try? node.metadata.read { store in
                try store.agreements().filter {
                    $0.state(at: node.now) == .proposed && !$0.signedBy.contains(node.city) && $0.isParty(node.city)
                }
            })?.first
        if let waiting {
            if chance(1, in: 5) {
                tell("\(node.city) rejects \(waiting.digest.short)")
                attempt(node) { try node.reject(waiting.digest) }
            } else {
                tell("\(node.city) accepts \(waiting.digest.short)")
                attempt(node) { try node.accept(waiting.digest) }
            }
            return
        }
        let other = (number + 1 + below(world.nodes.count - 1)) % world.nodes.count
        let id = "more-\(stepNumber)"
        attempt(node) {
            let digest = try world.propose(number, other, id: id)
            agreements.append((digest, [number, other]))
            if !world.link(number, other).isUsed { world.connect(number, other) }
            tell("\(node.city) proposes \(digest.short) to \(world.nodes[other].city)")
        }
    }

    // MARK: Endings

    /// Something large is published and shared, and ends while it is on its way.
    private mutating func endUnderWay(_ number: Int) {
        let node = world.nodes[number]
        let own = agreements.filter { $0.parties.contains(number) }
        guard !own.isEmpty else { return }
        let (agreement, parties) = own[below(own.count)]
        guard let other = parties.first(where: { $0 != number }) else { return }
        // Sometimes more than one frame's worth.
        let content = content(chunksMax: chance(1, in: 3) ? 100 : 24, big: true)
        let beside = chance(1, in: 2) ? self.content(chunksMax: 2, big: false) : nil
        let until = chance(1, in: 4) ? node.now.adding(milliseconds: Int64(300 + below(4000))) : nil
        var grant: String?
        attempt(node) {
            grant = try node.grant(world.nodes[other].city, "\(node.city)/large/**", under: agreement, until: until)
            let digest = try node.publish("large/one", content)
            // Beside it something small, which is complete while the other is still coming.
            if let beside { try node.publish("large/two", beside) }
            tell("\(node.city) publishes \(digest.short) for \(world.nodes[other].city)\(until.map { " until \($0)" } ?? "")")
        }
        guard let grant, !node.isDown else { return }
        paths[number, default: []].insert("large/one")
        grants.append((number, grant))
        wait(for: world.nodes[other], from: node)
        switch below(until == nil ? 7 : 9) {
        case 0...2:
            tell("\(node.city) revokes \(grant) meanwhile")
            attempt(node) { try node.revoke(grant) }
        case 3, 4:
            let path = beside != nil && chance(1, in: 2) ? "large/two" : "large/one"
            tell("\(node.city) withdraws \(path) meanwhile")
            attempt(node) { try node.withdraw(path) }
        case 5: if agreements.count > 1 || chance(1, in: 3) { terminate(number, agreement) }
        case 6: if agreements.count > 1 || chance(1, in: 3) { terminate(other, agreement) }
        default: break
        }
    }

    /// Until something is on its way between the two, for three seconds at most.
    private mutating func wait(for recipient: WorldNode, from publisher: WorldNode) {
        let wantsChunks = chance(1, in: 2)
        let more = Int64(below(300))
        for _ in 0..<60 {
            world.run(milliseconds: 50)
            guard let progress = recipient.puller(to: publisher.city)?.progress, progress.total > 0 else { continue }
            if progress.held > 0 || !wantsChunks { break }
        }
        world.run(milliseconds: more)
    }

    // MARK: Hostility

    /// What a city that lies signs: two releases of one number, releases that its partners' agreements forbid, and such as are not signed as they
    /// must be.
    private mutating func deceive() {
        guard let node = world.nodes.last, node.isHostile, !node.isDown else { return }
        let content = content(chunksMax: 5, big: false)
        let path = ["roads/a", "plans"][below(2)]
        let deed = below(5)
        if deed == 4 { return withdrawBeforeContent(node) }
        attempt(node) {
            switch deed {
            case 0:
                try node.publish(path, content)
                let digest = try node.publish(path, content, deceit: .sameNumber)
                tell("\(node.city) signs \(digest.short) under a number that it gave before")
            case 1:
                let digest = try node.publish("secret/plan", content, tlp: .red)
                watch.forbidden[digest] = "its classification is above the ceiling"
                try node.offerToAll(digest)
                tell("\(node.city) offers \(digest.short), which is red")
            case 2:
                let digest = try node.publish("practices/one", content, kind: .practice)
                watch.forbidden[digest] = "no term covers its kind"
                try node.offerToAll(digest)
                tell("\(node.city) offers \(digest.short), a practice")
            default:
                let digest = try node.publish(path, content, deceit: .otherKey)
                watch.forbidden[digest] = "its signature is no package key's"
                try node.offerToAll(digest)
                tell("\(node.city) offers \(digest.short), signed with another key")
            }
        }
    }

    /// A city withdraws what it offers, and lets the content that it was asked for before come after the withdrawal: a recipient that looks at
    /// withdrawals only when it asks takes what it must not.
    private mutating func withdrawBeforeContent(_ node: WorldNode) {
        let others = agreements.compactMap { (agreement, parties) in
            parties.contains(node.number) ? parties.first { $0 != node.number }.map { (agreement, $0) } : nil
        }
        guard !others.isEmpty else { return }
        let (agreement, other) = others[below(others.count)]
        let content = content(chunksMax: 2, big: false)
        node.hostility?.keep([.chunks])
        attempt(node) {
            try node.grant(world.nodes[other].city, "\(node.city)/late", under: agreement)
            try node.publish("late", content)
        }
        world.run(milliseconds: 1000 + Int64(below(4000)))
        node.hostility?.keep([.chunks, .feed])
        attempt(node) {
            let isWithdrawn = try node.withdraw("late")
            tell("\(node.city) withdraws late before its content comes\(isWithdrawn ? "" : ", and cannot")")
        }
        world.run(milliseconds: 500 + Int64(below(2000)))
        node.hostility?.keep([.feed])
        world.run(milliseconds: 500 + Int64(below(2000)))
        node.hostility?.keep([])
    }
}
