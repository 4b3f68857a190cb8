import CLinux
import Glibc
import HansaCore
import Testing

@testable import HansaAPI

struct ChannelTests {
    /// Two connected ends, the far one bare.
    private func ends() -> (channel: FrameChannel, far: CInt) {
        guard let (near, far) = UnixSocket.pair() else { preconditionFailure("no socket pair") }
        return (FrameChannel(owning: near), far)
    }

    private func send(_ far: CInt, _ bytes: [UInt8], descriptors: [CInt] = []) {
        _ = hansa_send_descriptors(far, bytes, bytes.count, descriptors, CInt(descriptors.count), 0)
    }

    private func fault(_ channel: FrameChannel, within: Int = 100) -> ChannelFault? {
        do throws(ChannelFault) {
            for descriptor in try channel.receive(within: within)?.descriptors ?? [] { close(descriptor) }
            return nil
        } catch { return error }
    }

    @Test func framesComeInOrderWithTheirDescriptors() throws {
        let (near, far) = try #require(UnixSocket.pair())
        let left = FrameChannel(owning: near)
        let right = FrameChannel(owning: far)
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        try left.send(.done, within: 100)
        try left.send(.descriptors, DescriptorCount.body(64), descriptors: Array(repeating: file, count: 64), within: 100)
        try left.send(.warning, Array("x".utf8), within: 100)
        #expect(try right.receive(within: 100)?.type == .done)
        let frame = try #require(try right.receive(within: 100))
        #expect(frame.descriptors.count == 64 && Set(frame.descriptors).count == 64)
        for descriptor in frame.descriptors {
            #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
            close(descriptor)
        }
        #expect(try right.receive(within: 100)?.body == [0x78])
    }

    @Test func theEndBetweenFramesIsNoFault() throws {
        let (channel, far) = ends()
        close(far)
        #expect(try channel.receive(within: 100) == nil)
        #expect(channel.peerHasGone)
    }

    @Test func anEndInsideAFrameIsAFault() {
        for cut in [[0, 0], [0, 0, 0, 9, 1, 1, 1]] as [[UInt8]] {
            let (channel, far) = ends()
            send(far, cut)
            close(far)
            #expect(fault(channel) == .closed)
        }
    }

    @Test func silenceEndsAtTheDeadline() {
        for started in [[], [0, 0, 0], [0, 0, 0, 9, 1, 1]] as [[UInt8]] {
            let (channel, far) = ends()
            if !started.isEmpty { send(far, started) }
            #expect(fault(channel, within: 20) == .timedOut)
            close(far)
        }
    }

    @Test func lengthsAndTypesOutOfRangeAreRefused() {
        for header in [[0, 0, 0, 0, 1], [0xFF, 0xFF, 0xFF, 0xFF, 1], [0, 0x40, 0, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 200]]
            as [[UInt8]]
        {
            let (channel, far) = ends()
            send(far, header)
            guard case .malformed = fault(channel) else {
                Issue.record("\(header) was accepted")
                return
            }
            close(far)
        }
    }

    @Test func descriptorsBesideAnotherFrameAreClosed() {
        let (channel, far) = ends()
        var pipeEnds: [CInt] = [0, 0]
        pipe(&pipeEnds)
        send(far, [0, 0, 0, 1, FrameType.done.rawValue], descriptors: [pipeEnds[1]])
        guard case .malformed = fault(channel) else {
            Issue.record("accepted")
            return
        }
        close(pipeEnds[1])
        // All writing ends are closed, so the reader is at its end: nothing leaked.
        var byte: UInt8 = 0
        #expect(read(pipeEnds[0], &byte, 1) == 0)
        close(pipeEnds[0])
        close(far)
    }

    @Test func moreThanSixtyFourDescriptorsAreClosedAndRefused() {
        let (channel, far) = ends()
        var pipeEnds: [CInt] = [0, 0]
        pipe(&pipeEnds)
        // Two messages of 40 before one frame's header is whole.
        send(far, [0, 0], descriptors: Array(repeating: pipeEnds[1], count: 40))
        send(far, [0, 3, FrameType.descriptors.rawValue, 0, 80], descriptors: Array(repeating: pipeEnds[1], count: 40))
        guard case .malformed = fault(channel) else {
            Issue.record("accepted")
            return
        }
        close(pipeEnds[1])
        var byte: UInt8 = 0
        #expect(read(pipeEnds[0], &byte, 1) == 0)
        close(pipeEnds[0])
        close(far)
    }

    @Test func aPeerThatDoesNotReadEndsAtTheDeadline() {
        let (channel, far) = ends()
        do throws(ChannelFault) {
            for _ in 0..<100 { try channel.send(.warning, [UInt8](repeating: 0, count: 1 << 20), within: 20) }
            Issue.record("sent without a reader")
        } catch { #expect(error == .timedOut) }
        // Progress is dropped instead of waiting.
        channel.offer(.progress, [1])
        close(far)
    }

    @Test func sendingToNobodyRaisesNoSignal() {
        let (channel, far) = ends()
        close(far)
        #expect(throws: ChannelFault.closed) { try channel.send(.done, within: 100) }
    }

    @Test(arguments: [UInt64(3), 77]) func noBytesTrapTheReader(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let (channel, far) = ends()
            var bytes = random.bytes(Int(random.next() % 200) + 1)
            // Small lengths, so that frames are often whole.
            if bytes.count > 4, random.next() % 2 == 0 {
                bytes.replaceSubrange(0..<4, with: [0, 0, 0, UInt8(random.next() % 32)])
            }
            send(far, bytes)
            close(far)
            while true {
                do throws(ChannelFault) {
                    guard try channel.receive(within: 50) != nil else { break }
                } catch { break }
            }
        }
    }
}
