// Rows of the metadata store: a city that we know, and what is on its way to it.
public import HansaCore
public import HansaDocuments

/// A city we know by its keyring.
public struct Partner: Sendable, Equatable {
    public enum State: String, Sendable { case active, paused, removed }
    public var city: CityID
    public var state: State
    /// An administrator's own address for it, before those of its keyring.
    public var endpoint: String?
    public var added: Timestamp
    /// The last moment a session with it ended a round with every view equal.
    public var lastSync: Timestamp?

    public init(city: CityID, state: State, endpoint: String?, added: Timestamp, lastSync: Timestamp? = nil) {
        self.city = city
        self.state = state
        self.endpoint = endpoint
        self.added = added
        self.lastSync = lastSync
    }
}

/// A document on its way to a partner: pushed in every session until it is acknowledged.
public struct OutboxRow: Sendable, Equatable {
    public var id: Int64
    public var partner: CityID
    public var envelope: Envelope

    public init(id: Int64, partner: CityID, envelope: Envelope) {
        self.id = id
        self.partner = partner
        self.envelope = envelope
    }
}
