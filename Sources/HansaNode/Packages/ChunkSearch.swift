// Where chunks of a new version of a file stand in an older one.
internal import HansaContent
internal import HansaCore

/// Looks up the chunks of one file of a release, asked for in about the order in which they stand there. For one thread; memory does not grow with the file.
final class ChunkSearch {
    /// How far behind the last one that was found a chunk is looked for: 64 MiB of a table.
    private static let aheadChunks = 4 * Limits.indexPageChunks

    let range: Range<Int>
    private let content: ReleaseContent
    /// Up to where the index was read, and where the chunk there begins in the file.
    private var loaded: (chunk: Int, offset: UInt64)
    /// The chunk behind the last that was found.
    private var cursor: Int
    private var places: [Digest: (chunk: Int, offset: UInt64)] = [:]

    init(_ content: ReleaseContent, file number: Int) {
        self.content = content
        range = content.table.chunks(of: number)
        loaded = (range.lowerBound, 0)
        cursor = range.lowerBound
    }

    /// Its number in the release's index, and where it begins in the file; nil where it is not found.
    func place(of entry: ChunkEntry) -> (chunk: Int, offset: UInt64)? {
        load()
        guard let place = places[entry.id] else { return nil }
        cursor = max(cursor, place.chunk + 1)
        return place
    }

    /// So that at least three quarters of `aheadChunks` can be looked up.
    private func load() {
        let end = min(range.upperBound, cursor + ChunkSearch.aheadChunks)
        guard loaded.chunk < end, loaded.chunk - cursor <= ChunkSearch.aheadChunks / 4 * 3 else { return }
        places = places.filter { $0.value.chunk >= cursor }
        // From where the index cannot be read on nothing is found: whoever looks does without.
        guard let entries = try? content.entries(loaded.chunk..<end) else { return loaded.chunk = range.upperBound }
        for entry in entries {
            places[entry.id] = loaded
            loaded = (loaded.chunk + 1, loaded.offset + UInt64(entry.length))
        }
    }
}
