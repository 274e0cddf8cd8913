//! Compaction of logs on real files: random logs against a model, what a kill leaves of a swap, and reads
//! while it is under way. A failing run prints its seed; `STORAGE_SEED` runs that one again,
//! `STORAGE_ROUNDS` runs more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use batch::{Builder, Compression, ControlType, DecompressLimit, NewRecord};
use bytes::Bytes;
use storage::{
    AbortedTransaction, Compacted, Drive, LastWritten, Log, LogConfig, LogError, Read, Round,
    Writers,
};

use crate::fixture::*;
use crate::model::Random;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const LIMIT: DecompressLimit = DecompressLimit::bytes(16 << 20);

/// A record as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Whose it is, where it is part of a transaction.
    transactional: Option<i64>,
    control: bool,
}

fn records_in(bytes: &[u8]) -> Vec<Seen> {
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

async fn all_bytes(log: &Log) -> Vec<u8> {
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

async fn compact(
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
async fn compact_all(log: &Log) -> Compacted {
    let writers = Writers::default();
    let end = log.end().written();
    let done = compact(log, end, NOW, 1 << 20, &writers).await.unwrap();
    done.expect("there is something to do")
}

fn config() -> LogConfig {
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
async fn fill(log: &Log, batches: i64, keys: i64) {
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

fn view(records: &[Seen]) -> BTreeMap<Vec<u8>, Vec<u8>> {
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

async fn filled(path: &Path) -> (Drive, Log) {
    let drive = open_drive(path).await;
    let log = Log::create(&drive, &name("t", 0), config()).await.unwrap();
    std::mem::forget(Owner::of(&log));
    fill(&log, 100, 50).await;
    (drive, log)
}

#[test]
fn a_compacted_log_is_smaller_and_its_segments_are_joined() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let (segments, size) = (log.segments(), log.size_bytes());
        let part = log.compactable(log.end().written(), NOW).await.unwrap();
        assert!((part.dirty_ratio() - 1.0).abs() < 1e-9 && part.is_due(0.5));
        let done = compact_all(&log).await;
        assert_eq!((done.keys, done.upto), (50, part.upto));
        assert!(
            log.segments() * 4 < segments,
            "{segments} to {}",
            log.segments()
        );
        assert!(log.size_bytes() * 4 < size);
        assert_eq!(
            done.before_bytes - done.after_bytes,
            size - log.size_bytes()
        );
        let part = log.compactable(log.end().written(), NOW).await.unwrap();
        assert_eq!(part.dirty_bytes, 0);
        let none = compact(&log, i64::MAX, NOW, 1 << 20, &Writers::default()).await;
        assert_eq!(none.unwrap(), None);
        // Files, and what is known of them, are the same.
        let folder = log.path().to_owned();
        assert_eq!(files(&folder, ".log").len(), log.segments());
        assert!(files(&folder, ".swap").is_empty() && files(&folder, ".cleaned").is_empty());
        let lengths = files(&folder, ".log")
            .into_iter()
            .rev()
            .skip(1)
            .map(|path| std::fs::metadata(path).unwrap().len());
        assert!(lengths.sum::<u64>() <= log.size_bytes());
    });
}

#[test]
fn a_read_that_has_begun_goes_on_in_what_was_there_or_in_what_is() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        log.close().await.unwrap();
        _drive.close(true).await.unwrap();
        let _drive = open_drive(&path).await;
        let log = open_log(&_drive, config()).await;
        let before = all_bytes(&log).await;
        let end = log.end().written();
        let mut reads = Vec::new();
        for from in (0..end - 20).step_by(17) {
            match log.read(from, end, 3_000, true) {
                Read::Cold(read) => reads.push((from, read)),
                other => panic!("{other:?}"),
            }
        }
        compact_all(&log).await;
        let after = records_in(&all_bytes(&log).await);
        let before = records_in(&before);
        for (from, read) in reads {
            let found = records_in(&read.run().await.unwrap().concat());
            let found: Vec<_> = found.into_iter().filter(|one| one.offset >= from).collect();
            let of = |all: &[Seen]| {
                let begin = all.iter().position(|one| one.offset >= from).unwrap();
                all[begin..].starts_with(&found)
            };
            assert!(
                !found.is_empty() && (of(&before) || of(&after)),
                "at {from}"
            );
        }
    });
}

/// What a log holds that is opened in a copy of `image` after `change`.
async fn opened(image: &Path, at: &Path, change: impl FnOnce(&Path)) -> (Vec<Seen>, usize) {
    copy_folder(image, at);
    change(&at.join(name("t", 0).folder()));
    let drive = open_drive(at).await;
    let log = open_log(&drive, config()).await;
    let found = records_in(&all_bytes(&log).await);
    let segments = log.segments();
    let folder = log.path().to_owned();
    assert!(files(&folder, ".swap").is_empty() && files(&folder, ".cleaned").is_empty());
    // It can be compacted, and nothing is lost by that.
    fill(&log, 20, 50).await;
    let view_before = view(&records_in(&all_bytes(&log).await));
    compact_all(&log).await;
    assert_eq!(view(&records_in(&all_bytes(&log).await)), view_before);
    log.close().await.unwrap();
    drive.close(true).await.unwrap();
    std::fs::remove_dir_all(at).unwrap();
    (found, segments)
}

