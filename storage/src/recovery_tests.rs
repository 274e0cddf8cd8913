use super::*;
use crate::index::{OffsetEntry, encode};
use batch::{Builder, Compression, NewRecord};
use proptest::prelude::*;

/// A batch of `count` records at `base`.
fn batch_at(base: i64, count: usize) -> Vec<u8> {
    let mut builder = Builder::new(Compression::None).base_offset(base);
    for _ in 0..count {
        builder.push(NewRecord {
            timestamp: 1_700_000_000_000,
            value: Some(b"some record"),
            ..NewRecord::default()
        });
    }
    builder.build().unwrap().to_vec()
}

fn place(left: usize, expected: i64) -> Place {
    Place {
        left: left as u64,
        expected,
        segment: 100,
    }
}

fn judge_file(bytes: &[u8], expected: i64) -> Judged {
    judge(bytes, place(bytes.len(), expected))
}

/// With the checksum made right again.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn case_a_the_end_of_the_file() {
    assert_eq!(judge_file(&[], 100), Judged::End(Case::A));
}

#[test]
fn case_b_zeros() {
    assert_eq!(judge_file(&[0; 4096], 100), Judged::End(Case::B));
    assert_eq!(judge_file(&[0; 7], 100), Judged::End(Case::B));
}

#[test]
fn case_c_less_than_a_header() {
    let batch = batch_at(100, 1);
    assert_eq!(judge_file(&batch[..60], 100), Judged::End(Case::C));
}

#[test]
fn case_d_another_format_version() {
    for magic in [0, 1, 3, 255] {
        let mut batch = batch_at(100, 1);
        batch[16] = magic;
        assert_eq!(judge_file(&batch, 100), Judged::End(Case::D));
    }
}

#[test]
fn case_e_a_length_no_batch_has() {
    for length in [-1, 0, 48, i32::MIN, i32::MAX] {
        let mut batch = batch_at(100, 1);
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(judge_file(&batch, 100), Judged::End(Case::E), "{length}");
    }
}

#[test]
fn case_f_a_batch_longer_than_the_file() {
    let batch = batch_at(100, 3);
    for len in HEADER_LEN..batch.len() {
        assert_eq!(judge_file(&batch[..len], 100), Judged::End(Case::F));
    }
}

#[test]
fn case_g_a_stale_offset() {
    let batch = batch_at(100, 3);
    assert_eq!(judge_file(&batch, 101), Judged::End(Case::G));
}

#[test]
fn case_h_a_wrong_checksum() {
    let good = batch_at(100, 3);
    for at in 21..good.len() {
        let mut batch = good.clone();
        batch[at] ^= 4;
        assert_eq!(judge_file(&batch, 100), Judged::End(Case::H), "byte {at}");
    }
}

