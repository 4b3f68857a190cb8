import Foundation
import HansaCore
import Testing

@testable import HansaNode

struct AuditTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func verify() throws -> Bool { try home.node.auditVerify(home.caller, against: nil)["valid"]?.bool ?? false }

    /// A log that has grown in steps, with a partial tile that a later one superseded.
    private func grow(_ round: Int = 0) throws {
        for number in 0..<3 {
            try data.write("p\(number)/x.csv", "a\n\(number)\n\(round)\n")
            try home.publish([data.path + "/p\(number)"])
            _ = try home.node.auditCheckpoint(home.caller)
        }
    }

    private var logFiles: [String] { Folder.files(below: home.home + "/log") }

    private func flip(_ name: String, at position: Int) throws {
        let path = home.home + "/log/" + name
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[position] ^= 1
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try handle.write(contentsOf: bytes)
        try handle.close()
    }

    @Test func aLogThatNobodyTouchedVerifies() throws {
        try grow()
        #expect(try verify())
        let checkpoint = try #require(try home.node.auditCheckpoint(home.caller)["checkpoint"]?.string)
        try grow(1)
        #expect(try home.node.auditVerify(home.caller, against: checkpoint)["valid"] == true)
        #expect(problem { _ = try home.node.auditVerify(home.caller, against: "nonsense") }?.exit == .verificationFailed)
    }

    /// With the node running: what is on disk is read before the log grows, so nothing is put right unseen.
    @Test func aFlippedByteInAnyFileIsFoundWhileTheNodeRuns() throws {
        try grow()
        // Growing would stop the process at a checkpoint that is not its own.
        home.node.keeper.stop()
        let files = logFiles
        #expect(files.count > 3, "\(files)")
        for name in files {
            let length = try Data(contentsOf: URL(fileURLWithPath: home.home + "/log/" + name)).count
            for position in [0, length / 2, length - 1] {
                try flip(name, at: position)
                #expect(try !verify(), "byte \(position) of \(name)")
                try flip(name, at: position)
            }
        }
        #expect(try verify())
    }

    /// Without a node: opening the home clears what a later growth superseded, but not what contradicts it.
    @Test func aFlippedByteInAnyFileIsFoundByACommandOfItsOwn() throws {
        var bars = 0
        var places = 0
        for place in 0..<8 {
            try grow(place)
            guard place < logFiles.count else { break }
            let name = logFiles[place]
            do {
                try home.whileClosed { try flip(name, at: 0) }
                #expect(try !verify(), "\(name) of \(logFiles)")
            } catch let fault as Problem {
                // Where the right edge itself is damaged the node does not even start.
                #expect(fault.exit == .verificationFailed, "\(name): \(fault)")
                bars += 1
            }
            try home.whileClosed { try flip(name, at: 0) }
            places += 1
        }
        #expect(try verify() && bars > 0 && places > bars)
    }

    @Test func readingTheLogIsLoggedOnceAMinute() throws {
        for _ in 0..<3 { _ = try home.node.auditLog(home.caller, filter: LogFilter(), emit: nil) }
        let reads =
            try home.node.auditLog(home.caller, filter: LogFilter(event: "audit.read"), emit: nil)["entries"]?.array?.count ?? 0
        #expect((1...2).contains(reads))
    }
}
