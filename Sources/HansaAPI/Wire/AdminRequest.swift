// What a command asks of the node: one case for each method of `Services`, with the same arguments.
internal import Foundation
internal import HansaCore
public import HansaNode

/// One command. Requests that read or write the client's files are answered while the client serves the node's asks (`ClientFiles`).
public enum AdminRequest: Sendable, Codable, Equatable {
    case status
    case doctor
    case why(partner: String, package: String)

    case cityCard
    case cityShow
    /// With `signsHere` the node asks the command for officers' signatures, besides those of the key in its home.
    case cityRotate(RotationRequest, signsHere: Bool)
    case cityRenew(RotationRequest, signsHere: Bool)

    case partnerAdd(card: String, fingerprint: String?, trustWithoutComparison: Bool, endpoint: String?, dryRun: Bool)
    case partnerList
    case partnerShow(city: String)
    case partnerPause(city: String, dryRun: Bool)
    case partnerResume(city: String, dryRun: Bool)
    case partnerRemove(city: String, confirm: String?, dryRun: Bool)

    case agreementNew(template: String, city: String)
    case agreementTemplates
    case agreementCheck(yaml: String)
    /// With `signsHere` the node asks the command for the officer's signature, instead of making it with the key in its home.
    case agreementPropose(yaml: String, signsHere: Bool, dryRun: Bool)
    case agreementAccept(id: String, signsHere: Bool, dryRun: Bool)
    case agreementReject(id: String, reason: String, signsHere: Bool, dryRun: Bool)
    case agreementTerminate(id: String, reason: String, signsHere: Bool, dryRun: Bool)
    case agreementList
    case agreementShow(id: String, format: String)

    case accessGrant(
        partner: String, pattern: String, agreement: String, level: String, until: String?, ceiling: String?, dryRun: Bool)
    case accessList(partner: String?)
    case accessRevoke(grant: String, dryRun: Bool)
    case accessTest(partner: String)

    case packageNew(kind: String)
    case packageCheck
    case packagePublish(PublishOptions)
    case packageList
    case packageShow(reference: String)
    case packageHistory(package: String)
    case packageCheckout(reference: String, payload: Bool, purpose: String?, force: Bool, dryRun: Bool)
    case packageDiff(from: String, to: String, limit: Int)
    case packageVerify
    case packageWithdraw(package: String, reason: String, dryRun: Bool)

    case conflictList
    case conflictShow(package: String)
    case conflictResolve(package: String, take: String?, merge: Bool, dryRun: Bool)
    /// `writes`: into the client's directory.
    case conflictMerge(package: String, with: String?, publish: Bool, limit: Int, writes: Bool, dryRun: Bool)

    case restore(RotationRequest, against: String?, signsHere: Bool)

    case sync(partners: [String], wait: Bool, timeoutSeconds: Int?, dryRun: Bool)

    case auditLog(LogFilter)
    case auditShow(index: UInt64, log: Int?)
    case auditVerify(against: String?)
    case auditCheckpoint
    case auditEvents

    case storeCheck
    case storeRebuild(dryRun: Bool)
    case storeStats
    case storeCollect(dryRun: Bool)

    case configShow
    case configSet(key: String, value: String, dryRun: Bool)
}

/// What a request does, for roles.
enum RequestClass: Sendable {
    /// Shows something, changes nothing, hands out no content.
    case read
    /// Daily work: publishing, syncing, checking out.
    case work
    /// Keys, partners, agreements, grants, configuration.
    case rule
}

extension AdminRequest {
    var requestClass: RequestClass {
        switch self {
        case .status, .doctor, .why, .cityCard, .cityShow, .partnerList, .partnerShow, .agreementNew, .agreementTemplates,
            .agreementCheck,
            .agreementList, .agreementShow, .accessList, .accessTest, .packageCheck, .packageList, .packageShow, .packageHistory,
            .packageVerify, .conflictList, .conflictShow,
            .auditLog, .auditShow, .auditVerify, .auditCheckpoint, .auditEvents, .storeCheck, .storeStats, .configShow:
            .read
        case .packageNew, .packagePublish, .packageCheckout, .packageDiff, .packageWithdraw, .conflictMerge, .sync: .work
        case .cityRotate, .cityRenew, .partnerAdd, .partnerPause, .partnerResume, .partnerRemove, .agreementPropose,
            .agreementAccept, .agreementReject, .agreementTerminate,
            .accessGrant, .accessRevoke,
            .conflictResolve, .restore, .storeRebuild, .storeCollect, .configSet:
            .rule
        }
    }

