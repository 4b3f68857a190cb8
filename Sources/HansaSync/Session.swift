// One session between two cities, as a value that is fed frames and says what to do with them (SYNC.md §5–6). It knows no clock, socket or store.
//
//   dialler:  start() → hello …  receive(hello) → .opened
//   acceptor:                    receive(hello) → .opened with our hello to send
//
// After that both sides pull and publish over the same connection. The machine checks who is there, keeps order, and counts credit.
public import HansaCore

public struct Session: ~Copyable {
    /// Who dialled: the dialler knows whom it wants, the acceptor learns it from the hello.
    public enum Role: Sendable, Equatable {
        case dialled(CityID)
        case accepted
    }

    /// What the node knows of a city at this moment, as far as a hello needs it.
    public struct Acquaintance: Sendable, Equatable {
        public var keyring: Int
        public var pins: Set<Digest>
        public var expires: Timestamp
        public var isActive: Bool

        public init(keyring: Int, pins: Set<Digest>, expires: Timestamp, isActive: Bool) {
            self.keyring = keyring
            self.pins = pins
            self.expires = expires
            self.isActive = isActive
        }
    }

    public enum ReceiveAction: Sendable, Equatable {
        /// The peer is who it says; `reply` is our hello where we accepted. `documentsOnly`: its keyring, or ours as it holds it, has expired.
        case opened(CityID, theirs: Hello, reply: Frame?, documentsOnly: Bool)
        case publish(Frame)
        case pull(Frame)
        case documents(Frame)
        case documentsAcknowledged(Frame)
        /// About the partner's log, or its word about ours.
        case witness(Frame)
        /// Credit came: content may flow again.
        case resumeContent
        case peerError(ErrorMessage)
        case peerClosed(String)
        /// The peer broke the rules: send this, then close.
        case violation(ProtocolFault, farewell: Frame)
        case ignore
    }

    private enum State {
        case idle
        case awaitingHello
        case open(peer: CityID, documentsOnly: Bool)
        case closed
    }

    private let own: CityID
    private let keyring: Int
    private let role: Role
    private let nonce: [UInt8]
    private let contentCreditBytes: UInt64
    private let ownExpiry: (Int) -> Timestamp?
    private var state: State = .idle
    private var credit: Int64 = 0

    /// `ownExpiry` says when a version of our own keyring ends: what a partner that has not heard of a newer one goes by.
    public init(
        own: CityID, keyring: Int, role: Role, nonce: [UInt8], contentCreditBytes: Int,
        ownExpiry: @escaping (Int) -> Timestamp? = { _ in nil }
    ) {
        precondition(nonce.count == Hello.nonceBytes, "a nonce has \(Hello.nonceBytes) bytes")
        self.own = own
        self.keyring = keyring
        self.role = role
        self.nonce = nonce
        self.contentCreditBytes = UInt64(contentCreditBytes)
        self.ownExpiry = ownExpiry
    }

    /// The dialler's hello; nothing for the acceptor, who speaks second.
    public mutating func start(peerKeyring: Int, at now: Timestamp) -> Frame? {
        state = .awaitingHello
        guard case .dialled(let peer) = role else { return nil }
        return hello(to: peer, peerKeyring: peerKeyring, at: now)
    }

    /// `spki` is the TLS key that the handshake proved; `acquaintance` looks up a city.
    public mutating func receive(_ frame: Frame, spki: Digest, at now: Timestamp, acquaintance: (CityID) -> Acquaintance?)
        -> ReceiveAction
    {
        switch state {
        case .idle, .closed:
            return .ignore
        case .awaitingHello:
            guard frame.type == .hello else { return violation(.unexpected(frame.type, "before hello")) }
            do { return try admit(Hello(frame), spki: spki, at: now, acquaintance: acquaintance) } catch {
                return violation(error)
            }
        case .open(_, let documentsOnly):
            return dispatch(frame, documentsOnly: documentsOnly)
        }
    }

