//! The text of `/metrics`, made of what the shards told. Pure: can be made on any thread.

use group::Figures;
use storage::{Health, LATENCY_BUCKETS, Latency as DriveLatency};

use super::families as f;
use super::metrics::{LATENCY_BOUNDS_US, Latency};
use super::process_stats::ProcessStats;
use super::report::{
    BudgetReport, DriveReport, OnlinePartition, PartitionReport, PartitionState, ShardReport,
};
use super::text::{Family, Text, Value};
use crate::coordinator::{CoordinatorReport, LoadCounts};
use crate::replication::ReplicationCounts;
use crate::shard::compaction::CompactionCounts;
use crate::share::ShareCounts;

/// Drives are not faster than this; buckets below it are counted in the first one above.
const FIRST_DRIVE_BUCKET: usize = 4;

/// What is known of the node.
#[derive(Clone, Debug, Default)]
pub struct NodeReport {
    /// Its version.
    pub version: &'static str,
    /// Seconds since it was started.
    pub uptime: f64,
    /// When it was started, in seconds since 1970.
    pub started: f64,
    /// Whether it serves.
    pub ready: bool,
    /// Topics there are.
    pub topics: usize,
    /// What the kernel says.
    pub process: ProcessStats,
    /// Its shards.
    pub shards: Vec<ShardReport>,
    /// Its drives.
    pub drives: Vec<DriveReport>,
    /// Its partitions, sorted.
    pub partitions: Vec<PartitionReport>,
}

/// Writes the text.
pub fn render(node: &NodeReport) -> String {
    let mut text = Text::default();
    of_node(&mut text, node);
    of_process(&mut text, node);
    of_shards(&mut text, &node.shards);
    of_requests(&mut text, &node.shards);
    of_memory(&mut text, &node.shards);
    of_shares(&mut text, &node.shards);
    of_coordinators(&mut text, &node.shards);
    of_transactions(&mut text, &node.shards);
    of_drives(&mut text, &node.drives);
    of_partitions(&mut text, node);
    text.finish()
}

fn of_node(text: &mut Text, node: &NodeReport) {
    text.family(&f::BUILD_INFO).sample(&[node.version], true);
    text.family(&f::UPTIME).sample(&[], node.uptime);
    text.family(&f::READY).sample(&[], node.ready);
    text.family(&f::TOPICS).sample(&[], node.topics);
}

fn of_process(text: &mut Text, node: &NodeReport) {
    let mut optional = |family, value: Option<Value>| {
        let mut samples = text.family(family);
        if let Some(value) = value {
            samples.sample(&[], value);
        }
    };
    let process = &node.process;
    optional(&f::PROCESS_CPU, process.cpu_seconds.map(Value::from));
    optional(&f::PROCESS_RESIDENT, process.resident.map(Value::from));
    optional(&f::PROCESS_VIRTUAL, process.virtual_size.map(Value::from));
    optional(&f::PROCESS_THREADS, process.threads.map(Value::from));
    optional(&f::PROCESS_OPEN_FDS, process.open_fds.map(Value::from));
    optional(&f::PROCESS_MAX_FDS, process.max_fds.map(Value::from));
    optional(&f::PROCESS_START, Some(node.started.into()));
}

/// One sample for each shard.
fn each_shard<V: Into<Value>>(
    text: &mut Text,
    family: &'static Family,
    shards: &[ShardReport],
    value: impl Fn(&ShardReport) -> V,
) {
    let mut samples = text.family(family);
    for shard in shards {
        samples.sample(&[&shard.shard.to_string()], value(shard));
    }
}

fn of_shards(text: &mut Text, shards: &[ShardReport]) {
    let mut cpu = text.family(&f::SHARD_CPU);
    for shard in shards {
        if let Some(time) = shard.cpu {
            cpu.sample(&[&shard.shard.to_string()], time.as_secs_f64());
        }
    }
    each_shard(text, &f::CONNECTIONS, shards, |shard| shard.connections);
    each_shard(text, &f::RECORDS_IN, shards, |shard| {
        shard.records.records_in
    });
    each_shard(text, &f::BATCHES_IN, shards, |shard| {
        shard.records.batches_in
    });
    each_shard(text, &f::BYTES_IN, shards, |shard| shard.records.bytes_in);
    each_shard(text, &f::BYTES_OUT, shards, |shard| shard.records.bytes_out);
    of_replication(text, shards);
    of_compaction(text, shards);
    let mut lanes = text.family(&f::LANE_MESSAGES);
    for shard in shards {
        for (to, depth) in &shard.lanes {
            lanes.sample(&[&shard.shard.to_string(), &to.to_string()], *depth);
        }
    }
    each_shard(text, &f::CALLS, shards, |shard| shard.calls);
    each_shard(text, &f::SESSIONS, shards, |shard| shard.sessions.0);
    each_shard(text, &f::SESSION_PARTITIONS, shards, |shard| {
        shard.sessions.1
    });
    each_shard(text, &f::REMOTE_WAITS, shards, |shard| shard.remote_waits);
}

