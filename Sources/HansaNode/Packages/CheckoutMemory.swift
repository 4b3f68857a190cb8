// Large files of checkouts that are known again without being read: the same file (device, inode), as long, and neither written nor renamed since.
// What the digest of such a file was is what it is.
internal import Glibc
internal import HansaCore
internal import HansaStore
internal import HansaSync
internal import Logging

struct CheckoutMemory {
    /// A file that changed less than this before it was looked at may change again and show the same times: clocks of file systems tick each 4 ms.
    static let racyMicroseconds: UInt32 = 20_000
    private static let name = "checkout.files"
    /// The newest are kept.
    private static let filesMax = 256
    private static let entryBytes = 5 * 8 + Digest.byteCount

    private struct Key: Equatable {
        let words: [UInt64]

        init(_ words: [UInt64]) { self.words = words }

        init(_ status: stat) {
            words = [
                UInt64(status.st_dev), UInt64(status.st_ino), UInt64(status.st_size),
                UInt64(bitPattern: FileReader.nanoseconds(status.st_mtim)),
                UInt64(bitPattern: FileReader.nanoseconds(status.st_ctim)),
            ]
        }
    }

    private let node: Node
    private let known: [(key: Key, digest: Digest)]

    /// Without what cannot be read: then files are read.
    init(_ node: Node) {
        self.node = node
        let bytes = (try? node.metadata.read { try $0.value(CheckoutMemory.name) }) ?? []
        var known: [(Key, Digest)] = []
        var reader = ByteReader(bytes)
        while reader.left >= CheckoutMemory.entryBytes {
            var words: [UInt64] = []
            for _ in 0..<5 { if let word = try? reader.u64() { words.append(word) } }
            guard let digest = try? reader.digest() else { break }
            known.append((Key(words), digest))
        }
        self.known = known
    }

    /// The file's SHA-256, read only where it is not known.
    func digest(of file: FileReader, path: String) throws(Problem) -> Digest {
        if file.size >= FileCopy.bytesMin {
            let key = Key(file.status)
            if let known = known.last(where: { $0.key == key }) { return known.digest }
        }
        return try file.digest(path: path)
    }

    /// `files` were written, and renamed into place, longer ago than `racyMicroseconds`. Costs a transaction; a failure costs reading them the next time.
    func remember(_ files: [(FileReader, Digest)]) {
        var kept = known
        for (file, digest) in files {
            // Of file systems that know whole seconds only, nothing is believed.
            let (modified, changed) = (file.status.st_mtim.tv_nsec, file.status.st_ctim.tv_nsec)
            guard modified != 0 || changed != 0 else { continue }
            let key = Key(file.status)
            kept.removeAll { $0.key.words[..<2] == key.words[..<2] }
            kept.append((key, digest))
        }
        var writer = ByteWriter(reserving: CheckoutMemory.filesMax * CheckoutMemory.entryBytes)
        for (key, digest) in kept.suffix(CheckoutMemory.filesMax) {
            for word in key.words { writer.u64(word) }
            writer.digest(digest)
        }
        do { try node.metadata.write(at: node.clock.now) { try $0.setValue(CheckoutMemory.name, writer.bytes) } } catch {
            node.log.warning("checked-out files are not remembered", metadata: ["error": "\(error)"])
        }
    }
}
