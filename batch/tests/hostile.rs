//! No bytes make the crate panic, and damage is found.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use batch::{
    Attributes, Batch, BatchError, Builder, Compression, DecompressLimit, ErrorClass, HEADER_LEN,
    NewRecord, ProducedLimits, RecordFault, batches, check_produced, recompress,
};
use proptest::prelude::*;

const LIMIT: DecompressLimit = DecompressLimit::bytes(1 << 20);

fn look_inside() -> ProducedLimits {
    ProducedLimits {
        require_keys: true,
        look_inside: Some(LIMIT),
        ..ProducedLimits::new(1 << 20)
    }
}

/// Runs everything that reads; what it answers does not matter.
fn read_all(bytes: &[u8]) {
    let _ = check_produced(bytes, look_inside());
    let _ = check_produced(bytes, ProducedLimits::new(usize::MAX));
    for batch in batches(bytes).flatten() {
        let _ = batch.verify_crc();
        let _ = (
            batch.info(),
            format!("{batch:?}"),
            batch.next_offset(),
            batch.last_sequence(),
        );
        let _ = recompress(&batch, Compression::Lz4, LIMIT);
        let Ok(records) = batch.records(LIMIT) else {
            continue;
        };
        for record in records.iter().flatten() {
            let _ = (
                record.key(),
                record.value(),
                record.control(),
                record.headers().count(),
            );
        }
    }
}

/// A batch with these bytes in place of records, and a right checksum.
fn with_payload(codec: Compression, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Builder::new(codec).build().unwrap()[..HEADER_LEN].to_vec();
    bytes.extend_from_slice(payload);
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    reseal(&mut bytes);
    bytes
}

/// Makes length and checksum right again.
fn reseal(bytes: &mut [u8]) {
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn sample(codec: Compression, records: usize) -> Vec<u8> {
    let mut builder = Builder::new(codec).producer(7, 1, 0);
    for i in 0..records {
        let value = format!("value {i}").repeat(i % 7);
        builder.push(NewRecord {
            timestamp: 1000 + i as i64,
            key: Some(b"key"),
            value: Some(value.as_bytes()),
            headers: &[batch::Header {
                key: "h",
                value: Some(b"v"),
            }],
        });
    }
    builder.build().unwrap().to_vec()
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn random_records_behind_a_right_header(
        codec in codec(),
        count in any::<i32>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let count = if count < i32::MIN / 2 { 3 } else { count.max(i32::MIN + 1) };
        read_all(&with_payload(codec, count, &payload));
    }

    #[test]
    fn damaged_compressed_bytes_with_a_right_checksum(
        codec in codec(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample(codec, 40);
        let payload = bytes.len() - HEADER_LEN;
        for (place, byte) in places {
            bytes[HEADER_LEN + place.index(payload)] = byte;
        }
        reseal(&mut bytes);
        read_all(&bytes);
        bytes.truncate(HEADER_LEN + cut.index(payload));
        reseal(&mut bytes);
        read_all(&bytes);
    }

    #[test]
    fn random_headers_with_a_right_checksum(
        codec in codec(),
        header in prop::collection::vec(any::<u8>(), HEADER_LEN - 21),
    ) {
        let mut bytes = sample(codec, 3);
        bytes[21..HEADER_LEN].copy_from_slice(&header);
        reseal(&mut bytes);
        read_all(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_found(codec in codec(), bit in any::<prop::sample::Index>()) {
        let mut bytes = sample(codec, 20);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        read_all(&bytes);
        let checked = check_produced(&bytes, ProducedLimits::new(1 << 20));
        // Base offset must be 0; a producer's leader epoch is nobody's business.
        if (12..16).contains(&(bit / 8)) {
            prop_assert!(checked.is_ok());
        } else {
            prop_assert!(checked.is_err(), "bit {} was not missed", bit);
        }
    }

    #[test]
    fn a_cut_is_found(codec in codec(), cut in any::<prop::sample::Index>()) {
        let mut bytes = sample(codec, 20);
        bytes.truncate(cut.index(bytes.len()));
        read_all(&bytes);
        let error = check_produced(&bytes, ProducedLimits::new(1 << 20)).unwrap_err();
        if bytes.is_empty() {
            prop_assert_eq!(error, BatchError::Empty);
        } else {
            let cut_short = matches!(error, BatchError::Truncated { .. });
            prop_assert!(cut_short);
            prop_assert_eq!(error.class(), ErrorClass::Corrupt);
        }
    }
}

#[test]
fn bombs_do_not_go_off() {
    let zeros = vec![0; 8 << 20];
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let bytes = Builder::new(codec)
            .record(NewRecord {
                value: Some(&zeros),
                ..NewRecord::default()
            })
            .build()
            .unwrap();
        assert!(bytes.len() < zeros.len() / 15, "{codec} packs zeros well");
        let batch = Batch::parse(&bytes).unwrap();
        let limited = DecompressLimit::bytes(1 << 20);
        let error = batch.records(limited).map(|_| ()).unwrap_err();
        assert_eq!(
            error,
            BatchError::DecompressLimit { limit: 1 << 20 },
            "{codec}"
        );
        assert!(recompress(&batch, Compression::None, limited).is_err());
        assert_eq!(
            batch
                .records(DecompressLimit::bytes(9 << 20))
                .unwrap()
                .iter()
                .count(),
            1
        );
        let exact = batch
            .records(DecompressLimit::bytes(9 << 20))
            .unwrap()
            .uncompressed_size();
        assert!(
            batch.records(DecompressLimit::bytes(exact)).is_ok(),
            "{codec}: the limit is inclusive"
        );
        assert!(
            batch.records(DecompressLimit::bytes(exact - 1)).is_err(),
            "{codec}"
        );
    }
}

#[test]
fn a_snappy_block_that_lies_about_its_size_allocates_nothing() {
    // Claims 2^32 - 1 bytes, then nearly as many as the limit allows.
    for claim in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[0xff, 0xff, 0x3f, 0x00][..],
    ] {
        let bytes = with_payload(Compression::Snappy, 1, claim);
        assert!(Batch::parse(&bytes).unwrap().records(LIMIT).is_err());
        let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
        framed.extend_from_slice(&(claim.len() as u32).to_be_bytes());
        framed.extend_from_slice(claim);
        let bytes = with_payload(Compression::Snappy, 1, &framed);
        assert!(Batch::parse(&bytes).unwrap().records(LIMIT).is_err());
    }
}

#[test]
fn raw_snappy_is_read() {
    let mut record = vec![];
    let plain = sample(Compression::None, 30);
    record.extend_from_slice(&plain[HEADER_LEN..]);
    let raw = snap::raw::Encoder::new().compress_vec(&record).unwrap();
    let bytes = with_payload(Compression::Snappy, 30, &raw);
    let records = Batch::parse(&bytes).unwrap().records(LIMIT).unwrap();
    assert_eq!(records.iter().filter(Result::is_ok).count(), 30);
}

#[test]
fn malformed_records_are_named() {
    use RecordFault::{CutShort, HeaderCount, LeftOver, Length, OffsetDelta, Trailing, Varint};
    let cases: [(&[u8], i32, i32, RecordFault); 14] = [
        (&[], 1, 0, CutShort),
        (&[1], 1, 0, Length(-1)),
        (&[14, 0, 0, 0, 1, 1], 1, 0, CutShort),
        (&[0x80; 6], 1, 0, Varint),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0], 1, 0, CutShort),
        // attributes, timestamp, offset, key length 100
        (&[14, 0, 0, 0, 0xc8, 1, 1, 0], 1, 0, Length(100)),
        // key length -2
        (&[12, 0, 0, 0, 3, 1, 0], 1, 0, Length(-2)),
        // header count 2^31-1
        (
            &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
            1,
            0,
            HeaderCount(i32::MAX),
        ),
        // header count -1
        (&[12, 0, 0, 0, 1, 1, 1], 1, 0, HeaderCount(-1)),
        // header with a null key
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1, 0, Length(-1)),
        (&[16, 0, 0, 0, 1, 1, 0, 9, 9], 1, 0, LeftOver(2)),
        // offset delta 1 in the first place
        (&[12, 0, 0, 2, 1, 1, 0], 1, 0, OffsetDelta(1)),
        // twice offset delta 0
        (
            &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0],
            2,
            1,
            OffsetDelta(0),
        ),
        (&[12, 0, 0, 0, 1, 1, 0, 0xaa, 0xbb], 1, 0, Trailing(2)),
    ];
    for (payload, count, record, fault) in cases {
        let bytes = with_payload(Compression::None, count, payload);
        let error = check_produced(&bytes, ProducedLimits::new(1 << 20)).unwrap_err();
        assert_eq!(
            error,
            BatchError::Record { record, fault },
            "{payload:02x?}"
        );
        assert_eq!(error.class(), ErrorClass::InvalidRecord);
        assert_eq!(error.records(), [record]);
    }
}

