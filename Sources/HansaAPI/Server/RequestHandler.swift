// Serves one connection: request, answer, request, answer, until the client goes. The same code serves a socket's client and a command that runs
// without a node (`LocalSession`).
internal import HansaCore
internal import HansaNode

struct RequestHandler: Sendable {
    let services: any Services
    let homeGuard: @Sendable () -> HomeGuard?
    let patience: Patience
    let stopping: @Sendable () -> Bool
    let refusals: RefusalNotes

    func serve(_ channel: FrameChannel, for caller: Caller) {
        while !stopping() {
            let frame: Frame
            do {
                let deadline = Deadline(milliseconds: patience.request)
                // Idle clients look up now and then, so that a node that stops does not wait for them.
                while !(try channel.isReadable(within: min(250, deadline.millisecondsLeft))) {
                    if stopping() { return }
                    if deadline.millisecondsLeft == 0 { throw ChannelFault.timedOut }
                }
                guard let next = try channel.receive(within: deadline.millisecondsLeft) else { return }
                frame = next
            } catch {
                refuse(channel, Problem(.adminProtocol, "no request came: \(error)"))
                return
            }
            guard frame.type == .request else {
                refuse(channel, Problem(.adminProtocol, "a frame of type \(frame.type) where a request belongs"))
                return
            }
            do {
                try answer(try AdminRequest(encoded: frame.body), on: channel, for: caller)
            } catch {
                // Work that ended because we end was not interrupted by its user.
                let ours = error.exit == .interrupted && stopping() && !channel.peerHasGone
                refuse(
                    channel, ours ? Problem(.nodeStopping, "the node is stopping: \(error.message)", try: "hansa status") : error)
                // After a broken exchange the next bytes mean nothing.
                if error.code == .adminProtocol { return }
            }
        }
    }

    private func answer(_ request: AdminRequest, on channel: FrameChannel, for caller: Caller) throws(Problem) {
        guard caller.role.mayRun(request) else {
            refusals.note(services, uid: caller.uid, account: caller.account, role: caller.role, command: request.command)
            throw Problem(
                .notAuthorised,
                "account \(caller.account.printable()) is \(caller.role.rawValue) here, and \(request.command) is not for that role",
                try: "ask an administrator to run it")
        }
        let conversation = RemoteConversation(channel, patience: patience, stopping: stopping)
        let document = try Dispatcher(services: services, caller: caller, conversation: conversation, homeGuard: homeGuard()).run(
            request)
        for part in PartCodec.split(DocumentCodec.encode(document)) {
            // A client that has gone needs no result; the next receive ends the connection.
            do { try channel.send(.result, part, within: patience.sending) } catch { return }
        }
    }

    private func refuse(_ channel: FrameChannel, _ problem: Problem) {
        // Best effort: the client may be gone already.
        try? channel.send(.problem, ProblemCodec.encode(problem), within: 1000)
    }
}

/// From a request to the method that answers it.
struct Dispatcher {
    let services: any Services
    let caller: Caller
    let conversation: RemoteConversation
    let homeGuard: HomeGuard?

    private var directories: RemoteDirectories { RemoteDirectories(conversation, homeGuard: homeGuard) }

