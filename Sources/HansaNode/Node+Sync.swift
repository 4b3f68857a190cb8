// `hansa sync`: ask the sessions to start a round now, and with --wait say when both directions stand equal, or why they do not.
internal import Foundation
public import HansaCore
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import Synchronization

extension Node {
    private struct Target {
        let city: CityID
        let started: ContinuousClock.Instant
        /// Counters at the start, when a session was there already.
        let before: (link: Network.Link, received: UInt64, sent: UInt64)?
        let failuresBefore: Int
        let connectionBefore: ObjectIdentifier?
        let asksNeeded: Int
        /// As far as anybody knew before it was asked.
        let wasInSync: Bool
    }

    struct Outcome: Equatable {
        var state: String
        var reason: String?
    }

    public func sync(
        _ caller: Caller, partners names: [String], wait: Bool, timeoutSeconds: Int?, dryRun: Bool, conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        let all = try read { try $0.partners() }.filter { $0.state != .removed }
        var chosen: [Partner] = []
        if names.isEmpty {
            chosen = all.filter { $0.state == .active }
        } else {
            for name in names { chosen.append(try partner(name)) }
        }
        for partner in chosen where partner.state == .paused {
            throw Problem(.partnerPaused, "\(partner.city) is paused", try: "hansa partner resume \(partner.city)")
        }
        if dryRun {
            return [
                "schema": "hansa.sync/1",
                "partners": .array(chosen.map { ["city": .string($0.city.text), "state": "behind", "reason": "dry-run"] }),
            ]
        }
        // Somebody who may has looked at what was stopped: it begins anew here. The partner's side is its own administrator's.
        if caller.role == .admin, !names.isEmpty {
            for partner in chosen {
                let count = try change { tx in
                    (try tx.resumeViews(with: partner.city, by: self.actor(caller)), ExchangeChanges())
                }
                if count > 0 {
                    conversation.warn(
                        "\(partner.city): \(Words.count(count, "view")) that \(count == 1 ? "was" : "were") quarantined \(count == 1 ? "begins" : "begin") anew"
                    )
                }
            }
        }
        // Without a running node the command dials by itself, and takes its sessions down again.
        let (network, isOurs) = try sessionNetwork()
        defer { if isOurs { stopNetwork(network) } }
        var targets: [Target] = []
        for partner in chosen { targets.append(try begin(partner.city, network)) }
        if !wait, !isOurs {
            return [
                "schema": "hansa.sync/1",
                "partners": .array(
                    targets.map {
                        row(
                            $0,
                            Outcome(
                                state: network.link(to: $0.city).connection == nil
                                    ? "unreachable" : $0.wasInSync ? "in-sync" : "behind", reason: "asked"),
                            network)
                    }),
            ]
        }
        return ["schema": "hansa.sync/1", "partners": .array(try settle(targets, network, timeoutSeconds, conversation))]
    }

    private func begin(_ city: CityID, _ network: Network) throws(Problem) -> Target {
        let (isEqual, views) = try read { (try self.isInSync(with: city, $0), try self.views(from: city, $0)) }
        let link = network.link(to: city)
        let before = link.connection.map { (link, $0.traffic.bytesReceived, $0.traffic.bytesSent) }
        let asks = link.connection?.ask() ?? 1
        if link.connection == nil { network.dial(city) }
        return Target(
            city: city, started: .now, before: before, failuresBefore: link.failures,
            connectionBefore: link.connection.map { ObjectIdentifier($0) }, asksNeeded: asks,
            wasInSync: isEqual && link.connection != nil && link.progress.isEqual(in: views))
    }

