internal import Glibc

/// The directory that was worked in last: of many paths most lie side by side, and are found from there instead of from the root.
final class OpenedParent {
    private var path = ""
    private var descriptor: CInt = -1

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The directory above an absolute path, and the last name; nil where it cannot be opened, or there is none above. The descriptor is good
    /// until the next call.
    func parent(of whole: String) -> (descriptor: CInt, name: String)? {
        guard let slash = whole.utf8.lastIndex(of: 0x2F), slash != whole.startIndex else { return nil }
        let parent = whole[..<slash]
        if descriptor < 0 || parent != path {
            if descriptor >= 0 { close(descriptor) }
            path = String(parent)
            // O_PATH, which Glibc has for _GNU_SOURCE alone.
            descriptor = FileFault.call { Glibc.open(path, 0o10000000 | O_DIRECTORY | O_CLOEXEC) }
        }
        return descriptor >= 0 ? (descriptor, String(whole[whole.utf8.index(after: slash)...])) : nil
    }
}
