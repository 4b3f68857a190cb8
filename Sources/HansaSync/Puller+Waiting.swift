// What a package that a partner lists for us waits for, for `why`: it is asked of the session, because a release has rows only once it is committed, refused
// or durable in part.
public import HansaCore
internal import HansaDocuments

extension Puller {
    public enum Waiting: Sendable, Equatable {
        /// Chunks here, and in all; none in all while the index is on its way.
        case fetching(held: Int, of: Int)
        /// Everything is here and checked, and waits for its transaction.
        case committing
        /// It is checked again then: its date, its agreement or the keyring that signed it lies ahead.
        case notYetDue(Timestamp)
        /// A maintainer's release, of which the owner's release that it names is not here yet.
        case missingParent
        /// The publisher lists it, and had nothing of it when it was asked; it is asked again then.
        case unavailableThere(Timestamp)
    }

    /// Of the releases of a package that are on their way, the one that is furthest; nil where none is known to be one of it. O(what is on its way).
    public func waiting(for package: PackageID) throws -> Waiting? {
        let running = transfers.values.filter { $0.release.package == package }
        if let transfer = running.max(by: { ($0.held, $1.digest) < ($1.held, $0.digest) }) {
            return .fetching(held: transfer.held, of: transfer.entries.count)
        }
        for item in settled {
            switch item {
            case .accepted(let transfer) where transfer.release.package == package: return .committing
            case .adopted(_, package): return .committing
            default: break
            }
        }
        let items = parked.values.filter { named[$0.wanted.release]?.package == package }
        guard let item = items.min(by: { ($0.until, $0.wanted.release) < ($1.until, $1.wanted.release) }) else { return nil }
        if putOffTimes[item.wanted.release] != nil { return .unavailableThere(item.until) }
        let ownersSeq = named[item.wanted.release]?.ownersSeq ?? 0
        let known = try context.metadata.read { try $0.package(package).map { max($0.lastSeq, $0.withdrawnSeq ?? 0) } ?? 0 }
        return ownersSeq > known ? .missingParent : .notYetDue(item.until)
    }

    /// Releases that the partner lists, and of which no document has said yet what package they are of.
    public var unnamedCount: Int { parked.keys.count { named[$0] == nil } + wanted.keys.count { named[$0] == nil } }
}
