//! What has been promised so far, to anyone, and what must therefore be true from then on.
//!
//! It sees everything at once, as no node does. What doesn't hold is kept as the run's failure; the first
//! one counts.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata::{Image, Record as MetaRecord};
use replica::{LogView, Replica};

use crate::log::{Log, Record};
use crate::payload;

/// The topic whose partitions there are.
pub(crate) const TOPIC: &str = "events";

/// What is known of a partition.
#[derive(Debug, Default)]
struct Partition {
    /// All records that some leader's high watermark has passed.
    committed: Vec<Record>,
    /// Which process appended in an epoch.
    writers: BTreeMap<i32, (i32, u64)>,
    /// What was sent of which offset and epoch.
    written: BTreeMap<(i64, i32), Record>,
    /// The next record that each idempotent producer must have committed.
    sequences: BTreeMap<u32, u64>,
}

/// What is known of a node's replica: the high watermark last seen, and up to where it was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) high_watermark: i64,
    pub(crate) equal: i64,
}

/// All promises.
#[derive(Default)]
pub(crate) struct Ledger {
    /// The first thing that didn't hold.
    pub(crate) failure: Option<String>,
    partitions: BTreeMap<i32, Partition>,
    /// The metadata after each entry of the quorum's log.
    images: BTreeMap<u64, Image>,
    /// What was committed at each index, with its term.
    entries: BTreeMap<u64, (u64, Option<Bytes>)>,
    /// Who led the quorum in each term.
    leaders: BTreeMap<u64, i32>,
    /// The processes that were given broker epochs, and whether they know.
    epochs: BTreeMap<i64, (i32, u64)>,
    /// The brokers, with their epochs, that had the metadata of their registration.
    opened: BTreeSet<(i32, i64)>,
    /// For each producer: its next sequence that wasn't acknowledged.
    pub(crate) acknowledged: BTreeMap<u32, u64>,
    /// Counts, for whoever wants to know whether anything happened at all.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Notes a failure where something doesn't hold.
macro_rules! must {
    ($ledger:expr, $holds:expr, $($what:tt)+) => {
        if !$holds {
            $ledger.fail(format!($($what)+));
        }
    };
}
pub(crate) use must;

/// Whether a producer retries under the protection of its sequence numbers: those with an even number.
pub(crate) fn is_idempotent(producer: u32) -> bool {
    producer.is_multiple_of(2)
}

impl Ledger {
    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How many offsets of a partition are committed.
    pub(crate) fn committed(&self, partition: i32) -> i64 {
        let known = self.partitions.get(&partition);
        known.map_or(0, |known| known.committed.len() as i64)
    }

    /// The metadata after the last entry that is committed.
    pub(crate) fn image(&self) -> Option<(u64, &Image)> {
        self.images
            .last_key_value()
            .map(|(&index, image)| (index, image))
    }

    /// A member says that it leads the quorum.
    pub(crate) fn leads_quorum(&mut self, node: i32, term: u64) {
        let first = *self.leaders.entry(term).or_insert(node);
        must!(
            self,
            first == node,
            "nodes {first} and {node} lead the quorum in term {term}"
        );
    }

    /// A node has applied an entry: nobody else may have applied another, or have come to another image.
    pub(crate) fn applied(
        &mut self,
        node: i32,
        (index, term): (u64, u64),
        payload: Option<&Bytes>,
        image: &Image,
    ) {
        let entry = (term, payload.cloned());
        let known = self.entries.entry(index).or_insert_with(|| entry.clone());
        if *known != entry {
            let terms = (known.0, term);
            self.fail(format!(
                "node {node} applied another entry {index} than was committed (terms {terms:?})"
            ));
            return;
        }
        let last = self.image().map_or(index - 1, |(last, _)| last);
        if last + 1 == index {
            self.images.insert(index, image.clone());
            self.check_unfenced(payload);
            return;
        }
        self.same_image(node, index, image);
    }

