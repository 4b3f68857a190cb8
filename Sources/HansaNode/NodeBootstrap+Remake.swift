// `hansa store rebuild` in a home whose database is gone: it is made from the segments, the log and the keyrings' files (`DatabaseRemake`), beside its
// place, and takes it when it is whole.
internal import Foundation
internal import Glibc
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaStore
internal import HansaSync
internal import HansaYAML

extension NodeBootstrap {
    /// Nil where the database is there. With `dryRun` what was made is counted and removed.
    public static func remakeDatabase(home: String, dryRun: Bool) throws(Problem) -> JSONValue? {
        let paths = HomePaths(home)
        guard paths.isInitialised, access(paths.database, F_OK) != 0 else { return nil }
        try check(paths)
        let document = try withLock(paths) { () throws(Problem) in try remake(paths, dryRun: dryRun) }
        guard !dryRun else { return document }
        // The log says that it happened. A crash before this leaves a database that is as good.
        let node = try openHome(home, command: "hansa store rebuild", wait: 2000) { _ in CommandLog.logger() }
        do throws(Problem) {
            try node.change { tx in
                try tx.log(LogDraft(.databaseRemade, outcome: .ok, details: document))
                return ((), ExchangeChanges())
            }
        } catch {
            try? node.close()
            throw error
        }
        try node.close()
        return document
    }

    private static func withLock<T>(_ paths: HomePaths, _ body: () throws(Problem) -> T) throws(Problem) -> T {
        let lock = try acquire(paths, "hansa store rebuild", wait: 2000)
        let result = try body()
        // Held up to here.
        withExtendedLifetime(lock) {}
        return result
    }

    private static func remake(_ paths: HomePaths, dryRun: Bool) throws(Problem) -> JSONValue {
        let (configuration, _) = try readConfiguration(paths)
        return try wrapped {
            let disk = try PosixDisk(root: paths.home)
            let fresh = "hansa.sqlite.new"
            try remove([fresh, fresh + "-wal", fresh + "-shm"], from: disk)
            let keyrings = try ownKeyrings(paths)
            guard !keyrings.isEmpty else {
                throw Problem(
                    .keyringInvalid, "there is no keyring in \(paths.keyrings)", try: goneRemedy)
            }
            let chain = try LogChain(try keyrings.map { try Keyring($0) })
            let metadata = try SQLiteStore(path: paths.home + "/" + fresh) { _ in _exit(1) }
            let (content, _) = try SegmentStore.open(disk: disk, bytesTarget: StorePace.current.segmentBytes) { _ in .unknown }
            let remake = try DatabaseRemake(
                into: metadata, from: content, logs: try chain.links.map { try log($0, paths) }, own: configuration.city,
                keyrings: keyrings, at: SystemClock().now)
            content.close()
            try metadata.settle()
            try metadata.close()
            try remove([fresh + "-wal", fresh + "-shm"], from: disk)
            if dryRun {
                try remove([fresh], from: disk)
            } else {
                // What a lost database left beside it would be taken for the new one's.
                try remove(["hansa.sqlite-wal", "hansa.sqlite-shm"], from: disk)
                // A crash before this leaves a home without a database, and the next call begins anew.
                try disk.rename(fresh, to: "hansa.sqlite")
                try disk.syncDirectory("")
            }
            return [
                "logEntries": JSONValue(remake.entries), "partners": JSONValue(remake.partners),
                "agreements": JSONValue(remake.agreements),
                "grants": JSONValue(remake.grants), "grantsEnded": JSONValue(remake.grantsEnded),
                "partnersHeld": JSONValue(remake.partnersHeld), "releases": JSONValue(remake.releases),
                "withContent": JSONValue(remake.withContent),
                "chunks": JSONValue(remake.chunks), "missing": JSONValue(remake.missing),
                "receipts": JSONValue(remake.receipts), "disputes": JSONValue(remake.disputes),
                "raised": JSONValue(remake.raised), "raisedBy": JSONValue(remake.raisedBy),
                "hasArchive": .bool(remake.hasArchive),
            ]
        }
    }

    private static func remove(_ names: [String], from disk: PosixDisk) throws {
        for name in names { do throws(DiskFault) { try disk.remove(name) } catch .notFound {} }
    }

    /// Every version, in order, as their files stand.
    private static func ownKeyrings(_ paths: HomePaths) throws -> [Envelope] {
        var envelopes: [Envelope] = []
        while access(paths.keyring(version: envelopes.count + 1), F_OK) == 0 {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: paths.keyring(version: envelopes.count + 1)))
            envelopes.append(try Envelope(json: [UInt8](bytes)))
        }
        return envelopes
    }

    private static func log(_ link: LogChain.Link, _ paths: HomePaths) throws -> DatabaseRemake.Log {
        let storage = try Node.logStorage(link.number, paths)
        guard let bytes = try storage.read(TileFile.checkpointPath) else { return DatabaseRemake.Log(storage, 0) }
        for key in link.keys {
            if let signed = try? SignedCheckpoint(bytes, log: key) { return DatabaseRemake.Log(storage, signed.size) }
        }
        throw Problem(
            .logDamaged, "the checkpoint of \(link.origin) is signed by no key of ours",
            try: "keep a copy of log/ as it is, then bring the last backup back (OPERATIONS, The log does not verify)")
    }
}
