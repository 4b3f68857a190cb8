// Several heads of a package become one: a proposal is made of two of them, cell by cell, looked at by a person, and published as a release that
// follows both. Where nothing contradicts itself and the agreement says `autoMerge`, the owner's node publishes it by itself.
internal import Foundation
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaPackages
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Logging
internal import Synchronization

/// A merge of two heads, lying in a directory of the node's own.
private struct MergeProposal {
    let package: PackageID
    let base: ReleaseRow?
    let ours: ReleaseRow
    let theirs: ReleaseRow
    /// How many heads there are in all.
    let heads: Int
    /// Every release of all of them.
    let made: Set<Digest>
    let scratch: ScratchDirectory
    /// Why nothing of it is clean, whatever the cells say.
    let doubt: String?
    /// By path, with what became of each.
    var files: [JSONValue] = []
    var conflicts: UInt64 = 0

    var isClean: Bool { conflicts == 0 && doubt == nil }
}

extension Node {
    /// Merges the head that counts with another. With `sink` the merged files are written there; with `publish` they are signed, which is refused
    /// while a person has something to decide.
    public func conflictMerge(
        _ caller: Caller, package text: String, with reference: String?, publish: Bool, limit: Int, dryRun: Bool,
        sink: (any CheckoutSink)?,
        conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        guard (0...1000).contains(limit) else { throw Problem(.usage, "--limit is between 0 and 1000", try: "--limit 20") }
        let id = try packageID(text)
        if publish { try mustBeMaintainer(of: id) }
        if let sink, try !sink.listing(of: "").isEmpty {
            throw Problem(
                .checkoutModified, "a proposal is written into a new or empty directory", try: "hansa conflict merge \(id) NEWDIR"
            )
        }
        let proposal = try proposal(id, with: reference, limit: limit, conversation)
        defer { proposal.scratch.remove() }
        var published: JSONValue = .null
        if let sink, !dryRun {
            try guarded {
                // First: without it a part of the files would pass for a merge that somebody made by hand.
                let note = MergeNote(package: id.description, heads: proposal.made.sorted())
                try proposal.scratch.put(Array(note.text.utf8), as: MergeNote.fileName, into: sink)
                try proposal.scratch.copy(to: sink)
            }
        }
        if publish {
            if let doubt = proposal.doubt {
                throw Problem(
                    .packageForked, "\(id): \(doubt)",
                    try: "hansa conflict merge \(id) DIR, look at it, then hansa conflict resolve \(id) --merge DIR")
            }
            guard proposal.isClean else {
                throw Problem(
                    .packageForked,
                    "\(proposal.conflicts) \(proposal.conflicts == 1 ? "place" : "places") of \(id) contradict each other: a person decides them",
                    try: "hansa conflict merge \(id) DIR, edit it, then hansa conflict resolve \(id) --merge DIR")
            }
            guard proposal.heads == 2 else { throw tooManyHeads(id, proposal.heads) }
            published = try self.publish(proposal.scratch, as: id, of: proposal.made, by: caller, dryRun: dryRun)
        }
        func side(_ row: ReleaseRow?) -> JSONValue {
            guard let row else { return .null }
            return [
                "release": JSONValue(row.digest), "city": .string(row.release.writer.text),
                "version": .string(row.release.version.description),
            ]
        }
        return [
            "schema": "hansa.conflict-merge/1", "package": .string(id.description), "base": side(proposal.base),
            "ours": side(proposal.ours), "theirs": side(proposal.theirs), "heads": JSONValue(proposal.heads),
            "clean": .bool(proposal.isClean), "doubt": JSONValue(proposal.doubt), "conflicts": JSONValue(proposal.conflicts),
            "files": .array(proposal.files),
            "published": published, "dryRun": .bool(dryRun),
        ]
    }

    private func tooManyHeads(_ id: PackageID, _ count: Int) -> Problem {
        Problem(
            .packageForked,
            "\(id) has \(count) heads, and a proposal holds two of them: what the others say is for a person to add",
            try: "hansa conflict merge \(id) DIR, edit it, then hansa conflict resolve \(id) --merge DIR")
    }