#[test]
fn absurd_counts_cost_nothing() {
    let bytes = with_payload(Compression::None, i32::MAX, &[12, 0, 0, 0, 1, 1, 0]);
    let error = check_produced(&bytes, ProducedLimits::new(1 << 20)).unwrap_err();
    assert_eq!(
        error,
        BatchError::Record {
            record: 1,
            fault: RecordFault::CutShort
        }
    );
}

#[test]
fn lengths_and_magics_are_named() {
    let whole = sample(Compression::None, 1);
    for length in [i32::MIN, -1, 0, 48] {
        let mut bytes = whole.clone();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(
            Batch::parse(&bytes).unwrap_err(),
            BatchError::BadLength(length)
        );
    }
    let mut bytes = whole.clone();
    bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let needed = i32::MAX as usize + 12;
    let available = bytes.len();
    assert_eq!(
        Batch::parse(&bytes).unwrap_err(),
        BatchError::Truncated { needed, available }
    );
    for (magic, class) in [
        (0, ErrorClass::OldFormat),
        (1, ErrorClass::OldFormat),
        (3, ErrorClass::Corrupt),
    ] {
        let mut bytes = whole.clone();
        bytes[16] = magic;
        let error = check_produced(&bytes, ProducedLimits::new(1 << 20)).unwrap_err();
        assert_eq!(
            (&error, error.class()),
            (&BatchError::BadMagic(magic as i8), class)
        );
    }
    // Zeros, as lie behind the last batch of a preallocated segment.
    assert_eq!(
        Batch::parse(&[0; 100]).unwrap_err(),
        BatchError::BadMagic(0)
    );
    assert_eq!(
        Attributes(7).compression(),
        Err(BatchError::UnknownCompression(7))
    );
}

#[test]
fn the_walk_ends_after_an_error() {
    let mut bytes = sample(Compression::None, 1);
    let whole = bytes.len();
    bytes.extend_from_within(..whole - 1);
    let mut walk = batches(&bytes);
    assert!(walk.next().unwrap().is_ok());
    assert!(matches!(
        walk.next(),
        Some(Err(BatchError::Truncated { .. }))
    ));
    assert!(walk.next().is_none() && walk.next().is_none());
}