    /// The command's words, as in `hansa.<command>/1` with spaces: `package publish`.
    public var command: String {
        switch self {
        case .status: "status"
        case .doctor: "doctor"
        case .why: "why"
        case .cityCard: "city card"
        case .cityShow: "city show"
        case .cityRotate: "city rotate"
        case .cityRenew: "city renew"
        case .partnerAdd: "partner add"
        case .partnerList: "partner list"
        case .partnerShow: "partner show"
        case .partnerPause: "partner pause"
        case .partnerResume: "partner resume"
        case .partnerRemove: "partner remove"
        case .agreementNew: "agreement new"
        case .agreementTemplates: "agreement templates"
        case .agreementCheck: "agreement check"
        case .agreementPropose: "agreement propose"
        case .agreementAccept: "agreement accept"
        case .agreementReject: "agreement reject"
        case .agreementTerminate: "agreement terminate"
        case .agreementList: "agreement list"
        case .agreementShow: "agreement show"
        case .accessGrant: "access grant"
        case .accessList: "access list"
        case .accessRevoke: "access revoke"
        case .accessTest: "access test"
        case .packageNew: "package new"
        case .packageCheck: "package check"
        case .packagePublish: "package publish"
        case .packageList: "package list"
        case .packageShow: "package show"
        case .packageHistory: "package history"
        case .packageCheckout: "package checkout"
        case .packageDiff: "package diff"
        case .packageVerify: "package verify"
        case .packageWithdraw: "package withdraw"
        case .conflictList: "conflict list"
        case .conflictShow: "conflict show"
        case .conflictResolve: "conflict resolve"
        case .conflictMerge: "conflict merge"
        case .restore: "restore"
        case .sync: "sync"
        case .auditLog: "audit log"
        case .auditShow: "audit show"
        case .auditVerify: "audit verify"
        case .auditCheckpoint: "audit checkpoint"
        case .auditEvents: "audit events"
        case .storeCheck: "store check"
        case .storeRebuild: "store rebuild"
        case .storeStats: "store stats"
        case .storeCollect: "store collect"
        case .configShow: "config show"
        case .configSet: "config set"
        }
    }

    // MARK: The wire

    func encoded() throws(Problem) -> [UInt8] {
        do {
            let bytes = [UInt8](try JSONEncoder().encode(self))
            guard bytes.count < WireLimits.frameBytesMax else {
                throw Problem(.limitExceeded, "the request is larger than 4 MiB")
            }
            return bytes
        } catch let problem as Problem { throw problem } catch {
            throw Problem(.internalFault, "cannot write the request: \(error)")
        }
    }

    init(encoded bytes: [UInt8]) throws(Problem) {
        do {
            try StrictJSON.check(bytes, bytesMax: WireLimits.frameBytesMax)
            self = try JSONDecoder().decode(AdminRequest.self, from: Data(bytes))
        } catch {
            throw Problem(
                .adminProtocol,
                "the node does not understand the request: \(String(describing: error).printable(charactersMax: 160))",
                try: "restart the node after an upgrade, so that both run the same version")
        }
    }
}

extension Role {
    /// Whether this role may run the command. An operator does the daily work; an auditor reads everything and changes nothing, and takes no
    /// content out.
    public func mayRun(_ request: AdminRequest) -> Bool {
        switch (self, request.requestClass) {
        case (.admin, _), (_, .read), (.operator, .work): true
        case (.operator, .rule), (.auditor, .work), (.auditor, .rule): false
        }
    }
}
