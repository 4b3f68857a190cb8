public import HansaCore
internal import HansaCrypto

/// The agreements that `hansa agreement new` starts from. A template is text with places to fill in, so that its comments
/// reach the administrator; `template.digest` in the result is of the text before anything was filled in.
public enum Templates {
    /// A template's name and what it is for.
    public struct Summary: Hashable, Sendable {
        public let name: String
        public let text: String
        /// SHA-256 of the template before it is filled in.
        public let digest: Digest
    }

    /// A party as the template fills it in.
    public struct Party: Hashable, Sendable {
        public let city: CityID
        /// The keyring version whose officers will sign.
        public let keyring: Int
        /// The city's name for people; the id where it is not known.
        public let name: String

        public init(city: CityID, keyring: Int, name: String? = nil) {
            self.city = city
            self.keyring = keyring
            self.name = name ?? city.text
        }
    }

    public static let names = [cityExchangeName]

    public static var all: [Summary] {
        [
            Summary(
                name: cityExchangeName,
                text: "Two cities share their packages with each other, as far as each grants, for one year.",
                digest: digest(of: cityExchangeText))
        ]
    }

    /// The text of a `city-exchange` agreement: both directions, all packages and kinds, up to TLP:AMBER+STRICT, not passed
    /// on, one year from `effective`. `own` proposes. YAML that passes `agreement check` as it is.
    /// - Parameters:
    ///   - id: the agreement's name; made of both cities and the year when nil.
    ///   - title: a line for people; made of both names when nil.
    public static func cityExchange(
        own: Party, partner: Party, effective: CalendarDate, id: String? = nil, title: String? = nil
    ) -> String {
        let expires = effective.adding(months: 12).adding(days: -1)
        return fill(
            cityExchangeText,
            with: [
                ("id", quoted(id ?? defaultID(own.city, partner.city, effective))),
                ("title", quoted(title ?? "City exchange between \(own.name) and \(partner.name)")),
                ("digest", digest(of: cityExchangeText).prefixed),
                ("own", own.city.text),
                ("partner", partner.city.text),
                ("ownKeyring", String(own.keyring)),
                ("partnerKeyring", String(partner.keyring)),
                ("effective", effective.description),
                ("expires", expires.description),
            ])
    }

    /// `kitchener-auckland-2026`: the first labels of both and the year; the whole ids when the first labels are equal.
    public static func defaultID(_ own: CityID, _ partner: CityID, _ effective: CalendarDate) -> String {
        let labels = [own, partner].map { $0.text.prefix { $0 != "." } }
        let names = labels[0] == labels[1] ? [own.text[...], partner.text[...]] : labels
        return "\(names[0])-\(names[1])-\(effective.components.year)"
    }

    private static func digest(of template: String) -> Digest { SHA256.hash(Array(template.utf8)) }

    /// Replaces `{{name}}`. What is filled in is not looked at again, so a title that holds a place stays as it is.
    private static func fill(_ template: String, with values: [(name: String, value: String)]) -> String {
        var result = ""
        for (index, piece) in template.split(separator: "{{", omittingEmptySubsequences: false).enumerated() {
            guard index > 0, let end = piece.firstRange(of: "}}"),
                let value = values.first(where: { $0.name == piece[..<end.lowerBound] })
            else {
                result += (index > 0 ? "{{" : "") + piece
                continue
            }
            result += value.value + piece[end.upperBound...]
        }
        return result
    }

    /// A double-quoted YAML scalar.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            default:
                switch scalar.properties.generalCategory {
                case .control, .surrogate, .unassigned, .lineSeparator, .paragraphSeparator: result += "\u{FFFD}"
                default: result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
