internal import Glibc
internal import HansaCore

/// A failed call on a user's file as a problem: the code tells a full disk from a missing right.
enum FileFault {
    static func problem(_ doing: String, _ path: String, _ code: CInt) -> Problem {
        let kind: ProblemCode =
            switch code {
            case ENOSPC, EDQUOT: .diskFull
            case EACCES, EPERM, EROFS, ENOENT, ENOTDIR: .fileUnreadable
            case ELOOP: .fileUnsafe
            default: .inputOutput
            }
        let why = code == ELOOP ? "a symbolic link stands there, and links are not followed" : SystemFault.text(code)
        let next: String? =
            switch code {
            case ENOSPC, EDQUOT: "df -h \(path.printable(charactersMax: 300))"
            case EACCES, EPERM: "ls -ld \(path.printable(charactersMax: 300))"
            case ENOENT, ENOTDIR: "check the path"
            case ELOOP: "replace the link by what it points to"
            default: nil
            }
        return Problem(kind, "cannot \(doing) \(path.printable(charactersMax: 300)): \(why)", try: next)
    }

    /// Repeats what a signal interrupted; the result is zero or more, or a negative errno.
    static func call(_ body: () -> CInt) -> CInt {
        while true {
            let result = body()
            if result >= 0 { return result }
            if errno != EINTR { return -errno }
        }
    }
}
