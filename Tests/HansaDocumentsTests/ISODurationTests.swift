import HansaCore
import HansaDocuments
import Testing

@Suite struct ISODurationTests {
    @Test(arguments: [
        ("P30D", 0, 30, 0), ("PT72H", 0, 0, 259_200), ("P1Y", 12, 0, 0), ("P1Y6M", 18, 0, 0), ("P2W", 0, 14, 0),
        ("PT0S", 0, 0, 0),
        ("P1Y2M3DT4H5M6S", 14, 3, 14_706), ("P0D", 0, 0, 0), ("PT90M", 0, 0, 5400), ("P012D", 0, 12, 0), ("P1000Y", 12_000, 0, 0),
    ])
    func durationsReadAsISO8601(text: String, months: Int, days: Int, seconds: Int) throws {
        let duration = try #require(ISODuration(text))
        #expect((duration.months, duration.days, duration.seconds) == (months, days, seconds))
        #expect(duration.description == text)
    }

    @Test(arguments: [
        "", "P", "PT", "30D", "P30", "PD", "P-1D", "-P1D", "+P1D", "P1.5D", "P1,5D", "P1D2Y", "P1DT", "PT1D", "P1H", "P1M1M",
        "PT1S1H", "P1WT1H", "P1W1D",
        "P1Y1W", "p1d", "P1D ", "PTT1H", "P1S", "P99999999999999999999D", "P1001Y", "P999999999D", "P1Y\u{0}", "P１D",
    ])
    func otherTextsAreNone(text: String) { #expect(ISODuration(text) == nil, "\(text)") }

    @Test func aDurationIsCountedInTheCalendar() throws {
        func after(_ duration: String, _ start: String) throws -> String {
            try #require(ISODuration(duration)).from(#require(Timestamp(start))).description
        }
        #expect(try after("P1M", "2026-01-31T10:00:00.500Z") == "2026-02-28T10:00:00.500Z")
        #expect(try after("P1Y", "2028-02-29T00:00:00.000Z") == "2029-02-28T00:00:00.000Z")
        #expect(try after("P1M1D", "2026-01-31T00:00:00.000Z") == "2026-03-01T00:00:00.000Z")
        #expect(try after("PT72H", "2026-12-30T23:00:00.000Z") == "2027-01-02T23:00:00.000Z")
        #expect(try after("P60D", "2026-12-01T00:00:00.000Z") == "2027-01-30T00:00:00.000Z")
        #expect(try after("PT0S", "2026-12-01T00:00:00.000Z") == "2026-12-01T00:00:00.000Z")
        let end = try #require(Timestamp("2027-03-31T00:00:00.000Z"))
        #expect(try #require(ISODuration("P1M")).before(end).description == "2027-02-28T00:00:00.000Z")
        #expect(try #require(ISODuration("P60DT1H")).before(end).description == "2027-01-29T23:00:00.000Z")
    }

    @Test func equalPartsAreEqualDurations() {
        #expect(ISODuration("P1Y") == ISODuration("P12M"))
        #expect(ISODuration("P1W") == ISODuration("P7D"))
        #expect(ISODuration("PT24H") != ISODuration("P1D"))
        #expect(ISODuration("P1M") != ISODuration("P30D"))
        #expect(ISODuration("PT0S")?.isZero == true)
    }
}
