internal import HansaCore
internal import HansaCrypto

/// A position in a feed, made opaque: a recipient can hold it and give it back, and learns nothing from it (SYNC.md §2).
///
/// One AES-128 block under a key of the view's feed epoch: eight zero bytes and the position. A cursor of another epoch, or one made up,
/// decrypts to something without the zeros and is simply unknown.
public enum Cursor {
    public static let byteCount = 16

    public static func make(_ position: UInt64, feedKey: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(reserving: 16)
        writer.u64(0)
        writer.u64(position)
        return BlockCipher(key: feedKey).encrypt(writer.bytes)
    }

    /// The position, or nil for a cursor of another epoch.
    public static func position(_ cursor: [UInt8], feedKey: [UInt8]) -> UInt64? {
        guard cursor.count == byteCount else { return nil }
        let block = BlockCipher(key: feedKey).decrypt(cursor)
        guard block[0..<8].allSatisfy({ $0 == 0 }) else { return nil }
        return block[8...].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
