internal import HansaCore

/// Numbers of names as they were committed. Rows of names are never deleted, so what was read once stays true; what a transaction adds
/// is known to others only after its commit.
struct KnownNames: Sendable {
    private(set) var cityIDs: [CityID: Int64] = [:]
    private(set) var cities: [Int64: CityID] = [:]
    private(set) var viewIDs: [Digest: Int64] = [:]
    private(set) var labelIDs: [String: Int64] = [:]

    mutating func add(_ city: CityID, _ id: Int64) {
        cityIDs[city] = id
        cities[id] = city
    }
    mutating func add(_ view: Digest, _ id: Int64) { viewIDs[view] = id }
    mutating func add(label: String, _ id: Int64) { labelIDs[label] = id }

    var count: Int { cityIDs.count + viewIDs.count + labelIDs.count }
}
