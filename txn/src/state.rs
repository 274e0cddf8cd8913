//! How far a transactional id's transaction is.

/// The states a transactional id is in between two steps. Kafka has two more, for ids that are being
/// forgotten and epochs that are being fenced; both are over within one step here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// There was no transaction since the producer began.
    Empty,
    /// Partitions were added, and nobody has ended it.
    Ongoing,
    /// Decided, with markers to be written.
    PrepareCommit,
    /// Decided, with markers to be written.
    PrepareAbort,
    /// All markers are written.
    CompleteCommit,
    /// All markers are written.
    CompleteAbort,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Its number in records.
    pub(crate) fn id(self) -> i8 {
        self as i8
    }

    /// The state with this number in records.
    pub(crate) fn of_id(id: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Its name in Kafka's protocol and tools.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the protocol has a state of this name, be it one that is never seen here.
    pub(crate) fn is_name(name: &str) -> bool {
        name == "Dead"
            || name == "PrepareEpochFence"
            || Self::ALL.iter().any(|state| state.name() == name)
    }

    /// Whether markers are to be written.
    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether the id can be forgotten if it isn't used for long.
    pub(crate) fn can_expire(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }

    /// What a transaction with this decision is while its markers are written.
    pub(crate) fn prepared(commit: bool) -> Self {
        if commit {
            Self::PrepareCommit
        } else {
            Self::PrepareAbort
        }
    }
}
