// What each stage of a publish takes by itself, on one thread and with a file that is in memory: processor seconds, as megabytes a second.
//
//   stages FILE
//
// One line of JSON: cut (chunker), sha256 (the file alone), hashes (each chunk and the file in one pass), infer (types and keys of a text table),
// zstd (blocks of up to 1 MiB of neighbouring chunks), unpack (those blocks again), and `packed`, their size.
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
    fputs("stages: \(text)\n", stderr)
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

let profile = ChunkProfile.choose(fileName: path, size: UInt64(size), probe: file.prefix(ChunkProfile.probeBytes))
var lengths: [Int] = []
let cut = seconds { lengths = Chunker(profile).lengths(of: file) }

var alone = Digest.zero
let sha256 = seconds { alone = SHA256.hash(file) }

/// The file's digest, by way of its chunks'.
func inOnePass() -> Digest {
    var whole = SHA256()
    var start = 0
    for length in lengths {
        _ = whole.updateAndHash(UnsafeRawBufferPointer(rebasing: file[start..<(start + length)]))
        start += length
    }
    return whole.finish()
}
var again = Digest.zero
let hashes = seconds { again = inOnePass() }
guard again == alone else { fail("the two ways of hashing differ") }

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
print(
    "{\"bytes\": \(size), \"chunks\": \(lengths.count), \"packed\": \(packed), \"cut\": \(rate(cut)), \"sha256\": \(rate(sha256)), "
        + "\"hashes\": \(rate(hashes)), \"infer\": \(rate(infer)), \"zstd\": \(rate(zstd)), \"unpack\": \(rate(unpack))}")
