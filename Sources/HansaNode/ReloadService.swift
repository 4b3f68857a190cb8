internal import HansaCore
internal import HansaCrypto
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaYAML
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals

/// SIGHUP reads `hansa.yaml` again: roles and limits take effect at once, addresses at the next start. A file with a fault changes nothing.
struct ReloadService: Service {
    let node: Node

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: [.sighup]).cancelOnGracefulShutdown() { reload() }
    }

    private func reload() {
        do throws(Problem) {
            let (fresh, bytes) = try NodeBootstrap.readConfiguration(node.paths)
            guard fresh.city == node.city else { throw Problem(.configInvalid, "the city cannot be changed") }
            try node.change { tx in
                try tx.setValue("config.digest", SHA256.hash(bytes).bytes)
                try tx.log(
                    LogDraft(
                        .configurationChanged, details: ["found": "on SIGHUP", "digest": .string(SHA256.hash(bytes).prefixed)]))
                return ((), ExchangeChanges())
            }
            node.configuration.withLock { $0 = fresh }
            node.log.notice("configuration read again")
        } catch {
            node.log.error("hansa.yaml was not taken: the node goes on with what it had", metadata: ["error": "\(error.message)"])
        }
    }
}
