import Foundation
import HansaCore
import HansaCrypto
import HansaStore
import HansaSync
import HansaTestSupport

/// A directory that goes with the test: in memory where the machine has such a place, as these tests sync much and lose no power.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let memory = "/dev/shm"
        let base = FileManager.default.isWritableFile(atPath: memory) ? memory : FileManager.default.temporaryDirectory.path
        path = "\(base)/hansa-store-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The stores that keep one contract.
enum Engine: CaseIterable, Sendable {
    case sqliteFile, sqliteMemory, memory

    func make() throws -> StoreUnderTest {
        switch self {
        case .sqliteFile:
            let directory = try TemporaryDirectory()
            let store = try SQLiteStore(path: directory.path + "/hansa.sqlite", random: DeterministicRandom(seed: 1)) { _ in }
            return StoreUnderTest(store: store, directory: directory)
        case .sqliteMemory:
            return StoreUnderTest(store: try SQLiteStore(inMemoryWith: DeterministicRandom(seed: 1)), directory: nil)
        case .memory: return StoreUnderTest(store: MemoryMetadataStore(random: DeterministicRandom(seed: 1)), directory: nil)
        }
    }
}

final class StoreUnderTest {
    let store: any MetadataStore
    private let directory: TemporaryDirectory?

    init(store: any MetadataStore, directory: TemporaryDirectory?) {
        self.store = store
        self.directory = directory
    }

    deinit { try? (store as? SQLiteStore)?.close() }

    func read<T>(_ body: (any MetadataReading) throws -> T) throws -> T { try store.read(body) }
    @discardableResult
    func write<T>(at now: Timestamp = Samples.start, _ body: (any MetadataWriting) throws -> T) throws -> T {
        try store.write(at: now, body)
    }
}

/// What a body throws to have its transaction rolled back.
struct Abort: Error, Equatable {}
