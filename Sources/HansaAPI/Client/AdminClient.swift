// The command's end of an admin connection: sends a request, serves the node's asks for files, and returns the result.
internal import CLinux
internal import Glibc
public import HansaCore
public import HansaNode
internal import Synchronization

/// What of the client's a request may touch: files, which the node names and the client opens; an officer's key, which stays here.
public enum ClientFiles: Sendable {
    case none
    case listed(ListedDirectories)
    case target(CheckoutTarget)
    case officer(OfficerKey)
}

/// What comes before the result. Called on the thread that runs the request.
public struct RequestObserver {
    public var progress: (Progress) -> Void
    public var warning: (String) -> Void
    /// Values of a list that streams: they are not in the result.
    public var items: ([JSONValue]) -> Void

    public init(
        progress: @escaping (Progress) -> Void = { _ in }, warning: @escaping (String) -> Void = { _ in },
        items: @escaping ([JSONValue]) -> Void = { _ in }
    ) {
        self.progress = progress
        self.warning = warning
        self.items = items
    }
}

/// One connection; requests run one after another.
public final class AdminClient: Sendable {
    private static let connectSeconds = 10
    /// The node reads its requests and answers at once; a node that does not for this long hangs.
    private static let sendingMilliseconds = 120_000

    private let channel: FrameChannel
    private let interrupted = Atomic<Bool>(false)

    init(_ channel: FrameChannel) { self.channel = channel }

    /// Connects to a node. Nil when none listens there; a problem when one is there and we may not reach it.
    public static func connect(socketPath: String) throws(Problem) -> AdminClient? {
        let socket = UnixSocket.make()
        guard socket >= 0 else { throw Problem(.inputOutput, "cannot make a socket: \(SystemFault.text(-socket))") }
        // A full backlog makes connect wait; it must not for ever.
        var limit = timeval(tv_sec: connectSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = hansa_unix_connect(socket, socketPath)
        switch result {
        case 0: return AdminClient(FrameChannel(owning: socket))
        case -ENOENT, -ECONNREFUSED, -ENOTDIR:
            close(socket)
            return nil
        case -EAGAIN:
            close(socket)
            throw Problem(.tooManyClients, "the node at \(socketPath) does not answer", try: "run it again in a moment")
        default:
            close(socket)
            throw Problem(.notAuthorised, "cannot reach the node at \(socketPath): \(SystemFault.text(-result))")
        }
    }

    /// Ends what runs, from any thread: `run` then fails with exit code 130. The node stops the work it was doing for us.
    public func interrupt() {
        interrupted.store(true, ordering: .sequentiallyConsistent)
        channel.hangUp()
    }

    /// `interrupt` was called.
    var isInterrupted: Bool { interrupted.load(ordering: .sequentiallyConsistent) }

    /// Runs one request to its end.
    public func run(_ request: AdminRequest, files: ClientFiles = .none, observer: RequestObserver = RequestObserver())
        throws(Problem) -> JSONValue
    {
        let body = try request.encoded()
        defer { if case .target(let target) = files { target.finish() } }
        do {
            // A node that refuses us says so and closes, perhaps before it has read anything: what it said is still there to read.
            do { try channel.send(.request, body, within: Self.sendingMilliseconds) } catch ChannelFault.closed {}
            return try converse(files, observer)
        } catch {
            if interrupted.load(ordering: .sequentiallyConsistent) { throw Problem(.interrupted, "interrupted") }
            switch error {
            case let problem as Problem: throw problem
            case ChannelFault.closed: throw Problem(.nodeStopping, "the node closed the connection", try: "hansa status")
            default: throw Problem(.adminProtocol, "the node and this command do not understand each other: \(error)")
            }
        }
    }

    private func converse(_ files: ClientFiles, _ observer: RequestObserver) throws -> JSONValue {
        var result: [UInt8] = []
        while true {
            guard let frame = try channel.receive(within: nil) else { throw ChannelFault.closed }
            for descriptor in frame.descriptors { close(descriptor) }
            switch frame.type {
            case .result:
                let part = try PartCodec.read(frame.body)
                result.append(contentsOf: part.bytes)
                guard result.count <= WireLimits.resultBytesMax else {
                    throw ByteFault.aboveLimit(UInt64(result.count), limit: WireLimits.resultBytesMax)
                }
                if !part.more { return try DocumentCodec.decode(result) }
            case .problem: throw try ProblemCodec.decode(frame.body)
            case .progress: observer.progress(try ProgressCodec.decode(frame.body))
            case .warning: observer.warning(String(decoding: frame.body, as: UTF8.self))
            case .items:
                guard let items = try DocumentCodec.decode(frame.body).array else { throw ByteFault.malformed("items") }
                observer.items(items)
            default:
                guard let ask = try Ask(frame) else { throw ByteFault.malformed("frame of type \(frame.type)") }
                do { try answer(ask, files) } catch let problem as Problem {
                    try channel.send(.refusal, ProblemCodec.encode(problem), within: Self.sendingMilliseconds)
                }
            }
        }
    }

    // MARK: Answers

    private func answer(_ ask: Ask, _ files: ClientFiles) throws {
        switch (ask, files) {
        case (.nextListings, .listed(let directories)):
            let batch = try directories.nextListings { try channel.send(.waiting, within: Self.sendingMilliseconds) }
            try sendParts(batch)
        case (.openListed(let asked), .listed(let directories)): try sendFiles(try directories.open(asked))
        case (.listTarget(let below), .target(let target)): try sendParts(ListingCodec.encode([try target.listing(of: below)]))
        case (.openExisting(let paths), .target(let target)): try sendFiles(try target.openExisting(paths))
        case (.create(let paths), .target(let target)): try sendFiles(try target.create(paths))
        case (.commit(let paths), .target(let target)):
            try target.commit(paths)
            try channel.send(.done, within: Self.sendingMilliseconds)
        case (.remove(let paths), .target(let target)):
            try target.remove(paths)
            try channel.send(.done, within: Self.sendingMilliseconds)
        case (.sign(let payloadType, let payload), .officer(let officer)):
            let signed = try officer.signatures(payload, payloadType: payloadType)
            try channel.send(.signature, signed.flatMap { $0.publicKey + $0.signature }, within: Self.sendingMilliseconds)
        default: throw Problem(.adminProtocol, "the node asked for files that this command does not have")
        }
    }

    private func sendParts(_ bytes: [UInt8]) throws {
        guard bytes.count <= WireLimits.listingBytesMax else {
            throw Problem(.limitExceeded, "the listing of one directory is larger than \(WireLimits.listingBytesMax >> 20) MiB")
        }
        for part in PartCodec.split(bytes) { try channel.send(.listings, part, within: Self.sendingMilliseconds) }
    }

    private func sendFiles(_ descriptors: [CInt]) throws {
        defer { for descriptor in descriptors { close(descriptor) } }
        try channel.send(
            .descriptors, DescriptorCount.body(descriptors.count), descriptors: descriptors, within: Self.sendingMilliseconds)
    }
}
