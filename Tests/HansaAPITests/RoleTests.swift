import FakeNode
import Glibc
import HansaCore
import HansaNode
import Testing

@testable import HansaAPI

struct RoleTests {
    static let requests: [AdminRequest] = [
        .status, .doctor, .why(partner: "a.b", package: "c.d/e"), .cityCard, .cityShow,
        .cityRotate(RotationRequest(key: "tls"), signsHere: false), .cityRenew(RotationRequest(key: nil), signsHere: false),
        .partnerPause(city: "a.b", dryRun: false), .partnerResume(city: "a.b", dryRun: false),
        .partnerAdd(card: "", fingerprint: nil, trustWithoutComparison: true, endpoint: nil, dryRun: false), .partnerList,
        .partnerShow(city: "a.b"),
        .partnerRemove(city: "a.b", confirm: "a.b", dryRun: false), .agreementNew(template: "t", city: "a.b"),
        .agreementTemplates,
        .agreementCheck(yaml: ""), .agreementPropose(yaml: "", signsHere: false, dryRun: false),
        .agreementAccept(id: "", signsHere: false, dryRun: false),
        .agreementReject(id: "", reason: "", signsHere: false, dryRun: false),
        .agreementTerminate(id: "", reason: "", signsHere: false, dryRun: false), .agreementList,
        .agreementShow(id: "", format: "text"),
        .accessGrant(partner: "", pattern: "", agreement: "", level: "", until: nil, ceiling: nil, dryRun: false),
        .accessList(partner: nil),
        .accessRevoke(grant: "", dryRun: false), .accessTest(partner: ""), .packageNew(kind: "dataset"), .packageCheck,
        .packagePublish(PublishOptions()), .packageList, .packageShow(reference: ""), .packageHistory(package: ""),
        .packageCheckout(reference: "", payload: false, purpose: nil, force: false, dryRun: false), .packageVerify,
        .packageDiff(from: "", to: "", limit: 10), .conflictList, .conflictShow(package: ""),
        .conflictResolve(package: "", take: nil, merge: false, dryRun: false),
        .restore(RotationRequest(key: "restore"), against: nil, signsHere: false),
        .conflictMerge(package: "", with: nil, publish: false, limit: 10, writes: false, dryRun: false),
        .packageWithdraw(package: "", reason: "", dryRun: false),
        .sync(partners: [], wait: false, timeoutSeconds: nil, dryRun: false),
        .auditLog(LogFilter()), .auditShow(index: 0, log: nil), .auditVerify(against: nil), .auditCheckpoint, .auditEvents,
        .storeCheck, .storeRebuild(dryRun: false), .storeCollect(dryRun: false), .storeStats, .configShow,
        .configSet(key: "", value: "", dryRun: false),
    ]

