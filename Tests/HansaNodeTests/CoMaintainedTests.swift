import Foundation
import HansaCore
import HansaDocuments
import Testing

@testable import HansaNode

/// Three cities of one agreement; kitchener.ca owns `regional/**`, and auckland.nz writes it too.
struct Region {
    let kitchener: TestHome
    let auckland: TestHome
    let waterloo: TestHome
    let assets = "kitchener.ca/regional/assets"

    var homes: [TestHome] { [kitchener, auckland, waterloo] }

    init(rule: String = "any", autoMerge: Bool = false, redistribution: String = "{to: none}") throws {
        kitchener = try TestHome("kitchener.ca", "City of Kitchener")
        auckland = try TestHome("auckland.nz", "Auckland Council")
        waterloo = try TestHome("waterloo.ca", "City of Waterloo")
        for one in homes {
            for other in homes where other.city != one.city {
                let card = try other.node.cityCard(other.caller)["envelopes"]?.array?.compactMap(\.string) ?? []
                _ = try one.node.partnerAdd(
                    one.caller, card: card.joined(separator: "\n"),
                    fingerprint: try other.node.cityShow(other.caller)["fingerprint"]?.string, trustWithoutComparison: false,
                    endpoint: nil, dryRun: false)
            }
        }
        let yaml = """
            schema: hansa.agreement/1
            id: regional
            title: Regional assets
            parties:
              - {city: kitchener.ca, keyring: 1, role: provider}
              - {city: auckland.nz, keyring: 1, role: maintainer}
              - {city: waterloo.ca, keyring: 1, role: recipient}
            term: {effective: 2020-01-01, expires: 2099-12-31, termination: {notice: P1D, onEnd: retain}}
            clauses: [{id: "1", text: "Kitchener shares regional assets."}]
            terms:
              - clause: "1"
                from: kitchener.ca
                to: [auckland.nz, waterloo.ca]
                packages: ["kitchener.ca/regional/**"]
                kinds: [dataset]
                ceiling: TLP:AMBER
                redistribution: \(redistribution)
            maintainers: [{packages: ["kitchener.ca/regional/**"], cities: [kitchener.ca, auckland.nz], rule: \(rule), autoMerge: \(autoMerge)}]

            """
        _ = try kitchener.node.agreementPropose(kitchener.caller, yaml: yaml, officerKey: nil, dryRun: false)
        try meet()
        for home in [auckland, waterloo] {
            _ = try home.node.agreementAccept(home.caller, id: "regional", officerKey: nil, dryRun: false)
        }
        try meet()
        let pattern = "kitchener.ca/regional/**"
        for (one, other) in [(kitchener, auckland), (kitchener, waterloo), (auckland, kitchener), (auckland, waterloo)] {
            try one.grant(pattern, to: other, under: "regional")
        }
    }

    /// Every pair, until nothing more is said.
    func meet() throws {
        for _ in 0..<3 {
            try exchange(kitchener, auckland)
            try exchange(kitchener, waterloo)
            try exchange(auckland, waterloo)
        }
    }

    @discardableResult
    func publish(_ home: TestHome, _ folder: Folder, _ rows: String, merge: Bool = false) throws -> JSONValue {
        try folder.write("assets/assets.csv", "id,name,state\n" + rows)
        return try home.publish(
            [folder.path + "/assets"], PublishOptions(tlp: "GREEN", merge: merge), name: "kitchener.ca/regional/assets")
    }

    func head(_ home: TestHome) throws -> JSONValue? {
        try home.packages.first { $0["package"]?.string == assets }
    }

    func table(_ home: TestHome, _ reference: String? = nil) throws -> String? {
        let target = Folder()
        try home.checkout(reference ?? assets, into: target, payload: true)
        return target.text("assets.csv")
    }
}

struct CoMaintainedTests {
    private let ours = Folder()
    private let theirs = Folder()

