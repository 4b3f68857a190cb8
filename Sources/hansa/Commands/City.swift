internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct City: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Our own city: its card and keys.",
        discussion: """
            Examples:
              hansa city card > kitchener.ca.card     to give to a partner
              hansa city show                         with the fingerprint to read aloud
              hansa city rotate tls
            """,
        subcommands: [Card.self, Show.self, Rotate.self, Renew.self])

    struct Card: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Our keyring on stdout: every version, one signed envelope a line.",
            discussion: """
                Examples:
                  hansa city card > kitchener.ca.card
                  hansa city card | mail -s "our card" clerk@auckland.nz
                  hansa city card --json
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.cityCard, terminal) { document, _ in
                // A document for a program, also without --json: byte for byte.
                (document["envelopes"]?.array ?? []).compactMap(\.string).map { $0 + "\n" }.joined()
            }
        }
    }

    struct Show: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Name, keys and fingerprint of our city.",
            discussion: """
                Examples:
                  hansa city show
                  hansa city show --json
                  hansa city show --home /srv/hansa
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit { try ask(.cityShow, terminal) }
    }

    /// Officers' keys that are kept away from the node; they never leave the command.
    struct Officers: ParsableArguments {
        @Option(
            name: .customLong("officer-key"),
            help: ArgumentHelp(
                "An officer's key, when it is not in the home or several must sign; once for each.", valueName: "FILE"))
        var files: [String] = []

        @Option(
            name: .customLong("announce"),
            help: ArgumentHelp(
                "The key id of an officer's key to come: after this keyring only announced ones are followed.", valueName: "KEYID"
            ))
        var announced: [String] = []

        /// Asks the node, and signs what it asks only when that is the next keyring as the user wanted it.
        func run(
            _ rotation: RotationRequest, newKey: [UInt8]?, _ node: Node, _ terminal: Terminal,
            _ request: (RotationRequest, Bool) -> AdminRequest
        ) throws(Problem) -> JSONValue {
            var rotation = rotation
            if !announced.isEmpty { rotation.announced = announced }
            var pems = try files.map { file throws(Problem) in try LocalFile.secret(file) }
            if rotation.key == "officer", let first = pems.first {
                rotation.oldOfficer = try HansaAPI.OfficerKey.publicKey(pem: first)
            }
            if let newKey {
                rotation.newOfficer = try HansaAPI.OfficerKey.publicKey(pem: newKey)
                pems.append(newKey)
            }
            guard let first = pems.first else { return try node.run(request(rotation, false)) }
            let card = try node.run(.cityCard)["envelopes"]?.array?.compactMap(\.string) ?? []
            let officer = try HansaAPI.OfficerKey(
                pem: first, others: Array(pems.dropFirst()),
                for: .keyring(HansaAPI.OfficerKey.KeyringWish(card: card, rotation: rotation))
            ) { Terminal.note($0) }
            return try node.run(request(rotation, true), files: .officer(officer))
        }
    }

    struct Rotate: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give one of our keys a successor, in the next version of our keyring.",
            discussion: """
                Examples:
                  hansa city rotate tls
                  hansa city rotate package --compromised --confirm kitchener.ca
                  hansa city rotate officer --officer-key old.pem --new-officer-key new.pem --confirm kitchener.ca

                Connected partners hear at once, others when they connect; a partner that cannot connect any more is given
                the card: hansa city card. An old TLS key is accepted for 30 more days, unless it is compromised.
                """)
        @Argument(help: ArgumentHelp("officer, package, log, witness or tls.", valueName: "KEY")) var key: String

        @Flag(help: "The old key is in other hands: it is revoked for ever.")
        var compromised = false

        @Option(
            name: .customLong("new-officer-key"),
            help: ArgumentHelp("The successor of an officer's key; a file that does not exist is made.", valueName: "FILE"))
        var newOfficerKey: String?

        @OptionGroup var officers: Officers
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            guard newOfficerKey == nil || key == "officer" else {
                throw Problem(.usage, "--new-officer-key goes with: hansa city rotate officer")
            }
            let newKey = try newOfficerKey.map { file throws(Problem) in
                if LocalFile.exists(file) || file == "-" { return try LocalFile.secret(file) }
                return try HansaAPI.OfficerKey.generate(at: global.dryRun ? nil : file)
            }
            let rotation = RotationRequest(
                key: key, compromised: compromised, confirm: global.confirm, dryRun: global.dryRun)
            let document = try withNode(terminal) { node throws(Problem) in
                var rotation = rotation
                do throws(Problem) {
                    return try officers.run(rotation, newKey: newKey, node, terminal) { .cityRotate($0, signsHere: $1) }
                } catch {
                    guard error.code == .confirmationNeeded, terminal.isInteractive else { throw error }
                    terminal.note(error.message.printable(charactersMax: 1000))
                    rotation.confirm = terminal.ask("Type our city's id to do it:")
                    return try officers.run(rotation, newKey: newKey, node, terminal) { .cityRotate($0, signsHere: $1) }
                }
            }
            terminal.show(document) { Outline.render($0, $1) }
            return .ok
        }
    }

    struct Renew: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Make the next version of our keyring with the same keys: two more years, name and addresses of hansa.yaml.",
            discussion: """
                Examples:
                  hansa city renew
                  hansa city renew -n
                  hansa city renew --officer-key /media/usb/officer.pem
                """)
        @OptionGroup var officers: Officers
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let rotation = RotationRequest(key: nil, confirm: global.confirm, dryRun: global.dryRun)
            let document = try withNode(terminal) { node throws(Problem) in
                try officers.run(rotation, newKey: nil, node, terminal) { .cityRenew($0, signsHere: $1) }
            }
            terminal.show(document) { Outline.render($0, $1) }
            return .ok
        }
    }
}