fn of_replication(text: &mut Text, shards: &[ShardReport]) {
    let mut count = |family, value: fn(&ReplicationCounts) -> u64| {
        each_shard(text, family, shards, |shard| value(&shard.replication));
    };
    count(&f::REPLICATION_RECEIVED, |counts| counts.bytes_in);
    count(&f::REPLICATION_SENT, |counts| counts.bytes_out);
    let mut connections = text.family(&f::REPLICATION_CONNECTIONS);
    for shard in shards {
        let (leaders, followers) = shard.replication_connections;
        for (with, number) in [("leaders", leaders), ("followers", followers)] {
            connections.sample(&[&shard.shard.to_string(), with], number);
        }
    }
    let mut count = |family, value: fn(&ReplicationCounts) -> u64| {
        each_shard(text, family, shards, |shard| value(&shard.replication));
    };
    count(&f::ISR_SHRINKS, |counts| counts.isr_shrinks);
    count(&f::ISR_EXPANDS, |counts| counts.isr_expands);
    each_shard(text, &f::UNDER_REPLICATED, shards, |shard| {
        shard.under_replicated
    });
}

/// A label, and what is counted under it.
type Counted = (&'static str, fn(&ShareCounts) -> u64);

fn of_shares(text: &mut Text, shards: &[ShardReport]) {
    each_shard(text, &f::SHARE_SESSIONS, shards, |shard| {
        shard.shares.sessions.0
    });
    each_shard(text, &f::SHARE_SESSION_PARTITIONS, shards, |shard| {
        shard.shares.sessions.1
    });
    each_shard(text, &f::SHARE_PARTITIONS, shards, |shard| {
        shard.shares.partitions
    });
    each_shard(text, &f::SHARE_IN_FLIGHT, shards, |shard| {
        shard.shares.in_flight
    });
    each_shard(text, &f::SHARE_DELIVERED, shards, |shard| {
        shard.shares.counts.delivered
    });
    let mut split = |family, kinds: &[Counted]| {
        let mut samples = text.family(family);
        for shard in shards {
            for (kind, value) in kinds {
                let counts = &shard.shares.counts;
                samples.sample(&[&shard.shard.to_string(), kind], value(counts));
            }
        }
    };
    split(
        &f::SHARE_ACKNOWLEDGED,
        &[
            ("accept", |counts| counts.accepted),
            ("release", |counts| counts.released),
            ("reject", |counts| counts.rejected),
        ],
    );
    split(
        &f::SHARE_WRITES,
        &[
            ("stored", |counts| counts.writes),
            ("failed", |counts| counts.failed_writes),
        ],
    );
}

fn of_coordinators(text: &mut Text, shards: &[ShardReport]) {
    let mut states = text.family(&f::COORDINATORS);
    for shard in shards {
        let CoordinatorReport {
            loading, serving, ..
        } = shard.coordinators;
        for (state, count) in [("loading", loading), ("serving", serving)] {
            states.sample(&[&shard.shard.to_string(), state], count);
        }
    }
    let mut of_loads = |family, value: fn(&LoadCounts) -> Value| {
        each_shard(text, family, shards, |shard| {
            value(&shard.coordinators.loads)
        });
    };
    of_loads(&f::COORDINATOR_LOADS, |loads| loads.loads.into());
    of_loads(&f::COORDINATOR_LOAD_TIME, |loads| {
        (loads.ms as f64 / 1e3).into()
    });
    of_loads(&f::COORDINATOR_LOAD_MAX, |loads| {
        (loads.max_ms as f64 / 1e3).into()
    });
    of_loads(&f::COORDINATOR_RECORDS, |loads| loads.records.into());
    let mut groups = text.family(&f::GROUPS);
    for shard in shards {
        for ((kind, state), count) in &shard.coordinators.groups.groups {
            groups.sample(&[&shard.shard.to_string(), kind, state], *count);
        }
    }
    let mut of_groups = |family, value: fn(&Figures) -> u64| {
        each_shard(text, family, shards, |shard| {
            value(&shard.coordinators.groups)
        });
    };
    of_groups(&f::GROUP_OFFSETS, |figures| figures.offsets);
    of_groups(&f::GROUP_COMMITS, |figures| figures.commits);
    of_groups(&f::GROUP_DELETIONS, |figures| figures.deletions);
    of_groups(&f::GROUP_EXPIRATIONS, |figures| figures.expirations);
    of_groups(&f::GROUP_REBALANCES, |figures| figures.rebalances);
}

fn of_transactions(text: &mut Text, shards: &[ShardReport]) {
    let mut ids = text.family(&f::TRANSACTIONAL_IDS);
    for shard in shards {
        for (state, count) in &shard.coordinators.transactions.states {
            ids.sample(&[&shard.shard.to_string(), state], *count);
        }
    }
    let mut count = |family, value: fn(&txn::Figures) -> u64| {
        each_shard(text, family, shards, |shard| {
            value(&shard.coordinators.transactions)
        });
    };
    count(&f::TRANSACTIONS_COMMITTED, |figures| figures.committed);
    count(&f::TRANSACTIONS_ABORTED, |figures| figures.aborted);
    count(&f::TRANSACTIONS_FENCED, |figures| figures.fenced);
    count(&f::TRANSACTIONS_TIMED_OUT, |figures| figures.timed_out);
}

fn of_compaction(text: &mut Text, shards: &[ShardReport]) {
    let mut count = |family, value: fn(&CompactionCounts) -> u64| {
        each_shard(text, family, shards, |shard| value(&shard.compaction));
    };
    count(&f::COMPACTIONS, |counts| counts.rounds);
    count(&f::COMPACTIONS_FAILED, |counts| counts.failed);
    each_shard(text, &f::COMPACTION_TIME, shards, |shard| {
        shard.compaction.busy_us as f64 / 1e6
    });
    let mut count = |family, value: fn(&CompactionCounts) -> u64| {
        each_shard(text, family, shards, |shard| value(&shard.compaction));
    };
    count(&f::COMPACTION_READ, |counts| counts.read_bytes);
    count(&f::COMPACTION_WRITTEN, |counts| counts.written_bytes);
    count(&f::COMPACTION_FREED, |counts| counts.freed_bytes);
    count(&f::COMPACTION_KEYS, |counts| counts.key_bytes);
    each_shard(text, &f::COMPACTION_OVERDUE, shards, |shard| {
        shard.compaction.overdue_ms as f64 / 1e3
    });
    each_shard(text, &f::UNCOMPACTABLE, shards, |shard| {
        shard.compaction.given_up
    });
}

fn api_name(key: i16) -> String {
    net::registry::lookup(key).map_or_else(|| key.to_string(), |api| api.name.to_owned())
}

fn of_requests(text: &mut Text, shards: &[ShardReport]) {
    let called = || {
        let apis = shards
            .iter()
            .flat_map(|shard| shard.apis.iter().map(move |api| (shard, api)));
        apis.map(|(shard, api)| (shard.shard.to_string(), api_name(api.key), api))
    };
    let mut requests = text.family(&f::REQUESTS);
    for (shard, name, api) in called() {
        requests.sample(&[&shard, &name], api.requests);
    }
    let mut durations = text.family(&f::REQUEST_DURATION);
    for (shard, name, api) in called() {
        let Latency { counts, sum_ns } = &api.latency;
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
        let beyond = counts[LATENCY_BOUNDS_US.len()];
        let buckets = bounds.zip(counts.iter().copied());
        durations.histogram(&[&shard, &name], buckets, beyond, *sum_ns as f64 / 1e9);
    }
}

fn of_memory(text: &mut Text, shards: &[ShardReport]) {
    let mut each = |family, value: fn(&BudgetReport) -> Option<usize>| {
        let mut samples = text.family(family);
        for shard in shards {
            let number = shard.shard.to_string();
            for budget in &shard.budgets {
                if let Some(value) = value(budget) {
                    samples.sample(&[&number, budget.owner], value);
                }
            }
        }
    };
    each(&f::MEMORY_LIMIT, |budget| Some(budget.limit));
    each(&f::MEMORY_USED, |budget| Some(budget.used));
    each(&f::MEMORY_WAITERS, |budget| budget.waiters);
    each_shard(text, &f::TAIL_UNWRITTEN, shards, |shard| {
        shard.tail_unwritten
    });
}

/// The name of a drive's state, as all of the admin server writes it.
pub fn health_name(health: &Health) -> &'static str {
    match health {
        Health::Online => "online",
        Health::Full => "full",
        Health::Failed(_) => "failed",
    }
}

