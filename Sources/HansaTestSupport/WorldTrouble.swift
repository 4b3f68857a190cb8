/// What a history does to its cities beyond their work.
public enum Trouble: String, CaseIterable, Sendable {
    /// Links break, are cut and joined.
    case cuts
    /// Both cities dial: two sessions between one pair.
    case twoSessions
    /// Frames come twice and out of order.
    case repeats
    case slowness
    /// The power fails between two events; `stops`: within an operation of the disk.
    case crashes, stops
    case fullDisks, failedSyncs, writeErrors
    /// Bits are read wrong for a while.
    case misreads
    /// A transaction fails at its commit.
    case commitFaults
    case clocks
    /// A grant, an agreement or a package ends while its content is under way.
    case endings
    /// A node's stores are put back to an earlier state.
    case restores
    /// Keys get successors, some because they came out.
    case rotations
    /// A city runs twice, from one backup: each of the two publishes and meets partners in its turn.
    case clones
    /// One city lies.
    case hostility
    /// Several cities write one package, and do so at once.
    case writers
    /// A release passes from one city through another.
    case relays
    /// Bits turn on a disk for good, in what a partner gave.
    case damage
    /// What nobody needs is collected while all else goes on. Rows are in SQLite then.
    case collection
}

extension Trouble {
    /// They need a third city.
    static let ofThree: Set<Trouble> = [.writers, .relays]
    /// Of families of their own.
    static let ofFamilies: Set<Trouble> = [.writers, .relays, .damage, .collection]
}

/// A family of histories, by name.
public enum WorldKind: String, CaseIterable, Sendable {
    case calm, links, crashes, disks, clocks, endings, restores, keys, clones, repeats, hostile, writers, relays, damage
    case collection, many, pairs, mixed

    public var summary: String {
        switch self {
        case .calm: "no trouble but what cities themselves decide"
        case .links: "cuts, two sessions of one pair, slow workers"
        case .crashes: "power fails between events and within operations of the disk"
        case .disks: "full, slow, failing and lying disks; commits that fail"
        case .clocks: "clocks jump by up to an hour"
        case .endings: "grants, agreements and packages end while content is under way"
        case .restores: "nodes are put back to an older state of themselves"
        case .keys: "officers, package keys and TLS keys get successors while links break and power fails"
        case .clones: "a city runs twice from one backup, and both publish"
        case .repeats: "frames come twice and out of order"
        case .hostile: "one of three to five cities lies"
        case .writers: "three or four cities, of which two or three write the same packages at once"
        case .relays: "three or four cities in a row, each passing on what the one before gives"
        case .damage: "bits turn on disks for good, and what they were comes from partners"
        case .collection: "cities collect what nobody needs, and lose power meanwhile; rows in SQLite"
        case .many: "four to twelve cities, all honest troubles"
        case .pairs: "the seed picks troubles and cities, in agreements of two"
        case .mixed:
            "as `pairs`, and for one seed in three writers, relays, damage or collection (the default)"
        }
    }

    func troubles(_ random: inout SplitMix64) -> Set<Trouble> {
        switch self {
        case .calm: return []
        case .links: return [.cuts, .twoSessions, .slowness]
        case .crashes: return [.crashes, .stops]
        case .disks: return [.fullDisks, .failedSyncs, .writeErrors, .misreads, .commitFaults, .slowness]
        case .clocks: return [.clocks, .cuts]
        case .endings: return [.endings, .cuts, .slowness]
        case .restores: return [.restores, .crashes]
        case .keys: return [.rotations, .cuts, .crashes]
        case .clones: return [.clones, .cuts]
        case .repeats: return [.repeats, .cuts]
        case .hostile: return [.hostility, .cuts, .crashes]
        case .writers: return [.writers, .cuts, .crashes, .slowness, .endings]
        case .relays: return [.relays, .cuts, .crashes, .slowness, .endings]
        case .damage: return Set([.damage, .cuts, .slowness, .crashes] + (random.next() % 2 == 0 ? [.hostility] : []))
        case .collection: return [.collection, .cuts, .crashes, .stops, .endings]
        case .many, .pairs, .mixed:
            // Half of the seeds see all that honest cities see; the others a part, so that each trouble has room to do harm.
            let rare: [Trouble] = [.hostility, .repeats, .restores, .clones]
            let honest = Trouble.allCases.filter { !rare.contains($0) && !Trouble.ofFamilies.contains($0) }
            var chosen = Set(random.next() % 2 == 0 ? honest : honest.filter { _ in random.next() % 3 == 0 })
            if self != .many { for one in rare where random.next() % 6 == 0 { chosen.insert(one) } }
            return chosen
        }
    }

    /// The family that a seed of `mixed` tells instead of what `pairs` would; drawn from a source of its own, so that the others stay what they are there.
    func family(_ random: inout SplitMix64) -> WorldKind? {
        guard self == .mixed, random.next() % 3 == 0 else { return nil }
        let families: [WorldKind] = [.writers, .relays, .damage, .collection]
        return families[Int(random.next() % UInt64(families.count))]
    }

    func nodes(_ random: inout SplitMix64, _ troubles: Set<Trouble>) -> Int {
        let draw = random.next()
        if self == .many { return 4 + Int(draw % 9) }
        if troubles.contains(.hostility) { return 3 + Int(draw % 3) }
        switch draw % 100 {
        case 0..<64: return 2
        case 64..<90: return 3
        default: return [.mixed, .pairs].contains(self) && draw % 10 == 0 ? 4 + Int(draw / 100 % 3) : 3
        }
    }
}
