// One package that two cities write, and a third that receives it: releases beside one another, and how they become one again.
import Foundation
import Testing

extension EndToEndTests {
    struct MaintainersTests {
        private let first = ["1,pump,good", "2,valve,good", "3,pipe,good"]

        private func region(_ world: World, rule: String = "any", autoMerge: Bool = false) throws -> Region {
            let region = try Region(world, rule: rule, autoMerge: autoMerge)
            try region.grantAll()
            try region.settles(on: region.publish(region.kitchener, first))
            return region
        }

        @discardableResult
        private func merge(_ region: Region, _ city: City, _ more: [String], expecting status: Int32 = 0) throws -> Outcome {
            try city.hansa(["conflict", "merge", Region.package, "--json"] + more, expecting: status)
        }

        @Test func whatTwoCitiesPublishBesideOneAnotherIsMergedCellByCell() throws {
            let world = try World()
            let region = try region(world)
            // One after the other there is nothing to merge.
            try region.settles(on: region.publish(region.auckland, ["1,pump,worn", "2,valve,good", "3,pipe,good"]))

            let (mine, yours) = try region.publishBeside(
                ["1,pump,new", "2,valve,good", "3,pipe,good"], ["1,pump,worn", "2,valve,old", "4,tank,new"])
            var counted: Set<String?> = []
            for city in region.cities {
                try eventually("both heads are at \(city.id)") { try region.conflicts(city).first?["heads"].array.count == 2 }
                let row = try #require(try region.conflicts(city).first)
                #expect(Set(row["heads"].array.compactMap { $0["release"].text }) == [mine, yours], "\(city.id)")
                #expect(row["kind"].text == "heads")
                counted.insert(row["counted"].text)
                let shown = try city.hansa(["conflict", "show", Region.package, "--json"]).json
                #expect(shown["rule"].text == "any" && shown["heads"].array.count == 2)
                #expect(shown["maintainers"].array.compactMap(\.text) == ["auckland.nz", "kitchener.ca"])
                for head in [mine, yours] {
                    try eventually("the content of both is at \(city.id)") {
                        try city.run(["package", "show", "\(Region.package)@\(head)", "--json"]).json["payload"].array.count == 1
                    }
                }
                #expect(try region.rows(city, "\(Region.package)@\(yours)").contains("4,tank,new"))
            }
            #expect(counted.count == 1, "every city counts the same head")
            #expect(
                try region.auckland.hansa(["status", "--json"]).json["attention"].array.contains {
                    $0["code"].text == "package-heads"
                })

            // Anybody may look at what both say together; only a maintainer may say it.
            let proposal = try merge(region, region.waterloo, []).json
            #expect(proposal["clean"].bool == true && proposal["conflicts"].integer == 0)
            let cells = proposal["files"].array.first { $0["path"].text == "assets.csv" }?["provenance"].array ?? []
            #expect(cells.contains { $0["from"].text == "theirs" && $0["key"].array.first?.text != nil })
            try merge(region, region.waterloo, ["--publish"], expecting: 1)
            let dry = try merge(region, region.auckland, ["--publish", "-n"]).json
            #expect(dry["dryRun"].bool == true)
            #expect(try region.conflicts(region.auckland).count == 1)
            let published = try merge(region, region.auckland, ["--publish"]).json["published"]
            try region.settles(on: #require(published["release"].text))
            for city in region.cities {
                #expect(try region.rows(city) == ["1,pump,new", "2,valve,old", "4,tank,new"], "\(city.id)")
                let history = try city.hansa(["package", "history", Region.package, "--json"]).json["releases"].array
                #expect(history.filter { $0["operation"].text == "merge" }.count == 1, "\(city.id)")
            }
            #expect(try region.kitchener.hansa(["conflict", "list"]).output.contains("no conflicts"))
            try region.expectSoundLogs()
        }

