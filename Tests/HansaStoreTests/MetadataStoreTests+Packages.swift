import HansaContent
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaLog
import HansaSync
import HansaTerms
import Testing

extension MetadataStoreTests {
    @Test(arguments: Engine.allCases)
    func packagesComeInPagesInOrderOfTheirIds(_ engine: Engine) throws {
        let store = try engine.make()
        // `a-b` and `a.b` sort on either side of `a/b`, and one city's name begins with another's.
        let paths = ["a/b", "a-b", "a.b", "a", "z"]
        let near = Samples.city("kitchener.ca.example.org")
        var packages = paths.map { Samples.package($0) } + paths.map { Samples.package($0, of: near) }
        packages.append(Samples.package("a", of: Samples.auckland))
        try store.write { transaction in for package in packages { try transaction.put(Samples.packageRow(package)) } }
        packages.sort()
        try store.read { store throws in
            #expect(try store.packages(of: nil, after: nil, limit: 100).map(\.package) == packages)
            #expect(try store.packageCount(of: nil) == packages.count)
            for city in Set(packages.map(\.city)) {
                #expect(try store.packageCount(of: city) == packages.count { $0.city == city })
            }
            #expect(try store.packages(of: nil, after: packages[3], limit: 2).map(\.package) == Array(packages[4...5]))
            let own = packages.filter { $0.city == Samples.kitchener }
            #expect(try store.packages(of: Samples.kitchener, after: nil, limit: 100).map(\.package) == own)
            #expect(try store.packages(of: Samples.kitchener, after: own[1], limit: 2).map(\.package) == Array(own[2...3]))
            #expect(
                try store.packages(of: Samples.kitchener, after: Samples.package("a", of: Samples.auckland), limit: 1).map(
                    \.package) == [own[0]])
            #expect(try store.packages(of: Samples.kitchener, after: own.last, limit: 100).isEmpty)
            #expect(try store.packages(of: Samples.boston, after: nil, limit: 100).isEmpty)
        }
    }

    @Test(arguments: Engine.allCases)
    func aPackageIsReplacedWholeAndIsThereOnlyOncePut(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("roads/breaks")
        try store.write { transaction in
            // Named by rows of others, it is not yet a package.
            try transaction.insert(Samples.release(Samples.digest(1), of: package))
            try transaction.put(Samples.holding(Samples.digest(9), Samples.digest(1), package: package))
            #expect(try transaction.package(package) == nil)
            #expect(try transaction.packages(of: nil, after: nil, limit: 9).isEmpty)
            try transaction.put(Samples.packageRow(package, withdrawn: 4))
        }
        #expect(try store.read { try $0.package(package) } == Samples.packageRow(package, withdrawn: 4))
        try store.write { try $0.put(Samples.packageRow(package, seq: 5)) }
        #expect(try store.read { try $0.package(package) } == Samples.packageRow(package, seq: 5))
    }

    @Test(arguments: Engine.allCases)
    func releasesAreFoundByDigestPrefixPackageAndSeq(_ engine: Engine) throws {
        let store = try engine.make()
        let package = Samples.package("a")
        let rows = [
            Samples.release(Digest(0xAB00, 1, 0, 0), of: package, seq: 2),
            Samples.release(Digest(0xAB01, 1, 0, 0), of: package, seq: 1),
            Samples.release(Digest(0xAB01, 2, 0, 0), of: package, seq: 3, writer: Samples.boston),
            Samples.release(Digest(0xAC00, 1, 0, 0), of: Samples.package("b"), seq: 1),
        ]
        try store.write { transaction in
            for row in rows { try transaction.insert(row) }
            // The first stays.
            var again = rows[0]
            again.document = Samples.place(99)
            try transaction.insert(again)
        }
        try store.read { store throws in
            for row in rows { #expect(try store.release(row.digest) == row) }
            #expect(try store.release(Samples.digest(5)) == nil)
            #expect(try store.releases(of: package).map(\.release.seq) == [1, 2, 3])
            #expect(try store.releases(of: Samples.package("c")).isEmpty)
            #expect(try store.releaseDigest(of: package, writer: Samples.boston, seq: 3) == rows[2].digest)
            #expect(try store.releaseDigest(of: package, writer: Samples.kitchener, seq: 3) == nil)
            #expect(try store.releaseDigest(of: package, writer: Samples.auckland, seq: 3) == nil)
            #expect(try store.releases(withPrefix: "000000000000ab", limit: 9) == [rows[0], rows[1], rows[2]].map(\.digest))
            #expect(try store.releases(withPrefix: "000000000000ab", limit: 2) == [rows[0], rows[1]].map(\.digest))
            #expect(try store.releases(withPrefix: "000000000000ab010", limit: 9) == [rows[1], rows[2]].map(\.digest))
            #expect(try store.releases(withPrefix: rows[3].digest.hex, limit: 9) == [rows[3].digest])
            #expect(try store.releases(withPrefix: "f", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: "xy", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: rows[3].digest.hex + "0", limit: 9).isEmpty)
            #expect(try store.releases(withPrefix: "", limit: 9).count == 4)
        }
    }

    @Test(arguments: Engine.allCases)
    func chunksKeepTheirFirstPlaceAndAreApartForEachCity(_ engine: Engine) throws {
        let store = try engine.make()
        let chunks = (1...5).map { ChunkEntry(id: Samples.digest(UInt64($0), 3), length: UInt32($0 * 100)) }
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: Samples.place(1), Array(chunks[0...2]))
            try $0.insertChunks(of: Samples.kitchener, block: Samples.place(2), Array(chunks[2...3]))
            try $0.insertChunks(of: Samples.boston, block: Samples.place(3), [chunks[0]])
        }
        let first = ChunkLocation(block: Samples.place(1), offset: 0, length: 100)
        let third = ChunkLocation(block: Samples.place(1), offset: 300, length: 300)
        let fourth = ChunkLocation(block: Samples.place(2), offset: 300, length: 400)
        try store.read { store throws in
            let wanted = [chunks[3].id, chunks[4].id, chunks[2].id, chunks[0].id, chunks[0].id]
            #expect(try store.chunkLocations(of: Samples.kitchener, wanted) == [fourth, nil, third, first, first])
            #expect(
                try store.chunkLocations(of: Samples.boston, [chunks[0].id, chunks[1].id]) == [
                    ChunkLocation(block: Samples.place(3), offset: 0, length: 100), nil,
                ])
            #expect(try store.chunkLocations(of: Samples.auckland, [chunks[0].id]) == [nil])
        }
    }

    @Test(arguments: Engine.allCases)
    func chunksOfABlockThatCannotBeReadAreSetAside(_ engine: Engine) throws {
        let store = try engine.make()
        let chunks = (1...4).map { ChunkEntry(id: Samples.digest(UInt64($0), 3), length: UInt32($0 * 100)) }
        let ids = chunks.map(\.id)
        let (one, two, three) = (Samples.place(1), Samples.place(2), Samples.place(3))
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: one, Array(chunks[0...2]))
            try $0.insertChunks(of: Samples.kitchener, block: two, [chunks[3]])
            try $0.insertChunks(of: Samples.boston, block: one, [chunks[0]])
            try $0.loseChunks(in: [one, Samples.place(9)])
        }
        try store.read { store throws in
            #expect(try store.chunkLocations(of: Samples.kitchener, ids).map { $0?.block } == [nil, nil, nil, two])
            #expect(try store.chunkLocations(of: Samples.boston, ids).map { $0?.block } == [nil, nil, nil, nil])
            #expect(try store.lostBlocks(limit: 5) == [one])
        }
        try store.write {
            try $0.insertChunks(of: Samples.kitchener, block: three, [chunks[1]])
            try $0.restoreChunks(in: one)
        }
        try store.read { store throws in
            #expect(try store.chunkLocations(of: Samples.kitchener, ids).map { $0?.block } == [one, three, one, two])
            #expect(try store.chunkLocations(of: Samples.boston, ids).map { $0?.block } == [one, nil, nil, nil])
            #expect(try store.lostBlocks(limit: 5) == [])
        }
        try store.write {
            try $0.loseChunks(in: [two])
            try $0.insertChunks(of: Samples.kitchener, block: three, [chunks[3]])
            try $0.forgetFoundChunks()
        }
        #expect(try store.read { try $0.lostBlocks(limit: 5) } == [])
    }

    @Test(arguments: Engine.allCases)
    func damagedReleasesAreListedUntilTheyAreHealed(_ engine: Engine) throws {
        let store = try engine.make()
        let (one, two) = (Samples.digest(1), Samples.digest(2))
        let row = Samples.release(one, of: Samples.package("roads"))
        let damage = DamageRow(release: one, found: Samples.start, what: "segment 1 is damaged at byte 20")
        try store.write {
            try $0.insert(row)
            try $0.put(DamageRow(release: two, found: Samples.start, what: "b"))
            try $0.put(damage)
            try $0.place(
                one, document: Samples.place(7), table: [Samples.place(8)], pages: [Samples.place(9), Samples.place(10)])
        }
        try store.read { store throws in
            #expect(try store.damages().map(\.release) == [one, two].sorted())
            #expect(try store.damage(of: one) == damage)
            let placed = try #require(try store.release(one))
            #expect(placed.document == Samples.place(7))
            #expect(placed.table == [Samples.place(8)])
            #expect(placed.pages == [Samples.place(9), Samples.place(10)])
            #expect(placed.release == row.release)
        }
        try store.write { try $0.removeDamage(one) }
        #expect(try store.read { try $0.damages().map(\.release) } == [two])
    }
}