// Cases X, Y and Z.
#[test]
fn a_kill_at_any_step_of_a_swap_leaves_the_old_log_or_the_new_one() {
    on_disk(async |path| {
        let (drive, log) = filled(&path.join("live")).await;
        log.checkpoint().await.unwrap();
        let old = path.join("old");
        copy_folder(&path.join("live"), &old);
        compact_all(&log).await;
        let new = path.join("new");
        copy_folder(&path.join("live"), &new);
        log.close().await.unwrap();
        drive.close(true).await.unwrap();
        let folder = name("t", 0).folder();
        let compacted = std::fs::read(&files(&new.join(&folder), ".log")[0]).unwrap();
        let at = path.join("at");
        let first = "00000000000000000000.log";
        let (before, many) = opened(&old, &at, |_| {}).await;
        let (after, _) = opened(&new, &at, |_| {}).await;
        assert!(after.len() < before.len() / 4);
        let write = |ending: &'static str, length: usize| {
            let bytes = compacted[..length].to_vec();
            move |folder: &Path| {
                std::fs::write(folder.join(first.to_owned() + ending), bytes).unwrap();
            }
        };
        for length in [0, 100, compacted.len()] {
            let left = opened(&old, &at, write(".cleaned", length)).await;
            assert_eq!(left, (before.clone(), many), "X: {length} bytes");
        }
        for length in [0, 60, compacted.len() - 1] {
            let left = opened(&old, &at, write(".swap", length)).await;
            assert_eq!(left, (before.clone(), many), "Z: {length} bytes");
        }
        let end = batch::batches(&compacted)
            .last()
            .unwrap()
            .unwrap()
            .next_offset();
        let of_group = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let base: i64 = name[..20].parse().unwrap();
            0 < base && base < end
        };
        let others = files(&old.join(&folder), ".log");
        let others: Vec<_> = others.into_iter().filter(of_group).collect();
        assert!(others.len() > 5, "{others:?}");
        let expected: Vec<_> = {
            let new = records_in(&compacted);
            let behind = before.iter().filter(|one| one.offset >= end).cloned();
            new.into_iter().chain(behind).collect()
        };
        for removed in 0..=others.len() {
            let names: Vec<_> = others[..removed]
                .iter()
                .map(|path| path.file_name().unwrap().to_owned())
                .collect();
            let swap = write(".swap", compacted.len());
            let (left, segments) = opened(&old, &at, |folder| {
                swap(folder);
                for name in &names {
                    std::fs::remove_file(folder.join(name)).unwrap();
                }
            })
            .await;
            assert!(left == expected, "Y: {removed} removed");
            assert_eq!(segments, many - others.len());
        }
    });
}

#[test]
fn a_truncation_interrupts_it_and_takes_its_place() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let before = records_in(&all_bytes(&log).await);
        let slow = log.clone();
        let task = rt::task::spawn(async move {
            let writers = Writers::default();
            let round = Round {
                upto: i64::MAX,
                now_ms: NOW,
                writers: &writers,
                memory: 1 << 20,
                load: 0.9,
                rate: &|| 1_000.0,
            };
            slow.compact(&round).await
        });
        until("it is under way", || {
            !files(log.path(), "checkpoint").is_empty()
        })
        .await;
        rt::time::sleep(std::time::Duration::from_millis(20)).await;
        let end = log.truncate_to(300, &mut |_| {}).await.unwrap();
        assert_eq!(end, 300);
        assert!(matches!(task.await, Err(LogError::Interrupted { .. })));
        assert_eq!(records_in(&all_bytes(&log).await), before[..300]);
        fill(&log, 30, 50).await;
        compact_all(&log).await;
        let upto = log.compacted_to();
        assert!(upto > 300);
        log.truncate_to(200, &mut |_| {}).await.unwrap();
        assert!(
            log.compacted_to() <= 200,
            "what comes there now isn't compacted"
        );
        // Offsets that compaction left out are a place to cut at as any other.
        assert!(log.end().appended() <= 200);
        log.close().await.unwrap();
    });
}

#[test]
fn young_records_wait_and_old_ones_are_overdue() {
    on_disk(async |path| {
        let (_drive, log) = filled(&path).await;
        let end = log.end().written();
        let lag = |min, max| LogConfig {
            min_compaction_lag_ms: min,
            max_compaction_lag_ms: max,
            ..config()
        };
        log.set_config(lag(HOUR, i64::MAX));
        let part = log.compactable(end, NOW).await.unwrap();
        assert_eq!((part.from, part.upto, part.dirty_bytes), (0, 0, 0));
        let all = log.compactable(end, NOW + 2 * HOUR).await.unwrap();
        assert!(all.upto > 0 && all.overdue_ms == 0);
        // The offset is the age in milliseconds.
        let some = log
            .compactable(end, NOW - 10_000 + HOUR + 500)
            .await
            .unwrap();
        assert!(
            some.upto > 0 && some.upto <= 500 && some.upto > 300,
            "{some:?}"
        );
        log.set_config(lag(0, HOUR));
        let segments = log.segments();
        assert_eq!(log.compactable(end, NOW).await.unwrap().overdue_ms, 0);
        assert_eq!(log.segments(), segments);
        let part = log.compactable(end, NOW + HOUR).await.unwrap();
        assert!(part.overdue_ms > 0 && part.is_due(1.0));
        assert_eq!(log.segments(), segments + 1, "the active segment is closed");
        assert_eq!(part.upto, end);
        compact_all(&log).await;
        assert_eq!(log.compacted_to(), end, "all of it");
    });
}