    @Test func aMaintainersReleaseReachesAllPartiesAndIsTheHeadEverywhere() throws {
        let region = try Region()
        try region.publish(region.kitchener, ours, "1,pump,good\n2,valve,good\n")
        try region.meet()
        let release = try region.publish(region.auckland, theirs, "1,pump,worn\n2,valve,good\n")
        #expect(release["package"]?.string == region.assets && release["version"]?.string == "1.0.1")
        try region.meet()
        for home in region.homes {
            let head = try #require(try region.head(home))
            #expect(head["release"] == release["release"] && head["heads"] == 1, "\(home.city)")
            #expect(try region.table(home) == "id,name,state\n1,pump,worn\n2,valve,good\n", "\(home.city)")
        }
        // And on: the owner follows the maintainer, the maintainer the owner.
        _ = try #require(
            problem { try region.publish(region.kitchener, ours, "1,pump,good\n2,valve,old\n") }?.code == .packageDiverged)
        let next = try region.publish(region.kitchener, ours, "1,pump,worn\n2,valve,old\n", merge: true)
        try region.meet()
        let last = try region.publish(region.auckland, Folder(), "1,pump,worn\n2,valve,gone\n")
        try region.meet()
        #expect(next["version"]?.string == "1.0.2" && last["version"]?.string == "1.0.3")
        for home in region.homes { #expect(try region.head(home)?["release"] == last["release"], "\(home.city)") }
        // A checkout by a third city says who signed it, and verifies.
        let target = Folder()
        try region.waterloo.checkout(region.assets, into: target)
        #expect(try region.waterloo.verify(target.path)["valid"] == true)
        // Who shows what: each writer its own.
        let own = try region.auckland.why("waterloo.ca", region.assets)
        #expect(own["allowed"] == true && own["passage"] == "maintained" && own["shows"]?[0]?["writer"] == "auckland.nz")
        let owners = try region.auckland.why("kitchener.ca", region.assets)
        #expect(owners["allowed"] == true && owners["shows"]?[0]?["allowed"] == true, "what we may have, and what we show")
        let seen = try region.kitchener.node.accessTest(region.kitchener.caller, partner: "waterloo.ca")["packages"]?.array
        #expect(seen?.count == 1 && seen?.first?["release"] == next["release"] && seen?.first?["passage"] == "own")
        let shown = try region.waterloo.node.packageShow(region.waterloo.caller, reference: region.assets)
        #expect(shown["maintainers"]?.array?.compactMap(\.string) == ["auckland.nz", "kitchener.ca"])
        #expect(shown["heldFrom"]?.array?.map { $0["passage"]?.string } == ["maintained"])
        #expect(shown["shownTo"]?.array?.isEmpty == true)
        let grants = try region.auckland.node.accessList(region.auckland.caller, partner: nil)["grants"]?.array
        #expect(grants?.allSatisfy { $0["passages"]?.array == ["maintained"] } == true)
        // The same again is no release.
        #expect(try region.publish(region.kitchener, ours, "1,pump,worn\n2,valve,gone\n", merge: false)["unchanged"] == true)
    }