        @Test func aCellThatBothChangedIsForAPerson() throws {
            let world = try World()
            let region = try region(world, autoMerge: true)
            let (mine, _) = try region.publishBeside(
                ["1,pump,worn", "2,valve,good", "3,pipe,good"], ["1,pump,broken", "2,valve,old", "3,pipe,good"])
            for city in region.cities {
                try eventually("both heads are at \(city.id)") { try region.conflicts(city).count == 1 }
            }
            // Whose head counts may go on with it; the other merges.
            let isOurs = try region.conflicts(region.kitchener).first?["counted"].text == mine
            let (writer, merger) = isOurs ? (region.kitchener, region.auckland) : (region.auckland, region.kitchener)
            // Neither the owner's node nor a command signs what contradicts itself.
            let refused = try merge(region, region.kitchener, ["--publish"], expecting: 9)
            #expect(refused.json["code"].text == "H408", "\(refused)")
            let target = world.directory.appending(path: "merged")
            let proposal = try merge(region, merger, [target.path], expecting: 9).json
            #expect(proposal["clean"].bool == false && proposal["conflicts"].integer == 1)
            let undecided = proposal["files"].array.flatMap { $0["undecided"].array }
            #expect(undecided.count == 1 && undecided.first?["column"].text == "state")
            #expect(undecided.first?["key"].array.compactMap(\.text) == ["1"])
            #expect(Set([undecided.first?["ours"].text, undecided.first?["theirs"].text]) == ["worn", "broken"])

            // A person decides the cell; what did not contradict itself stands in the directory.
            let table = target.appending(path: "assets.csv")
            let text = try String(contentsOf: table, encoding: .utf8)
            #expect(text.contains("2,valve,old"))
            let decided = text.replacing("1,pump,worn", with: "1,pump,gone").replacing("1,pump,broken", with: "1,pump,gone")
            try Data(decided.utf8).write(to: table)
            // While it was edited the other city published again: nothing follows that without its content.
            let late = try region.publish(
                writer,
                isOurs ? ["1,pump,worn", "2,valve,good", "3,pipe,new"] : ["1,pump,broken", "2,valve,old", "3,pipe,new"])
            try eventually("the new head is there") {
                try region.conflicts(merger).first?["heads"].array.contains { $0["release"].text == late } == true
            }
            let outdated = try merger.hansa(
                ["conflict", "resolve", Region.package, "--merge", target.path, "--json"], expecting: 9)
            #expect(outdated.json["code"].text == "H410", "\(outdated)")
            #expect(outdated.json["try"].text?.contains("NEWDIR") == true, "\(outdated)")
            #expect(try region.conflicts(merger).count == 1)
            let newer = world.directory.appending(path: "newer")
            try merge(region, merger, [newer.path], expecting: 9)
            let next = newer.appending(path: "assets.csv")
            let merged = try String(contentsOf: next, encoding: .utf8)
            #expect(merged.contains("3,pipe,new") && merged.contains("2,valve,old"))
            try Data(
                merged.replacing("1,pump,worn", with: "1,pump,gone").replacing("1,pump,broken", with: "1,pump,gone").utf8
            ).write(to: next)
            let resolved = try merger.hansa([
                "conflict", "resolve", Region.package, "--merge", newer.path, "--json",
            ]).json
            #expect(!FileManager.default.fileExists(atPath: newer.appending(path: ".hansa-merge").path))
            try region.settles(on: #require(resolved["head"].text))
            for city in region.cities {
                #expect(try region.rows(city) == ["1,pump,gone", "2,valve,old", "3,pipe,new"], "\(city.id)")
            }

            // Or one head is taken as it is.
            let (_, yours) = try region.publishBeside(
                ["1,pump,new", "2,valve,old", "3,pipe,good"], ["1,pump,lost", "2,valve,old", "3,pipe,good"])
            try eventually("both heads are there") { try region.conflicts(region.kitchener).count == 1 }
            let taken = try region.kitchener.hansa([
                "conflict", "resolve", Region.package, "--take", "\(Region.package)@\(yours)", "--json",
            ]).json
            try region.settles(on: #require(taken["head"].text))
            #expect(try region.rows(region.waterloo) == ["1,pump,lost", "2,valve,old", "3,pipe,good"])
            try region.expectSoundLogs()
        }

        @Test func equalContentIsOneHeadAndWhatDoesNotContradictItselfMergesByItself() throws {
            let world = try World()
            let region = try region(world, autoMerge: true)
            let same = ["1,pump,same", "2,valve,good", "3,pipe,good"]
            let (mine, yours) = try region.publishBeside(same, same)
            #expect(mine != yours)
            for city in region.cities {
                try eventually("both releases are at \(city.id)") {
                    try city.hansa(["package", "history", Region.package, "--json"]).json["releases"].array.count == 3
                }
                #expect(try region.conflicts(city).isEmpty, "\(city.id)")
                #expect(try region.rows(city) == same, "\(city.id)")
            }
            _ = try region.publishBeside(
                ["1,pump,worn", "2,valve,good", "3,pipe,good"], ["1,pump,same", "2,valve,good", "3,pipe,good", "4,tank,new"])
            for city in region.cities {
                try eventually("it is merged at \(city.id)") {
                    try region.conflicts(city).isEmpty && region.head(city) != nil
                        && city.hansa(["package", "history", Region.package, "--json"]).json["releases"].array.contains {
                            $0["operation"].text == "merge"
                        }
                }
                #expect(try region.rows(city) == ["1,pump,worn", "2,valve,good", "3,pipe,good", "4,tank,new"], "\(city.id)")
            }
            try region.expectSoundLogs()
        }

        @Test func underTheOwnersRuleWhatAMaintainerAddsWaitsUntilTheOwnerTakesIt() throws {
            let world = try World()
            let region = try region(world, rule: "owner")
            let before = try #require(try region.head(region.waterloo))
            let added = try region.publish(region.auckland, ["1,pump,worn", "2,valve,good", "3,pipe,good"])
            for city in [region.kitchener, region.waterloo] {
                try eventually("it waits at \(city.id)") { try region.conflicts(city).first?["kind"].text == "waiting" }
                #expect(try region.head(city) == before)
                #expect(try region.rows(city, "\(Region.package)@\(added)").contains("1,pump,worn"))
            }
            #expect(
                try region.kitchener.hansa(["status", "--json"]).json["attention"].array.contains {
                    $0["code"].text == "package-waiting"
                })
            let taken = try region.kitchener.hansa([
                "conflict", "resolve", Region.package, "--take", "\(Region.package)@\(added)", "--json",
            ]).json
            try region.settles(on: #require(taken["head"].text))

            // Beside one another: the owner's counts, and the owner merges.
            let (mine, _) = try region.publishBeside(
                ["1,pump,new", "2,valve,good", "3,pipe,good"], ["1,pump,worn", "2,valve,old", "3,pipe,good"])
            try eventually("both heads are there") { try region.conflicts(region.kitchener).first?["kind"].text == "heads" }
            #expect(try region.head(region.kitchener) == mine)
            let merged = try merge(region, region.kitchener, ["--publish"]).json["published"]
            try region.settles(on: #require(merged["release"].text))
            #expect(try region.rows(region.waterloo) == ["1,pump,new", "2,valve,old", "3,pipe,good"])
            try region.expectSoundLogs()
        }
    }
}