    func mustBeMaintainer(of id: PackageID) throws(Problem) {
        let isWriter = try read { store in
            try id.city == self.city
                || store.policy().maintenance(of: id, at: self.clock.now)?.cities.contains(self.city) == true
        }
        guard isWriter else {
            throw Problem(
                .notAuthoritative, "\(id) is written by \(id.city) and those that an agreement names: we are not among them",
                try: "hansa conflict show \(id)")
        }
    }

    private func proposal(_ id: PackageID, with reference: String?, limit: Int, _ conversation: any Conversation) throws(Problem)
        -> MergeProposal
    {
        let (row, state) = try read { store -> (PackageRow?, Heads.State?) in
            guard let row = try store.package(id) else { return (nil, nil) }
            return (row, try self.context.heads(of: id, in: store, at: self.clock.now))
        }
        guard let row, let state else { throw Problem(.packageUnknown, "there is no package \(id)", try: "hansa package list") }
        let heads = state.graph.heads.compactMap(\.releases.first)
        guard let counted = state.counted, heads.count > 1 || state.isWaiting else {
            throw Problem(.usage, "\(id) has one head: there is nothing to merge", try: "hansa package history \(id)")
        }
        let others = heads.filter { head in
            head != counted && !state.graph.heads.contains { $0.releases.contains(head) && $0.releases.contains(counted) }
        }
        var other = others.first
        if let reference {
            let named = try resolve(reference).release.digest
            guard others.contains(named) else {
                throw Problem(.usage, "\(reference.printable()) is no other head of \(id)", try: "hansa conflict show \(id)")
            }
            other = named
        }
        guard let other else { throw Problem(.usage, "\(id) has one head: there is nothing to merge") }
        let ancestors = state.graph.commonAncestors(of: counted, other)
        let rows = try read { store in
            (try ancestors.compactMap { try store.release($0) }, try store.release(counted), try store.release(other))
        }
        guard let ours = rows.1, let theirs = rows.2, ours.hasContent, theirs.hasContent else {
            throw Problem(.packageNotShared, "not every head of \(id) has its content here", try: "hansa conflict show \(id)")
        }
        try mayCheckOut(row, ours)
        try mayCheckOut(row, theirs)
        let base = rows.0.first(where: \.hasContent)
        var proposal = MergeProposal(
            package: id, base: base, ours: ours, theirs: theirs, heads: max(2, heads.count), made: state.headReleases,
            scratch: try guarded { try ScratchDirectory(in: paths.run) },
            doubt: doubt(ancestors.compactMap { state.graph.node($0) }, base))
        do { try merge(into: &proposal, limit, conversation) } catch {
            proposal.scratch.remove()
            throw problem(from: error)
        }
        return proposal
    }

    /// Why a merge against `base` proves nothing. Against one of several newest ancestors a cell that merges before decided differently looks as if
    /// one side alone had changed it; without any, what one side deleted looks as if the other had added it.
    private func doubt(_ ancestors: [VersionGraph.Node], _ base: ReleaseRow?) -> String? {
        // Of equal content they are one, whoever signed it.
        if Set(ancestors.map { $0.content ?? $0.digest }).count > 1 {
            let names = ancestors.map { "\($0.digest.short) by \($0.writer)" }.joined(separator: ", ")
            return
                "both heads came from \(ancestors.count) releases beside one another (\(names)), which may have been merged in different "
                + "ways: a person compares the heads"
        }
        return base == nil
            ? "the release that both heads came from is not here, so that what one side deleted and what the other added look alike: "
                + "a person compares the heads" : nil
    }

