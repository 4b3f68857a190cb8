// Content out of the node: checkout and verification of what was checked out.
internal import Foundation
public import HansaCore
internal import HansaCrypto
internal import HansaDocuments
internal import HansaLog
internal import HansaPackages
internal import HansaSync
internal import HansaTerms

extension Node {
    public func packageCheckout(
        _ caller: Caller, reference: String, payload: Bool, purpose: String?, force: Bool, dryRun: Bool, sink: any CheckoutSink
    ) throws(Problem) -> JSONValue {
        if reference.contains("*") { return try checkoutPattern(caller, reference, payload, purpose, force, dryRun, sink) }
        let (row, release) = try resolve(reference)
        try mayCheckOut(row, release)
        if !dryRun { try logCheckout(caller, [release], purpose) }
        let run = CheckoutRun(self, sink: sink, payloadOnly: payload, force: force, dryRun: dryRun)
        let outcome = try guarded { try run.run(release, into: "") }
        var members: [JSONMember] = [JSONMember("schema", "hansa.package-checkout/1")]
        members += checkoutMembers(release, "", outcome)
        members.append(JSONMember("dryRun", .bool(dryRun)))
        return .object(members)
    }

    private func checkoutMembers(_ release: ReleaseRow, _ directory: String, _ outcome: CheckoutRun.Outcome) -> [JSONMember] {
        [
            JSONMember("package", .string(release.release.package.description)),
            JSONMember("version", .string(release.release.version.description)),
            JSONMember("release", JSONValue(release.digest)), JSONMember("directory", .string(directory)),
            JSONMember("bytes", JSONValue(outcome.bytes)),
            JSONMember("files", JSONValue(outcome.files)), JSONMember("written", JSONValue(outcome.written)),
            JSONMember("removed", JSONValue(outcome.removed)),
        ]
    }

    private func checkoutPattern(
        _ caller: Caller, _ text: String, _ payload: Bool, _ purpose: String?, _ force: Bool, _ dryRun: Bool,
        _ sink: any CheckoutSink
    ) throws(Problem) -> JSONValue {
        let pattern: PackagePattern
        do { pattern = try PackagePattern(text) } catch { throw Problem(.badName, error.description, try: "hansa package list") }
        let matching = try read { store -> [(PackageRow, ReleaseRow)] in
            var found: [(PackageRow, ReleaseRow)] = []
            try self.eachPackage(of: pattern.city, in: store) { row in
                guard row.headSeq > 0, pattern.matches(row.package), let head = try store.release(row.head) else { return }
                found.append((row, head))
            }
            return found
        }
        guard !matching.isEmpty else {
            throw Problem(.packageUnknown, "no package matches \(pattern)", try: "hansa package list")
        }
        var chosen: [ReleaseRow] = []
        var refused = 0
        for (row, head) in matching {
            do throws(Problem) {
                try mayCheckOut(row, head)
                chosen.append(head)
            } catch  where error.exit == .refusedByTerms {
                refused += 1
                sink.warn(error.message)
            }
        }
        if let (outer, inner) = CheckoutRun.meeting(chosen.map(\.release.package), payload: payload) {
            throw Problem(
                .usage, "the files of \(inner) would lie among those of \(outer)",
                try: "check them out one by one, each into a directory of its own")
        }
        guard !chosen.isEmpty else {
            throw Problem(
                .packageEnded, "none of the \(matching.count) packages that match may be checked out any more",
                try: "hansa package list")
        }
        if !dryRun { try logCheckout(caller, chosen, purpose) }
        let run = CheckoutRun(self, sink: sink, payloadOnly: payload, force: force, dryRun: dryRun)
        var rows: [JSONValue] = []
        try guarded {
            try run.run(chosen.map { ($0, $0.release.package.path) }) { release, outcome in
                rows.append(.object(self.checkoutMembers(release, release.release.package.path, outcome)))
            }
        }
        return [
            "schema": "hansa.package-checkout/1", "packages": .array(rows), "refused": JSONValue(refused),
            "dryRun": .bool(dryRun),
        ]
    }

    /// What was dropped, withdrawn, or came under an agreement that has ended stays as a record, and gives no new checkout.
    func mayCheckOut(_ row: PackageRow, _ release: ReleaseRow) throws(Problem) {
        if row.package.city == city, let seq = row.withdrawnSeq, release.release.ownerSeq <= seq {
            throw Problem(.packageWithdrawn, "\(row.package) was withdrawn by us", try: "hansa package history \(row.package)")
        }
        // What we signed ourselves needs nobody's leave, nor does what was added to our own package.
        if release.release.writer == city, row.withdrawnSeq.map({ release.release.ownerSeq > $0 }) ?? true { return }
        switch try read({ try self.standing(of: release.digest, release.release.ownerSeq, row, $0) }) {
        case .usable: return
        case .shown:
            throw Problem(
                .packageNotShared, "\(row.package.city) shows us that \(row.package) exists, and does not share its content",
                try: "ask \(row.package.city) to grant it with --level sync")
        case .withdrawn:
            throw Problem(
                .packageWithdrawn, "\(row.package) was withdrawn by \(row.package.city)",
                try: "hansa package history \(row.package)")
        case .ended(let last):
            let state = last?.state(at: clock.now)
            let why =
                state == .active || state == nil
                ? "\(row.package.city) no longer shares it with us"
                : "\(last?.agreement.id ?? "its agreement") is \(state?.rawValue ?? "ended")"
            throw Problem(
                .packageEnded, "\(row.package) cannot be checked out: \(why)", try: "hansa why \(row.package.city) \(row.package)"
            )
        }
    }

