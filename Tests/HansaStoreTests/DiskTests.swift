import Foundation
import HansaStore
import HansaTestSupport
import Testing

@Suite struct DiskTests {
    @Test(arguments: DiskKind.allCases) func aFileReadsBackWhatWasWrittenInParts(kind: DiskKind) throws {
        try kind.with { disk in
            let file = try disk.create("a")
            let head: [UInt8] = [1, 2, 3]
            let body = [UInt8](repeating: 9, count: 100_000)
            try head.withUnsafeBytes { first in
                try body.withUnsafeBytes { second in
                    try file.write([first, UnsafeRawBufferPointer(start: nil, count: 0), second], at: 0)
                }
            }
            try file.sync()
            #expect(try file.size() == 100_003)
            #expect(try disk.read("a", bytesMax: 200_000) == head + body)
            #expect(try file.read(at: 100_000, 10) == [9, 9, 9])
            #expect(try file.read(at: 200_000, 10) == [])
            #expect(throws: DiskFault.self) { try disk.read("a", bytesMax: 100_002) }
            var first = [UInt8](repeating: 0, count: 2)
            var second = [UInt8](repeating: 0, count: 4)
            let count = try first.withUnsafeMutableBytes { one in
                try second.withUnsafeMutableBytes { two in try file.read(into: [one, two], at: 1) }
            }
            #expect(count == 6 && first == [2, 3] && second == [9, 9, 9, 9])
        }
    }

    @Test(arguments: DiskKind.allCases) func aReservationLeavesTheLengthAlone(kind: DiskKind) throws {
        try kind.with { disk in
            let file = try disk.create("a")
            try file.write([1, 2, 3], at: 0)
            try file.reserve(1 << 20)
            #expect(try file.size() == 3)
            try file.truncate(to: 2)
            #expect(try file.size() == 2)
            file.beginWriteback(0, 2)
            #expect(try disk.freeBytes() > 0)
        }
    }

    @Test(arguments: DiskKind.allCases) func namesAreMadeRenamedListedAndRemoved(kind: DiskKind) throws {
        try kind.with { disk in
            try disk.makeDirectory("x/y")
            try disk.makeDirectory("x/y")
            for name in ["x/y/b", "x/y/a"] { _ = try disk.create(name) }
            #expect(try disk.list("x/y") == ["a", "b"])
            #expect(try disk.list("") == ["x"])
            try disk.rename("x/y/a", to: "x/y/b")
            try disk.syncDirectory("x/y")
            #expect(try disk.list("x/y") == ["b"])
            #expect(try disk.status("x/y") == DiskStatus(size: try #require(try disk.status("x/y")).size, isDirectory: true))
            #expect(try disk.status("x/y/b") == DiskStatus(size: 0, isDirectory: false))
            #expect(try disk.status("x/y/a") == nil)
            try disk.remove("x/y/b")
            #expect(try disk.list("x/y") == [])
            #expect(throws: DiskFault.self) { try disk.remove("x/y/b") }
            #expect(throws: DiskFault.self) { try disk.open("x/y/b", writable: true) }
            #expect(throws: DiskFault.self) { try disk.list("nowhere") }
            #expect(throws: DiskFault.self) { try disk.create("nowhere/a") }
        }
    }

    @Test(arguments: DiskKind.allCases) func aFileIsCreatedOnce(kind: DiskKind) throws {
        try kind.with { disk in
            _ = try disk.create("a")
            let fault = #expect(throws: DiskFault.self) { try disk.create("a") }
            guard case .exists = fault else {
                Issue.record("another fault: \(String(describing: fault))")
                return
            }
        }
    }

    @Test(arguments: DiskKind.allCases) func anAtomicWriteReplacesTheFileAndALeftoverOfACrash(kind: DiskKind) throws {
        try kind.with { disk in
            try disk.makeDirectory("log")
            try disk.writeAtomically("log/checkpoint", [1])
            try disk.create("log/checkpoint.tmp").write([7, 7], at: 0)
            try disk.writeAtomically("log/checkpoint", [2, 3])
            #expect(try disk.read("log/checkpoint", bytesMax: 10) == [2, 3])
            #expect(try disk.list("log") == ["checkpoint"])
        }
    }

    @Test func linksAreNotFollowed() throws {
        try DiskKind.posix.with { _ in }
        let root = FileManager.default.temporaryDirectory.appending(path: "hansa-links-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: root) }
        try FileManager.default.createSymbolicLink(atPath: root.path + "/link", withDestinationPath: "/etc/passwd")
        let disk = try PosixDisk(root: root.path)
        #expect(throws: DiskFault.self) { try disk.open("link", writable: false) }
        #expect(try disk.status("link")?.isDirectory == false)
        #expect(throws: DiskFault.self) { try PosixDisk(root: root.path + "/nowhere") }
    }

    @Test func aFaultSaysWhatWhereAndWhy() {
        let fault = #expect(throws: DiskFault.self) { try PosixDisk(root: "/nowhere/at/all") }
        #expect(fault?.description == "cannot open /nowhere/at/all: it does not exist")
        #expect(DiskFault.syncFailed(path: "a", code: 5).isFatal)
        #expect(DiskFault.syncFailed(path: "a", code: 5).description.contains("Input/output error"))
    }

    // MARK: - The disk that loses power

    @Test func anAtomicWriteIsOldOrNewAfterACrashAtEveryOperation() throws {
        let old: [UInt8] = Array(repeating: 1, count: 50)
        let new: [UInt8] = Array(repeating: 2, count: 80)
        var stops = 0
        for seed in UInt64(0)..<40 {
            for stop in 1...20 {
                let disk = MemoryDisk(seed: seed)
                try disk.makeDirectory("log")
                try disk.writeAtomically("log/checkpoint", old)
                disk.faults.stopAtOperation = disk.operations + stop
                var isDone = true
                do { try disk.writeAtomically("log/checkpoint", new) } catch { isDone = false }
                if !isDone { stops += 1 }
                disk.crash()
                let found = try disk.read("log/checkpoint", bytesMax: 100)
                #expect(found == new || !isDone && found == old, "seed \(seed), operation \(stop)")
                try disk.writeAtomically("log/checkpoint", old)
                #expect(try disk.read("log/checkpoint", bytesMax: 100) == old)
            }
        }
        #expect(stops >= 200)
    }

    @Test func withoutSynchronisingAnythingMayBeLost() throws {
        var outcomes: Set<Int> = []
        for seed in UInt64(0)..<60 {
            let disk = MemoryDisk(seed: seed)
            let file = try disk.create("a")
            try disk.syncDirectory("")
            try file.write([UInt8](repeating: 1, count: 10), at: 0)
            disk.crash()
            outcomes.insert(disk.contents("a")?.count ?? -1)
            #expect(throws: DiskFault.self) { try file.write([1], at: 0) }
        }
        #expect(outcomes.contains(0) && outcomes.contains(10) && outcomes.count > 4)
        #expect(!outcomes.contains(-1))
    }
}
