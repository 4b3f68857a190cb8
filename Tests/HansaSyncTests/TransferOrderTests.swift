import HansaContent
import HansaCore
import HansaDocuments
import HansaTestSupport
import Testing

@testable import HansaSync

@Suite struct TransferOrderTests {
    @Test func theShortestGoesFirstAndOfOneSizeTheFirstCome() {
        var order = TransferOrder<String>()
        order.set("bulk", left: 300_000)
        order.set("late", left: 5)
        order.set("later", left: 6)
        #expect(order.next() == "late")
        order.handedOut(2000, of: "late", left: 4)
        #expect(order.next() == "late", "4 and 6 are of one size: what has begun goes on")
        order.handedOut(2000, of: "late", left: 0)
        #expect(order.next() == "later")
        order.remove("later")
        #expect(order.next() == "bulk")
        #expect(order.count == 1)
        order.remove("bulk")
        #expect(order.next() == nil)
        #expect(order.isEmpty)
    }

    /// Small ones without end: the large one has its eighth of what is handed out, whatever it shares it with.
    @Test(arguments: [1, 2, 3]) func theOldestHasAnEighth(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var order = TransferOrder<Int>()
        order.set(0, left: 1 << 20)
        var given = (oldest: 0, others: 0)
        for small in 1...20_000 {
            order.set(small, left: 1)
            let key = order.next() ?? 0
            let bytes = key == 0 ? 1 << 20 : Int(random.next() % 60_000) + 1
            if key == 0 { given.oldest += bytes } else { given.others += bytes }
            order.handedOut(bytes, of: key, left: key == 0 ? 1 << 20 : 0)
        }
        #expect(given.oldest * 7 >= given.others - (2 << 20), "seed \(seed): \(given)")
        #expect(given.oldest * 7 <= given.others + (14 << 20), "seed \(seed): \(given)")
    }

    /// Against a list that is searched from end to end.
    @Test(arguments: 1...20) func itAgreesWithASearch(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var order = TransferOrder<Int>()
        // Key, amount left, its place among those of its size, its age.
        var model: [(key: Int, left: Int, since: Int, age: Int)] = []
        func rank(_ left: Int) -> Int { Int.bitWidth - left.leadingZeroBitCount }
        for step in 0..<3000 {
            let key = Int(random.next() % 24)
            let place = model.firstIndex { $0.key == key }
            switch random.next() % 4 {
            case 0, 1:
                let left = 1 << Int(random.next() % 12)
                order.set(key, left: left)
                if let place {
                    if rank(model[place].left) != rank(left) { model[place].since = step }
                    model[place].left = left
                } else {
                    model.append((key, left, step, step))
                }
            case 2:
                order.remove(key)
                if let place { model.remove(at: place) }
            default:
                guard let next = order.next(), let at = model.firstIndex(where: { $0.key == next }) else { continue }
                let left = model[at].left / 2
                order.handedOut(Int(random.next() % 100_000), of: next, left: left)
                if left == 0 {
                    model.remove(at: at)
                } else {
                    model[at].left = left
                    model[at].since = step
                }
            }
            let shortest = model.min { (rank($0.left), $0.since) < (rank($1.left), $1.since) }
            #expect(order.shortest() == shortest?.key, "seed \(seed), step \(step)")
            #expect(order.oldest() == model.min { $0.age < $1.age }?.key, "seed \(seed), step \(step)")
            #expect(order.count == model.count)
        }
    }

    // MARK: Two cities

    /// One content frame at a time: what a slow line lets through.
    private struct SlowLine {
        let exchange: Exchange
        var asks: [Frame] = []
        var contentFrames = 0

        init(_ exchange: Exchange) throws {
            self.exchange = exchange
            asks = try exchange.puller.ask(at: exchange.now)
        }

        mutating func step() throws {
            var answers: [Frame] = []
            for frame in asks where ![.credit, .documents, .documentsAcknowledged].contains(frame.type) {
                answers += try exchange.publisher.receive(frame, at: exchange.now)
            }
            while exchange.publisher.hasIndex { answers += try exchange.publisher.index(upTo: 1 << 20, at: exchange.now) }
            if exchange.publisher.hasContent {
                let content = try exchange.publisher.content(upTo: 1, at: exchange.now)
                contentFrames += content.count
                answers += content
            }
            asks = try exchange.asks(after: answers)
        }
    }

    private func line(askedBytesMax: Int) throws -> SlowLine {
        var limits = ExchangeLimits()
        limits.contentAskedBytesMax = askedBytesMax
        limits.settledMillisecondsMax = 0
        let world = try Exchange.cities(limits: limits)
        let agreement = try world.agree(0, 1)
        try world.nodes[0].grant(world.nodes[1].city, "kitchener.ca/**", under: agreement)
        return try SlowLine(Exchange(world))
    }

    @Test(arguments: [1 << 20, 8 << 20]) func aSmallReleaseDoesNotWaitForALargeOne(askedBytesMax: Int) throws {
        var line = try line(askedBytesMax: askedBytesMax)
        let exchange = line.exchange
        let large = try exchange.kitchener.publish("bulk", Exchange.content(1, chunks: 3000))
        for _ in 0..<20 where line.contentFrames < 4 { try line.step() }
        try #require(line.contentFrames == 4)
        let small = try exchange.kitchener.publish("small", Exchange.content(7, chunks: 1))
        let view = try #require(try exchange.kitchener.metadata.read { try $0.publishedViews() }.first?.id)
        line.asks += try exchange.puller.receive(try exchange.publisher.viewsChanged([view], at: exchange.now), at: exchange.now)
        let before = line.contentFrames
        var steps = 0
        while try exchange.holding(small) == nil {
            steps += 1
            try line.step()
            try #require(steps < 200, "the small release does not come")
        }
        // One for each round (document, index, chunks), and one more where it was the oldest's turn; 16 frames are the whole of the large one.
        #expect(line.contentFrames - before <= 4, "askedBytesMax \(askedBytesMax)")
        #expect(try exchange.holding(large) == nil)
        try exchange.run(line.asks)
        #expect(try exchange.holding(large) != nil)
    }

    @Test func aLargeReleaseComesInSpiteOfSmallOnesWithoutEnd() throws {
        var line = try line(askedBytesMax: 1 << 20)
        let exchange = line.exchange
        let large = try exchange.kitchener.publish("bulk", Exchange.content(1, chunks: 600))
        for _ in 0..<8 { try line.step() }
        let view = try #require(try exchange.kitchener.metadata.read { try $0.publishedViews() }.first?.id)
        var number: UInt64 = 10
        while try exchange.holding(large) == nil {
            number += 1
            try #require(number < 400, "the large release does not come")
            try exchange.kitchener.publish("small-\(number)", Exchange.content(number, chunks: 20))
            line.asks += try exchange.puller.receive(
                try exchange.publisher.viewsChanged([view], at: exchange.now), at: exchange.now)
            try line.step()
        }
    }
}
