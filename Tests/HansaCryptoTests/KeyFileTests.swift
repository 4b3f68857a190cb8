import Foundation
import HansaCrypto
import Testing

@Suite final class KeyFileTests {
    let directory: String

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "hansa-keyfile-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func permissions(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test func aKeyIsReadAsItWasWrittenAndOnlyItsOwnerMay() throws {
        let path = directory + "/package.pem"
        let pem = Ed25519PrivateKey.generate().pem()
        try KeyFile.create(path: path, contents: pem)
        #expect(try KeyFile.read(path: path) == pem)
        #expect(try permissions(path) == 0o600)
    }

    @Test func anExistingFileIsNeverOverwritten() throws {
        let path = directory + "/key.pem"
        try KeyFile.create(path: path, contents: [1])
        #expect(throws: KeyFileFault.exists(path: path)) { try KeyFile.create(path: path, contents: [2]) }
        #expect(try KeyFile.read(path: path) == [1])
    }

    @Test func aDanglingLinkIsNotWrittenThrough() throws {
        let path = directory + "/link.pem"
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory + "/elsewhere")
        #expect(throws: KeyFileFault.exists(path: path)) { try KeyFile.create(path: path, contents: [2]) }
        #expect(!FileManager.default.fileExists(atPath: directory + "/elsewhere"))
    }

    @Test func aLinkIsNotRead() throws {
        let path = directory + "/key.pem"
        try KeyFile.create(path: path, contents: [1])
        let link = directory + "/link.pem"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        #expect(throws: KeyFileFault.symbolicLink(path: link)) { try KeyFile.read(path: link) }
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
    func aFileOpenToOthersIsRefused(mode: Int) throws {
        let path = directory + "/key.pem"
        try KeyFile.create(path: path, contents: [1])
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        #expect(throws: KeyFileFault.openToOthers(path: path, mode: UInt32(mode))) { try KeyFile.read(path: path) }
    }

    @Test func whatIsNoOrdinaryFileIsRefusedWithoutWaiting() throws {
        let pipe = directory + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(throws: KeyFileFault.notRegular(path: pipe)) { try KeyFile.read(path: pipe) }
        #expect(throws: KeyFileFault.notRegular(path: directory)) { try KeyFile.read(path: directory) }
    }

    @Test func aMissingFileAndAMissingDirectorySayWhatFailed() throws {
        let path = directory + "/none/key.pem"
        #expect(throws: KeyFileFault.system(call: "open", path: path, code: ENOENT)) { try KeyFile.read(path: path) }
        #expect(throws: KeyFileFault.system(call: "create", path: path, code: ENOENT)) {
            try KeyFile.create(path: path, contents: [])
        }
    }

    @Test func aFileLargerThanAnyKeyIsRefused() throws {
        let path = directory + "/big.pem"
        try KeyFile.create(path: path, contents: [UInt8](repeating: 0, count: KeyFile.bytesMax + 1))
        #expect(throws: KeyFileFault.tooLarge(path: path, bytes: Int64(KeyFile.bytesMax + 1))) { try KeyFile.read(path: path) }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root, to give a file away"))
    func rootReadsAnyonesKeys() throws {
        let path = directory + "/key.pem"
        try KeyFile.create(path: path, contents: [1])
        #expect(chown(path, 12_345, 12_345) == 0)
        #expect(try KeyFile.read(path: path) == [1])
    }
}
