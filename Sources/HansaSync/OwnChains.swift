// The numbers that a city has given out, where some of them may not be known here: after an old state was put back, or a database was made again.
public import HansaCore
internal import HansaDocuments
internal import HansaTerms

public enum OwnChains {
    /// How far numbers are raised: nobody signs as many releases of a package in what is lost.
    public static let gap: UInt64 = 1 << 20
}

extension MetadataReading {
    /// What a city has signed or may sign: its own packages, and those of others in which it is a maintainer.
    public func ownChains(of own: CityID) throws -> [(package: PackageID, lastSeq: UInt64)] {
        var found: [(PackageID, UInt64)] = []
        try eachPackage(of: own) { found.append(($0.package, $0.lastSeq)) }
        let patterns = try policy().agreements.flatMap { $0.agreement.maintainers ?? [] }.filter { $0.cities.contains(own) }
            .flatMap(\.packages).filter { $0.city != own }
        for other in Set(patterns.map(\.city)).sorted() {
            try eachPackage(of: other) { row in
                guard patterns.contains(where: { $0.matches(row.package) }) else { return }
                found.append((row.package, try ownChain(of: row.package, by: own).lastSeq))
            }
        }
        return found
    }

    private func eachPackage(of city: CityID, _ body: (PackageRow) throws -> Void) throws {
        var after: PackageID?
        while true {
            let batch = try packages(of: city, after: after, limit: 1000)
            guard let last = batch.last else { return }
            after = last.package
            for row in batch { try body(row) }
        }
    }
}

extension MetadataWriting {
    /// The city's next release of the package gets a number above this one.
    public func raiseOwnChain(of package: PackageID, by own: CityID, to seq: UInt64) throws {
        guard package.city == own else {
            var chain = try ownChain(of: package, by: own)
            chain.lastSeq = max(chain.lastSeq, seq)
            return try setOwnChain(chain, of: package)
        }
        guard var row = try self.package(package) else { return }
        row.lastSeq = max(row.lastSeq, seq)
        try put(row)
    }
}