    private func settle(_ targets: [Target], _ network: Network, _ timeoutSeconds: Int?, _ conversation: any Conversation)
        throws(Problem) -> [JSONValue]
    {
        var open = targets
        var rows: [CityID: JSONValue] = [:]
        var mark: [UInt64] = []
        var lastMove = ContinuousClock.now
        let limit = timeoutSeconds.map { ContinuousClock.now + .seconds($0) }
        while !open.isEmpty {
            if conversation.isCancelled {
                throw Problem(.internalFault, "interrupted; the node goes on by itself", exit: .interrupted)
            }
            let seen = network.generation
            var still: [Target] = []
            for target in open {
                if let outcome = try outcome(of: target, network) {
                    rows[target.city] = row(target, outcome, network)
                } else {
                    still.append(target)
                }
            }
            open = still
            if open.isEmpty { break }
            // Progress is what moves; without any for a minute there is no point in waiting longer.
            let now = open.map { target -> UInt64 in
                let link = network.link(to: target.city)
                return link.progress.contentBytesReceived &+ link.contentBytesSent
                    &+ UInt64(link.progress.releasesReceived + link.releasesSent + link.progress.chunksHeld)
            }
            if now != mark { (mark, lastMove) = (now, .now) }
            let stalled = ContinuousClock.now - lastMove > .seconds(60)
            if stalled || limit.map({ ContinuousClock.now >= $0 }) == true {
                for target in open { rows[target.city] = row(target, behind(target, network), network) }
                break
            }
            if let first = open.first {
                let link = network.link(to: first.city)
                conversation.report(
                    Progress(
                        item: first.city.text, bytesDone: link.progress.contentBytesReceived + link.contentBytesSent,
                        bytesTotal: nil,
                        itemsDone: link.progress.releasesReceived + link.releasesSent, itemsTotal: nil))
            }
            network.waitForChange(since: seen, until: Date(timeIntervalSinceNow: 0.5))
        }
        return targets.compactMap { rows[$0.city] }
    }

    /// Nil while another attempt may say more.
    static func withoutSession(_ link: Network.Link, hasFailed: Bool, hadSession: Bool) -> Outcome? {
        let reason = link.lastError ?? "no session"
        if link.wasRefused { return Outcome(state: "refused", reason: reason) }
        // The partner was there: it is we who cannot take anything.
        if reason == Connection.diskFullReason, hasFailed || hadSession { return Outcome(state: "behind", reason: "disk-full") }
        return hasFailed ? Outcome(state: "unreachable", reason: reason) : nil
    }

    /// Nil while it is not decided.
    private func outcome(of target: Target, _ network: Network) throws(Problem) -> Outcome? {
        let link = network.link(to: target.city)
        guard let connection = link.connection else {
            if link.isDialling { return nil }
            // An attempt since we asked has failed, or there is no address to try.
            let hasFailed = link.failures > target.failuresBefore || !network.hasEndpoint(target.city)
            if let outcome = Node.withoutSession(link, hasFailed: hasFailed, hadSession: target.connectionBefore != nil) {
                return outcome
            }
            network.dial(target.city)
            return nil
        }
        let needed = target.connectionBefore == ObjectIdentifier(connection) ? target.asksNeeded : 1
        guard link.progress.asks >= needed else { return nil }
        for standing in link.progress.standings.values {
            if case .quarantined(let why) = standing { return Outcome(state: "quarantined", reason: why) }
        }
        let (ours, quarantine) = try read { store in
            (
                try self.isInSync(with: target.city, store),
                try store.publishedViews().first { $0.recipient == target.city && $0.quarantine != nil }?.quarantine
            )
        }
        if let quarantine { return Outcome(state: "quarantined", reason: quarantine) }
        // Active for us and unknown to them: nothing is equal there, and only they can say why.
        let waits = try read { try !$0.outbox(to: target.city, after: 0, limit: 1).isEmpty }
        // A round that began before our last documents were taken says nothing yet: another follows their acknowledgement.
        if waits { return nil }
        if link.progress.isSettled, link.progress.standings.values.contains(.none) {
            return Outcome(state: "refused", reason: "no-such-view")
        }
        if link.progress.isSettled {
            guard ours else { return nil }
            try remember([target.city: clock.now])
            return Outcome(state: "in-sync", reason: nil)
        }
        guard link.progress.isOnlyParked else { return nil }
        return Outcome(state: "behind", reason: link.progress.putOff > 0 ? "unavailable-there" : "not-yet-due")
    }

    /// When a round with these partners last ended with every view equal: `status` tells it also after a start.
    func remember(_ settled: [CityID: Timestamp]) throws(Problem) {
        let later = try read { store in
            try settled.filter { city, time in try SyncMemory.lastSync(with: city, store).map { $0 < time } ?? true }
        }
        guard !later.isEmpty else { return }
        try change { tx in
            for (city, time) in later.sorted(by: { $0.key < $1.key }) { try SyncMemory.set(time, with: city, tx) }
            return ((), ExchangeChanges())
        }
    }

    private func isSilent(_ target: Target, _ connection: Connection) -> Bool {
        guard let before = target.before, target.connectionBefore == ObjectIdentifier(connection) else { return false }
        return connection.traffic.bytesReceived == before.received
    }

