import HansaContent
import HansaCore
import HansaDocuments
import HansaSync
import HansaTestSupport
import Synchronization
import Testing

/// Files' digests while content comes: what is here goes into them between the chunks that arrive.
@Suite struct HashAheadTests {
    /// Counts blocks that are read, and cannot read one.
    private final class CountedContent: ContentStore {
        private let content: any ContentStore
        private let state = Mutex((read: [ContentLocation](), broken: Int?.none))

        init(_ content: any ContentStore) { self.content = content }
        var read: [ContentLocation] { state.withLock(\.read) }
        /// The number of the read that finds damage.
        func breaks(at number: Int) { state.withLock { $0 = ([], number) } }

        func block(at location: ContentLocation) throws -> StoredBlock {
            let isBroken = state.withLock { state in
                state.read.append(location)
                return state.broken == state.read.count - 1
            }
            if isBroken { throw StoreFault.damaged("as the test wants it") }
            return try content.block(at: location)
        }
        func append(block: StoredBlock) throws -> ContentLocation { try content.append(block: block) }
        func append(document: [UInt8], digest: Digest) throws -> ContentLocation {
            try content.append(document: document, digest: digest)
        }
        func append(table: [UInt8], release: Digest) throws -> [ContentLocation] {
            try content.append(table: table, release: release)
        }
        func append(page: [UInt8], release: Digest) throws -> ContentLocation { try content.append(page: page, release: release) }
        func sync() throws { try content.sync() }
        func body(at location: ContentLocation) throws -> [UInt8] { try content.body(at: location) }
    }

    /// Auckland holds a version of some seven blocks, and comes to hold one that was edited in each of them.
    private struct Update {
        let world: World
        let exchange: Exchange
        let content: CountedContent
        let edited: WorldContent
        let second: Digest

        init() throws {
            world = try Exchange.cities()
            let agreement = try world.agree(0, 1)
            try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
            let chunks = (0..<1300).map { DeltaTests.chunk($0, count: 5000) }
            _ = try world.nodes[0].publish("roads", WorldContent(chunks: chunks))
            try Exchange(world).run()
            edited = DeltaTests.edited(chunks, stride(from: 7, to: 1290, by: 41).map { $0 })
            second = try world.nodes[0].publish("roads", edited)
            let own = world.nodes[1].context
            content = CountedContent(own.content)
            exchange = Exchange(
                world,
                recipient: ExchangeContext(
                    own: own.own, signing: own.signing, metadata: own.metadata, content: content, random: own.random,
                    limits: own.limits))
        }

        /// With frames of content in another order, where `change` says so.
        func run(_ change: ([Frame]) -> [Frame] = { $0 }) throws {
            var asks = try exchange.puller.ask(at: world.now)
            for _ in 0..<200 where !asks.isEmpty { asks = try exchange.asks(after: change(try exchange.answers(to: asks))) }
            #expect(asks.isEmpty)
        }

        func expectAll() throws {
            #expect(try exchange.holding(second)?.state == .accepted)
            #expect(try world.nodes[1].files(of: second) == edited)
        }
    }

    @Test func eachBlockOfTheBaseIsReadOnce() throws {
        let update = try Update()
        try update.run()
        try update.expectAll()
        let read = update.content.read
        #expect(Set(read).count >= 7 && read.count <= Set(read).count + 1)
    }

    @Test func framesInAnotherOrderComeToTheSame() throws {
        let update = try Update()
        try update.run { frames in
            let isContent = { (frame: Frame) in frame.type == .delta || frame.type == .chunks }
            return frames.filter { !isContent($0) } + frames.filter(isContent).reversed()
        }
        try update.expectAll()
    }

    @Test(arguments: 0..<10) func whatCannotBeReadAheadIsFoundAtTheEnd(number: Int) throws {
        let update = try Update()
        update.content.breaks(at: number)
        try update.run()
        // It was unreadable once: what lies in it is asked for anew, or was found readable by then.
        for _ in 0..<3 where try update.exchange.holding(update.second)?.state != .accepted { try update.run() }
        try update.expectAll()
    }
}