    private func logCheckout(_ caller: Caller, _ releases: [ReleaseRow], _ purpose: String?) throws(Problem) {
        if let purpose, purpose.isEmpty || purpose.count > 300 {
            throw Problem(.usage, "a purpose has 1 to 300 characters", try: "--purpose dpv:PublicPolicyMaking")
        }
        try change { tx in
            for release in releases {
                try tx.log(
                    LogDraft(
                        .packageCheckedOut, actor: self.actor(caller), package: release.release.package, release: release.digest,
                        details: purpose.map { ["purpose": .string($0)] }))
            }
            return ((), ExchangeChanges())
        }
    }

    // MARK: Verify

    public func packageVerify(_ caller: Caller, reader: any DirectoryReader) throws(Problem) -> JSONValue {
        let listing = try reader.listing()
        var findings: [(file: String, problem: String)] = []
        var release: Release?
        var digest: Digest?
        func open(_ path: String) throws -> FileReader {
            let descriptors = try reader.open([path])
            guard descriptors.count == 1 else {
                throw Problem(.adminProtocol, "the client opened \(descriptors.count) files for one")
            }
            return try FileReader(descriptors[0], path: path)
        }
        var entries = listing.entries
        if entries.contains(where: { $0.path == Bag.releaseName && $0.kind == .file }) {
            if let envelope = try envelope(Bag.releaseName, open), let parsed = try? Release(envelope) {
                (release, digest) = (parsed, envelope.digest)
                for problem in try authorityProblems(parsed, envelope) { findings.append((Bag.releaseName, problem)) }
                entries = try withoutNestedPackages(entries, in: parsed.package, open)
            } else {
                findings.append((Bag.releaseName, "is no signed release"))
            }
        } else {
            findings.append((Bag.releaseName, "is missing: this is no checked-out package"))
        }
        if let release, let manifest = release.manifest {
            let problems = try guarded { () throws -> [BagFinding] in
                let verifier = BagVerifier(listing: entries.map(DirectoryEntry.init), standard: .release(manifest: manifest)) {
                    path in
                    try open(path).readAll(limit: Bag.manifestBytesMax, path: path)
                }
                if verifier.payloadBytes != release.bytes || verifier.payloadFiles != release.files {
                    findings.append(
                        (
                            Bag.releaseName,
                            "speaks of \(release.files) files with \(release.bytes) bytes; \(verifier.payloadFiles) with \(verifier.payloadBytes) are here"
                        ))
                }
                return verifier.findings { path in
                    try open(path).digest(path: path)
                }
            }
            findings += problems.map { ($0.file, $0.problem) }
        } else if release != nil {
            findings.append((Bag.releaseName, "is a withdrawal: it vouches for no files"))
        }
        let isWithdrawn =
            try release.map { (release) throws(Problem) in
                try read { try $0.package(release.package)?.withdrawnSeq ?? 0 } >= release.seq
            } ?? false
        return [
            "schema": "hansa.package-verify/1", "package": JSONValue(release?.package.description),
            "version": JSONValue(release?.version.description),
            "release": JSONValue(digest), "valid": .bool(findings.isEmpty), "withdrawn": .bool(isWithdrawn),
            "findings": .array(
                findings.map {
                    [
                        "file": .string($0.file.printable(charactersMax: 500)),
                        "problem": .string($0.problem.printable(charactersMax: 500)),
                    ]
                }),
        ]
    }

    private func envelope(_ path: String, _ open: (String) throws -> FileReader) throws(Problem) -> Envelope? {
        do throws(Problem) {
            let bytes = try guarded { try open(path).readAll(limit: Limits.documentBytesMax * 2, path: path) }
            return try? Envelope(json: bytes)
        } catch  where error.code == .limitExceeded {
            return nil
        }
    }

    /// Why a signed release does not speak for its package: its own city writes it, or a maintainer that an agreement here names or named, with a
    /// key of its own.
    private func authorityProblems(_ release: Release, _ envelope: Envelope) throws(Problem) -> [String] {
        let isWriter = try read { store in
            try release.writer == release.package.city
                || store.agreements().contains {
                    $0.isParty(release.package.city)
                        && $0.agreement.maintenance(of: release.package)?.cities.contains(release.writer) == true
                }
        }
        guard isWriter else {
            return ["was signed by \(release.writer), who may not write packages of \(release.package.city)"]
        }
        let (named, current, isHeld) = try read { store in
            (
                try store.keyring(of: release.writer, version: release.keyring), try store.currentKeyring(of: release.writer),
                try store.release(envelope.digest) != nil
            )
        }
        guard let keyring = named else {
            return ["keyring \(release.keyring) of \(release.writer) is not known here: its signature cannot be checked"]
        }
        guard envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold) else {
            return ["the signature is not \(release.writer)'s"]
        }
        if !isHeld, let current, keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) {
            return ["was signed with a key that \(release.writer) has since named compromised, and is not known here"]
        }
        return []
    }

    /// A package below another, `roads/breaks` in `roads`, is checked out below it: it is verified by itself.
    private func withoutNestedPackages(
        _ entries: [FileStat], in package: PackageID, _ open: (String) throws -> FileReader
    ) throws(Problem) -> [FileStat] {
        var nested: [String] = []
        let ending = "/" + Bag.releaseName
        for entry in entries where entry.kind == .file && entry.path.hasSuffix(ending) && !entry.path.hasPrefix(Bag.payloadPrefix)
        {
            let top = String(entry.path.dropLast(ending.count))
            guard let envelope = try envelope(entry.path, open), let release = try? Release(envelope),
                release.package.city == package.city,
                release.package.path == package.path + "/" + top
            else { continue }
            nested.append(top + "/")
        }
        guard !nested.isEmpty else { return entries }
        return entries.filter { entry in !nested.contains { entry.path.hasPrefix($0) } }
    }
}
