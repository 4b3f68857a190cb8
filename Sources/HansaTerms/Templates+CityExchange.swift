extension Templates {
    static let cityExchangeName = "city-exchange"

    /// Comments tell the administrator what each part does. Whoever changes a letter of this makes another template: its
    /// digest is in every agreement made from it.
    static let cityExchangeText = """
        # An agreement between two cities. Read it, change the words to yours, then:
        #   hansa agreement check FILE      says what the node enforces, what it keeps in words, and what it refuses
        #   hansa agreement propose FILE    signs it and sends it to your partner, who accepts or rejects it
        # Nothing is shared by this document alone: it says what MAY be shared. What IS shared, you say afterwards, package by
        # package, with `hansa access grant PARTNER PATTERN --under ID`, and you can take it back at any time.
        schema: hansa.agreement/1

        # The agreement's name, in commands and in the log. Once proposed it cannot be used again for other words.
        id: {{id}}
        title: {{title}}
        # What this was made from. Leave it as it is.
        template: {name: city-exchange, digest: "{{digest}}"}

        # ---- 1. Roles and responsibilities (kept in words; who the parties are is enforced) ----
        # The first party proposes. `keyring` is the version of each city's keys whose officers sign; leave it as it is.
        # Put in the people who sign, and what each city undertakes to do.
        parties:
          - city: {{own}}
            keyring: {{ownKeyring}}
            role: provider and recipient
            responsibilities:
              - "publishes what it grants with a description, a licence and a contact, and corrects errors it learns of"
              - "names a person who answers questions about its packages"
            signatory: {name: "(name)", title: "(office)"}
          - city: {{partner}}
            keyring: {{partnerKeyring}}
            role: provider and recipient
            responsibilities:
              - "publishes what it grants with a description, a licence and a contact, and corrects errors it learns of"
              - "names a person who answers questions about its packages"
            signatory: {name: "(name)", title: "(office)"}

        # ---- 2. Objective (kept in words) ----
        objective:
          text: "Both cities learn from each other's data and practice, so that each serves its residents better and at less cost."
          purposes: [dpv:PublicPolicyMaking]

        # ---- 3. Term, renewal and termination ----
        # Enforced: both dates (UTC, both days included), and that sharing stops when either city terminates; `notice` sets the
        # formal end of a termination. Kept in words: the renewal's period and notice. Not yet possible: a renewal that happens
        # by itself (automatic: true), and deletion at the end (onEnd: delete or return).
        # retain: what was received stays where it is, on record, and no new copy is made of it.
        term:
          effective: {{effective}}
          expires: {{expires}}
          renewal: {automatic: false, period: P1Y, notice: P60D}
          termination: {notice: P30D, onEnd: retain}

        # ---- 4. Confidentiality (kept in words; the limits of each package are enforced by `ceiling` below) ----
        confidentiality:
          survival: P2Y
          carveOuts: [public-records, compelled-disclosure, already-known, independently-developed]

        # ---- 5. Risk allocation (kept in words) ----
        risk:
          breachNotice: PT72H
          liability: "Each city shares in good faith and without warranty, and bears its own losses."

        # ---- 6. Intellectual property (kept in words) ----
        intellectualProperty:
          ownership: retained
          licence: "as each package states"
          attribution: required
          derivatives: allowed

        # ---- 7. Compliance (kept in words) ----
        # Name the laws that bind each city, such as its freedom of information and privacy acts.
        compliance:
          laws: []
          auditNotice: P10D
          recordsKept: P7Y

        # ---- 8. Funding (kept in words) ----
        funding: {model: each-its-own, shares: []}

        # ---- Clauses: the words that people agree to. Each term below names the clause it comes from, and every permission and
        # every refusal of the node quotes it.
        clauses:
          - id: "1"
            text: "{{own}} may share packages of its own with {{partner}}, each by a grant that names it and that can be taken back."
          - id: "2"
            text: "{{partner}} may share packages of its own with {{own}}, each by a grant that names it and that can be taken back."
          - id: "3"
            text: "What a city receives it uses within its own administration and does not pass on."
          - id: "4"
            text: "Each city publishes under this agreement only what its own law lets it share, and no data about identifiable persons."
          - id: "5"
            text: "A city that finds an error, a breach or a misuse tells the other without delay."

        # ---- Terms: what the nodes enforce.
        #   packages        patterns: * within one part of a name, ** for any number of parts
        #   kinds           dataset, practice, profile, offer, challenge
        #   ceiling         the most sensitive label that may be shared: TLP:CLEAR < TLP:GREEN < TLP:AMBER < TLP:AMBER+STRICT
        #                   (TLP:RED is for named persons and is never sent)
        #   redistribution  none: the recipient's node gives it to nobody
        terms:
          - clause: "1"
            from: {{own}}
            to: [{{partner}}]
            packages: ["{{own}}/**"]
            kinds: [dataset, practice, profile, offer, challenge]
            ceiling: TLP:AMBER+STRICT
            redistribution: {to: none}
          - clause: "2"
            from: {{partner}}
            to: [{{own}}]
            packages: ["{{partner}}/**"]
            kinds: [dataset, practice, profile, offer, challenge]
            ceiling: TLP:AMBER+STRICT
            redistribution: {to: none}

        """
}
