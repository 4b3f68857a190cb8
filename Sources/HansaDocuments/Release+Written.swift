// A release's payload as `Release.payload()` writes it, member by member.

extension Release.Wire {
    /// Nil for a text that is not written so.
    init?(written payload: [UInt8]) {
        var text = WrittenText(payload)
        guard text.passes("{\"schema\":\""), let schema = text.text(),
            text.passes(",\"package\":\""), let package = text.text(),
            text.passes(",\"kind\":\""), let kind = text.text(),
            text.passes(",\"version\":\""), let version = text.text(),
            text.passes(",\"operation\":\""), let operation = text.text(),
            text.passes(",\"writer\":\""), let writer = text.text(),
            text.passes(",\"keyring\":"), let keyring = text.number(),
            text.passes(",\"seq\":"), let seq = text.number(),
            text.passes(",\"previous\":"), let previous = text.textOrNull(),
            text.passes(",\"parents\":["), let parents = text.texts(),
            text.passes(",\"clock\":{"), let clock = text.numbers(),
            text.passes(",\"issued\":\""), let issued = text.text(),
            text.passes(",\"tlp\":\""), let tlp = text.text(),
            text.passes(",\"title\":\""), let title = text.text(),
            text.passes(",\"bytes\":"), let bytes = text.number(),
            text.passes(",\"files\":"), let files = text.number(),
            text.passes(",\"manifest\":"), let manifest = text.textOrNull(),
            text.passes(",\"index\":")
        else { return nil }
        var index: Index?
        if !text.passes("null") {
            guard text.passes("{\"root\":\""), let root = text.text(), text.passes(",\"chunks\":"), let chunks = text.number(),
                text.passes(",\"pages\":"), let pages = text.number(), text.passes("}")
            else { return nil }
            index = Index(root: root, chunks: Int(chunks), pages: Int(pages))
        }
        // Renditions and reasons are rare: they are the decoder's.
        guard text.passes(",\"derivedFrom\":null}"), text.isAtEnd else { return nil }
        self.init(
            schema: schema, package: package, kind: kind, version: version, operation: operation, writer: writer,
            keyring: Int(keyring), seq: seq, previous: previous, parents: parents, clock: clock, issued: issued, tlp: tlp,
            title: title, bytes: bytes, files: Int(files), manifest: manifest, index: index, derivedFrom: nil, reason: nil)
    }
}
