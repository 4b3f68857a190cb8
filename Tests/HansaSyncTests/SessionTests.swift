import HansaCore
import HansaCrypto
import HansaSync
import Testing

/// Who is there: transcripts of the session machine, call by call.
@Suite struct SessionTests {
    static let kitchener = try! CityID("kitchener.ca")  // Names that are ones.
    static let auckland = try! CityID("auckland.nz")
    static let boston = try! CityID("boston.gov")
    static let now = Timestamp(milliseconds: 1_790_000_000_000)
    static let spki = SHA256.hash([1])

    static func known(_ city: CityID) -> Session.Acquaintance? {
        switch city {
        case kitchener, auckland:
            Session.Acquaintance(keyring: 1, pins: [spki], expires: now.adding(seconds: 1000), isActive: true)
        case boston:
            Session.Acquaintance(keyring: 1, pins: [SHA256.hash([2])], expires: now.adding(seconds: 1000), isActive: true)
        default: nil
        }
    }

    static func session(_ role: Session.Role = .accepted) -> Session {
        Session(own: kitchener, keyring: 1, role: role, nonce: [UInt8](repeating: 1, count: 32), contentCreditBytes: 1000)
    }

    static func hello(from: CityID = auckland, to: CityID = kitchener, credit: UInt64 = 500) -> Hello {
        Hello(
            from: from, to: to, keyring: 1, peerKeyring: 1, nonce: [UInt8](repeating: 2, count: 32), contentCredit: credit,
            clock: now)
    }

    static func refused(_ hello: Frame, _ role: Session.Role = .accepted, acquaintance: (CityID) -> Session.Acquaintance? = known)
        -> (ProtocolFault, String)?
    {
        var session = session(role)
        _ = session.start(peerKeyring: 1, at: now)
        guard case .violation(let fault, let farewell) = session.receive(hello, spki: spki, at: now, acquaintance: acquaintance)
        else { return nil }
        // Whatever comes afterwards is not looked at.
        let action1 = session.receive(Self.hello().frame, spki: spki, at: now, acquaintance: acquaintance)
        #expect(action1 == .ignore)
        return (fault, (try? CloseMessage(farewell).reason) ?? "")
    }

