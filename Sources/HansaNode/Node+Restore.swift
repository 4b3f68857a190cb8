// `hansa restore`: a home was put back to an earlier state, and what it signed since is not known here.
//
// Partners show what they hold, and what they show comes back (`Puller+Recovery`). This command is for what nobody may have shown: packages shared
// with no one, partners that are away. Every number that we count on is raised by 2^20, so that nothing is signed under a number that was given out.
//
// The log cannot come back: partners hold checkpoints over it, not its entries. What this home would add to it would contradict what it said before. So it is
// closed, and a new one begins, named by the next keyring; its first entry says so (`LogChain`).
internal import Foundation
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

extension Node {
    public func restore(
        _ caller: Caller, _ request: RotationRequest, against text: String?, officerKey: (any OfficerSigner)?
    ) throws(Problem) -> JSONValue {
        // A publish that is under way has taken its numbers: it ends first, or finds them changed and says so.
        let document = publishing.withLock { _ in
            Result { () throws(Problem) in try self.restored(caller, request, against: text, officerKey) }
        }
        return try document.get()
    }

    func restored(
        _ caller: Caller, _ request: RotationRequest, against text: String?, _ officerKey: (any OfficerSigner)?,
        at step: (RotationStep) throws -> Void = { _ in }
    ) throws(Problem) -> JSONValue {
        let logs = try logChain()
        let given = try text.map { (text) throws(Problem) in try read(checkpoint: text, logs) }
        if let given, given.origin != logs.current.origin {
            throw Problem(
                .usage, "the checkpoint given is of \(given.origin), which is closed; \(logs.current.origin) is the log in use",
                try: "hansa audit verify --against FILE")
        }
        let current = logService.checkpoint.checkpoint
        if let given, given.size <= current.size {
            let report = try guarded { try logService.verify(against: [given]) }
            guard report.findings.contains(where: \.isDamage) else {
                throw Problem(
                    .usage,
                    "the log continues the checkpoint given: by that, nothing was lost, and there is nothing to restore. "
                        + "Without --against it is done all the same", try: "hansa audit verify --against FILE")
            }
        }
        let later = try laterCheckpoints()
        let common = try commonSize(with: later)
        let shown =
            later.map { (size: $0.checkpoint.size, by: $0.partner.text) } + (given.map { [($0.size, "checkpoint")] } ?? [])
        var packages = 0
        func succession(_ closing: Checkpoint) -> LogSuccession {
            LogSuccession(closing: closing, shown: shown, common: common)
        }
        var stated = succession(current)
        let number = logs.links.count + 1
        let opening = LogOpening(
            origin: logs.nextOrigin,
            storage: { try Node.logStorage(number, self.paths) },
            record: { tx, closing in
                let chains = try tx.ownChains(of: self.city)
                packages = chains.count
                stated = succession(closing.checkpoint)
                // First of all, so that whoever reads the new log knows what it follows.
                try tx.log(LogDraft(.logContinued, actor: self.actor(caller), details: stated.json))
                try tx.log(
                    LogDraft(
                        .homeRestored, actor: self.actor(caller),
                        details: ["packages": JSONValue(packages), "by": JSONValue(Node.fenceGap)]))
                for (package, lastSeq) in chains {
                    let (raised, overflows) = lastSeq.addingReportingOverflow(Node.fenceGap)
                    guard !overflows, raised < UInt64(Int64.max) else {
                        throw Problem(
                            .limitExceeded, "the numbers of \(package) are at their end", try: "publish it under another name")
                    }
                    try self.raise(package, to: raised, tx)
                }
            })
        var rotation = request
        rotation.key = "log"
        if rotation.dryRun { packages = try read { try $0.ownChains(of: self.city).count } }
        let members = try nextVersion(caller, rotation, .log, officerKey, opening: opening, at: step)
        let keyring = members.first { $0.name == "keyring" }?.value ?? .null
        let partners = members.first { $0.name == "partners" }?.value ?? .null
        return [
            "schema": "hansa.restore/1", "packages": JSONValue(packages), "raisedBy": JSONValue(Node.fenceGap),
            "checkpoint": ["size": JSONValue(stated.size), "root": JSONValue(stated.root)],
            "closed": stated.json, "log": .string(opening.origin), "keyring": keyring, "partners": partners,
            "dryRun": .bool(request.dryRun), "try": "hansa sync --wait",
        ]
    }

    /// Checkpoints of the log in use, under its own signature, that partners have shown and that it does not continue: it went back behind them.
    func laterCheckpoints() throws(Problem) -> [(partner: CityID, checkpoint: Checkpoint)] {
        let origin = keyring.log.name
        return try read { store in
            try store.partners().compactMap { partner in
                guard let note = try WitnessMemory.behind(partner.city, store), let checkpoint = try? Checkpoint(text: note.text),
                    checkpoint.origin == origin
                else { return nil }
                return (partner.city, checkpoint)
            }
        }
    }

    /// So many entries are known to stand in the log as it was and as it is: a partner that has shown a later checkpoint cosigned so many before
    /// that, and cosigns only what continues.
    private func commonSize(with later: [(partner: CityID, checkpoint: Checkpoint)]) throws(Problem) -> TreeSize {
        try guarded {
            try later.compactMap { partner, shown -> TreeSize? in
                let note = try metadata.read { try WitnessMemory.cosigned(by: partner, $0) }
                guard let note, let cosigned = try? Checkpoint(text: note.text), cosigned.origin == shown.origin,
                    cosigned.size <= min(shown.size, logService.checkpoint.size),
                    try logService.root(at: cosigned.size) == cosigned.root
                else { return nil }
                return cosigned.size
            }.max() ?? 0
        }
    }

    func logChain() throws(Problem) -> LogChain {
        try guarded { try LogChain(try metadata.read { try $0.keyringEnvelopes(of: self.city) }.map { try Keyring($0) }) }
    }

    static func logStorage(_ number: Int, _ paths: HomePaths) throws -> FileTileStorage {
        if number > 1 { try PosixDisk(root: paths.log).makeDirectory("\(number)") }
        return try FileTileStorage(disk: try PosixDisk(root: paths.log(number)))
    }
}
