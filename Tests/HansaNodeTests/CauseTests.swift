import HansaCore
import HansaDocuments
import HansaStore
import HansaSync
import HansaTerms
import Synchronization
import Testing

@testable import HansaNode

/// What holds something up is named, in `why`, `status` and `sync` alike, and a view that was stopped begins anew.
struct CauseTests {
    private let kitchener: TestHome
    private let auckland: TestHome
    private let data = Folder()
    private let roads = "kitchener.ca/roads"

    init() throws {
        (kitchener, auckland) = try TestHome.pair()
        let id = try kitchener.propose(to: auckland)
        try exchange(kitchener, auckland)
        _ = try auckland.node.agreementAccept(auckland.caller, id: id, officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        try kitchener.grant("kitchener.ca/**", to: auckland, under: id)
        try auckland.grant("auckland.nz/**", to: kitchener, under: id)
    }

    private func publish(_ home: TestHome, _ text: String) throws {
        try data.write("\(home.city)/roads/x.csv", text)
        try home.publish([data.path + "/\(home.city)/roads"])
    }

    private func attention(_ home: TestHome, _ code: String) throws -> [JSONValue] {
        try home.node.status(home.caller)["attention"]?.array?.filter { $0["code"]?.string == code } ?? []
    }

    private func doctor(_ home: TestHome, _ name: String) throws -> JSONValue? {
        try home.node.doctor(home.caller)["checks"]?.array?.first { $0["name"]?.string == name }
    }

    private func sync(_ home: TestHome, _ partner: String?, as role: Role = .admin, dryRun: Bool = false) throws -> JSONValue? {
        try home.node.sync(
            Caller(role: role, uid: 0, account: "root"), partners: partner.map { [$0] } ?? [], wait: true, timeoutSeconds: 5,
            dryRun: dryRun, conversation: FolderSource([]))["partners"]?.array?.first
    }

    /// The view that `recipient` has of the other's.
    private func view(of recipient: TestHome) throws -> Digest {
        try #require(try recipient.node.read { try $0.subscribedViews() }.first).id
    }

    // MARK: Quarantine

    private let reason = "digests differ after a full list"

    /// As both sides stand after a publisher's word.
    private func stop(_ publisher: TestHome, _ recipient: TestHome) throws {
        let id = try view(of: recipient)
        try publisher.node.change { tx in
            var view = try #require(try tx.publishedView(id))
            (view.quarantine, view.mismatches) = (self.reason, 2)
            try tx.put(view)
            return ((), ExchangeChanges())
        }
        try recipient.node.change { tx in
            var view = try #require(try tx.subscribedView(id))
            view.quarantine = self.reason
            try tx.put(view)
            return ((), ExchangeChanges())
        }
    }

    private func heads(_ home: TestHome, of city: CityID) throws -> [String] {
        try home.packages.filter { $0["package"]?.string?.hasPrefix("\(city)/") == true }.compactMap { $0["version"]?.string }
    }

    @Test func viewsThatWereStoppedBeginAnewInBothDirectionsOnAnAdministratorsWord() throws {
        for home in [kitchener, auckland] { try publish(home, "a,b\n1,2\n") }
        try exchange(kitchener, auckland)
        try stop(kitchener, auckland)
        try stop(auckland, kitchener)
        for home in [kitchener, auckland] { try publish(home, "a,b\n3,4\n") }
        try exchange(kitchener, auckland)
        for (home, other) in [(kitchener, auckland), (auckland, kitchener)] {
            #expect(try heads(home, of: other.city) == ["1.0.0"])
            let rows = try attention(home, "view-quarantined")
            #expect(rows.count == 2 && rows.allSatisfy { $0["command"]?.string == "hansa sync \(other.city)" }, "\(rows)")
            let check = try doctor(home, "views")
            #expect(check?["state"] == "fail" && check?["fix"]?.string == "hansa sync \(other.city)")
            let why = try home.why(other.city.text, "\(other.city)/roads")
            #expect(why["delivery"]?["state"] == "quarantined" && why["try"]?.string == "hansa sync \(other.city)", "\(why)")
        }
        // Nothing but an administrator who names the partner lifts it.
        _ = try sync(auckland, nil)
        _ = try sync(auckland, "kitchener.ca", as: .operator)
        _ = try sync(auckland, "kitchener.ca", dryRun: true)
        #expect(try attention(auckland, "view-quarantined").count == 2)
        _ = try sync(auckland, "kitchener.ca")
        #expect(try attention(auckland, "view-quarantined").isEmpty)
        // Kitchener's side says it still.
        try exchange(kitchener, auckland)
        #expect(try attention(auckland, "view-quarantined").count == 1)
        _ = try sync(kitchener, "auckland.nz")
        _ = try sync(auckland, "kitchener.ca")
        try exchange(kitchener, auckland)
        for (home, other) in [(kitchener, auckland), (auckland, kitchener)] {
            #expect(try attention(home, "view-quarantined").isEmpty)
            #expect(try heads(home, of: other.city) == ["1.0.1"], "\(home.city)")
            let entries = try home.node.auditLog(home.caller, filter: LogFilter(event: "view.resumed"), emit: nil)["entries"]?
                .array
            #expect(entries?.isEmpty == false, "\(home.city)")
            #expect(entries?.allSatisfy { $0["reason"]?.string == reason } == true, "\(home.city)")
        }
    }

    // MARK: In sync

    @Test func aPublisherThatKnowsNoViewIsNotInSync() throws {
        let puller = Puller(auckland.node.context, peer: kitchener.city)
        let now = auckland.node.clock.now
        let ask = try #require(try puller.ask(at: now).first)
        let line = try #require(try Views(ask).lines.first)
        #expect(try auckland.node.read { try auckland.node.views(from: kitchener.city, $0) } == [line.view])
        #expect(!PullProgress(puller).isEqual(in: [line.view]))
        _ = try puller.receive([Feed(round: 1, view: line.view, status: .none).frame], at: now)
        var progress = PullProgress(puller)
        #expect(progress.isSettled && !progress.isEqual && !progress.isEqual(in: [line.view]))
        // What ended is no part of it.
        #expect(progress.isEqual(in: []))
        progress.standings[line.view] = .equal
        #expect(progress.isEqual && progress.isEqual(in: [line.view]))
    }

    @Test func allRefusedReleasesAreCounted() throws {
        let id = try view(of: auckland)
        try refuse(1...45, in: id)
        let status = try auckland.node.status(auckland.caller)
        #expect(status["refused"] == 45)
        #expect(try attention(auckland, "release-refused").count == 20)
    }

    private func refuse(_ numbers: ClosedRange<UInt64>, in view: Digest) throws {
        let package = try PackageID(roads)
        try auckland.node.change { tx in
            for number in numbers {
                try tx.put(
                    HoldingRow(
                        view: view, release: Digest(number, 2, 3, 4), level: .sync, state: .refused,
                        transfer: [UInt8](repeating: UInt8(number), count: 16), reason: "terms.ceiling", package: package))
            }
            return ((), ExchangeChanges())
        }
    }

    // MARK: Why

    @Test func aReleaseThatWeRefusedIsNotUnknown() throws {
        #expect(try auckland.why("kitchener.ca", roads)["reason"] == "unknown-package")
        try refuse(1...1, in: try view(of: auckland))
        let why = try auckland.why("kitchener.ca", roads)
        #expect(why["allowed"] == false && why["reason"] == "release-refused", "\(why)")
        #expect(why["delivery"]?["state"] == "refused")
        #expect(why["delivery"]?["reason"]?.string?.contains("terms.ceiling") == true)
        #expect(why["try"]?.string?.hasPrefix("hansa audit log") == true)
    }

    @Test(arguments: [true, false]) func whatASessionSaysOfAPackageIsTold(isHeld: Bool) throws {
        if isHeld {
            try publish(kitchener, "a,b\n1,2\n")
            try exchange(kitchener, auckland)
        }
        let node = auckland.node
        let partner = try node.partner("kitchener.ca")
        let due = Timestamp(milliseconds: 4_000_000_000_000)
        func state(_ waiting: Puller.Waiting?, unnamed: Int = 0) throws -> (state: String?, reason: String?) {
            let live = LiveDelivery(waiting: waiting, unnamed: unnamed)
            let id = try node.packageID(roads)
            let arrival = try node.read {
                try node.arrival(id, from: partner, under: nil, isHeld: isHeld, live, $0)
            }
            return (arrival?.document["state"]?.string, arrival?.document["reason"]?.string)
        }
        #expect(try state(.notYetDue(due)).state == "parked")
        #expect(try state(.missingParent) == ("parked", "it builds upon a release of kitchener.ca that is not here yet"))
        #expect(try state(.unavailableThere(due)).state == "put-off")
        // Nothing is fetched without a session, whatever the last one said.
        #expect(try state(.fetching(held: 1, of: 3)) == ("offline", "our node does not serve: hansa serve"))
        #expect(try state(nil).state == (isHeld ? "held" : "offline"))
    }

    @Test func aFullDiskHereIsNotThePartnersFault() async throws {
        #expect(Node.isDiskFull(StoreFault.diskFull(bytesMissing: 1)))
        #expect(!Node.isDiskFull(StoreFault.damaged("x")))
        let network = try auckland.node.makeNetwork()
        auckland.node.network.withLock { $0 = network }
        var link = Network.Link()
        link.lastError = Connection.diskFullReason
        network.state.withLock { $0.links[kitchener.city] = link }
        let why = try auckland.why("kitchener.ca", roads)
        #expect(why["delivery"]?["reason"]?.string == "our disk is full: nothing is taken until there is room", "\(why)")
        #expect(why["try"]?.string == "hansa store stats")
        auckland.node.network.withLock { $0 = nil }
        await network.stop()
        // The session that met it ended while `sync` waited, or the next one did.
        for (hasFailed, hadSession) in [(true, false), (false, true), (true, true)] {
            #expect(
                Node.withoutSession(link, hasFailed: hasFailed, hadSession: hadSession)
                    == Node.Outcome(state: "behind", reason: "disk-full"))
        }
        // What an earlier session met says nothing of now.
        #expect(Node.withoutSession(link, hasFailed: false, hadSession: false) == nil)
        link.lastError = "connection reset"
        #expect(Node.withoutSession(link, hasFailed: true, hadSession: true)?.state == "unreachable")
    }

    @Test func aClockThatStandsBehindTheLogIsNamed() throws {
        let partner = try auckland.node.partner("kitchener.ca")
        let delivery = Delivery.clockBehind(auckland.node.clock.now)
        #expect(delivery.next(partner.city) == "timedatectl status")
        #expect(delivery.document["reason"]?.string?.contains("nothing is shared") == true)
    }
}