    private func merge(into proposal: inout MergeProposal, _ limit: Int, _ conversation: any Conversation) throws {
        func content(_ row: ReleaseRow) throws -> ReleaseContent { try ReleaseContent(self, row) { conversation.isCancelled } }
        let base = try proposal.base.map(content)
        let (ours, theirs) = (try content(proposal.ours), try content(proposal.theirs))
        let plan = PackageMerge(base: try base?.version(), ours: try ours.version(), theirs: try theirs.version())
        try proposal.scratch.write(DataPackageDocument.fileName) { write in try plan.document.withUnsafeBytes(write) }
        for file in plan.files {
            var members = [JSONMember("path", .string(file.path.printable(charactersMax: 1024)))]
            switch file.choice {
            case .ours:
                try copy(file.path, of: ours, to: proposal.scratch)
                members.append(JSONMember("from", "ours"))
            case .theirs:
                try copy(file.path, of: theirs, to: proposal.scratch)
                members.append(JSONMember("from", "theirs"))
            case .table(let tables):
                members.append(JSONMember("from", "both"))
                var options = tables.options
                (options.conflictsMax, options.provenanceMax) = (limit, limit)
                do {
                    let result = try proposal.scratch.write(file.path) { write in
                        try TableMerge.merge(
                            base: tables.base == nil ? nil : base?.source(payload: file.path),
                            ours: ours.source(payload: file.path),
                            theirs: theirs.source(payload: file.path), options: options, write: write)
                    }
                    proposal.conflicts += result.conflictsCount
                    members += MergeDocument.members(result)
                } catch let fault as TableCompareFault {
                    try copy(file.path, of: ours, to: proposal.scratch)
                    proposal.conflicts += 1
                    members += [
                        JSONMember("from", "ours"),
                        JSONMember("problem", .string("not merged as a table: \(fault)".printable(charactersMax: 300))),
                    ]
                }
            }
            proposal.files.append(.object(members))
        }
        proposal.conflicts += UInt64(plan.conflicts.count)
        for conflict in plan.conflicts {
            proposal.files.append([
                "path": .string(conflict.place.printable(charactersMax: 1024)), "from": "ours",
                "problem": .string(conflict.kind.rawValue),
            ])
        }
    }

    private func copy(_ path: String, of content: ReleaseContent, to scratch: ScratchDirectory) throws {
        try scratch.write(path) { write in
            try content.source(payload: path).read {
                try write($0)
                return true
            }
        }
    }

    /// Publishes what lies in the directory as the release that follows all heads, which are those of `made`.
    private func publish(
        _ scratch: ScratchDirectory, as id: PackageID, of made: Set<Digest>, by caller: Caller, dryRun: Bool
    ) throws(Problem) -> JSONValue {
        do throws(Problem) {
            return try packagePublish(
                caller,
                options: PublishOptions(
                    dryRun: dryRun, name: id.description, merge: true,
                    merges: [MergeNote(package: id.description, heads: made.sorted())]),
                source: ScratchSource(scratch, id))
        } catch {
            // Nobody edited anything.
            guard error.code == .packageDiverged else { throw error }
            throw Problem(.packageDiverged, error.message, try: "hansa conflict show \(id), then run it again")
        }
    }

    /// A release of ours with the content of one that is there: it follows all heads, which are those of `made`, and so decides between them.
    func takeHead(_ release: ReleaseRow, of made: Set<Digest>, _ caller: Caller, dryRun: Bool) throws(Problem) -> JSONValue {
        let id = release.release.package
        guard release.hasContent else {
            throw Problem(
                .packageNotShared, "the content of \(release.digest.short) is not here", try: "hansa conflict show \(id)")
        }
        let scratch = try guarded { try ScratchDirectory(in: paths.run) }
        defer { scratch.remove() }
        try guarded {
            let content = try ReleaseContent(self, release) { false }
            let version = try content.version()
            try scratch.write(DataPackageDocument.fileName) { write in
                try PackageMerge(base: nil, ours: version, theirs: version).document.withUnsafeBytes(write)
            }
            for file in version.files { try copy(file.path, of: content, to: scratch) }
        }
        return try publish(scratch, as: id, of: made, by: caller, dryRun: dryRun)
    }