    @Test func aCityThatIsNoMaintainerPublishesNothingThere() throws {
        let region = try Region()
        try region.publish(region.kitchener, ours, "1,pump,good\n")
        try region.meet()
        #expect(problem { try region.publish(region.waterloo, theirs, "1,pump,worn\n") }?.code == .badName)
        // Nor does a maintainer begin a package, or lower its label.
        #expect(
            problem { try region.auckland.publish([theirs.path + "/assets"], name: "kitchener.ca/regional/other") }?.code
                == .notAuthoritative)
        try theirs.write("assets/assets.csv", "id\n1\n")
        #expect(
            problem {
                try region.auckland.publish(
                    [theirs.path + "/assets"], PublishOptions(tlp: "CLEAR"), name: "kitchener.ca/regional/assets")
            }?.code == .notAuthoritative)
    }

    @Test func underTheOwnersRuleAMaintainersReleaseWaitsForTheOwner() throws {
        let region = try Region(rule: "owner")
        let first = try region.publish(region.kitchener, ours, "1,pump,good\n")
        try region.meet()
        let added = try region.publish(region.auckland, theirs, "1,pump,worn\n")
        try region.meet()
        for home in region.homes {
            #expect(try region.head(home)?["release"] == first["release"], "\(home.city)")
            #expect(
                try region.table(home, "\(region.assets)@\(added["release"]?.string ?? "")") == "id,name,state\n1,pump,worn\n")
        }
        // It is not lost on the one who wrote it: the same directory is no second release.
        #expect(try region.publish(region.auckland, theirs, "1,pump,worn\n")["unchanged"] == true)
    }

    @Test func aWithdrawalByTheOwnerEndsWhatMaintainersWrote() throws {
        let region = try Region()
        try region.publish(region.kitchener, ours, "1,pump,good\n")
        try region.meet()
        try region.publish(region.auckland, theirs, "1,pump,worn\n")
        try region.meet()
        #expect(
            problem {
                _ = try region.auckland.node.packageWithdraw(
                    region.auckland.caller, package: region.assets, reason: "x", dryRun: false)
            }?.code == .notAuthoritative)
        // Written and not yet shown when the owner withdraws.
        try region.publish(region.auckland, theirs, "1,pump,broken\n")
        _ = try region.kitchener.node.packageWithdraw(
            region.kitchener.caller, package: region.assets, reason: "wrong", dryRun: false)
        try region.meet()
        for home in region.homes {
            #expect(try region.head(home)?["origin"]?.string == "ended", "\(home.city)")
            #expect(problem { try home.checkout(region.assets, into: Folder()) } != nil, "\(home.city)")
        }
        #expect(problem { try region.publish(region.auckland, theirs, "1,pump,new\n") }?.code == .notAuthoritative)
        // Published again it begins anew, and the maintainer follows.
        try region.publish(region.kitchener, ours, "1,pump,new\n")
        try region.meet()
        let last = try region.publish(region.auckland, theirs, "1,pump,newer\n", merge: true)
        try region.meet()
        for home in region.homes { #expect(try region.head(home)?["release"] == last["release"], "\(home.city)") }
    }
}

/// Something happens once, when it is first asked whether to go on.
private final class InterruptedConversation: Conversation {
    // Of one merge, which is one thread.
    nonisolated(unsafe) private var once: (() -> Void)?

    init(_ once: @escaping () -> Void) { self.once = once }

    func report(_ progress: HansaNode.Progress) {}
    func warn(_ message: String) {}
    var isCancelled: Bool {
        once.take()?()
        return false
    }
}

/// Two heads become one again.
struct MergingTests {
    private let ours = Folder()
    private let theirs = Folder()
    private let region: Region

    init() throws {
        region = try Region(autoMerge: true)
        try region.publish(region.kitchener, ours, "1,pump,good\n2,valve,good\n3,pipe,good\n")
        try region.meet()
    }

    /// Both publish before they meet.
    private func part(_ first: String, _ second: String) throws -> (JSONValue, JSONValue) {
        let one = try region.publish(region.auckland, theirs, second)
        let other = try region.publish(region.kitchener, ours, first)
        try region.meet()
        return (other, one)
    }

    private func merge(
        _ home: TestHome, publish: Bool = false, into folder: Folder? = nil, with other: String? = nil
    ) throws -> JSONValue {
        try home.node.conflictMerge(
            home.caller, package: region.assets, with: other, publish: publish, limit: 100, dryRun: false,
            sink: folder.map { FolderSink($0.path) }, conversation: FolderSource([]))
    }

    private func open(_ home: TestHome) throws -> [JSONValue] {
        try home.node.conflictList(home.caller)["conflicts"]?.array ?? []
    }

