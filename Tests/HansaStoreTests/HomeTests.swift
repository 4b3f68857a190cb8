import Foundation
import HansaCore
import HansaStore
import Testing

@Suite struct HomeTests {
    private func mode(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func setMode(_ path: String, _ mode: Int) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    @Test func aNewHomeHasItsDirectoriesAndModes() throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path + "/home//")
        #expect(paths.home == directory.path + "/home")
        #expect(!paths.isInitialised)
        try paths.create()
        #expect(try mode(paths.home) == 0o711)
        #expect(try mode(paths.run) == 0o711)
        for path in [paths.keys, paths.keyrings, paths.partners, paths.segments, paths.log] { #expect(try mode(path) == 0o700) }
        // Again, after a creation that was cut off.
        try FileManager.default.removeItem(atPath: paths.log)
        try paths.create()
        try paths.check()
        #expect(paths.keyring(of: Samples.auckland, version: 2) == paths.home + "/partners/auckland.nz/2.dsse.json")
    }

    @Test func modesThatAreMerelyWrongAreSetRight() throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path + "/home")
        try paths.create()
        try setMode(paths.home, 0o755)
        try setMode(paths.keys, 0o755)
        try paths.check()
        #expect(try mode(paths.home) == 0o711)
        #expect(try mode(paths.keys) == 0o700)
    }

    @Test(arguments: ["home", "keys", "run", "log"])
    func aDirectoryThatOthersMayWriteIntoIsRefused(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path + "/home")
        try paths.create()
        let path = name == "home" ? paths.home : paths.home + "/" + name
        for mode in [0o720, 0o702] {
            try setMode(path, mode)
            do {
                try paths.check()
                Issue.record("accepted")
            } catch {
                guard case .unsafe(path, let why) = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect(why.contains("chmod go-w"))
            }
        }
    }

    @Test func aHomeThatIsALinkOrAFileOrMissingIsRefused() throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path + "/home")
        #expect(throws: HomeFault.missing(paths.home)) { try paths.check() }
        try HomePaths(directory.path + "/real").create()
        try FileManager.default.createSymbolicLink(atPath: paths.home, withDestinationPath: directory.path + "/real")
        #expect(throws: HomeFault.unsafe(paths.home, "it is a symbolic link, not a directory")) { try paths.check() }
        try FileManager.default.removeItem(atPath: paths.home)
        #expect(FileManager.default.createFile(atPath: paths.home, contents: nil))
        #expect(throws: HomeFault.unsafe(paths.home, "it is not a directory")) { try paths.create() }
        let lost = HomePaths(directory.path + "/no/home")
        #expect(throws: HomeFault.missing(directory.path + "/no")) { try lost.create() }
    }

    @Test func aDirectoryWithOtherFilesBecomesNoHome() throws {
        let directory = try TemporaryDirectory()
        #expect(FileManager.default.createFile(atPath: directory.path + "/notes.txt", contents: nil))
        #expect(throws: HomeFault.notEmpty(directory.path)) { try HomePaths(directory.path).create() }
        #expect(!FileManager.default.fileExists(atPath: directory.path + "/keys"))
    }

    @Test func aSecondHolderIsToldWhoHasTheHome() throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path)
        try paths.create()
        #expect(HomeLock.holder(of: paths) == nil)
        let lock = try HomeLock.acquire(paths, command: "hansa serve\u{1B}[2J", waitMilliseconds: 0)
        let pid = ProcessInfo.processInfo.processIdentifier
        do {
            _ = try HomeLock.acquire(paths, command: "hansa sync", waitMilliseconds: 1)
            Issue.record("two holders")
        } catch {
            #expect(error == HomeFault.inUse(home: paths.home, pid: pid, command: "hansa serve\u{FFFD}[2J"))
            #expect(error.description.contains("process \(pid)"))
        }
        let holder = try #require(HomeLock.holder(of: paths))
        #expect(holder.pid == pid)
        lock.release()
        lock.release()
        #expect(HomeLock.holder(of: paths) == nil)
        let next = try HomeLock.acquire(paths, command: "hansa sync", waitMilliseconds: 0)
        #expect(HomeLock.holder(of: paths)?.command == "hansa sync")
        next.release()
    }

    @Test func aHomeThatIsGoneCannotBeLocked() throws {
        let directory = try TemporaryDirectory()
        let paths = HomePaths(directory.path + "/home")
        #expect(throws: HomeFault.missing(paths.home)) { _ = try HomeLock.acquire(paths, command: "x", waitMilliseconds: 0) }
    }
}
