import HansaContent
import HansaCore
import HansaDocuments
import HansaLog
import HansaStore
import HansaSync
import HansaTerms
import HansaTestSupport
import Testing

/// All stores answer alike under any sequence of operations, committed or not.
@Suite struct StorePropertyTests {
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func storesAgreeUnderRandomOperations(_ seed: UInt64) throws {
        let stores = try Engine.allCases.map { try $0.make() }
        var random = SplitMix64(seed: seed)
        for round in 0..<40 {
            let operations = (0..<Int.random(in: 1...12, using: &random)).map { _ in Operation(&random) }
            let aborts = Int.random(in: 0..<4, using: &random) == 0
            let now = Samples.start.adding(milliseconds: Int64(round))
            for store in stores {
                do {
                    try store.write(at: now) { transaction in
                        for operation in operations { try operation.run(transaction) }
                        if aborts { throw Abort() }
                    }
                } catch is Abort {}
            }
            guard round % 5 == 4 else { continue }
            let dumps = try stores.map { store in
                try store.read { try dump($0, positions: Array(0...12), moments: [now, now.adding(seconds: 2)]) }
            }
            for other in dumps.dropFirst() where other != dumps[0] {
                let difference = zip(dumps[0], other).first { $0 != $1 }
                Issue.record("seed \(seed), round \(round): \(difference?.0 ?? "") / \(difference?.1 ?? "") after \(operations)")
                return
            }
        }
    }

    private struct Operation: CustomStringConvertible {
        let kind: Int
        let numbers: [UInt64]

        init(_ random: inout SplitMix64) {
            kind = Int.random(in: 0..<18, using: &random)
            numbers = (0..<6).map { _ in UInt64.random(in: 0..<5, using: &random) }
        }

        var description: String { "\(kind)\(numbers)" }
        private var city: CityID { Samples.cities[Int(numbers[0]) % 3] }
        private var view: Digest { Samples.digest(numbers[1], 10) }
        private var release: Digest { Samples.digest(numbers[2]) }
        private var package: PackageID { Samples.package("p\(numbers[3])", of: city) }
        private var until: Timestamp? { numbers[4] < 2 ? Samples.start.adding(seconds: Int64(numbers[4])) : nil }

        func run(_ transaction: any MetadataWriting) throws {
            switch kind {
            case 0:
                let keyring = try Samples.keyring(city, version: Int(numbers[1]) + 1)
                try transaction.insertKeyring(keyring.0, keyring.1)
            case 1:
                var partner = Samples.partner(city, endpoint: numbers[1] < 2 ? "h:\(numbers[2])" : nil)
                partner.state = numbers[5] == 0 ? .removed : .active
                try transaction.put(partner)
            case 2: try transaction.insertAgreement(try agreement())
            case 3:
                let by = Samples.cities[Int(numbers[2]) % 3]
                let step = try Samples.termination(of: try agreement().digest, by: by, reason: "\(numbers[5])")
                try transaction.insertStep(step.0, step.1)
            case 4:
                var grant = try Samples.grant(UInt8(numbers[1]), to: city, under: try agreement().digest)
                grant.ended = until
                try transaction.put(grant)
            case 5: try transaction.put(Samples.packageRow(package, seq: numbers[1] + 1, withdrawn: numbers[5] == 0 ? 9 : nil))
            case 6:
                try transaction.insert(
                    Samples.release(release, of: package, seq: numbers[1], writer: Samples.cities[Int(numbers[5]) % 3]))
            case 7:
                let chunks = numbers.map { ChunkEntry(id: Samples.digest($0, 3), length: UInt32($0) + 1) }
                try transaction.insertChunks(of: city, block: Samples.place(UInt32(numbers[1])), chunks)
            case 8: try transaction.put(Samples.view(numbers[1], recipient: city))
            case 9: try transaction.removePublishedView(view)
            case 10, 11:
                // A release is of one package.
                let package = Samples.package("p\(numbers[2])")
                var row = Samples.member(view, release, package: package, added: numbers[3] + numbers[5], until: until)
                row.sent = numbers[4] > 1
                row.delivered = numbers[0] > 2
                row.outcome = numbers[5] == 1 ? .accepted : nil
                if numbers[0] == 0 { row.dropped = row.added + numbers[5] + 1 }
                try transaction.put(row)
            case 12: try transaction.removeMember(view, release)
            case 13: try transaction.put(SubscribedView(id: view, agreement: release, publisher: city))
            case 14:
                let states: [HoldingRow.State] = [.accepted, .refused, .ended]
                try transaction.put(
                    Samples.holding(view, release, states[Int(numbers[3]) % 3], package: numbers[4] == 0 ? nil : package))
            case 15: try transaction.put(Samples.transfer(view, release, held: Int(numbers[3])))
            case 16: try transaction.enqueue(try agreement(), to: city)
            default:
                try transaction.removeTransfer(view, release)
                try transaction.removeOutbox(Int64(numbers[3]))
                try transaction.log(LogDraft(.accessDenied, outcome: .refused, partner: city, package: package, release: release))
            }
        }

        private func agreement() throws -> Envelope {
            let other = numbers[3] < 2 ? Samples.auckland : Samples.boston
            return try Samples.agreement("a-\(numbers[4])", with: other, signedBy: numbers[5] < 3 ? [Samples.kitchener] : [other])
        }
    }
}
