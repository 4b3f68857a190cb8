// Who may do what on the admin socket: the kernel says who connected, the policy gives the role. Default deny.
internal import CLinux
internal import Glibc
internal import HansaCore
public import HansaNode

/// The account at the other end of a Unix socket, as the kernel recorded it when the connection was made.
public struct PeerCredentials: Sendable, Equatable {
    public let uid: UInt32
    public let gid: UInt32
    /// Supplementary groups.
    public let groups: [UInt32]

    public init(uid: UInt32, gid: UInt32, groups: [UInt32]) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    /// SO_PEERCRED and SO_PEERGROUPS. Nil when the kernel does not say: then nobody is served.
    public init?(ofSocket socket: CInt) {
        var pid: Int32 = 0
        var uid: UInt32 = .max
        var gid: UInt32 = .max
        guard hansa_peer_credentials(socket, &pid, &uid, &gid) == 0, uid != .max else { return nil }
        // NGROUPS_MAX of Linux is 65,536; an account has a handful.
        var groups = [UInt32](repeating: 0, count: 64)
        var count = hansa_peer_groups(socket, &groups, CInt(groups.count))
        if count == -ERANGE {
            groups = [UInt32](repeating: 0, count: 65_536)
            count = hansa_peer_groups(socket, &groups, CInt(groups.count))
        }
        guard count >= 0 else { return nil }
        self.init(uid: uid, gid: gid, groups: Array(groups.prefix(Int(count))))
    }

    /// Who runs this process.
    static var ownUID: UInt32 { getuid() }
}

/// Gives credentials a role. The highest of all that match counts; who matches nothing has none.
public struct RolePolicy: Sendable {
    /// The uid that owns the home: admin, as root is.
    public let owner: UInt32
    public let rules: [RoleRule]
    /// Off only in tests, which run as the owner and want to be somebody else.
    let ownerIsAdmin: Bool

    public init(owner: UInt32, rules: [RoleRule]) { self.init(owner: owner, rules: rules, ownerIsAdmin: true) }

    init(owner: UInt32, rules: [RoleRule], ownerIsAdmin: Bool) {
        self.owner = owner
        self.rules = rules
        self.ownerIsAdmin = ownerIsAdmin
    }

    public func role(of peer: PeerCredentials) -> Role? {
        if ownerIsAdmin, peer.uid == owner || peer.uid == 0 { return .admin }
        var best: Role?
        for rule in rules where matches(rule.subject, peer) {
            switch (best, rule.role) {
            case (_, .admin), (nil, _), (.auditor, .operator): best = rule.role
            default: break
            }
        }
        return best
    }

    private func matches(_ subject: RoleRule.Subject, _ peer: PeerCredentials) -> Bool {
        switch subject {
        case .user(let name): return Accounts.uid(of: name) == peer.uid
        case .group(let name):
            guard let gid = Accounts.gid(of: name) else { return false }
            return peer.gid == gid || peer.groups.contains(gid)
        }
    }
}

/// The system's accounts, by the reentrant calls: admin threads ask at once.
enum Accounts {
    static func uid(of name: String) -> UInt32? {
        if let number = UInt32(name) { return number }
        return withBuffer { buffer, size in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            return getpwnam_r(name, &entry, buffer, size, &found) == 0 && found != nil ? entry.pw_uid : nil
        }
    }

    static func gid(of name: String) -> UInt32? {
        if let number = UInt32(name) { return number }
        return withBuffer { buffer, size in
            var entry = group()
            var found: UnsafeMutablePointer<group>?
            return getgrnam_r(name, &entry, buffer, size, &found) == 0 && found != nil ? entry.gr_gid : nil
        }
    }

    /// The account's name, or its number where it has none.
    static func name(of uid: UInt32) -> String {
        withBuffer { buffer, size in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            guard getpwuid_r(uid, &entry, buffer, size, &found) == 0, found != nil, let name = entry.pw_name else { return nil }
            return String(cString: name)
        } ?? String(uid)
    }

    private static func withBuffer<T>(_ body: (UnsafeMutablePointer<CChar>, Int) -> T?) -> T? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 65_536) { buffer in
            // An allocation of 65,536 bytes has a base address.
            body(buffer.baseAddress.unsafelyUnwrapped, buffer.count)
        }
    }
}
