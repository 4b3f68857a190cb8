internal import Foundation
internal import HansaCore

/// The wall clock, passed in so that tests can set it.
protocol WallClock: Sendable {
    var now: Timestamp { get }
}

struct SystemClock: WallClock {
    var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }
}
