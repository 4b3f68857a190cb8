// What each error code means and what to do, for `hansa explain CODE`.
public import HansaCore

public enum Explanations {
    /// A sentence or two for each code of the catalogue.
    public static func text(for code: ProblemCode) -> String {
        switch code {
        case .usage, .internalFault, .notYet, .interrupted, .homeMissing, .homeExists, .homeInUse, .homeUnsafe, .configInvalid,
            .diskFull,
            .inputOutput, .clockBehind, .portInUse, .badName:
            home(code)
        case .keyUnsafe, .keyringInvalid, .keyringRollback, .fingerprintMismatch, .fingerprintNeeded, .partnerUnknown,
            .partnerIsSelf, .keyWeak,
            .confirmationNeeded, .partnerPaused:
            identity(code)
        case .agreementInvalid, .agreementUnknown, .agreementAmbiguous, .agreementState, .agreementIDTaken, .termNotEnforceable,
            .grantExceedsAgreement, .grantUnknown, .officerKeyMissing, .documentInvalid, .signatureInvalid, .refusedByTerms:
            agreements(code)
        case .packageInvalid, .packageUnknown, .releaseAmbiguous, .versionNotHigher, .fileChanged, .fileUnsafe, .fileUnreadable,
            .checkoutModified,
            .packageInvalidBag, .packageEnded, .contentDamaged, .limitExceeded, .notAuthoritative, .packageWithdrawn,
            .packageNotShared:
            packages(code)
        case .partnerUnreachable, .partnerRefused, .viewQuarantined, .protocolViolation, .syncBehind, .nodeStopping,
            .packageForked,
            .packageFenced, .packageDiverged:
            sync(code)
        case .logDamaged, .logUnavailable, .entryUnknown: log(code)
        case .notAuthorised, .nodeNotRunning, .adminProtocol, .tooManyClients: interface(code)
        }
    }

    private static func home(_ code: ProblemCode) -> String {
        switch code {
        case .usage:
            "The command line is not one that hansa understands: an unknown command or option, a missing or malformed argument. Nothing was done. "
                + "Every command explains itself with --help."
        case .internalFault:
            "The node found itself in a state that it should never reach, or it is newer than this command. Nothing more was changed. Please report it "
                + "with the message and the lines of the node's log around that time; `hansa doctor --report FILE` collects what helps."
        case .notYet:
            "The command belongs to the contract of the command line, but this version does not do it yet. Nothing was done."
        case .interrupted:
            "The command was interrupted before it ended. What was durable by then stays; every command may be run again and goes on from there."
        case .homeMissing:
            "There is no home of a node where the command looked: --home, else HANSA_HOME, else /var/lib/hansa, else the user's data directory. "
                + "`hansa init` makes one; or name the right place with --home."
        case .homeExists:
            "`hansa init` found a home already there. It never overwrites one, for its keys are the city's identity. Use the one that stands, or give "
                + "another place with --home."
        case .homeInUse:
            "Another process works in this home: a node, or a command without a node. Two never work in one home at once, because the log has one "
                + "writer. Wait for it to end, or use the node that runs: commands find its socket by themselves."
        case .homeUnsafe:
            "Something in the home does not have the owner or the permissions that it must have, so others could read keys or change what the node "
                + "trusts. The message names the path and what to set; the node does not repair it silently."
        case .configInvalid:
            "hansa.yaml, or a value for it, is not understood. Unknown keys are refused with their line rather than ignored, because an ignored setting "
                + "is one that somebody relies on. `hansa config show --origin` shows all keys and where each value comes from."
        case .diskFull:
            "The file system has no room left for what had to be written. Nothing half-written counts; after making room run the command again, and "
                + "a running node goes on by itself."
        case .inputOutput:
            "The operating system refused a file or socket operation. The message holds its reason. Nothing half-written counts."
        case .clockBehind:
            "The system's clock stands before the time of the last log entry. Until it has passed that time the node shares nothing, because "
                + "agreements and grants end by the clock. Check the time service of this machine."
        case .portInUse:
            "Another process listens on the address that this node should. Stop it, or set another with `hansa config set listen HOST:PORT`."
        case .badName:
            "A city id is a DNS-like name in lower case (kitchener.ca). A package is city/path; a path has one to eight segments of a-z 0-9 . _ - , "
                + "each begun by a letter or digit, at most 200 bytes. A name that does not fit is refused, and a near one that would is suggested."
        default: ""
        }
    }

