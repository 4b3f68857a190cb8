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

/// SIGHUP reads `hansa.yaml` again; what counts only after a start or in the next keyring is named (`ConfigurationEffect`). A file with a fault changes
/// nothing.
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
            let before = node.take(fresh)
            let restart = ConfigurationEffect.pending(before, fresh, .restart)
            let renew = ConfigurationEffect.pending(before, fresh, .nextKeyring)
            let rest =
                (restart.isEmpty ? [] : ["\(restart.joined(separator: ", ")): after a restart"])
                + (renew.isEmpty ? [] : ["\(renew.joined(separator: ", ")): with hansa city renew"])
            node.log.notice(
                "configuration read again\(rest.isEmpty ? "" : "; what counts later: " + rest.joined(separator: "; "))")
        } catch {
            node.log.error("hansa.yaml was not taken: the node goes on with what it had", metadata: ["error": "\(error.message)"])
        }
    }
}
