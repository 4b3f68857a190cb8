// Answers that a publisher owes to asks for chunks of transfers that have ended: they may still come, are passed over, and take their part of what may be asked
// for until they have. An honest publisher answers every run, also of what it has dropped; one that does not is asked for nothing more.
internal import HansaCore

struct OwedAnswers {
    /// Releases of which some is owed: from so many on nothing is asked for. And as many again of which nothing is.
    static let releasesMax = 4096

    private struct Owed {
        var bytes = 0
        /// What is said not to come. It was said of one ask, and others may be answered all the same.
        var excused = 0
    }

    private var owed: [Digest: Owed] = [:]
    /// Those of which nothing is owed, the oldest first; some places are void.
    private var excused: [Digest] = []
    private var owing = 0
    /// Raw bytes.
    private(set) var bytes = 0

    var count: Int { owed.count }
    var isFull: Bool { owing >= OwedAnswers.releasesMax }
    func contains(_ release: Digest) -> Bool { owed[release] != nil }
    /// Whether so many bytes can be an answer to an old ask.
    func covers(_ rawLength: Int, of release: Digest) -> Bool {
        owed[release].map { $0.bytes + $0.excused >= rawLength } ?? false
    }

    mutating func add(_ rawLength: Int, of release: Digest) {
        guard rawLength > 0 else { return }
        var entry = owed[release] ?? Owed()
        entry.bytes += rawLength
        set(entry, of: release)
    }

    mutating func came(_ rawLength: Int, of release: Digest) {
        guard var entry = owed[release] else { return }
        let left = max(0, entry.bytes + entry.excused - rawLength)
        entry.bytes = max(0, entry.bytes - rawLength)
        entry.excused = left - entry.bytes
        set(entry, of: release)
    }

    /// It was asked for in one way and is asked for in another: it need not come, and may.
    mutating func excuse(_ rawLength: Int, of release: Digest) {
        guard rawLength > 0 else { return }
        var entry = owed[release] ?? Owed()
        entry.excused += rawLength
        set(entry, of: release)
    }

    /// One of the asks was answered with nothing.
    mutating func isAbsent(_ release: Digest) {
        guard var entry = owed[release] else { return }
        (entry.bytes, entry.excused) = (0, entry.bytes + entry.excused)
        set(entry, of: release)
    }

    private mutating func set(_ entry: Owed, of release: Digest) {
        let before = owed[release]
        bytes += entry.bytes - (before?.bytes ?? 0)
        owing += (entry.bytes > 0 ? 1 : 0) - (before.map { $0.bytes > 0 } ?? false ? 1 : 0)
        guard entry.bytes > 0 || entry.excused > 0 else {
            owed[release] = nil
            return
        }
        owed[release] = entry
        guard entry.bytes == 0, before?.bytes != 0 else { return }
        excused.append(release)
        guard owed.count - owing > OwedAnswers.releasesMax || excused.count > 2 * OwedAnswers.releasesMax else { return }
        // Half of them at once: what is said of each is not moved for each.
        var seen: Set<Digest> = []
        let known = excused.reversed().filter { owed[$0]?.bytes == 0 && seen.insert($0).inserted }
        for gone in known.dropFirst(OwedAnswers.releasesMax / 2) { owed[gone] = nil }
        excused = known.prefix(OwedAnswers.releasesMax / 2).reversed()
    }
}
