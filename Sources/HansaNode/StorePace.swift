internal import Foundation
internal import HansaContent
internal import HansaStore

/// How large segments grow, and when a serving node collects.
///
/// What takes hours in a home is to happen within seconds where tests kill the process at every step: the environment variable
/// `HANSA_STORE_PACE` gives other values for one process, such as `segmentBytes=65536 first=0 every=0.2 grace=0`, in seconds. It is no setting for
/// people: a small segment costs speed, and a grace that is too short takes bytes from readers.
struct StorePace: Sendable, Equatable {
    static let variable = "HANSA_STORE_PACE"

    /// From what size on a segment is sealed.
    var segmentBytes = SegmentFormat.segmentBytesTarget
    /// After a start. Not at once: a node that starts has better things to do.
    var firstSeconds = 600.0
    /// Between two looks at whether something waits for collection.
    var everySeconds = 3600.0
    /// `StoreCollection.Settings.graceMilliseconds`.
    var graceSeconds = 3600.0

    init() {}

    /// Words that are none of its own are passed over.
    init(_ text: String) {
        for word in text.split(separator: " ") {
            let parts = word.split(separator: "=")
            guard parts.count == 2, let number = Double(parts[1]), number >= 0, number < 1e9 else { continue }
            switch parts[0] {
            case "segmentBytes": segmentBytes = max(1024, Int(number))
            case "first": firstSeconds = number
            case "every": everySeconds = number
            case "grace": graceSeconds = number
            default: break
            }
        }
    }

    static var current: StorePace {
        ProcessInfo.processInfo.environment[variable].map { StorePace($0) } ?? StorePace()
    }

    var collection: StoreCollection.Settings {
        var settings = StoreCollection.Settings()
        settings.graceMilliseconds = Int64(graceSeconds * 1000)
        return settings
    }
}
