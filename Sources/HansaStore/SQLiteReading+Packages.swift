internal import HansaCore
internal import HansaDocuments
internal import HansaSync

extension SQLiteReading {
    func package(_ id: PackageID) throws -> PackageRow? {
        try first(.package, { $0.text(id.description) }, { try SQLiteReading.packageRow($0) })
    }

    func packages(of city: CityID?, after: PackageID?, limit: Int) throws -> [PackageRow] {
        guard let city else {
            return try all(
                .packages,
                {
                    $0.text(after?.description ?? "")
                    $0.int(limit)
                }, { try SQLiteReading.packageRow($0) })
        }
        // All ids of a city lie between `city/` and `city0`, the byte after the slash.
        let first = "\(city)/"
        let start = after.map(\.description).flatMap { first.utf8.lexicographicallyPrecedes($0.utf8) ? $0 : nil } ?? first
        return try all(
            .packagesOfCity,
            {
                $0.text(start)
                $0.text("\(city)0")
                $0.int(limit)
            }, { try SQLiteReading.packageRow($0) })
    }

    func packageCount(of city: CityID?) throws -> Int {
        let count = try first(
            .packageCount,
            {
                // Every id is greater than nothing, and begins with a letter or digit of ASCII.
                $0.text(city.map { "\($0)/" } ?? "")
                $0.text(city.map { "\($0)0" } ?? "\u{7F}")
            }, { $0.int64(0) })
        return Int(count ?? 0)
    }

    func release(_ digest: Digest) throws -> ReleaseRow? { try first(.release, { $0.digest(digest) }, releaseRow) }

    func releases(of package: PackageID) throws -> [ReleaseRow] {
        guard let number = try number(of: package) else { return [] }
        return try all(.releasesOfPackage, { $0.int(number) }, releaseRow)
    }

    func releaseDigest(of package: PackageID, writer: CityID, seq: UInt64) throws -> Digest? {
        guard let number = try number(of: package), let writer = try self.number(of: writer) else { return nil }
        return try first(
            .releaseBySeq,
            {
                $0.int(number)
                $0.int(seq)
                $0.int(writer)
            }, { try $0.digest(0) })
    }

    func disputes(of package: PackageID?) throws -> [DisputeRow] {
        guard let package else { return try all(.disputes, { _ in }, disputeRow) }
        guard let number = try number(of: package) else { return [] }
        return try all(.disputesOfPackage, { $0.int(number) }, disputeRow)
    }

    func lostBlocks(limit: Int) throws -> [ContentLocation] {
        try all(
            .lostBlocks, { $0.int(limit) },
            { ContentLocation(segment: try $0.uint32(0), offset: try $0.uint32(1), length: try $0.uint32(2)) })
    }

    func damages() throws -> [DamageRow] { try all(.damages, { _ in }, damageRow) }

    func damage(of release: Digest) throws -> DamageRow? { try all(.damageOfRelease, { $0.digest(release) }, damageRow).first }

    private func damageRow(_ row: Statement.Columns) throws -> DamageRow {
        DamageRow(release: try row.digest(0), found: row.time(1), what: row.text(2))
    }

    private func disputeRow(_ row: Statement.Columns) throws -> DisputeRow {
        DisputeRow(
            package: try SQLiteReading.package(row.text(0)), kind: try Codes.value(row.int64(2), in: Codes.disputeKinds),
            writer: try city(row.int64(4)), seq: row.uint64(1), known: row.isNull(5) ? nil : try row.digest(5),
            other: try row.digest(3),
            document: try row.place(6), partner: try city(row.int64(7)), found: row.time(8), resolved: row.timeIfAny(9))
    }

    func releases(withPrefix hexPrefix: String, limit: Int) throws -> [Digest] {
        let missing = Digest.byteCount * 2 - hexPrefix.utf8.count
        guard missing >= 0, let low = Digest(hex: hexPrefix + String(repeating: "0", count: missing)),
            let high = Digest(hex: hexPrefix + String(repeating: "f", count: missing))
        else { return [] }
        return try all(
            .releasesBetween,
            {
                $0.digest(low)
                $0.digest(high)
                $0.int(limit)
            }, { try $0.digest(0) })
    }

    func chunkLocations(of city: CityID, _ ids: [Digest]) throws -> [ChunkLocation?] {
        guard let number = try number(of: city) else { return [ChunkLocation?](repeating: nil, count: ids.count) }
        let statement = try statement(.chunk)
        defer { statement.reset() }
        return try ids.map { id in
            statement.reset()
            var binder = Statement.Binder(statement)
            binder.int(number)
            binder.digest(id)
            guard try statement.step() else { return nil }
            let row = Statement.Columns(statement)
            return ChunkLocation(
                block: ContentLocation(segment: try row.uint32(0), offset: try row.uint32(1), length: try row.uint32(2)),
                offset: try row.uint32(3), length: try row.uint32(4))
        }
    }

    func heldLocations(of city: CityID, _ ids: [Digest]) throws -> [ChunkLocation?] {
        let places = try chunkLocations(of: city, ids)
        let condemned = shared.condemned
        guard !condemned.isEmpty, let number = try number(of: city) else { return places }
        return zip(ids, places).map { id, place in condemned.contains(ChunkKey(city: number, id)) ? nil : place }
    }

    func snapshot(ofDirectory path: String) throws -> SnapshotRow? {
        try first(.directory, { $0.text(path) }) {
            SnapshotRow(
                path: path, package: try SQLiteReading.package($0.text(0)), release: try $0.digest(1), snapshot: $0.bytes(2))
        }
    }

    func published(directory path: String) throws -> PublishedDirectory? {
        try first(.publishedDirectory, { $0.text(path) }) {
            PublishedDirectory(snapshot: $0.bytes(16), digest: try $0.digest(15), release: try summary($0))
        }
    }

    func value(_ name: String) throws -> [UInt8]? { try first(.setting, { $0.text(name) }, { $0.bytes(0) }) }

    private static func packageRow(_ row: Statement.Columns) throws -> PackageRow {
        PackageRow(
            package: try package(row.text(0)), kind: try Codes.value(row.int64(1), in: Codes.kinds), head: try row.digest(2),
            headVersion: Version(try row.uint32(3), try row.uint32(4), try row.uint32(5)), headSeq: row.uint64(6),
            lastSeq: row.uint64(7),
            last: try row.digest(8), tlp: try Codes.value(row.int64(9), in: Codes.labels), title: row.text(10),
            bytes: row.uint64(11),
            withdrawnSeq: row.uint64IfAny(12))
    }

    private func summary(_ row: Statement.Columns) throws -> ReleaseSummary {
        ReleaseSummary(
            package: try SQLiteReading.package(row.text(0)), kind: try Codes.value(row.int64(3), in: Codes.kinds),
            version: Version(try row.uint32(4), try row.uint32(5), try row.uint32(6)),
            operation: try Codes.value(row.int64(7), in: Codes.operations), writer: try city(row.int64(2)), seq: row.uint64(1),
            issued: row.time(8),
            tlp: try Codes.value(row.int64(9), in: Codes.labels), title: row.text(10), bytes: row.uint64(11), files: row.int(12),
            chunks: row.int(13), ownerSeq: row.uint64IfAny(14))
    }

    private func releaseRow(_ row: Statement.Columns) throws -> ReleaseRow {
        ReleaseRow(
            digest: try row.digest(19), release: try summary(row), document: try row.place(15), table: try row.places(16),
            pages: try row.places(17),
            committed: row.time(18), servedBy: row.isNull(20) ? nil : try city(row.int64(20)))
    }
}
