// Work that other cores do while its owner goes on, taken back in the order in which it was given.
//
// One thread owns it: it adds, and takes. An owner that has to wait does what nobody has begun, so on one core it is a queue, on two both are busy
// whichever side is slower, and it never waits for a pool that is occupied elsewhere. What is added only computes or reads: it waits for nobody.
internal import Dispatch
internal import Foundation
internal import Synchronization

final class WorkAhead<Value: Sendable> {
    private let shared = Shared()
    /// How many helpers there may be: the owner has a core of its own.
    private let helpersMax: Int

    init(helpersMax: Int = max(1, ProcessInfo.processInfo.activeProcessorCount - 1)) { self.helpersMax = helpersMax }

    /// What was given and has not been taken back.
    var count: Int { shared.state.withLock { $0.items.count } }

    /// Gives work to whoever is free. The owner bounds how much of it there is by `count`.
    func add(_ work: @escaping @Sendable () throws -> Value) {
        let begins = shared.state.withLock { state -> Bool in
            state.items.append(Item(work))
            guard state.helpers < helpersMax else { return false }
            state.helpers += 1
            return true
        }
        if begins { WorkAheadQueue.queue.async { [shared] in shared.help() } }
    }

    /// The oldest result, when it is there; nil when nothing was given. Meanwhile the owner does what nobody has begun.
    func next() throws -> Value? {
        guard let oldest = shared.state.withLock({ $0.items.first }) else { return nil }
        while !oldest.isDone, let item = shared.claim() { item.run() }
        let result = oldest.result()
        shared.state.withLock { _ = $0.items.removeFirst() }
        return try result.get()
    }

    /// One piece of work, done once, by whoever claims it.
    private final class Item: Sendable {
        private enum State {
            case waiting(@Sendable () throws -> Value)
            case running
            case done(Result<Value, any Error>)
        }
        private let state: Mutex<State>
        private let end = DispatchSemaphore(value: 0)

        init(_ work: @escaping @Sendable () throws -> Value) { state = Mutex(.waiting(work)) }

        var isWaiting: Bool { state.withLock { if case .waiting = $0 { true } else { false } } }
        var isDone: Bool { state.withLock { if case .done = $0 { true } else { false } } }

        /// Does nothing when somebody else has begun.
        func run() {
            let work = state.withLock { state -> (@Sendable () throws -> Value)? in
                guard case .waiting(let work) = state else { return nil }
                state = .running
                return work
            }
            guard let work else { return }
            let result = Result { try work() }
            state.withLock { $0 = .done(result) }
            end.signal()
        }

        /// Waits; once.
        func result() -> Result<Value, any Error> {
            end.wait()
            return state.withLock { state in
                guard case .done(let result) = state else { preconditionFailure("signalled before it was done") }
                return result
            }
        }
    }

    private final class Shared: Sendable {
        struct State {
            var items: [Item] = []
            var helpers = 0
        }
        let state = Mutex(State())

        /// The oldest that nobody has begun.
        func claim() -> Item? { state.withLock { $0.items.first(where: \.isWaiting) } }

        func help() {
            while true {
                let item = state.withLock { state -> Item? in
                    if let item = state.items.first(where: \.isWaiting) { return item }
                    state.helpers -= 1
                    return nil
                }
                guard let item else { return }
                item.run()
            }
        }
    }
}

/// The threads that all owners share.
private enum WorkAheadQueue {
    static let queue = DispatchQueue(label: "hansa.work-ahead", attributes: .concurrent)
}
