// The contract of CLI.md: commands, help, JSON keys, exit codes.
import FakeNode
import Foundation
import Glibc
import HansaCore
import HansaCrypto
import HansaDocuments
import HansaNode
import Synchronization
import Testing

@testable import HansaAPI

struct ContractTests {
    /// Every command of CLI.md, and what we added.
    static let commands = [
        "init", "serve", "status", "doctor", "why", "city card", "city show", "city rotate", "city renew", "partner add",
        "partner list", "partner show",
        "partner pause", "partner resume", "partner remove", "agreement new", "agreement templates", "agreement check",
        "agreement propose",
        "agreement list", "agreement show", "agreement accept", "agreement reject", "agreement terminate", "agreement renew",
        "access grant",
        "access list", "access revoke", "access test", "package new", "package check", "package publish", "package list",
        "package show",
        "package history", "package diff", "package checkout", "package verify", "package withdraw", "package match", "sync",
        "conflict list",
        "conflict show", "conflict resolve", "obligation list", "audit log", "audit show", "audit verify", "audit checkpoint",
        "audit proof",
        "audit receipt", "audit reconcile", "audit export", "audit report", "audit bundle", "audit events", "store check",
        "store stats", "store collect", "store rebuild", "config show",
        "config set", "explain",
        "completion", "restore", "manual",
    ]

    @Test func everyCommandExplainsItselfWithThreeExamples() throws {
        let harness = try CommandLineHarness(serving: false)
        let nouns = Set(Self.commands.compactMap { $0.contains(" ") ? $0.split(separator: " ").first.map(String.init) : nil })
        for command in Self.commands + nouns.sorted() {
            let result = try harness.run(command.split(separator: " ").map(String.init) + ["--help"])
            #expect(result.status == 0 && result.standardError.isEmpty, "\(command)")
            let lines = result.standardOutput.split(separator: "\n")
            let examples = lines.drop { $0 != "Examples:" }.dropFirst().prefix { $0.hasPrefix("  ") }
            #expect(examples.count == 3, "\(command): \(examples)")
            let usage = lines.firstIndex { $0.hasPrefix("USAGE:") } ?? 0
            #expect((lines.firstIndex(of: "Examples:") ?? .max) < usage, "\(command)")
        }
    }

    @Test func theManualHasEveryCommandAndOptionAndIsWellFormed() throws {
        let harness = try CommandLineHarness(serving: false)
        let page = try harness.run(["manual"])
        #expect(page.status == 0 && page.standardOutput.hasPrefix(".Dd "))
        let sections = Set(
            page.standardOutput.split(separator: "\n").filter { $0.hasPrefix(".Ss hansa ") }.map { $0.dropFirst(10) })
        for command in Self.commands where !Self.hasVerbs(command) { #expect(sections.contains(command[...]), "\(command)") }
        #expect(page.standardOutput.contains(".It Fl -officer-key Ar FILE"))
        // What every command has is told once.
        #expect(page.standardOutput.split(separator: "\n").count { $0.contains("Fl -no-color") } == 1)
        // mandoc, where it is installed, has nothing to say against it.
        let lint = "command -v mandoc >/dev/null || exit 0; mandoc -T lint -W warning"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", lint]
        let (input, output) = (Pipe(), Pipe())
        (process.standardInput, process.standardOutput) = (input, output)
        try process.run()
        let bytes = Data(page.standardOutput.utf8)
        // Off this thread: what is written may wait for what is read.
        Thread.detachNewThread {
            try? input.fileHandleForWriting.write(contentsOf: bytes)
            try? input.fileHandleForWriting.close()
        }
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0 && said.isEmpty, "\(said.prefix(2000))")
    }

    private static func hasVerbs(_ command: String) -> Bool { commands.contains { $0.hasPrefix(command + " ") } }

