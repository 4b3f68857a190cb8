// Hands a target to libFuzzer. It is in no build but `make fuzz`.
internal import FuzzTargets
internal import Glibc

/// libFuzzer's own loop. (Its main would stand in the way of the one that SwiftPM asks for.) Swift passes pointers as C does, so no header is
/// needed for the one call.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ input: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

private let target: FuzzTarget = {
    let name = getenv("HANSA_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
        fatalError("HANSA_FUZZ_TARGET is none of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: " "))")
    }
    return target
}()

@main enum Driver {
    static func main() {
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        exit(
            runDriver(&count, &arguments) { start, count in
                do throws(FuzzFinding) { try target.run(Array(UnsafeBufferPointer(start: start, count: count))) } catch {
                    fatalError("\(target.rawValue): \(error)")
                }
                return 0
            })
    }
}
