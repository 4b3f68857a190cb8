/// The catalogue of error codes: stable, never reused. Hundreds are rooms: 0 general and home, 1 identity and partners,
/// 2 agreements and access, 3 packages, 4 sync, 5 log and audit, 6 admin interface.
public enum ProblemCode: String, Sendable, Codable, CaseIterable {
    // General and home
    case usage = "H001"
    case internalFault = "H002"
    case notYet = "H003"
    case interrupted = "H004"
    case homeMissing = "H010"
    case homeExists = "H011"
    case homeInUse = "H012"
    case homeUnsafe = "H013"
    case configInvalid = "H014"
    case diskFull = "H015"
    case inputOutput = "H016"
    case clockBehind = "H017"
    case portInUse = "H018"
    case badName = "H020"
    // Identity and partners
    case keyUnsafe = "H101"
    case keyringInvalid = "H102"
    case keyringRollback = "H103"
    case fingerprintMismatch = "H104"
    case fingerprintNeeded = "H105"
    case partnerUnknown = "H106"
    case partnerIsSelf = "H107"
    case keyWeak = "H108"
    case confirmationNeeded = "H109"
    case partnerPaused = "H110"
    // Agreements and access
    case agreementInvalid = "H201"
    case agreementUnknown = "H202"
    case agreementAmbiguous = "H203"
    case agreementState = "H204"
    case agreementIDTaken = "H205"
    case termNotEnforceable = "H206"
    case grantExceedsAgreement = "H207"
    case grantUnknown = "H208"
    case officerKeyMissing = "H209"
    case documentInvalid = "H210"
    case signatureInvalid = "H211"
    case refusedByTerms = "H231"
    // Packages
    case packageInvalid = "H301"
    case packageUnknown = "H302"
    case releaseAmbiguous = "H303"
    case versionNotHigher = "H304"
    case fileChanged = "H305"
    case fileUnsafe = "H306"
    case fileUnreadable = "H307"
    case checkoutModified = "H308"
    case packageInvalidBag = "H309"
    case packageEnded = "H310"
    case contentDamaged = "H311"
    case limitExceeded = "H312"
    case notAuthoritative = "H313"
    case packageWithdrawn = "H314"
    case packageNotShared = "H315"
    // Sync
    case partnerUnreachable = "H401"
    case partnerRefused = "H402"
    case viewQuarantined = "H403"
    case protocolViolation = "H404"
    case syncBehind = "H405"
    case nodeStopping = "H406"
    case packageForked = "H408"
    case packageFenced = "H409"
    case packageDiverged = "H410"
    // Log and audit
    case logDamaged = "H501"
    case logUnavailable = "H502"
    case entryUnknown = "H503"
    // Admin interface
    case notAuthorised = "H601"
    case nodeNotRunning = "H602"
    case adminProtocol = "H603"
    case tooManyClients = "H604"

    /// The exit code that goes with it unless a command says otherwise.
    public var exit: Problem.Exit {
        switch self {
        case .usage, .badName, .notYet, .fingerprintNeeded, .confirmationNeeded: .usage
        case .notAuthorised, .keyUnsafe, .officerKeyMissing, .homeUnsafe: .notAuthorised
        case .keyringInvalid, .keyringRollback, .fingerprintMismatch, .keyWeak, .signatureInvalid, .packageInvalidBag,
            .contentDamaged,
            .logDamaged, .viewQuarantined:
            .verificationFailed
        case .refusedByTerms, .grantExceedsAgreement, .packageEnded, .packageWithdrawn, .packageNotShared, .partnerRefused:
            .refusedByTerms
        case .partnerUnreachable: .unreachable
        case .interrupted: .interrupted
        case .syncBehind: .partlyDone
        case .agreementAmbiguous, .releaseAmbiguous, .checkoutModified, .packageForked, .packageFenced,
            .packageDiverged:
            .conflict
        default: .failed
        }
    }
}
