internal import Foundation
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import ServiceLifecycle
internal import Synchronization

/// The serving node under ServiceLifecycle: listens, dials, keeps house, and drains at the end.
struct NodeService: Service {
    private let node: Node

    init(_ node: Node) { self.node = node }

    /// Binds the port before the admin socket opens: a port in use ends the start with a clear error.
    func start() async throws {
        let network = try node.makeNetwork()
        try network.refreshPartners()
        let configuration = node.configuration.withLock { $0 }
        var bound: [String] = []
        for endpoint in configuration.listen {
            do { bound.append(try await network.listen(on: endpoint)) } catch {
                await network.stop()
                if let problem = error as? Problem { throw problem }
                throw Problem(
                    .portInUse, "cannot listen on \(endpoint): \(Network.plain(error))",
                    try: "hansa config set listen HOST:PORT, or stop what uses it: ss -ltnp")
            }
        }
        let listening = bound
        node.listening.withLock { $0 = listening }
        node.network.withLock { $0 = network }
        do {
            try node.change { tx in
                try tx.log(LogDraft(.nodeStarted, details: ["version": .string(Product.version)]))
                let update = try MembershipUpdate(node.context, tx)
                try update.timePassed()
                var changes = ExchangeChanges()
                changes.views = try update.finish()
                return ((), changes)
            }
        } catch {
            node.network.withLock { $0 = nil }
            await network.stop()
            throw error
        }
        node.log.notice(
            "serving",
            metadata: [
                "city": "\(node.city)", "listen": "\(bound.joined(separator: " "))", "fingerprint": "\(node.keyring.fingerprint)",
            ])
    }

    func run() async throws {
        let house = Housekeeping(node)
        // Blocking work has a thread of its own; this task only waits for the end.
        house.start()
        let collector = Collector(node, pace: .current)
        collector.start()
        try? await gracefulShutdown()
        node.log.notice("stopping")
        house.stop()
        collector.stop()
        let network = node.network.withLock { network in
            defer { network = nil }
            return network
        }
        if let network {
            do { try node.remember(network.settledTimes) } catch { node.storeFailed(error) }
        }
        await network?.stop()
        try node.change { tx in
            try tx.log(LogDraft(.nodeStopped))
            return ((), ExchangeChanges())
        }
    }
}

enum Product {
    static let version = "0.1.0"
}
