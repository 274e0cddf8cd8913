//! Each rule for produced batches, and the error that names it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use batch::{
    Batch, BatchError, Builder, Compression, ControlType, DecompressLimit, ErrorClass, NewRecord,
    ProducedLimits, TimestampBounds, TimestampType, check_produced, stamp, stamp_create_time,
};

fn limits() -> ProducedLimits {
    ProducedLimits::new(1 << 20)
}

fn record(timestamp: i64, key: Option<&'static [u8]>) -> NewRecord<'static> {
    NewRecord {
        timestamp,
        key,
        value: Some(b"value"),
        headers: &[],
    }
}

fn plain() -> Builder {
    Builder::new(Compression::None)
        .record(record(10, None))
        .record(record(12, Some(b"k")))
}

fn refused(bytes: &[u8], limits: ProducedLimits) -> (BatchError, ErrorClass) {
    let error = check_produced(bytes, limits).unwrap_err();
    let class = error.class();
    (error, class)
}

/// Changes bytes the checksum covers, and makes the checksum right again.
fn patch(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_sound_batch_passes() {
    let bytes = plain().producer(5, 0, 0).transactional().build().unwrap();
    let info = check_produced(&bytes, limits()).unwrap();
    assert_eq!(info, Batch::parse(&bytes).unwrap().info());
    assert_eq!(
        (info.record_count, info.last_offset, info.max_timestamp),
        (2, 1, 12)
    );
    assert_eq!(
        (info.producer_id, info.base_sequence, info.last_sequence),
        (5, 0, 1)
    );
}

#[test]
fn exactly_one_batch() {
    assert_eq!(
        refused(&[], limits()),
        (BatchError::Empty, ErrorClass::InvalidRecord)
    );
    let mut two = plain().build().unwrap().to_vec();
    let one = two.len();
    two.extend_from_within(..);
    let error = BatchError::MoreThanOne { extra: one };
    assert_eq!(refused(&two, limits()), (error, ErrorClass::InvalidRecord));
}

#[test]
fn numbered_from_zero() {
    let bytes = plain().base_offset(1).build().unwrap();
    assert_eq!(
        refused(&bytes, limits()),
        (BatchError::BaseOffset(1), ErrorClass::InvalidRecord)
    );
}

#[test]
fn the_size_is_that_of_the_whole_batch() {
    let bytes = plain().build().unwrap();
    let size = bytes.len();
    assert!(check_produced(&bytes, ProducedLimits::new(size)).is_ok());
    let error = BatchError::TooLarge {
        size,
        max: size - 1,
    };
    assert_eq!(
        refused(&bytes, ProducedLimits::new(size - 1)),
        (error, ErrorClass::TooLarge)
    );
}

#[test]
fn damage_is_called_damage() {
    let mut bytes = plain().build().unwrap().to_vec();
    // The control bit: without the checksum this would read as a broken rule.
    bytes[22] ^= 1 << 5;
    let (error, class) = refused(&bytes, limits());
    assert!(matches!(error, BatchError::CrcMismatch { .. }));
    assert_eq!(class, ErrorClass::Corrupt);
}

#[test]
fn no_control_batches() {
    let bytes = Builder::end_transaction(ControlType::Commit, 1, 0, 0, 0)
        .build()
        .unwrap();
    assert_eq!(
        refused(&bytes, limits()),
        (BatchError::Control, ErrorClass::InvalidRecord)
    );
}

#[test]
fn no_delete_horizon() {
    let bytes = Builder::new(Compression::None)
        .delete_horizon(5)
        .record(record(10, None));
    let bytes = bytes.build().unwrap();
    assert_eq!(
        refused(&bytes, limits()),
        (BatchError::DeleteHorizon, ErrorClass::InvalidRecord)
    );
}

#[test]
fn counts_and_offsets_agree() {
    let empty = Builder::new(Compression::None).build().unwrap();
    let error = BatchError::RecordCount {
        count: 0,
        last_offset_delta: 0,
    };
    assert_eq!(
        refused(&empty, limits()),
        (error, ErrorClass::InvalidRecord)
    );
    let whole = plain().build().unwrap();
    for (count, delta) in [(2, 2), (3, 1), (-1, -2), (i32::MIN, i32::MAX), (2, -1)] {
        let bytes = patch(&whole, 57, &i32::to_be_bytes(count));
        let bytes = patch(&bytes, 23, &i32::to_be_bytes(delta));
        let error = BatchError::RecordCount {
            count,
            last_offset_delta: delta,
        };
        assert_eq!(
            refused(&bytes, limits()),
            (error, ErrorClass::InvalidRecord)
        );
    }
}

#[test]
fn codecs() {
    let whole = plain().build().unwrap();
    for code in 5..8 {
        let bytes = patch(&whole, 22, &[code]);
        let expected = (
            BatchError::UnknownCompression(code),
            ErrorClass::UnsupportedCompression,
        );
        assert_eq!(refused(&bytes, limits()), expected);
    }
    let zstd = Builder::new(Compression::Zstd)
        .record(record(1, None))
        .build()
        .unwrap();
    assert!(check_produced(&zstd, limits()).is_ok());
    let old = ProducedLimits {
        allow_zstd: false,
        ..limits()
    };
    let error = BatchError::CompressionNotAllowed(Compression::Zstd);
    assert_eq!(
        refused(&zstd, old),
        (error, ErrorClass::UnsupportedCompression)
    );
}

#[test]
fn producer_fields_make_sense_together() {
    for (id, epoch, sequence) in [(5, 0, -1), (5, -1, 0), (-2, 0, 0)] {
        let bytes = plain().producer(id, epoch, sequence).build().unwrap();
        let (error, class) = refused(&bytes, limits());
        assert!(matches!(error, BatchError::Producer { .. }), "{error}");
        assert_eq!(class, ErrorClass::InvalidRecord);
    }
    let bytes = plain().transactional().build().unwrap();
    assert!(matches!(
        refused(&bytes, limits()).0,
        BatchError::Producer { .. }
    ));
}

#[test]
fn compacted_topics_want_keys() {
    let keyed = ProducedLimits {
        require_keys: true,
        ..limits()
    };
    for codec in Compression::ALL {
        let bytes = Builder::new(codec)
            .record(record(1, None))
            .record(record(1, Some(b"k")))
            .record(record(1, None))
            .build()
            .unwrap();
        assert!(check_produced(&bytes, limits()).is_ok());
        let (error, class) = refused(&bytes, keyed);
        assert_eq!(
            error,
            BatchError::MissingKeys {
                records: vec![0, 2]
            },
            "{codec}"
        );
        assert_eq!(
            (class, error.records()),
            (ErrorClass::InvalidRecord, [0, 2].as_slice())
        );
        let bytes = Builder::new(codec)
            .record(record(1, Some(b"")))
            .build()
            .unwrap();
        assert!(
            check_produced(&bytes, keyed).is_ok(),
            "an empty key is a key"
        );
    }
}

#[test]
fn timestamps_within_bounds() {
    let bounds = TimestampBounds {
        earliest: 100,
        latest: 200,
    };
    let timed = ProducedLimits {
        timestamps: Some(bounds),
        ..limits()
    };
    let build = |codec, times: &[i64]| {
        let mut builder = Builder::new(codec);
        for time in times {
            builder.push(record(*time, None));
        }
        builder.build().unwrap()
    };
    for codec in Compression::ALL {
        assert!(check_produced(&build(codec, &[100, 200]), timed).is_ok());
        assert!(
            check_produced(&build(codec, &[-1]), timed).is_ok(),
            "no timestamp is no fault"
        );
        let inside = ProducedLimits {
            look_inside: Some(DecompressLimit::bytes(1000)),
            ..timed
        };
        let (error, class) = refused(&build(codec, &[150, 99, 201, 200]), inside);
        assert_eq!(
            error,
            BatchError::Timestamps {
                records: vec![1, 2]
            }
        );
        assert_eq!(class, ErrorClass::InvalidTimestamp);
        // Without a look inside, the header's two timestamps speak for a compressed batch.
        assert!(check_produced(&build(codec, &[150, 201]), timed).is_err());
        assert!(check_produced(&build(codec, &[99, 150]), timed).is_err());
    }
}

#[test]
fn a_wrong_greatest_timestamp_is_put_right() {
    let whole = plain().build().unwrap();
    let mut bytes = patch(&whole, 35, &7_i64.to_be_bytes());
    let info = check_produced(&bytes, limits()).unwrap();
    assert_eq!(info.max_timestamp, 12);
    stamp_create_time(&mut bytes, info.max_timestamp);
    assert_eq!(bytes, whole);
    stamp_create_time(&mut bytes, info.max_timestamp);
    assert_eq!(bytes, whole);
    // The bit of append time is the broker's: a producer's is taken away.
    let mut claimed = plain().append_time(12).build().unwrap().to_vec();
    let info = check_produced(&claimed, limits()).unwrap();
    stamp_create_time(&mut claimed, info.max_timestamp);
    let batch = Batch::parse(&claimed).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(
        batch.attributes().timestamp_type(),
        TimestampType::CreateTime
    );
}

#[test]
fn stamping_needs_no_new_checksum() {
    let mut bytes = plain().build().unwrap().to_vec();
    let before = check_produced(&bytes, limits()).unwrap();
    stamp(&mut bytes, 1 << 40, 9);
    let batch = Batch::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.info(), before.stamped(1 << 40, 9));
    assert_eq!(
        (batch.last_offset(), batch.next_offset()),
        ((1 << 40) + 1, (1 << 40) + 2)
    );
}

#[test]
fn what_does_not_fit_is_not_built() {
    let mut builder = Builder::new(Compression::None);
    builder
        .push_at(5, record(1, None))
        .push_at(5, record(1, None));
    assert!(matches!(builder.build(), Err(BatchError::Unbuildable(_))));
    let mut builder = Builder::new(Compression::None);
    builder
        .push_at(i32::MAX, record(1, None))
        .push(record(1, None));
    assert!(matches!(builder.build(), Err(BatchError::Unbuildable(_))));
}