    private func behind(_ target: Target, _ network: Network) -> Outcome {
        let link = network.link(to: target.city)
        guard let connection = link.connection else {
            return link.lastError == Connection.diskFullReason
                ? Outcome(state: "behind", reason: "disk-full") : Outcome(state: "unreachable", reason: link.lastError)
        }
        // A line that broke without a word looks like a session until TCP gives up.
        if isSilent(target, connection) {
            return Outcome(
                state: "unreachable", reason: "a session is open, and nothing has come through it since it was asked")
        }
        for standing in link.progress.standings.values {
            if case .behind(let why) = standing { return Outcome(state: "behind", reason: why) }
        }
        return Outcome(
            state: "behind",
            reason: link.progress.isSettled ? "the partner has not acknowledged everything" : "waiting for the partner's answer")
    }

    private func row(_ target: Target, _ outcome: Outcome, _ network: Network) -> JSONValue {
        let link = network.link(to: target.city)
        let same = link.connection.map { ObjectIdentifier($0) } == target.connectionBefore ? target.before : nil
        let received = link.connection?.traffic.bytesReceived ?? 0
        let sent = link.connection?.traffic.bytesSent ?? 0
        return [
            "city": .string(target.city.text), "state": .string(outcome.state), "reason": JSONValue(outcome.reason?.printable()),
            "releasesReceived": JSONValue(link.progress.releasesReceived - (same?.link.progress.releasesReceived ?? 0)),
            "releasesSent": JSONValue(link.releasesSent - (same?.link.releasesSent ?? 0)),
            "contentBytesReceived": JSONValue(
                link.progress.contentBytesReceived - (same?.link.progress.contentBytesReceived ?? 0)),
            "contentBytesSent": JSONValue(link.contentBytesSent - (same?.link.contentBytesSent ?? 0)),
            "wireBytesReceived": JSONValue(received - (same?.received ?? 0)),
            "wireBytesSent": JSONValue(sent - (same?.sent ?? 0)),
            "detail": JSONValue(link.lastErrorDetail?.printable()),
            "seconds": .double((target.started.duration(to: .now) / .milliseconds(1)).rounded() / 1000),
        ]
    }

    /// The serving node's sessions, or sessions of this command's own.
    private func sessionNetwork() throws(Problem) -> (Network, Bool) {
        if let network = network.withLock({ $0 }) { return (network, false) }
        let made = try makeNetwork()
        try guarded { try made.refreshPartners() }
        network.withLock { $0 = made }
        return (made, true)
    }

    private func stopNetwork(_ network: Network) {
        self.network.withLock { $0 = nil }
        let done = DispatchSemaphore(value: 0)
        Task {
            await network.stop()
            done.signal()
        }
        done.wait()
    }

    var witnessing: Witnessing {
        Witnessing(
            log: logService, identity: { [weak self] in self?.currentIdentity },
            witnesses: { [weak self] in self?.configuration.withLock { $0.witnesses } ?? [] })
    }

    func makeNetwork() throws(Problem) -> Network {
        let configuration = configuration.withLock { $0 }
        var bounds = Network.Bounds()
        bounds.unrecognisedMax = min(128, configuration.limits.connectionsMax)
        bounds.arrivalsPerMinuteAndAddress = configuration.limits.connectionsPerMinutePerAddress
        bounds.retrySecondsMax = Int64(configuration.sync.retrySecondsMax)
        bounds.connectionsMax = configuration.limits.connectionsMax
        bounds.announceSeconds = Int64(configuration.sync.intervalSeconds)
        bounds.contentBytesInFlight = configuration.limits.contentBytesInFlight
        // Read anew for each frame: SIGHUP changes rates at once.
        let sending = SendingBudget { [weak self] in self?.configuration.withLock { $0.limits.sending } ?? SendingRates() }
        return try guarded {
            try Network(
                context: context, clock: clock,
                identities: { [weak self] in self.map { [$0.keys.tls] + $0.keys.formerTLS } ?? [] },
                bounds: bounds, sending: sending,
                witnessing: witnessing,
                log: log,
                onStoreFault: { [weak self] error in self?.storeFailed(error) },
                onChanges: { [weak self] changes in self?.changed(changes) })
        }
    }

    /// A store that cannot be trusted ends the process; a full disk ends only what met it.
    func storeFailed(_ error: any Error) {
        if let fault = error as? DiskFault, fault.isFatal { fatal.trip(fault.description) }
        if let fault = error as? SegmentStoreFault, fault.isFatal { fatal.trip(fault.description) }
        log.error("the store could not do it", metadata: ["error": "\(problem(from: error).message)"])
        keeper.wake()
    }
}
