// The catalogue of what the log records (`audit events`). Ids are stable: never renamed, never given another meaning; new ones
// are added.

/// What an entry is about.
public enum LogEvent: String, Sendable, CaseIterable {
    // The node
    case nodeStarted = "node.start"
    case nodeStopped = "node.stop"
    case configurationChanged = "config.changed"
    case logContinued = "log.continued"
    // Who we are and whom we know
    case identityCreated = "identity.created"
    case identityRotated = "identity.rotated"
    case partnerAdded = "partner.added"
    case partnerRemoved = "partner.removed"
    case partnerPaused = "partner.paused"
    case partnerResumed = "partner.resumed"
    case keyringAccepted = "keyring.accepted"
    case keyringRefused = "keyring.refused"
    // Agreements
    case agreementProposed = "agreement.proposed"
    case agreementReceived = "agreement.received"
    case agreementSigned = "agreement.signed"
    case agreementAccepted = "agreement.accepted"
    case agreementRejected = "agreement.rejected"
    case agreementTerminated = "agreement.terminated"
    case agreementExpired = "agreement.expired"
    case agreementStep = "agreement.step"
    case agreementRefused = "agreement.refused"
    // Access
    case accessGranted = "access.granted"
    case accessRevoked = "access.revoked"
    case accessEnded = "access.ended"
    case accessDenied = "access.denied"
    // Packages
    case packagePublished = "package.published"
    case packageWithdrawn = "package.withdrawn"
    case packageCheckedOut = "package.checkout"
    case packageCompared = "package.compared"
    case packageForked = "package.forked"
    case packageConflictResolved = "package.resolved"
    case packageFenced = "package.fenced"
    case homeRestored = "home.restored"
    case databaseRemade = "home.rebuilt"
    // Exchange
    case releaseOffered = "release.offered"
    case releaseDelivered = "release.delivered"
    case releaseReceived = "release.received"
    case releaseRefused = "release.refused"
    case releaseMoved = "release.moved"
    case receiptSent = "receipt.sent"
    case receiptReceived = "receipt.received"
    case receiptRefused = "receipt.refused"
    case documentDelivered = "document.delivered"
    case documentReceived = "document.received"
    case documentRefused = "document.refused"
    case documentRefusedByPartner = "document.rejected"
    case sessionOpened = "session.opened"
    case sessionClosed = "session.closed"
    case sessionRefused = "session.refused"
    case strangersRefused = "strangers.refused"
    case viewQuarantined = "view.quarantined"
    case viewRepaired = "view.repaired"
    case viewReset = "view.reset"
    case viewResumed = "view.resumed"
    // Audit and administration
    case witnessFollowed = "witness.followed"
    case witnessAlarm = "witness.alarm"
    case auditRead = "audit.read"
    case auditVerified = "audit.verified"
    case adminRefused = "admin.refused"
    case contentDamaged = "content.damaged"
    case contentHealed = "content.healed"
    case contentPurged = "content.purged"

    /// A few words, for a table's cell.
    public var title: String { text.title }
    /// One sentence: when it is written, and what the fields mean there.
    public var description: String { text.description }

