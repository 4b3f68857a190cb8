// A node over a home that is removed with the test, asked directly: no socket, no session. Two of them exchange by frames handed over in memory.
import Foundation
import HansaCore
import HansaDocuments
import HansaSync
import Testing

@testable import HansaNode

/// A directory that is removed with its contents.
final class Folder: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/hansa-node-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil, let resolved = realpath(template, nil) else {
            preconditionFailure("no temporary directory")
        }
        path = String(cString: resolved)
        free(resolved)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let full = path + "/" + name
        try FileManager.default.createDirectory(
            atPath: (full as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: full))
    }

    func text(_ name: String) -> String? {
        FileManager.default.contents(atPath: path + "/" + name).map { String(decoding: $0, as: UTF8.self) }
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path + "/" + name) }

    /// Every file below, relative.
    var files: [String] { Folder.files(below: path) }

    static func files(below path: String) -> [String] {
        (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []).filter {
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: path + "/" + $0, isDirectory: &isDirectory) && !isDirectory.boolValue
        }.sorted()
    }
}

final class TestHome {
    let folder = Folder()
    private var opened: Node?
    let caller = Caller(role: .admin, uid: 0, account: "root")

    var node: Node {
        guard let opened else { preconditionFailure("the home could not be opened again") }
        return opened
    }
    var home: String { folder.path + "/home" }
    var city: CityID { node.city }

    init(_ city: String, _ name: String) throws {
        try FileManager.default.createDirectory(atPath: folder.path + "/home", withIntermediateDirectories: true)
        let home = folder.path + "/home"
        _ = try NodeBootstrap.initialize(home: home, city: city, name: name, country: nil, listen: nil, advertise: [])
        opened = try TestHome.open(home)
    }

    private static func open(_ home: String) throws -> Node {
        try #require(try NodeBootstrap.openForCommand(home: home) as? Node)
    }

    deinit {
        // Before the folder goes: what a node cannot write stops the process. A test that failed has said so already.
        try? opened?.close()
    }

    /// Closes the node, lets `meddle` at the files, and opens it again.
    func whileClosed(_ meddle: () throws -> Void) throws {
        try opened?.close()
        // The home's lock goes with the last reference.
        opened = nil
        try meddle()
        opened = try TestHome.open(home)
    }

    @discardableResult
    func publish(
        _ directories: [String], _ options: PublishOptions = PublishOptions(), name: String? = nil,
        source adjust: (FolderSource) -> Void = { _ in }
    ) throws -> JSONValue {
        var options = options
        options.name = name
        let source = FolderSource(directories, name: name)
        adjust(source)
        return try node.packagePublish(caller, options: options, source: source)
    }

    @discardableResult
    func checkout(_ reference: String, into folder: Folder, payload: Bool = false, force: Bool = false, dryRun: Bool = false)
        throws -> JSONValue
    {
        try checkout(reference, into: FolderSink(folder.path), payload: payload, force: force, dryRun: dryRun)
    }

    @discardableResult
    func checkout(_ reference: String, into sink: FolderSink, payload: Bool = false, force: Bool = false, dryRun: Bool = false)
        throws -> JSONValue
    {
        try node.packageCheckout(
            caller, reference: reference, payload: payload, purpose: nil, force: force, dryRun: dryRun, sink: sink)
    }

    func verify(_ path: String) throws -> JSONValue {
        try node.packageVerify(caller, reader: FolderSource([path], entersHidden: true))
    }

    var packages: [JSONValue] {
        get throws { try node.packageList(caller)["packages"]?.array ?? [] }
    }

    func why(_ partner: String, _ package: String) throws -> JSONValue {
        try node.why(caller, partner: partner, package: package)
    }
}

/// The problem that `body` ends with.
func problem(_ body: () throws -> Void) -> Problem? {
    do {
        try body()
        return nil
    } catch { return error as? Problem }
}

