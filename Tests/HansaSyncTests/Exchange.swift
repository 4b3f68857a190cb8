import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// A publisher and a puller of two cities, frame by frame and without a session around them: a test sees, holds back, repeats or changes what goes over.
struct Exchange {
    let world: World
    let publisher: Publisher
    let puller: Puller
    /// The recipient's: receipts leave through it.
    let documents: DocumentExchange

    var kitchener: WorldNode { world.nodes[0] }
    var auckland: WorldNode { world.nodes[1] }
    var now: Timestamp { world.now }

    /// Two cities that know each other. Sessions begin with `begin`.
    static func cities(seed: UInt64 = 1, limits: ExchangeLimits = ExchangeLimits()) throws -> World {
        var options = World.Options()
        options.limits = limits
        return try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"], options: options)
    }

    /// With secrets views that differ are repaired; without they are told from their beginning.
    init(
        _ world: World, publisherSecret: RepairSecret? = nil, pullerSecret: RepairSecret? = nil, recipient: ExchangeContext? = nil
    ) {
        self.world = world
        publisher = Publisher(world.nodes[0].context, peer: world.nodes[1].city, secret: publisherSecret)
        puller = Puller(recipient ?? world.nodes[1].context, peer: world.nodes[0].city, secret: pullerSecret)
        documents = DocumentExchange(world.nodes[1].context, peer: world.nodes[0].city)
    }

    static func content(_ number: UInt64, chunks: UInt64 = 3) -> WorldContent {
        WorldContent(chunks: (0..<chunks).map { WorldContent.chunk(number * 1000 + $0, count: 5000 + Int($0 % 7) * 100) })
    }

    /// What the publisher answers to these frames, content included.
    func answers(to frames: [Frame]) throws -> [Frame] {
        var answers: [Frame] = []
        for frame in frames where ![.credit, .documents, .documentsAcknowledged].contains(frame.type) {
            answers += try publisher.receive(frame, at: now)
        }
        while publisher.hasIndex { answers += try publisher.index(upTo: 1 << 20, at: now) }
        while publisher.hasContent { answers += try publisher.content(upTo: 1 << 20, at: now) }
        return answers
    }

    /// What the puller says to these frames, and what waits in its outbox then.
    func asks(after frames: [Frame]) throws -> [Frame] {
        for frame in frames where frame.type == .documentsAcknowledged { try documents.acknowledged(frame, at: now) }
        return try puller.receive(frames.filter { $0.type != .documentsAcknowledged }, at: now) + documents.pending()
    }

    /// Carries frames to and fro until nothing is left. Returns what the puller sent last.
    func run(_ first: [Frame]) throws {
        var asks = first
        for _ in 0..<1000 {
            let answers = try answers(to: asks)
            asks = try self.asks(after: answers)
            if asks.isEmpty { return }
        }
        Issue.record("the exchange does not end")
    }

    func run() throws { try run(try puller.ask(at: now)) }

    func holding(_ release: Digest, in view: Digest? = nil) throws -> HoldingRow? {
        try auckland.metadata.read { store in
            try store.holdings(of: release).first { view == nil || $0.view == view }
        }
    }
}
