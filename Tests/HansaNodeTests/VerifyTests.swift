import Foundation
import HansaCore
import HansaDocuments
import Testing

@testable import HansaNode

struct VerifyTests {
    private let home: TestHome
    private let data = Folder()
    private let target = Folder()

    init() throws {
        home = try TestHome("kitchener.ca", "City of Kitchener")
        try data.write("roads/x.csv", "a\n1\n")
        try home.publish([data.path + "/roads"])
        try home.checkout("kitchener.ca/roads", into: target)
    }

    /// Signs another release over the same bag, as a thief of the package key could, or a partner with its own.
    private func forge(_ change: (inout [String: Any]) -> Void) throws {
        let envelope = try Envelope(json: Array(try #require(target.text("release.dsse.json")).utf8))
        var members = try #require(try JSONSerialization.jsonObject(with: Data(envelope.payload)) as? [String: Any])
        change(&members)
        let payload = [UInt8](try JSONSerialization.data(withJSONObject: members, options: [.withoutEscapingSlashes]))
        let forged = Envelope.sign(payload, as: .release, with: [home.node.keys.package])
        try target.write("release.dsse.json", String(decoding: forged.json(), as: UTF8.self))
    }

    private func findings() throws -> [String] {
        let document = try home.verify(target.path)
        let findings = document["findings"]?.array?.compactMap { $0["problem"]?.string } ?? []
        #expect(document["valid"]?.bool == findings.isEmpty)
        return findings
    }

    @Test func aReleaseSignedAgainIsStillItsOwn() throws {
        try forge { _ in }
        #expect(try findings() == [])
    }

    @Test func onlyItsOwnCityWritesAPackage() throws {
        try forge { $0["package"] = "auckland.nz/roads" }
        #expect(try findings().contains { $0.contains("may not write packages of auckland.nz") })
    }

    @Test func aReleaseThatCountsOtherFilesIsFound() throws {
        try forge { $0["bytes"] = 999 }
        #expect(try findings().contains { $0.contains("999 bytes") })
    }

    @Test func aWithdrawalVouchesForNoFiles() throws {
        try forge {
            $0["operation"] = "withdraw"
            $0["manifest"] = NSNull()
            $0["index"] = NSNull()
            $0["bytes"] = 0
            $0["files"] = 0
            $0["reason"] = "x"
        }
        #expect(try !findings().isEmpty)
    }

    @Test func aReleaseLargerThanAnyIsAFinding() throws {
        try target.write("release.dsse.json", String(repeating: " ", count: 1 << 20))
        #expect(try findings() == ["is no signed release"])
    }

    @Test func aPackageBelowAnotherIsVerifiedByItself() throws {
        try data.write("roads/breaks/x.csv", "b\n2\n")
        try home.publish([data.path + "/roads/breaks"], name: "roads/breaks")
        let both = Folder()
        try home.checkout("kitchener.ca/roads*/**", into: both)
        try home.checkout("kitchener.ca/**", into: both)
        #expect(try home.verify(both.path + "/roads")["valid"] == true)
        #expect(try home.verify(both.path + "/roads/breaks")["valid"] == true)
        try both.write("roads/other/x", "stray")
        #expect(try home.verify(both.path + "/roads")["valid"] == false)
        let fault = problem { try home.checkout("kitchener.ca/**", into: Folder(), payload: true) }
        #expect(fault?.code == .usage && fault?.message.contains("roads/breaks") == true)
    }

    @Test func aTamperedBagIsRefusedByCheckAsByPublish() throws {
        try target.write("data/x.csv", "a\n2\n")
        #expect(
            problem { _ = try home.node.packageCheck(home.caller, reader: FolderSource([target.path])) }?.code
                == .packageInvalidBag)
        #expect(problem { try home.publish([target.path], name: "copy") }?.code == .packageInvalidBag)
    }
}
