// The exchange log, read and verified. Reading it is itself logged, merged by account and minute (FORMATS.md §11).
internal import Foundation
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaTerms
internal import Logging

extension Node {
    /// One entry a minute for one account that reads.
    private func logRead(_ caller: Caller, _ what: String) throws(Problem) {
        let name = "audit.read:\(actor(caller)):\(what)"
        let minute = clock.now.milliseconds / 60_000
        let last = try read { try $0.value(name) }
        var writer = ByteWriter()
        writer.u64(UInt64(bitPattern: minute))
        let current = writer.bytes
        guard last != current else { return }
        try change { tx in
            try tx.setValue(name, current)
            try tx.log(LogDraft(.auditRead, actor: self.actor(caller), details: ["what": .string(what)]))
            return ((), ExchangeChanges())
        }
    }

    public func auditLog(_ caller: Caller, filter: LogFilter, emit: (([JSONValue]) throws(Problem) -> Void)?) throws(Problem)
        -> JSONValue
    {
        let query = try query(filter)
        try logRead(caller, "log")
        var rows: [JSONValue] = []
        let logs = try logChain()
        // Closed logs have no index: all their entries are read.
        for log in logs.closed {
            try eachEntry(of: log, matching: query) { page throws(Problem) in
                let page = page.map { AuditEntry.row($0, log.number) }
                if let emit { try emit(page) } else { rows += page }
            }
        }
        var from: LeafIndex = 0
        while true {
            let batch = try guarded { try logService.entries(matching: query, from: from, limit: 1000) }
            guard let last = batch.last else { break }
            from = LeafIndex(last.index.value + 1)
            let page = batch.map { AuditEntry.row($0, logs.current.number) }
            if let emit { try emit(page) } else { rows += page }
            if batch.count < 1000 { break }
        }
        return ["schema": "hansa.audit-log/1", "entries": .array(rows)]
    }

    private func query(_ filter: LogFilter) throws(Problem) -> LogQuery {
        var query = LogQuery()
        func moment(_ text: String, _ end: Bool) throws(Problem) -> Timestamp {
            if let time = Timestamp(text) { return time }
            if let date = CalendarDate(text) { return end ? date.end : date.start }
            let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
            if let last = text.last, let unit = units[last], let count = Int64(text.dropLast()), (0...100_000).contains(count) {
                return clock.now.adding(seconds: -count * unit)
            }
            throw Problem(.usage, "'\(text.printable())' is no time: 2026-01-31, 2026-01-31T12:00:00Z, or 7d, 12h, 30m")
        }
        query.since = try filter.since.map { (text) throws(Problem) in try moment(text, false) }
        query.until = try filter.until.map { (text) throws(Problem) in try moment(text, true) }
        query.partner = try filter.partner.map { (text) throws(Problem) in try cityID(text) }
        query.package = try filter.package.map { (text) throws(Problem) in try packageID(text) }
        query.agreement = try filter.agreement.map { (text) throws(Problem) in try agreement(text).digest }
        if let event = filter.event {
            guard LogEvent(rawValue: event) != nil else {
                let near = Suggestion.nearest(to: event, among: LogEvent.allCases.map(\.rawValue))
                throw Problem(
                    .usage, "there is no event '\(event.printable())'" + (near.map { "; did you mean \($0)?" } ?? ""),
                    try: "hansa audit events")
            }
            query.event = event
        }
        if let outcome = filter.outcome {
            guard let value = LogEntry.Outcome(rawValue: outcome) else {
                throw Problem(.usage, "'\(outcome.printable())' is no outcome: ok, refused or failed")
            }
            query.outcome = value
        }
        return query
    }

    public func auditShow(_ caller: Caller, index: UInt64, log number: Int?) throws(Problem) -> JSONValue {
        try logRead(caller, "show")
        let logs = try logChain()
        let link = number.map { number in logs.links.first { $0.number == number } } ?? logs.current
        guard let link else {
            throw Problem(
                .entryUnknown, "there is no log \(number ?? 0): \(logs.links.count) is the last", try: "hansa audit verify")
        }
        let (bytes, size) = try bytes(at: LeafIndex(index), of: link, logs)
        guard let bytes else {
            throw Problem(
                .entryUnknown, "\(link.origin) has \(size) entries; there is none with index \(index)", try: "hansa audit log")
        }
        let entry = try guarded { try LogEntry(bytes) }
        var members = AuditEntry.row(entry, link.number).object ?? []
        members.insert(JSONMember("schema", "hansa.audit-show/1"), at: 0)
        members.append(JSONMember("details", entry.details ?? .null))
        members.append(JSONMember("grant", JSONValue(entry.grant)))
        members.append(JSONMember("salt", .string(Hex.encode(entry.salt))))
        members.append(JSONMember("leaf", JSONValue(MerkleTree.leafHash(bytes))))
        members.append(JSONMember("entry", .string(String(decoding: bytes, as: UTF8.self))))
        return .object(members)
    }

