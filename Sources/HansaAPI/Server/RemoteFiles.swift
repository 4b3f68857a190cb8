// The client's files as the node sees them: each call is an ask over the connection and its one answer. Nothing a client says is trusted: paths
// were checked by the codec, descriptors are checked here.
internal import Glibc
internal import HansaCore
internal import HansaNode
internal import Synchronization

/// Patience of the node with a client, in milliseconds.
struct Patience: Sendable {
    /// A whole request frame, from accept or from the end of the last request.
    var request = 30_000
    /// An answer to an ask, or a sign that it is coming.
    var answer = 60_000
    /// The same with all signs that it is coming: a client may not hold up the node for ever.
    var longestAnswer = 600_000
    /// All signs of one answer together: listing a directory with millions of files may take that long.
    var waiting = 600_000
    /// Room in the socket for what we send.
    var sending = 120_000
}

/// A request's connection: asks, warnings, progress.
final class RemoteConversation: Conversation {
    private let channel: FrameChannel
    private let patience: Patience
    private let stopping: @Sendable () -> Bool
    /// One ask at a time: the node may call from several threads.
    private let asking = Mutex(())
    private let gone = Atomic<Bool>(false)
    private let reportedAt = Atomic<UInt64>(0)

    init(_ channel: FrameChannel, patience: Patience, stopping: @escaping @Sendable () -> Bool) {
        self.channel = channel
        self.patience = patience
        self.stopping = stopping
    }

    /// At most ten a second; dropped when the client does not keep up.
    func report(_ progress: Progress) {
        let now = Deadline.now
        let last = reportedAt.load(ordering: .relaxed)
        guard now >= last + 100_000_000, reportedAt.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
        else { return }
        channel.offer(.progress, ProgressCodec.encode(progress))
    }

    func warn(_ message: String) {
        do { try channel.send(.warning, Array(message.utf8.prefix(WireLimits.partBytesMax)), within: patience.sending) } catch {
            gone.store(true, ordering: .relaxed)
        }
    }

    var isCancelled: Bool {
        if gone.load(ordering: .relaxed) || stopping() { return true }
        guard channel.peerHasGone else { return false }
        gone.store(true, ordering: .relaxed)
        return true
    }

    func send(items: [JSONValue]) throws(Problem) {
        // A thousand log entries are about half a MiB; a batch that is larger goes in halves.
        let body = DocumentCodec.encode(.array(items))
        if body.count < WireLimits.frameBytesMax {
            do { try channel.send(.items, body, within: patience.sending) } catch { throw lost(error) }
        } else if items.count > 1 {
            try send(items: Array(items[..<(items.count / 2)]))
            try send(items: Array(items[(items.count / 2)...]))
        } else {
            throw Problem(.limitExceeded, "one item of the result is larger than 4 MiB")
        }
    }

    /// Asks and waits for the answer. The answer's descriptors are the caller's.
    func ask(_ ask: Ask) throws(Problem) -> Frame {
        try exchange {
            try channel.send(ask.type, ask.body, within: patience.sending)
            return try answer()
        }
    }

    private func exchange<T>(_ body: () throws -> sending T) throws(Problem) -> sending T {
        try asking.withLock { _ throws(Problem) in
            do { return try body() } catch let fault as ChannelFault { throw lost(fault) } catch let problem as Problem {
                throw problem
            } catch {
                throw Problem(.adminProtocol, "the client sent a bad answer: \(error)")
            }
        }
    }

    private func answer() throws -> Frame {
        let last = Deadline(milliseconds: patience.longestAnswer)
        while true {
            guard let frame = try channel.receive(within: min(patience.answer, last.millisecondsLeft)) else {
                throw ChannelFault.closed
            }
            switch frame.type {
            case .waiting: continue
            case .refusal: throw try ProblemCodec.decode(frame.body)
            default: return frame
            }
        }
    }

    private func lost(_ fault: ChannelFault) -> Problem {
        gone.store(true, ordering: .relaxed)
        switch fault {
        case .closed: return Problem(.adminProtocol, "the client has gone", exit: .interrupted)
        case .timedOut: return Problem(.adminProtocol, "the client did not answer in time")
        case .malformed(let what): return Problem(.adminProtocol, "the client sent \(what)")
        case .system(let code): return Problem(.adminProtocol, "the admin connection failed: \(SystemFault.text(code))")
        }
    }

    // MARK: Answers

