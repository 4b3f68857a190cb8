// The exchange's view of segments (`ContentStore` in HansaSync). The room's own faults become the store's: after a failed fsync the segment
// store refuses everything, and `sync` says so for good.
public import HansaContent
public import HansaCore
internal import HansaCrypto
public import HansaSync

extension SegmentStore: ContentStore {
    public func append(block: StoredBlock) throws -> ContentLocation {
        try append(recorded: .block(block.record))
    }

    public func append(document: [UInt8], digest: Digest) throws -> ContentLocation {
        try append(recorded: .document(digest: digest, bytes: document))
    }

    public func append(table: [UInt8], release: Digest) throws -> [ContentLocation] {
        do { return try append(SegmentRecord.tableParts(table)).map(ContentLocation.init) } catch { throw StoreFault(error) }
    }

    public func append(page: [UInt8], release: Digest) throws -> ContentLocation {
        try append(recorded: .page(digest: SHA256.hash(page), bytes: page))
    }

    public func append(index root: Digest, table: Digest, chunks: Int, pages: [Digest]) throws {
        _ = try append(recorded: .index(root: root, table: table, chunks: chunks, pages: pages))
    }

    public func append(block: StoredBlock, small: [SmallIndex]) throws -> (
        block: ContentLocation, indexes: [(table: [ContentLocation], page: ContentLocation)]
    ) {
        var records: [SegmentRecord] = [.block(block.record)]
        var begins: [Int] = []
        for one in small {
            begins.append(records.count)
            let table = SHA256.hash(one.table)
            let page = SHA256.hash(one.page)
            records += SegmentRecord.tableParts(one.table, digest: table)
            records.append(.page(digest: page, bytes: one.page))
            records.append(.index(root: one.root, table: table, chunks: one.chunks, pages: [page]))
        }
        let places = try append(all: records)
        let ends = begins.dropFirst() + [places.count]
        return (places[0], zip(begins, ends).map { (Array(places[$0..<($1 - 2)]), places[$1 - 2]) })
    }

    /// Appends records of many packages with few writes; places are in their order. Not durable before `sync` returns. After an error some
    /// may have been appended: nobody knows them, and they only cost room.
    public func append(all records: [SegmentRecord]) throws -> [ContentLocation] {
        do { return try append(records).map(ContentLocation.init) } catch { throw StoreFault(error) }
    }

    public func block(at location: ContentLocation) throws -> StoredBlock {
        do {
            let block = try readBlock(SegmentLocation(location))
            return StoredBlock(codec: block.codec, rawLength: block.rawLength, chunks: block.chunks, bytes: block.bytes)
        } catch {
            throw StoreFault(error)
        }
    }

    public func body(at location: ContentLocation) throws -> [UInt8] {
        do {
            switch try read(SegmentLocation(location)) {
            case .document(_, let bytes), .tablePart(_, _, _, let bytes), .page(_, let bytes), .other(_, let bytes): return bytes
            case .block, .index:
                throw StoreFault.damaged(
                    "segment \(location.segment) has another kind of record at byte \(location.offset) than the database says")
            }
        } catch let fault as SegmentStoreFault {
            throw StoreFault(fault)
        }
    }

    private func append(recorded record: SegmentRecord) throws -> ContentLocation {
        do { return ContentLocation(try append(record)) } catch { throw StoreFault(error) }
    }
}

extension ContentLocation {
    init(_ location: SegmentLocation) { self.init(segment: location.segment, offset: location.offset, length: location.length) }
}

extension SegmentLocation {
    init(_ location: ContentLocation) { self.init(segment: location.segment, offset: location.offset, length: location.length) }
}

extension StoreFault {
    init(_ fault: SegmentStoreFault) {
        switch fault {
        case .noSpace(let missing): self = .diskFull(bytesMissing: missing > 0 ? missing : nil)
        case .damaged: self = .damaged(fault.description)
        case .disk, .stopped, .nothingThere: self = .inputOutput(fault.description)
        }
    }
}
