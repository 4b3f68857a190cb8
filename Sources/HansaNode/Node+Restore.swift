// `hansa restore`: a home was put back to an earlier state, and what it signed since is not known here.
//
// Partners show what they hold, and what they show comes back (`Puller+Recovery`). This command is for what nobody may have shown: packages shared
// with no one, partners that are away. Every number that we count on is raised by 2^20, so that nothing is signed under a number that was given out.
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Synchronization

extension Node {
    public func restore(_ caller: Caller, dryRun: Bool) throws(Problem) -> JSONValue {
        let checkpoint = logService.checkpoint
        var packages = 0
        // A publish that is under way has taken its numbers: it ends first, or finds them changed and says so.
        let result = publishing.withLock { _ in
            Result { () throws(Problem) in
                guard !dryRun else {
                    packages = try read { try self.chains($0).count }
                    return
                }
                try change { tx in
                    let chains = try self.chains(tx)
                    packages = chains.count
                    for (package, lastSeq) in chains {
                        let (raised, overflows) = lastSeq.addingReportingOverflow(Node.fenceGap)
                        guard !overflows, raised < UInt64(Int64.max) else {
                            throw Problem(
                                .limitExceeded, "the numbers of \(package) are at their end", try: "publish it under another name"
                            )
                        }
                        try self.raise(package, to: raised, tx)
                    }
                    try tx.log(
                        LogDraft(
                            .homeRestored, actor: self.actor(caller),
                            details: [
                                "packages": JSONValue(packages), "by": JSONValue(Node.fenceGap),
                                "checkpoint": [
                                    "size": JSONValue(checkpoint.size.value), "root": JSONValue(checkpoint.root),
                                ],
                            ]))
                    return ((), ExchangeChanges())
                }
            }
        }
        try result.get()
        return [
            "schema": "hansa.restore/1", "packages": JSONValue(packages), "raisedBy": JSONValue(Node.fenceGap),
            "checkpoint": ["size": JSONValue(checkpoint.size.value), "root": JSONValue(checkpoint.root)],
            "dryRun": .bool(dryRun), "try": "hansa sync --wait",
        ]
    }

    /// What we have signed or may sign: our own packages, and those of others in which we have a chain.
    private func chains(_ store: any MetadataReading) throws -> [(PackageID, UInt64)] {
        var found: [(PackageID, UInt64)] = []
        try eachPackage(of: city, in: store) { found.append(($0.package, $0.lastSeq)) }
        let patterns = try store.policy().agreements.flatMap { $0.agreement.maintainers ?? [] }.filter {
            $0.cities.contains(self.city)
        }
        .flatMap(\.packages).filter { $0.city != self.city }
        for other in Set(patterns.map(\.city)).sorted() {
            try eachPackage(of: other, in: store) { row in
                guard patterns.contains(where: { $0.matches(row.package) }) else { return }
                found.append((row.package, try store.ownChain(of: row.package, by: city).lastSeq))
            }
        }
        return found
    }
}
