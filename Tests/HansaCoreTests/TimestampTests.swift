import HansaCore
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00.000Z", 0), ("1970-01-01T00:00:00.001Z", 1), ("2000-02-29T12:30:45.678Z", 951_827_445_678),
            ("2026-11-21T13:22:43.000Z", 1_795_267_363_000), ("2038-01-19T03:14:08.000Z", 2_147_483_648_000),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400_000), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] as [(String, Int64)])
    func momentsReadAndWriteAsRFC3339(text: String, milliseconds: Int64) throws {
        #expect(try #require(Timestamp(text)).milliseconds == milliseconds)
        #expect(Timestamp(milliseconds: milliseconds).description == text)
    }

    @Test func aFractionMayBeShort() {
        #expect(Timestamp("1970-01-01T00:00:01Z") == Timestamp(milliseconds: 1000))
        #expect(Timestamp("1970-01-01T00:00:01.5Z") == Timestamp(milliseconds: 1500))
        #expect(Timestamp("1970-01-01T00:00:01.05Z") == Timestamp(milliseconds: 1050))
    }

    @Test(arguments: [
        "", "2026-11-21", "2026-11-21T13:22:43", "2026-11-21T13:22:43z", "2026-11-21t13:22:43Z", "2026-11-21 13:22:43Z",
        "2026-11-21T13:22:43+00:00",
        "2026-11-21T13:22:43.Z", "2026-11-21T13:22:43.0000Z", "2026-11-21T24:00:00Z", "2026-11-21T23:60:00Z",
        "2026-11-21T23:59:60Z",
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-00T00:00:00Z",
        "1969-12-31T23:59:59Z", "02026-11-21T13:22:43Z", "2026-11-21T13:22:4３Z", "2026-11-21T13:22:43,5Z", "+026-11-21T13:22:43Z",
        "2026-11-21T13:22:-1Z",
    ])
    func otherTextsAreNone(text: String) { #expect(Timestamp(text) == nil) }

    @Test(arguments: [1, 2] as [UInt64]) func everyMomentReadsBack(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<5000 {
            let moment = Timestamp(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &random))
            #expect(Timestamp(moment.description) == moment, "seed \(seed)")
            #expect(Timestamp(moment.secondsDescription)?.milliseconds == moment.milliseconds / 1000 * 1000, "seed \(seed)")
            #expect(moment.date.start <= moment && moment < moment.date.end, "seed \(seed)")
        }
    }

    @Test func arithmeticSaturates() {
        #expect(Timestamp(seconds: .max).milliseconds == .max)
        #expect(Timestamp(seconds: .min).milliseconds == .min)
        #expect(Timestamp(milliseconds: .max).adding(milliseconds: 1).milliseconds == .max)
        #expect(Timestamp(milliseconds: .min).adding(seconds: -1).milliseconds == .min)
        #expect(Timestamp(milliseconds: 5).adding(seconds: 2).milliseconds == 2005)
    }
}

@Suite struct CalendarDateTests {
    /// A count from a partner may be anything: none of them ends the process.
    @Test(arguments: [.min, .min + 1, -62_167_219_200_001, -1, 253_402_300_800_000, .max] as [Int64])
    func everyCountOfMillisecondsIsWrittenAndReckonedWith(milliseconds: Int64) {
        let moment = Timestamp(milliseconds: milliseconds)
        #expect(moment.description.utf8.count == 24 && moment.secondsDescription.utf8.count == 20)
        #expect(Timestamp(milliseconds: 0).milliseconds(since: moment) >= 0 || milliseconds > 0)
        #expect(moment.date.daysSinceEpoch == Int64((Double(milliseconds) / 86_400_000).rounded(.down)))
    }

    @Test func timesBeyondTheYearsOfFourDigitsAreWrittenAsTheNearest() {
        #expect(Timestamp(milliseconds: .max).description == "9999-12-31T23:59:59.999Z")
        #expect(Timestamp(milliseconds: .min).description == "0000-01-01T00:00:00.000Z")
        #expect(Timestamp(milliseconds: -1).description == "1969-12-31T23:59:59.999Z")
    }

    @Test func leapYearsAreThoseOfTheGregorianCalendar() {
        for (year, isLeap) in [
            (1970, false), (1972, true), (2000, true), (2024, true), (2026, false), (2100, false), (2400, true),
        ] {
            #expect((CalendarDate("\(year)-02-29") != nil) == isLeap, "\(year)")
            #expect(CalendarDate("\(year)-02-30") == nil)
        }
    }

    /// Day by day through the whole range, beside a calendar that only counts.
    @Test func everyDayFollowsTheOneBefore() throws {
        var (year, month, day) = (1970, 1, 1)
        for count in 0..<(8030 * 366) where year < 10_000 {
            let date = CalendarDate(daysSinceEpoch: Int64(count))
            let parts = date.components
            guard parts == (year, month, day) else {
                Issue.record("day \(count) is \(parts), not \(year)-\(month)-\(day)")
                return
            }
            guard CalendarDate(year: year, month: month, day: day) == date else {
                Issue.record("\(year)-\(month)-\(day) is not day \(count)")
                return
            }
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let last = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
            if day < last {
                day += 1
            } else {
                (month, day) = (month % 12 + 1, 1)
                if month == 1 { year += 1 }
            }
        }
    }

    @Test func monthsEndWhereTheyAreShorter() throws {
        let last = try #require(CalendarDate("2026-01-31"))
        #expect(last.adding(months: 1).description == "2026-02-28")
        #expect(last.adding(months: 25).description == "2028-02-29")
        #expect(last.adding(months: 3).description == "2026-04-30")
        #expect(last.adding(months: 12).description == "2027-01-31")
        #expect(last.adding(months: -1).description == "2025-12-31")
        #expect(last.adding(months: -11).description == "2025-02-28")
        #expect(try #require(CalendarDate("2026-05-05")).adding(months: 8).description == "2027-01-05")
    }

    @Test func aDayEndsWhereTheNextBegins() throws {
        let day = try #require(CalendarDate("2027-11-30"))
        #expect(day.end.description == "2027-12-01T00:00:00.000Z")
        #expect(day.adding(days: 1).start == day.end)
        #expect(day.adding(days: -30).description == "2027-10-31")
    }
}