#[test]
fn case_i_counts_that_contradict_each_other() {
    for (delta, count) in [(-1, 3), (2, -1), (2, 4), (i32::MIN, 0)] {
        let mut batch = batch_at(100, 3);
        batch[23..27].copy_from_slice(&i32::to_be_bytes(delta));
        batch[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let batch = resealed(batch);
        assert_eq!(judge_file(&batch, 100), Judged::End(Case::I));
    }
    let mut batch = batch_at(100, 3);
    batch[..8].copy_from_slice(&(i64::MAX - 1).to_be_bytes());
    assert_eq!(judge_file(&batch, 100), Judged::End(Case::I));
}

#[test]
fn case_j_an_offset_too_far_from_the_segments_first() {
    let last = 100 + i64::from(i32::MAX);
    let mut batch = batch_at(100, 1);
    batch[..8].copy_from_slice(&last.to_be_bytes());
    assert!(matches!(judge_file(&batch, 100), Judged::Keep(_)));
    batch[..8].copy_from_slice(&(last + 1).to_be_bytes());
    assert_eq!(judge_file(&batch, 100), Judged::End(Case::J));
}

#[test]
fn case_k_a_whole_batch() {
    let mut bytes = batch_at(120, 3);
    let size = bytes.len();
    bytes.extend_from_slice(b"whatever follows");
    // The offset may lie above the expected one: a log may have gaps.
    match judge_file(&bytes, 100) {
        Judged::Keep(info) => {
            assert_eq!((info.base_offset, info.last_offset), (120, 122));
            assert_eq!(info.size, size);
        }
        other => panic!("{other:?}"),
    }
    // Emptied by compaction: offsets, no records.
    let mut emptied = batch_at(120, 3);
    emptied[57..61].fill(0);
    assert!(matches!(
        judge_file(&resealed(emptied), 100),
        Judged::Keep(_)
    ));
}

#[test]
fn more_bytes_are_asked_for_only_as_far_as_the_file_goes() {
    let batch = batch_at(100, 3);
    let left = place(1 << 20, 100);
    assert_eq!(judge(&[], left), Judged::Need(HEADER_LEN));
    assert_eq!(judge(&[], place(10, 100)), Judged::Need(10));
    let header = &batch[..HEADER_LEN];
    assert_eq!(judge(header, left), Judged::Need(batch.len()));
    assert_eq!(claimed_size(header), Some(batch.len()));
    assert_eq!(claimed_size(&[0; 61]), None);
    assert_eq!(claimed_size(&[0xff; 61]), None);
    assert_eq!(claimed_size(&batch[..11]), None);
}

const KNOWN: Checkpoint = Checkpoint {
    segment: 100,
    position: 5000,
    offset: 150,
    log_start: 20,
    newest: None,
    first_timestamp: None,
    offset_entries: 1,
    time_entries: 1,
    snapshot: false,
    compacted: 0,
    aborted: false,
};

fn listed(segments: &[(i64, u64)]) -> Vec<Listed> {
    let listed = |&(base_offset, len)| Listed { base_offset, len };
    segments.iter().map(listed).collect()
}

fn scan(segment: i64, position: u64, offset: i64) -> ScanFrom {
    ScanFrom {
        segment,
        position,
        offset,
    }
}

#[test]
fn case_l_no_checkpoint() {
    let segments = listed(&[(0, 10), (50, 10)]);
    assert_eq!(plan(None, &segments), Ok(Plan::Scan(scan(0, 0, 0))));
    assert_eq!(plan(None, &[]), Ok(Plan::Empty(0)));
}

#[test]
fn case_m_a_checkpoint_that_cannot_be_believed() {
    let segments = listed(&[(30, 10), (50, 10)]);
    let damaged = || Some(Err(CheckpointError::Contradiction));
    assert_eq!(plan(damaged(), &segments), Ok(Plan::Scan(scan(30, 0, 30))));
    assert_eq!(plan(damaged(), &[]), Ok(Plan::Empty(0)));
}

#[test]
fn case_n_a_checkpoint_of_a_newer_version() {
    let newer = || Some(Err(CheckpointError::Newer(9)));
    let refused = Err(CheckpointError::Newer(9));
    assert_eq!(plan(newer(), &listed(&[(0, 10)])), refused);
    assert_eq!(plan(newer(), &[]), refused);
}

#[test]
fn case_o_the_checkpoints_segment_is_not_there() {
    let known = || Some(Ok(KNOWN));
    let behind = listed(&[(0, 10), (130, 10), (160, 10)]);
    assert_eq!(plan(known(), &behind), Ok(Plan::Scan(scan(130, 0, 130))));
    let before = listed(&[(0, 10), (50, 10)]);
    assert_eq!(plan(known(), &before), Ok(Plan::Scan(scan(50, 0, 50))));
    assert_eq!(plan(known(), &[]), Ok(Plan::Empty(150)));
}

#[test]
fn case_p_the_checkpoints_segment_is_shorter() {
    let segments = listed(&[(0, 10), (100, 4999), (160, 10)]);
    let from = scan(100, 0, 100);
    assert_eq!(plan(Some(Ok(KNOWN)), &segments), Ok(Plan::Scan(from)));
}

#[test]
fn case_q_the_checkpoint_says_it_all() {
    let segments = listed(&[(0, 10), (100, 5000)]);
    let believe = |known| Ok(Plan::Believe(known));
    assert_eq!(plan(Some(Ok(KNOWN)), &segments), believe(KNOWN));
    // A segment that has no record yet has no file yet.
    let rolled = Checkpoint {
        segment: 150,
        position: 0,
        ..KNOWN
    };
    assert_eq!(plan(Some(Ok(rolled)), &segments), believe(rolled));
    assert_eq!(plan(Some(Ok(rolled)), &[]), believe(rolled));
}

#[test]
fn case_r_there_is_more_than_the_checkpoint_says() {
    let from = scan(100, 5000, 150);
    for segments in [
        listed(&[(0, 10), (100, 5001)]),
        listed(&[(0, 10), (100, 5000), (160, 10)]),
    ] {
        assert_eq!(
            plan(Some(Ok(KNOWN)), &segments),
            Ok(Plan::Resume(KNOWN, from))
        );
    }
}

fn entries(count: u32) -> Vec<OffsetEntry> {
    let entry = |at| OffsetEntry {
        relative: at * 10,
        position: at * 5000,
    };
    (1..=count).map(entry).collect()
}

fn indexed(written: Option<usize>) -> IndexedSegment {
    IndexedSegment {
        end: SegmentEnd {
            relative: 1000,
            position: 500_000,
        },
        written,
        interval: 4096,
    }
}

fn verdict(bytes: Option<&[u8]>, written: Option<usize>) -> IndexVerdict<OffsetEntry> {
    judge_index(bytes, indexed(written))
}

#[test]
fn case_s_no_index_file() {
    assert_eq!(verdict(None, None), IndexVerdict::Rebuild(None));
    assert_eq!(verdict(None, Some(3)), IndexVerdict::Rebuild(None));
    assert_eq!(verdict(Some(&[]), None), IndexVerdict::Rebuild(None));
    // None was ever due.
    assert_eq!(verdict(None, Some(0)), IndexVerdict::Believe(vec![]));
    let small = IndexedSegment {
        end: SegmentEnd {
            relative: 10,
            position: 100,
        },
        ..indexed(None)
    };
    assert_eq!(
        judge_index::<OffsetEntry>(Some(&[]), small),
        IndexVerdict::Believe(vec![])
    );
}

#[test]
fn case_t_an_index_file_cut_short() {
    let bytes = encode(&entries(5));
    let length = IndexVerdict::Rebuild(Some(IndexFault::Length));
    assert_eq!(verdict(Some(&bytes[..39]), None), length);
    let short = IndexVerdict::Rebuild(Some(IndexFault::Short));
    assert_eq!(verdict(Some(&bytes), Some(6)), short);
    // The length came to the drive, the bytes did not.
    let mut zeros = encode(&entries(3));
    zeros.resize(40, 0);
    assert_eq!(verdict(Some(&zeros), Some(5)), short);
}

#[test]
fn case_u_an_index_file_with_more_than_was_written() {
    let bytes = encode(&entries(5));
    assert_eq!(
        verdict(Some(&bytes), Some(3)),
        IndexVerdict::Believe(entries(3))
    );
}

#[test]
fn case_v_an_index_out_of_order_or_behind_the_data() {
    let mut mixed = entries(5);
    mixed.swap(1, 2);
    let order = IndexVerdict::Rebuild(Some(IndexFault::Order(2)));
    assert_eq!(verdict(Some(&encode(&mixed)), None), order);
    let beyond = IndexVerdict::Rebuild(Some(IndexFault::Beyond(99)));
    assert_eq!(verdict(Some(&encode(&entries(120))), None), beyond);
}

#[test]
fn case_w_an_index_in_order() {
    let bytes = encode(&entries(5));
    let believe = IndexVerdict::Believe(entries(5));
    assert_eq!(verdict(Some(&bytes), Some(5)), believe);
    assert_eq!(verdict(Some(&bytes), None), believe);
}

proptest! {
    #[test]
    fn any_bytes_are_judged_within_the_file(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), magic: bool) {
        // Most random bytes fail on the format version; let half get past it.
        if magic && bytes.len() > 16 { bytes[16] = 2; }
        match judge_file(&bytes, 0) {
            Judged::Need(more) => prop_assert!(more <= bytes.len()),
            Judged::Keep(info) => prop_assert!(info.size <= bytes.len()),
            Judged::End(_) => {}
        }
    }

    #[test]
    fn no_damage_of_a_batch_goes_by(count in 1..20_usize, at: usize, bit in 0..8_u8) {
        let good = batch_at(100, count);
        let mut bytes = good;
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Judged::Keep(info) = judge_file(&bytes, 100) {
            // Only offset and epoch lie outside the checksum. The offset cannot fall, and the
            // epoch is not what the log is read by.
            prop_assert!(at < 8 || (12..16).contains(&at));
            prop_assert!(info.base_offset >= 100);
        }
    }
}
