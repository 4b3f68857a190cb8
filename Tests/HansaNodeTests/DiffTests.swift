import Foundation
import HansaCore
import HansaNode
import Testing

struct DiffTests {
    private let home: TestHome
    private let data = Folder()

    init() throws { home = try TestHome("kitchener.ca", "City of Kitchener") }

    private func publish(_ text: String, file: String = "x.csv", _ options: PublishOptions = PublishOptions()) throws -> JSONValue
    {
        try data.write("roads/" + file, text)
        return try home.publish([data.path + "/roads"], options)
    }

    private func diff(_ from: String, _ to: String, limit: Int = 10) throws -> JSONValue {
        try home.node.packageDiff(
            home.caller, from: "kitchener.ca/roads@" + from, to: "kitchener.ca/roads@" + to, limit: limit,
            conversation: FolderSource([]))
    }

    private static let table = "id,name,n\n1,a,5\n2,b,6\n"

    @Test func tablesAreComparedRowByRowAndAVersionIsProposed() throws {
        _ = try publish(Self.table)
        _ = try publish("id,name,n\n1,a,5\n2,b,66\n3,c,7\n")
        let document = try diff("1.0.0", "latest")
        #expect(document["schema"] == "hansa.package-diff/1" && document["equal"] == false)
        #expect(document["bump"] == "minor" && document["proposedVersion"] == "1.1.0")
        let rows = document["resources"]?.array?.first?["rows"]
        #expect(rows?["added"] == 1 && rows?["changed"] == 1 && rows?["removed"] == 0 && rows?["key"] == ["id"])
        #expect(rows?["examples"]?["added"] == [["key": ["3"], "values": ["3", "c", "7"]]])
        #expect(
            rows?["examples"]?["changed"]
                == [["key": ["2"], "cells": [["column": "n", "before": "6", "after": "66"]]]])
        #expect(try diff("1.0.0", "latest", limit: 0)["resources"]?.array?.first?["rows"]?["examples"]?["added"] == [])
        #expect(try diff("1.0.0", "1.0.0")["equal"] == true)
        #expect(
            try home.node.auditLog(home.caller, filter: LogFilter(event: "package.compared"), emit: nil)["entries"]?.array?.count
                == 3)
    }

    @Test func aBumpIsChosenByWhatChanged() throws {
        let auto = PublishOptions(bumpAuto: true)
        #expect(try publish(Self.table, auto)["version"] == "1.0.0")
        #expect(try publish(Self.table + "3,c,7\n", auto)["version"] == "1.1.0")
        #expect(try publish(Self.table + "3,c,8\n", auto)["version"] == "1.1.1")
        #expect(try publish("id,name,n,m\n1,a,5,1\n", auto)["version"] == "2.0.0")
        #expect(try publish("hello", file: "readme.txt", auto)["version"] == "2.1.0")
        #expect(try publish("hello", file: "readme.txt", auto)["unchanged"] == true)
        var dry = auto
        dry.dryRun = true
        #expect(try publish("hello!", file: "readme.txt", dry)["version"] == "2.1.1")
    }

    @Test func aDeclaredVersionThatIsHigherStays() throws {
        let describe = { (version: String) in
            "{\"name\":\"roads\",\"version\":\"\(version)\",\"resources\":[{\"name\":\"x\",\"path\":\"x.csv\"}]}"
        }
        try data.write("roads/datapackage.json", describe("1.0.0"))
        _ = try publish(Self.table)
        try data.write("roads/datapackage.json", describe("5.0.0"))
        #expect(try publish(Self.table + "3,c,7\n", PublishOptions(bumpAuto: true))["version"] == "5.0.0")
        #expect(try publish(Self.table + "4,d,8\n", PublishOptions(bumpAuto: true))["version"] == "5.1.0")
    }

    @Test func whatIsWithdrawnIsNotShownByAComparison() throws {
        _ = try publish(Self.table)
        _ = try publish(Self.table + "3,c,7\n")
        _ = try home.node.packageWithdraw(home.caller, package: "kitchener.ca/roads", reason: "personal data", dryRun: false)
        #expect(problem { _ = try diff("1.0.0", "1.0.1") }?.code == .packageWithdrawn)
        #expect(problem { _ = try diff("9.9.9", "1.0.1") }?.code == .packageUnknown)
    }

    @Test func whatAPartnerEndedIsNotShownByAComparison() throws {
        let (kitchener, auckland) = try TestHome.pair()
        let agreement = try kitchener.propose(to: auckland)
        try exchange(kitchener, auckland)
        _ = try auckland.node.agreementAccept(auckland.caller, id: agreement, officerKey: nil, dryRun: false)
        try exchange(kitchener, auckland)
        try data.write("roads/x.csv", Self.table)
        try kitchener.publish([data.path + "/roads"], PublishOptions(tlp: "GREEN"))
        let grant = try kitchener.grant("kitchener.ca/roads", to: auckland, under: agreement)
        try exchange(kitchener, auckland)
        func compare() throws {
            _ = try auckland.node.packageDiff(
                auckland.caller, from: "kitchener.ca/roads", to: "kitchener.ca/roads", limit: 1, conversation: FolderSource([]))
        }
        try compare()
        _ = try kitchener.node.accessRevoke(kitchener.caller, grant: grant, dryRun: false)
        try exchange(kitchener, auckland)
        #expect(problem { try compare() }?.exit == .refusedByTerms)
    }
}