    public func auditVerify(_ caller: Caller, against checkpoint: String?) throws(Problem) -> JSONValue {
        // What is on disk is read before the log grows by anything: growing checks and replaces files.
        let logs = try logChain()
        let known = try checkpoint.map { (text) throws(Problem) in try read(checkpoint: text, logs) }
        let closed = try verifyClosed(logs, against: known)
        let report = try guarded {
            try logService.verify(against: known.map { $0.origin == logs.current.origin ? [$0] : [] } ?? [])
        }
        // A log that is damaged takes no further entry: the node would stop at it before this answer is out.
        var isLogged = false
        if !report.findings.contains(where: \.isDamage) {
            // With a full disk or a clock that is behind nothing can be logged, and the verdict is wanted most.
            do throws(Problem) {
                try logRead(caller, "verify")
                isLogged = true
            } catch { log.warning("a verification could not be logged", metadata: ["error": "\(error.message)"]) }
        }
        let findings = closed.flatMap(\.findings) + report.findings.map { Finding("\($0)", isDamage: $0.isDamage) }
        return [
            "schema": "hansa.audit-verify/1", "valid": .bool(!findings.contains(where: \.isDamage)),
            "size": JSONValue(report.size.value), "root": JSONValue(report.root),
            "findings": .array(findings.map { ["problem": .string($0.problem), "damage": .bool($0.isDamage)] }),
            "logs": .array(
                closed.map {
                    [
                        "origin": .string($0.origin), "size": JSONValue($0.size.value), "root": JSONValue($0.root),
                        "closed": true, "lost": $0.lost ?? .null,
                    ]
                } + [
                    [
                        "origin": .string(logs.current.origin), "size": JSONValue(report.size.value),
                        "root": JSONValue(report.root), "closed": false, "lost": .null,
                    ]
                ]),
            "logged": .bool(isLogged),
        ]
    }

    /// A checkpoint of one of our logs, signed by the log key of its time.
    func read(checkpoint text: String, _ logs: LogChain) throws(Problem) -> Checkpoint {
        do {
            for link in logs.links.reversed() {
                for key in link.keys.reversed() {
                    if let signed = try? SignedCheckpoint(Array(text.utf8), log: key) { return signed.checkpoint }
                }
            }
            guard let key = logs.current.keys.last else { throw NoteFault.notSigned }
            return try SignedCheckpoint(Array(text.utf8), log: key).checkpoint
        } catch {
            throw Problem(.logDamaged, "the checkpoint given is none of this log's: \(error)", try: "hansa audit checkpoint")
        }
    }

    public func auditCheckpoint(_ caller: Caller) throws(Problem) -> JSONValue {
        try guarded { try logService.advance() }
        let signed = logService.checkpoint
        let witnesses = try read { store in
            try store.partners().compactMap { partner -> JSONValue? in
                guard let note = try WitnessMemory.cosigned(by: partner.city, store),
                    let checkpoint = try? Checkpoint(text: note.text)
                else { return nil }
                return [
                    "city": .string(partner.city.text), "origin": .string(checkpoint.origin),
                    "size": JSONValue(checkpoint.size.value), "root": JSONValue(checkpoint.root),
                    "note": .string(String(decoding: note.bytes, as: UTF8.self)),
                ]
            }
        }
        return [
            "schema": "hansa.audit-checkpoint/1", "origin": .string(signed.checkpoint.origin),
            "size": JSONValue(signed.size.value),
            "root": JSONValue(signed.root), "checkpoint": .string(String(decoding: signed.bytes, as: UTF8.self)),
            "witnesses": .array(witnesses),
        ]
    }

    public func auditEvents(_ caller: Caller) throws(Problem) -> JSONValue { NodeBootstrap.auditEvents }
}

extension NodeBootstrap {
    /// The events that a log of this version may hold: of every home the same.
    public static var auditEvents: JSONValue {
        [
            "schema": "hansa.audit-events/1",
            "events": .array(
                LogEvent.allCases.map {
                    ["event": .string($0.rawValue), "title": .string($0.title), "description": .string($0.description)]
                }),
        ]
    }
}

private enum AuditEntry {
    /// `log` is the number of the log that has it: an index belongs to one.
    static func row(_ entry: LogEntry, _ log: Int) -> JSONValue {
        [
            "index": JSONValue(entry.index.value), "time": JSONValue(entry.time), "event": .string(entry.eventID),
            "actor": .string(entry.actor),
            "partner": JSONValue(entry.partner?.text), "package": JSONValue(entry.package?.description),
            "release": JSONValue(entry.release),
            "agreement": JSONValue(entry.agreement), "clause": JSONValue(entry.clause),
            "outcome": .string(entry.outcome.rawValue),
            "reason": JSONValue(entry.reason), "transfer": JSONValue(entry.transfer.map { Hex.encode($0) }),
            "log": JSONValue(log),
        ]
    }
}
