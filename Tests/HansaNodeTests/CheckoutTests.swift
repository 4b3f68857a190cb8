import Foundation
import HansaCore
import HansaNode
import Testing

struct CheckoutTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func publish(_ name: String, _ files: [String: String]) throws {
        for (path, text) in files { try data.write("\(name)/\(path)", text) }
        try home.publish([data.path + "/" + name], name: name)
    }

    @Test func aCheckoutVerifiesAndIsDoneOnce() throws {
        try publish("roads", ["x.csv": "a,b\n1,2\n", "sub/y.csv": "c\n3\n"])
        let target = Folder()
        let first = try home.checkout("kitchener.ca/roads", into: target)
        #expect(first["files"] == 2 && first["written"]?.integer ?? 0 > 2 && target.text("data/sub/y.csv") == "c\n3\n")
        #expect(try home.verify(target.path)["valid"] == true)
        #expect(try home.checkout("kitchener.ca/roads", into: target)["written"] == 0)
        try target.write("data/x.csv", "a,b\n1,3\n")
        #expect(try home.verify(target.path)["valid"] == false)
    }

    @Test func aNewVersionTouchesOnlyWhatChanged() throws {
        try publish("roads", ["x.csv": "a\n1\n", "y.csv": "b\n2\n", "z.csv": "c\n3\n"])
        let target = Folder()
        try home.checkout("kitchener.ca/roads", into: target, payload: true)
        #expect(target.files == ["x.csv", "y.csv", "z.csv"])
        var before = stat()
        stat(target.path + "/y.csv", &before)
        try data.remove("roads/z.csv")
        try publish("roads", ["x.csv": "a\n9\n"])
        let document = try home.checkout("kitchener.ca/roads", into: target, payload: true)
        #expect(document["written"] == 1 && document["removed"] == 1 && target.files == ["x.csv", "y.csv"])
        var after = stat()
        stat(target.path + "/y.csv", &after)
        #expect(before.st_ino == after.st_ino)
        // And back.
        try home.checkout("kitchener.ca/roads@1.0.0", into: target, payload: true)
        #expect(target.text("x.csv") == "a\n1\n" && target.text("z.csv") == "c\n3\n")
    }

    /// Large files take what did not change from the version that stands there.
    @Test(arguments: ["on top", "within", "at the end", "half of it"]) func aNewVersionOfALargeFileIsMadeOfTheOldOne(
        change: String
    ) throws {
        var lines = (0..<400_000).map { "\($0),station \($0 % 97),\($0 &* 7919 % 100_003)" }
        let target = Folder()
        func text() -> String { "id,station,reading\n" + lines.joined(separator: "\n") + "\n" }
        let first = text()
        try publish("roads", ["x.csv": first])
        try home.checkout("kitchener.ca/roads", into: target, payload: true)
        #expect(target.text("x.csv") == first)
        switch change {
        case "on top": lines.insert("999999,new,1", at: 0)
        case "within": for number in stride(from: 100, to: 400_000, by: 9973) { lines[number] += "7" }
        case "at the end": lines += (0..<1000).map { "\($0 + 400_000),new,\($0)" }
        default: lines.removeFirst(200_000)
        }
        try publish("roads", ["x.csv": text()])
        #expect(try home.checkout("kitchener.ca/roads", into: target, payload: true)["written"] == 1)
        #expect(target.text("x.csv") == text())
        #expect(try home.checkout("kitchener.ca/roads", into: target, payload: true)["written"] == 0)
        // And back, from the newer one.
        try home.checkout("kitchener.ca/roads@1.0.0", into: target, payload: true)
        #expect(target.text("x.csv") == first)
        // What is remembered of the file says nothing once it is another.
        try target.write("x.csv", "0" + first.dropFirst())
        #expect(problem { try home.checkout("kitchener.ca/roads", into: target, payload: true) }?.exit == .conflict)
    }

    @Test func whatTheUserChangedIsNotOverwrittenWithoutForce() throws {
        try publish("roads", ["x.csv": "a\n1\n"])
        let target = Folder()
        try home.checkout("kitchener.ca/roads", into: target)
        try target.write("data/x.csv", "mine")
        try target.write("data/notes.txt", "mine too")
        #expect(problem { try home.checkout("kitchener.ca/roads", into: target) }?.exit == .conflict)
        #expect(target.text("data/x.csv") == "mine")
        try home.checkout("kitchener.ca/roads", into: target, force: true)
        #expect(target.text("data/x.csv") == "a\n1\n" && target.text("data/notes.txt") == "mine too")
    }

    @Test func aDryRunWritesNothing() throws {
        try publish("roads", ["x.csv": "a\n1\n"])
        let target = Folder()
        #expect(try home.checkout("kitchener.ca/roads", into: target, dryRun: true)["written"]?.integer ?? 0 > 0)
        #expect(target.files.isEmpty)
    }

    @Test func aPatternChecksOutEachPackageBelowTheDirectory() throws {
        try publish("roads/a", ["x.csv": "a\n1\n"])
        try publish("roads/b", ["x.csv": "a\n2\n"])
        try publish("water", ["x.csv": "a\n3\n"])
        let target = Folder()
        let document = try home.checkout("kitchener.ca/roads/*", into: target)
        #expect(document["packages"]?.array?.map { $0["directory"]?.string } == ["roads/a", "roads/b"])
        #expect(target.text("roads/b/data/x.csv") == "a\n2\n" && target.text("water/data/x.csv") == nil)
        #expect(try home.verify(target.path + "/roads/a")["valid"] == true)
        #expect(problem { try home.checkout("kitchener.ca/none/*", into: target) }?.code == .packageUnknown)
    }

    /// Many small packages are written together, and what was written is known again without a look at its bytes.
    @Test(arguments: [true, false]) func whatThisNodeWroteIsNotReadAgain(payload: Bool) throws {
        for number in 0..<90 {
            try data.write("many/p\(number)/x.csv", "id,value\n\(number),1\n")
            try data.write("many/p\(number)/y.csv", "id,value\n\(number),2\n")
        }
        try home.publish((0..<90).map { "\(data.path)/many/p\($0)" })
        let target = Folder()
        func checkout(force: Bool = false) throws -> (written: Int, opened: Int, listings: Int, commits: Int) {
            let sink = FolderSink(target.path)
            let document = try home.checkout("kitchener.ca/**", into: sink, payload: payload, force: force)
            let written = document["packages"]?.array?.reduce(0) { $0 + ($1["written"]?.integer.map(Int.init) ?? 0) }
            return (written ?? 0, sink.opened.count, sink.listings, sink.commits)
        }
        let first = try checkout()
        #expect(first.written == 90 * (payload ? 2 : 8) && first.listings == 1 && first.commits < 10)
        for number in [0, 41, 89] {
            let path = "p\(number)" + (payload ? "" : "/data")
            #expect(target.text("\(path)/y.csv") == "id,value\n\(number),2\n")
            if !payload { #expect(try home.verify("\(target.path)/p\(number)")["valid"] == true) }
        }
        let again = try checkout()
        #expect(again.written == 0 && again.opened == 0)
        // New versions of two of them: of the rest nothing is read, of these no more than is written.
        for number in [3, 70] { try data.write("many/p\(number)/x.csv", "id,value\n\(number),9\n") }
        try home.publish([3, 70].map { "\(data.path)/many/p\($0)" })
        let third = try checkout()
        #expect(third.opened == 0 && third.written > 0)
        #expect(target.text("p70" + (payload ? "" : "/data") + "/x.csv") == "id,value\n70,9\n")
        // As long as before, and with the time it had: it was touched all the same.
        let path = "\(target.path)/p5" + (payload ? "" : "/data") + "/x.csv"
        var before = stat()
        stat(path, &before)
        let file = open(path, O_WRONLY | O_CLOEXEC)
        #expect(pwrite(file, "8", 1, 9) == 1)
        var times = [before.st_atim, before.st_mtim]
        futimens(file, &times)
        close(file)
        #expect(problem { _ = try checkout() }?.code == .checkoutModified)
        // With --force everything is looked at.
        let forced = try checkout(force: true)
        #expect(forced.written == 1 && forced.opened == 90 * (payload ? 2 : 8))
        #expect(target.text("p5" + (payload ? "" : "/data") + "/x.csv") == "id,value\n5,1\n")
    }
}