    /// Whether our own people can do something about it: under the owner's rule what waits, waits for the owner.
    func isOursToSettle(_ package: PackageID, _ state: Heads.State) throws(Problem) -> Bool {
        if package.city == city { return true }
        return state.isConflicted && state.maintenance?.cities.contains(city) == true
    }

    // MARK: By itself

    /// Packages of which several heads are known, in order. Only those that an agreement in force names are looked at.
    func conflicted(_ store: any MetadataReading) throws -> [(package: PackageID, state: Heads.State)] {
        let policy = try store.policy()
        guard policy.hasMaintainers else { return [] }
        let now = clock.now
        let patterns = policy.agreements.filter { $0.isEnforceable && $0.state(at: now) == .active }
            .flatMap { $0.agreement.maintainers ?? [] }.flatMap(\.packages)
        var found: [(package: PackageID, state: Heads.State)] = []
        for city in Set(patterns.map(\.city)).sorted() {
            try eachPackage(of: city, in: store) { row in
                guard patterns.contains(where: { $0.matches(row.package) }) else { return }
                guard try store.releases(of: row.package).contains(where: { $0.release.writer != city }) else { return }
                let state = try context.heads(of: row.package, in: store, at: now)
                if state.isConflicted || state.isWaiting { found.append((row.package, state)) }
            }
        }
        return found
    }

    /// Merges what does not contradict itself, where the agreement has it so. Only the owner's node does it: were all maintainers to, each would sign
    /// a release that says the same. What needs a person waits for one, and is tried again when a head came.
    func mergeByItself(_ conversation: any Conversation = SilentConversation()) {
        do throws(Problem) {
            for (id, state) in try read({ try self.conflicted($0) }) {
                let heads = state.graph.heads.flatMap(\.releases)
                guard id.city == city, state.isConflicted, state.graph.heads.count == 2, state.maintenance?.autoMerge == true,
                    mergesTried.withLock({ $0.updateValue(heads, forKey: id) != heads }),
                    try !read({ try $0.disputes(of: id).contains { $0.resolved == nil } })
                else { continue }
                do throws(Problem) {
                    _ = try conflictMerge(
                        Caller(role: .admin, uid: 0, account: "node"), package: id.description, with: nil, publish: true,
                        limit: 0,
                        dryRun: false, sink: nil, conversation: conversation)
                } catch {
                    log.info("not merged by itself", metadata: ["package": "\(id)", "reason": "\(error.message)"])
                }
            }
        } catch {
            log.error("heads could not be looked at", metadata: ["error": "\(error.message)"])
        }
    }
}

/// Nobody listens.
final class SilentConversation: Conversation {
    func report(_ progress: Progress) {}
    func warn(_ message: String) {}
    var isCancelled: Bool { false }
}

private enum MergeDocument {
    static func members(_ result: TableMergeResult) -> [JSONMember] {
        func texts(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
        return [
            JSONMember("added", JSONValue(result.added)), JSONMember("removed", JSONValue(result.removed)),
            JSONMember("changed", JSONValue(result.changed)), JSONMember("conflicts", JSONValue(result.conflictsCount)),
            JSONMember(
                "undecided",
                .array(
                    result.conflicts.map {
                        [
                            "kind": .string($0.kind.rawValue), "key": texts($0.key), "column": JSONValue($0.column),
                            "base": JSONValue($0.base), "ours": JSONValue($0.ours), "theirs": JSONValue($0.theirs),
                        ]
                    })),
            JSONMember("fromTheirs", JSONValue(result.provenanceCount)),
            JSONMember(
                "provenance",
                .array(
                    result.provenance.map {
                        [
                            "kind": .string($0.kind.rawValue), "key": texts($0.key), "column": JSONValue($0.column),
                            "from": "theirs",
                            "ours": JSONValue($0.ours), "theirs": JSONValue($0.theirs),
                        ]
                    })),
        ]
    }
}
