// Where the records of segments are that collection has emptied, for whoever read a row before they were moved.
//
// Rows never name such a segment again: the transaction that moved them left none, and a later one that would name the old place gets the new
// (`SQLiteWriting`), or is refused where the record was found to be nobody's. Reads of an old place are led to the new one
// (`SegmentStore.read`). It is kept as long as the process lives, 20 bytes a record: a place that is held in memory lives no longer than that.
internal import HansaContent
internal import Synchronization

final class MovedPlaces: Sendable {
    /// What has become of a place.
    enum Fate: Hashable, Sendable {
        case stands
        /// The same bytes lie there now.
        case moved(SegmentLocation)
        /// Its segment was emptied, and this record was not taken along as it was.
        case gone
    }

    private struct Segment {
        /// Ascending.
        var offsets: [UInt32] = []
        var places: [SegmentLocation] = []
    }

    private let segments = Mutex<[UInt32: Segment]>([:])

    /// A segment that no row names any more, with the records that were copied as they were, by offset.
    func retire(_ segment: UInt32, _ places: [UInt32: SegmentLocation]) {
        var entry = Segment()
        for (offset, place) in places.sorted(by: { $0.key < $1.key }) {
            entry.offsets.append(offset)
            entry.places.append(place)
        }
        segments.withLock { $0[segment] = entry }
    }

    func fate(of segment: UInt32, offset: UInt32) -> Fate {
        segments.withLock { segments in
            guard !segments.isEmpty, var entry = segments[segment] else { return .stands }
            var offset = offset
            // A record may have been moved more than once.
            while let index = MovedPlaces.index(of: offset, in: entry.offsets) {
                let next = entry.places[index]
                guard let again = segments[next.segment] else { return .moved(next) }
                (entry, offset) = (again, next.offset)
            }
            return .gone
        }
    }

    func isRetired(_ segment: UInt32) -> Bool { segments.withLock { $0[segment] != nil } }

    private static func index(of offset: UInt32, in offsets: [UInt32]) -> Int? {
        var (low, high) = (0, offsets.count)
        while low < high {
            let middle = (low + high) / 2
            if offsets[middle] < offset { low = middle + 1 } else { high = middle }
        }
        return low < offsets.count && offsets[low] == offset ? low : nil
    }
}
