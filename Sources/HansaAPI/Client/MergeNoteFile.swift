// The note that `conflict merge` leaves in a merged directory: read when the directory is published, and gone once it is.
internal import Glibc
public import HansaCore
public import HansaNode

/// `MergeNote.fileName` in one directory of the user.
public struct MergeNoteFile: Sendable {
    private let path: String

    public init(in directory: String) { path = UserPath.absolute(directory) + "/" + MergeNote.fileName }

    /// Nil where there is none: then the directory was made by hand.
    public func read() throws(Problem) -> MergeNote? {
        let file = FileFault.call { open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) }
        if file == -ENOENT || file == -ENOTDIR { return nil }
        guard file >= 0 else { throw FileFault.problem("read", path, -file) }
        defer { close(file) }
        // One byte more than there may be.
        var bytes = [UInt8](repeating: 0, count: MergeNote.bytesMax + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(file, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw FileFault.problem("read", path, errno) }
            if got == 0 { break }
            count += got
        }
        guard count <= MergeNote.bytesMax, let text = String(validating: bytes[..<count], as: UTF8.self),
            let note = MergeNote(text: text)
        else {
            throw Problem(
                .fileUnsafe, "\(path.printable(charactersMax: 300)) does not say which heads were merged",
                try: "hansa conflict merge PACKAGE NEWDIR, and edit that")
        }
        return note
    }

    /// What the directory holds is a release: what it was made of says nothing about what is made of it next.
    public func remove() { unlink(path) }
}
