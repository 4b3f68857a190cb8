internal import Synchronization

/// Where work that needs nothing but a processor may be done while the caller goes on: one thing after the other, in the order given.
///
/// The rooms that decide have no threads of their own; a node gives them a lane that has one. One caller.
public protocol WorkLane: Sendable {
    /// Does `work` after all that was given before. May return before it is done, and waits while too many `bytes` are under way.
    func run(bytes: Int, _ work: @escaping @Sendable () -> Void)
    /// Returns when all that was given is done, and what it wrote can be read.
    func wait()
}

/// Does everything at once, on the caller's thread.
public struct SameThreadLane: WorkLane {
    public init() {}
    public func run(bytes: Int, _ work: @escaping @Sendable () -> Void) { work() }
    public func wait() {}
}

/// What work on a lane leaves for the caller.
final class LaneResult<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    func set(_ value: Value) { self.value.withLock { $0 = value } }
    /// The work that leaves it is done.
    var isSet: Bool { value.withLock { $0 != nil } }
    /// Call after `wait`.
    func take() -> Value {
        guard let value = value.withLock({ $0.take() }) else { preconditionFailure("taken before the lane was waited for") }
        return value
    }
}
