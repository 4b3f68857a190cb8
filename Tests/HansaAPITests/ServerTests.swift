import CLinux
import FakeNode
import Glibc
import HansaCore
import HansaNode
import Logging
import Synchronization
import Testing

@testable import HansaAPI

struct ServerTests {
    private static func options(clients: Int = 32, request: Int = 5000, answer: Int = 5000, longestAnswer: Int = 5000)
        -> AdminServer.Options
    {
        var options = AdminServer.Options(clientsMax: clients, drainMilliseconds: 2000)
        options.patience = Patience(request: request, answer: answer, longestAnswer: longestAnswer, sending: 1000)
        return options
    }

    // A fixture stops its server when it goes, so each test holds it in a variable.
    @Test func requestsRunOneAfterAnotherOnOneConnection() throws {
        let fixture = try ServerFixture()
        let client = try fixture.client()
        #expect(try client.run(.partnerList) == FakeDocuments.partners)
        #expect(try client.run(.status) == FakeDocuments.status)
        #expect(fixture.services.calls == ["partner list admin", "status admin"])
    }

    @Test func aProblemKeepsItsCodeAndTheConnectionLives() throws {
        var script = FakeServices.Script()
        let fault = Problem(.partnerUnknown, "no such partner", try: "hansa partner list")
        script.problems["status"] = fault
        let fixture = try ServerFixture(FakeServices(script))
        let client = try fixture.client()
        #expect(problem { _ = try client.run(.status) } == fault)
    }

    @Test func aSocketPathOfAnyLengthWorks() throws {
        let name = Array(repeating: String(repeating: "d", count: 100), count: 3).joined(separator: "/") + "/hansa.sock"
        let fixture = try ServerFixture(socketName: name)
        #expect(fixture.socketPath.utf8.count > 300)
        #expect(try fixture.client().run(.status)["city"] == "kitchener.ca")
        var status = stat()
        #expect(lstat(fixture.socketPath, &status) == 0 && status.st_mode & 0o777 == 0o666)
    }

    @Test func aStaleSocketIsReplacedAndALiveOneIsNot() async throws {
        let first = try ServerFixture()
        let path = first.socketPath
        let second = AdminServer(services: first.services, home: "/", socketPath: path, logger: Logger(label: "test"))
        #expect(problem { try second.start() }?.code == .homeInUse)
        #expect(try first.client().run(.status)["city"] == "kitchener.ca")

        // A killed node leaves its file behind: bound, and nobody listens.
        let directory = TemporaryDirectory()
        let stale = UnixSocket.make()
        #expect(hansa_unix_bind(stale, directory.path + "/hansa.sock") == 0)
        close(stale)
        #expect(try AdminClient.connect(socketPath: directory.path + "/hansa.sock") == nil)
        let third = AdminServer(
            services: first.services, home: directory.path, socketPath: directory.path + "/hansa.sock",
            logger: Logger(label: "test"))
        try third.start()
        #expect(try AdminClient.connect(socketPath: directory.path + "/hansa.sock")?.run(.status)["city"] == "kitchener.ca")
        third.stop()
        await third.waitUntilStopped()
        #expect(directory.names.isEmpty)
    }

    @Test func aFileThatIsNoSocketIsNotRemoved() {
        let directory = TemporaryDirectory()
        let path = directory.file("hansa.sock", "precious")
        let server = AdminServer(services: FakeServices(), home: directory.path, socketPath: path, logger: Logger(label: "test"))
        #expect(problem { try server.start() }?.code == .homeUnsafe)
        #expect(directory.text("hansa.sock") == "precious")
    }

    @Test func oneClientTooManyIsToldSo() throws {
        let fixture = try ServerFixture(options: Self.options(clients: 3))
        let kept = try (0..<3).map { _ in try fixture.client() }
        for client in kept { _ = try client.run(.status) }
        #expect(problem { _ = try fixture.client().run(.status) }?.code == .tooManyClients)
        kept[0].interrupt()
        // The server notices in its own time; until then it refuses.
        var served = false
        for _ in 0..<2000 where !served { served = problem { _ = try fixture.client().run(.status) } == nil }
        #expect(served)
    }

