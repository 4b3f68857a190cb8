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
            JSONMember("package", .string(release.release.package.description)), JSONMember("version", .string(release.release.version.description)),
            JSONMember("release", JSONValue(release.digest)), JSONMember("directory", .string(directory)), JSONMember("bytes", JSONValue(outcome.bytes)),
            JSONMember("files", JSONValue(outcome.files)), JSONMember("written", JSONValue(outcome.written)), JSONMember("removed", JSONValue(outcome.removed)),
        ]
    }

    private func checkoutPattern(
        _ caller: Caller, _ text: String, _ payload: Bool, _ purpose: String?, _ force: Bool, _ dryRun: Bool, _ sink: any CheckoutSink
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
        guard !matching.isEmpty else { throw Problem(.packageUnknown, "no package matches \(pattern)", try: "hansa package list") }
        var chosen: [ReleaseRow] = []
        var refused = 0
        for (row, head) in matching {
            do throws(Problem) {
                try mayCheckOut(row, head)
                chosen.append(head)
            } catch where error.exit == .refusedByTerms {
                refused += 1
                sink.warn(error.message)
            }
        }
        guard !chosen.isEmpty else { throw Problem(.packageEnded, "none of the \(matching.count) packages that match may be checked out any more", try: "hansa package list") }
        if !dryRun { try logCheckout(caller, chosen, purpose) }
        let run = CheckoutRun(self, sink: sink, payloadOnly: payload, force: force, dryRun: dryRun)
        var rows: [JSONValue] = []
        for release in chosen {
            let directory = release.release.package.path
            let outcome = try guarded { try run.run(release, into: directory) }
            rows.append(.object(checkoutMembers(release, directory, outcome)))
        }
        return ["schema": "hansa.package-checkout/1", "packages": .array(rows), "refused": JSONValue(refused), "dryRun": .bool(dryRun)]
    }

    /// What was dropped, withdrawn, or came under an agreement that has ended stays as a record, and gives no new checkout.
    private func mayCheckOut(_ row: PackageRow, _ release: ReleaseRow) throws(Problem) {
        if row.package.city == city {
            guard let seq = row.withdrawnSeq, release.release.seq <= seq else { return }
            throw Problem(.packageWithdrawn, "\(row.package) was withdrawn by us", try: "hansa package history \(row.package)")
        }
        switch try read({ try self.standing(of: release.digest, release.release.seq, row, $0) }) {
        case .usable: return
        case .withdrawn:
            throw Problem(.packageWithdrawn, "\(row.package) was withdrawn by \(row.package.city)", try: "hansa package history \(row.package)")
        case .ended(let last):
            let state = last?.state(at: clock.now)
            let why = state == .active || state == nil ? "\(row.package.city) no longer shares it with us" : "\(last?.agreement.id ?? "its agreement") is \(state?.rawValue ?? "ended")"
            throw Problem(.packageEnded, "\(row.package) cannot be checked out: \(why)", try: "hansa why \(row.package.city) \(row.package)")
        }
    }

    private func logCheckout(_ caller: Caller, _ releases: [ReleaseRow], _ purpose: String?) throws(Problem) {
        if let purpose, purpose.isEmpty || purpose.count > 300 { throw Problem(.usage, "a purpose has 1 to 300 characters", try: "--purpose dpv:PublicPolicyMaking") }
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
            guard descriptors.count == 1 else { throw Problem(.adminProtocol, "the client opened \(descriptors.count) files for one") }
            return try FileReader(descriptors[0], path: path)
        }
        if listing.entries.contains(where: { $0.path == Bag.releaseName && $0.kind == .file }) {
            let bytes = try guarded { try open(Bag.releaseName).readAll(limit: Limits.documentBytesMax * 2, path: Bag.releaseName) }
            if let envelope = try? Envelope(json: bytes), let parsed = try? Release(envelope) {
                (release, digest) = (parsed, envelope.digest)
                let keyring = try read { try $0.keyring(of: parsed.writer, version: parsed.keyring) } ?? (parsed.writer == city && parsed.keyring == self.keyring.version ? self.keyring : nil)
                if let keyring {
                    if !envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold) {
                        findings.append((Bag.releaseName, "the signature is not \(parsed.writer)'s"))
                    }
                } else {
                    findings.append((Bag.releaseName, "keyring \(parsed.keyring) of \(parsed.writer) is not known here: its signature cannot be checked"))
                }
            } else {
                findings.append((Bag.releaseName, "is no signed release"))
            }
        } else {
            findings.append((Bag.releaseName, "is missing: this is no checked-out package"))
        }
        if let manifest = release?.manifest {
            let problems = try guarded { () throws -> [BagFinding] in
                let verifier = BagVerifier(listing: listing.entries.map(DirectoryEntry.init), standard: .release(manifest: manifest)) { path in
                    try open(path).readAll(limit: Bag.manifestBytesMax, path: path)
                }
                return verifier.findings { path in
                    try open(path).digest(path: path)
                }
            }
            findings += problems.map { ($0.file, $0.problem) }
        }
        return [
            "schema": "hansa.package-verify/1", "package": JSONValue(release?.package.description), "version": JSONValue(release?.version.description),
            "release": JSONValue(digest), "valid": .bool(findings.isEmpty),
            "findings": .array(findings.map { ["file": .string($0.file.printable(charactersMax: 500)), "problem": .string($0.problem.printable(charactersMax: 500))] }),
        ]
    }
}