    @Test func twoCitiesGreetEachOther() throws {
        var dialler = Session(
            own: Self.auckland, keyring: 1, role: .dialled(Self.kitchener), nonce: [UInt8](repeating: 2, count: 32),
            contentCreditBytes: 500)
        var acceptor = Self.session()
        let greeting = dialler.start(peerKeyring: 1, at: Self.now)
        let hello = try #require(greeting)
        let silence = acceptor.start(peerKeyring: 0, at: Self.now)
        #expect(silence == nil)
        guard
            case .opened(Self.auckland, _, let reply?, documentsOnly: false) = acceptor.receive(
                hello, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else { return #expect(Bool(false), "the acceptor did not open") }
        guard
            case .opened(Self.kitchener, let theirs, nil, documentsOnly: false) = dialler.receive(
                reply, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else { return #expect(Bool(false), "the dialler did not open") }
        #expect(theirs.contentCredit == 1000)
        let allowances = [acceptor.contentAllowance, dialler.contentAllowance]
        #expect(allowances == [500, 1000])
    }

    @Test func whoIsNotWhoItSaysLearnsOneWord() {
        let strange = Self.hello().frame
        for (frame, role, fault) in [
            (Self.hello(to: Self.boston).frame, .accepted, .notForUs),
            (Self.hello(from: Self.boston).frame, .accepted, .pinUnknown),
            (Self.hello().frame, .dialled(Self.boston), .notWhomWeDialled),
            (Self.hello(from: Self.kitchener).frame, .accepted, .pinUnknown),
        ] as [(Frame, Session.Role, ProtocolFault)] {
            let refusal = Self.refused(frame, role)
            #expect(refusal?.0 == fault)
            #expect(refusal?.1 == "refused")
        }
        // A removed partner, and one nobody knows.
        #expect(Self.refused(strange, acquaintance: { _ in nil })?.0 == .pinUnknown)
        let removed = Session.Acquaintance(keyring: 1, pins: [Self.spki], expires: Self.now.adding(seconds: 9), isActive: false)
        #expect(Self.refused(strange, acquaintance: { _ in removed })?.0 == .pinUnknown)
    }

    @Test func nothingComesBeforeHelloAndNoHelloTwice() {
        for frame in [
            Views(round: 1, lines: []).frame, Credit(bytes: 1).frame, CloseMessage(reason: "").frame, Documents(items: []).frame,
        ] {
            #expect(Self.refused(frame)?.0 == .unexpected(frame.type, "before hello"))
        }
        var session = Self.opened()
        guard
            case .violation(.unexpected(.hello, _), _) = session.receive(
                Self.hello().frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else {
            return #expect(Bool(false), "a second hello was taken")
        }
    }

    static func opened(credit: UInt64 = 500, expired: Bool = false) -> Session {
        var session = session()
        _ = session.start(peerKeyring: 0, at: now)
        let acquaintance = Session.Acquaintance(
            keyring: 1, pins: [spki], expires: expired ? now : now.adding(seconds: 1), isActive: true)
        guard
            case .opened(_, _, _, documentsOnly: expired) = session.receive(
                hello(credit: credit).frame, spki: spki, at: now, acquaintance: { _ in acquaintance })
        else { preconditionFailure("the session opens") }
        return session
    }

    @Test func anExpiredKeyringExchangesDocumentsAndNothingElse() {
        var session = Self.opened(expired: true)
        let documents = Documents(items: []).frame
        let action2 = session.receive(documents, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        #expect(action2 == .documents(documents))
        guard
            case .violation(.keyringExpired, _) = session.receive(
                Views(round: 1, lines: []).frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else { return #expect(Bool(false), "views were answered") }
    }

    @Test func creditIsCountedAndBounded() {
        var session = Self.opened(credit: 500)
        session.sent(contentBytes: 700)
        let action6 = session.contentAllowance
        #expect(action6 == 0)
        // Less than what was overdrawn is no violation: the rest comes with the next grant.
        let little = session.receive(Credit(bytes: 100).frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        #expect(little == .resumeContent)
        let none = session.contentAllowance
        #expect(none == 0)
        let action3 = session.receive(Credit(bytes: 200).frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        #expect(action3 == .resumeContent)
        let action7 = session.contentAllowance
        #expect(action7 == 100)
        // More than anyone could mean, at once and bit by bit; also in the hello.
        guard
            case .violation(.malformed(.credit, _), _) = session.receive(
                Credit(bytes: (1 << 62) - 1).frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else { return #expect(Bool(false), "the credit was taken") }
        var large = Self.opened(credit: (1 << 62) - 1)
        guard
            case .violation(.malformed(.credit, _), _) = large.receive(
                Credit(bytes: (1 << 62) - 1).frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        else { return #expect(Bool(false), "the credit was taken") }
    }

    @Test func everyFrameGoesToItsHalf() {
        var session = Self.opened()
        for type in FrameType.allCases where ![.hello, .error, .close, .credit].contains(type) {
            let frame = Frame(type, body: [])
            let action = session.receive(frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
            switch type {
            case .documents: #expect(action == .documents(frame))
            case .documentsAcknowledged: #expect(action == .documentsAcknowledged(frame))
            case .views, .getReleases, .getIndex, .getChunks, .getDelta, .getSmall, .feedAcknowledged, .receipt, .accepted:
                #expect(action == .publish(frame))
            case .checkpoint, .cosign: #expect(action == .witness(frame))
            default: #expect(action == .pull(frame))
            }
        }
        let action4 = session.receive(
            CloseMessage(reason: "stopping").frame, spki: Self.spki, at: Self.now, acquaintance: Self.known)
        #expect(action4 == .peerClosed("stopping"))
        let action5 = session.close("again")
        #expect(action5 == nil)
    }
}
