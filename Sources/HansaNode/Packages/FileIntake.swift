// One large file on its way into a release, on all cores.
//
// The thread that calls reads it once and cuts it into chunks, window by window; others hash the whole file (`HashLane`), the windows' chunks
// (`WorkAhead`), look at the table (`FileInference`), and compress what is new (`ContentWriter`). Each is a bounded number of windows behind, so that memory does
// not grow with the file. A window's bytes are read into their place, and copied only where two windows meet.
internal import Dispatch
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaPackages

final class FileIntake {
    /// Below this other threads cost more than they save.
    static let bytesMin: UInt64 = 4 << 20
    private static let windowsAhead = 6

    struct Result {
        let size: UInt64
        let profile: ChunkProfile
        let chunks: ChunkList
        let digest: Digest
    }

    /// Neighbouring chunks, as they go into one window of the package.
    private struct Cut: Sendable {
        let raw: [UInt8]
        let lengths: [Int]

        func hashed() -> PackageContent.Window {
            var chunks: [ChunkEntry] = []
            chunks.reserveCapacity(lengths.count)
            raw.withUnsafeBytes { bytes in
                var start = 0
                for length in lengths {
                    let id = SHA256.hash(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + length)]))
                    chunks.append(ChunkEntry(id: id, length: UInt32(length)))
                    start += length
                }
            }
            return PackageContent.Window(raw: raw, chunks: chunks)
        }
    }

    private let file: FileReader
    private let path: String
    private let content: PackageContent
    private let inference: FileInference?
    private let memory: TableMemory?
    private let chunker: Chunker
    /// Where windows begin, ahead of `content`, which takes them when they are hashed.
    private var seams: PackageContent.Seams
    private var offset: UInt64 = 0
    private var atEnd = false
    /// Read, and not in a window yet; the first chunk's length where it was cut already.
    private var carry: [UInt8] = []
    private var carriedChunk: Int?
    private let whole = HashLane()
    private let hashing = WorkAhead<PackageContent.Window>()
    private var chunks = ChunkList()

    /// `memory`: what is known of the chunks of the version before.
    init(_ file: FileReader, path: String, into content: PackageContent, _ inference: FileInference?, memory: TableMemory?) throws
    {
        self.file = file
        self.path = path
        self.content = content
        self.inference = inference.flatMap { $0.wantsBytes ? $0 : nil }
        self.memory = memory
        seams = content.seams
        var fault: Problem?
        let probe = [UInt8](unsafeUninitializedCapacity: ChunkProfile.probeBytes) { buffer, count in
            do throws(Problem) { count = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0, path: path) } catch {
                fault = error
            }
        }
        if let fault { throw fault }
        chunker = Chunker(ChunkProfile.choose(fileName: path, size: file.size, probe: probe))
    }

    /// Reads all of it. `proceed` throws when it is to be given up.
    func run(proceed: () throws -> Void) throws -> Result {
        // Nobody reads what is given up; what was begun ends by itself.
        while let cut = try next() {
            try proceed()
            whole.add(cut.raw)
            hashing.add { cut.hashed() }
            if hashing.count > FileIntake.windowsAhead { try take() }
        }
        while hashing.count > 0 { try take() }
        return Result(size: offset, profile: chunker.profile, chunks: chunks, digest: whole.finish())
    }

    private func take() throws {
        guard let window = try hashing.next() else { return }
        chunks.append(contentsOf: window.chunks)
        if let inference {
            let known = window.chunks.map { (length: Int($0.length), known: memory?.stretch(of: $0)) }
            inference.feed(window.raw, chunks: known, knownFor: memory?.delimiter)
        }
        try content.add(window)
    }

    /// The next window; nil at the end of the file.
    private func next() throws -> Cut? {
        let max = chunker.profile.max
        var lengths: [Int] = []
        var fault: Problem?
        let raw = [UInt8](unsafeUninitializedCapacity: Limits.blockRawBytesMax + max) { buffer, count in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            carry.withUnsafeBytes { memory.copyMemory(from: $0) }
            var held = carry.count
            if !atEnd {
                // Not beyond the size it had: a file that grows is found out when it is asked for its state again.
                let left = file.size > offset ? Int(min(file.size - offset, UInt64(memory.count - held))) : 0
                do throws(Problem) {
                    let fresh = try file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: memory[held..<(held + left)]), at: offset, path: path)
                    atEnd = fresh < left || offset + UInt64(fresh) >= file.size
                    offset += UInt64(fresh)
                    held += fresh
                } catch {
                    fault = error
                }
            }
            var start = 0
            while start < held, atEnd || held - start >= max {
                let rest = UnsafeRawBufferPointer(rebasing: memory[start..<held])
                let length = carriedChunk ?? chunker.cut(rest, atEnd: atEnd)
                var after = seams
                if after.begins(with: length), start > 0 {
                    carriedChunk = length
                    break
                }
                carriedChunk = nil
                seams = after
                lengths.append(length)
                start += length
            }
            carry = [UInt8](memory[start..<held])
            count = start
        }
        if let fault { throw fault }
        return lengths.isEmpty ? nil : Cut(raw: raw, lengths: lengths)
    }
}

/// A hash of pieces in their order, on a thread of its own. One owner: `add` any number of times, then `finish` once.
private final class HashLane: @unchecked Sendable {
    // @unchecked: `hash` is touched on the queue alone until the owner has waited for it.
    private var hash = SHA256()
    private let queue = DispatchQueue(label: "hansa.hash")
    private let room = DispatchSemaphore(value: HashLane.piecesMax)
    /// How far behind the reading it may be.
    private static let piecesMax = 8

    func add(_ piece: [UInt8]) {
        room.wait()
        queue.async { [self] in
            piece.withUnsafeBytes { hash.update($0) }
            room.signal()
        }
    }

    func finish() -> Digest {
        queue.sync {}
        return hash.copy().finish()
    }
}
