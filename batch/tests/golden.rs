//! Batches that Kafka's own Java client (4.1.1) wrote; see `golden/Golden.java`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use batch::{
    Batch, Builder, Compression, ControlType, DecompressLimit, Header, NewRecord, ProducedLimits,
    TimestampType, batches, check_produced, recompress, stamp, stamp_append_time,
};

const T: i64 = 1_700_000_000_000;
const LIMIT: DecompressLimit = DecompressLimit::bytes(1 << 20);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.batch"))).unwrap()
}

fn three() -> Vec<NewRecord<'static>> {
    const HEADERS: &[Header<'_>] = &[
        Header {
            key: "a",
            value: Some(b"1"),
        },
        Header {
            key: "b",
            value: None,
        },
        Header {
            key: "",
            value: Some(b""),
        },
    ];
    vec![
        NewRecord {
            timestamp: T,
            key: Some(b"key"),
            value: Some(b"value"),
            headers: HEADERS,
        },
        NewRecord {
            timestamp: T + 5,
            key: None,
            value: Some(b""),
            headers: &[],
        },
        NewRecord {
            timestamp: T - 1,
            key: Some("é".as_bytes()),
            value: None,
            headers: &[],
        },
    ]
}

fn with_three(mut builder: Builder) -> Builder {
    for record in three() {
        builder.push(record);
    }
    builder
}

fn hex(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) => bytes.iter().fold("x".to_owned(), |mut out, byte| {
            write!(out, "{byte:02x}").unwrap();
            out
        }),
    }
}

/// A line for each record, as `Golden.java read` prints them.
fn lines(batch: &Batch<'_>) -> Vec<String> {
    let records = batch.records(LIMIT).unwrap();
    let line = |record: batch::Record<'_>| {
        let mut line = format!(
            "{} {} {} {}",
            record.offset,
            record.timestamp,
            hex(record.key()),
            hex(record.value())
        );
        for header in record.headers() {
            write!(line, " {}={}", hex(Some(header.key)), hex(header.value)).unwrap();
        }
        line
    };
    records.iter().map(|record| line(record.unwrap())).collect()
}

#[test]
fn what_java_wrote_is_read() {
    for codec in Compression::ALL {
        let bytes = golden(&format!("three-{codec}"));
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.attributes().compression(), Ok(codec));
        assert_eq!(batch.max_timestamp(), T + 5);
        let expected = [
            format!("0 {T} x6b6579 x76616c7565 x61=x31 x62=- x=x"),
            format!("1 {} - x", T + 5),
            format!("2 {} xc3a9 -", T - 1),
        ];
        assert_eq!(lines(&batch), expected, "{codec}");
        let limits = ProducedLimits {
            look_inside: Some(LIMIT),
            ..ProducedLimits::new(1 << 20)
        };
        assert_eq!(check_produced(&bytes, limits), Ok(batch.info()), "{codec}");
    }
}

#[test]
fn many_blocks_that_java_wrote_are_read() {
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let bytes = golden(&format!("many-{codec}"));
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let records = batch.records(LIMIT).unwrap();
        assert!(
            records.uncompressed_size() > 64 * 1024,
            "more than one block"
        );
        assert_eq!(records.iter().count(), 1200);
        for (i, record) in records.iter().enumerate() {
            let record = record.unwrap();
            assert_eq!(record.timestamp, T + i as i64);
            let key = (i % 3 != 0).then(|| format!("k{i}").into_bytes());
            assert_eq!(record.key(), key.as_deref());
            let value = format!("record {i} {}", "abc".repeat(i % 40));
            assert_eq!(record.value(), Some(value.as_bytes()));
        }
    }
}

