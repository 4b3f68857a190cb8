// How this room's faults leave through a service's edge.
public import HansaCore

extension PublishFault {
    public var problem: Problem {
        switch self {
        case .path, .collision:
            Problem(.fileUnsafe, description, try: "rename it; hansa package check DIR names what else is in the way")
        case .notRegular:
            Problem(.fileUnsafe, description, try: "replace each link by the file it points to, or move it out of the directory")
        case .tooManyFiles, .pathsTooLong, .tooLarge:
            Problem(.limitExceeded, description, try: "publish parts of it as packages: hansa package publish DIR/* --base DIR")
        case .empty: Problem(.packageInvalid, description, try: "put files there, then hansa package check DIR")
        }
    }
}

extension DataPackageFault {
    public var problem: Problem {
        switch self {
        case .comesLater:
            Problem(.notYet, description, try: "\"kind\": \"dataset\" in datapackage.json, or hansa package new dataset DIR")
        case .tooLarge: Problem(.limitExceeded, description, try: "name fewer resources, or publish parts as packages")
        case .json, .notObject, .invalid:
            Problem(.packageInvalid, description, try: "hansa package check DIR; or remove datapackage.json to have it inferred")
        case .nothingToPublish: Problem(.packageInvalid, description, try: "put files there, then hansa package check DIR")
        }
    }
}

extension VersionFault {
    public var problem: Problem {
        switch self {
        case .malformed: Problem(.usage, description, try: "--version 1.0.0")
        case .notHigher(_, let head):
            Problem(.versionNotHigher, description, try: "hansa package publish DIR --version \(head.nextPatch)")
        case .exhausted: Problem(.versionNotHigher, description, try: "hansa package publish DIR --version MAJOR.MINOR.PATCH")
        }
    }
}
