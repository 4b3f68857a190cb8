// A view that was stopped because digests differed even after a full list begins anew, on an administrator's word (SYNC.md §3).
//
// Each side keeps its own word of it: the publisher hands out nothing, the recipient asks for nothing. Neither can know that the other was mended, so
// nothing lifts it by itself; both begin with a comparison again, and differ again if they still do.
public import HansaCore
internal import HansaLog

extension MetadataWriting {
    /// Lets what a partner shows us and what we show it go on, with the count of comparisons at its beginning. How many views were stopped; each has
    /// its log entry, which says why it had been.
    public func resumeViews(with partner: CityID, by actor: String) throws -> Int {
        var count = 0
        for var view in try publishedViews() where view.recipient == partner && view.quarantine != nil {
            let why = view.quarantine
            (view.quarantine, view.mismatches) = (nil, 0)
            try put(view)
            try log(
                LogDraft(
                    .viewResumed, actor: actor, partner: partner, agreement: view.agreement, reason: why,
                    details: ["shown": "by-us"]))
            count += 1
        }
        for var view in try subscribedViews() where view.publisher == partner && view.quarantine != nil {
            let why = view.quarantine
            (view.quarantine, view.mismatches) = (nil, 0)
            try put(view)
            try log(
                LogDraft(
                    .viewResumed, actor: actor, partner: partner, agreement: view.agreement, reason: why,
                    details: ["shown": "to-us"]))
            count += 1
        }
        return count
    }
}
