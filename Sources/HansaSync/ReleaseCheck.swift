// What a recipient checks of a release document before it asks for content (SYNC.md §1, §6): signature, chain, policy. Pure but for the rows it reads.
public import HansaCore
internal import HansaCrypto
public import HansaDocuments
internal import HansaLog
public import HansaTerms

/// The verdict on a document that arrived in a view.
public enum ReleaseVerdict: Sendable, Equatable {
    case accepted(Release)
    /// Issued further ahead of our clock than allowed: taken up again when due.
    case notYetDue(Release, until: Timestamp)
    case refused(ReleaseRefusal, Release?)
}

/// Why a release was refused: the words that a signed `refused` receipt carries (PROTOCOL.md).
public enum ReleaseRefusal: Sendable, Equatable {
    case malformed
    case wrongDigest
    case signature
    case keyring
    case keyRevoked
    case notWriter
    case operation
    case withdrawn
    /// Two documents for one (package, writer, seq).
    case fork
    case terms(DenialReason, clause: String?)
    case index
    case contentHash
    case limit
    case chain

    public var word: String {
        switch self {
        case .malformed: "malformed"
        case .wrongDigest: "wrong-digest"
        case .signature: "signature"
        case .keyring: "keyring"
        case .keyRevoked: "key-revoked"
        case .notWriter: "not-writer"
        case .operation: "operation"
        case .withdrawn: "withdrawn"
        case .fork: "fork"
        case .terms(let reason, _): "terms-\(reason.rawValue)"
        case .index: "index"
        case .contentHash: "content-hash"
        case .limit: "limit"
        case .chain: "chain"
        }
    }

    public var clause: String? {
        if case .terms(_, let clause) = self { clause } else { nil }
    }
}

public enum ReleaseCheck {
    /// When a release under a keyring that is not here yet is looked at again.
    static let keyringWaitMilliseconds: Int64 = 5000
    /// The same where the writer's keyring has expired: it takes an officer to renew it.
    static let renewalWaitMilliseconds: Int64 = 10 * 60 * 1000
    /// When a maintainer's release upon one of the owner's that is not here yet is looked at again.
    static let ownersWaitMilliseconds: Int64 = 5000
    /// Further above what is known of the owner no honest number lies: each return from a backup raises them by 2^20.
    static let ownersAheadMax: UInt64 = 1 << 32

    /// The keyrings of those whose releases a publisher may show us: its own, and where it passes on what others published theirs.
    struct Keys: Sendable {
        fileprivate struct City: Sendable {
            let current: Keyring?
            let versions: [Int: Keyring]

            init(_ city: CityID, in store: any MetadataReading) throws {
                current = try store.currentKeyring(of: city)
                var versions: [Int: Keyring] = [:]
                for version in 1...max(1, current?.version ?? 1) {
                    versions[version] = try store.keyring(of: city, version: version)
                }
                self.versions = versions
            }
        }

        let publisher: CityID
        fileprivate let cities: [CityID: City]
        /// It may write packages of other cities.
        fileprivate let maintains: Bool

        init(of publisher: CityID, in store: any MetadataReading) throws {
            self.publisher = publisher
            var cities = [publisher: try City(publisher, in: store)]
            var maintains = false
            let policy = try store.policy()
            if policy.hasMaintainers || policy.hasRelays {
                for record in policy.agreements where record.isParty(publisher) {
                    if record.agreement.maintainers != nil { maintains = true }
                    guard record.agreement.isPassedOn else { continue }
                    for party in record.agreement.parties where cities[party.city] == nil {
                        cities[party.city] = try City(party.city, in: store)
                    }
                }
            }
            self.cities = cities
            self.maintains = maintains
        }
    }

    /// What a document says by itself and by its publisher's keys.
    enum Reading: Sendable {
        case sound(Release)
        case refused(ReleaseRefusal, Release?)
        /// Under a keyring newer than the one held.
        case early(Release)
        /// Signed by a key that the current keyring names compromised.
        case revoked(Release)
    }

