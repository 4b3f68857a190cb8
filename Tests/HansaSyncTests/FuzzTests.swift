import Foundation
import HansaCore
import HansaSync
import HansaTestSupport
import Testing

/// S14: any input yields effects or an error, never a trap. Frames of a real exchange are mutilated and given to both halves in the middle of
/// their work. HANSA_SEEDS runs more.
@Suite struct FuzzTests {
    static let seeds = 1...(ProcessInfo.processInfo.environment["HANSA_SEEDS"].flatMap { UInt64($0) } ?? 40)

    static func mutilate(_ frame: Frame, _ random: inout SplitMix64) -> Frame {
        var body = frame.body
        for _ in 0...(random.next() % 3) {
            let place = body.isEmpty ? 0 : Int(random.next() % UInt64(body.count))
            switch random.next() % 7 {
            case 0: if !body.isEmpty { body[place] ^= 1 << UInt8(random.next() % 8) }
            case 1: if !body.isEmpty { body[place] = [0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFF][Int(random.next() % 9)] }
            case 2: body.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
            case 3: if !body.isEmpty { body.remove(at: place) }
            case 4: body.removeLast(min(body.count, Int(random.next() % 40)))
            case 5: body += (0..<(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            default:
                if body.count > 40 {
                    body.replaceSubrange(
                        place..<min(body.count, place + 8), with: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
                }
            }
        }
        // Now and then the body of one frame under the type of another.
        let types = FrameType.allCases
        let type = random.next() % 10 == 0 ? types[Int(random.next() % UInt64(types.count))] : frame.type
        return Frame(type, body: Array(body.prefix(type.bodyBytesMax)))
    }

    @Test(arguments: seeds) func mutilatedFramesNeverTrap(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let world = try Exchange.cities(seed: seed)
        let agreement = try world.propose(0, 1)
        let (kitchener, auckland) = (world.nodes[0], world.nodes[1])
        let proposals = DocumentExchange(kitchener.context, peer: auckland.city)
        var corpus = try proposals.pending()
        let received = DocumentExchange(auckland.context, peer: kitchener.city)
        for frame in corpus { corpus.append(try received.receive(frame, at: world.now).answer) }
        #expect(try auckland.accept(agreement))
        for frame in try received.pending() { _ = try proposals.receive(frame, at: world.now) }
        try kitchener.grant(auckland.city, "kitchener.ca/**", under: agreement)
        for number in 0..<3 { try kitchener.publish("p/\(number)", Exchange.content(UInt64(number), chunks: 4)) }
        // A clean run for the corpus; the rows it leaves are part of what follows.
        let clean = Exchange(world)
        var asks = try clean.puller.ask(at: world.now)
        while !asks.isEmpty {
            let answers = try clean.answers(to: asks)
            corpus += asks + answers
            asks = try clean.asks(after: answers)
        }
        for round in 0..<6 {
            try kitchener.publish("q/\(round)", Exchange.content(UInt64(round) + 50, chunks: 4))
            var exchange = Exchange(world)
            var asks = (try? exchange.puller.ask(at: world.now)) ?? []
            for _ in 0..<(random.next() % 6) {
                guard let answers = try? exchange.answers(to: asks), let next = try? exchange.asks(after: answers) else { break }
                asks = next
            }
            for _ in 0..<60 {
                let frame = Self.mutilate(corpus[Int(random.next() % UInt64(corpus.count))], &random)
                // What a header says is checked before; then the session machine; then the half it belongs to.
                #expect((try? FrameHeader(frame.header[...])) != nil)
                do {
                    switch frame.type {
                    case .views, .getReleases, .getIndex, .getChunks, .getDelta, .getSmall, .feedAcknowledged, .receipt,
                        .accepted:
                        _ = try exchange.publisher.receive(frame, at: world.now)
                        if exchange.publisher.hasContent { _ = try exchange.publisher.content(upTo: 100_000, at: world.now) }
                    case .documents: _ = try received.receive(frame, at: world.now)
                    case .documentsAcknowledged: try received.acknowledged(frame, at: world.now)
                    case .feed, .equal, .releases, .index, .chunks, .delta, .small, .announce:
                        _ = try exchange.puller.receive([frame], at: world.now)
                    case .reconcile:
                        if frame.body.first == Reconcile.Speaker.recipient.rawValue {
                            _ = try exchange.publisher.receive(frame, at: world.now)
                        } else {
                            _ = try exchange.puller.receive([frame], at: world.now)
                        }
                    case .hello: _ = try Hello(frame)
                    case .checkpoint: _ = try CheckpointMessage(frame)
                    case .cosign: _ = try CosignMessage(frame)
                    case .credit: _ = try Credit(frame)
                    case .error: _ = try ErrorMessage(frame)
                    case .close: _ = try CloseMessage(frame)
                    }
                } catch let fault as ExchangeFault {
                    // A peer's fault ends its session and is never taken for one of our own store.
                    if case .store(let error) = fault { Issue.record("seed \(seed), \(frame.type): \(error)") }
                    exchange = Exchange(world)
                    _ = try exchange.puller.ask(at: world.now)
                } catch is ProtocolFault {}
            }
        }
        // After all that an honest session brings both to the same.
        world.connect(0, 1)
        world.run(seconds: 120)
        #expect(world.findings == [], "seed \(seed)")
        #expect(try world.differences() == [], "seed \(seed)")
    }
}
