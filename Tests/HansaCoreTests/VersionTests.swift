import HansaCore
import Testing

@Suite struct VersionTests {
    @Test(arguments: ["0.0.0", "1.0.0", "1.22.333", "999999999.999999999.999999999"])
    func versionsReadBackFromTheirText(text: String) throws { #expect(try #require(Version(text)).description == text) }

    @Test(arguments: [
        "", "1", "1.0", "1.0.0.0", "01.0.0", "1.00.0", "1.0.", ".1.0", "1..0", "+1.0.0", "-1.0.0", "1.0.0-rc", "1.0.0+b",
        " 1.0.0", "1.0.0\n",
        "1000000000.0.0", "1.0.99999999999999999999", "v1.0.0", "1,0,0", "１.0.0",
    ])
    func otherTextsAreNone(text: String) { #expect(Version(text) == nil) }

    @Test func versionsAreOrderedByNumber() {
        let ordered = [
            Version(0, 0, 1), Version(0, 1, 0), Version(0, 9, 0), Version(0, 10, 0), Version(1, 0, 0), Version(1, 0, 2),
            Version(2, 0, 0),
        ]
        #expect(ordered.shuffled().sorted() == ordered)
    }

    @Test func thePatchAfterTheLastIsTheNextMinor() {
        #expect(Version(1, 2, 3).nextPatch == Version(1, 2, 4))
        #expect(Version(1, 2, Version.partMax).nextPatch == Version(1, 3, 0))
        #expect(Version(1, Version.partMax, Version.partMax).nextPatch == Version(2, 0, 0))
    }
}
