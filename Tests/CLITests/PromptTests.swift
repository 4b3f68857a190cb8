// What happens at a terminal: script(1) gives the command one.
import FakeNode
import Foundation
import HansaCore
import Testing

struct PromptTests {
    /// Runs a command at a terminal that types `input`. Nil where script(1) is missing.
    private func atTerminal(_ command: String, _ harness: CommandLineHarness, input: String, environment: [String: String] = [:])
        throws -> (
            text: String, status: Int32
        )?
    {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/script") else {
            print("script(1) is missing: prompts are not tested")
            return nil
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/script")
        process.arguments = ["-qec", "'\(CommandLineHarness.executable)' \(command)", "/dev/null"]
        process.currentDirectoryURL = URL(fileURLWithPath: harness.directory)
        process.environment = [
            "HANSA_HOME": harness.home, "HOME": harness.directory, "TZ": "UTC", "PATH": "/usr/bin:/bin", "TERM": "xterm",
        ]
        .merging(environment) { $1 }
        let inputPipe = Pipe()
        let outputPipe = Pipe()
        process.standardInput = inputPipe
        process.standardOutput = outputPipe
        try process.run()
        try inputPipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        let text = String(decoding: outputPipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (text.replacing("\r\n", with: "\n"), process.terminationStatus)
    }

    @Test func aFingerprintIsComparedAtTheTerminal() throws {
        let harness = try CommandLineHarness()
        guard let yes = try atTerminal("partner add auckland.card", harness, input: "y\n") else { return }
        #expect(yes.status == 0 && yes.text.contains("compared     yes"), "\(yes.text)")
        let no = try atTerminal("partner add auckland.card", harness, input: "n\n")
        #expect(no?.status == 64 && no?.text.contains("H105") == true)
    }

    @Test func anAgreementIsShownBeforeItIsSigned() throws {
        let harness = try CommandLineHarness()
        guard let yes = try atTerminal("agreement accept exchange-2026", harness, input: "yes\n") else { return }
        #expect(yes.status == 0 && yes.text.contains("An exchange (text)") && yes.text.contains("Sign this agreement"))
        // What was shown is what is signed: by its digest.
        #expect(yes.text.contains("0123456789ab"))
        #expect(harness.services.calls == ["agreement show admin", "agreement accept admin"])
        let no = try atTerminal("agreement accept exchange-2026", harness, input: "\n")
        #expect(no?.status == 1)
        #expect(harness.services.calls.last == "agreement show admin")
        #expect(try atTerminal("agreement accept exchange-2026 -y", harness, input: "")?.text.contains("An exchange") == false)
    }

    @Test func removingAPartnerAsksForItsName() throws {
        let harness = try CommandLineHarness()
        guard let right = try atTerminal("partner remove boston.gov", harness, input: "boston.gov\n") else { return }
        #expect(right.status == 0)
        #expect(try atTerminal("partner remove boston.gov", harness, input: "boston\n")?.status == 64)
        // -y does not stand for the name.
        #expect(try atTerminal("partner remove boston.gov -y", harness, input: "\n")?.status == 64)
    }

    @Test func coloursAreForTerminalsAndCanBeTurnedOff() throws {
        let harness = try CommandLineHarness()
        guard let coloured = try atTerminal("audit verify", harness, input: "") else { return }
        #expect(coloured.text.contains("\u{1B}[32mVALID\u{1B}[0m"))
        for (command, environment) in [
            ("audit verify --no-color", [:]), ("audit verify", ["NO_COLOR": "1"]), ("audit verify", ["TERM": "dumb"]),
        ] as [(String, [String: String])] {
            let plain = try atTerminal(command, harness, input: "", environment: environment)
            #expect(plain?.text.contains("VALID") == true && plain?.text.contains("\u{1B}") == false, "\(command) \(environment)")
        }
    }
}
