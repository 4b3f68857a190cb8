// Logs that `hansa restore` closed: read and verified where they lie, and how the next one follows.
internal import HansaCore
internal import HansaLog
internal import HansaStore
internal import HansaSync

extension Node {
    struct Finding {
        let problem: String
        let isDamage: Bool
        init(_ problem: String, isDamage: Bool) {
            self.problem = problem
            self.isDamage = isDamage
        }
    }

    struct ClosedLog {
        let origin: String
        let size: TreeSize
        let root: Digest
        let lost: JSONValue?
        let findings: [Finding]
    }

    /// Verifies each closed log by itself, and that the next one begins by naming its last checkpoint. A checkpoint that the caller knows of one of
    /// them may be over more entries than it has: these are the ones that were lost, and the log that follows says so.
    func verifyClosed(_ logs: LogChain, against known: Checkpoint?) throws(Problem) -> [ClosedLog] {
        var closed: [ClosedLog] = []
        for link in logs.closed {
            guard let key = link.keys.last, let follower = logs.links.first(where: { $0.number == link.number + 1 }) else {
                continue
            }
            let storage = try guarded { try Node.logStorage(link.number, paths) }
            var earlier: [Checkpoint] = []
            var later: Checkpoint?
            let signed = try? closedCheckpoint(of: link)
            if let known, known.origin == link.origin {
                if let signed, known.size > signed.size { later = known } else { earlier = [known] }
            }
            let first = try bytes(at: 0, of: follower, logs).bytes
            let succession = first.flatMap { try? LogEntry($0) }.flatMap { LogSuccession($0) }
            let report = LogVerifier.verify(storage, key: key, former: Array(link.keys.dropLast()), known: earlier)
            var findings = report.findings.compactMap { finding -> Finding? in
                // The log had been written on before it was closed: other entries took the place of those that were lost, of which there may have
                // been more than anybody had shown.
                if case .historyDiffers(let size) = finding, let lost = succession?.lost, lost.first < size.value {
                    later = known
                    return nil
                }
                return Finding("\(link.origin): \(finding)", isDamage: finding.isDamage)
            }
            if let succession, succession.origin == link.origin, succession.size == report.size.value,
                succession.root == report.root
            {
                if let later {
                    findings.append(
                        Finding(
                            "\(link.origin): the checkpoint given is over \(later.size) entries; those from \(succession.lost?.first ?? succession.size) on were lost, "
                                + "and \(follower.origin) follows since then", isDamage: false))
                }
            } else {
                findings.append(
                    Finding("\(follower.origin) does not begin with the checkpoint that closed \(link.origin)", isDamage: true))
            }
            closed.append(
                ClosedLog(
                    origin: link.origin, size: report.size, root: report.root, lost: succession?.json["lost"], findings: findings)
            )
        }
        return closed
    }

    /// The last checkpoint of a closed log, as it lies.
    private func closedCheckpoint(of link: LogChain.Link) throws -> SignedCheckpoint {
        guard let bytes = try Node.logStorage(link.number, paths).read(TileFile.checkpointPath) else {
            throw StoreFault.damaged("\(link.origin) has no checkpoint")
        }
        for key in link.keys.dropLast() { if let signed = try? SignedCheckpoint(bytes, log: key) { return signed } }
        guard let key = link.keys.last else { throw StoreFault.damaged("\(link.origin) has no key") }
        return try SignedCheckpoint(bytes, log: key)
    }

    /// One entry of any of our logs, and how many that log has.
    func bytes(at index: LeafIndex, of link: LogChain.Link, _ logs: LogChain) throws(Problem) -> (bytes: [UInt8]?, size: UInt64) {
        try guarded {
            guard link.number != logs.current.number else {
                return (try logService.bytes(at: index), try logService.size.value)
            }
            let signed = try closedCheckpoint(of: link)
            guard signed.size.contains(index) else { return (nil, signed.size.value) }
            var reader = LogReader(storage: try Node.logStorage(link.number, paths), size: signed.size)
            return (try reader.entry(at: index), signed.size.value)
        }
    }

    /// The entries of a closed log that match, in order, in batches.
    func eachEntry(of link: LogChain.Link, matching query: LogQuery, _ body: ([LogEntry]) throws(Problem) -> Void) throws(Problem)
    {
        let (storage, size) = try guarded { (try Node.logStorage(link.number, paths), try closedCheckpoint(of: link).size) }
        var reader = LogReader(storage: storage, size: size)
        var batch: [LogEntry] = []
        for index in 0..<size.value {
            let entry = try guarded { try LogEntry(try reader.entry(at: LeafIndex(index))) }
            guard query.matches(entry) else { continue }
            batch.append(entry)
            if batch.count == 1000 {
                try body(batch)
                batch = []
            }
        }
        if !batch.isEmpty { try body(batch) }
    }
}
