internal import HansaCore

/// Columns under a heading, aligned; numbers to the right. An empty list says so instead.
struct Table {
    struct Column {
        let title: String
        let name: String
        let text: (JSONValue) -> String

        init(_ title: String, _ name: String, text: ((JSONValue) -> String)? = nil) {
            self.title = title
            self.name = name
            self.text = text ?? { Style.text($0[name], name: name) }
        }
    }

    let columns: [Column]
    var emptyText = "none"

    func render(_ rows: [JSONValue], _ style: Style) -> String {
        guard !rows.isEmpty else { return emptyText + "\n" }
        let cells = rows.map { row in columns.map { $0.text(row) } }
        let widths = columns.indices.map { column in
            ([columns[column].title] + cells.map { $0[column] }).map { Table.width($0) }.max() ?? 0
        }
        let numeric = columns.map { column in rows.allSatisfy { $0[column.name]?.double != nil } }
        func line(_ texts: [String]) -> String {
            var text = ""
            for (column, cell) in texts.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - Table.width(cell))
                text += numeric[column] ? padding + cell : column == texts.count - 1 ? cell : cell + padding
                if column < texts.count - 1 { text += "  " }
            }
            return text
        }
        var lines = [style.bold(line(columns.map(\.title)))]
        for row in cells { lines.append(line(row)) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Cells that a terminal gives to a text: two for East Asian wide characters, none for marks that combine. (Unicode TR 11, roughly.)
    static func width(_ text: String) -> Int {
        text.unicodeScalars.reduce(0) { width, scalar in
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format: return width
            default: break
            }
            switch scalar.value {
            case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
                0xFFE0...0xFFE6,
                0x1F300...0x1FAFF, 0x20000...0x3FFFD:
                return width + 2
            default: return width + 1
            }
        }
    }
}

/// Any document as lines `name  value`: scalars aligned, lists of objects as tables, the rest indented.
enum Outline {
    static func render(_ document: JSONValue, _ style: Style, leavingOut names: Set<String> = []) -> String {
        let members = (document.object ?? []).filter { $0.name != "schema" && !names.contains($0.name) }
        let scalars = members.filter { isLine($0.value) }
        let width = scalars.map { label($0.name).count }.max() ?? 0
        var text = ""
        for member in members {
            if isLine(member.value) {
                text +=
                    "\(label(member.name))\(String(repeating: " ", count: width - label(member.name).count))  \(Style.text(member.value, name: member.name))\n"
            } else if let items = member.value.array {
                text += style.bold(label(member.name)) + "\n" + indented(list(items, style))
            } else {
                text += style.bold(label(member.name)) + "\n" + indented(render(member.value, style))
            }
        }
        return text
    }

    /// Fits on the line of its name.
    private static func isLine(_ value: JSONValue) -> Bool {
        switch value {
        case .object: false
        case .array(let items): items.allSatisfy { $0.array == nil && $0.object == nil } && Style.text(value).count < 80
        default: true
        }
    }

    private static func list(_ items: [JSONValue], _ style: Style) -> String {
        guard let first = items.first?.object, items.allSatisfy({ $0.object?.map(\.name) == first.map(\.name) }),
            first.allSatisfy({ member in items.allSatisfy { isLine($0[member.name] ?? .null) } })
        else {
            return items.map { $0.object != nil ? render($0, style) : Style.text($0) + "\n" }.joined()
        }
        return Table(columns: first.map { Table.Column(label($0.name), $0.name) }).render(items, style)
    }

    /// `lastSync` as `last sync`.
    static func label(_ name: String) -> String {
        var text = ""
        for character in name.printable(charactersMax: 60) {
            if character.isUppercase { text += " " + character.lowercased() } else { text.append(character) }
        }
        return text
    }

    static func indented(_ text: String) -> String {
        text.split(separator: "\n").map { "  " + $0 + "\n" }.joined()
    }
}
