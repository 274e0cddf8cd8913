//! Every rule, broken, must be noticed: otherwise the simulation shows nothing.

use super::run;
use crate::rules::{BROKEN, Rule};

/// Seeds within which a broken rule has to be noticed.
const SEEDS: u64 = 30_000;

#[test]
fn every_broken_rule_is_noticed() {
    let rules = [
        Rule::PendingMemberCounts,
        Rule::LeaderStoresToo,
        Rule::ReportStable,
        Rule::ReportAfterFollowing,
        Rule::TruncateDiverged,
        Rule::TruncateByEpoch,
        Rule::AnswerFitsPosition,
        Rule::JoinFromEpochStart,
        Rule::MessagesOfThisEpoch,
        Rule::ReportsOfThisProcess,
        Rule::ReplicaOfThisAssignment,
        Rule::WatermarkForward,
        Rule::WatermarkStored,
        Rule::ShrinkWhenAccepted,
        Rule::RecordsContinue,
        Rule::StartBelowWatermark,
        Rule::OldMetadataIgnored,
        Rule::KnownMetadataKeepsPending,
        Rule::AnswerToThisRequest,
        Rule::RefusalOfLastCopy,
        Rule::ResignWhenCut,
    ];
    let mut missed = Vec::new();
    for rule in rules {
        BROKEN.set(Some(rule));
        let noticed = (0..SEEDS).find_map(|seed| {
            let run = std::panic::catch_unwind(|| run(seed, false));
            run.unwrap_or_else(|_| Err(format!("seed {seed}: panic")))
                .err()
        });
        BROKEN.set(None);
        match noticed {
            Some(what) => println!("{rule:?}: {what}"),
            None => missed.push(rule),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
