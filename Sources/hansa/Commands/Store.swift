internal import ArgumentParser
internal import HansaAPI
internal import HansaCore
internal import HansaNode

struct Store: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What the node stores: check it, count it, make room, find lost chunks again.",
        discussion: """
            Examples:
              hansa store stats
              hansa store check
              hansa store collect --dry-run
            """,
        subcommands: [Check.self, Stats.self, Collect.self, Rebuild.self])

    struct Check: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every stored byte and every place that the database names.",
            discussion: """
                Reads as much as is stored, beside a node that works. What is damaged is named with its package, and the exit code is 6.
                Examples:
                  hansa store check
                  hansa store check --json       6 when not sound
                  hansa store rebuild            looks for whole copies of what is damaged
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.storeCheck, terminal) { document, style in Store.verdict(document, style) }
        }
    }

    struct Stats: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "How much is stored, and for which package: raw, compressed, shared.",
            discussion: """
                Bytes of a package: SIZE of all its releases' files; RAW its chunks once each; STORED what they take; SHARED what others have too.
                Examples:
                  hansa store stats
                  hansa store stats --json
                  hansa store check
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.storeStats, terminal) { document, style in
                func text(_ name: String) -> String { Style.text(document[name], name: name) }
                return
                    "\(Style.count(document["segments"], "segment")), \(text("diskBytes")) on disk; chunks: \(text("rawBytes")) raw, \(text("storedBytes")) stored; \(text("reclaimableBytes")) to be freed\n"
                    + Table(
                        columns: [
                            Table.Column("PACKAGE", "package"), Table.Column("RELEASES", "releases"),
                            Table.Column("SIZE", "bytes"),
                            Table.Column("RAW", "rawBytes"), Table.Column("STORED", "storedBytes"),
                            Table.Column("SHARED", "sharedBytes"),
                        ], emptyText: "no releases"
                    ).render(document["packages"]?.array ?? [], style)
            }
        }
    }

    struct Collect: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let bytes leave the disk that no release needs: withdrawn content, what was begun and never finished.",
            discussion: """
                A serving node does this by itself, within a day. Beside a serving node some of it waits an hour, for whoever reads it still.
                Needs room for a segment (64 MiB) at most; nothing that a release needs is ever deleted.
                Examples:
                  hansa store collect --dry-run      how much would come back
                  hansa store collect
                  hansa store collect --json
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            try ask(.storeCollect(dryRun: global.dryRun), terminal) { document, style in
                func text(_ name: String) -> String { Style.text(document[name], name: name) }
                var lines =
                    "\(global.dryRun ? "would free" : "freed") \(text("bytesFreed")) in \(Style.count(document["segments"], "segment")), \(text("bytesCopied")) copied; \(Style.count(document["releasesGivenUp"], "release")), \(Style.count(document["chunks"], "chunk")) given up\n"
                if document["bytesWaiting"]?.integer ?? 0 > 0 || document["chunksWaiting"]?.integer ?? 0 > 0 {
                    lines +=
                        "\(text("bytesWaiting")) and \(Style.count(document["chunksWaiting"], "chunk")) wait an hour, then they go by themselves\n"
                }
                if document["damaged"]?.integer ?? 0 > 0 {
                    lines +=
                        style.red(
                            "\(Style.count(document["damaged"], "damaged record")) needed: the segment stays; hansa store check")
                        + "\n"
                }
                return lines
            }
        }
    }

    struct Rebuild: HansaCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Make the database again from the segments: all of it where the file is gone, else places of chunks that it lost.",
            discussion: """
                Checks everything first. A chunk that lies whole in another record is found there from now on. The exit code is 6 when something
                is still damaged: a backup has it, or the city that served it. Without a database it is made from segments, log and keyrings; run
                `hansa restore` then if the node did not stop in good order, and `hansa sync --wait`.
                Examples:
                  hansa store rebuild --dry-run
                  hansa store rebuild
                  hansa store rebuild --json
                """)
        @OptionGroup var global: GlobalOptions

        func execute(_ terminal: Terminal) throws(Problem) -> Problem.Exit {
            let request = AdminRequest.storeRebuild(dryRun: global.dryRun)
            var remade: JSONValue?
            let document: JSONValue
            do throws(Problem) {
                document = try withNode(
                    terminal,
                    prepare: { home throws(Problem) in
                        remade = try NodeBootstrap.remakeDatabase(home: home, dryRun: global.dryRun)
                    }
                ) { node throws(Problem) in try node.run(request) }
            } catch {
                // A dry run made no database that could be opened.
                guard let remade, global.dryRun else { throw error }
                terminal.show(
                    ["schema": "hansa.store-rebuild/1", "dryRun": true, "database": remade],
                    text: { document, _ in Store.words(document["database"], dryRun: true) })
                return .ok
            }
            let whole = remade.map { JSONValue.object((document.object ?? []) + [JSONMember("database", $0)]) } ?? document
            terminal.show(whole) { document, style in
                Store.words(document["database"], dryRun: global.dryRun) + Store.verdict(document, style)
                    + "\(Style.count(document["placed"], "chunk")) \(global.dryRun ? "can be found" : "found") again, \(Style.text(document["stillLost"])) not\n"
            }
            return ExitRule.exit(for: request, document, wantsNothingToDo: false)
        }
    }

    private static func words(_ database: JSONValue?, dryRun: Bool) -> String {
        guard let database, database["releases"] != nil else { return "" }
        func count(_ name: String, _ thing: String) -> String { Style.count(database[name], thing) }
        let ended = database["grantsEnded"]?.integer ?? 0
        let entries = database["logEntries"]?.integer == 1 ? "entry" : "entries"
        var words = "database \(dryRun ? "would be made" : "made") again: \(count("releases", "release")), "
        words += "\(Style.text(database["withContent"])) with content, \(count("partners", "partner")), "
        words += "\(count("agreements", "agreement")), \(count("grants", "grant"))\(ended > 0 ? ", \(ended) ended" : ""), "
        words += "\(Style.text(database["logEntries"])) log \(entries)\n"
        if database["hasArchive"]?.bool == false {
            words +=
                "partners, agreements and grants were nowhere kept: give the cards again (hansa partner add), then hansa sync --wait\n"
        }
        if ended > 0 {
            words += "grants were ended where the log says that they, or their agreements, were (hansa access list)\n"
        }
        if database["partnersHeld"]?.integer ?? 0 > 0 {
            words +=
                "\(count("partnersHeld", "partner")) paused or removed: the log says so, or their newest card is missing (hansa partner list, hansa partner add CARD)\n"
        }
        if database["missing"]?.integer ?? 0 > 0 {
            words += "\(count("missing", "release")) missing: partners that hold them give them back (hansa sync --wait)\n"
        }
        return words
    }

    private static func verdict(_ document: JSONValue, _ style: Style) -> String {
        let isSound = document["findingsCount"]?.integer == document["unneededCount"]?.integer
        var text =
            "\(isSound ? style.green("SOUND") : style.red("DAMAGED"))  \(Style.count(document["segments"], "segment")), \(Style.count(document["records"], "record")), \(Style.count(document["releases"], "release")), \(Style.text(document["bytes"], name: "bytes"))\n"
        for finding in document["findings"]?.array ?? [] {
            let place = finding["package"]?.string.map { "\($0)@\(Style.text(finding["version"])): " }
            let segment = finding["segment"]?.integer.map { " (segment \($0), byte \(Style.text(finding["offset"])))" } ?? ""
            text +=
                "  \((place ?? "").printable())\((finding["problem"]?.string ?? "").printable())\(segment)\(finding["needed"]?.bool == false ? ": nothing that is needed" : "")\n"
        }
        return text
    }
}