    private static func identity(_ code: ProblemCode) -> String {
        switch code {
        case .keyUnsafe:
            "A key file may be read by others, is a symbolic link, or belongs to another account. Keys are 0600 and owned by whoever uses them. "
                + "If others could read it, consider it known to them, and rotate it."
        case .keyringInvalid:
            "A city card is malformed, expired, or not signed by the officers it names. Ask the other city for a fresh one: `hansa city card`."
        case .keyringRollback:
            "A city card is older than the one already known, or skips versions, or shows other content under a known version. This may be an old file, "
                + "or somebody who replays one; compare with the other city by telephone."
        case .fingerprintMismatch:
            "The digits given are not the fingerprint of this card. Either one was misread, or the card is not that city's: do not add it before both "
                + "ends have read the same eight groups to each other."
        case .fingerprintNeeded:
            "A partner is known by its keys, so somebody has to say that these are the right ones. Read the eight groups of five digits to each other by "
                + "telephone and give them with --fingerprint; or accept the card unseen with --yes, which the log will say."
        case .partnerUnknown:
            "No city of that id is a partner of this node. `hansa partner list` shows them; `hansa partner add CARDFILE` adds one."
        case .partnerIsSelf: "The city is this node's own. A card from `hansa city card` is for the other city to add."
        case .keyWeak:
            "A public key is one of those for which anybody can make signatures (a point of small order), or it is not in its only valid encoding. "
                + "No honest software makes such keys."
        case .confirmationNeeded:
            "The act is severe and cannot be undone by another command, so the name has to be given once more with --confirm. -y is not enough for it."
        case .partnerPaused: "The partner is paused: nothing is exchanged until `hansa partner resume`."
        default: ""
        }
    }

    private static func agreements(_ code: ProblemCode) -> String {
        switch code {
        case .agreementInvalid:
            "The agreement's document is malformed or contradicts itself: a missing clause, a party that is none, dates in the wrong order. "
                + "`hansa agreement check FILE` lists every fault with its place."
        case .agreementUnknown:
            "No agreement of that id or digest is known here. `hansa agreement list` shows all; the other city may not have sent it yet."
        case .agreementAmbiguous: "The prefix or id fits several agreements. Give more digits of the digest."
        case .agreementState:
            "An agreement goes from proposed to active to its end, and each step fits only some states: what is rejected is not accepted, and what both "
                + "have signed is terminated, not rejected. `hansa agreement show ID` tells the state and who has signed."
        case .agreementIDTaken:
            "Another agreement has this id already. The id is a name for people: choose another one in the file."
        case .termNotEnforceable:
            "The agreement asks for something that this node cannot enforce. Terms are never ignored: take it out, or wait for a version that can. "
                + "`hansa agreement check FILE` lists what is enforced, what is kept as text, and what is refused."
        case .grantExceedsAgreement:
            "A grant shares what an agreement allows, never more: the pattern, level, ceiling or end of this one goes beyond its terms."
        case .grantUnknown: "No grant of that id is known here. `hansa access list` shows them."
        case .officerKeyMissing:
            "Agreements are signed by an officer of the city, whose key is not in this home. If it is kept elsewhere give its file with --officer-key."
        case .documentInvalid: "A signed document is malformed. It is refused as a whole: nothing of it is used."
        case .signatureInvalid:
            "A signature does not belong to the document or to a key that may sign it. The document is refused. It was damaged on the way, or made by "
                + "somebody else."
        case .refusedByTerms:
            "No agreement in force, with a grant by an administrator, allows it. The message names the agreement and the clause that decided. "
                + "`hansa why PARTNER PACKAGE` shows the decision, and what would change it."
        default: ""
        }
    }

    private static func packages(_ code: ProblemCode) -> String {
        switch code {
        case .packageInvalid:
            "The directory is no valid package: its datapackage.json is malformed, names files that are not there, or its tables do not fit their "
                + "schema. `hansa package check DIR` lists every fault."
        case .packageUnknown: "No package or release of that name is known here. `hansa package list` shows what there is."
        case .releaseAmbiguous: "The reference fits several releases. Give more digits of the digest, or a version."
        case .versionNotHigher:
            "Each release of a package has a higher version than the last. Leave --version out to take the next one, or give a higher one."
        case .fileChanged:
            "A file changed or vanished while it was being read, so the release would have held neither its old nor its new content. Nothing was "
                + "published. Run it again when nobody writes there."
        case .fileUnsafe:
            "A file is of a kind that is never published or written through: a symbolic link, a device, a pipe, a key of this node, a name that other "
                + "systems would take for another. The message names it."
        case .fileUnreadable:
            "A file or directory of yours could not be read or written by this command. The message holds the reason."
        case .checkoutModified:
            "Files in the target were changed since they were checked out, or are not ours. They are never overwritten silently: move them away, or "
                + "give --force to replace them."
        case .packageInvalidBag: "A file does not match the bag's manifest: it was changed, or the bag is incomplete."
        case .packageEnded:
            "The agreement under which this package came has ended, or access was withdrawn. What was received is on record, and no new checkout is given."
        case .packageNotShared:
            "Its city granted the level discover: we hold the signed release, which says that it exists, its title, size and version, and no content. Ask "
                + "the city to grant it with --level sync; the content then comes by itself."
        case .contentDamaged:
            "Stored content does not match its hash: the disk or somebody has changed it. It is not handed out. The node fetches it anew from the "
                + "city that served it, or its own from a partner that accepted it; where nobody has it, publish its directory again. `hansa status` names what "
                + "is damaged, `hansa store check` looks at everything, `hansa store rebuild` finds chunks that lie whole in another record. Look at the disk."
        case .limitExceeded: "Something is larger than this node accepts. The message names the limit."
        case .notAuthoritative:
            "Only the city whose name a package bears withdraws it, and only that city or a maintainer whom an agreement in force names publishes it."
        case .packageWithdrawn: "Its publisher has withdrawn the package. The record stays; the content is no longer given."
        default: ""
        }
    }

