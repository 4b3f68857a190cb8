internal import HansaCore
internal import HansaSync

extension SQLiteReading: MetadataReading {
    var logSize: UInt64 { get throws { try logState().size } }
    var lastLogTime: Timestamp? { get throws { try logState().lastTime } }
}

extension SQLiteWriting: MetadataWriting {}
