internal import Glibc
internal import HansaCore
internal import HansaNode

/// Progress after a second on a terminal, in place; a line each ten seconds otherwise (CLI.md §8).
final class ProgressDisplay {
    private let terminal: Terminal
    private let startedAt = ProgressDisplay.seconds
    private var shownAt: Double
    private var isShown = false

    init(_ terminal: Terminal) {
        self.terminal = terminal
        shownAt = startedAt
    }

    func show(_ progress: Progress) {
        let now = Self.seconds
        let isDue = terminal.showsProgressInPlace ? now - startedAt >= 1 : now - shownAt >= 10
        guard isDue else { return }
        shownAt = now
        let line = Self.line(progress, seconds: now - startedAt)
        if terminal.showsProgressInPlace {
            terminal.noteInPlace(line)
            isShown = true
        } else {
            terminal.note(line)
        }
    }

    /// Before anything else is written, and at the end.
    func clear() {
        if isShown { terminal.noteInPlace("") }
        isShown = false
    }

    static func line(_ progress: Progress, seconds: Double) -> String {
        var parts: [String] = []
        if progress.itemsDone > 0 || progress.itemsTotal != nil {
            parts.append(progress.itemsTotal.map { "\(progress.itemsDone) of \($0)" } ?? "\(progress.itemsDone)")
        }
        let done = Style.size(Int64(clamping: progress.bytesDone))
        parts.append(progress.bytesTotal.map { "\(done) of \(Style.size(Int64(clamping: $0)))" } ?? done)
        if seconds > 0 {
            let rate = Double(progress.bytesDone) / seconds
            parts.append(Style.size(Int64(rate)) + "/s")
            if let total = progress.bytesTotal, rate > 0, total > progress.bytesDone {
                parts.append(left(Int(Double(total - progress.bytesDone) / rate)))
            }
        }
        return parts.joined(separator: ", ") + "  " + progress.item.printable(charactersMax: 60)
    }

    private static func left(_ seconds: Int) -> String {
        seconds < 60
            ? "\(seconds) s left"
            : seconds < 3600 ? "\(seconds / 60) min left" : "\(seconds / 3600) h \(seconds / 60 % 60) min left"
    }

    private static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
