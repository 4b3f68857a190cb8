import HansaCore
import HansaLog
import HansaSync
import Testing

@Suite struct RefusalMergerTests {
    let city = try? CityID("kitchener.ca")
    let start = Timestamp(milliseconds: 1_790_000_040_000)

    func draft(_ reason: String) -> LogDraft { LogDraft(.accessDenied, outcome: .refused, partner: city, reason: reason) }

    @Test func theFirstOfAMinuteIsLoggedAndTheRestAreCounted() {
        let merger = RefusalMerger()
        #expect(merger.admit(draft("a"), at: start) == [draft("a")])
        for _ in 0..<999 { #expect(merger.admit(draft("a"), at: start.adding(seconds: 5)) == []) }
        #expect(merger.admit(draft("b"), at: start) == [draft("b")])
        #expect(merger.take(at: start.adding(seconds: 6)) == [])
        let drafts = merger.take(at: start.adding(seconds: 60))
        #expect(drafts.map(\.reason) == ["a"])
        #expect(drafts.first?.details == ["count": 999])
        #expect(merger.take(at: start.adding(seconds: 120), all: true) == [])
    }

    @Test func aNewMinuteBringsTheCountOfTheLastWithIt() {
        let merger = RefusalMerger()
        for _ in 0..<3 { _ = merger.admit(draft("a"), at: start) }
        let drafts = merger.admit(draft("a"), at: start.adding(seconds: 61))
        #expect(drafts.map(\.details) == [["count": 2], nil])
    }

    @Test func kindsBeyondTheBoundAreCountedTogether() {
        let merger = RefusalMerger()
        for number in 0..<RefusalMerger.kindsMax { _ = merger.admit(draft("\(number)"), at: start) }
        #expect(merger.admit(draft("x"), at: start).count == 1)
        for number in 0..<1000 { #expect(merger.admit(draft("y\(number)"), at: start) == []) }
    }
}