    /// As many descriptors as asked for, all of them regular files open for `mode` (O_RDONLY or O_WRONLY); nothing is left open otherwise.
    func descriptors(_ frame: Frame, count: Int, mode: CInt, paths: (Int) -> String, homeGuard: HomeGuard?) throws(Problem)
        -> [CInt]
    {
        var accepted = false
        defer { if !accepted { for descriptor in frame.descriptors { close(descriptor) } } }
        guard frame.type == .descriptors, frame.body == DescriptorCount.body(count), frame.descriptors.count == count else {
            throw Problem(.adminProtocol, "the client did not send the \(count) files it was asked for")
        }
        for (index, descriptor) in frame.descriptors.enumerated() {
            var status = stat()
            guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                throw Problem(.fileUnsafe, "\(paths(index).printable()) is no regular file")
            }
            let flags = fcntl(descriptor, F_GETFL)
            let access = flags & O_ACCMODE
            // O_PATH gives a descriptor that looks readable and is not.
            guard flags >= 0, access == mode || access == O_RDWR, flags & 0o10000000 == 0 else {
                throw Problem(
                    .fileUnsafe, "\(paths(index).printable()) was not opened for \(mode == O_RDONLY ? "reading" : "writing")")
            }
            try homeGuard?.check(status, path: paths(index))
        }
        accepted = true
        return frame.descriptors
    }

    func done(_ frame: Frame) throws(Problem) {
        for descriptor in frame.descriptors { close(descriptor) }
        guard frame.type == .done, frame.body.isEmpty else {
            throw Problem(.adminProtocol, "the client answered with a frame of type \(frame.type)")
        }
    }

    func listings(for ask: Ask) throws(Problem) -> [DirectoryListing] {
        try exchange {
            try channel.send(ask.type, ask.body, within: patience.sending)
            var bytes: [UInt8] = []
            while true {
                let frame = try answer()
                for descriptor in frame.descriptors { close(descriptor) }
                guard frame.type == .listings else {
                    throw Problem(.adminProtocol, "the client answered with a frame of type \(frame.type)")
                }
                let part = try PartCodec.read(frame.body)
                bytes.append(contentsOf: part.bytes)
                guard bytes.count <= WireLimits.listingBytesMax else {
                    throw Problem(
                        .limitExceeded, "the listing of one directory is larger than \(WireLimits.listingBytesMax >> 20) MiB")
                }
                if !part.more { return try ListingCodec.decode(bytes) }
            }
        }
    }
}

/// The officer's key at the client. What it signs is checked by the node, as any signature is.
struct RemoteOfficer: OfficerSigner {
    private let conversation: RemoteConversation

    init(_ conversation: RemoteConversation) { self.conversation = conversation }

    func sign(_ payload: [UInt8], payloadType: String) throws(Problem) -> OfficerSignature {
        let answers = try signatures(payload, payloadType: payloadType)
        guard answers.count == 1 else {
            throw Problem(.adminProtocol, "the client sent several signatures, where one was asked for")
        }
        return answers[0]
    }

    func signatures(_ payload: [UInt8], payloadType: String) throws(Problem) -> [OfficerSignature] {
        let frame = try conversation.ask(.sign(payloadType: payloadType, payload: payload))
        for descriptor in frame.descriptors { close(descriptor) }
        // Key and signature, for each key.
        guard frame.type == .signature, (1...OfficerKey.keysMax).contains(frame.body.count / 96), frame.body.count % 96 == 0
        else {
            throw Problem(.adminProtocol, "the client did not send the signatures it was asked for")
        }
        return stride(from: 0, to: frame.body.count, by: 96).map { start in
            OfficerSignature(
                publicKey: Array(frame.body[start..<(start + 32)]), signature: Array(frame.body[(start + 32)..<(start + 96)]))
        }
    }
}

enum DescriptorCount {
    static func body(_ count: Int) -> [UInt8] { [UInt8(count >> 8), UInt8(count & 255)] }
}

/// Splits what is asked into messages of at most 64 descriptors; on a failure closes what came before.
private func inBatches<T>(_ items: [T], _ body: ([T]) throws(Problem) -> [CInt]) throws(Problem) -> [CInt] {
    if items.count <= WireLimits.descriptorsMax { return items.isEmpty ? [] : try body(items) }
    var descriptors: [CInt] = []
    descriptors.reserveCapacity(items.count)
    var start = 0
    while start < items.count {
        let end = min(items.count, start + WireLimits.descriptorsMax)
        do { descriptors.append(contentsOf: try body(Array(items[start..<end]))) } catch {
            for descriptor in descriptors { close(descriptor) }
            throw error
        }
        start = end
    }
    return descriptors
}