    /// The part of the check that needs no rows, and nearly all of its time: several may be done side by side.
    static func reading(of envelope: Envelope, expecting digest: Digest, keys: Keys) -> Reading {
        guard envelope.digest == digest else { return .refused(.wrongDigest, nil) }
        guard envelope.payloadType == DocumentType.release.rawValue, let release = try? Release(payload: envelope.payload) else {
            return .refused(.malformed, nil)
        }
        let isOwners = release.writer == release.package.city
        let isRelayed = release.writer != keys.publisher
        guard isRelayed ? isOwners : isOwners || keys.maintains, let city = keys.cities[release.writer] else {
            return .refused(.notWriter, release)
        }
        guard release.operation != .withdraw, release.index != nil else { return .refused(.operation, release) }
        // A maintainer adds to what the owner began, and a withdrawal of the owner's must reach it.
        guard release.seq(of: release.package.city) > 0 else { return .refused(.operation, release) }
        guard let current = city.current else { return .refused(.keyring, release) }
        guard release.keyring <= current.version else { return .early(release) }
        guard let keyring = city.versions[release.keyring] else { return .refused(.keyring, release) }
        guard envelope.isSigned(by: keyring.packageKeys, threshold: keyring.packageThreshold) || SeededBug.isOn(.skippedSignature)
        else {
            return .refused(.signature, release)
        }
        // A superseded key is good for a release sent by its own writer in a current session, unless the keyring names it compromised (FORMATS.md §3).
        if keyring.packageKeys.contains(where: { current.revoked.contains($0.keyID) }) { return .revoked(release) }
        // Only its own writer, in its own session, vouches for what a superseded key signed.
        if isRelayed, !keyring.packageKeys.allSatisfy(current.packageKeys.contains) { return .refused(.keyring, release) }
        return .sound(release)
    }

    /// The rest: what is known of the package, and the terms.
    static func verdict(
        on reading: Reading, expecting digest: Digest, publisher: CityID, recipient: CityID, under agreement: AgreementRecord,
        aheadMillisecondsMax: Int64, store: any MetadataReading, at now: Timestamp
    ) throws -> ReleaseVerdict {
        let release: Release
        switch reading {
        case .sound(let sound): release = sound
        case .refused(let reason, let refused): return .refused(reason, refused)
        // Documents and releases come by different workers: the keyring that signed it may be a moment behind.
        case .early(let early): return .notYetDue(early, until: now.adding(milliseconds: keyringWaitMilliseconds))
        // What was accepted before the key came out stays what it was.
        case .revoked(let signed):
            guard try store.release(digest) != nil else { return .refused(.keyRevoked, signed) }
            release = signed
        }
        func isNew() throws -> Bool { try store.release(digest) == nil }
        // For another city's releases nobody in this session vouches but its keyring, and a thief's relay may hold the next version back.
        if release.writer != publisher, try store.currentKeyring(of: release.writer)?.isExpired(at: now) ?? true, try isNew() {
            return .notYetDue(release, until: now.adding(milliseconds: renewalWaitMilliseconds))
        }
        // A package has its row since its first release, whoever wrote it.
        let package = try store.package(release.package)
        if let package {
            if let known = try store.releaseDigest(of: release.package, writer: release.writer, seq: release.seq),
                known != digest,
                !SeededBug.isOn(.forkAccepted)
            {
                return .refused(.fork, release)
            }
            if let withdrawn = package.withdrawnSeq, release.seq(of: release.package.city) <= withdrawn {
                return .refused(.withdrawn, release)
            }
        }
        let request = AccessRequest(
            package: release.package, kind: release.kind, tlp: release.tlp, withdrawn: false, writer: release.writer,
            publisher: publisher, recipient: recipient)
        guard agreement.agreement.passage(of: request) != nil else { return .refused(.notWriter, release) }
        if !SeededBug.isOn(.skippedTerms),
            case .deny(let denial) = Policy.receiverDecision(on: request, under: agreement, at: now)
        {
            // The publisher's clock may be a little ahead of ours on an agreement's first day.
            if denial.reason == .notYetEffective { return .notYetDue(release, until: agreement.effective) }
            return .refused(.terms(denial.reason, clause: denial.clause), release)
        }
        if release.writer != release.package.city {
            // What a maintainer says of the owner's numbers counts as far as the owner's own word reaches: else no withdrawal would end it.
            let (said, known) = (release.seq(of: release.package.city), max(package?.lastSeq ?? 0, package?.withdrawnSeq ?? 0))
            if said > known, try isNew() {
                // The owner itself may not know its own any more, until they were shown to it.
                return said - known > ownersAheadMax
                    ? .refused(.chain, release) : .notYetDue(release, until: now.adding(milliseconds: ownersWaitMilliseconds))
            }
        }
        let due = release.issued.adding(milliseconds: -aheadMillisecondsMax)
        return due > now ? .notYetDue(release, until: due) : .accepted(release)
    }

    /// Checks a document that `publisher` served under `agreement` in one of its own sessions.
    public static func verdict(
        on envelope: Envelope, expecting digest: Digest, publisher: CityID, recipient: CityID, under agreement: AgreementRecord,
        aheadMillisecondsMax: Int64, store: any MetadataReading, at now: Timestamp
    ) throws -> ReleaseVerdict {
        let reading = reading(of: envelope, expecting: digest, keys: try Keys(of: publisher, in: store))
        return try verdict(
            on: reading, expecting: digest, publisher: publisher, recipient: recipient, under: agreement,
            aheadMillisecondsMax: aheadMillisecondsMax, store: store, at: now)
    }
}
