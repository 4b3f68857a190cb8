// The store looked at as a whole: every byte and place, what is kept for whom, and places made again.
public import HansaCore
internal import HansaDocuments
internal import HansaStore
internal import HansaSync
internal import Logging
internal import Synchronization

extension Node {
    public func storeCheck(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue {
        let check = try guarded {
            try surveying.withLock { _ in
                // What was met before and can be read after all is no finding.
                try context.lookAgain(at: clock.now, atOnce: true)
                let check = try StoreCheck(of: metadata, content, progress: reading(conversation))
                try remember(check)
                try mend(check)
                return check
            }
        }
        return document("hansa.store-check/1", check, [])
    }

    public func storeRebuild(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue {
        let rebuild = try guarded {
            try surveying.withLock { _ in
                let rebuild = try StoreRebuild(of: metadata, content, dryRun: dryRun, progress: reading(conversation))
                if !dryRun { try mend(rebuild.check) }
                return rebuild
            }
        }
        let damaged = rebuild.check.findings.contains { $0.package == nil && $0.isNeeded }
        return document(
            "hansa.store-rebuild/1", rebuild.check,
            [
                JSONMember("placed", JSONValue(rebuild.placed)), JSONMember("stillLost", JSONValue(rebuild.stillLost)),
                JSONMember("dryRun", .bool(dryRun)),
                // What is wrong with bytes, documents and indexes is as wrong as before.
                JSONMember("valid", .bool(rebuild.check.isSound || !dryRun && rebuild.stillLost == 0 && !damaged)),
            ])
    }

    /// What a check found is put right like what any reader finds.
    private func remember(_ check: StoreCheck) throws {
        for start in stride(from: 0, to: check.damagedBlocks.count, by: 1000) {
            for block in check.damagedBlocks[start..<min(start + 1000, check.damagedBlocks.count)] {
                context.damage.note(nil, block: block, "found by a check")
            }
            try context.recordDamage(at: clock.now)
        }
        for start in stride(from: 0, to: check.damagedReleases.count, by: 1000) {
            for item in check.damagedReleases[start..<min(start + 1000, check.damagedReleases.count)] {
                context.damage.note(item.release, block: nil, item.problem)
            }
            try context.recordDamage(at: clock.now)
        }
    }

    /// Headers and lists of records follow from the records.
    private func mend(_ check: StoreCheck) throws {
        for segment in check.mendable.sorted() {
            let isWhole = try content.mend(segment)
            log.warning(
                "a segment's header or list of records was damaged",
                metadata: ["segment": "\(segment)", "isWrittenAnew": "\(isWhole)"])
        }
    }

    /// Segments were shorter than the database says, or gone, when the store was opened: which releases that damages is found out, and they heal.
    func checkLostSegments() throws {
        guard !lostSegments.isEmpty else { return }
        let check = try surveying.withLock { _ in
            let check = try StoreCheck(of: metadata, content, only: lostSegments)
            try remember(check)
            return check
        }
        log.error(
            "what was lost of segments was looked at",
            metadata: ["segments": "\(lostSegments.sorted())", "damagedReleases": "\(check.damagedReleases.count)"])
    }

    /// Where what is damaged here comes from, and what a person does about it.
    func remedy(for release: ReleaseRow) throws -> (text: String, command: String) {
        let package = release.release.package
        if release.servedBy != city {
            return ("it is fetched anew from \(release.servedBy)", "hansa sync \(release.servedBy) --wait")
        }
        let holders = try metadata.read { store in
            try store.publishedViews().filter { try store.member($0.id, release.digest)?.outcome == .accepted }.map(\.recipient)
        }
        if let holder = holders.first { return ("it is fetched back from \(holder)", "hansa sync \(holder) --wait") }
        return ("no partner has it: publish its directory again", "hansa package publish DIR, for \(package)")
    }

    /// Notes and records what of a release cannot be read here, and says so.
    func damaged(_ release: ReleaseRow, block: ContentLocation?, _ what: String) -> Problem {
        context.damage.note(release.digest, block: block, what)
        do { try context.recordDamage(at: clock.now) } catch { storeFailed(error) }
        let remedy = try? remedy(for: release)
        return Problem(
            .contentDamaged,
            "\(release.release.package) \(release.release.version) cannot be read in part: \(what)\(remedy.map { "; " + $0.text } ?? "")",
            try: remedy?.command ?? "hansa doctor")
    }

    private func document(_ schema: String, _ check: StoreCheck, _ more: [JSONMember]) -> JSONValue {
        var members: [JSONMember] = [JSONMember("schema", .string(schema))]
        members += more.isEmpty ? [JSONMember("valid", .bool(check.isSound))] : more
        members += [
            JSONMember("segments", JSONValue(check.segments)), JSONMember("records", JSONValue(check.records)),
            JSONMember("bytes", JSONValue(check.bytes)), JSONMember("releases", JSONValue(check.releases)),
            JSONMember("chunks", JSONValue(check.chunks)), JSONMember("findingsCount", JSONValue(check.findingsCount)),
            JSONMember("unneededCount", JSONValue(check.unneededCount)),
            JSONMember(
                "findings",
                .array(
                    check.findings.map { finding in
                        [
                            "problem": .string(finding.problem), "package": JSONValue(finding.package?.description),
                            "version": JSONValue(finding.version?.description), "needed": .bool(finding.isNeeded),
                            "segment": finding.segment.map { JSONValue(Int($0)) } ?? .null,
                            "offset": finding.offset.map { JSONValue($0) } ?? .null,
                        ]
                    })),
        ]
        return .object(members)
    }

    public func storeStats(_ caller: Caller, conversation: any Conversation) throws(Problem) -> JSONValue {
        let (stats, plan) = try guarded {
            try surveying.withLock { _ in
                let stats = try StoreStatistics(of: metadata, content) { done, total in
                    try Node.stop(conversation)
                    conversation.report(
                        Progress(item: "packages", bytesDone: 0, bytesTotal: nil, itemsDone: done, itemsTotal: total))
                }
                return (stats, try collection.plan { try Node.stop(conversation) })
            }
        }
        return [
            "schema": "hansa.store-stats/1", "segments": JSONValue(stats.segments), "diskBytes": JSONValue(stats.diskBytes),
            "rawBytes": JSONValue(stats.rawBytes), "storedBytes": JSONValue(stats.storedBytes),
            "reclaimableBytes": JSONValue(plan.bytesFreed),
            "releases": JSONValue(stats.releases),
            "chunks": JSONValue(stats.chunks),
            "packages": .array(
                stats.packages.map {
                    [
                        "package": .string($0.package.description), "releases": JSONValue($0.releases),
                        "bytes": JSONValue($0.bytes),
                        "rawBytes": JSONValue($0.rawBytes), "storedBytes": JSONValue($0.storedBytes),
                        "sharedBytes": JSONValue($0.sharedBytes),
                    ]
                }),
        ]
    }

    public func storeCollect(_ caller: Caller, dryRun: Bool, conversation: any Conversation) throws(Problem) -> JSONValue {
        // A command without a node is alone in the house: nothing has to wait.
        let isAlone = network.withLock { $0 == nil }
        let report = try guarded {
            try surveying.withLock { _ in
                if dryRun { return try collection.plan { try Node.stop(conversation) } }
                var done: UInt64 = 0
                return try collect(at: clock.now, isAlone: isAlone) { bytes in
                    done += bytes
                    try Node.stop(conversation)
                    conversation.report(
                        Progress(item: "segments", bytesDone: done, bytesTotal: nil, itemsDone: 0, itemsTotal: nil))
                }
            }
        }
        return [
            "schema": "hansa.store-collect/1", "dryRun": .bool(dryRun), "releasesGivenUp": JSONValue(report.releasesGivenUp),
            "chunks": JSONValue(report.chunksSwept), "chunksWaiting": JSONValue(report.chunksWaiting),
            "segments": JSONValue(report.segmentsRewritten), "bytesCopied": JSONValue(report.bytesCopied),
            "bytesFreed": JSONValue(report.bytesFreed), "bytesDeleted": JSONValue(report.bytesDeleted),
            "bytesWaiting": JSONValue(report.bytesWaiting), "damaged": JSONValue(report.damaged.count),
        ]
    }

    private func reading(_ conversation: any Conversation) -> (UInt64, UInt64) throws -> Void {
        { done, total in
            try Node.stop(conversation)
            conversation.report(Progress(item: "segments", bytesDone: done, bytesTotal: total, itemsDone: 0, itemsTotal: nil))
        }
    }

    private static func stop(_ conversation: any Conversation) throws(Problem) {
        guard conversation.isCancelled else { return }
        throw Problem(.interrupted, "interrupted; what was done stays, the rest is as it was", exit: .interrupted)
    }
}
