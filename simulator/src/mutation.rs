//! Rules that the shells around the cores have to keep, each of which can be broken on purpose: a
//! simulation that doesn't notice shows nothing.

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A member of the quorum answers before it has written what the answer rests on.
    QuorumAnswersUnwritten,
    /// A member forgets at a crash for whom it voted, and in which term.
    VoteForgotten,
    /// A node applies entries of the metadata when it gets them, not when they are committed.
    UncommittedApplied,
    /// A controller that lost the leadership answers as if all that it decided were committed.
    AnsweredWithoutCommit,
    /// The controller decides on what is committed, and forgets what it decided since.
    DecidedOnCommitted,
    /// Requests of one node or client overtake each other.
    RequestsOvertake,
    /// A broker that registers anew keeps its epoch.
    BrokerEpochKept,
    /// The sessions aren't told when what they decided is committed.
    SessionsNotTold,
    /// A broker says that it has all metadata, before it has.
    OffsetOverstated,
    /// A node hears of its partitions before its registration is in the metadata.
    AssignedBeforeRegistered,
    /// A log that begins anew isn't on the drive before the high watermark that follows from it.
    RestartNotDurable,
    /// A truncation is left undone.
    TruncationIgnored,
    /// The end of what is appended is taken for the end of what is stored.
    StableEndAhead,
    /// The beginning of an epoch isn't noted in the log.
    EpochNotAssigned,
    /// `acks=all` is answered when the leader has the records.
    AckAtStableEnd,
    /// Who waits for an append goes on waiting when the leadership is lost.
    WaitersKept,
    /// Consumers see all that is stored.
    ReadAboveWatermark,
    /// A follower doesn't learn the producers' sequences from the records it gets.
    SequencesNotFollowed,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::QuorumAnswersUnwritten,
        Self::VoteForgotten,
        Self::UncommittedApplied,
        Self::AnsweredWithoutCommit,
        Self::DecidedOnCommitted,
        Self::RequestsOvertake,
        Self::BrokerEpochKept,
        Self::SessionsNotTold,
        Self::OffsetOverstated,
        Self::AssignedBeforeRegistered,
        Self::RestartNotDurable,
        Self::TruncationIgnored,
        Self::StableEndAhead,
        Self::EpochNotAssigned,
        Self::AckAtStableEnd,
        Self::WaitersKept,
        Self::ReadAboveWatermark,
        Self::SequencesNotFollowed,
    ];
}
