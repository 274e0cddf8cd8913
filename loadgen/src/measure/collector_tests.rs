//! The collector, told what workers would say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::super::tick::StreamSent;
use super::*;
use crate::record::StreamSeen;

const SECOND: u64 = 1_000_000_000;
const TIMES: Times = Times {
    zero_ns: 100 * SECOND,
    end_ns: None,
    rate: None,
    broken_off: false,
};

fn tick(role: Role, second: i64, records: u64, micros: u64) -> Tick {
    let mut tick = Tick {
        role,
        second,
        records,
        bytes: records * 100,
        counted_records: 0,
        counted_bytes: 0,
        last_counted_ns: 0,
        counted: Latencies::new(),
        others: Latencies::new(),
    };
    if second < 0 {
        tick.others.note(micros * 1000, records);
    } else {
        (tick.counted_records, tick.counted_bytes) = (records, records * 100);
        tick.last_counted_ns = TIMES.zero_ns + (second as u64 + 1) * SECOND;
        tick.counted.note(micros * 1000, records);
    }
    tick
}

fn ranges(of: &[(u32, u32)]) -> Ranges {
    let mut ranges = Ranges::new();
    for (from, to) in of {
        ranges.insert(*from, *to);
    }
    ranges
}

#[test]
fn rates_are_totals_over_time_without_the_warm_up() {
    let mut collector = Collector::new();
    for second in -2..4 {
        for (records, micros) in [(1000, 500), (3000, 1500)] {
            collector.tick(&tick(Role::Producer, second, records, micros));
        }
    }
    let (measured, _) = collector.finish(TIMES);
    assert_eq!(measured.produced.records, 16_000);
    assert_eq!(measured.produced.records_per_second, 4000.0);
    let latency = measured.ack_latency.unwrap();
    assert_eq!(latency.count, 16_000);
    assert_eq!(latency.percentiles["100"] / 10, 150);
    assert_eq!(measured.series.len(), 6);
    assert_eq!(measured.series[0].second, -2);
    assert_eq!(measured.series[0].acked, 4000);
    assert_eq!(
        measured.series[0].latency[3] / 10,
        150,
        "the warm-up is shown"
    );
}

#[test]
fn old_seconds_keep_their_figures_and_give_back_their_memory() {
    let mut collector = Collector::new();
    for second in 0..100 {
        collector.tick(&tick(Role::Producer, second, 10, 1000 + second as u64));
    }
    let whole = collector.seconds.values().filter(|sum| sum.acks.is_some());
    assert!(whole.count() <= OPEN_SECONDS as usize + 1);
    collector.tick(&tick(Role::Producer, 3, 10, 9000));
    let (measured, _) = collector.finish(TIMES);
    assert_eq!(measured.series[3].acked, 20);
    assert!(measured.series[3].latency[3] >= 9000, "late word counts");
    assert!((1050..=1051).contains(&measured.series[50].latency[0]));
}

#[test]
fn lost_is_what_was_acknowledged_and_read_by_nobody() {
    let mut collector = Collector::new();
    collector.produced(ProducerSummary {
        streams: vec![StreamSent {
            producer: 0,
            topic: 0,
            partition: 2,
            sent: 100,
            acked: ranges(&[(0, 50), (60, 100)]),
        }],
        ..ProducerSummary::default()
    });
    for (consumer, seen) in [[(0, 20)], [(15, 55)]].into_iter().enumerate() {
        collector.consumed(ConsumerSummary {
            consumer,
            streams: vec![StreamSeen {
                producer: 0,
                topic: 0,
                partition: 2,
                seen: ranges(&seen),
            }],
            ..ConsumerSummary::default()
        });
    }
    let (measured, notes) = collector.finish(TIMES);
    assert_eq!(measured.verified.lost, 40);
    assert_eq!(measured.verified.duplicated, 5, "read by two consumers");
    let examples = measured.verified.examples.join("\n");
    assert!(
        examples.contains("records 60 to 99 of producer 0 to partition 2"),
        "{examples}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("5 records were read that had not been"))
    );
}

#[test]
fn a_rate_that_was_not_reached_is_said() {
    let mut collector = Collector::new();
    collector.tick(&tick(Role::Producer, 0, 500, 10));
    collector.produced(ProducerSummary {
        unsent: 500,
        ..ProducerSummary::default()
    });
    let (_, notes) = collector.finish(Times {
        rate: Some(1000.0),
        ..TIMES
    });
    assert!(
        notes[0].starts_with("asked for 1000 records/s, reached 500/s; 500 records"),
        "{notes:?}"
    );
}