    /// A process has the metadata of its registration.
    pub(crate) fn opened(&mut self, node: i32, epoch: i64) {
        self.opened.insert((node, epoch));
    }

    /// Nobody is unfenced whose process hasn't that.
    fn check_unfenced(&mut self, payload: Option<&Bytes>) {
        for record in records_of(payload) {
            if let MetaRecord::BrokerChange(change) = record
                && change.fenced == Some(false)
            {
                let broker = (change.node_id, change.epoch);
                must!(
                    self,
                    self.opened.contains(&broker),
                    "(node, epoch) {broker:?} is unfenced before it has its registration"
                );
            }
        }
    }

    /// A node has this metadata after an entry.
    pub(crate) fn same_image(&mut self, node: i32, index: u64, image: &Image) {
        let same = self.images.get(&index).is_none_or(|known| known == image);
        must!(
            self,
            same,
            "node {node} has other metadata at entry {index} than others"
        );
    }

    /// A process was told its broker epoch.
    pub(crate) fn registered(&mut self, epoch: i64, node: i32, life: u64) {
        let process = (node, life);
        let first = *self.epochs.entry(epoch).or_insert(process);
        must!(
            self,
            first == process,
            "processes {first:?} and {process:?} (node, life) both have broker epoch {epoch}"
        );
    }

    /// A leader appended in an epoch.
    pub(crate) fn appended(&mut self, partition: i32, epoch: i32, node: i32, life: u64) {
        let process = (node, life);
        let known = self.partitions.entry(partition).or_default();
        let writer = *known.writers.entry(epoch).or_insert(process);
        must!(
            self,
            writer == process,
            "processes {writer:?} and {process:?} (node, life) both append to partition \
             {partition} in epoch {epoch}"
        );
    }

    /// Records are sent. What was never sent may be taken back, and others written in its place.
    pub(crate) fn sent(&mut self, partition: i32, base: i64, records: &[Record]) {
        let known = self.partitions.entry(partition).or_default();
        let mut twice = None;
        for (offset, &record) in (base..).zip(records) {
            let there = *known
                .written
                .entry((offset, record.epoch))
                .or_insert(record);
            if there != record {
                twice = Some((offset, record.epoch));
            }
        }
        must!(
            self,
            twice.is_none(),
            "two records were written to partition {partition} at (offset, epoch) {twice:?}"
        );
    }

    /// Looks at a replica.
    pub(crate) fn check(
        &mut self,
        (node, partition): (i32, i32),
        replica: &Replica,
        log: &Log,
        seen: &mut Seen,
    ) {
        let who = format_args!("node {node}, partition {partition}");
        let high_watermark = replica.high_watermark();
        let (start, stable) = (log.start(), log.stable_end());
        if high_watermark > stable || start > high_watermark || high_watermark < seen.high_watermark
        {
            let what = format!(
                "{who}: log start {start}, high watermark {high_watermark}, stored end {stable}, \
                 high watermark before {}",
                seen.high_watermark
            );
            self.fail(what);
            return;
        }
        seen.high_watermark = high_watermark;
        if replica.is_leader() {
            self.commit(partition, high_watermark, node, log);
        }
        let known = self.partitions.entry(partition).or_default();
        let end = known.committed.len() as i64;
        if high_watermark > end {
            let what = format!("{who}: high watermark {high_watermark} above all leaders', {end}");
            self.fail(what);
            return;
        }
        for offset in seen.equal.max(start)..high_watermark {
            let (there, first) = (log.get(offset), known.committed[offset as usize]);
            if there != Some(first) {
                let what = format!("{who}: {there:?} at {offset}, where {first:?} was committed");
                self.fail(what);
                return;
            }
        }
        seen.equal = high_watermark;
    }

