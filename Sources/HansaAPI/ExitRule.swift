// Exit codes that depend on the result (CLI.md §4 and its table), not on a failure.
public import HansaCore

public enum ExitRule {
    /// The exit code for a command that ended with a document. `wantsNothingToDo` is `--exit-code`.
    public static func exit(for request: AdminRequest, _ document: JSONValue, wantsNothingToDo: Bool = false) -> Problem.Exit {
        switch request {
        case .sync(_, wait: true, _, dryRun: false): syncExit(document)
        case .why: document["allowed"]?.bool == true ? .ok : .refusedByTerms
        case .packageVerify, .auditVerify, .storeCheck, .storeRebuild: document["valid"]?.bool == true ? .ok : .verificationFailed
        case .doctor: document["checks"]?.array?.contains { $0["state"]?.string == "fail" } == true ? .failed : .ok
        case .status: wantsNothingToDo && document["attention"]?.array?.isEmpty != false ? .nothingToDo : .ok
        case .packagePublish: wantsNothingToDo && isUnchanged(document) ? .nothingToDo : publishExit(document)
        // Something is left for a person.
        case .conflictMerge: document["clean"]?.bool == true ? .ok : .conflict
        case .packageDiff: wantsNothingToDo && document["equal"]?.bool == true ? .nothingToDo : .ok
        case .packageCheckout: checkoutExit(document, wantsNothingToDo)
        default: .ok
        }
    }

    /// 3 when terms refused some packages of a pattern; 5 on request when every file was right already.
    private static func checkoutExit(_ document: JSONValue, _ wantsNothingToDo: Bool) -> Problem.Exit {
        if let refused = document["refused"]?.integer, refused > 0 { return .partlyDone }
        let rows = document["packages"]?.array ?? [document]
        return wantsNothingToDo && rows.allSatisfy { $0["written"]?.integer == 0 && $0["removed"]?.integer == 0 }
            ? .nothingToDo : .ok
    }

    /// in-sync 0, behind 3, unreachable 8, refused 7, quarantined 6; 3 when partners differ.
    private static func syncExit(_ document: JSONValue) -> Problem.Exit {
        let exits = (document["partners"]?.array ?? []).map { partner -> Problem.Exit in
            switch partner["state"]?.string {
            case "in-sync": .ok
            case "unreachable": .unreachable
            case "refused": .refusedByTerms
            case "quarantined": .verificationFailed
            default: .partlyDone
            }
        }
        guard let first = exits.first else { return .ok }
        return exits.allSatisfy { $0 == first } ? first : .partlyDone
    }

    private static func isUnchanged(_ document: JSONValue) -> Bool {
        guard let packages = document["packages"]?.array else { return document["unchanged"]?.bool == true }
        return packages.allSatisfy { $0["unchanged"]?.bool == true }
    }

    /// Some of several directories may have failed; each says so in `error`.
    private static func publishExit(_ document: JSONValue) -> Problem.Exit {
        guard let packages = document["packages"]?.array else { return .ok }
        let failed = packages.count { $0["error"].map { !$0.isNull } ?? false }
        if failed == 0 { return .ok }
        return failed == packages.count ? .failed : .partlyDone
    }
}
