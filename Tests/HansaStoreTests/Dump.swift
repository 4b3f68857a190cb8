import HansaCore
import HansaDocuments
import HansaSync
import HansaTerms

/// Everything that can be read from a store, as lines: two stores that hold the same give the same lines.
func dump(_ store: any MetadataReading, positions: [UInt64] = [0, 1, 3, 7, 20], moments: [Timestamp] = [Samples.start]) throws
    -> [String]
{
    var lines: [String] = []
    func add(_ name: String, _ value: some Any) { lines.append("\(name): \(value)") }

    for city in Samples.cities {
        add("keyrings", try store.keyringEnvelopes(of: city).map(\.digest))
        add("current keyring", try store.currentKeyring(of: city)?.version ?? 0)
        add("keyring 1", try store.keyring(of: city, version: 1)?.name ?? "")
        add("outbox", try store.outbox(to: city, after: 0, limit: 100).map { "\($0.id) \($0.partner) \($0.envelope.digest)" })
    }
    add("partners", try store.partners())
    for record in try store.agreements() {
        add("agreement", "\(record.digest) \(record.agreement.id) \(record.signedBy.sorted()) \(record.steps.map(\.digest))")
        add("signatures", record.envelope.binary())
        add("agreement again", try store.agreement(record.digest) == record)
        add("envelopes", try store.agreementEnvelopes(record.digest).map { $0.binary() })
    }
    add("grants", try store.grants())
    let policy = try store.policy()
    add("policy", "\(policy.agreements.map(\.digest)) \(policy.grants.map(\.id))")

    var packages: [PackageID] = []
    for row in try store.packages(of: nil, after: nil, limit: 1000) {
        add("package", row)
        packages.append(row.package)
    }
    for city in Samples.cities {
        add("packages of \(city)", try store.packages(of: city, after: nil, limit: 1000).map(\.package))
    }
    for package in packages {
        for row in try store.releases(of: package) { add("release", row) }
        add("disputes", try store.disputes(of: package))
        add("recipients", try store.recipients(everSent: package))
        add("holdings of package", try store.holdings(of: package))
    }
    add("disputes", try store.disputes(of: nil))
    let digests = try store.releases(withPrefix: "", limit: 10_000)
    add("digests", digests)
    for digest in digests { add("holdings of release", try store.holdings(of: digest)) }

    for view in try store.publishedViews() {
        add("published", "\(view.id) \(view.agreement) \(view.recipient) \(view.feedKey) \(view.position) \(view.members.count)")
        add(
            "published too", "\(view.acknowledgedPosition) \(view.acknowledgedEqual) \(view.mismatches) \(view.quarantine ?? "-")"
        )
        try members(of: view.id, packages, positions, moments)
    }
    func members(of view: Digest, _ packages: [PackageID], _ positions: [UInt64], _ moments: [Timestamp]) throws {
        for position in positions {
            add("added after \(position)", try store.members(view, addedAfter: position, limit: 1000))
            add("drops after \(position)", try store.drops(view, after: position, limit: 1000))
        }
        for moment in moments { add("ended", try store.members(view, endedBy: moment).map(\.release)) }
        for package in packages { add("members of \(package)", try store.members(view, of: package)) }
    }
    for view in try store.subscribedViews() {
        add(
            "subscribed", "\(view.id) \(view.agreement) \(view.publisher) \(view.cursor) \(view.members.count) \(view.mismatches)"
        )
        add("holdings", try store.holdings(in: view.id, state: nil, after: nil, limit: 1000))
        for state in [HoldingRow.State.accepted, .refused, .ended] {
            add("holdings \(state)", try store.holdings(in: view.id, state: state, after: nil, limit: 1000).map(\.release))
        }
    }
    add("transfers", try store.transfers())
    add("log", "\(try store.logSize) \(try store.lastLogTime?.description ?? "-")")
    return lines
}
