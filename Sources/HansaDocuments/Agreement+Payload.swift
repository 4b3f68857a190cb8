// From an agreement to the bytes that are signed: the members in the order of the format, so the same YAML gives the same payload.
internal import HansaCore

extension Agreement {
    public func payload() -> [UInt8] {
        var writer = JSONWriter(reserving: 4096)
        writer.object { object in
            object.field("schema", Agreement.schema)
            object.field("id", id)
            object.field("title", title)
            if let template {
                object.object("template") { object in
                    object.field("name", template.name)
                    object.field("digest", template.digest)
                }
            }
            object.array("parties") { array in for party in parties { array.object { party.write(to: &$0) } } }
            if let objective {
                object.object("objective") { object in
                    object.field("text", objective.text)
                    object.list("purposes", objective.purposes)
                }
            }
            object.object("term") { term.write(to: &$0) }
            writeHeadings(to: &object)
            object.array("clauses") { array in
                for clause in clauses {
                    array.object { object in
                        object.field("id", clause.id)
                        object.field("text", clause.text)
                    }
                }
            }
            object.array("terms") { array in for term in terms { array.object { term.write(to: &$0) } } }
            if let maintainers {
                object.array("maintainers") { array in for entry in maintainers { array.object { entry.write(to: &$0) } } }
            }
        }
        return writer.finish()
    }

    private func writeHeadings(to object: inout JSONWriter) {
        if let confidentiality {
            object.object("confidentiality") { object in
                object.optional("survival", confidentiality.survival)
                object.list("carveOuts", confidentiality.carveOuts)
            }
        }
        if let risk {
            object.object("risk") { object in
                object.optional("breachNotice", risk.breachNotice)
                object.optional("liability", risk.liability)
                if let contact = risk.contact { object.field("contact", contact) }
            }
        }
        if let part = intellectualProperty {
            object.object("intellectualProperty") { object in
                object.optional("ownership", part.ownership)
                object.optional("licence", part.licence)
                object.optional("attribution", part.attribution)
                object.optional("derivatives", part.derivatives)
            }
        }
        if let compliance {
            object.object("compliance") { object in
                object.list("laws", compliance.laws)
                object.list("dataResidency", compliance.dataResidency)
                object.optional("auditNotice", compliance.auditNotice)
                object.optional("recordsKept", compliance.recordsKept)
            }
        }
        if let funding {
            object.object("funding") { object in
                object.optional("model", funding.model)
                if let shares = funding.shares { object.field("shares", shares) }
            }
        }
    }
}

extension Agreement.Party {
    fileprivate func write(to object: inout JSONWriter) {
        object.field("city", city.text)
        object.field("keyring", keyring)
        object.optional("role", role)
        object.list("responsibilities", responsibilities)
        if let signatory {
            object.object("signatory") { object in
                object.field("name", signatory.name)
                object.optional("title", signatory.title)
            }
        }
    }
}

extension Agreement.Term {
    fileprivate func write(to object: inout JSONWriter) {
        object.field("effective", effective.description)
        object.field("expires", expires.description)
        if let renewal {
            object.object("renewal") { object in
                object.field("automatic", renewal.automatic)
                object.optional("period", renewal.period)
                object.optional("notice", renewal.notice)
            }
        }
        if let termination {
            object.object("termination") { object in
                object.optional("notice", termination.notice)
                object.optional("forCause", termination.forCause)
                object.optional("onEnd", termination.onEnd?.rawValue)
                object.optional("within", termination.within)
            }
        }
    }
}

extension SharingTerm {
    fileprivate func write(to object: inout JSONWriter) {
        object.field("clause", clause)
        object.field("from", from.text)
        object.field("to", to.map(\.text))
        object.field("packages", packages.map(\.text))
        object.field("kinds", kinds.map(\.rawValue))
        object.field("ceiling", ceiling.rawValue)
        if let purposes { object.field("purposes", purposes) }
        if let redistribution {
            object.object("redistribution") { object in
                object.field("to", redistribution.to.rawValue)
                if let maxHops = redistribution.maxHops { object.field("maxHops", maxHops) }
            }
        }
        if let retention {
            object.object("retention") { object in
                object.field("keep", retention.keep.description)
                object.field("from", retention.from.rawValue)
            }
        }
        object.optional("embargo", embargo)
        if let redact {
            object.array("redact") { array in
                for redaction in redact {
                    array.object { object in
                        object.field("fields", redaction.fields)
                        object.field("method", redaction.method.rawValue)
                    }
                }
            }
        }
        object.optional("attribution", attribution)
    }
}

extension Agreement.Maintenance {
    fileprivate func write(to object: inout JSONWriter) {
        object.field("packages", packages.map(\.text))
        object.field("cities", cities.map(\.text))
        object.field("rule", rule)
        object.field("autoMerge", autoMerge)
    }
}

// In an agreement, what is absent or empty is left out.
extension JSONWriter {
    fileprivate mutating func optional(_ name: String, _ value: String?) { if let value { field(name, value) } }
    fileprivate mutating func optional(_ name: String, _ value: ISODuration?) { if let value { field(name, value.description) } }
    fileprivate mutating func list(_ name: String, _ values: [String]) { if !values.isEmpty { field(name, values) } }
}