    @Test func anAuditorMayReadAndNothingElse() {
        let allowed = Set(Self.requests.filter { Role.auditor.mayRun($0) }.map(\.command))
        #expect(
            allowed == [
                "status", "doctor", "why", "city card", "city show", "partner list", "partner show", "agreement new",
                "agreement templates",
                "agreement check", "agreement list", "agreement show", "access list", "access test", "package check",
                "package list", "package show",
                "package history", "package verify", "conflict list", "conflict show", "audit log", "audit show", "audit verify",
                "audit checkpoint",
                "audit events", "store check", "store stats", "config show",
            ])
    }

    @Test func anOperatorMayNotChangeWhoMayHaveWhat() {
        let refused = Set(Self.requests.filter { !Role.operator.mayRun($0) }.map(\.command))
        #expect(
            refused == [
                "city rotate", "city renew", "partner pause", "partner resume", "partner add", "partner remove",
                "agreement propose", "agreement accept", "agreement reject",
                "agreement terminate", "access grant",
                "access revoke", "conflict resolve", "restore", "store rebuild", "store collect", "config set",
            ])
    }

    @Test func anAdminMayDoEverything() { #expect(Self.requests.allSatisfy { Role.admin.mayRun($0) }) }

    private func peer(_ uid: UInt32, gid: UInt32 = 5000, groups: [UInt32] = []) -> PeerCredentials {
        PeerCredentials(uid: uid, gid: gid, groups: groups)
    }

    @Test func theOwnerAndRootAreAdminsAndStrangersNothing() {
        let policy = RolePolicy(owner: 999, rules: [])
        #expect(policy.role(of: peer(999)) == .admin)
        #expect(policy.role(of: peer(0)) == .admin)
        #expect(policy.role(of: peer(1000)) == nil)
        // An owner's group gives nothing.
        #expect(policy.role(of: peer(1000, gid: 999, groups: [0, 999])) == nil)
    }

    @Test func theHighestRoleThatMatchesCounts() {
        let policy = RolePolicy(
            owner: 999,
            rules: [
                RoleRule(.group("100"), role: .auditor), RoleRule(.user("1001"), role: .operator),
                RoleRule(.group("101"), role: .admin),
                RoleRule(.user("no-such-account-here"), role: .admin), RoleRule(.group("no-such-group-here"), role: .admin),
            ])
        #expect(policy.role(of: peer(1000, groups: [100])) == .auditor)
        #expect(policy.role(of: peer(1000, gid: 100)) == .auditor)
        #expect(policy.role(of: peer(1001, groups: [100])) == .operator)
        #expect(policy.role(of: peer(1001, groups: [100, 101])) == .admin)
        #expect(policy.role(of: peer(1002, groups: [102])) == nil)
    }

    @Test func accountsAreFoundByName() {
        let rule = RolePolicy(owner: 999, rules: [RoleRule(.user("root"), role: .auditor)], ownerIsAdmin: false)
        #expect(rule.role(of: peer(0)) == .auditor)
        #expect(Accounts.name(of: 0) == "root")
        #expect(Accounts.name(of: 3_999_999_999) == "3999999999")
    }

    @Test func theKernelTellsWhoIsAtTheOtherEnd() throws {
        let (near, far) = try #require(UnixSocket.pair())
        defer {
            close(near)
            close(far)
        }
        let peer = try #require(PeerCredentials(ofSocket: near))
        #expect(peer.uid == geteuid() && peer.gid == getegid())
        let count = Int(getgroups(0, nil))
        var groups = [gid_t](repeating: 0, count: count)
        getgroups(CInt(count), &groups)
        #expect(Set(peer.groups) == Set(groups))
    }

    @Test func aFileIsNoSocketAndNobodyIsThere() {
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        #expect(PeerCredentials(ofSocket: file) == nil)
    }

    @Test(arguments: [Role.operator, .auditor]) func whatARoleMayNotRunIsRefusedAndNoted(role: Role) throws {
        let policy = RolePolicy(owner: geteuid(), rules: [RoleRule(.user("\(geteuid())"), role: role)], ownerIsAdmin: false)
        let fixture = try ServerFixture(policy: policy)
        let client = try fixture.client()
        for request in Self.requests where !role.mayRun(request) {
            let refused = problem { _ = try client.run(request) }
            #expect(refused?.code == .notAuthorised && refused?.exit == .notAuthorised, "\(request.command)")
        }
        #expect(fixture.services.calls.isEmpty)
        // One note a minute for an account, whatever it tried.
        #expect(
            fixture.services.refusals == [
                "\(geteuid()) \(role.rawValue) \(Self.requests.first { !role.mayRun($0) }?.command ?? "")"
            ])
        #expect(try client.run(.partnerList)["schema"] == "hansa.partner-list/1")
        #expect(fixture.services.calls == ["partner list \(role.rawValue)"])
    }

    @Test func aStrangerIsToldSoWhateverHeAsks() throws {
        let policy = RolePolicy(owner: geteuid(), rules: [], ownerIsAdmin: false)
        let fixture = try ServerFixture(policy: policy)
        for _ in 0..<3 {
            let refused = problem { _ = try fixture.client().run(.status) }
            #expect(refused?.code == .notAuthorised)
        }
        #expect(fixture.services.calls.isEmpty)
        // Noted once a minute, not once a knock.
        #expect(fixture.services.refusals == ["\(geteuid()) - -"])
    }
}
