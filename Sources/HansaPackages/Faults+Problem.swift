// How this room's faults leave through a service's edge.
public import HansaCore

extension PublishFault {
    public var problem: Problem {
        switch self {
        case .path, .collision, .notRegular: Problem(.fileUnsafe, description)
        case .tooManyFiles, .pathsTooLong, .tooLarge: Problem(.limitExceeded, description)
        case .empty: Problem(.packageInvalid, description)
        }
    }
}

extension DataPackageFault {
    public var problem: Problem {
        switch self {
        case .comesLater: Problem(.notYet, description)
        case .tooLarge: Problem(.limitExceeded, description)
        case .json, .notObject, .invalid, .nothingToPublish: Problem(.packageInvalid, description)
        }
    }
}

extension VersionFault {
    public var problem: Problem {
        switch self {
        case .malformed: Problem(.usage, description)
        case .notHigher(_, let head):
            Problem(.versionNotHigher, description, try: "hansa package publish DIR --version \(head.nextPatch)")
        case .exhausted: Problem(.versionNotHigher, description)
        }
    }
}