    private static func sync(_ code: ProblemCode) -> String {
        switch code {
        case .partnerUnreachable:
            "No connection could be made to the partner. The node keeps trying by itself. Check the endpoint (`hansa partner show`), the firewall and "
                + "whether the other node runs."
        case .partnerRefused:
            "The partner answered and would not talk to us: it paused or removed us, does not know our card, or knows an older one. Ask them; where the "
                + "card is what is missing, send the present one: `hansa city card`."
        case .viewQuarantined:
            "After a full comparison the two nodes still do not agree on what one shows the other under an agreement. Nothing more is exchanged there "
                + "until a person has looked. `hansa status` tells which; the log has the details. `hansa sync PARTNER`, by an administrator of each city, "
                + "has it begin anew."
        case .protocolViolation:
            "The partner sent something that the protocol does not allow. The connection was closed, and the log has the reason."
        case .syncBehind: "Not everything has arrived yet. The node goes on by itself; `hansa sync --wait` waits for it."
        case .packageForked:
            "A city signed two different releases of one package under one number. The first that came is kept, the other refused, and the proof, both "
                + "signed documents, is kept too: `hansa conflict show PACKAGE` prints it. The package's head stands still until an administrator "
                + "decides with `hansa conflict resolve PACKAGE --take REF`. Ask that city what happened: a restored backup, or a stolen key."
        case .packageFenced:
            "A partner showed a release of one of our packages that our own key signed and this node does not know: most likely an old backup was put "
                + "back. Signing the next number could sign one twice, so nothing is signed for the package. `hansa conflict resolve PACKAGE --take REF` "
                + "goes on 2^20 numbers further; the content of what was lost stays with the partners that hold it."
        case .packageDiverged:
            "Several cities write this package, and another of them published since this directory was published last, or since this merge was made. "
                + "Publishing it as it stands would follow that release without holding what it says. `hansa conflict merge PACKAGE NEWDIR` writes what "
                + "both say together; check it, carry over what you edited, and publish it with --merge."
        case .nodeStopping:
            "The node is stopping, or stopped while it worked on this command. Run it again: with the next node, or without one."
        default: ""
        }
    }

    private static func log(_ code: ProblemCode) -> String {
        switch code {
        case .logDamaged:
            "The log on disk does not match its signed checkpoint: an entry or tile was changed, lost, or restored from an old copy. Where it "
                + "contradicts itself no command works in that home, and the message names the file; else `hansa audit verify` lists what differs. Keep a copy "
                + "of log/ as it is, then bring the last backup back."
        case .logUnavailable:
            "The log could not be written, so the act was not done: nothing is shared, granted or signed that is not on record first. "
                + "Free space or repair the disk; the node says when it can write again."
        case .entryUnknown: "The log has no entry of that index. `hansa audit checkpoint` tells its size; the first index is 0."
        default: ""
        }
    }

    private static func interface(_ code: ProblemCode) -> String {
        switch code {
        case .notAuthorised:
            "The operating system's account decides what one may do: the owner of the home and root are administrators, others have the role that "
                + "hansa.yaml gives them (roles.admin, roles.operator, roles.auditor), and everyone else none. The refusal is in the log."
        case .nodeNotRunning: "The command needs a running node. Start it: `hansa serve`, or `systemctl start hansa`."
        case .adminProtocol:
            "The command and the node did not understand each other, or one of them went silent. After an upgrade restart the node, so that both are of "
                + "one version."
        case .tooManyClients: "The node serves as many commands at once as it may. Run it again in a moment."
        default: ""
        }
    }
}
