//! The rules that safety rests on, by name, so that the simulation can break one at a time and show that
//! it notices.
//!
//! Outside of tests every rule holds, and the compiler takes the question away.

/// A rule of replication that a test may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The high watermark waits for a member that is being added to the ISR.
    PendingMemberCounts,
    /// The high watermark waits for what the leader itself has stored.
    LeaderStoresToo,
    /// A follower reports what is stored, not what is appended.
    ReportStable,
    /// A follower reports only after the leader found its log to be a part of its own.
    ReportAfterFollowing,
    /// A follower cuts off what its leader doesn't have.
    TruncateDiverged,
    /// A follower cuts where the logs part, not at its high watermark.
    TruncateByEpoch,
    /// An answer is good only for the position it was given to.
    AnswerFitsPosition,
    /// A replica joins the ISR not before it has all from before the leader's epoch.
    JoinFromEpochStart,
    /// Messages of another leader epoch mean nothing.
    MessagesOfThisEpoch,
    /// Reports of an earlier process of a node mean nothing.
    ReportsOfThisProcess,
    /// A replica that was taken away and given again is another one.
    ReplicaOfThisAssignment,
    /// The high watermark never goes back in an epoch.
    WatermarkForward,
    /// A follower's high watermark stays within what it has stored.
    WatermarkStored,
    /// A replica leaves the ISR when the controller says so.
    ShrinkWhenAccepted,
    /// Records are taken only where the log ends.
    RecordsContinue,
    /// The log start is not raised above the high watermark.
    StartBelowWatermark,
    /// Metadata that is older than what is known changes nothing.
    OldMetadataIgnored,
    /// Metadata that says what is known already leaves a pending ISR change alone.
    KnownMetadataKeepsPending,
    /// An answer to another ISR request than the one under way changes nothing.
    AnswerToThisRequest,
    /// An ISR change is refused for good only when its last copy is refused.
    RefusalOfLastCopy,
    /// A leader whose appended records were taken back after others saw them leads no longer.
    ResignWhenCut,
}

/// Whether the rule is in force.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn holds(_rule: Rule) -> bool {
    true
}

#[cfg(test)]
pub(crate) use broken::{BROKEN, holds};

#[cfg(test)]
mod broken {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        /// The rule that is broken on this thread.
        pub(crate) static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether the rule is in force.
    pub(crate) fn holds(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }
}
