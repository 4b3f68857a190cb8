internal import Foundation
internal import HansaTestSupport

/// What many histories came to.
struct Tally: Codable {
    var histories: UInt64 = 0
    /// Seeds.
    var failed: [UInt64] = []
    /// Processes that ended by a signal: their seed stands on standard error.
    var trapped = 0
    private var frames = 0
    private var events = 0
    private var sessions = 0
    private var restarts = 0
    private var releases = 0
    private var smallFrames = 0
    private var healed = 0
    private var collections = 0
    private var segmentsCollected = 0
    private var healSecondsMax: Int64 = 0
    private var repairs = 0
    private var roundsMost = 0
    private var cities: [Int: Int] = [:]
    private var troubles: [String: Int] = [:]
    private var begun = ContinuousClock.now

    /// Not the clock: a process's own means nothing to another.
    private enum CodingKeys: CodingKey {
        case histories, failed, trapped, frames, events, sessions, restarts, releases, smallFrames, healed, collections,
            segmentsCollected,
            healSecondsMax, repairs, roundsMost,
            cities, troubles
    }

    init() {}

    static let unchecked = Invariant.allCases.filter { $0.check == nil }.map(\.rawValue).joined(separator: ", ")

    mutating func add(_ outcome: WorldHistory.Outcome) {
        frames += outcome.frames
        events += outcome.events
        sessions += outcome.sessions
        restarts += outcome.restarts
        releases += outcome.releases
        smallFrames += outcome.smallFrames
        healed += outcome.healed
        collections += outcome.collections
        segmentsCollected += outcome.segmentsCollected
        repairs += outcome.repairs
        roundsMost = max(roundsMost, outcome.repairRoundsMost)
        healSecondsMax = max(healSecondsMax, outcome.healSeconds)
        cities[outcome.cities, default: 0] += 1
        for trouble in outcome.troubles { troubles[trouble.rawValue, default: 0] += 1 }
    }

    mutating func add(_ other: Tally) {
        histories += other.histories
        failed = (failed + other.failed).sorted()
        trapped += other.trapped
        frames += other.frames
        events += other.events
        sessions += other.sessions
        restarts += other.restarts
        releases += other.releases
        smallFrames += other.smallFrames
        healed += other.healed
        collections += other.collections
        segmentsCollected += other.segmentsCollected
        repairs += other.repairs
        roundsMost = max(roundsMost, other.roundsMost)
        healSecondsMax = max(healSecondsMax, other.healSecondsMax)
        cities.merge(other.cities) { $0 + $1 }
        troubles.merge(other.troubles) { $0 + $1 }
    }

    /// One line, for the process that began this one.
    func encoded() throws -> String { Tally.mark + String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }

    /// Nil: the line is for people.
    init?(line: some StringProtocol) {
        guard line.hasPrefix(Tally.mark),
            let tally = try? JSONDecoder().decode(Tally.self, from: Data(line.dropFirst(Tally.mark.count).utf8))
        else { return nil }
        self = tally
    }

    private static let mark = "tally "

    func lines(seeds: UInt64) -> [String] {
        let spent = (ContinuousClock.now - begun).components
        let seconds = Double(spent.seconds) + Double(spent.attoseconds) / 1e18
        let rate = seconds > 0 ? Int(Double(histories) / seconds) : 0
        var lines = [
            "seeds \(seeds), failed \(failed.count); \(histories) histories in \(String(format: "%.1f", seconds)) s, \(rate) a second",
            "releases \(releases), sessions \(sessions), restarts \(restarts), frames \(frames), events \(events)",
            "repairs \(repairs), of \(roundsMost) rounds at most; frames of small releases \(smallFrames), releases that a partner healed \(healed), collections \(collections), segments \(segmentsCollected)",
            "cities \(cities.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", "))",
            "troubles \(troubles.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))",
            "longest heal \(healSecondsMax) s of virtual time",
        ]
        if !Tally.unchecked.isEmpty { lines.append("not checked yet: \(Tally.unchecked)") }
        if !failed.isEmpty { lines.append("failed: " + failed.prefix(40).map(String.init).joined(separator: " ")) }
        if trapped > 0 { lines.append("trapped: \(trapped) of the processes; the rest of their seeds was not run") }
        return lines
    }
}
