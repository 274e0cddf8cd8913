//! One producer of a workload: takes the records that are due, and gives back what became of them.

use batch::Compression;
use net::client::Acks as WireAcks;
use net::producer::{Producer, ProducerConfig, Push};

use super::{link_config, of_link, topic_names};
use crate::driver::{DriverError, ProducerJob};
use crate::measure::recorder::{Next, ProducerProbe, Ticket, now_ns};
use crate::workload::{Acks, Workload};

/// Records between two looks at the clock: it costs as much as encoding does.
const CLOCK_EVERY: u32 = 16;

/// So many bytes of full batches are sent together at most, where records come as fast as they can.
const TOGETHER_BYTES: usize = 64 * 1024;

/// So long records are put in before what there is, is sent, and answers are looked at.
const LONGEST_FEED_NS: u64 = 100_000;

/// Shorter waits than this are no waits: a timer takes longer.
const LEAST_WAIT_NS: u64 = 5_000;

/// Least and most bytes that wait or are on their way.
const BUFFER_BYTES: (usize, usize) = (4 << 20, 32 << 20);

/// The client's settings for a workload.
pub(super) fn config(workload: &Workload) -> Result<ProducerConfig, DriverError> {
    let compression = match workload.compression.as_str() {
        "none" | "" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => {
            return Err(DriverError::Unsupported(format!(
                "there is no compression {other}: there are none, gzip, snappy, lz4 and zstd"
            )));
        }
    };
    let acks = match workload.acks {
        Acks::None => WireAcks::None,
        Acks::Leader => WireAcks::Leader,
        Acks::All => WireAcks::All,
    };
    if workload.idempotent && (workload.acks != Acks::All || workload.in_flight > 5) {
        return Err(DriverError::Unsupported(
            "an idempotent Kafka producer needs acks = \"all\" and at most 5 requests in flight"
                .to_owned(),
        ));
    }
    let places = workload.partitions * workload.topics;
    // Enough for every partition to have a batch open, one ready, and its share of those in flight.
    let buffer = workload.batch_bytes.saturating_mul(2 * places)
        + workload.in_flight * ProducerConfig::default().request_bytes;
    Ok(ProducerConfig {
        acks,
        batch_bytes: workload.batch_bytes,
        linger: workload.linger,
        in_flight: workload.in_flight,
        compression,
        idempotent: workload.idempotent,
        // At a fixed rate it fills only while the system is slower than that: then all of it is used.
        buffer_bytes: match workload.rate {
            Some(_) => BUFFER_BYTES.1,
            None => buffer.clamp(BUFFER_BYTES.0, BUFFER_BYTES.1),
        },
        request_bytes: ProducerConfig::default()
            .request_bytes
            .max(workload.batch_bytes + 1024),
        ..ProducerConfig::default()
    })
}

/// Why no more records are put in for now.
enum Pause {
    /// It is time to send.
    Turn,
    /// There is no room.
    Full,
    /// Nothing is due before this time.
    Until(u64),
    /// There are no more.
    Done,
}

pub(super) async fn run(
    addresses: Vec<String>,
    config: ProducerConfig,
    mut job: ProducerJob,
) -> Result<(), DriverError> {
    let names = topic_names(&job.workload);
    let topics: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), job.workload.partitions))
        .collect();
    let mut producer = Producer::open(addresses, &topics, config, link_config())
        .await
        .map_err(of_link)?;
    let partitions = job.workload.partitions;
    loop {
        let pause = feed(&mut producer, &mut job.probe, partitions);
        let now = now_ns();
        let push = match pause {
            Pause::Turn => Push::Busy,
            Pause::Full | Pause::Until(_) => Push::Linger,
            Pause::Done => Push::All,
        };
        producer.turn(now, push);
        let answered = give_back(&mut producer, &mut job.probe, partitions, now);
        match pause {
            Pause::Done if producer.is_idle() => break,
            Pause::Done => producer.wait(now, u64::MAX).await,
            Pause::Full if !producer.has_room() && !answered => producer.wait(now, u64::MAX).await,
            Pause::Until(until) if until > now + LEAST_WAIT_NS => producer.wait(now, until).await,
            Pause::Turn | Pause::Full | Pause::Until(_) => rt::task::yield_now().await,
        }
    }
    producer.close().await;
    Ok(())
}

/// Puts in what is due.
fn feed(producer: &mut Producer<Ticket>, probe: &mut ProducerProbe, partitions: usize) -> Pause {
    let began = now_ns();
    let (mut now, mut looked) = (began, 0);
    let enough = producer.ready_bytes() + TOGETHER_BYTES;
    loop {
        if looked == CLOCK_EVERY {
            (now, looked) = (now_ns(), 0);
            if now >= began + LONGEST_FEED_NS {
                return Pause::Turn;
            }
        }
        looked += 1;
        if !producer.has_room() {
            return Pause::Full;
        }
        match probe.next(now) {
            Next::Send(record) => {
                let slot = record.topic * partitions + record.partition;
                let timestamp = (now / 1_000_000) as i64;
                let value = Some(record.value);
                producer.append(slot, timestamp, record.key, value, record.ticket, now);
                if producer.ready_bytes() >= enough {
                    return Pause::Turn;
                }
            }
            Next::Wait(until) => {
                now = now_ns();
                if until > now {
                    return Pause::Until(until);
                }
            }
            Next::Done => return Pause::Done,
        }
    }
}

/// Tells the probe what became of its records; whether there was anything to tell.
fn give_back(
    producer: &mut Producer<Ticket>,
    probe: &mut ProducerProbe,
    partitions: usize,
    now: u64,
) -> bool {
    let mut any = false;
    while let Some(outcome) = producer.next_outcome() {
        any = true;
        let (topic, partition) = (outcome.slot / partitions, outcome.slot % partitions);
        match &outcome.result {
            Ok(()) => probe.acked(topic, partition, &outcome.tickets, now),
            Err(reason) => probe.failed(topic, partition, &outcome.tickets, reason),
        }
        producer.recycle(outcome.tickets);
    }
    any
}