/// The directories of `package publish`, and with `single` the one of `package new|check|verify`.
final class RemoteDirectories: PublishSource, DirectoryReader {
    private let conversation: RemoteConversation
    private let homeGuard: HomeGuard?
    /// The number that the next listing must have, so that a client cannot give one number two meanings.
    private let nextNumber = Mutex(0)

    init(_ conversation: RemoteConversation, homeGuard: HomeGuard?) {
        self.conversation = conversation
        self.homeGuard = homeGuard
    }

    func report(_ progress: Progress) { conversation.report(progress) }
    func warn(_ message: String) { conversation.warn(message) }
    var isCancelled: Bool { conversation.isCancelled }

    func nextListings() throws(Problem) -> [DirectoryListing]? {
        let listings = try conversation.listings(for: .nextListings)
        var checked: [DirectoryListing] = []
        checked.reserveCapacity(listings.count)
        for listing in listings {
            let expected = nextNumber.withLock { next in
                defer { next += 1 }
                return next
            }
            guard listing.number == expected else {
                throw Problem(.adminProtocol, "the client numbered a directory \(listing.number)")
            }
            do throws(Problem) {
                try homeGuard?.check(listing)
                checked.append(listing)
            } catch {
                checked.append(
                    DirectoryListing(
                        number: listing.number, path: listing.path, derivedName: listing.derivedName, listedAt: listing.listedAt,
                        entries: [],
                        fault: error))
            }
        }
        return checked.isEmpty ? nil : checked
    }

    func listing() throws(Problem) -> DirectoryListing {
        guard let listings = try nextListings(), listings.count == 1 else {
            throw Problem(.adminProtocol, "the client listed no directory")
        }
        if let fault = listings[0].fault { throw fault }
        return listings[0]
    }

    func open(directory: Int, paths: [String]) throws(Problem) -> [CInt] {
        try openListed(paths.map { ListedFile(directory: directory, path: $0) })
    }

    func open(_ files: [(directory: Int, path: String)]) throws(Problem) -> [CInt] {
        try openListed(files.map { ListedFile(directory: $0.directory, path: $0.path) })
    }

    func open(_ paths: [String]) throws(Problem) -> [CInt] { try open(directory: 0, paths: paths) }

    private func openListed(_ files: [ListedFile]) throws(Problem) -> [CInt] {
        try inBatches(files) { batch throws(Problem) in
            let frame = try conversation.ask(.openListed(batch))
            return try conversation.descriptors(
                frame, count: batch.count, mode: O_RDONLY, paths: { batch[$0].path }, homeGuard: homeGuard)
        }
    }
}

/// The target of `package checkout`.
final class RemoteTarget: CheckoutSink {
    private let conversation: RemoteConversation

    init(_ conversation: RemoteConversation) { self.conversation = conversation }

    func report(_ progress: Progress) { conversation.report(progress) }
    func warn(_ message: String) { conversation.warn(message) }
    var isCancelled: Bool { conversation.isCancelled }

    func listing(of directory: String) throws(Problem) -> [FileStat] {
        let listings = try conversation.listings(for: .listTarget(directory))
        guard listings.count == 1 else { throw Problem(.adminProtocol, "the client listed no directory") }
        return listings[0].entries
    }

    func open(_ paths: [String]) throws(Problem) -> [CInt] { try files(paths, mode: O_RDONLY) { .openExisting($0) } }
    func create(_ paths: [String]) throws(Problem) -> [CInt] { try files(paths, mode: O_WRONLY) { .create($0) } }
    func commit(_ paths: [String]) throws(Problem) { try change(paths) { .commit($0) } }
    func remove(_ paths: [String]) throws(Problem) { try change(paths) { .remove($0) } }

    private func files(_ paths: [String], mode: CInt, _ ask: ([String]) -> Ask) throws(Problem) -> [CInt] {
        try inBatches(paths) { batch throws(Problem) in
            let frame = try conversation.ask(ask(batch))
            return try conversation.descriptors(frame, count: batch.count, mode: mode, paths: { batch[$0] }, homeGuard: nil)
        }
    }

    private func change(_ paths: [String], _ ask: ([String]) -> Ask) throws(Problem) {
        var start = 0
        while start < paths.count {
            let end = min(paths.count, start + WireLimits.descriptorsMax * 8)
            try conversation.done(try conversation.ask(ask(Array(paths[start..<end]))))
            start = end
        }
    }
}
