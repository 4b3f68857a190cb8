internal import Foundation
internal import Synchronization

/// Which seed runs: a trap must not take its name along (SYNC.md §8, S14).
enum RunningSeed {
    private static let seed = Atomic<UInt64>(0)
    private static let isWatching: Bool = {
        // SIGILL and SIGTRAP are what a Swift trap raises.
        for number in [SIGILL, SIGTRAP, SIGSEGV] { signal(number) { RunningSeed.tell($0) } }
        return true
    }()

    static func set(_ number: UInt64) {
        _ = isWatching
        seed.store(number, ordering: .relaxed)
    }

    /// Only what a signal handler may call: write(2), and no allocation.
    private static func tell(_ number: CInt) {
        var digits:
            (
                UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
                UInt8, UInt8, UInt8, UInt8, UInt8
            ) =
                (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10)
        var left = seed.load(ordering: .relaxed)
        withUnsafeMutableBytes(of: &digits) { buffer in
            var at = buffer.count - 2
            repeat {
                buffer[at] = 48 + UInt8(left % 10)
                left /= 10
                at -= 1
            } while left > 0 && at >= 0
            let text: StaticString = "S14: trapped in seed "
            _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
            _ = write(2, buffer.baseAddress?.advanced(by: at + 1), buffer.count - at - 1)
        }
        signal(number, SIG_DFL)
        raise(number)
    }
}
