internal import Glibc

/// Looks until the condition holds, giving way in between: false when it did not within half a minute. For what another thread or process does.
public func eventually(_ condition: () -> Bool) -> Bool {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let end = time.tv_sec + 30
    while !condition() {
        clock_gettime(CLOCK_MONOTONIC, &time)
        if time.tv_sec > end { return false }
        sched_yield()
    }
    return true
}
