import HansaContent
import HansaCore
import HansaDocuments
import HansaSync
import HansaTestSupport
import Synchronization
import Testing

/// Content that is checked and written beside the puller, as late as it can be.
@Suite struct LaneTests {
    /// Does nothing before it is waited for.
    private final class LateLane: WorkLane {
        private let given = Mutex<[@Sendable () -> Void]>([])
        func run(bytes: Int, _ work: @escaping @Sendable () -> Void) { given.withLock { $0.append(work) } }
        func wait() {
            let works = given.withLock { works in
                defer { works = [] }
                return works
            }
            for work in works { work() }
        }
    }

    /// A store that has no room for one block.
    private final class ShortContent: ContentStore {
        private let content: any ContentStore
        private let before: Mutex<Int>
        init(_ content: any ContentStore, failingAfter blocks: Int) {
            self.content = content
            before = Mutex(blocks)
        }
        func append(block: StoredBlock) throws -> ContentLocation {
            let fails = before.withLock { left in
                left -= 1
                return left == -1
            }
            if fails { throw StoreFault.diskFull(bytesMissing: 1) }
            return try content.append(block: block)
        }
        func append(document: [UInt8], digest: Digest) throws -> ContentLocation {
            try content.append(document: document, digest: digest)
        }
        func append(table: [UInt8], release: Digest) throws -> [ContentLocation] {
            try content.append(table: table, release: release)
        }
        func append(page: [UInt8], release: Digest) throws -> ContentLocation { try content.append(page: page, release: release) }
        func sync() throws { try content.sync() }
        func block(at location: ContentLocation) throws -> StoredBlock { try content.block(at: location) }
        func body(at location: ContentLocation) throws -> [UInt8] { try content.body(at: location) }
    }

    private static func world() throws -> (world: World, release: Digest) {
        let world = try Exchange.cities()
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        // Some four blocks.
        return (world, try world.nodes[0].publish("roads", Exchange.content(1, chunks: 700)))
    }

    static func exchange(_ world: World, content: (any ContentStore)? = nil) -> Exchange {
        let own = world.nodes[1].context
        return Exchange(
            world,
            recipient: ExchangeContext(
                own: own.own, signing: own.signing, metadata: own.metadata, content: content ?? own.content, random: own.random,
                limits: own.limits, makeLane: { LateLane() }))
    }

    @Test func whatTheLaneHasNotDoneIsWaitedFor() throws {
        let (world, release) = try Self.world()
        let exchange = Self.exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(try world.nodes[1].files(of: release) == world.nodes[0].files(of: release))
    }

    /// Packed blocks are checked on the lane, raw ones before; the wrong one is followed by others in one batch.
    @Test(arguments: [Block.Codec.raw, .zstd], [0, 1, 2]) func aWrongBlockAmongOthersIsAskedForAgain(
        codec: Block.Codec, number: Int
    ) throws {
        let (world, release) = try Self.world()
        let exchange = Self.exchange(world)
        var asks = try exchange.puller.ask(at: world.now)
        var seen = 0
        for _ in 0..<100 where !asks.isEmpty {
            let answers = try exchange.answers(to: asks).map { frame -> Frame in
                guard frame.type == .chunks else { return frame }
                defer { seen += 1 }
                var chunks = try Chunks(frame)
                var raw = try Block.decode(chunks.codec, chunks.bytes, rawLength: Int(chunks.rawLength))
                if seen == number { raw[raw.count / 2] ^= 1 }
                let packed = codec == .raw ? (codec: .raw, bytes: raw) : Block.encode(raw: raw)
                (chunks.codec, chunks.bytes) = (packed.codec, packed.bytes[...])
                return chunks.frame
            }
            asks = try exchange.asks(after: answers)
        }
        #expect(seen > 3)
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(try world.nodes[1].files(of: release) == world.nodes[0].files(of: release))
    }

    @Test(arguments: [0, 1, 2]) func aBlockThatCouldNotBeWrittenWasNeverHere(number: Int) throws {
        let (world, release) = try Self.world()
        let short = Self.exchange(world, content: ShortContent(world.nodes[1].context.content, failingAfter: number))
        #expect(throws: ExchangeFault.self) { try short.run() }
        try short.puller.park(at: world.now)
        #expect(try short.holding(release) == nil)
        // What was written before it stays; the rest comes with the next session.
        let exchange = Self.exchange(world)
        try exchange.run()
        #expect(try exchange.holding(release)?.state == .accepted)
        #expect(try world.nodes[1].files(of: release) == world.nodes[0].files(of: release))
    }
}
