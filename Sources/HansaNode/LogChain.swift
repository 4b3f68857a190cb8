// The logs of a node, one after the other. A home that was put back to an earlier state has lost entries that partners may hold checkpoints over:
// that log is closed, and the next one is named by the next keyring (`Node+Restore`).
//
//   kitchener.ca/log      log/          the first; its entry 0 is `identity.created`
//   kitchener.ca/log/2    log/2/        entry 0 is `log.continued`: it names the checkpoint that closed the one before, and what is known to be lost
//
// Which logs there are is said by the versions of our keyring: a log without a keyring that names it is none.
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore

struct LogChain {
    struct Link {
        let number: Int
        let origin: String
        /// All that ever signed it, the newest last.
        var keys: [VerifierKey]
    }

    /// In order; the last is the one that grows.
    let links: [Link]

    /// `history` is every version of our keyring, in order.
    init(_ history: [Keyring]) throws(NoteFault) {
        var links: [Link] = []
        for keyring in history {
            let key = try VerifierKey(keyring.log.vkey)
            if links.last?.origin != keyring.log.name {
                links.append(Link(number: links.count + 1, origin: keyring.log.name, keys: []))
            }
            if links[links.count - 1].keys.last != key { links[links.count - 1].keys.append(key) }
        }
        self.links = links
    }

    var current: Link {
        guard let last = links.last else { preconditionFailure("a node has a keyring") }
        return last
    }
    var closed: [Link] { links.dropLast() }

    /// The name of the log that follows the last.
    var nextOrigin: String {
        guard let first = links.first else { preconditionFailure("a node has a keyring") }
        return "\(first.origin)/\(links.count + 1)"
    }

    func link(_ origin: String) -> Link? { links.first { $0.origin == origin } }
}

/// What the first entry of a log that follows another says of that.
struct LogSuccession: Equatable {
    let origin: String
    let size: UInt64
    let root: Digest
    /// Nil where nobody has shown that there was more, or something else.
    let lost: Lost?

    struct Lost: Equatable {
        /// Up to here the log is known to be what it was.
        let first: UInt64
        let end: UInt64
        /// Who showed it: partners, or `checkpoint` for one that was given.
        let shownBy: String
    }

    /// `shown` are checkpoints of the log that it does not continue, with who showed them. A log that was written on before it was closed may have
    /// grown past them: then nothing says where it parted from them, but that it has the first `common` entries still.
    init(closing: Checkpoint, shown: [(size: TreeSize, by: String)], common: TreeSize) {
        (origin, size, root) = (closing.origin, closing.size.value, closing.root)
        guard let end = shown.map(\.size).max() else {
            lost = nil
            return
        }
        let isGrownPast = shown.contains { $0.size <= closing.size }
        lost = Lost(
            first: (isGrownPast ? min(common, closing.size) : closing.size).value, end: end.value,
            shownBy: shown.filter { $0.size == end }.map(\.by).joined(separator: " "))
    }

    /// Nil when the entry is of another event, or says less.
    init?(_ entry: LogEntry) {
        guard entry.event == .logContinued, let log = entry.details, let origin = log["origin"]?.string,
            let size = log["size"]?.integer.flatMap({ UInt64(exactly: $0) }),
            let root = log["root"]?.string.flatMap({ Digest(prefixed: $0) })
        else { return nil }
        (self.origin, self.size, self.root) = (origin, size, root)
        func number(_ name: String) -> UInt64? { log["lost"]?[name]?.integer.flatMap { UInt64(exactly: $0) } }
        lost =
            if let first = number("first"), let end = number("end") {
                Lost(first: first, end: end, shownBy: log["lost"]?["shownBy"]?.string ?? "")
            } else { nil }
    }

    var json: JSONValue {
        [
            "origin": .string(origin), "size": JSONValue(size), "root": JSONValue(root),
            "lost": lost.map {
                ["first": JSONValue($0.first), "end": JSONValue($0.end), "shownBy": .string($0.shownBy)]
            } ?? .null,
        ]
    }
}
