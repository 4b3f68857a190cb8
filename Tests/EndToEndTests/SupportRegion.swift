// Cities of one agreement about packages that several of them write, or that one hands on: real nodes, real sessions.
import Foundation
import Testing

/// kitchener.ca owns `regional/**`; auckland.nz writes it too where maintainers are named; the others receive.
struct Region {
    static let package = "kitchener.ca/regional/assets"
    static let pattern = "kitchener.ca/regional/**"

    let world: World
    let kitchener: City
    let auckland: City
    let waterloo: City
    private let directories: URL

    var cities: [City] { [kitchener, auckland, waterloo] }

    /// With `rule` nil nobody but Kitchener writes. `more` are further parties: with `allMayHave` the owner's term names them.
    init(
        _ world: World, rule: String?, autoMerge: Bool = false, redistribution: String = "{to: none}", more: [City] = [],
        allMayHave: Bool = false
    ) throws {
        self.world = world
        kitchener = try world.city("kitchener.ca")
        auckland = try world.city("auckland.nz")
        waterloo = try world.city("waterloo.ca")
        directories = world.directory.appending(path: "work")
        let all = [kitchener, auckland, waterloo] + more
        for (place, one) in all.enumerated() { for other in all[(place + 1)...] { try world.introduce(one, other) } }
        let parties = all.map { "  - {city: \($0.id), keyring: 1, role: party}\n" }.joined()
        let recipients = ([auckland, waterloo] + (allMayHave ? more : [])).map(\.id).joined(separator: ", ")
        let maintainers = rule.map {
            "maintainers: [{packages: [\"\(Region.pattern)\"], cities: [kitchener.ca, auckland.nz], rule: \($0), autoMerge: \(autoMerge)}]\n"
        }
        let agreement = """
            schema: hansa.agreement/1
            id: regional
            title: Regional assets
            parties:
            \(parties)term: {effective: 2020-01-01, expires: 2099-12-31, termination: {notice: P1D, onEnd: retain}}
            clauses: [{id: "1", text: "Kitchener shares regional assets."}]
            terms:
              - clause: "1"
                from: kitchener.ca
                to: [\(recipients)]
                packages: ["\(Region.pattern)"]
                kinds: [dataset]
                ceiling: TLP:AMBER
                redistribution: \(redistribution)
            \(maintainers ?? "")
            """
        let file = world.directory.appending(path: "regional.yaml")
        try Data(agreement.utf8).write(to: file)
        try kitchener.hansa(["agreement", "propose", file.path])
        for city in all.dropFirst() {
            try eventually("\(city.id) has the proposal") { try city.agreementState("regional") == "proposed" }
            try city.hansa(["agreement", "accept", "regional", "--yes"])
        }
        for city in all { try eventually("it is active at \(city.id)") { try city.agreementState("regional") == "active" } }
    }

    /// Every writer shows its releases to everybody.
    func grantAll() throws {
        for (one, other) in [(kitchener, auckland), (kitchener, waterloo), (auckland, kitchener), (auckland, waterloo)] {
            try one.hansa(["access", "grant", other.id, Region.pattern, "--under", "regional"])
        }
    }

    /// Writes the table into the city's own directory and publishes that: the release's digest.
    @discardableResult
    func publish(_ city: City, _ rows: [String], merge: Bool = false) throws -> String {
        let directory = directories.appending(path: city.id)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let text = "id,name,state\n" + rows.map { $0 + "\n" }.joined()
        try Data(text.utf8).write(to: directory.appending(path: "assets.csv"))
        let outcome = try city.hansa(
            ["package", "publish", directory.path, "--name", Region.package, "--tlp", "GREEN", "--json"]
                + (merge ? ["--merge"] : []))
        return try #require(outcome.json["release"].text, "\(outcome)")
    }

    /// Both publish while neither knows of the other's: the node that ran meanwhile is the owner's.
    func publishBeside(_ owners: [String], _ maintainers: [String]) throws -> (String, String) {
        try auckland.stop()
        // The directories hold what the head says: the writers of this test see to it.
        let owner = try publish(kitchener, owners, merge: true)
        let maintainer = try publish(auckland, maintainers, merge: true)
        try auckland.serve()
        return (owner, maintainer)
    }

    func head(_ city: City) throws -> String? { try city.package(Region.package)?["release"].text }

    func settles(on release: String) throws {
        for city in cities {
            try eventually("\(release.prefix(19)) is the head at \(city.id)") {
                try head(city) == release && conflicts(city).isEmpty
            }
        }
    }

    func conflicts(_ city: City) throws -> [Document] { try city.hansa(["conflict", "list", "--json"]).json["conflicts"].array }

    /// The rows as a checkout has them, in order.
    func rows(_ city: City, _ reference: String = Region.package) throws -> [String] {
        let target = world.directory.appending(path: "out-\(UUID().uuidString.prefix(8))")
        try city.hansa(["package", "checkout", reference, target.path])
        #expect(try city.hansa(["package", "verify", target.path, "--json"]).json["valid"].bool == true)
        let text = try String(contentsOf: target.appending(path: "data/assets.csv"), encoding: .utf8)
        return text.split(separator: "\n").dropFirst().map(String.init).sorted()
    }

    func expectSoundLogs() throws { for city in cities { try city.expectSoundLog() } }
}
