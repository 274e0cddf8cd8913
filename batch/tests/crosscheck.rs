//! Round trips, with this crate at both ends and with another implementation at one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use batch::{
    Batch, Builder, Compression, DecompressLimit, Header, NewRecord, ProducedLimits, TimestampType,
    check_produced, recompress,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType as TheirTimestampType,
};
use proptest::prelude::*;

const LIMIT: DecompressLimit = DecompressLimit::bytes(1 << 22);

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn blob(max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..max),
        1 => (any::<u8>(), 0..max * 40).prop_map(|(byte, len)| vec![byte; len]),
    ])
}

fn owned() -> impl Strategy<Value = Owned> {
    let headers = prop::collection::btree_map("[a-zé]{0,5}", blob(9), 0..4);
    (0..4_000_000_000_000_i64, blob(20), blob(200), headers).prop_map(
        |(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers: headers.into_iter().collect(),
        },
    )
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

fn push(builder: &mut Builder, record: &Owned) {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect();
    builder.push(NewRecord {
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    });
}

fn build(mut builder: Builder, records: &[Owned]) -> Bytes {
    for record in records {
        push(&mut builder, record);
    }
    builder.build().unwrap()
}

fn read(batch: &Batch<'_>) -> Vec<(i64, Owned)> {
    let records = batch.records(LIMIT).unwrap();
    let own = |record: batch::Record<'_>| {
        let headers = record.headers().map(|header| {
            let key = String::from_utf8(header.key.to_vec()).unwrap();
            (key, header.value.map(<[u8]>::to_vec))
        });
        let owned = Owned {
            timestamp: record.timestamp,
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers.collect(),
        };
        (record.offset, owned)
    };
    records.iter().map(|record| own(record.unwrap())).collect()
}

fn theirs(codec: Compression) -> TheirCompression {
    match codec {
        Compression::None => TheirCompression::None,
        Compression::Gzip => TheirCompression::Gzip,
        Compression::Snappy => TheirCompression::Snappy,
        Compression::Lz4 => TheirCompression::Lz4,
        Compression::Zstd => TheirCompression::Zstd,
    }
}

fn to_theirs(offset: i64, record: &Owned) -> TheirRecord {
    let headers = record.headers.iter().map(|(key, value)| {
        (
            StrBytes::from_string(key.clone()),
            value.clone().map(Bytes::from),
        )
    });
    TheirRecord {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 6,
        producer_id: 4711,
        producer_epoch: 2,
        timestamp_type: TheirTimestampType::Creation,
        offset,
        sequence: 100 + i32::try_from(offset).unwrap(),
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: headers.collect::<IndexMap<_, _>>(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn records_come_back(codec in codec(), records in prop::collection::vec(owned(), 1..30), base in 0..i64::MAX / 2) {
        let bytes = build(Builder::new(codec), &records);
        let limits = ProducedLimits { look_inside: Some(LIMIT), ..ProducedLimits::new(usize::MAX) };
        let info = check_produced(&bytes, limits).unwrap();
        prop_assert_eq!(info.max_timestamp, records.iter().map(|r| r.timestamp).max().unwrap());
        let mut bytes = bytes.to_vec();
        batch::stamp(&mut bytes, base, 3);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert!(batch.verify_crc().is_ok());
        let expected: Vec<_> = (base..).zip(records).collect();
        prop_assert_eq!(read(&batch), expected);
        prop_assert_eq!(batch.info(), info.stamped(base, 3));
    }

    #[test]
    fn recompressed_records_come_back(from in codec(), to in codec(), records in prop::collection::vec(owned(), 1..20)) {
        let bytes = build(Builder::new(from).producer(1, 2, 3).base_offset(9), &records);
        let batch = Batch::parse(&bytes).unwrap();
        let again = recompress(&batch, to, LIMIT).unwrap();
        let again = Batch::parse(&again).unwrap();
        prop_assert!(again.verify_crc().is_ok());
        prop_assert_eq!(again.attributes(), batch.attributes().with_compression(to));
        prop_assert_eq!(read(&again), read(&batch));
    }

    #[test]
    fn they_read_what_we_write(codec in codec(), records in prop::collection::vec(owned(), 1..20)) {
        let builder = Builder::new(codec).producer(4711, 2, 100).leader_epoch(6).transactional();
        let mut bytes = build(builder, &records);
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        let expected: Vec<_> = (0..).zip(&records).map(|(i, r)| to_theirs(i, r)).collect();
        prop_assert_eq!(set.records, expected);
        prop_assert_eq!(set.compression, theirs(codec));
    }

    #[test]
    fn we_read_what_they_write(codec in codec(), records in prop::collection::vec(owned(), 1..20)) {
        let set: Vec<_> = (0..).zip(&records).map(|(i, r)| to_theirs(i, r)).collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
        RecordBatchEncoder::encode(&mut bytes, &set, &options).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert!(batch.verify_crc().is_ok());
        prop_assert_eq!(batch.size(), bytes.len());
        prop_assert_eq!(batch.attributes().compression(), Ok(codec));
        prop_assert_eq!(batch.attributes().timestamp_type(), TimestampType::CreateTime);
        prop_assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (4711, 2, 100));
        let expected: Vec<_> = (0..).zip(records).collect();
        prop_assert_eq!(read(&batch), expected);
    }
}

#[test]
fn gaps_of_compaction_are_kept() {
    let mut builder = Builder::new(Compression::Lz4)
        .base_offset(1000)
        .last_offset_delta(20);
    for (delta, timestamp) in [(3, 5), (7, 1)] {
        builder.push_at(
            delta,
            NewRecord {
                timestamp,
                ..NewRecord::default()
            },
        );
    }
    let bytes = builder.build().unwrap();
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(
        (
            batch.record_count(),
            batch.last_offset(),
            batch.next_offset()
        ),
        (2, 1020, 1021)
    );
    let offsets: Vec<_> = read(&batch).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [1003, 1007]);
    let empty = Builder::new(Compression::None)
        .base_offset(50)
        .last_offset_delta(9)
        .build();
    let empty = empty.unwrap();
    let batch = Batch::parse(&empty).unwrap();
    assert_eq!((batch.record_count(), batch.last_offset()), (0, 59));
    assert!(read(&batch).is_empty());
}
