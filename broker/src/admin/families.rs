//! Every metric there is. `docs/operations.md` has the same table, and a test compares them.

use super::text::{Family, Kind};

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All of them, in the order of the text.
        pub static ALL: &[&Family] = &[$(&$id),*];
    };
}

families! {
    BUILD_INFO = Gauge "ottla_build_info" ["version"] "Always 1; the label tells which version runs.";
    UPTIME = Gauge "ottla_uptime_seconds" [] "Time since the node was started.";
    READY = Gauge "ottla_ready" [] "1 while the node serves clients, 0 while it starts or stops.";
    TOPICS = Gauge "ottla_topics" [] "Topics in the metadata.";

    PROCESS_CPU = Counter "process_cpu_seconds_total" [] "CPU time of the process, user and system.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [] "Memory of the process that is in RAM.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" [] "Address space of the process.";
    PROCESS_THREADS = Gauge "process_threads" [] "Threads of the process.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" [] "Open file descriptors, connections among them.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" [] "Limit of open file descriptors.";
    PROCESS_START = Gauge "process_start_time_seconds" [] "When the node was started, in seconds since 1970.";

    SHARD_CPU = Counter "ottla_shard_cpu_seconds_total" ["shard"] "CPU time of the shard's thread.";
    CONNECTIONS = Gauge "ottla_connections" ["shard"] "Client connections open now.";
    REQUESTS = Counter "ottla_requests_total" ["shard", "api"] "Requests begun, by the shard of their connection.";
    REQUEST_DURATION = Histogram "ottla_request_duration_seconds" ["shard", "api"] "Time from a request's first look until its answer was given: for Produce until the records are stable, for Fetch with the wait for more data.";
    RECORDS_IN = Counter "ottla_produced_records_total" ["shard"] "Records appended to the shard's partitions.";
    BATCHES_IN = Counter "ottla_produced_batches_total" ["shard"] "Record batches appended to the shard's partitions.";
    BYTES_IN = Counter "ottla_produced_bytes_total" ["shard"] "Bytes of record batches appended to the shard's partitions.";
    BYTES_OUT = Counter "ottla_fetched_bytes_total" ["shard"] "Bytes of record batches read from the shard's partitions for clients.";
    REPLICATION_RECEIVED = Counter "ottla_replication_received_bytes_total" ["shard"] "Bytes received from shards of other nodes, records and all.";
    REPLICATION_SENT = Counter "ottla_replication_sent_bytes_total" ["shard"] "Bytes sent to shards of other nodes, records and all.";
    REPLICATION_CONNECTIONS = Gauge "ottla_replication_connections" ["shard", "with"] "Connections open now with leaders that the shard follows and with followers of what it leads.";
    ISR_SHRINKS = Counter "ottla_isr_shrinks_total" ["shard"] "Times an ISR of a partition that the shard leads became smaller.";
    ISR_EXPANDS = Counter "ottla_isr_expands_total" ["shard"] "Times an ISR of a partition that the shard leads became larger.";
    UNDER_REPLICATED = Gauge "ottla_under_replicated_partitions" ["shard"] "Partitions that the shard leads with an ISR smaller than their replicas.";
    COMPACTIONS = Counter "ottla_compactions_total" ["shard"] "Rounds of compaction that were carried through.";
    COMPACTIONS_FAILED = Counter "ottla_compactions_failed_total" ["shard"] "Rounds of compaction that ended with an error; the node's log says which.";
    COMPACTION_TIME = Counter "ottla_compaction_seconds_total" ["shard"] "Time that rounds of compaction took, waits included.";
    COMPACTION_READ = Counter "ottla_compaction_read_bytes_total" ["shard"] "Bytes of records that compaction read.";
    COMPACTION_WRITTEN = Counter "ottla_compaction_written_bytes_total" ["shard"] "Bytes of records that compaction wrote.";
    COMPACTION_FREED = Counter "ottla_compaction_freed_bytes_total" ["shard"] "Bytes by which compaction made logs smaller.";
    COMPACTION_KEYS = Gauge "ottla_compaction_key_bytes" ["shard"] "Memory that the last round of compaction used for keys.";
    COMPACTION_OVERDUE = Gauge "ottla_compaction_overdue_seconds" ["shard"] "By how much the log is over max.compaction.lag.ms that is most so.";
    UNCOMPACTABLE = Gauge "ottla_uncompactable_partitions" ["shard"] "Partitions that are not compacted until the next start, because they can't be.";
    LANE_MESSAGES = Gauge "ottla_lane_messages" ["shard", "to"] "Messages that wait in the lane from one shard to another.";
    CALLS = Gauge "ottla_calls_in_flight" ["shard"] "Calls of the shard to other shards that are not answered yet.";
    SESSIONS = Gauge "ottla_fetch_sessions" ["shard"] "Fetch sessions open.";
    SESSION_PARTITIONS = Gauge "ottla_fetch_session_partitions" ["shard"] "Partitions that fetch sessions remember.";
    REMOTE_WAITS = Gauge "ottla_remote_waiting_fetches" ["shard"] "Fetches of other shards' connections that wait here for data.";

    MEMORY_LIMIT = Gauge "ottla_memory_limit_bytes" ["shard", "owner"] "The shard's share of --memory that this owner may use.";
    MEMORY_USED = Gauge "ottla_memory_used_bytes" ["shard", "owner"] "How much of it is in use.";
    MEMORY_WAITERS = Gauge "ottla_memory_waiters" ["shard", "owner"] "Who waits for it: above 0 the budget is pushing back.";
    TAIL_UNWRITTEN = Gauge "ottla_tail_unwritten_bytes" ["shard"] "Bytes appended that are not yet on a drive.";

    SHARE_SESSIONS = Gauge "ottla_share_sessions" ["shard"] "Share sessions of members of share groups, by the shard that keeps their group's.";
    SHARE_SESSION_PARTITIONS = Gauge "ottla_share_session_partitions" ["shard"] "Partitions that share sessions fetch from.";
    SHARE_PARTITIONS = Gauge "ottla_share_partitions" ["shard"] "Partitions of the shard that share groups fetch from, counted for each group.";
    SHARE_IN_FLIGHT = Gauge "ottla_share_in_flight_records" ["shard"] "Their records between the first that isn't done and the last that was delivered.";
    SHARE_DELIVERED = Counter "ottla_share_delivered_records_total" ["shard"] "Records delivered to members of share groups, each time they are.";
    SHARE_ACKNOWLEDGED = Counter "ottla_share_acknowledged_records_total" ["shard", "type"] "Records that members acknowledged: accept, release, reject.";
    SHARE_WRITES = Counter "ottla_share_state_writes_total" ["shard", "outcome"] "States of share-partitions handed to their share coordinator: stored, failed.";

    COORDINATORS = Gauge "ottla_coordinators" ["shard", "state"] "Partitions of internal topics that the shard coordinates: loading, serving.";
    COORDINATOR_LOADS = Counter "ottla_coordinator_loads_total" ["shard"] "Logs that coordinators read when they took over.";
    COORDINATOR_LOAD_TIME = Counter "ottla_coordinator_load_seconds_total" ["shard"] "How long reading them took.";
    COORDINATOR_LOAD_MAX = Gauge "ottla_coordinator_load_max_seconds" ["shard"] "How long reading one of them took at most.";
    COORDINATOR_RECORDS = Counter "ottla_coordinator_load_records_total" ["shard"] "Records that were read so.";
    GROUPS = Gauge "ottla_groups" ["shard", "type", "state"] "Groups that the shard coordinates.";
    GROUP_OFFSETS = Gauge "ottla_group_offsets" ["shard"] "Partitions with an offset of a group, counted for each group.";
    GROUP_COMMITS = Counter "ottla_group_commits_total" ["shard"] "Offsets that groups committed, counted for each partition.";
    GROUP_DELETIONS = Counter "ottla_group_offset_deletions_total" ["shard"] "Offsets that were deleted: by request, or with their group or topic.";
    GROUP_EXPIRATIONS = Counter "ottla_group_offset_expirations_total" ["shard"] "Offsets that nobody used for too long.";
    GROUP_REBALANCES = Counter "ottla_group_rebalances_total" ["shard"] "Times a classic group was given new assignments.";
    TRANSACTIONAL_IDS = Gauge "ottla_transactional_ids" ["shard", "state"] "Transactional ids that the shard coordinates.";
    TRANSACTIONS_COMMITTED = Counter "ottla_transactions_committed_total" ["shard"] "Transactions that were decided to be committed.";
    TRANSACTIONS_ABORTED = Counter "ottla_transactions_aborted_total" ["shard"] "Transactions that were decided to be aborted, for whatever reason.";
    TRANSACTIONS_FENCED = Counter "ottla_transactions_fenced_total" ["shard"] "Those that were aborted because another producer began with their transactional id.";
    TRANSACTIONS_TIMED_OUT = Counter "ottla_transactions_timed_out_total" ["shard"] "Those that were aborted because they took longer than their timeout.";

    DRIVE_STATE = Gauge "ottla_drive_state" ["shard", "drive", "state"] "1 for the state the drive is in, 0 for the others: online, full, failed.";
    DRIVE_SIZE = Gauge "ottla_drive_size_bytes" ["shard", "drive"] "Size of the file system the drive is on.";
    DRIVE_AVAILABLE = Gauge "ottla_drive_available_bytes" ["shard", "drive"] "Room left on it, the reserve included.";
    DRIVE_WRITE = Histogram "ottla_drive_write_duration_seconds" ["shard", "drive"] "Times of writes to segments.";
    DRIVE_SYNC = Histogram "ottla_drive_sync_duration_seconds" ["shard", "drive"] "Times of fdatasync calls on segments.";
    DRIVE_READ = Histogram "ottla_drive_read_duration_seconds" ["shard", "drive"] "Times of reads that went to the drive.";
    DRIVE_WRITTEN = Counter "ottla_drive_written_bytes_total" ["shard", "drive"] "Bytes handed to the drive, padding and rewritten blocks included.";
    DRIVE_READ_BYTES = Counter "ottla_drive_read_bytes_total" ["shard", "drive"] "Bytes read from the drive.";
    DRIVE_PREALLOCATIONS = Counter "ottla_drive_preallocations_total" ["shard", "drive"] "Times room was taken for a segment ahead of its writes.";
    DRIVE_FULL = Counter "ottla_drive_full_total" ["shard", "drive"] "Times the drive was found full.";
    DRIVE_SEGMENTS_DELETED = Counter "ottla_drive_segments_deleted_total" ["shard", "drive"] "Segments deleted.";
    DRIVE_INDEXES_REBUILT = Counter "ottla_drive_indexes_rebuilt_total" ["shard", "drive"] "Indexes made anew from their segment.";
    DRIVE_CHECKPOINTS = Counter "ottla_drive_checkpoints_total" ["shard", "drive"] "Recovery checkpoints written.";

    PARTITIONS = Gauge "ottla_partitions" ["shard", "state"] "Partitions of the shard: online, opening, offline.";
    LOG_START = Gauge "ottla_partition_log_start_offset" ["topic", "partition"] "First offset that is still there.";
    HIGH_WATERMARK = Gauge "ottla_partition_high_watermark" ["topic", "partition"] "Offset below which everything is stable and may be read.";
    LAST_STABLE = Gauge "ottla_partition_last_stable_offset" ["topic", "partition"] "Offset below which every transaction has ended: where read_committed stops.";
    LOG_END = Gauge "ottla_partition_log_end_offset" ["topic", "partition"] "Offset the next record gets.";
    LOG_SIZE = Gauge "ottla_partition_size_bytes" ["topic", "partition"] "Bytes of records in the log.";
    APPENDED = Counter "ottla_partition_appended_bytes_total" ["topic", "partition"] "Bytes appended since the log was opened.";
    TAIL_READS = Counter "ottla_partition_tail_reads_total" ["topic", "partition"] "Reads answered from memory since the log was opened.";
    COLD_READS = Counter "ottla_partition_cold_reads_total" ["topic", "partition"] "Reads that went to the drive since the log was opened.";
    PRODUCERS = Gauge "ottla_partition_producers" ["topic", "partition"] "Idempotent producers remembered.";
    OPEN_TRANSACTIONS = Gauge "ottla_partition_open_transactions" ["topic", "partition"] "Transactions that have begun here and not ended.";
    WAITING_FETCHES = Gauge "ottla_partition_waiting_fetches" ["topic", "partition"] "Fetches that wait for data here.";
    PENDING_BATCHES = Gauge "ottla_partition_pending_batches" ["topic", "partition"] "Batches appended and not yet stable.";
}
