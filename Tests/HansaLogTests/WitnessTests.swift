import HansaCore
import HansaCrypto
import Testing

@testable import HansaLog

struct WitnessTests {
    private let signer: LogSigner
    private let leaves: [Digest]

    init() throws {
        signer = try LogSigner(origin: "kitchener.ca/log", key: Ed25519PrivateKey(seed: [UInt8](repeating: 5, count: 32)))
        leaves = (0..<20).map { MerkleTree.leafHash(Array("entry \($0)".utf8)) }
    }

    private func tree(_ count: Int) -> TileBuilder {
        var builder = TileBuilder()
        for leaf in leaves.prefix(count) { builder.append(leaf: leaf) { _, _ in } }
        return builder
    }

    private func checkpoint(_ count: Int) throws -> Checkpoint {
        let builder = tree(count)
        return try Checkpoint(origin: signer.origin, size: builder.size, root: builder.root)
    }

    @Test func requestsAreReadBackAsTheyWereWrittenAndNoOtherSpelling() throws {
        let request = WitnessRequest(old: 7, proof: [leaves[0], leaves[1]], checkpoint: signer.sign(try checkpoint(9)))
        #expect(try WitnessRequest(request.bytes) == request)
        let text = String(decoding: request.bytes, as: UTF8.self)
        #expect(text.hasPrefix("old 7\n"))
        for wrong in [
            text.replacing("old 7", with: "old 07"), text.replacing("old 7", with: "new 7"),
            text.replacing("old 7\n", with: "old 7\nAAAA\n"),
            text.replacing("\n\n", with: "\n"), String(text.dropLast(2)), "", "old 7\n\n",
            "old 9223372036854775808\n\n" + text.dropFirst(6),
        ] { #expect(throws: NoteFault.self, "\(wrong)") { try WitnessRequest(Array(wrong.utf8)) } }
        let long = WitnessRequest(old: 7, proof: [Digest](repeating: leaves[0], count: 64), checkpoint: request.checkpoint)
        #expect(throws: NoteFault.self) { try WitnessRequest(long.bytes) }
    }

    @Test func onlyWhatContinuesTheLastCosignedMayBeCosigned() throws {
        func verdict(_ old: TreeSize, _ count: Int, _ proof: [Digest] = [], held: Int?) throws -> WitnessVerdict {
            WitnessVerdict(
                on: WitnessRequest(old: old, proof: proof, checkpoint: signer.sign(try checkpoint(count))),
                log: signer.verifierKey,
                held: try held.map(checkpoint))
        }
        guard case .continues = try verdict(0, 9, held: nil) else { return #expect(Bool(false), "the first is not taken") }
        guard case .continues = try verdict(9, 9, held: 9) else { return #expect(Bool(false), "the same again is not taken") }
        #expect(try verdict(0, 9, [leaves[0]], held: nil) != verdict(0, 9, held: nil))
        #expect(try verdict(3, 9, held: nil) == .refused(.otherSize))
        #expect(try verdict(0, 9, held: 5) == .refused(.otherSize))
        #expect(try verdict(10, 9, held: 5) == .refused(.malformed))
        // Less than it once had, and what the wrong proof shows.
        guard case .contradicts(.otherSize, _) = try verdict(3, 3, held: 5) else {
            return #expect(Bool(false), "a rollback is not seen")
        }
        guard case .contradicts(.inconsistent, _) = try verdict(5, 9, held: 5) else {
            return #expect(Bool(false), "no proof is taken")
        }
        let other = try LogSigner(origin: "kitchener.ca/other", key: Ed25519PrivateKey(seed: [UInt8](repeating: 5, count: 32)))
        let foreign = other.sign(try Checkpoint(origin: other.origin, size: 1, root: leaves[0]))
        #expect(
            WitnessVerdict(on: WitnessRequest(old: 0, proof: [], checkpoint: foreign), log: signer.verifierKey, held: nil)
                == .refused(.notSigned))
    }
}
