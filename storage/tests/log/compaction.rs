//! Compaction of random logs, against a model. A failing run prints its seed; `STORAGE_SEED` runs that one
//! again, `STORAGE_ROUNDS` runs more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use batch::{Builder, Compression, ControlType, DecompressLimit, NewRecord};
use bytes::Bytes;
use storage::{
    AbortedTransaction, Compacted, Drive, LastWritten, Log, LogConfig, LogError, Read, Round,
    Writers,
};

use crate::fixture::*;
use crate::model::Random;

pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const HOUR: i64 = 3_600_000;
const LIMIT: DecompressLimit = DecompressLimit::bytes(16 << 20);

/// A record as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Whose it is, where it is part of a transaction.
    transactional: Option<i64>,
    control: bool,
}

pub(crate) fn records_in(bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    for batch in batch::batches(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let attributes = batch.attributes();
        for record in &batch.records(LIMIT).unwrap() {
            let record = record.unwrap();
            all.push(Seen {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key().map(<[u8]>::to_vec),
                value: record.value().map(<[u8]>::to_vec),
                transactional: attributes.is_transactional().then_some(batch.producer_id()),
                control: attributes.is_control(),
            });
        }
    }
    all
}

pub(crate) async fn all_bytes(log: &Log) -> Vec<u8> {
    let mut from = log.log_start();
    let mut all = Vec::new();
    while from < log.end().written() {
        let parts = match log.read(from, log.end().written(), 100_000, true) {
            Read::Tail(parts) => parts,
            Read::Cold(read) => read.run().await.unwrap(),
            other => panic!("{other:?} at {from}"),
        };
        let read = parts.concat();
        let last = batch::batches(&read).last().expect("something").unwrap();
        from = last.next_offset();
        all.extend_from_slice(&read);
    }
    all
}

pub(crate) async fn compact(
    log: &Log,
    upto: i64,
    now_ms: i64,
    memory: usize,
    writers: &Writers,
) -> Result<Option<Compacted>, LogError> {
    let round = Round {
        upto,
        now_ms,
        writers,
        memory,
        load: 0.9,
        rate: &|| f64::MAX,
    };
    log.compact(&round).await
}

/// Compacts all of a log that can be.
pub(crate) async fn compact_all(log: &Log) -> Compacted {
    let writers = Writers::default();
    let end = log.end().written();
    let done = compact(log, end, NOW, 1 << 20, &writers).await.unwrap();
    done.expect("there is something to do")
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 8_000,
        index_interval_bytes: 500,
        compact: true,
        delete: false,
        delete_retention_ms: HOUR,
        ..LogConfig::default()
    }
}

fn keyed(base: i64, codec: Compression, records: &[(String, Option<String>)]) -> Builder {
    let mut builder = Builder::new(codec).base_offset(base).leader_epoch(1);
    for (at, (key, value)) in (0..).zip(records) {
        builder.push(NewRecord {
            timestamp: NOW - 10_000 + base + at,
            key: Some(key.as_bytes()),
            value: value.as_deref().map(str::as_bytes),
            ..NewRecord::default()
        });
    }
    builder
}

fn put(log: &Log, builder: Builder) -> Bytes {
    let bytes = builder.base_offset(log.end().appended()).build().unwrap();
    log.append(bytes.clone(), &info(&bytes)).unwrap();
    bytes
}

/// Fills a log with records of `keys` keys, several times over.
pub(crate) async fn fill(log: &Log, batches: i64, keys: i64) {
    for at in 0..batches {
        let record = |n: i64| {
            let key = (at * 7 + n * 3) % keys;
            (
                format!("key-{key}"),
                Some(format!("{at}-{n} {}", "x".repeat(60))),
            )
        };
        let records: Vec<_> = (0..10).map(record).collect();
        put(
            log,
            keyed(log.end().appended(), Compression::None, &records),
        );
        if at % 20 == 0 {
            written(log).await;
        }
    }
    written(log).await;
}

pub(crate) fn view(records: &[Seen]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut view = BTreeMap::new();
    for record in records.iter().filter(|record| !record.control) {
        let Some(key) = record.key.clone() else {
            continue;
        };
        match record.value.clone() {
            Some(value) => view.insert(key, value),
            None => view.remove(&key),
        };
    }
    view
}

/// One producer's open transaction.
struct Open {
    first: i64,
    aborts: bool,
}

