// Result documents on the admin socket. JSON text would lose the order of members on the way through a decoder, and `schema` comes first
// (CLI.md §3): so a value travels as tag and content, and only the command line writes JSON.
//   0 null · 1 false · 2 true · 3 u64 integer in two's complement · 4 u64 double's bits · 5 prefixed text ·
//   6 varint count, items · 7 varint count, then prefixed name and value for each member
internal import HansaCore

enum DocumentCodec {
    static let depthMax = 48

    static func encode(_ value: JSONValue) -> [UInt8] {
        var writer = ByteWriter(reserving: 1024)
        write(value, to: &writer)
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(ByteFault) -> JSONValue {
        var reader = ByteReader(bytes)
        let value = try read(&reader, depth: 0)
        try reader.end()
        return value
    }

    private static func write(_ value: JSONValue, to writer: inout ByteWriter) {
        switch value {
        case .null: writer.u8(0)
        case .bool(let value): writer.u8(value ? 2 : 1)
        case .integer(let value):
            writer.u8(3)
            writer.u64(UInt64(bitPattern: value))
        case .double(let value):
            writer.u8(4)
            writer.u64(value.bitPattern)
        case .string(let value):
            writer.u8(5)
            writer.prefixed(value)
        case .array(let items):
            writer.u8(6)
            writer.varint(items.count)
            for item in items { write(item, to: &writer) }
        case .object(let members):
            writer.u8(7)
            writer.varint(members.count)
            for member in members {
                writer.prefixed(member.name)
                write(member.value, to: &writer)
            }
        }
    }

    private static func read(_ reader: inout ByteReader, depth: Int) throws(ByteFault) -> JSONValue {
        guard depth <= depthMax else { throw .malformed("deeper than \(depthMax)") }
        switch try reader.u8() {
        case 0: return .null
        case 1: return .bool(false)
        case 2: return .bool(true)
        case 3: return .integer(Int64(bitPattern: try reader.u64()))
        case 4: return .double(Double(bitPattern: try reader.u64()))
        case 5: return .string(try reader.text(max: WireLimits.resultBytesMax))
        case 6:
            // Each item takes at least a byte, so a count above what is left is a lie.
            let count = try reader.count(max: reader.left)
            var items: [JSONValue] = []
            items.reserveCapacity(min(count, 4096))
            for _ in 0..<count { items.append(try read(&reader, depth: depth + 1)) }
            return .array(items)
        case 7:
            let count = try reader.count(max: reader.left / 2)
            var members: [JSONMember] = []
            members.reserveCapacity(min(count, 64))
            for _ in 0..<count {
                let name = try reader.text(max: WireLimits.resultBytesMax)
                members.append(JSONMember(name, try read(&reader, depth: depth + 1)))
            }
            return .object(members)
        case let tag: throw .malformed("value tag \(tag)")
        }
    }
}

/// A problem as a document: `{code, message, clause, try, exit}`.
enum ProblemCodec {
    static func encode(_ problem: Problem) -> [UInt8] {
        DocumentCodec.encode([
            "code": .string(problem.code.rawValue), "message": .string(problem.message), "clause": JSONValue(problem.clause),
            "try": JSONValue(problem.next), "exit": .integer(Int64(problem.exit.rawValue)),
        ])
    }

    static func decode(_ bytes: [UInt8]) throws(ByteFault) -> Problem {
        let document = try DocumentCodec.decode(bytes)
        guard let code = document["code"]?.string, let message = document["message"]?.string,
            let exit = document["exit"]?.integer.flatMap({ Problem.Exit(rawValue: Int32(truncatingIfNeeded: $0)) })
        else { throw .malformed("problem") }
        guard let known = ProblemCode(rawValue: code) else {
            // A newer node knows codes that we do not: the message and the exit code still serve.
            return Problem(
                .internalFault, "\(message) (\(code))", clause: document["clause"]?.string, try: document["try"]?.string,
                exit: exit)
        }
        return Problem(known, message, clause: document["clause"]?.string, try: document["try"]?.string, exit: exit)
    }
}
