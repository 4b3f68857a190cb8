// Repair of two sets of members that differ a little (SYNC.md §3): both sides in one process, over the frames as they would travel.
//
//   repair-sets COUNT DIFFERENCES [clustered|scattered]...
//
// One line of JSON a run: bytes of all frames, round trips (the recipient's line about its view, which begins it, is the first half of the first),
// processor time of a side (ordering, tags, sums, and its half of the talk), and the least that the differences themselves need.
internal import HansaCore
internal import HansaCrypto
internal import HansaSync

#if canImport(Glibc)
    internal import Glibc
#endif

/// Processor time of this process, in milliseconds.
func cpu() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1_000_000
}

/// Peak resident memory of this process in KiB.
func peak() -> Int {
    var usage = rusage()
    // RUSAGE_SELF, whose type in Swift is not the one that the call takes.
    getrusage(0, &usage)
    return usage.ru_maxrss
}

struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Items as a store gives them: in order of release. Three years of them.
func items(_ count: Int, _ random: inout Random) -> [ReconciliationItem] {
    var items: [ReconciliationItem] = []
    items.reserveCapacity(count)
    for _ in 0..<count {
        let digest = Digest(random.next(), random.next(), random.next(), random.next())
        let time = 1_700_000_000_000 + Int64(random.next() % 94_608_000_000)
        items.append(ReconciliationItem(issued: Timestamp(milliseconds: time), release: digest, level: 2))
    }
    items.sort { $0.release < $1.release }
    return items
}

func run(_ count: Int, _ differences: Int, _ shape: String) throws {
    var random = Random(state: UInt64(count &+ differences))
    let all = items(count, &random)
    // Half of the differences lack on either side; clustered: within one stretch of time, of twice as many releases.
    var (left, right) = (Set<Digest>(), Set<Digest>())
    let candidates: [ReconciliationItem]
    if shape == "scattered" {
        candidates = all.shuffled(using: &random)
    } else {
        let byTime = all.sorted { $0.time < $1.time }
        let start = count / 3
        candidates = Array(byTime[start..<min(count, start + 2 * differences)]).shuffled(using: &random)
    }
    for (number, item) in candidates.prefix(differences).enumerated() {
        if number % 2 == 0 { left.insert(item.release) } else { right.insert(item.release) }
    }
    let ours = all.filter { !left.contains($0.release) }
    let theirs = all.filter { !right.contains($0.release) }
    let key = [UInt8](repeating: 7, count: DigestTags.keyByteCount)

    var (publisherTime, recipientTime) = (0.0, 0.0)
    func timed<T>(_ time: inout Double, _ body: () throws -> T) rethrows -> T {
        let start = cpu()
        defer { time += cpu() - start }
        return try body()
    }
    var publisher = timed(&publisherTime) { ReconciliationPublisher(ReconciliationSet(key: key, items: ours)) }
    var recipient = timed(&recipientTime) { ReconciliationRecipient(ReconciliationSet(key: key, items: theirs)) }
    let built = publisherTime
    let view = Digest.zero
    var (bytes, upBytes) = (0, 0)
    var trips = 1
    func joined(_ frames: [Frame]) throws -> [Reconciliation.Span] {
        var joiner = Reconciliation.Joiner()
        for frame in frames { if let spans = try joiner.add(Reconcile(frame)) { return spans } }
        return []
    }
    var step = timed(&publisherTime) { publisher.start() }
    var outcome = "done"
    talk: while true {
        let spans: [Reconciliation.Span]
        switch step {
        case .say(let said), .done(let said): spans = said
        case .declined:
            outcome = "declined"
            break talk
        }
        let frames = timed(&publisherTime) {
            Reconciliation.frames(spans, from: .publisher, of: view, number: 1, round: publisher.round)
        }
        bytes += frames.reduce(0) { $0 + $1.encoded.count }
        let answer = try timed(&recipientTime) { try recipient.receive(joined(frames), round: publisher.round) }
        guard case .say(let back) = answer else { break }
        trips += 1
        let answers = timed(&recipientTime) {
            Reconciliation.frames(back, from: .recipient, of: view, number: 1, round: recipient.round)
        }
        upBytes += answers.reduce(0) { $0 + $1.encoded.count }
        step = try timed(&publisherTime) { try publisher.receive(joined(answers)) }
        if case .done(let last) = step, last.isEmpty { break }
    }
    // What the recipient lacks comes in its feed: level, id, transfer number.
    let additions = publisher.additions.count
    let feed = additions * 49
    let found = additions + recipient.extras.count
    print(
        """
        {"what":"\(shape)","n":\(count),"diff":\(found),"expected":\(differences),"outcome":"\(outcome)","rounds":\(trips),\
        "bytes":\(bytes + upBytes),"with_feed":\(bytes + upBytes + feed),"build_ms":\(Int(built)),"publisher_ms":\(Int(publisherTime)),\
        "recipient_ms":\(Int(recipientTime)),"rss_kib":\(peak())}
        """)
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 2, let count = Int(arguments[1]), let differences = Int(arguments[2]) else {
    print("usage: repair-sets COUNT DIFFERENCES [clustered|scattered]...")
    exit(64)
}
let shapes = arguments.count > 2 ? Array(arguments.dropFirst(2)) : ["clustered", "scattered"]
for shape in shapes { try run(count, differences, shape) }