    /// Arguments, and the first keys of the document (CLI.md's table).
    static let documents: [([String], [String])] = [
        (["status"], ["schema", "city", "attention", "partners", "packages", "log", "storage"]),
        (["partner", "list"], ["schema", "partners"]),
        (["agreement", "propose", "exchange.yaml"], ["schema", "id", "digest", "state"]),
        (["agreement", "accept", "exchange-2026"], ["schema", "id", "digest", "state"]),
        (["agreement", "reject", "exchange-2026", "--reason", "no"], ["schema", "id", "digest", "state"]),
        (["agreement", "terminate", "exchange-2026", "--reason", "no"], ["schema", "id", "digest", "state"]),
        (["agreement", "list"], ["schema", "agreements"]),
        (
            ["access", "grant", "auckland.nz", "kitchener.ca/**", "--under", "exchange-2026"],
            ["schema", "grant", "partner", "pattern", "agreement", "level"]
        ), (["access", "list"], ["schema", "grants"]), (["access", "test", "auckland.nz"], ["schema", "partner", "packages"]),
        (
            ["package", "publish", "data/roads"],
            [
                "schema", "package", "kind", "version", "release", "bytes", "files", "chunks", "newChunks", "storedBytes",
                "unchanged",
            ]
        ), (["package", "publish", "data/roads", "data/water"], ["schema", "packages"]),
        (["package", "list"], ["schema", "packages"]),
        (["package", "checkout", "a.b/c", "out"], ["schema", "package", "version", "release", "directory", "bytes", "files"]),
        (["package", "verify", "data/roads"], ["schema", "package", "version", "release", "valid", "findings"]),
        (["sync", "--wait"], ["schema", "partners"]), (["audit", "log"], ["schema", "entries"]),
        (["audit", "verify"], ["schema", "valid", "size", "root", "findings"]), (["city", "card"], ["schema"]),
        (["city", "show"], ["schema"]),
        (["doctor"], ["schema"]), (["partner", "show", "auckland.nz"], ["schema"]), (["explain", "H231"], ["schema", "code"]),
        (["completion", "fish"], ["schema", "shell"]), (["package", "new", "dataset", "data/water"], ["schema"]),
        (["package", "check", "data/roads"], ["schema"]),
        (["agreement", "new", "--template", "t", "--with", "auckland.nz"], ["schema"]),
        (["audit", "checkpoint"], ["schema"]), (["audit", "events"], ["schema"]), (["audit", "show", "0"], ["schema"]),
        (["config", "show"], ["schema"]),
        (["config", "set", "a", "b"], ["schema"]),
    ]

    @Test func documentsBeginWithTheKeysOfTheContract() throws {
        let harness = try CommandLineHarness()
        for (arguments, keys) in Self.documents {
            let result = try harness.run(arguments + ["--json"])
            #expect(result.status == 0, "\(arguments): \(result.standardError)")
            #expect(Self.topKeys(result.standardOutput).prefix(keys.count) == keys[...], "\(arguments)")
            #expect(result.standardOutput.hasPrefix("{\"schema\":\"hansa."), "\(arguments)")
            let bytes = Array(result.standardOutput.utf8)
            #expect(throws: Never.self, "\(arguments)") { try StrictJSON.check(bytes, bytesMax: 1 << 20, integersOnly: false) }
        }
    }

    /// The names of the outermost members, in order.
    private static func topKeys(_ text: String) -> [String] {
        var keys: [String] = []
        var depth = 0
        var string: String?
        var last = ""
        var escaped = false
        for character in text {
            if let open = string {
                if escaped {
                    escaped = false
                    string = open + String(character)
                } else if character == "\\" {
                    escaped = true
                } else if character == "\"" {
                    last = open
                    string = nil
                } else {
                    string = open + String(character)
                }
                continue
            }
            switch character {
            case "\"": string = ""
            case "{", "[": depth += 1
            case "}", "]": depth -= 1
            case ":" where depth == 1: keys.append(last)
            default: break
            }
        }
        return keys
    }

    @Test func listsStreamOneObjectALine() throws {
        var script = FakeServices.Script()
        script.logEntries = (0..<2500).map { ["index": .integer($0), "event": "release.published"] }
        let harness = try CommandLineHarness(FakeServices(script))
        let log = try harness.run(["audit", "log", "--json", "--stream"]).standardOutput.split(separator: "\n")
        #expect(log.count == 2500 && log[7] == #"{"index":7,"event":"release.published"}"#)
        let partners = try harness.run(["partner", "list", "--json", "--stream"]).standardOutput.split(separator: "\n")
        #expect(partners.count == 2 && partners[0].hasPrefix(#"{"city":"auckland.nz","#))
        let whole = try harness.run(["audit", "log", "--json"]).standardOutput
        #expect(whole.hasPrefix(#"{"schema":"hansa.audit-log/1","entries":[{"index":0,"#) && whole.hasSuffix("]}\n"))
    }