struct Run {
    random: Random,
    drive: Drive,
    log: Log,
    path: PathBuf,
    now_ms: i64,
    /// Where it was compacted up to; a kill may make the log forget it.
    upto: i64,
    /// All that was ever appended.
    model: Vec<Seen>,
    open: BTreeMap<i64, Open>,
    aborted: Vec<AbortedTransaction>,
    /// Last record and marker of each producer.
    last: BTreeMap<i64, Option<i64>>,
    /// When the tombstone at an offset was first compacted.
    aging: BTreeMap<i64, i64>,
}

impl Run {
    async fn begin(path: PathBuf, seed: u64) -> Self {
        let drive = open_drive(&path).await;
        let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
        std::mem::forget(Owner::of(&log));
        Self {
            random: Random(seed),
            drive,
            log,
            path,
            now_ms: NOW,
            upto: 0,
            model: Vec::new(),
            open: BTreeMap::new(),
            aborted: Vec::new(),
            last: BTreeMap::new(),
            aging: BTreeMap::new(),
        }
    }

    fn records(&mut self) -> Vec<(String, Option<String>)> {
        let count = 1 + self.random.below(12);
        let record = |random: &mut Random| {
            let value = match random.below(5) {
                0 => None,
                _ => Some("v".repeat(random.below(200) as usize) + &random.below(1000).to_string()),
            };
            (format!("k{}", random.below(40)), value)
        };
        (0..count).map(|_| record(&mut self.random)).collect()
    }

    fn append(&mut self) {
        let records = self.records();
        let base = self.log.end().appended();
        let codec = Compression::ALL[self.random.below(5) as usize];
        let mut builder = keyed(base, codec, &records);
        let producer = self.random.below(6) as i64;
        if producer > 0 {
            builder = builder.producer(producer, 0, base as i32);
            if producer > 2 {
                builder = builder.transactional();
                let aborts = self.random.below(2) == 0;
                let open = Open {
                    first: base,
                    aborts,
                };
                self.open.entry(producer).or_insert(open);
            }
        }
        let bytes = put(&self.log, builder);
        if producer > 0 {
            self.last.insert(producer, Some(info(&bytes).last_offset));
        }
        self.model.extend(records_in(&bytes));
    }

    fn end_transaction(&mut self) {
        let Some((producer, open)) = self.open.pop_first() else {
            return;
        };
        let outcome = if open.aborts {
            ControlType::Abort
        } else {
            ControlType::Commit
        };
        let marker = Builder::end_transaction(outcome, producer, 0, 0, NOW).leader_epoch(1);
        let bytes = put(&self.log, marker);
        let last_offset = info(&bytes).last_offset;
        if open.aborts {
            let others = self.open.values().map(|open| open.first).min();
            let entry = AbortedTransaction {
                producer_id: producer,
                first_offset: open.first,
                last_offset,
                last_stable_offset: others.unwrap_or(last_offset + 1),
            };
            self.log.note_aborted(entry);
            self.aborted.push(entry);
        }
        self.model.extend(records_in(&bytes));
    }

    fn last_stable(&self) -> i64 {
        let open = self.open.values().map(|open| open.first).min();
        open.unwrap_or(i64::MAX).min(self.log.end().written())
    }

    fn is_aborted(&self, record: &Seen) -> bool {
        let Some(producer) = record.transactional else {
            return false;
        };
        self.aborted.iter().any(|one| {
            one.producer_id == producer
                && (one.first_offset..=one.last_offset).contains(&record.offset)
        })
    }

    fn committed(&self, records: &[Seen]) -> Vec<Seen> {
        let counts = |record: &&Seen| !self.is_aborted(record);
        records.iter().filter(counts).cloned().collect()
    }

    async fn compact(&mut self) {
        written(&self.log).await;
        let upto = self.last_stable();
        let memory = [24 * 60, 24 * 30, 1 << 20][self.random.below(3) as usize];
        let live = self.last.iter().map(|(&id, &last_offset)| {
            let epoch = 0;
            (id, LastWritten { last_offset, epoch })
        });
        let writers: Writers = live.collect();
        let before = self.log.compacted_to();
        let done = compact(&self.log, upto, self.now_ms, memory, &writers).await;
        let done = match done {
            Ok(done) => done,
            Err(LogError::KeysDontFit { .. }) => panic!("60 keys fit"),
            Err(error) => panic!("{error}"),
        };
        let Some(done) = done else { return };
        assert_eq!(done.upto, self.log.compacted_to());
        assert!(done.upto > before && done.upto <= upto, "{done:?}");
        self.upto = self.upto.max(done.upto);
        for tombstone in self.model.iter().filter(|record| record.value.is_none()) {
            if tombstone.offset < done.upto {
                self.aging.entry(tombstone.offset).or_insert(self.now_ms);
            }
        }
        self.check().await;
    }

