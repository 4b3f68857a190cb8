internal import ArgumentParser

/// Numbers of steps as text: `3,5-9`.
struct StepList {
    let steps: Set<Int>

    init(_ steps: Set<Int>) { self.steps = steps }

    init(_ text: String) throws {
        var steps: Set<Int> = []
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-", maxSplits: 1).map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0, first <= last, last < 1_000_000 else {
                throw ValidationError("--without is a list like 3,5-9, and \(part) is no part of one")
            }
            steps.formUnion(first...last)
        }
        self.steps = steps
    }

    var text: String {
        var ranges: [ClosedRange<Int>] = []
        for step in steps.sorted() {
            if let last = ranges.last, last.upperBound == step - 1 {
                ranges[ranges.count - 1] = last.lowerBound...step
            } else {
                ranges.append(step...step)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}
