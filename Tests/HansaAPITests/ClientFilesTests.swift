import CLinux
import FakeNode
import Glibc
import HansaCore
import HansaNode
import Testing

@testable import HansaAPI

struct ClientFilesTests {
    // MARK: Listing

    @Test func aListingShowsWhatStandsAndFollowsNoLink() throws {
        let directory = TemporaryDirectory()
        directory.file("a.csv", "12345")
        directory.file("sub/deep/b.csv")
        directory.file(".git/objects/x")
        symlink("/etc", directory.path + "/link")
        mkfifo(directory.path + "/pipe", 0o644)
        let listing = try DirectoryWalker(entersHidden: false).list(directory.path, number: 0, derivedName: nil)
        let kinds = Dictionary(uniqueKeysWithValues: listing.entries.map { ($0.path, $0.kind) })
        #expect(
            kinds == [
                "a.csv": .file, "sub": .directory, "sub/deep": .directory, "sub/deep/b.csv": .file, ".git": .directory,
                "link": .symlink,
                "pipe": .other,
            ])
        let file = try #require(listing.entries.first { $0.path == "a.csv" })
        var status = stat()
        lstat(directory.path + "/a.csv", &status)
        #expect(file.size == 5 && file.inode == UInt64(status.st_ino) && file.device == UInt64(status.st_dev))
        #expect(file.modified == Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
        // A file written after this listing began has a change time that is not before it.
        directory.file("later")
        lstat(directory.path + "/later", &status)
        #expect(Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec) >= listing.listedAt)
    }

    @Test func manyPathsAreResolvedAsEachOfThem() {
        let directory = TemporaryDirectory()
        for name in ["a/one", "a/two", "b/one"] { directory.file(name + "/x") }
        symlink("a", directory.path + "/link")
        symlink("../b/one", directory.path + "/a/other")
        symlink("nowhere", directory.path + "/a/broken")
        var resolver = UserPath.Resolver()
        for path in [
            "a/one", "a/two", "b/one", "link/one", "link/two", "a/other", "link/other", "a/broken", "a/none", "none/one",
            "a/one/",
            "a//one", "a/.", "a/..", "a/../b/one", "link", "a/one/x/", "a/one/x/y",
        ] {
            let whole = "\(directory.path)/\(path)"
            #expect(resolver.resolved(whole) == UserPath.resolved(whole), "\(path)")
        }
        for path in ["", ".", "..", "/", "//", "/etc", "Sources", "./Sources", "none"] {
            #expect(resolver.resolved(path) == UserPath.resolved(path), "\(path)")
        }
    }

    @Test func hiddenDirectoriesAreEnteredWhereEverythingCounts() throws {
        let directory = TemporaryDirectory()
        directory.file("data/.hidden/x")
        let listing = try DirectoryWalker(entersHidden: true).list(directory.path, number: 0, derivedName: nil)
        #expect(Set(listing.entries.map(\.path)) == ["data", "data/.hidden", "data/.hidden/x"])
    }

    @Test func aNameThatIsNotUTF8IsRefusedWithItsPlace() {
        let directory = TemporaryDirectory()
        let name: [CChar] = (directory.path + "/a").utf8CString.dropLast() + [CChar(bitPattern: 0xFF), 0]
        close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644))
        let fault = problem { _ = try DirectoryWalker(entersHidden: false).list(directory.path, number: 0, derivedName: nil) }
        #expect(fault?.code == .fileUnsafe && fault?.message.contains(directory.path) == true)
        unlink(name)
    }

    @Test func aDirectoryDeeperThanTheLimitIsRefused() {
        let directory = TemporaryDirectory()
        directory.file(Array(repeating: "d", count: DirectoryWalker.depthMax + 2).joined(separator: "/") + "/x")
        #expect(
            problem { _ = try DirectoryWalker(entersHidden: false).list(directory.path, number: 0, derivedName: nil) }?.code
                == .limitExceeded)
    }

    @Test func whatIsNoDirectoryIsToldSo() {
        let directory = TemporaryDirectory()
        let file = directory.file("a")
        #expect(
            problem { _ = try DirectoryWalker(entersHidden: false).list(file, number: 0, derivedName: nil) }?.message.hasSuffix(
                "is no directory") == true)
        #expect(
            problem { _ = try ListedDirectories(reading: directory.path + "/none", entersHidden: false) }?.code == .fileUnreadable
        )
    }

    // MARK: Names

    @Test func namesComeFromTheOptionTheBaseOrTheParent() throws {
        let directory = TemporaryDirectory()
        let roads = directory.directory("data/roads")
        let breaks = directory.directory("data/water/Main Breaks")
        func names(_ directories: [String], name: String? = nil, base: String? = nil) throws -> [String?] {
            try ListedDirectories(publishing: directories, name: name, base: base).items.map(\.derivedName)
        }
        #expect(try names([roads]) == ["roads"])
        #expect(try names([roads + "/"], name: "other/name") == ["other/name"])
        #expect(try names([roads], base: directory.path) == ["data/roads"])
        #expect(try names([roads], base: directory.path + "/") == ["data/roads"])
        // A name that fits no package is refused by the node, with a suggestion, unless datapackage.json gives another.
        #expect(try names([roads, breaks]) == ["roads", "Main Breaks"])
        #expect(problem { _ = try names([roads, breaks], name: "x") }?.code == .usage)
        #expect(problem { _ = try names([roads], base: directory.path + "/data/water") }?.code == .usage)
        #expect(problem { _ = try names([roads, directory.path + "/data/../data/roads"]) }?.code == .usage)
    }

    // MARK: Publishing

    @Test func filesArriveByDescriptorFromManyDirectories() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        let directories = (0..<150).map { number in
            directory.file("p\(number)/a.csv", "content \(number)")
            directory.file("p\(number)/sub/b.csv", "more \(number)")
            return directory.path + "/p\(number)"
        }
        let files = try ListedDirectories(publishing: directories, name: nil, base: nil)
        let document = try fixture.client().run(.packagePublish(PublishOptions()), files: .listed(files))
        #expect(document["packages"]?.array?.count == 150)
        #expect(fixture.services.published.count == 300)
        for number in 0..<150 {
            #expect(fixture.services.published["\(number)/a.csv"] == Array("content \(number)".utf8))
            #expect(fixture.services.published["\(number)/sub/b.csv"] == Array("more \(number)".utf8))
        }
    }

    @Test func aDirectoryThatCannotBeListedLeavesTheOthers() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        directory.file("a/x", "1")
        directory.file("b/x", "2")
        directory.file("c/x", "3")
        let paths = ["a", "b", "none", "c", "file"].map { directory.path + "/" + $0 }
        directory.file("file")
        let name: [CChar] = (directory.path + "/b/n").utf8CString.dropLast() + [CChar(bitPattern: 0xFF), 0]
        close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644))
        defer { unlink(name) }
        let files = try ListedDirectories(publishing: paths, name: nil, base: nil)
        let request = AdminRequest.packagePublish(PublishOptions())
        let document = try fixture.client().run(request, files: .listed(files))
        let codes = document["packages"]?.array?.map { $0["error"]?["code"]?.string }
        #expect(codes == [nil, "H306", "H307", nil, "H307"])
        #expect(ExitRule.exit(for: request, document) == .partlyDone)
        #expect(fixture.services.published == ["0/x": Array("1".utf8), "3/x": Array("3".utf8)])
        // Alone, it is the command's own failure.
        let alone = try ListedDirectories(publishing: [paths[1]], name: nil, base: nil)
        #expect(problem { _ = try fixture.client().run(request, files: .listed(alone)) }?.code == .fileUnsafe)
    }

    /// Several threads list, and what they find comes in the order asked for.
    @Test func manyDirectoriesAreListedInTheirOrder() throws {
        let directory = TemporaryDirectory()
        let paths = (0..<3300).map { number in
            let path = "\(directory.path)/\(number % 7)/p\(number)"
            if number != 1500 { directory.file("\(number % 7)/p\(number)/f\(number)") }
            return path
        }
        let files = try ListedDirectories(publishing: paths, name: nil, base: directory.path)
        var listings: [DirectoryListing] = []
        while true {
            let batch = try ListingCodec.decode(files.nextListings {})
            if batch.isEmpty { break }
            listings += batch
        }
        #expect(listings.map(\.number) == Array(0..<3300))
        #expect(listings[1500].fault?.code == .fileUnreadable)
        for (number, listing) in listings.enumerated() where number != 1500 {
            #expect(listing.path == paths[number] && listing.entries.map(\.path) == ["f\(number)"])
        }
        // Whoever has enough leaves no lister behind that waits for ever.
        _ = try ListedDirectories(publishing: paths, name: nil, base: directory.path).nextListings {}
    }

    @Test func aListingOfManyThousandFilesComesInParts() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        let name = String(repeating: "n", count: 200)
        for number in 0..<6000 { directory.file("p/\(name)\(number)", "") }
        let files = try ListedDirectories(publishing: [directory.path + "/p"], name: nil, base: nil)
        #expect(try fixture.client().run(.packagePublish(PublishOptions()), files: .listed(files))["files"] == 6000)
    }

    @Test func aFileThatBecameALinkOrAPipeIsNotOpened() throws {
        let directory = TemporaryDirectory()
        directory.file("p/a")
        directory.file("p/sub/b")
        let files = try ListedDirectories(publishing: [directory.path + "/p"], name: nil, base: nil)
        symlink("/etc/passwd", directory.path + "/p/link")
        symlink("/etc", directory.path + "/p/etc")
        mkfifo(directory.path + "/p/pipe", 0o644)
        for path in ["link", "etc/passwd", "pipe", "sub"] {
            let fault = problem { _ = try files.open([ListedFile(directory: 0, path: path)]) }
            #expect(fault?.code == .fileUnsafe, "\(path): \(fault?.message ?? "opened")")
        }
        #expect(problem { _ = try files.open([ListedFile(directory: 0, path: "gone")]) }?.code == .fileChanged)
        #expect(problem { _ = try files.open([ListedFile(directory: 7, path: "a")]) }?.code == .adminProtocol)
        let opened = try files.open([ListedFile(directory: 0, path: "sub/b"), ListedFile(directory: 0, path: "a")])
        #expect(opened.map { TemporaryDirectory.text($0) } == ["x", "x"])
        for descriptor in opened { close(descriptor) }
    }

    // MARK: What a hostile client may send

    /// Answers the node's first ask with one listing and its second with these descriptors.
    private func publish(_ descriptors: [CInt], count: Int? = nil, path: String = "/data/p") throws -> Problem? {
        let fixture = try ServerFixture()
        let channel = fixture.connection()
        try channel.send(.request, try AdminRequest.packagePublish(PublishOptions()).encoded(), within: 1000)
        #expect(try channel.receive(within: 5000)?.type == .nextListings)
        let entry = FileStat(path: "a", kind: .file, size: 1, modified: 0, changed: 0, inode: 1, device: 1)
        let listing = DirectoryListing(number: 0, path: path, derivedName: "p", listedAt: 0, entries: [entry])
        for part in PartCodec.split(ListingCodec.encode([listing])) { try channel.send(.listings, part, within: 1000) }
        let next = try #require(try channel.receive(within: 5000))
        if next.type == .problem { return try ProblemCodec.decode(next.body) }
        #expect(next.type == .openListed)
        try channel.send(.descriptors, DescriptorCount.body(count ?? descriptors.count), descriptors: descriptors, within: 1000)
        while let frame = try channel.receive(within: 5000) {
            if frame.type == .problem { return try ProblemCodec.decode(frame.body) }
            if frame.type == .nextListings { return nil }
        }
        return nil
    }

    @Test func onlyRegularFilesOpenForReadingAreTaken() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("a")
        mkfifo(directory.path + "/pipe", 0o644)
        var hostile: [String: CInt] = [
            "fifo": open(directory.path + "/pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC),
            "directory": open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
            "device": open("/dev/zero", O_RDONLY | O_CLOEXEC),
            "writing": open(path, O_WRONLY | O_CLOEXEC),
            // O_PATH, which Swift's Glibc does not name.
            "path": open(path, 0o10000000 | O_CLOEXEC), "event": hansa_event(),
        ]
        if let (near, far) = UnixSocket.pair() {
            hostile["socket"] = near
            close(far)
        }
        for (name, descriptor) in hostile {
            #expect(try publish([descriptor])?.code == .fileUnsafe, "\(name)")
            close(descriptor)
        }
        let good = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(good) }
        #expect(try publish([good]) == nil)
        #expect(try publish([])?.code == .adminProtocol)
        #expect(try publish([good, good])?.code == .adminProtocol)
        #expect(try publish([good], count: 2)?.code == .adminProtocol)
    }

    @Test func refusedDescriptorsAreClosed() throws {
        var ends: [CInt] = [0, 0]
        pipe(&ends)
        #expect(try publish([ends[1]])?.code == .fileUnsafe)
        close(ends[1])
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0)
        close(ends[0])
    }

    @Test func aListingOutOfOrderOrOfARelativePathIsRefused() throws {
        #expect(try publish([], path: "data/p")?.code == .adminProtocol)
        let fixture = try ServerFixture()
        let channel = fixture.connection()
        try channel.send(.request, try AdminRequest.packagePublish(PublishOptions()).encoded(), within: 1000)
        _ = try channel.receive(within: 5000)
        let listing = DirectoryListing(number: 1, path: "/p", derivedName: nil, listedAt: 0, entries: [])
        try channel.send(.listings, [0] + ListingCodec.encode([listing]), within: 1000)
        let frame = try #require(try channel.receive(within: 5000))
        #expect(frame.type == .problem)
    }

    // MARK: The home

    @Test func theHomeAndItsKeysAreNeverPublished() throws {
        let home = TemporaryDirectory()
        home.file("keys/officer.pem", "SECRET")
        home.file("data/p/a")
        let session = try LocalSession(services: FakeServices(), home: home.path)
        defer { session.close(waitingSeconds: 10) }
        func publish(_ path: String) throws -> Problem? {
            let files = try ListedDirectories(publishing: [path], name: "p", base: nil)
            return problem { _ = try session.client.run(.packagePublish(PublishOptions()), files: .listed(files)) }
        }
        #expect(try publish(home.path)?.code == .fileUnsafe)
        #expect(try publish(home.path + "/keys")?.code == .fileUnsafe)
        #expect(try publish(home.path + "/data/p")?.code == .fileUnsafe)

        // By another way: a hard link, and a directory that holds the home.
        let outside = TemporaryDirectory()
        outside.directory("q")
        if link(home.path + "/keys/officer.pem", outside.path + "/q/innocent.csv") == 0 {
            #expect(try publish(outside.path + "/q")?.code == .fileUnsafe)
        }
        let holder = TemporaryDirectory()
        holder.file("all/home/keys/officer.pem")
        let inner = try LocalSession(services: FakeServices(), home: holder.path + "/all/home")
        defer { inner.close(waitingSeconds: 10) }
        let files = try ListedDirectories(publishing: [holder.path + "/all"], name: "p", base: nil)
        #expect(
            problem { _ = try inner.client.run(.packagePublish(PublishOptions()), files: .listed(files)) }?.code == .fileUnsafe)
    }

    // MARK: Checkout

    private static let checkout = AdminRequest.packageCheckout(
        reference: "a.b/c", payload: false, purpose: nil, force: false, dryRun: false)

    @Test func aCheckoutWritesWholeFilesAndTheSecondWritesNothing() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        let target = CheckoutTarget(directory: directory.path + "/new/target")
        #expect(try fixture.client().run(Self.checkout, files: .target(target))["written"] == 2)
        #expect(directory.text("new/target/data/a.csv") == "a\n1\n")
        #expect(directory.text("new/target/bagit.txt") == "BagIt-Version: 1.0\n")
        let again = CheckoutTarget(directory: directory.path + "/new/target")
        #expect(try fixture.client().run(Self.checkout, files: .target(again))["written"] == 0)
    }

    @Test func filesThatANewVersionLacksGoAndSoDoEmptyDirectories() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        directory.file("data/old/deep/x")
        directory.file("data/kept.by.user")
        directory.file("mine.txt")
        let target = CheckoutTarget(directory: directory.path)
        _ = try fixture.client().run(Self.checkout, files: .target(target))
        #expect(directory.names == ["bagit.txt", "data", "mine.txt"])
        #expect(directory.text("data/old/deep/x") == nil)
        var status = stat()
        #expect(lstat(directory.path + "/data/old", &status) != 0)
    }

    @Test func aDryRunMakesNothing() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        let target = CheckoutTarget(directory: directory.path + "/new")
        let request = AdminRequest.packageCheckout(reference: "a.b/c", payload: false, purpose: nil, force: false, dryRun: true)
        #expect(try fixture.client().run(request, files: .target(target))["written"] == 2)
        #expect(directory.names.isEmpty)
    }

    @Test func aCheckoutThatFailsHalfwayLeavesNothing() throws {
        var script = FakeServices.Script()
        script.problems["package checkout halfway"] = Problem(.contentDamaged, "a chunk is damaged")
        let fixture = try ServerFixture(FakeServices(script))
        let directory = TemporaryDirectory()
        directory.file("bagit.txt", "old")
        let target = CheckoutTarget(directory: directory.path)
        #expect(problem { _ = try fixture.client().run(Self.checkout, files: .target(target)) }?.code == .contentDamaged)
        #expect(directory.text("bagit.txt") == "old")
        let left = try DirectoryWalker(entersHidden: true).list(directory.path, number: 0, derivedName: nil)
        #expect(left.entries.filter { $0.kind == .file }.map(\.path) == ["bagit.txt"])
    }

    @Test func linksInsideTheTargetAreNeverFollowed() throws {
        let fixture = try ServerFixture()
        let outside = TemporaryDirectory()
        let directory = TemporaryDirectory()
        symlink(outside.path, directory.path + "/data")
        let target = CheckoutTarget(directory: directory.path)
        #expect(problem { _ = try fixture.client().run(Self.checkout, files: .target(target)) }?.code == .fileUnsafe)
        #expect(outside.names.isEmpty)

        // A link where a file belongs is replaced itself; what it points at stays as it was.
        let victim = outside.file("victim", "old")
        unlink(directory.path + "/data")
        symlink(victim, directory.path + "/bagit.txt")
        _ = try fixture.client().run(Self.checkout, files: .target(CheckoutTarget(directory: directory.path)))
        #expect(outside.text("victim") == "old")
        #expect(directory.text("bagit.txt") == "BagIt-Version: 1.0\n")
    }

    @Test func aDirectoryWhereAFileBelongsIsLeftAlone() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        directory.file("bagit.txt/mine")
        let target = CheckoutTarget(directory: directory.path)
        #expect(problem { _ = try fixture.client().run(Self.checkout, files: .target(target)) }?.code == .checkoutModified)
        #expect(directory.text("bagit.txt/mine") == "x")
    }

    @Test func aTargetWithoutRoomOrRightsFailsWithoutAHalfWrittenFile() throws {
        let fixture = try ServerFixture()
        let directory = TemporaryDirectory()
        directory.file("data", "a file where a directory belongs")
        let target = CheckoutTarget(directory: directory.path)
        #expect(problem { _ = try fixture.client().run(Self.checkout, files: .target(target)) }?.code == .fileUnsafe)
        #expect(directory.names == ["data"])
    }

    @Test func whatAKilledCheckoutLeftIsNoChangeOfTheUser() throws {
        let directory = TemporaryDirectory()
        // Above Linux's largest process id, and our own.
        let dead = ".hansa-4194305-1.tmp"
        let living = ".hansa-\(getpid())-2.tmp"
        for name in [dead, "data/" + dead, living, ".hansa-notes"] { directory.file(name) }
        let dry = CheckoutTarget(directory: directory.path, changesNothing: true)
        #expect(Set(try dry.listing(of: "").entries.map(\.path)) == [".hansa-notes", "data"])
        #expect(directory.names.contains(dead))
        let target = CheckoutTarget(directory: directory.path)
        #expect(Set(try target.listing(of: "").entries.map(\.path)) == [".hansa-notes", "data"])
        #expect(directory.names == [living, ".hansa-notes", "data"].sorted())
        #expect(directory.text("data/" + dead) == nil)
    }

    @Test func nothingIsCheckedOutIntoTheHome() throws {
        let directory = TemporaryDirectory()
        let home = directory.directory("home")
        directory.directory("home/keys")
        symlink(home, directory.path + "/link")
        for below in ["/home", "/home/keys", "/home/new/deep", "/link/new", "/elsewhere/../home/x"] {
            #expect(
                problem { _ = try CheckoutTarget(directory: directory.path + below, outside: home) }?.code == .fileUnsafe,
                "\(below)"
            )
        }
        for below in ["", "/homestead", "/elsewhere"] { _ = try CheckoutTarget(directory: directory.path + below, outside: home) }
    }

    @Test func twoCheckoutsDoNotWorkInOneDirectory() throws {
        let directory = TemporaryDirectory()
        let first = CheckoutTarget(directory: directory.path)
        _ = try first.listing(of: "")
        #expect(problem { _ = try CheckoutTarget(directory: directory.path).listing(of: "") }?.exit == .conflict)
        // A dry run looks on.
        _ = try CheckoutTarget(directory: directory.path, changesNothing: true).listing(of: "")
        first.finish()
        _ = try CheckoutTarget(directory: directory.path).listing(of: "")
    }

    @Test func manyFilesAreCommittedTogether() throws {
        var script = FakeServices.Script()
        script.checkoutFiles = Dictionary(
            uniqueKeysWithValues: (0..<500).map { ("data/d\($0 % 80)/f\($0)", Array("\($0)".utf8)) })
        let fixture = try ServerFixture(FakeServices(script))
        let directory = TemporaryDirectory()
        #expect(
            try fixture.client().run(Self.checkout, files: .target(CheckoutTarget(directory: directory.path)))["files"] == 500
        )
        for number in 0..<500 { #expect(directory.text("data/d\(number % 80)/f\(number)") == "\(number)") }
    }

    // MARK: A node that asks too much

    @Test func aNodeGetsOnlyWhatTheCommandOffers() throws {
        let (near, far) = try #require(UnixSocket.pair())
        let client = AdminClient(FrameChannel(owning: near))
        let node = FrameChannel(owning: far)
        for ask in [Ask.nextListings, .create(["a"]), .openListed([ListedFile(directory: 0, path: "a")]), .remove(["a"])] {
            try node.send(ask.type, ask.body, within: 1000)
        }
        try node.send(.result, [0] + DocumentCodec.encode(["schema": "x"]), within: 1000)
        #expect(try client.run(.status)["schema"] == "x")
        #expect(try node.receive(within: 1000)?.type == .request)
        for _ in 0..<4 { #expect(try node.receive(within: 1000)?.type == .refusal) }
    }

    @Test func aNodeThatNamesAPathOutsideIsNotServed() throws {
        let (near, far) = try #require(UnixSocket.pair())
        let client = AdminClient(FrameChannel(owning: near))
        let node = FrameChannel(owning: far)
        var writer = ByteWriter()
        writer.varint(1)
        writer.prefixed("../evil")
        try node.send(.create, writer.bytes, within: 1000)
        let directory = TemporaryDirectory()
        let target = CheckoutTarget(directory: directory.directory("target"))
        #expect(problem { _ = try client.run(Self.checkout, files: .target(target)) }?.code == .adminProtocol)
        #expect(directory.names == ["target"])
    }
}