    @Test func anAccountOtherThanTheOwnersGetsHalf() throws {
        let policy = RolePolicy(
            owner: geteuid() &+ 1, rules: [RoleRule(.user("\(geteuid())"), role: .auditor)], ownerIsAdmin: false)
        guard geteuid() != 0 else {
            // Root is never held to half, so as root there is nothing to see.
            return
        }
        let fixture = try ServerFixture(options: Self.options(clients: 4), policy: policy)
        let kept = try (0..<2).map { _ in try fixture.client() }
        for client in kept { _ = try client.run(.status) }
        #expect(problem { _ = try fixture.client().run(.status) }?.code == .tooManyClients)
    }

    @Test func aClientThatSaysNothingLosesItsPlaceAndHoldsUpNobody() throws {
        let fixture = try ServerFixture(options: Self.options(clients: 2, request: 300))
        let silent = fixture.connection()
        let slow = fixture.rawConnection()
        // The first bytes of a request, and no more.
        _ = [UInt8](arrayLiteral: 0, 0, 0).withUnsafeBytes { write(slow, $0.baseAddress, $0.count) }
        #expect(problem { _ = try fixture.client().run(.status) }?.code == .tooManyClients)
        let frame = try silent.receive(within: 5000)
        #expect(frame?.type == .problem)
        #expect(try silent.receive(within: 5000) == nil)
        var served = false
        for _ in 0..<2000 where !served { served = problem { _ = try fixture.client().run(.status) } == nil }
        #expect(served)
        close(slow)
    }

    @Test func aFrameThatIsNoRequestEndsTheConnection() throws {
        let fixture = try ServerFixture()
        for type in FrameType.allCases where type != .request && type != .descriptors {
            let channel = fixture.connection()
            try channel.send(type, [0], within: 1000)
            let frame = try #require(try channel.receive(within: 5000))
            #expect(frame.type == .problem)
            #expect(try ProblemCodec.decode(frame.body).code == .adminProtocol)
            #expect(try channel.receive(within: 5000) == nil)
        }
        #expect(fixture.services.calls.isEmpty)
        #expect(try fixture.client().run(.status)["city"] == "kitchener.ca")
    }

