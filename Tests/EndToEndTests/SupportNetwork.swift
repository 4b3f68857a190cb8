// A small network of the kernel's own: a namespace for each host, and one in the middle with two bridges between which hosts can be moved. Who is
// on another bridge is out of reach, as behind a broken line: packets vanish and nobody is told.
import Foundation
import Glibc

final class HostNetwork {
    /// Which of the two bridges a host hangs on.
    enum Side: String, CaseIterable { case left, right }

    struct Host {
        let number: Int
        fileprivate let namespace: String
        var address: String { "10.213.7.\(number)" }
        /// Runs what follows inside of the host; the process keeps its id.
        var prefix: [String] { ["/usr/bin/nsenter", "--net=/run/netns/\(namespace)"] }
    }

    private static let ip: String? = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"].first { access($0, X_OK) == 0 }
    private let name = "hansa-\(UUID().uuidString.prefix(6).lowercased())"
    private let directory: URL
    private var namespaces: [String] = []

    /// Nil when namespaces can be made here, else why not.
    static let obstacle: String? = {
        guard geteuid() == 0 else { return "network namespaces need root" }
        guard ip != nil else { return "there is no `ip` (package iproute2)" }
        guard access("/usr/bin/nsenter", X_OK) == 0 else { return "there is no `nsenter` (package util-linux)" }
        do {
            let network = try HostNetwork(in: FileManager.default.temporaryDirectory)
            _ = try network.host(1)
            return nil
        } catch {
            return "network namespaces cannot be made here: \(error)"
        }
    }()

    init(in directory: URL) throws {
        self.directory = directory
        try add(name)
        for side in Side.allCases {
            try run(["-n", name, "link", "add", side.rawValue, "type", "bridge"])
            try run(["-n", name, "link", "set", side.rawValue, "up"])
        }
    }

    deinit {
        for namespace in namespaces.reversed() { try? run(["netns", "del", namespace]) }
    }

    /// A new host on the left side.
    func host(_ number: Int) throws -> Host {
        let host = Host(number: number, namespace: "\(name)-\(number)")
        try add(host.namespace)
        try run(["link", "add", port(number), "netns", name, "type", "veth", "peer", "name", "eth0", "netns", host.namespace])
        try run(["-n", host.namespace, "addr", "add", "\(host.address)/24", "dev", "eth0"])
        for device in ["lo", "eth0"] { try run(["-n", host.namespace, "link", "set", device, "up"]) }
        try move(host, to: .left)
        try run(["-n", name, "link", "set", port(number), "up"])
        return host
    }

    func move(_ host: Host, to side: Side) throws {
        try run(["-n", name, "link", "set", port(host.number), "master", side.rawValue])
    }

    private func port(_ number: Int) -> String { "port\(number)" }

    private func add(_ namespace: String) throws {
        try run(["netns", "add", namespace])
        namespaces.append(namespace)
    }

    private func run(_ arguments: [String]) throws {
        guard let ip = HostNetwork.ip else { throw TestFault("there is no `ip`") }
        let outcome = try Program.run(ip, arguments, in: directory, seconds: 20)
        guard outcome.status == 0 else { throw TestFault("\(outcome)") }
    }
}