    async fn check(&self) {
        let bytes = all_bytes(&self.log).await;
        let found = records_in(&bytes);
        let mut model = self.model.iter();
        for record in &found {
            let same = model.any(|one| one == record);
            assert!(same, "{record:?} isn't what was appended, or not in order");
        }
        let (found_counts, model_counts) = (self.committed(&found), self.committed(&self.model));
        assert_eq!(view(&found_counts), view(&model_counts), "the last values");
        let upto = self.upto;
        let behind = |records: &[Seen]| -> Vec<Seen> {
            let behind = records.iter().filter(|record| record.offset >= upto);
            behind.cloned().collect()
        };
        assert_eq!(
            behind(&found_counts),
            behind(&model_counts),
            "not compacted"
        );
        self.check_compacted(&found, upto);
        self.check_places(&bytes);
    }

    fn check_compacted(&self, found: &[Seen], upto: i64) {
        let mut keys = BTreeSet::new();
        let mut markers = BTreeSet::new();
        for record in found.iter().rev() {
            if record.control {
                markers.insert(record.transactional);
                continue;
            }
            if record.offset >= upto {
                continue;
            }
            assert!(!self.is_aborted(record), "{record:?} was given up");
            assert!(keys.insert(record.key.clone()), "{record:?} is twice there");
            let whose = record.transactional;
            assert!(
                whose.is_none() || markers.contains(&whose),
                "no marker for {record:?}"
            );
        }
        // A tombstone that is the last word of its key stays for its time.
        let model = self.committed(&self.model);
        let last: BTreeMap<_, _> = model.iter().map(|one| (one.key.clone(), one)).collect();
        for tombstone in last
            .values()
            .filter(|one| one.value.is_none() && !one.control)
        {
            let since = self.aging.get(&tombstone.offset);
            let young = since.is_none_or(|since| self.now_ms < since + HOUR);
            let there = found.contains(tombstone);
            assert!(there || !young, "{tombstone:?} is gone too early");
        }
    }

    /// Each live producer's last batch is there, if only its place.
    fn check_places(&self, bytes: &[u8]) {
        for (&producer, &last) in &self.last {
            let mut batches = batch::batches(bytes).map(|batch| batch.unwrap().info());
            let held =
                batches.any(|info| info.producer_id == producer && Some(info.last_offset) == last);
            assert!(held, "producer {producer} wrote to {last:?}");
        }
    }

    async fn reopen(&mut self, killed: bool) {
        written(&self.log).await;
        let (end, upto) = (self.log.end(), self.log.compacted_to());
        let image = self.path.with_extension("image");
        if killed {
            copy_folder(&self.path, &image);
        }
        self.log.close().await.unwrap();
        self.drive.close(true).await.unwrap();
        if killed {
            std::fs::remove_dir_all(&self.path).unwrap();
            std::fs::rename(&image, &self.path).unwrap();
        }
        self.drive = open_drive(&self.path).await;
        self.log = open_log(&self.drive, config()).await;
        // As its owner does, who is told of the batches since the last checkpoint.
        for entry in &self.aborted {
            if entry.last_offset >= self.log.compacted_to() {
                self.log.note_aborted(*entry);
            }
        }
        assert_eq!(self.log.end().appended(), end.appended());
        assert!(self.log.compacted_to() <= upto && (killed || self.log.compacted_to() == upto));
        self.check().await;
    }
}

async fn random_run(path: PathBuf, seed: u64) {
    let mut run = Run::begin(path, seed).await;
    for _ in 0..120 {
        match run.random.below(20) {
            0..=11 => run.append(),
            12..=14 => run.end_transaction(),
            15..=16 => run.compact().await,
            17 => run.now_ms += HOUR / 2,
            18 => run.reopen(false).await,
            _ => run.reopen(true).await,
        }
    }
    run.compact().await;
    run.check().await;
    run.log.close().await.unwrap();
    run.drive.close(true).await.unwrap();
}

#[test]
fn random_logs_keep_the_last_value_of_each_key() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("STORAGE_ROUNDS").unwrap_or(20);
    let first = number("STORAGE_SEED");
    for round in 0..first.map_or(rounds, |_| 1) {
        let seed = first.unwrap_or_else(|| fresh_seed().wrapping_add(round));
        println!("STORAGE_SEED={seed}");
        on_disk(async move |path| random_run(path.join("drive"), seed | 1).await);
    }
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
