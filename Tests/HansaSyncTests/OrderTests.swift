import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaSync
import HansaTestSupport
import Synchronization
import Testing

/// No frame says that something is durable before its bytes and rows are.
@Suite struct OrderTests {
    enum Step: Equatable, Sendable { case append, sync, commit, frame(FrameType) }

    final class Recorder: Sendable {
        private let list = Mutex<[Step]>([])
        func note(_ step: Step) { list.withLock { $0.append(step) } }
        var steps: [Step] { list.withLock { $0 } }
    }

    /// Notes when a transaction is durable.
    struct RecordedMetadata: MetadataStore {
        let store: any MetadataStore
        let recorder: Recorder
        var chunkRemovals: UInt64 { store.chunkRemovals }
        func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T { try store.read(body) }
        func write<T>(at now: Timestamp, _ body: (any MetadataWriting) throws -> T) throws -> T {
            let value = try store.write(at: now, body)
            recorder.note(.commit)
            return value
        }
    }

    struct RecordedContent: ContentStore {
        let store: any ContentStore
        let recorder: Recorder
        func append(block: StoredBlock) throws -> ContentLocation { try noting { try store.append(block: block) } }
        func append(document: [UInt8], digest: Digest) throws -> ContentLocation {
            try noting { try store.append(document: document, digest: digest) }
        }
        func append(table: [UInt8], release: Digest) throws -> [ContentLocation] {
            try noting { try store.append(table: table, release: release) }
        }
        func append(page: [UInt8], release: Digest) throws -> ContentLocation {
            try noting { try store.append(page: page, release: release) }
        }
        func sync() throws {
            try store.sync()
            recorder.note(.sync)
        }
        func block(at location: ContentLocation) throws -> StoredBlock { try store.block(at: location) }
        func body(at location: ContentLocation) throws -> [UInt8] { try store.body(at: location) }
        private func noting<T>(_ body: () throws -> T) throws -> T {
            let value = try body()
            recorder.note(.append)
            return value
        }
    }

    @Test(arguments: [2, 1000]) func acknowledgementsFollowTheFsyncOfWhatTheyAcknowledge(batch: Int) throws {
        var limits = ExchangeLimits()
        limits.commitReleasesMax = batch
        limits.flushBytes = 10_000
        let world = try Exchange.cities(limits: limits)
        let recorder = Recorder()
        world.nodes[1].wrap(
            metadata: { RecordedMetadata(store: $0, recorder: recorder) },
            content: { RecordedContent(store: $0, recorder: recorder) })
        world.onFrames = { node, _, frames, _ in
            if node === world.nodes[1] { for frame in frames { recorder.note(.frame(frame.type)) } }
        }
        world.connect(0, 1)
        let agreement = try world.propose(0, 1)
        world.run(seconds: 5)
        #expect(try world.nodes[1].accept(agreement))
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        for number in 0..<5 { try world.nodes[0].publish("roads/\(number)", Exchange.content(UInt64(number), chunks: 12)) }
        world.run(seconds: 20)
        #expect(try world.nodes[0].withdraw("roads/3"))
        world.run(seconds: 20)
        #expect(try world.differences() == [])

        let seen = Set(
            recorder.steps.compactMap { step -> FrameType? in
                guard case .frame(let type) = step, [.feedAcknowledged, .documentsAcknowledged, .accepted].contains(type) else {
                    return nil
                }
                return type
            })
        #expect(seen == [.feedAcknowledged, .documentsAcknowledged, .accepted])
        try checkPoints(recorder.steps)
    }

    /// Between the last append of a batch and the frame that acknowledges it lie a sync and then a commit. A document of a release that came
    /// meanwhile may be appended after: it is acknowledged later, and never by this frame, since frames are made by the job that committed.
    private func checkPoints(_ steps: [Step]) throws {
        for (index, step) in steps.enumerated() {
            guard case .frame(let type) = step, type == .feedAcknowledged else { continue }
            let before = steps[..<index]
            let commit = try #require(before.lastIndex(of: .commit), "nothing was committed before \(type)")
            let appended = before[..<commit].lastIndex(of: .append)
            guard let appended else { continue }
            #expect(before[appended..<commit].contains(.sync), "step \(index): \(type) after a commit that no sync precedes")
        }
    }

    /// A crash right after any acknowledgement loses nothing of what it acknowledged: the disk forgets what was not synchronised, and rows are
    /// those committed.
    @Test(arguments: 1...12 as ClosedRange<UInt64>) func acknowledgedReleasesSurviveACrashAtTheNextInstant(seed: UInt64) throws {
        let world = try World(seed: seed, cities: ["kitchener.ca", "auckland.nz"])
        let agreement = try world.agree(0, 1)
        let (kitchener, auckland) = (world.nodes[0], world.nodes[1])
        try kitchener.grant(auckland.city, "kitchener.ca/**", under: agreement)
        var contents: [Digest: WorldContent] = [:]
        for number in 0..<6 {
            contents[try kitchener.publish("p/\(number % 4)", Exchange.content(UInt64(number), chunks: 9))] = Exchange.content(
                UInt64(number), chunks: 9)
        }
        var acknowledged: [Digest] = []
        var crashes = 0
        var offers: [Digest: Digest] = [:]
        world.onFrames = { node, _, frames, _ in
            for frame in frames where frame.type == .feed {
                for case .add(let release, _, let transfer) in (try? Feed(frame))?.changes ?? [] {
                    if let name = OfferName.of(transfer) { offers[name] = release }
                }
            }
            let words: [FrameType] = [.receipt, .accepted, .feedAcknowledged]
            guard node === auckland, frames.contains(where: { words.contains($0.type) }) else { return }
            for frame in frames where frame.type == .accepted {
                acknowledged += (try? Accepted(frame))?.offers.compactMap { offers[$0] } ?? []
            }
            for frame in frames where frame.type == .receipt {
                let receipt = try? Receipt(payload: ReceiptMessage(frame).envelope.payload)
                acknowledged += receipt?.items.filter { $0.outcome == .accepted }.map(\.release) ?? []
            }
            guard crashes < 4 else { return }
            crashes += 1
            auckland.crash()
            auckland.restart()
            for release in acknowledged { #expect((try? auckland.files(of: release)) == contents[release], "seed \(seed)") }
        }
        world.connect(0, 1)
        world.run(seconds: 300)
        #expect(world.findings == [])
        #expect(crashes > 0)
        #expect(try world.differences() == [])
    }
}
