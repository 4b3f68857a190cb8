import HansaCore
import HansaCrypto
import HansaTerms
import Testing

/// That the text is an agreement which passes its check is a test of HansaYAML, which can read it.
@Suite struct TemplateTests {
    private func text(id: String? = nil, title: String? = nil, own: String = "kitchener.ca") throws -> String {
        Templates.cityExchange(
            own: .init(city: try city(own), keyring: 3, name: "Kitchener"),
            partner: .init(city: try city("auckland.nz"), keyring: 1),
            effective: CalendarDate(year: 2026, month: 12, day: 1) ?? CalendarDate(daysSinceEpoch: 0), id: id, title: title)
    }

    @Test func everyPlaceIsFilledIn() throws {
        let text = try text()
        #expect(!text.contains("{{") && !text.contains("}}"))
        #expect(text.contains("id: \"kitchener-auckland-2026\"\n"))
        #expect(text.contains("title: \"City exchange between Kitchener and auckland.nz\"\n"))
        #expect(text.contains("effective: 2026-12-01\n") && text.contains("expires: 2027-11-30\n"))
        #expect(text.contains("keyring: 3\n"))
        #expect(text.contains("digest: \"\(Templates.all[0].digest.prefixed)\""))
        #expect(Templates.names == ["city-exchange"] && Templates.all.map(\.name) == Templates.names)
    }

    @Test func theDigestIsOfTheTemplateAndNotOfWhatIsFilledIn() throws {
        let line = try #require(try text().split(separator: "\n").first { $0.hasPrefix("template:") })
        #expect(try text(id: "other", title: "Other", own: "waterloo.ca").contains(line))
    }

    @Test func aTitleWithAPlaceOrQuotesInItStaysATitle() throws {
        let text = try text(title: "The \"{{own}}\"\nexchange \\ \u{1B}[31m")
        #expect(text.contains("title: \"The \\\"{{own}}\\\"\\nexchange \\\\ \u{FFFD}[31m\"\n"))
    }

    @Test func citiesOfOneFirstLabelAreNamedWhole() throws {
        let date = CalendarDate(daysSinceEpoch: 20_000)
        #expect(try Templates.defaultID(city("london.ca"), city("london.gov.uk"), date) == "london.ca-london.gov.uk-2024")
    }
}
