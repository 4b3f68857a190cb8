// The small numbers that stand for enumerations in rows. A number is its place in the list: lists only grow at the end.
internal import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaSync
internal import HansaTerms

enum Codes {
    static let kinds: [PackageKind] = [.dataset, .practice, .profile, .offer, .challenge]
    static let labels: [TLP] = [.clear, .green, .amber, .amberStrict, .red]
    static let operations: [Release.Operation] = [.publish, .merge, .withdraw]
    static let levels: [Grant.Level] = [.discover, .sync]
    static let partnerStates: [Partner.State] = [.active, .paused, .removed]
    /// `accepted` is 0: the index of what is not names it so.
    static let holdingStates: [HoldingRow.State] = [.accepted, .refused, .ended]
    static let disputeKinds: [DisputeRow.Kind] = [.fork, .fence]
    static let receiptOutcomes: [Receipt.Outcome] = [.accepted, .refused, .delivered]
    /// `ok` is 0: the index of what is not names it so.
    static let logOutcomes: [LogEntry.Outcome] = [.ok, .refused, .failed]

    static func code<T: Equatable>(_ value: T, in list: [T]) -> Int64 {
        guard let place = list.firstIndex(of: value) else { preconditionFailure("\(value) has no number in the tables") }
        return Int64(place)
    }

    static func value<T>(_ code: Int64, in list: [T]) throws(StoreFault) -> T {
        guard let place = Int(exactly: code), list.indices.contains(place) else {
            throw .damaged("a row of \(T.self) has the unknown number \(code)")
        }
        return list[place]
    }
}

extension ContentLocation {
    static let encodedByteCount = 12

    func append(to bytes: inout [UInt8]) {
        for word in [segment, offset, length] { withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) } }
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ContentLocation.encodedByteCount)
        append(to: &bytes)
        return bytes
    }

    static func encode(_ places: [ContentLocation]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(places.count * encodedByteCount)
        for place in places { place.append(to: &bytes) }
        return bytes
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(StoreFault) -> [ContentLocation] {
        guard bytes.count % encodedByteCount == 0 else { throw .damaged("a list of places of \(bytes.count) bytes") }
        var places: [ContentLocation] = []
        places.reserveCapacity(bytes.count / encodedByteCount)
        for start in stride(from: 0, to: bytes.count, by: encodedByteCount) {
            func word(_ offset: Int) -> UInt32 {
                UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt32.self))
            }
            places.append(ContentLocation(segment: word(0), offset: word(4), length: word(8)))
        }
        return places
    }
}
