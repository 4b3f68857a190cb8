internal import CLinux
internal import Foundation
internal import Glibc

/// SIGINT and SIGTERM for a command: told on a thread of its own, where anything may be done.
public enum Interruption {
    /// Calls the handler at each signal, with how many there were. Once for a process; a later call is ignored.
    public static func watch(_ handler: @escaping @Sendable (Int) -> Void) {
        let descriptor = hansa_watch_signals([SIGINT, SIGTERM], 2)
        guard descriptor >= 0 else { return }
        Thread.detachNewThread {
            var count = 0
            var byte: UInt8 = 0
            while true {
                let got = read(descriptor, &byte, 1)
                if got < 0, errno == EINTR { continue }
                guard got == 1 else { return }
                count += 1
                handler(count)
            }
        }
    }
}
