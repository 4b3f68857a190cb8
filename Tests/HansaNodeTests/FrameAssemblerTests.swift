import HansaCore
import HansaSync
import NIOCore
import Synchronization
import Testing

@testable import HansaNode

@Suite struct FrameAssemblerTests {
    private func read(_ bytes: [UInt8], cut: Int, reserving: Bool = true) throws -> [Frame] {
        var assembler = FrameAssembler()
        var frames: [Frame] = []
        for start in stride(from: 0, to: bytes.count, by: cut) {
            var part = ByteBuffer(bytes: bytes[start..<min(start + cut, bytes.count)])
            while let frame = try assembler.next(&part, reserving: reserving) { frames.append(frame) }
            #expect(part.readableBytes == 0)
        }
        return frames
    }

    @Test(arguments: [1, 2, 4, 5, 6, 7, 100, 4_096, 1 << 21]) func framesCutAnywhereArriveWhole(cut: Int) throws {
        let large = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let frames = [
            Frame(.close, body: []), Frame(.chunks, body: Array(large[..<80]), tail: large[80...]), Frame(.credit, body: [1]),
            Frame(.chunks, body: large), Frame(.close, body: []),
        ]
        #expect(frames[1] == frames[3])
        let bytes = frames.flatMap(\.encoded)
        #expect(try read(bytes, cut: cut) == frames)
        #expect(try read(bytes, cut: cut, reserving: false) == frames)
    }

    @Test func anOversizedFrameEndsItAtItsHeader() throws {
        // A control frame of one byte more than it may have.
        #expect(throws: ProtocolFault.oversized(.feed, Limits.controlBodyBytesMax + 1)) {
            try read([0x04, 0x00, 0x01, FrameType.feed.rawValue, 0], cut: 5)
        }
    }
}

@Suite struct PoolLaneTests {
    @Test func workIsDoneInTheOrderGivenAndWaitedFor() {
        let lane = PoolLane()
        let seen = Mutex<[Int]>([])
        // Small and large: some of it is done on this thread, most on another, and more is given than may be under way.
        for number in 0..<200 {
            lane.run(bytes: number % 3 == 0 ? 10 : 1 << 20) { seen.withLock { $0.append(number) } }
        }
        lane.wait()
        #expect(seen.withLock { $0 } == Array(0..<200))
        lane.wait()
    }
}