    /// A leader's high watermark is here: what is below is committed.
    fn commit(&mut self, partition: i32, high_watermark: i64, node: i32, log: &Log) {
        let known = self.partitions.entry(partition).or_default();
        let mut failure = None;
        for offset in known.committed.len() as i64..high_watermark {
            let Some(record) = log.get(offset) else {
                failure = Some(format!("node {node} committed {offset} without having it"));
                break;
            };
            known.committed.push(record);
            *self.counts.entry("committed").or_default() += 1;
            if !is_idempotent(record.producer) {
                continue;
            }
            let next = known.sequences.entry(record.producer).or_default();
            if *next != record.sequence {
                failure = Some(format!(
                    "{record:?} was committed to partition {partition} at {offset}, where {next} \
                     of its producer comes next"
                ));
                break;
            }
            *next += 1;
        }
        if let Some(what) = failure {
            self.fail(what);
        }
    }

    /// A replica that could be elected: it must have all that was committed.
    pub(crate) fn check_member(&mut self, node: i32, partition: i32, log: Option<&Log>) {
        let end = self.committed(partition);
        let stored = log.map_or(0, LogView::stable_end);
        must!(
            self,
            stored >= end,
            "node {node} is in the ISR of partition {partition} with {stored} records, {end} are \
             committed"
        );
        let Some(known) = self.partitions.get(&partition) else {
            return;
        };
        // The last ones tell: below, it was compared as its high watermark moved.
        let differs = log.and_then(|log| {
            let from = log.start().max(end - 16).max(0);
            (from..end.min(stored))
                .find(|&offset| log.get(offset) != Some(known.committed[offset as usize]))
        });
        must!(
            self,
            differs.is_none(),
            "node {node} is in the ISR of partition {partition} with another record at {differs:?} \
             than was committed"
        );
    }

    /// A producer is told that its records, which end before an offset, are on all replicas in sync.
    pub(crate) fn all_have(&mut self, partition: i32, end: i64, last: (u32, u64)) {
        let known = self.partitions.entry(partition).or_default();
        let there = known.committed.get((end - 1).max(0) as usize).copied();
        let same = there.is_some_and(|there| (there.producer, there.sequence) == last);
        must!(
            self,
            same,
            "(producer, sequence) {last:?} is acknowledged at {} of partition {partition}, but \
             {there:?} is committed there",
            end - 1
        );
        self.count("acknowledged");
    }

    /// A consumer was shown records.
    pub(crate) fn shown(&mut self, partition: i32, base: i64, records: &[Record], node: i32) {
        let known = self.partitions.entry(partition).or_default();
        let committed = known.committed.get(base.max(0) as usize..);
        let same = committed.is_some_and(|committed| committed.starts_with(records));
        must!(
            self,
            same,
            "node {node} showed a consumer {} records of partition {partition} at {base}, which \
             aren't those committed",
            records.len()
        );
    }

    /// The offset below which a partition's records may be deleted. What an idempotent producer may send
    /// again stays, and its last acknowledged record too: as with Kafka, of a producer that a log knows
    /// nothing of any record is taken, the second of two on their way before the first.
    pub(crate) fn deletable(&self, partition: i32) -> i64 {
        let Some(known) = self.partitions.get(&partition) else {
            return 0;
        };
        let may_go = |record: &&Record| {
            let next = self.acknowledged.get(&record.producer).copied();
            !is_idempotent(record.producer) || record.sequence + 1 < next.unwrap_or(0)
        };
        known.committed.iter().take_while(may_go).count() as i64
    }

    /// All that an idempotent producer was told is there must be committed.
    pub(crate) fn check_acknowledged(&mut self, partition: i32, producer: u32) {
        let next = self.acknowledged.get(&producer).copied().unwrap_or(0);
        let known = self.partitions.entry(partition).or_default();
        let there = known.sequences.get(&producer).copied().unwrap_or(0);
        must!(
            self,
            !is_idempotent(producer) || there >= next,
            "producer {producer} was told that {next} records are there, {there} are"
        );
    }
}

/// The records of a committed payload.
pub(crate) fn records_of(payload: Option<&Bytes>) -> Vec<MetaRecord> {
    payload
        .map(|bytes| payload::decode(bytes))
        .unwrap_or_default()
}
