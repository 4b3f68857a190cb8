internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

extension Package {
    struct Publish: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sign a new release of each directory; an unchanged one is left as it is.",
            discussion: """
                Examples:
                  hansa package publish data/roads --tlp GREEN
                  hansa package publish data/* --base .
                  hansa package publish data/roads --name roads/breaks --version 2.0.0 -n
                """)

        enum Bump: String, ExpressibleByArgument, CaseIterable { case auto }

        @Argument(help: ArgumentHelp("Directories, one package each.", valueName: "DIR"), completion: .directory) var directories:
            [String]
        @Option(help: ArgumentHelp("The package's path; with one directory.", valueName: "PATH")) var name: String?
        @Option(help: ArgumentHelp("Names are the paths below this; else below each directory's parent.", valueName: "DIR"))
        var base: String?
        @Option(help: ArgumentHelp("MAJOR.MINOR.PATCH, higher than the last.", valueName: "V")) var version: String?
        @Option(help: ArgumentHelp("Choose the version by what changed.", valueName: "auto")) var bump: Bump?
        @Option(help: ArgumentHelp("CLEAR, GREEN, AMBER, AMBER+STRICT (when not given) or RED.", valueName: "LEVEL")) var tlp:
            String?
        @Flag(help: "DIR holds what all heads of the package say together; for packages of several writers.") var merge = false
        @Flag(help: "Read every file, also those that look unchanged.") var rehash = false
        @Flag(name: .customLong("exit-code"), help: "Exit with 5 when nothing changed.") var exitCode = false
        @OptionGroup var global: GlobalOptions

        mutating func validate() throws {
            guard !directories.isEmpty else { throw ValidationError("Missing expected argument '<DIR>'") }
            guard version == nil || bump == nil else { throw ValidationError("--version and --bump exclude each other") }
            if name != nil, base != nil { throw ValidationError("--name and --base exclude each other") }
        }

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            if let version, Version(version) == nil {
                throw Problem(.usage, "'\(version.printable())' is no version: write MAJOR.MINOR.PATCH, such as 1.2.0")
            }
            if let tlp, TLP(lenient: tlp) == nil {
                throw Problem(
                    .usage, "'\(tlp.printable())' is no TLP label: CLEAR, GREEN, AMBER, AMBER+STRICT, RED",
                    try: NearMiss.nearest(to: tlp, among: ["clear", "green", "amber", "amber+strict", "red"]).map {
                        "--tlp \($0.uppercased())"
                    })
            }
            let files = try ListedDirectories(publishing: directories, name: name, base: base)
            let notes = merge ? directories.map { MergeNoteFile(in: $0) } : []
            var made: [MergeNote] = []
            for note in notes { if let note = try note.read() { made.append(note) } }
            let options = PublishOptions(
                version: version, bumpAuto: bump == .auto, tlp: tlp, rehash: rehash, dryRun: global.dryRun, name: name,
                merge: merge, merges: made.isEmpty ? nil : made)
            let exit = try ask(
                .packagePublish(options), terminal, files: .listed(files), wantsNothingToDo: exitCode, text: Self.text)
            if exit == .ok, !global.dryRun { for note in notes { note.remove() } }
            return exit
        }

        private static func text(_ document: JSONValue, _ style: Style) -> String {
            let packages = document["packages"]?.array ?? [document]
            let fresh = packages.filter { $0["unchanged"]?.bool != true }
            var text = ""
            for package in fresh.prefix(40) {
                if let error = package["error"], !error.isNull {
                    let what = package["package"]?.string ?? package["path"]?.string ?? "?"
                    let why =
                        "error[\(Style.text(error["code"]))]: \(Terminal.lines(error["message"]?.string ?? Style.text(error)))"
                    text += "\(style.red("FAILED"))  \(what.printable(charactersMax: 300))  \(why)\n"
                    continue
                }
                text +=
                    "\(Style.text(package["package"]))  \(Style.text(package["version"]))  \(Style.text(package["release"]))  "
                text += "\(Style.count(package["files"], "file")), \(Style.text(package["bytes"], name: "bytes")), "
                text += "\(Style.text(package["storedBytes"], name: "bytes")) stored\n"
            }
            if fresh.count > 40 { text += "and \(fresh.count - 40) more\n" }
            let same = packages.filter { $0["unchanged"]?.bool == true }
            if same.count <= 3 {
                for package in same {
                    text += "\(Style.text(package["package"]))  \(Style.text(package["version"]))  unchanged\n"
                }
            } else {
                text += "\(same.count) unchanged\n"
            }
            return text
        }
    }

    struct Checkout: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a release's files into a directory.",
            discussion: """
                Examples:
                  hansa package checkout auckland.nz/pedestrians ./pedestrians
                  hansa package checkout auckland.nz/pedestrians@1.2.0 ./pedestrians --payload
                  hansa package checkout "auckland.nz/**" ./auckland
                """)
        @Argument(help: ArgumentHelp("city/path[@VERSION|@latest|@sha256:PREFIX], or a pattern.", valueName: "REF|PATTERN"))
        var reference: String
        @Argument(help: ArgumentHelp("Where to; packages of a pattern go below it.", valueName: "DIR"), completion: .directory)
        var directory: String
        @Flag(help: "The published files alone, not the bag.") var payload = false
        @Option(help: ArgumentHelp("What it is for, where the agreement asks.", valueName: "IRI")) var purpose: String?
        @Flag(help: "Replace files that were changed here.") var force = false
        @Flag(name: .customLong("exit-code"), help: "Exit with 5 when nothing had to be written.") var exitCode = false
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let target = try CheckoutTarget(
                directory: directory, outside: HomeLocation.find(option: global.home, environment: terminal.environment),
                changesNothing: global.dryRun)
            let request = AdminRequest.packageCheckout(
                reference: reference, payload: payload, purpose: purpose, force: force, dryRun: global.dryRun)
            let document = target.locating(try result(of: request, terminal, files: .target(target)))
            terminal.show(document, text: Self.text)
            return ExitRule.exit(for: request, document, wantsNothingToDo: exitCode)
        }

        private static func text(_ document: JSONValue, _ style: Style) -> String {
            var text = ""
            for package in document["packages"]?.array ?? [document] {
                text +=
                    "\(Style.text(package["package"]))  \(Style.text(package["version"]))  \(Style.text(package["release"]))  "
                text +=
                    "\(Style.count(package["files"], "file")), \(Style.text(package["bytes"], name: "bytes")) in \(Style.text(package["directory"]))"
                if let written = package["written"]?.integer { text += written == 0 ? ", unchanged" : ", \(written) written" }
                text += "\n"
            }
            return text
        }
    }
}