    private var text: (title: String, description: String) {
        switch self {
        case .nodeStarted: ("Node started", "The node began to serve; details give its version.")
        case .nodeStopped: ("Node stopped", "The node stopped in an orderly way; a start without a stop before it was a crash.")
        case .configurationChanged:
            (
                "Configuration changed",
                "A setting was changed by command: details give its key and new value. Or the file was found changed, at start or on SIGHUP: its digest."
            )
        case .logContinued:
            (
                "Log continued",
                "First entry of a log that follows a lost one; details give the old checkpoint and the range that is lost."
            )
        case .identityCreated:
            ("Identity created", "The city's keys and its first keyring were made; details give the fingerprint.")
        case .identityRotated:
            ("Identity rotated", "A new version of our own keyring was signed; details name the keys that changed.")
        case .partnerAdded:
            ("Partner added", "A city's card was accepted by an administrator; details say how its fingerprint was compared.")
        case .partnerRemoved: ("Partner removed", "An administrator ended the relation to a city; its connections closed.")
        case .partnerPaused: ("Partner paused", "Exchange with the city was suspended by an administrator.")
        case .partnerResumed: ("Partner resumed", "Exchange with the city was taken up again by an administrator.")
        case .keyringAccepted: ("Keyring accepted", "A partner's new keyring version followed the rules and is now current.")
        case .keyringRefused: ("Keyring refused", "A partner's keyring broke the rules of rotation; reason says which.")
        case .agreementProposed: ("Agreement proposed", "We signed and proposed the agreement to the partner.")
        case .agreementReceived:
            ("Agreement received", "A partner's proposal, or its signature on an agreement, arrived and was verified.")
        case .agreementSigned: ("Agreement signed", "Our signature was added to the agreement.")
        case .agreementAccepted:
            ("Agreement active", "All parties have signed the same text; sharing under it may begin on its first day.")
        case .agreementRejected: ("Agreement rejected", "A party that had not signed rejected the proposal; reason is its own.")
        case .agreementTerminated: ("Agreement terminated", "A party ended the agreement; sharing under it stopped at once.")
        case .agreementExpired:
            (
                "Agreement expired",
                "The last day of the agreement has passed; sharing under it stopped. Not written by this version."
            )
        case .agreementStep: ("Agreement step", "Another step in the agreement's life; details name it.")
        case .agreementRefused:
            ("Agreement refused", "A document about an agreement was not taken; reason says why. Not written by this version.")
        case .accessGranted: ("Access granted", "An administrator granted a partner access; details hold the whole grant.")
        case .accessRevoked: ("Access revoked", "An administrator ended a grant; what lay under it is no longer served.")
        case .accessEnded: ("Access ended", "A partner's release is no longer shared with us; reason says why.")
        case .accessDenied:
            (
                "Access denied",
                "A partner asked for what it may not have; clause and reason say why. Repeats are merged by minute, details.count tells."
            )
        case .packagePublished:
            ("Package published", "We signed a release; release is its digest, details give version and size.")
        case .packageWithdrawn:
            ("Package withdrawn", "We signed the withdrawal of a package; reason is public to its recipients.")
        case .packageCheckedOut:
            ("Package checked out", "Content was written out of the node; details give the purpose where one was stated.")
        case .packageCompared:
            ("Releases compared", "Two releases were compared and values of them shown; details give the other release.")
        case .packageForked:
            (
                "Package forked",
                "A city signed two releases under one number; the proof is kept and the package's head stands still until someone decides."
            )
        case .packageConflictResolved:
            ("Conflict resolved", "An administrator decided how a package with a fork or a fence goes on; details say how.")
        case .packageFenced:
            (
                "Package fenced",
                "A partner holds a release of ours that we do not know: nothing is signed for the package until someone decides."
            )
        case .homeRestored:
            (
                "Home restored",
                "An administrator said that this home was put back to an earlier state; details tell how far numbers were raised."
            )
        case .databaseRemade:
            (
                "Database made again",
                "The database was lost and made from segments and log; details count what came back, and what did not."
            )
        case .releaseOffered: ("Release offered", "A release entered what a partner may see; transfer names the offer.")
        case .releaseDelivered: ("Release delivered", "All content that the partner asked for has been handed to its connection.")
        case .releaseReceived: ("Release received", "A partner's release was verified, stored and is accepted.")
        case .releaseRefused: ("Release refused", "A partner's release was not accepted; reason says which check it failed.")
        case .releaseMoved:
            ("Release moved", "A partner's release that we hold is shared with us at another level; details.level gives it.")
        case .receiptSent:
            ("Receipt sent", "We signed a receipt for a partner; details count its items. Not written by this version.")
        case .receiptReceived: ("Receipt received", "A partner's signed receipt arrived and was verified.")
        case .receiptRefused: ("Receipt refused", "A partner's receipt did not fit what we sent; reason says why.")
        case .documentDelivered: ("Document delivered", "A signed document of ours reached the partner.")
        case .documentReceived:
            ("Document received", "A signed document of a partner arrived and was stored. Not written by this version.")
        case .documentRefused: ("Document refused", "A partner's document was not taken; reason says why.")
        case .documentRefusedByPartner:
            ("Document rejected", "The partner did not take a signed document of ours; reason is its own.")
        case .viewReset:
            ("View told again", "Digests differed at one cursor: the whole view was sent once more under a new feed epoch.")
        case .witnessFollowed:
            (
                "Partner's log followed",
                "A log whose checkpoints we cosign was closed, and its city's keyring names the next; details give both and how far the first had come."
            )
        case .witnessAlarm:
            (
                "Partner's log contradicts itself",
                "A partner signed a checkpoint that does not continue one we cosigned; reason says how, details give both sizes."
            )
        case .sessionOpened: ("Session opened", "A partner was recognised on a connection. Not written by this version.")
        case .sessionClosed:
            ("Session closed", "A recognised connection ended; details count what went through it. Not written by this version.")
        case .sessionRefused: ("Session refused", "A known partner's connection was refused or broken off; reason says why.")
        case .strangersRefused:
            ("Strangers refused", "Connections refused before anyone was recognised; one entry an hour, details.count tells.")
        case .viewQuarantined:
            (
                "View quarantined",
                "What a partner shows us contradicts itself, or ours does; nothing of the view is taken until an administrator has both sides begin anew: hansa sync PARTNER."
            )
        case .viewResumed:
            (
                "View resumed",
                "An administrator had a view that was quarantined begin anew; reason says why it was, details.shown whether by us or to us."
            )
        case .viewRepaired:
            ("View repaired", "Digests differed, and both sides compared members: details count what was told again, or ended.")
        case .auditRead: ("Log read", "Someone read the log; repeats by one account are merged by minute, details.count tells.")
        case .auditVerified:
            (
                "Log verified",
                "The whole log was verified; details give its size, root and the number of findings. Not written by this version."
            )
        case .adminRefused: ("Command refused", "An account asked for something beyond its role.")
        case .contentDamaged: ("Content damaged", "Something of a release can no longer be read from our disk; details say what.")
        case .contentHealed:
            ("Content healed", "What was damaged of a release is whole again, from the partner or from its directory.")
        case .contentPurged:
            (
                "Content purged",
                "Content of a withdrawn package was taken out of the store, its documents stay; details count the releases. Its bytes leave the disk within a day."
            )
        }
    }
}
