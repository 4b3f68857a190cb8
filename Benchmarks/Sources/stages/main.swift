// What each stage of a publish takes by itself, on one thread and with a file that is in memory: processor seconds, as megabytes a second.
//
//   stages FILE
//
// One line of JSON: read (system calls), cut (chunker), sha256 (the file alone), ids (its chunks alone), hashes (each chunk and the file in one pass, as a
// recipient does), infer (types and keys of a text table), zstd (blocks of up to 1 MiB of neighbouring chunks), unpack (those blocks again), and `packed`,
// their size.
//
// And what two cores allow a publish at best: half of all it does, or the longest that must go in turn. `first`: all is new; `again`: nearly nothing is, so
// that nothing is looked at or packed.
internal import HansaContent
internal import HansaCore
internal import HansaCrypto
internal import HansaPackages

#if canImport(Glibc)
    internal import Glibc
#endif

/// Processor seconds of this thread.
func cpu() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func fail(_ text: String) -> Never {
    _ = Array("stages: \(text)\n".utf8).withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    exit(1)
}

guard CommandLine.arguments.count == 2 else { fail("usage: stages FILE") }
let path = CommandLine.arguments[1]
let descriptor = open(path, O_RDONLY)
var status = stat()
guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_size > 0 else { fail("cannot read \(path)") }
let size = Int(status.st_size)
guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0), base != MAP_FAILED else {
    fail("cannot map \(path)")
}
let file = UnsafeRawBufferPointer(start: base, count: size)

func seconds(_ body: () -> Void) -> Double {
    let start = cpu()
    body()
    return cpu() - start
}

let read = seconds {
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { piece.deallocate() }
    var offset = 0
    while offset < size {
        let count = pread(descriptor, piece.baseAddress, piece.count, off_t(offset))
        guard count > 0 else { fail("cannot read \(path)") }
        offset += count
    }
}

let profile = ChunkProfile.choose(fileName: path, size: UInt64(size), probe: file.prefix(ChunkProfile.probeBytes))
var lengths: [Int] = []
let cut = seconds { lengths = Chunker(profile).lengths(of: file) }

var alone = Digest.zero
let sha256 = seconds { alone = SHA256.hash(file) }

let ids = seconds {
    var start = 0
    for length in lengths {
        _ = SHA256.hash(UnsafeRawBufferPointer(rebasing: file[start..<(start + length)]))
        start += length
    }
}

var inPass = Digest.zero
let hashes = seconds {
    var whole = SHA256()
    var start = 0
    for length in lengths {
        _ = whole.updateAndHash(UnsafeRawBufferPointer(rebasing: file[start..<(start + length)]))
        start += length
    }
    inPass = whole.finish()
}
guard inPass == alone else { fail("the two ways of hashing differ") }

let infer = seconds {
    var inference = ResourceInference(path: path)
    var start = 0
    while start < size, inference.wantsBytes {
        let end = min(size, start + 1 << 20)
        inference.feed(UnsafeRawBufferPointer(rebasing: file[start..<end]))
        start = end
    }
    _ = inference.finish(size: UInt64(size))
}

var packed = 0
var zstd = 0.0
var unpack = 0.0
var start = 0
var next = 0
while next < lengths.count {
    var count = 0
    while next < lengths.count, count + lengths[next] <= Limits.blockRawBytesMax {
        count += lengths[next]
        next += 1
    }
    let raw = UnsafeRawBufferPointer(rebasing: file[start..<(start + count)])
    start += count
    var block: (codec: Block.Codec, bytes: [UInt8]) = (.raw, [])
    zstd += seconds { block = Block.encode(raw: raw) }
    packed += block.bytes.count
    unpack += seconds {
        guard let bytes = try? Block.decode(block.codec, block.bytes, rawLength: count), bytes.count == count else {
            fail("a block does not unpack")
        }
    }
}

func rate(_ seconds: Double) -> String { String(Int((Double(size) / 1e6 / max(seconds, 1e-9)).rounded())) }
/// On two cores: `inTurn` is one thread's, whatever else there is.
func onTwoCores(_ stages: [Double], inTurn: Double) -> String { rate(max(stages.reduce(0, +) / 2, inTurn)) }
let first = onTwoCores([read, cut, sha256, ids, infer, zstd], inTurn: max(sha256, infer))
let again = onTwoCores([read, cut, sha256, ids], inTurn: sha256)
print(
    "{\"bytes\": \(size), \"chunks\": \(lengths.count), \"packed\": \(packed), \"read\": \(rate(read)), \"cut\": \(rate(cut)), \"sha256\": \(rate(sha256)), "
        + "\"ids\": \(rate(ids)), \"hashes\": \(rate(hashes)), \"infer\": \(rate(infer)), \"zstd\": \(rate(zstd)), \"unpack\": \(rate(unpack)), "
        + "\"first\": \(first), \"again\": \(again)}")