    func run(_ request: AdminRequest) throws(Problem) -> JSONValue {
        switch request {
        case .status: try services.status(caller)
        case .doctor: try services.doctor(caller)
        case .why(let partner, let package): try services.why(caller, partner: partner, package: package)
        case .cityCard: try services.cityCard(caller)
        case .cityShow: try services.cityShow(caller)
        case .cityRotate(let rotation, let signsHere):
            try services.cityRotate(caller, rotation, officerKey: signsHere ? RemoteOfficer(conversation) : nil)
        case .cityRenew(let rotation, let signsHere):
            try services.cityRenew(caller, rotation, officerKey: signsHere ? RemoteOfficer(conversation) : nil)
        case .partnerAdd(let card, let fingerprint, let trust, let endpoint, let dryRun):
            try services.partnerAdd(
                caller, card: card, fingerprint: fingerprint, trustWithoutComparison: trust, endpoint: endpoint, dryRun: dryRun)
        case .partnerList: try services.partnerList(caller)
        case .partnerShow(let city): try services.partnerShow(caller, city: city)
        case .partnerPause(let city, let dryRun): try services.partnerPause(caller, city: city, dryRun: dryRun)
        case .partnerResume(let city, let dryRun): try services.partnerResume(caller, city: city, dryRun: dryRun)
        case .partnerRemove(let city, let confirm, let dryRun):
            try services.partnerRemove(caller, city: city, confirm: confirm, dryRun: dryRun)
        case .agreementNew, .agreementTemplates, .agreementCheck, .agreementPropose, .agreementAccept, .agreementReject,
            .agreementTerminate,
            .agreementList, .agreementShow:
            try agreement(request)
        case .accessGrant(let partner, let pattern, let agreement, let level, let until, let ceiling, let dryRun):
            try services.accessGrant(
                caller, partner: partner, pattern: pattern, agreement: agreement, level: level, until: until, ceiling: ceiling,
                dryRun: dryRun)
        case .accessList(let partner): try services.accessList(caller, partner: partner)
        case .accessRevoke(let grant, let dryRun): try services.accessRevoke(caller, grant: grant, dryRun: dryRun)
        case .accessTest(let partner): try services.accessTest(caller, partner: partner)
        case .packageNew, .packageCheck, .packagePublish, .packageList, .packageShow, .packageHistory, .packageCheckout,
            .packageDiff, .packageVerify,
            .packageWithdraw:
            try package(request)
        case .conflictList: try services.conflictList(caller)
        case .conflictShow(let package): try services.conflictShow(caller, package: package)
        case .conflictResolve(let package, let take, let merge, let dryRun):
            try services.conflictResolve(caller, package: package, take: take, merge: merge, dryRun: dryRun)
        case .conflictMerge(let package, let other, let publish, let limit, let writes, let dryRun):
            try services.conflictMerge(
                caller, package: package, with: other, publish: publish, limit: limit, dryRun: dryRun,
                sink: writes ? RemoteTarget(conversation) : nil, conversation: conversation)
        case .restore(let request, let checkpoint, let signsHere):
            try services.restore(
                caller, request, against: checkpoint, officerKey: signsHere ? RemoteOfficer(conversation) : nil)
        case .sync(let partners, let wait, let timeoutSeconds, let dryRun):
            try services.sync(
                caller, partners: partners, wait: wait, timeoutSeconds: timeoutSeconds, dryRun: dryRun, conversation: conversation
            )
        case .auditLog(let filter):
            try services.auditLog(caller, filter: filter) { entries throws(Problem) in try conversation.send(items: entries) }
        case .auditShow(let index, let log): try services.auditShow(caller, index: index, log: log)
        case .auditVerify(let checkpoint): try services.auditVerify(caller, against: checkpoint)
        case .auditCheckpoint: try services.auditCheckpoint(caller)
        case .auditEvents: try services.auditEvents(caller)
        case .storeCheck: try services.storeCheck(caller, conversation: conversation)
        case .storeRebuild(let dryRun): try services.storeRebuild(caller, dryRun: dryRun, conversation: conversation)
        case .storeCollect(let dryRun): try services.storeCollect(caller, dryRun: dryRun, conversation: conversation)
        case .storeStats: try services.storeStats(caller, conversation: conversation)
        case .configShow: try services.configShow(caller)
        case .configSet(let key, let value, let dryRun): try services.configSet(caller, key: key, value: value, dryRun: dryRun)
        }
    }

    private func agreement(_ request: AdminRequest) throws(Problem) -> JSONValue {
        switch request {
        case .agreementNew(let template, let city): try services.agreementNew(caller, template: template, with: city)
        case .agreementTemplates: try services.agreementTemplates(caller)
        case .agreementCheck(let yaml): try services.agreementCheck(caller, yaml: yaml)
        case .agreementPropose(let yaml, let signsHere, let dryRun):
            try services.agreementPropose(
                caller, yaml: yaml, officerKey: signsHere ? RemoteOfficer(conversation) : nil, dryRun: dryRun)
        case .agreementAccept(let id, let signsHere, let dryRun):
            try services.agreementAccept(
                caller, id: id, officerKey: signsHere ? RemoteOfficer(conversation) : nil, dryRun: dryRun)
        case .agreementReject(let id, let reason, let signsHere, let dryRun):
            try services.agreementReject(
                caller, id: id, reason: reason, officerKey: signsHere ? RemoteOfficer(conversation) : nil, dryRun: dryRun)
        case .agreementTerminate(let id, let reason, let signsHere, let dryRun):
            try services.agreementTerminate(
                caller, id: id, reason: reason, officerKey: signsHere ? RemoteOfficer(conversation) : nil, dryRun: dryRun)
        case .agreementList: try services.agreementList(caller)
        case .agreementShow(let id, let format): try services.agreementShow(caller, id: id, format: format)
        default: preconditionFailure("\(request.command) is no agreement command")
        }
    }

    private func package(_ request: AdminRequest) throws(Problem) -> JSONValue {
        switch request {
        case .packageNew(let kind): try services.packageNew(caller, kind: kind, reader: directories)
        case .packageCheck: try services.packageCheck(caller, reader: directories)
        case .packagePublish(let options): try services.packagePublish(caller, options: options, source: directories)
        case .packageList: try services.packageList(caller)
        case .packageShow(let reference): try services.packageShow(caller, reference: reference)
        case .packageHistory(let package): try services.packageHistory(caller, package: package)
        case .packageCheckout(let reference, let payload, let purpose, let force, let dryRun):
            try services.packageCheckout(
                caller, reference: reference, payload: payload, purpose: purpose, force: force, dryRun: dryRun,
                sink: RemoteTarget(conversation))
        case .packageDiff(let first, let second, let limit):
            try services.packageDiff(caller, from: first, to: second, limit: limit, conversation: conversation)
        // Verifying only reads, and a checkout may well lie beside the home.
        case .packageVerify: try services.packageVerify(caller, reader: RemoteDirectories(conversation, homeGuard: nil))
        case .packageWithdraw(let package, let reason, let dryRun):
            try services.packageWithdraw(caller, package: package, reason: reason, dryRun: dryRun)
        default: preconditionFailure("\(request.command) is no package command")
        }
    }
}