fn of_drives(text: &mut Text, drives: &[DriveReport]) {
    let mut states = text.family(&f::DRIVE_STATE);
    for drive in drives {
        let is = health_name(&drive.health);
        for state in ["online", "full", "failed"] {
            states.sample(&[&drive.shard.to_string(), &drive.path, state], is == state);
        }
    }
    each_drive(text, &f::DRIVE_SIZE, drives, |drive| {
        drive.space.map(|space| space.0)
    });
    each_drive(text, &f::DRIVE_AVAILABLE, drives, |drive| {
        drive.space.map(|space| space.1)
    });
    drive_times(text, &f::DRIVE_WRITE, drives, |drive| &drive.metrics.write);
    drive_times(text, &f::DRIVE_SYNC, drives, |drive| &drive.metrics.sync);
    drive_times(text, &f::DRIVE_READ, drives, |drive| &drive.metrics.read);
    let mut count = |family, value: fn(&DriveReport) -> u64| {
        each_drive(text, family, drives, |drive| Some(value(drive)));
    };
    count(&f::DRIVE_WRITTEN, |drive| drive.metrics.write_bytes);
    count(&f::DRIVE_READ_BYTES, |drive| drive.metrics.read_bytes);
    count(&f::DRIVE_PREALLOCATIONS, |drive| {
        drive.metrics.preallocations
    });
    count(&f::DRIVE_FULL, |drive| drive.metrics.full);
    count(&f::DRIVE_SEGMENTS_DELETED, |drive| {
        drive.metrics.segments_deleted
    });
    count(&f::DRIVE_INDEXES_REBUILT, |drive| {
        drive.metrics.indexes_rebuilt
    });
    count(&f::DRIVE_CHECKPOINTS, |drive| drive.metrics.checkpoints);
}

