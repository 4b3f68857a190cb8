// What a file is, found while it is read: of a large one on a thread beside the one that hashes it.
internal import Dispatch
internal import HansaCore
internal import HansaPackages

/// Feeds one file to `ResourceInference`. One owner: `feed` with all bytes in order, then `finish` once.
final class FileInference: @unchecked Sendable {
    // @unchecked: `inference` is touched on the queue alone until the owner has waited for it. Small files have no queue.
    private var inference: ResourceInference
    private let queue: DispatchQueue?
    private let room = DispatchSemaphore(value: FileInference.piecesMax)
    private let size: UInt64

    /// Below this the copy and the other thread cost more than they save.
    private static let besideBytesMin: UInt64 = 4 << 20
    private static let pieceBytes = 1 << 20
    /// How far behind the reading it may be.
    private static let piecesMax = 8

    init(path: String, size: UInt64) {
        inference = ResourceInference(path: path)
        self.size = size
        queue = size >= FileInference.besideBytesMin && inference.wantsBytes ? DispatchQueue(label: "hansa.infer") : nil
    }

    func feed(_ bytes: UnsafeRawBufferPointer) {
        guard let queue else {
            if inference.wantsBytes { inference.feed(bytes) }
            return
        }
        var rest = bytes
        while !rest.isEmpty {
            let piece = [UInt8](rest.prefix(FileInference.pieceBytes))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
            room.wait()
            queue.async { [self] in
                if inference.wantsBytes { piece.withUnsafeBytes { inference.feed($0) } }
                room.signal()
            }
        }
    }

    func finish(digest: Digest) -> InferredResource {
        queue?.sync {}
        return inference.finish(size: size, digest: digest)
    }
}