#[test]
fn uncompressed_batches_are_byte_for_byte_those_of_java() {
    let none = || Builder::new(Compression::None);
    let cases = [
        ("three-none", with_three(none())),
        (
            "idempotent",
            with_three(none().producer(4711, 3, i32::MAX - 1).leader_epoch(7)),
        ),
        (
            "transactional",
            with_three(none().producer(4711, 3, 0).leader_epoch(7).transactional()),
        ),
        (
            "append-time",
            with_three(none().base_offset(100).append_time(T + 77)),
        ),
        (
            "commit",
            Builder::end_transaction(ControlType::Commit, 4711, 3, 9, T)
                .base_offset(42)
                .leader_epoch(5),
        ),
        (
            "abort",
            Builder::end_transaction(ControlType::Abort, 4711, 3, 9, T)
                .base_offset(42)
                .leader_epoch(5),
        ),
    ];
    for (name, builder) in cases {
        assert_eq!(builder.build().unwrap(), golden(name), "{name}");
    }
}

#[test]
fn stamping_makes_what_java_makes() {
    let mut bytes = golden("three-none");
    stamp(&mut bytes, 100, -1);
    stamp_append_time(&mut bytes, T + 77);
    assert_eq!(bytes, golden("append-time"));
}

#[test]
fn sequences_go_round_as_in_java() {
    let bytes = golden("idempotent");
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(
        (batch.base_sequence(), batch.last_sequence()),
        (i32::MAX - 1, 0)
    );
}

#[test]
fn markers_are_understood() {
    for (name, control) in [
        ("commit", ControlType::Commit),
        ("abort", ControlType::Abort),
    ] {
        let bytes = golden(name);
        let batch = Batch::parse(&bytes).unwrap();
        assert!(batch.attributes().is_control() && batch.attributes().is_transactional());
        let records = batch.records(LIMIT).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!((record.offset, record.control()), (42, Some(control)));
    }
}

#[test]
fn append_time_stands_for_the_records_own() {
    let bytes = golden("append-time");
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(
        batch.attributes().timestamp_type(),
        TimestampType::LogAppendTime
    );
    let records = batch.records(LIMIT).unwrap();
    assert!(
        records
            .iter()
            .all(|record| record.unwrap().timestamp == T + 77)
    );
}

#[test]
fn recompression_keeps_all_but_the_codec() {
    for source in [
        "many-gzip",
        "many-snappy",
        "many-lz4",
        "many-zstd",
        "idempotent",
    ] {
        let bytes = golden(source);
        let batch = Batch::parse(&bytes).unwrap();
        let before = lines(&batch);
        for codec in Compression::ALL {
            let again = recompress(&batch, codec, LIMIT).unwrap();
            let again = Batch::parse(&again).unwrap();
            again.verify_crc().unwrap();
            let mut expected = batch.info();
            expected.size = again.size();
            expected.attributes = expected.attributes.with_compression(codec);
            assert_eq!(again.info(), expected);
            assert_eq!(lines(&again), before, "{source} to {codec}");
        }
    }
}

#[test]
fn batches_lie_back_to_back() {
    let names = ["three-none", "many-lz4", "commit", "abort", "transactional"];
    let all: Vec<u8> = names.iter().flat_map(|name| golden(name)).collect();
    let walked: Vec<_> = batches(&all)
        .map(|batch| batch.unwrap().bytes().to_vec())
        .collect();
    let expected: Vec<_> = names.iter().map(|name| golden(name)).collect();
    assert_eq!(walked, expected);
}

/// Run with `OTTLA_BATCH_OUT=DIR cargo test -p batch --test golden -- --ignored`, then let
/// `Golden.java read DIR/*` print what Java makes of the files.
#[test]
#[ignore = "writes files for another reader"]
fn write_batches_for_java() {
    let out = PathBuf::from(std::env::var_os("OTTLA_BATCH_OUT").expect("OTTLA_BATCH_OUT is set"));
    for codec in Compression::ALL {
        let three = with_three(Builder::new(codec)).build().unwrap();
        std::fs::write(out.join(format!("three-{codec}")), three).unwrap();
        let many = golden("many-gzip");
        let many = recompress(&Batch::parse(&many).unwrap(), codec, LIMIT).unwrap();
        std::fs::write(out.join(format!("many-{codec}")), many).unwrap();
    }
}