    @Test func aClientThatDiesInTheMiddleCancelsItsWork() throws {
        let seen = Mutex((started: false, cancelled: false))
        var script = FakeServices.Script()
        script.duringSync = { conversation in
            seen.withLock { $0.started = true }
            _ = eventually { conversation.isCancelled }
            seen.withLock { $0.cancelled = true }
        }
        let fixture = try ServerFixture(FakeServices(script))
        let channel = fixture.connection()
        try channel.send(
            .request, try AdminRequest.sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false).encoded(), within: 1000)
        #expect(eventually { seen.withLock { $0.started } })
        channel.hangUp()
        #expect(eventually { seen.withLock { $0.cancelled } })
        #expect(try fixture.client().run(.status)["city"] == "kitchener.ca")
    }

    @Test func aClientThatDiesWhileAskedForFilesIsSurvived() throws {
        let fixture = try ServerFixture()
        for cut in [[], [0], [0, 0, 0, 9, FrameType.listings.rawValue, 0], [0, 0, 0, 2, FrameType.listings.rawValue, 9]]
            as [[UInt8]]
        {
            let socket = fixture.rawConnection()
            let channel = FrameChannel(owning: socket)
            try channel.send(.request, try AdminRequest.packagePublish(PublishOptions()).encoded(), within: 1000)
            #expect(try channel.receive(within: 5000)?.type == .nextListings)
            _ = cut.withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
            channel.hangUp()
        }
        #expect(try fixture.client().run(.status)["city"] == "kitchener.ca")
        #expect(fixture.services.published.isEmpty)
    }

    @Test func aClientThatAnswersLaterForEverIsGivenUp() throws {
        let fixture = try ServerFixture(options: Self.options(longestAnswer: 200))
        let channel = fixture.connection()
        try channel.send(.request, try AdminRequest.packagePublish(PublishOptions()).encoded(), within: 1000)
        #expect(try channel.receive(within: 5000)?.type == .nextListings)
        var told = false
        for _ in 0..<1_000_000 where !told {
            do throws(ChannelFault) { try channel.send(.waiting, within: 1000) } catch { break }
            told = channel.isReadableNow
        }
        let frame = try #require(try channel.receive(within: 5000))
        #expect(try ProblemCodec.decode(frame.body).code == .adminProtocol)
    }

    @Test func interruptingAClientGivesExitCode130() throws {
        let started = Atomic<Bool>(false)
        let shared = Mutex<AdminClient?>(nil)
        var script = FakeServices.Script()
        script.duringSync = { conversation in
            started.store(true, ordering: .sequentiallyConsistent)
            shared.withLock { $0 }?.interrupt()
            _ = eventually { conversation.isCancelled }
        }
        let fixture = try ServerFixture(FakeServices(script))
        let client = try fixture.client()
        shared.withLock { $0 = client }
        let fault = problem { _ = try client.run(.sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false)) }
        let didStart = started.load(ordering: .sequentiallyConsistent)
        #expect(didStart)
        #expect(fault?.exit == .interrupted)
    }

    @Test func stoppingLetsARunningRequestEndAndRefusesNewOnes() async throws {
        let entered = Atomic<Bool>(false)
        var script = FakeServices.Script()
        script.duringSync = { conversation in
            entered.store(true, ordering: .sequentiallyConsistent)
            _ = eventually { conversation.isCancelled }
        }
        let fixture = try ServerFixture(FakeServices(script))
        let idle = try fixture.client()
        _ = try idle.run(.status)
        let channel = fixture.connection()
        try channel.send(
            .request, try AdminRequest.sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false).encoded(), within: 1000)
        #expect(eventually { entered.load(ordering: .sequentiallyConsistent) })
        fixture.server.stop()
        await fixture.server.waitUntilStopped()
        // The handler saw the stop, ended, and its answer was still delivered.
        #expect(try channel.receive(within: 1000)?.type == .result)
        #expect(try AdminClient.connect(socketPath: fixture.socketPath) == nil)
    }

    @Test func workThatTheNodesEndCutShortIsToldAsSuch() async throws {
        let entered = Atomic<Bool>(false)
        var script = FakeServices.Script()
        script.duringSync = { conversation in
            entered.store(true, ordering: .sequentiallyConsistent)
            _ = eventually { conversation.isCancelled }
        }
        script.problems["sync"] = Problem(.internalFault, "interrupted", exit: .interrupted)
        let fixture = try ServerFixture(FakeServices(script))
        let channel = fixture.connection()
        try channel.send(
            .request, try AdminRequest.sync(partners: [], wait: true, timeoutSeconds: nil, dryRun: false).encoded(), within: 1000)
        #expect(eventually { entered.load(ordering: .sequentiallyConsistent) })
        fixture.server.stop()
        let frame = try #require(try channel.receive(within: 5000))
        #expect(try ProblemCodec.decode(frame.body).code == .nodeStopping)
        await fixture.server.waitUntilStopped()
    }

    @Test func aLogOfManyEntriesStreamsInBatches() throws {
        var script = FakeServices.Script()
        script.logEntries = (0..<2500).map { ["index": .integer($0), "event": "release.published"] }
        var batches: [Int] = []
        var entries: [JSONValue] = []
        let fixture = try ServerFixture(FakeServices(script))
        let document = try fixture.client().run(
            .auditLog(LogFilter()),
            observer: RequestObserver(items: {
                batches.append($0.count)
                entries += $0
            }))
        #expect(document == ["schema": "hansa.audit-log/1"])
        #expect(batches == [1000, 1000, 500] && entries == script.logEntries)
    }

    @Test func aResultLargerThanAFrameArrives() throws {
        var script = FakeServices.Script()
        let large: JSONValue = [
            "schema": "hansa.package-list/1",
            "packages": .array(
                (0..<60_000).map {
                    [
                        "package": .string("kitchener.ca/p\($0)"), "bytes": .integer($0),
                        "title": "A title of some length that repeats itself",
                    ]
                }),
        ]
        script.documents["package list"] = large
        let fixture = try ServerFixture(FakeServices(script))
        #expect(try fixture.client().run(.packageList) == large)
    }

    @Test func handlersRunInThisProcessTheSameWay() throws {
        let services = FakeServices()
        let session = try LocalSession(services: services, home: "/nonexistent")
        #expect(try session.client.run(.partnerList) == FakeDocuments.partners)
        #expect(services.calls == ["partner list admin"])
        #expect(session.close(waitingSeconds: 10))
    }
}

extension FrameChannel {
    fileprivate var isReadableNow: Bool { (try? isReadable(within: 0)) ?? true }
}
