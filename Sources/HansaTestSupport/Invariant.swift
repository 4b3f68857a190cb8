/// What must hold (SYNC.md §8), by name. A finding begins with the name of what it breaks.
public enum Invariant: String, CaseIterable, Sendable {
    case s1 = "S1"
    case s2 = "S2"
    case s3 = "S3"
    case s4 = "S4"
    case s5 = "S5"
    case s6 = "S6"
    case s7 = "S7"
    case s8 = "S8"
    case s9 = "S9"
    case s10 = "S10"
    case s11 = "S11"
    case s12 = "S12"
    case s13 = "S13"
    case s14 = "S14"
    case l1 = "L1"
    case l2 = "L2"
    case l3 = "L3"
    case l4 = "L4"
    case l5 = "L5"
    /// Not of SYNC.md: the first two invariants of ARCHITECTURE.md, and the manners of honest cities.
    case log = "LOG"
    case wire = "WIRE"
    case thrown = "THROWN"

    /// How it is looked at; nil: nothing here does yet.
    public var check: String? {
        switch self {
        case .s1: "every frame, taken apart, against what its reader may see when it is made; content against the chunks it names"
        case .s2: "each receipt and acknowledgement: rows there, bytes durable; again after every restart"
        case .s3: "what is held equals what was published; nothing forged or forbidden is ever held"
        case .s4: "after every step: nothing at or below a known withdrawal is accepted; at the end every recipient knows of it"
        case .s5:
            "one writer: the head is the highest release held; several: at the end, the heads are the releases that no other has heard of"
        case .s6:
            "an honest city never signs two releases of one number unless it was put back; nobody holds two; a proof is kept of those refused as forks, and of no other"
        case .s7:
            "numbers, chain and clocks of what honest cities sign; at the end, cities that hold the same releases of several writers count the same head"
        case .s8: "after every step: each digest against its rows; honest cities never differ at one cursor"
        case .s9: "after every step: what a session keeps in memory for its partner, against the limits; CPU: not looked at"
        case .s10: "world `repeats`: frames come twice and out of order, and all ends as it would have"
        case .s12: "content when it is made and again when it leaves, against revocations that the city knows of"
        case .s13: "after every step: each marked chunk is held and hashes to its id; `equal` only with equal digests"
        case .s14: "hostile partners and repeated frames; a trap ends the run and names its seed"
        case .l1: "after faults end all honest pairs reach equal digests"
        case .l2: "each repair between honest cities: its rounds as frames number them, 8 at most; that it mends is L1"
        case .l3:
            "after every step: no session idles in two turns while content is wanted and there is credit; sharing among sessions is the node's, not the world's"
        case .l4: "world `hostile`: L1 among the honest, in the same time, while the hostile go on"
        case .l5: "no frame leaves within a minute when all is equal"
        case .log: "each release that was offered and delivered stands in the log; numbers of transfers are given once"
        case .wire: "no honest city calls another's frame a violation; every receipt reaches its publisher"
        case .thrown: "no error of a disk or store goes past the node that met it"
        case .s11: "world `collection`: after each pass, and each start since, all that is held or on its way is read in full"
        }
    }

    /// The invariant that a finding names.
    public static func named(in finding: String) -> Invariant? {
        finding.split(separator: ":", maxSplits: 1).first.flatMap { Invariant(rawValue: String($0)) }
    }
}
