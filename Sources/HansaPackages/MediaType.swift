// Format and media type of a file, by its extension (IANA media types registry; Data Resource v2 `format` and `mediatype`).

/// What a file's name says about its content.
public struct MediaType: Sendable, Equatable {
    /// The extension in lower case, as Data Resource's `format`.
    public let format: String
    /// Nil for an extension we do not know.
    public let name: String?

    /// Nil when the last segment of the path has no extension.
    public init?(path: String) {
        let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[path.utf8.index(after: $0)...] } ?? path[...]
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot > name.startIndex else { return nil }
        let format = name[name.utf8.index(after: dot)...].lowercased()
        let fits = format.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
        guard fits, (1...10).contains(format.utf8.count) else { return nil }
        self.format = format
        self.name = MediaType.names[format]
    }

    /// True for the formats from which a Table Schema is inferred.
    public var isDelimitedText: Bool { format == "csv" || format == "tsv" || format == "tab" }

    private static let names: [String: String] = [
        "csv": "text/csv", "tsv": "text/tab-separated-values", "tab": "text/tab-separated-values", "json": "application/json",
        "geojson": "application/geo+json", "jsonl": "application/jsonl", "ndjson": "application/x-ndjson",
        "jsonld": "application/ld+json", "md": "text/markdown", "txt": "text/plain", "html": "text/html", "htm": "text/html",
        "xml": "application/xml", "gml": "application/gml+xml", "kml": "application/vnd.google-earth.kml+xml",
        "kmz": "application/vnd.google-earth.kmz", "gpx": "application/gpx+xml", "gpkg": "application/geopackage+sqlite3",
        "shp": "application/vnd.shp", "shx": "application/vnd.shx", "dbf": "application/vnd.dbf", "pdf": "application/pdf",
        "zip": "application/zip", "gz": "application/gzip", "zst": "application/zstd",
        "parquet": "application/vnd.apache.parquet", "sqlite": "application/vnd.sqlite3", "yaml": "application/yaml",
        "yml": "application/yaml", "ttl": "text/turtle", "rdf": "application/rdf+xml",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xls": "application/vnd.ms-excel",
        "ods": "application/vnd.oasis.opendocument.spreadsheet", "odt": "application/vnd.oasis.opendocument.text",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "png": "image/png",
        "jpg": "image/jpeg", "jpeg": "image/jpeg", "svg": "image/svg+xml", "tif": "image/tiff", "tiff": "image/tiff",
        "webp": "image/webp", "mp4": "video/mp4",
    ]
}
