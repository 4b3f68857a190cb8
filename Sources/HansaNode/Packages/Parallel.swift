// Work of one job that does not wait for disk or network, on all cores.
internal import Dispatch

enum Parallel {
    /// Calls `body` once for each number below `count`, several at a time: on the calling thread and on those of idle cores. Returns when all
    /// are done. What `body` touches for one number it touches for no other. Blocks its thread, so it belongs on none of an event loop.
    static func forEach(_ count: Int, _ body: (Int) -> Void) {
        // For one there is nobody to share with.
        if count == 1 { return body(0) }
        withoutActuallyEscaping(body) { body in
            // Called from several threads, as told above; it is gone when they are done.
            nonisolated(unsafe) let shared = body
            DispatchQueue.concurrentPerform(iterations: count) { shared($0) }
        }
    }
}