    private mutating func admit(
        _ hello: Hello, spki: Digest, at now: Timestamp, acquaintance: (CityID) -> Acquaintance?
    ) throws(ProtocolFault) -> ReceiveAction {
        guard hello.versions.contains(where: Hello.versions.contains) else { throw .noCommonVersion }
        guard hello.to == own else { throw .notForUs }
        if case .dialled(let peer) = role, hello.from != peer { throw .notWhomWeDialled }
        // The order matters: until the pin is found in the keyring of the city named, that name is only a claim.
        guard hello.from != own, let known = acquaintance(hello.from), known.isActive, known.pins.contains(spki) else {
            throw .pinUnknown
        }
        // Both sides judge alike: theirs as we hold it, ours as they hold it. Else one would ask for what the other may not answer.
        let ours = ownExpiry(Int(clamping: hello.peerKeyring))
        let documentsOnly = known.expires <= now || ours.map { $0 <= now } ?? false
        state = .open(peer: hello.from, documentsOnly: documentsOnly)
        credit = Int64(clamping: hello.contentCredit)
        let reply = role == .accepted ? self.hello(to: hello.from, peerKeyring: known.keyring, at: now) : nil
        return .opened(hello.from, theirs: hello, reply: reply, documentsOnly: documentsOnly)
    }

    private mutating func dispatch(_ frame: Frame, documentsOnly: Bool) -> ReceiveAction {
        switch frame.type {
        case .hello: return violation(.unexpected(.hello, "a second time"))
        case .documents: return .documents(frame)
        case .documentsAcknowledged: return .documentsAcknowledged(frame)
        case .checkpoint, .cosign: return documentsOnly ? violation(.keyringExpired) : .witness(frame)
        case .error:
            do { return .peerError(try ErrorMessage(frame)) } catch { return violation(error) }
        case .close:
            state = .closed
            return .peerClosed((try? CloseMessage(frame))?.reason ?? "")
        case .credit:
            do {
                // What was overdrawn may be more than what is granted now.
                let (sum, overflow) = credit.addingReportingOverflow(Int64(clamping: try Credit(frame).bytes))
                guard !overflow, sum <= 1 << 40 else { return violation(.malformed(.credit, "more than anyone could mean")) }
                credit = sum
                return .resumeContent
            } catch { return violation(error) }
        case .views, .getReleases, .getIndex, .getChunks, .getDelta, .getSmall, .feedAcknowledged, .receipt, .accepted:
            return documentsOnly ? violation(.keyringExpired) : .publish(frame)
        case .feed, .equal, .releases, .index, .chunks, .delta, .small, .announce:
            return documentsOnly ? violation(.keyringExpired) : .pull(frame)
        case .reconcile:
            if documentsOnly { return violation(.keyringExpired) }
            return Reconcile.isForPublisher(frame) ? .publish(frame) : .pull(frame)
        }
    }

    private mutating func violation(_ fault: ProtocolFault) -> ReceiveAction {
        state = .closed
        return .violation(fault, farewell: CloseMessage(reason: fault.word).frame)
    }

    /// Both nonces, the dialler's first: what a key of this session is bound to.
    public func nonces(with theirs: Hello) -> [UInt8] {
        switch role {
        case .dialled: nonce + theirs.nonce
        case .accepted: theirs.nonce + nonce
        }
    }

    /// Bytes of content that may leave now.
    public var contentAllowance: Int { max(0, Int(clamping: credit)) }

    /// Content left: its bodies cost credit. One frame may overdraw, so that a frame larger than what is left does not wait for ever.
    public mutating func sent(contentBytes: Int) { credit -= Int64(contentBytes) }

    /// We end it; the frame to send first.
    public mutating func close(_ reason: String) -> Frame? {
        if case .closed = state { return nil }
        state = .closed
        return CloseMessage(reason: reason).frame
    }

    private func hello(to peer: CityID, peerKeyring: Int, at now: Timestamp) -> Frame {
        Hello(
            from: own, to: peer, keyring: UInt64(keyring), peerKeyring: UInt64(peerKeyring), nonce: nonce,
            contentCredit: contentCreditBytes, clock: now
        ).frame
    }
}

extension ProtocolFault {
    /// What the farewell says: a word of the catalogue in PROTOCOL.md, and nothing of what we know.
    public var word: String {
        switch self {
        case .unknownFrame, .oversized, .malformed, .unexpected: "protocol"
        case .noCommonVersion: "version"
        // A stranger learns one thing: not for you.
        case .notForUs, .notWhomWeDialled, .pinUnknown: "refused"
        case .keyringExpired: "keyring-expired"
        case .tooManyAsks: "too-many-asks"
        }
    }
}