extension TestHome {
    /// Makes the two cities partners.
    static func pair() throws -> (TestHome, TestHome) {
        let kitchener = try TestHome("kitchener.ca", "City of Kitchener")
        let auckland = try TestHome("auckland.nz", "Auckland Council")
        for (one, other) in [(kitchener, auckland), (auckland, kitchener)] {
            let card =
                try other.node.cityCard(other.caller)["envelopes"]?.array?.compactMap(\.string).joined(separator: "\n") ?? ""
            _ = try one.node.partnerAdd(
                one.caller, card: card, fingerprint: try other.node.cityShow(other.caller)["fingerprint"]?.string,
                trustWithoutComparison: false,
                endpoint: nil, dryRun: false)
        }
        return (kitchener, auckland)
    }

    /// Proposes the shipped template to the other city; returns the agreement's id.
    func propose(to other: TestHome) throws -> String {
        let yaml = try #require(try node.agreementNew(caller, template: "city-exchange", with: other.city.text)["yaml"]?.string)
        return try #require(try node.agreementPropose(caller, yaml: yaml, officerKey: nil, dryRun: false)["id"]?.string)
    }

    @discardableResult
    func grant(_ pattern: String, to other: TestHome, under agreement: String) throws -> String {
        try #require(
            try node.accessGrant(
                caller, partner: other.city.text, pattern: pattern, agreement: agreement, level: "sync", until: nil, ceiling: nil,
                dryRun: false)["grant"]?
                .string)
    }

    func state(of agreement: String) throws -> String? {
        try node.agreementShow(caller, id: agreement, format: "json")["state"]?.string
    }
}

/// One end of a session without a network.
private struct End {
    let home: TestHome
    let documents: DocumentExchange
    let puller: Puller
    let publisher: Publisher

    init(_ home: TestHome, _ peer: TestHome) {
        self.home = home
        documents = DocumentExchange(home.node.context, peer: peer.city)
        puller = Puller(home.node.context, peer: peer.city)
        publisher = Publisher(home.node.context, peer: peer.city)
    }

    /// Takes one frame; what it answers.
    func take(_ frame: Frame) throws -> [Frame] {
        let now = home.node.clock.now
        switch frame.type {
        case .documents: return [try documents.receive(frame, at: now).answer]
        case .documentsAcknowledged:
            try documents.acknowledged(frame, at: now)
            return try documents.pending()
        case .views, .getReleases, .getIndex, .getChunks, .getDelta, .getSmall, .feedAcknowledged, .receipt, .accepted:
            return try publisher.receive(frame, at: now) + publisher.index(upTo: 1 << 30, at: now)
                + publisher.content(upTo: 1 << 30, at: now)
        case .feed, .equal, .releases, .index, .chunks, .delta, .small, .announce: return try puller.receive([frame], at: now)
        default: return []
        }
    }
}

/// Documents, then releases, in both directions, until nothing more is said.
func exchange(_ one: TestHome, _ other: TestHome) throws {
    let ends = [End(one, other), End(other, one)]
    func settle(_ first: [[Frame]]) throws {
        var queues = first
        while let from = queues.firstIndex(where: { !$0.isEmpty }) {
            let frames = queues[from]
            queues[from] = []
            for frame in frames { queues[1 - from] += try ends[1 - from].take(frame) }
        }
    }
    // What the hellos say of keyrings.
    for (own, peer) in [(ends[0], ends[1]), (ends[1], ends[0])] {
        let held = try peer.home.node.read { try $0.currentKeyring(of: own.home.city)?.version } ?? 0
        try own.documents.opened(held: UInt64(held), theirs: UInt64(peer.home.node.keyring.version), at: own.home.node.clock.now)
    }
    try settle(try ends.map { try $0.documents.pending() })
    try settle(try ends.map { try $0.puller.ask(at: $0.home.node.clock.now) })
    for end in ends { try end.puller.park(at: end.home.node.clock.now) }
}
