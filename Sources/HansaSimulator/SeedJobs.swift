// Seeds that several processes share: each runs every n-th, and says what it came to in one line. Processes and not threads: what histories remember
// of signatures and documents is not fought over, and a trap ends one of them.
internal import ArgumentParser
internal import Foundation
internal import Synchronization

/// Which of the seeds a process runs: k of n.
struct SeedPart: Equatable {
    let number: UInt64
    let count: UInt64

    static let whole = SeedPart(number: 0, count: 1)

    init(number: UInt64, count: UInt64) { (self.number, self.count) = (number, count) }

    init(_ text: String) throws {
        let words = text.split(separator: "/").map { UInt64($0) }
        guard words.count == 2, let number = words[0], let count = words[1], number < count else {
            throw ValidationError("--part is k/n, k below n")
        }
        self.init(number: number, count: count)
    }

    func contains(_ seed: UInt64) -> Bool { seed % count == number }
}

enum SeedJobs {
    /// Runs this program once for each part, passes on what they print, and adds up what they came to.
    static func run(_ jobs: Int) throws -> Tally {
        let arguments = withoutJobs(Array(CommandLine.arguments.dropFirst()))
        let results = Results()
        // Threads and not a queue's workers: those set a niceness of their own, which the process that one begins would take over.
        let done = DispatchGroup()
        for number in 0..<jobs {
            done.enter()
            Thread.detachNewThread {
                defer { done.leave() }
                do {
                    let part = try run(arguments + ["--part", "\(number)/\(jobs)"])
                    results.whole.withLock { $0.add(part) }
                } catch {
                    results.fault.withLock { $0 = error }
                }
            }
        }
        done.wait()
        if let error = results.fault.withLock({ $0 }) { throw error }
        return results.whole.withLock { $0 }
    }

    private final class Results: Sendable {
        let whole = Mutex(Tally())
        let fault = Mutex<(any Error)?>(nil)
    }

    private static func run(_ arguments: [String]) throws -> Tally {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe")
        process.arguments = arguments
        process.standardOutput = pipe
        try process.run()
        var tally: Tally?
        var rest = Data()
        while true {
            let data = pipe.fileHandleForReading.availableData
            if data.isEmpty { break }
            rest.append(data)
            while let end = rest.firstIndex(of: 10) {
                let line = String(decoding: rest[rest.startIndex..<end], as: UTF8.self)
                rest = Data(rest[(end + 1)...])
                if let whole = Tally(line: line) { tally = whole } else { write(line) }
            }
        }
        process.waitUntilExit()
        if let tally { return tally }
        var trapped = Tally()
        trapped.trapped = 1
        return trapped
    }

    private static func withoutJobs(_ arguments: [String]) -> [String] {
        var kept: [String] = []
        var isValue = false
        for argument in arguments {
            if !isValue, argument != "--jobs", !argument.hasPrefix("--jobs=") { kept.append(argument) }
            isValue = argument == "--jobs"
        }
        return kept
    }

    /// A line on standard output, at once.
    static func write(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

    /// A line on standard error.
    static func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}