    @Test func commandsOfLaterVersionsSaySoAndExit64() throws {
        let harness = try CommandLineHarness()
        let later = [
            "agreement renew a",
            "agreement show a --format odrl",
            "package match a", "obligation list", "audit proof 5",
            "audit receipt a b", "audit reconcile a", "audit export --format csv", "audit report --period 2026Q3",
            "audit bundle a b --out c",
        ]
        for command in later {
            let result = try harness.run(command.split(separator: " ").map(String.init) + ["--json"])
            #expect(result.status == 64, "\(command)")
            #expect(result.standardOutput.hasPrefix(#"{"schema":"hansa.error/1","code":"H003","message":""#), "\(command)")
            #expect(
                result.standardError.hasPrefix("error[H003]: ") && result.standardError.contains("not in this version"),
                "\(command)")
        }
        #expect(harness.services.calls.isEmpty)
    }

    @Test func wrongArgumentsExit64() throws {
        let harness = try CommandLineHarness()
        let wrong = [
            "nonsense", "partner nonsense", "why", "why a", "status --nonsense", "package publish",
            "package publish data/roads data/water --name x",
            "package publish data/roads --version 1.0", "package publish data/roads --tlp PINK",
            "package publish data/roads --version 1.0.0 --bump auto",
            "package publish data/roads --bump sideways", "audit show x", "audit log --since yesterday", "agreement reject a",
            "access grant a b",
            "completion tcsh", "explain X", "sync --timeout 0", "package new poem data/roads", "init --city kitchener.ca",
            "agreement show a --format pdf", "partner add auckland.card", "partner remove boston.gov", "--home",
            "package list extra",
        ]
        for command in wrong {
            let result = try harness.run(command.split(separator: " ").map(String.init))
            #expect(result.status == 64, "\(command): \(result.status) \(result.standardError)")
            #expect(result.standardOutput.isEmpty, "\(command)")
            #expect(result.standardError.hasPrefix("error[H"), "\(command): \(result.standardError)")
            let json = try harness.run(command.split(separator: " ").map(String.init) + ["--json"])
            #expect(
                json.status == 64 && json.standardOutput.hasPrefix(#"{"schema":"hansa.error/1","code":"H"#), "\(command) --json")
        }
    }

    @Test func problemsSetTheExitCode() throws {
        let codes: [(ProblemCode, Int32)] = [
            (.internalFault, 1), (.syncBehind, 3), (.notAuthorised, 4), (.logDamaged, 6), (.refusedByTerms, 7),
            (.partnerUnreachable, 8),
            (.checkoutModified, 9), (.usage, 64),
        ]
        let services = FakeServices()
        let harness = try CommandLineHarness(services)
        for (code, exit) in codes {
            services.script.problems["status"] = Problem(code, "it failed", clause: "5.1", try: "hansa doctor")
            let result = try harness.run(["status", "--json"])
            #expect(result.status == exit)
            #expect(
                result.standardOutput
                    == #"{"schema":"hansa.error/1","code":"\#(code.rawValue)","message":"it failed","clause":"5.1","try":"hansa doctor"}"#
                    + "\n")
            #expect(result.standardError == "error[\(code.rawValue)]: it failed\n  try: hansa doctor\n")
        }
    }

    @Test func resultsSetTheExitCode() throws {
        let services = FakeServices()
        let harness = try CommandLineHarness(services)
        func exit(_ arguments: String) throws -> Int32 {
            try harness.run(arguments.split(separator: " ").map(String.init)).status
        }
        #expect(try exit("why auckland.nz a.b/c") == 7)
        services.script.documents["why"] = ["schema": "hansa.why/1", "allowed": true]
        #expect(try exit("why auckland.nz a.b/c") == 0)
        for (state, code) in [("in-sync", 0), ("behind", 3), ("unreachable", 8), ("refused", 7), ("quarantined", 6)]
            as [(String, Int32)]
        {
            services.script.documents["sync"] = [
                "schema": "hansa.sync/1", "partners": [["city": "a.b", "state": .string(state)]],
            ]
            #expect(try exit("sync --wait") == code, "\(state)")
        }
        #expect(try exit("package verify data/roads") == 0)
        #expect(try exit("package verify data/empty") == 6)
        services.script.documents["audit verify"] = [
            "schema": "hansa.audit-verify/1", "valid": false, "size": 1, "root": "", "findings": ["x"],
        ]
        #expect(try exit("audit verify") == 6)
        #expect(try exit("status --exit-code") == 0)
        services.script.documents["status"] = ["schema": "hansa.status/1", "attention": []]
        #expect(try exit("status --exit-code") == 5)
        services.script.documents["package publish"] = ["schema": "hansa.package-publish/1", "unchanged": true]
        #expect(try exit("package publish data/roads --exit-code") == 5)
        #expect(try exit("package publish data/roads") == 0)
    }

    @Test func globalOptionsStandAnywhere() throws {
        let harness = try CommandLineHarness(serving: false)
        let served = try CommandLineHarness()
        for arguments in [
            ["--home", served.home, "--json", "partner", "list"], ["partner", "--home", served.home, "list", "--json"],
            ["partner", "list", "--json", "--home=\(served.home)"], ["--home=\(served.home)", "partner", "list", "--json"],
        ] { #expect(try harness.run(arguments).standardOutput.hasPrefix(#"{"schema":"hansa.partner-list/1""#), "\(arguments)") }
    }

    @Test func theRoleOfTheAccountDecides() throws {
        let policy = RolePolicy(owner: geteuid(), rules: [RoleRule(.user("\(geteuid())"), role: .auditor)], ownerIsAdmin: false)
        let harness = try CommandLineHarness(policy: policy)
        #expect(try harness.run(["partner", "list"]).status == 0)
        let refused = try harness.run(["config", "set", "a", "b", "--json"])
        #expect(refused.status == 4 && refused.standardOutput.contains(#""code":"H601""#))
        let stranger = try CommandLineHarness(policy: RolePolicy(owner: geteuid(), rules: [], ownerIsAdmin: false))
        #expect(try stranger.run(["status"]).status == 4)
    }

    @Test func aCardMayComeFromStdinAndASecretFromAFileNobodyElseReads() throws {
        let harness = try CommandLineHarness()
        let added = try harness.run(["partner", "add", "-", "--yes", "--json"], input: "{}\n")
        #expect(added.standardOutput.contains(#""compared":false"#))
        let compared = try harness.run(
            ["partner", "add", "-", "--yes", "--fingerprint", FakeDocuments.fingerprint, "--json"], input: "{}\n")
        #expect(compared.standardOutput.contains(#""compared":true"#))

        let key = Ed25519PrivateKey.generate()
        let pem = String(decoding: key.pem(), as: UTF8.self)
        let step = try AgreementStep(
            agreement: SHA256.hash([1]), step: .reject, by: try CityID("kitchener.ca"), previous: nil,
            issued: Timestamp(seconds: 1_800_000_000),
            effective: Timestamp(seconds: 1_800_000_000), reason: "no", keyring: 1)
        harness.services.script.toSign = (DocumentType.agreementStep.rawValue, step.payload())
        let reject = ["agreement", "reject", "a", "--reason", "no", "--json", "--officer-key"]
        try harness.write("officer.pem", pem)
        chmod(harness.directory + "/officer.pem", 0o644)
        let open = try harness.run(reject + ["officer.pem"])
        #expect(open.status == 4 && open.standardError.contains("H101") && open.standardError.contains("chmod 600"))
        chmod(harness.directory + "/officer.pem", 0o600)
        let signed = try harness.run(reject + ["officer.pem"])
        #expect(signed.standardOutput.contains(#""signature":"\#(Hex.encode(key.publicKey.bytes))"#), "\(signed.standardError)")
        #expect(signed.standardError.contains("signing: reject sha256:"))
        symlink("officer.pem", harness.directory + "/link.pem")
        #expect(try harness.run(reject + ["link.pem"]).status != 0)
        #expect(try harness.run(reject + ["-"], input: pem).standardOutput.contains(Hex.encode(key.publicKey.bytes)))
        // Another act than the one that was asked for is not signed.
        #expect(try harness.run(["agreement", "terminate", "a", "--reason", "no", "--officer-key", "officer.pem"]).status == 6)
    }

    @Test func anInterruptEndsTheNodesWorkAndExits130() throws {
        let state = Mutex((entered: false, cancelled: false))
        var script = FakeServices.Script()
        script.duringSync = { conversation in
            state.withLock { $0.entered = true }
            _ = eventually { conversation.isCancelled }
            state.withLock { $0.cancelled = true }
        }
        let harness = try CommandLineHarness(FakeServices(script))
        for signal in [SIGINT, SIGTERM] {
            state.withLock { $0 = (false, false) }
            let command = try harness.start(["sync", "--wait", "--json"])
            #expect(eventually { state.withLock { $0.entered } })
            command.signal(signal)
            let result = command.wait()
            #expect(result.status == 130)
            #expect(result.standardOutput.hasPrefix(#"{"schema":"hansa.error/1","code":"H004""#))
            #expect(eventually { state.withLock { $0.cancelled } })
        }
    }

    @Test func aReaderThatLeavesEndsTheCommandQuietly() throws {
        var script = FakeServices.Script()
        script.logEntries = (0..<50_000).map { ["index": .integer($0), "event": "release.published"] }
        let harness = try CommandLineHarness(FakeServices(script))
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = [
            "-c", "'\(CommandLineHarness.executable)' --home '\(harness.home)' audit log --json --stream | head -n 1",
        ]
        let output = Pipe()
        let error = Pipe()
        shell.standardOutput = output
        shell.standardError = error
        try shell.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(text == #"{"index":0,"event":"release.published"}"# + "\n")
        #expect(error.fileHandleForReading.readDataToEndOfFile().isEmpty)
    }

    @Test func nothingThatAPartnerWroteReachesTheTerminalRaw() throws {
        let harness = try CommandLineHarness()
        for arguments in [["partner", "list"], ["status"], ["agreement", "show", "a"]] {
            let text = try harness.run(arguments).standardOutput
            #expect(!text.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x202E }, "\(arguments)")
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completionsKnowTheCommands(shell: String) throws {
        let script = try CommandLineHarness(serving: false).run(["completion", shell]).standardOutput
        for word in ["publish", "checkout", "agreement", "--since"] {
            #expect(script.contains(word.replacing("--", with: "")), "\(shell) \(word)")
        }
    }
}