fn each_drive(
    text: &mut Text,
    family: &'static Family,
    drives: &[DriveReport],
    value: impl Fn(&DriveReport) -> Option<u64>,
) {
    let mut samples = text.family(family);
    for drive in drives {
        if let Some(value) = value(drive) {
            samples.sample(&[&drive.shard.to_string(), &drive.path], value);
        }
    }
}

fn drive_times(
    text: &mut Text,
    family: &'static Family,
    drives: &[DriveReport],
    times: impl Fn(&DriveReport) -> &DriveLatency,
) {
    let mut samples = text.family(family);
    for drive in drives {
        let DriveLatency { buckets, sum_us } = times(drive);
        let last = LATENCY_BUCKETS - 1;
        let quick: u64 = buckets[..FIRST_DRIVE_BUCKET].iter().sum();
        let bounded = (FIRST_DRIVE_BUCKET..last).map(|at| {
            let first = if at == FIRST_DRIVE_BUCKET { quick } else { 0 };
            (DriveLatency::bound_us(at) as f64 / 1e6, buckets[at] + first)
        });
        let labels: &[&str] = &[&drive.shard.to_string(), &drive.path];
        samples.histogram(labels, bounded, buckets[last], *sum_us as f64 / 1e6);
    }
}

fn of_partitions(text: &mut Text, node: &NodeReport) {
    let mut states = text.family(&f::PARTITIONS);
    for shard in &node.shards {
        let own = || {
            node.partitions
                .iter()
                .filter(|partition| partition.shard == shard.shard)
        };
        for state in ["online", "opening", "offline"] {
            let count = own()
                .filter(|partition| state_name(&partition.state) == state)
                .count();
            states.sample(&[&shard.shard.to_string(), state], count);
        }
    }
    let mut each = |family, value: fn(&OnlinePartition) -> Value| {
        let mut samples = text.family(family);
        for partition in &node.partitions {
            if let PartitionState::Online(online) = &partition.state {
                samples.sample(
                    &[&partition.topic, &partition.index.to_string()],
                    value(online),
                );
            }
        }
    };
    each(&f::LOG_START, |partition| partition.log_start.into());
    each(&f::HIGH_WATERMARK, |partition| {
        partition.high_watermark.into()
    });
    each(&f::LAST_STABLE, |partition| {
        partition.last_stable_offset.into()
    });
    each(&f::LOG_END, |partition| partition.log_end.into());
    each(&f::LOG_SIZE, |partition| partition.size.into());
    each(&f::APPENDED, |partition| partition.metrics.bytes.into());
    each(&f::TAIL_READS, |partition| {
        partition.metrics.tail_reads.into()
    });
    each(&f::COLD_READS, |partition| {
        partition.metrics.cold_reads.into()
    });
    each(&f::PRODUCERS, |partition| partition.producers.into());
    each(&f::OPEN_TRANSACTIONS, |partition| {
        partition.open_transactions.into()
    });
    each(&f::WAITING_FETCHES, |partition| {
        partition.waiting_fetches.into()
    });
    each(&f::PENDING_BATCHES, |partition| {
        partition.pending_batches.into()
    });
}

/// The name of a partition's state, as all of the admin server writes it.
pub fn state_name(state: &PartitionState) -> &'static str {
    match state {
        PartitionState::Online(_) => "online",
        PartitionState::Opening => "opening",
        PartitionState::Offline(_) => "offline",
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
