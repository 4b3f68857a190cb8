// What a file is, found while it is read: of a large one on a thread beside the one that hashes it.
internal import Dispatch
internal import HansaCore
internal import HansaPackages

/// Feeds one file to `ResourceInference`. One owner: `feed` with all bytes in order, then `finish` once.
final class FileInference: @unchecked Sendable {
    // @unchecked: `inference` and `stretches` are touched on the queue alone until the owner has waited for it. Small files have no queue.
    private var inference: ResourceInference
    private var stretches: TableStretches?
    private let queue: DispatchQueue?
    private let room = DispatchSemaphore(value: FileInference.piecesMax)
    private let size: UInt64

    /// Below this the copy and the other thread cost more than they save.
    private static let besideBytesMin = FileIntake.bytesMin
    private static let pieceBytes = 1 << 20
    /// How far behind the reading it may be.
    private static let piecesMax = 8

    struct Result {
        let resource: InferredResource
        /// What is known of the table's chunks, by which it is known again; of a long table alone, and only where all of it came as chunks.
        var stretches: TableStretches?
    }

    init(path: String, size: UInt64) {
        inference = ResourceInference(path: path)
        self.size = size
        queue = size >= FileInference.besideBytesMin && inference.wantsBytes ? DispatchQueue(label: "hansa.infer") : nil
    }

    /// False when the file's name says enough.
    var wantsBytes: Bool { queue != nil || inference.wantsBytes }

    func feed(_ bytes: UnsafeRawBufferPointer) {
        guard queue != nil else {
            if inference.wantsBytes { inference.feed(bytes) }
            return
        }
        var rest = bytes
        while !rest.isEmpty {
            let piece = [UInt8](rest.prefix(FileInference.pieceBytes))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
            beside { [self] in piece.withUnsafeBytes { inference.feed($0) } }
        }
    }

    /// Neighbouring chunks, with what is known of each: those are not looked at again, if they stand where they can be passed over. `delimiter` is what
    /// it is known for.
    func feed(_ raw: [UInt8], chunks: [(length: Int, known: TableStretch?)], knownFor delimiter: UInt8?) {
        beside { [self] in
            raw.withUnsafeBytes { bytes in
                var start = 0
                for (length, known) in chunks {
                    let chunk = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + length)])
                    start += length
                    note(take(chunk, known: delimiter == inference.delimiterInUse ? known : nil))
                }
            }
        }
    }

    private func take(_ chunk: UnsafeRawBufferPointer, known: TableStretch?) -> TableStretch? {
        if let known, inference.skip(known) { return known }
        return inference.feed(stretch: chunk)
    }

    /// The first chunks are read before the delimiter is known, and are no stretches.
    private var chunksBefore = 0

    private func note(_ stretch: TableStretch?) {
        if stretches == nil, let delimiter = inference.delimiterInUse {
            stretches = TableStretches(delimiter: delimiter)
            for _ in 0..<chunksBefore { stretches?.append(nil) }
        }
        if stretches == nil { chunksBefore += 1 } else { stretches?.append(stretch) }
    }

    private func beside(_ work: @escaping @Sendable () -> Void) {
        guard let queue else { return work() }
        room.wait()
        queue.async { [self] in
            if inference.wantsBytes { work() }
            room.signal()
        }
    }

    /// After all bytes: what is known of the chunks is not enough after all, and the whole file is to be fed to another one.
    var mustReadWhole: Bool {
        queue?.sync {}
        return inference.mustReadWhole
    }

    func finish(digest: Digest) -> Result {
        queue?.sync {}
        let known = inference.isLong ? stretches : nil
        return Result(resource: inference.finish(size: size, digest: digest), stretches: known)
    }
}