    @Test func whatDoesNotContradictItselfIsMergedCellByCellByTheOwnerAlone() throws {
        let (mine, yours) = try part("1,pump,worn\n2,valve,good\n3,pipe,good\n", "1,pump,good\n2,valve,old\n4,tank,new\n")
        for home in region.homes {
            let row = try #require(try open(home).first)
            #expect(row["kind"] == "heads")
            let heads = row["heads"]?.array?.compactMap { $0["release"]?.string } ?? []
            #expect(Set(heads) == Set([mine, yours].compactMap { $0["release"]?.string }), "\(home.city)")
            // The same pick everywhere, and the other can be had.
            #expect(row["counted"] == (try open(region.kitchener).first?["counted"]))
            for head in heads { #expect(try region.table(home, "\(region.assets)@\(head)") != nil) }
        }
        #expect(
            try region.kitchener.node.status(region.kitchener.caller)["attention"]?.array?.contains {
                $0["code"] == "package-heads"
            }
                == true)
        let proposal = try merge(region.waterloo)
        #expect(proposal["clean"] == true && proposal["published"]?.isNull == true)
        let table = try #require(proposal["files"]?.array?.first { $0["path"] == "assets.csv" })
        let cells = table["provenance"]?.array ?? []
        #expect(cells.contains { $0["kind"] == "cell" && $0["column"] == "state" })
        #expect(problem { _ = try merge(region.waterloo, publish: true) }?.code == .notAuthoritative)
        // Nobody but the owner signs it by itself.
        region.auckland.node.mergeByItself()
        region.waterloo.node.mergeByItself()
        #expect(try open(region.auckland).count == 1)
        region.kitchener.node.mergeByItself()
        try region.meet()
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            let table = try #require(try region.table(home))
            #expect(
                Set(table.split(separator: "\n")) == ["id,name,state", "1,pump,worn", "2,valve,old", "4,tank,new"], "\(home.city)"
            )
        }
        let history = try region.waterloo.node.packageHistory(region.waterloo.caller, package: region.assets)["releases"]?.array
        #expect(history?.filter { $0["operation"] == "merge" && $0["head"] == true }.count == 1)
    }

    @Test func whatContradictsItselfWaitsForAPersonWhoMergesADirectory() throws {
        _ = try part("1,pump,worn\n2,valve,good\n3,pipe,good\n", "1,pump,broken\n2,valve,old\n3,pipe,good\n")
        region.kitchener.node.mergeByItself()
        #expect(try open(region.kitchener).count == 1)
        #expect(problem { _ = try merge(region.auckland, publish: true) }?.exit == .conflict)
        let merged = Folder()
        let proposal = try merge(region.auckland, into: merged)
        #expect(proposal["clean"] == false && proposal["conflicts"] == 1)
        let undecided = proposal["files"]?.array?.compactMap { $0["undecided"]?.array }.flatMap { $0 }.first
        #expect(undecided?["column"] == "state" && undecided?["key"]?.array == ["1"])
        #expect(merged.text("assets.csv")?.contains("2,valve,old") == true)
        #expect(merged.text("datapackage.json")?.contains("assets.csv") == true)
        try merged.write("assets.csv", "id,name,state\n1,pump,gone\n2,valve,old\n3,pipe,good\n")
        let may = try region.auckland.node.conflictResolve(
            region.auckland.caller, package: region.assets, take: nil, merge: true, dryRun: true)
        #expect(may["publish"] == true)
        try region.auckland.publish([merged.path], PublishOptions(merge: true), name: region.assets)
        try region.meet()
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            #expect(try region.table(home)?.contains("1,pump,gone") == true, "\(home.city)")
        }
    }

    @Test func oneHeadCanBeTakenAndTheOtherStaysInTheHistory() throws {
        let (_, yours) = try part("1,pump,worn\n", "1,pump,broken\n")
        let taken = try region.kitchener.node.conflictResolve(
            region.kitchener.caller, package: region.assets, take: "\(region.assets)@\(yours["release"]?.string ?? "")",
            merge: false,
            dryRun: false)
        try region.meet()
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            #expect(try region.head(home)?["release"] == taken["head"], "\(home.city)")
            #expect(try region.table(home) == "id,name,state\n1,pump,broken\n", "\(home.city)")
        }
    }

    // MARK: Heads that come meanwhile

    private let apart = ("1,pump,worn\n2,valve,good\n3,pipe,good\n", "1,pump,good\n2,valve,old\n3,pipe,good\n")

    /// Two heads, of which auckland.nz's counts: it has more history.
    private func partOften() throws -> (JSONValue, JSONValue) {
        try region.publish(region.auckland, theirs, "1,pump,good\n2,valve,worn\n3,pipe,good\n")
        return try part(apart.0, apart.1)
    }

    /// What auckland.nz publishes upon its own head while kitchener.ca merges; it is there at once.
    private func arrive(_ rows: String = "1,pump,good\n2,valve,old\n3,pipe,gone\n") -> JSONValue? {
        let published = try? region.publish(region.auckland, theirs, rows)
        try? exchange(region.kitchener, region.auckland)
        return published
    }

    /// Nothing was signed, and what came is a head like the other.
    private func expectOpen(_ mine: JSONValue, _ late: JSONValue?, _ where: String) throws {
        let late = try #require(late?["release"]?.string)
        let row = try #require(try open(region.kitchener).first, "\(`where`)")
        let heads = row["heads"]?.array?.compactMap { $0["release"]?.string } ?? []
        #expect(Set(heads) == [try #require(mine["release"]?.string), late], "\(`where`)")
        let history = try region.kitchener.node.packageHistory(region.kitchener.caller, package: region.assets)["releases"]?.array
        #expect(history?.contains { $0["operation"] == "merge" } == false, "\(`where`)")
    }

    @Test func aHeadThatComesWhileTheNodeMergesByItselfIsMergedWithTheNextTry() throws {
        let (mine, _) = try partOften()
        var late: JSONValue?
        let conversation = InterruptedConversation { late = arrive() }
        region.kitchener.node.mergeByItself(conversation)
        try expectOpen(mine, late, "by itself")
        region.kitchener.node.mergeByItself()
        try region.meet()
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            #expect(try region.table(home) == "id,name,state\n1,pump,worn\n2,valve,old\n3,pipe,gone\n", "\(home.city)")
        }
    }

    @Test(arguments: [1, 2, 3], [true, false])
    func aHeadThatComesWhileADirectoryIsPublishedAsTheMergeIsNotLost(step: Int, withNote: Bool) throws {
        let (mine, _) = try partOften()
        let merged = Folder()
        _ = try merge(region.kitchener, into: merged)
        let note = try #require(merged.text(MergeNote.fileName).flatMap { MergeNote(text: $0) })
        #expect(note.package == region.assets && note.heads.count == 2)
        var late: JSONValue?
        let refused = problem {
            try region.kitchener.publish(
                [merged.path], PublishOptions(merge: true, merges: withNote ? [note] : nil), name: region.assets
            ) { source in source.onProceed = { if $0 == step { late = arrive() } } }
        }
        #expect(refused?.code == .packageDiverged && refused?.exit == .conflict)
        #expect(refused?.message.contains("auckland.nz published kitchener.ca/regional/assets 1.0.3") == true)
        #expect(refused?.next?.contains("conflict merge kitchener.ca/regional/assets NEWDIR") == true)
        try expectOpen(mine, late, "step \(step)")
    }

    @Test func aDirectoryFollowsTheHeadsThatItWasMadeOf() throws {
        let (mine, _) = try partOften()
        let merged = Folder()
        _ = try merge(region.kitchener, into: merged)
        let note = try #require(merged.text(MergeNote.fileName).flatMap { MergeNote(text: $0) })
        // Hours later, while it is edited.
        let late = arrive()
        let options = PublishOptions(merge: true, merges: [note])
        #expect(problem { try region.kitchener.publish([merged.path], options, name: region.assets) }?.code == .packageDiverged)
        try expectOpen(mine, late, "edited")
        // A proposal of what there is now.
        let again = Folder()
        _ = try merge(region.kitchener, into: again)
        let newer = try #require(again.text(MergeNote.fileName).flatMap { MergeNote(text: $0) })
        #expect(newer != note)
        let source = FolderSource([again.path], name: region.assets)
        _ = try region.kitchener.node.packagePublish(
            region.kitchener.caller, options: PublishOptions(name: region.assets, merge: true, merges: [newer]), source: source)
        #expect(source.warnings.isEmpty)
        try region.meet()
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            #expect(try region.table(home) == "id,name,state\n1,pump,worn\n2,valve,old\n3,pipe,gone\n", "\(home.city)")
        }
    }

    @Test func aHeadThatComesWhileOneIsTakenIsNotLost() throws {
        let (mine, yours) = try partOften()
        let node = region.kitchener.node
        let id = try node.packageID(region.assets)
        let made = try #require(try node.read { try node.headReleases(of: id, $0) })
        let late = arrive()
        let taken = try node.resolve("\(region.assets)@\(yours["release"]?.string ?? "")").release
        let refused = problem { _ = try node.takeHead(taken, of: made, region.kitchener.caller, dryRun: false) }
        #expect(refused?.code == .packageDiverged && refused?.next?.contains("conflict show") == true)
        try expectOpen(mine, late, "taken")
    }

    @Test func aNoteSaysWhatItWasWrittenFromAndNothingElseIsOne() throws {
        let note = MergeNote(package: region.assets, heads: [Digest.zero])
        #expect(MergeNote(text: note.text) == note)
        for text in ["", "hansa-merge/2 a/b\n", "hansa-merge/1 a/b\nsha256:12\n"] { #expect(MergeNote(text: text) == nil) }
    }

    // MARK: Histories that cross

    /// Both merge the same two heads, and decide one cell differently: against either ancestor one side alone has changed it.
    @Test func headsThatComeFromTwoMergesOfTheSameAreForAPerson() throws {
        _ = try part("1,pump,worn\n", "1,pump,broken\n")
        for (home, rows) in [(region.kitchener, "1,pump,broken\n2,valve,new\n"), (region.auckland, "1,pump,worn\n")] {
            try region.publish(home, Folder(), rows, merge: true)
        }
        try region.meet()
        #expect(try open(region.kitchener).first?["heads"]?.array?.count == 2)
        let proposal = try merge(region.kitchener)
        #expect(proposal["clean"] == false)
        #expect(proposal["doubt"]?.string?.contains("2 releases beside one another") == true)
        let refused = problem { _ = try merge(region.kitchener, publish: true) }
        #expect(refused?.code == .packageForked && refused?.next?.contains("--merge DIR") == true)
        region.kitchener.node.mergeByItself()
        #expect(try open(region.kitchener).count == 1)
        // A person compared them.
        try region.publish(region.kitchener, Folder(), "1,pump,broken\n2,valve,new\n", merge: true)
        try region.meet()
        for home in region.homes { #expect(try open(home).isEmpty, "\(home.city)") }
    }

    @Test func headsOfEqualContentAreOne() throws {
        let table = "1,pump,worn\n2,valve,good\n3,pipe,good\n"
        _ = try part(table, table)
        for home in region.homes {
            #expect(try open(home).isEmpty, "\(home.city)")
            #expect(try region.table(home) == "id,name,state\n" + table, "\(home.city)")
        }
    }

    @Test func whatWaitsForTheOwnerIsTakenOrLeft() throws {
        let region = try Region(rule: "owner")
        try region.publish(region.kitchener, ours, "1,pump,good\n")
        try region.meet()
        for takesTheirs in [true, false] {
            let before = try region.table(region.kitchener)
            let added = try region.publish(region.auckland, Folder(), "1,pump,\(takesTheirs ? "worn" : "lost")\n", merge: true)
            try region.meet()
            #expect(try open(region.kitchener).map { $0["kind"]?.string } == ["waiting"])
            let reference = takesTheirs ? "\(region.assets)@\(added["release"]?.string ?? "")" : region.assets
            _ = try region.kitchener.node.conflictResolve(
                region.kitchener.caller, package: region.assets, take: reference, merge: false, dryRun: false)
            try region.meet()
            for home in region.homes {
                #expect(try open(home).isEmpty, "\(home.city)")
                #expect(try region.table(home) == (takesTheirs ? "id,name,state\n1,pump,worn\n" : before), "\(home.city)")
            }
        }
    }
}
