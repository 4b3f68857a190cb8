// `package diff`: what changed between two releases.
public import HansaCore
internal import HansaDocuments
internal import HansaLog
internal import HansaPackages
internal import HansaSync

extension Node {
    /// `limit` bounds the examples of each kind that are shown of a table. Values leave the node, so it asks for what a checkout does.
    public func packageDiff(
        _ caller: Caller, from first: String, to second: String, limit: Int, conversation: any Conversation
    ) throws(Problem) -> JSONValue {
        guard (0...1000).contains(limit) else { throw Problem(.usage, "--limit is between 0 and 1000", try: "--limit 20") }
        let (oldRow, old) = try resolve(first)
        let (newRow, new) = try resolve(second)
        try mayCheckOut(oldRow, old)
        try mayCheckOut(newRow, new)
        try change { tx in
            try tx.log(
                LogDraft(
                    .packageCompared, actor: self.actor(caller), package: new.release.package, release: new.digest,
                    details: ["with": JSONValue(old.digest)]))
            return ((), ExchangeChanges())
        }
        let difference = try guarded { () throws -> PackageDiff in
            let before = try ReleaseContent(self, old) { conversation.isCancelled }
            let after = try ReleaseContent(self, new) { conversation.isCancelled }
            return try PackageDiff(from: before.version(), to: after.version()) { pair in
                conversation.report(
                    Progress(item: pair.after.path, bytesDone: 0, bytesTotal: pair.after.size, itemsDone: 0, itemsTotal: nil))
                return try TableDiff(
                    from: before.source(payload: pair.before.path), to: after.source(payload: pair.after.path), key: pair.key,
                    delimiters: pair.delimiters, limit: limit)
            }
        }
        func side(_ row: ReleaseRow) -> JSONValue {
            [
                "package": .string(row.release.package.description), "version": .string(row.release.version.description),
                "release": JSONValue(row.digest),
            ]
        }
        return [
            "schema": "hansa.package-diff/1", "from": side(old), "to": side(new), "equal": .bool(difference.isEmpty),
            "bump": .string(difference.bump.rawValue),
            "proposedVersion": .string(difference.bump.following(old.release.version).description),
            "reasons": .array(
                difference.reasons.map {
                    ["bump": .string($0.bump.rawValue), "text": .string($0.text.printable(charactersMax: 500))]
                }),
            "resources": .array(difference.resources.map(DiffDocument.resource)), "unchanged": JSONValue(difference.unchanged),
            "metadataChanged": .bool(difference.metadataChanged),
        ]
    }
}

/// The parts of a comparison as JSON.
private enum DiffDocument {
    static func resource(_ resource: PackageDiff.Resource) -> JSONValue {
        var members: [JSONMember] = [
            JSONMember("name", .string(resource.name.printable(charactersMax: 300))),
            JSONMember("path", .string(resource.path.printable(charactersMax: 1024))),
            JSONMember("state", .string(resource.state.rawValue)),
            JSONMember("bytesBefore", resource.before.map { JSONValue($0.size) } ?? .null),
            JSONMember("bytesAfter", resource.after.map { JSONValue($0.size) } ?? .null),
        ]
        if let fields = resource.fields {
            members.append(JSONMember("fields", self.fields(fields)))
        } else if let columns = resource.table?.columns, !columns.isEmpty {
            members.append(JSONMember("fields", .object(self.columns(columns))))
        }
        if let table = resource.table { members.append(JSONMember("rows", rows(table))) }
        if let fault = resource.fault {
            members.append(JSONMember("problem", .string("not compared as a table: \(fault)".printable(charactersMax: 300))))
        }
        return .object(members)
    }

    private static func columns(_ columns: TableDiff.Columns) -> [JSONMember] {
        [
            JSONMember("added", .array(columns.added.map { .string($0) })),
            JSONMember("removed", .array(columns.removed.map { .string($0) })),
            JSONMember("reordered", .bool(columns.reordered)),
        ]
    }

    private static func fields(_ fields: PackageDiff.Fields) -> JSONValue {
        var members = columns(fields.columns)
        members.append(
            JSONMember(
                "retyped",
                .array(
                    fields.retyped.map { ["name": .string($0.name), "before": .string($0.before), "after": .string($0.after)] })))
        if let key = fields.key {
            members.append(
                JSONMember(
                    "primaryKey",
                    ["before": .array(key.before.map { .string($0) }), "after": .array(key.after.map { .string($0) })]))
        }
        return .object(members)
    }

    private static func rows(_ table: TableDiff) -> JSONValue {
        func texts(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
        func row(_ row: TableDiff.Row) -> JSONValue { ["key": texts(row.key), "values": texts(row.values)] }
        var members: [JSONMember] = [
            JSONMember("key", table.key.map(texts) ?? .null), JSONMember("before", JSONValue(table.rowsBefore)),
            JSONMember("after", JSONValue(table.rowsAfter)), JSONMember("added", JSONValue(table.added)),
            JSONMember("removed", JSONValue(table.removed)), JSONMember("changed", JSONValue(table.changed)),
        ]
        switch table.keyNote {
        case .columnMissing(let name):
            members.append(JSONMember("note", .string("the key's column \(name.printable(charactersMax: 60)) is not in both")))
        case .repeats(let number):
            members.append(JSONMember("note", .string("row \(number) repeats a key; rows were compared as wholes")))
        case nil: break
        }
        members.append(
            JSONMember(
                "examples",
                [
                    "added": .array(table.addedRows.map(row)), "removed": .array(table.removedRows.map(row)),
                    "changed": .array(
                        table.changedRows.map { change in
                            [
                                "key": texts(change.key),
                                "cells": .array(
                                    change.cells.map {
                                        [
                                            "column": .string($0.column), "before": JSONValue($0.before),
                                            "after": JSONValue($0.after),
                                        ]
                                    }),
                            ]
                        }),
                ]))
        return .object(members)
    }
}
