//! Dumps of files made with the builder: whole, allocated ahead, cut, damaged; and of their
//! indexes.

use std::io::Write as _;

use batch::{Builder, Compression, Header, NewRecord};
use tempfile::TempDir;

use super::*;

fn record(value: &[u8]) -> NewRecord<'_> {
    NewRecord {
        timestamp: 1_000,
        key: Some(b"k"),
        value: Some(value),
        headers: &[Header {
            key: "h",
            value: None,
        }],
    }
}

fn batch(base: i64, count: usize, codec: Compression) -> Vec<u8> {
    let mut builder = Builder::new(codec)
        .base_offset(base)
        .leader_epoch(2)
        .producer(77, 1, 0);
    for _ in 0..count {
        builder.push(record(b"value"));
    }
    builder.build().unwrap().to_vec()
}

struct Segment {
    folder: TempDir,
}

impl Segment {
    fn of(parts: &[&[u8]]) -> Self {
        let segment = Self {
            folder: TempDir::new().unwrap(),
        };
        segment.write("log", parts);
        segment
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder
            .path()
            .join(format!("00000000000000000010.{extension}"))
    }

    fn write(&self, extension: &str, parts: &[&[u8]]) {
        let mut file = File::create(self.path(extension)).unwrap();
        for part in parts {
            file.write_all(part).unwrap();
        }
    }

    fn args(&self) -> DumpArgs {
        DumpArgs {
            files: vec![self.path("log")],
            records: false,
            from: 0,
            count: None,
            quiet: false,
        }
    }

    fn dump(&self, args: &DumpArgs) -> (String, bool) {
        let mut out = Vec::new();
        let verdict = args.log(&self.path("log"), &mut out).unwrap();
        (
            String::from_utf8(out).unwrap(),
            matches!(verdict, Verdict::Whole),
        )
    }

    fn index(&self, extension: &str, kind: IndexKind) -> (String, bool) {
        let mut out = Vec::new();
        let verdict = dump_index::dump(&self.path(extension), kind, 100, &mut out).unwrap();
        (
            String::from_utf8(out).unwrap(),
            matches!(verdict, Verdict::Whole),
        )
    }
}

#[test]
fn a_whole_file_is_shown_batch_by_batch_up_to_its_zeros() {
    let first = batch(10, 3, Compression::None);
    let second = batch(13, 2, Compression::Zstd);
    let segment = Segment::of(&[&first, &second, &vec![0; 70_000]]);
    let (text, whole) = segment.dump(&segment.args());
    assert!(whole, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("offsets 10-12 count 3 position 0 "),
        "{text}"
    );
    assert!(
        lines[0].contains("codec none create time 1000-1000 producer 77/1 sequences 0-2 crc 0x")
    );
    assert!(
        lines[1].contains(&format!("position {} ", first.len())) && lines[1].contains("codec zstd")
    );
    assert!(lines[1].ends_with(" ok"));
    assert!(lines[2].starts_with("2 batches, 5 records"), "{text}");
    assert!(
        lines[2].contains("offsets 10 to 14")
            && lines[2].ends_with("then 70000 bytes allocated ahead; whole")
    );
}

#[test]
fn records_are_shown_from_an_offset_and_up_to_a_count() {
    let parts = [
        batch(10, 2, Compression::Gzip),
        batch(12, 1, Compression::None),
        batch(13, 1, Compression::None),
    ];
    let segment = Segment::of(&[&parts[0], &parts[1], &parts[2]]);
    let args = DumpArgs {
        records: true,
        from: 11,
        count: Some(1),
        ..segment.args()
    };
    let (text, whole) = segment.dump(&args);
    assert!(whole);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(
        lines[2],
        "  offset 10 time 1000 header \"h\"=null key \"k\" value \"value\""
    );
    let (quiet, _) = segment.dump(&DumpArgs {
        quiet: true,
        ..segment.args()
    });
    assert_eq!(quiet.lines().count(), 1);
}

#[test]
fn a_damaged_batch_is_told_and_those_after_it_are_still_read() {
    let mut bad = batch(12, 1, Compression::None);
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let segment = Segment::of(&[
        &batch(10, 2, Compression::None),
        &bad,
        &batch(13, 1, Compression::None),
    ]);
    let (text, whole) = segment.dump(&DumpArgs {
        quiet: true,
        ..segment.args()
    });
    assert!(!whole);
    assert!(text.contains("BAD: record batch is corrupt"), "{text}");
    assert!(
        text.contains("3 batches, 4 records") && text.ends_with("1 BAD\n"),
        "{text}"
    );
}

#[test]
fn what_is_no_batch_ends_the_dump() {
    let good = batch(10, 2, Compression::None);
    let cut = &batch(12, 2, Compression::None)[..80];
    let mut absurd = batch(12, 1, Compression::None);
    absurd[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut negative = absurd.clone();
    negative[8..12].copy_from_slice(&(-5_i32).to_be_bytes());
    let gap = [vec![0; 100], batch(12, 1, Compression::None)].concat();
    for (tail, why) in [
        (cut, "cut short"),
        (&absurd[..], "cut short"),
        (&negative[..], "claims a length of -5"),
        (&b"abc"[..], "3 bytes that are too few"),
        (&gap[..], "zeros, and after them data"),
    ] {
        let segment = Segment::of(&[&good, tail]);
        let (text, whole) = segment.dump(&segment.args());
        assert!(!whole && text.contains(why), "{why}: {text}");
        assert!(
            text.contains(&format!("BAD at position {}", good.len())),
            "{text}"
        );
        assert!(text.contains("1 batches, 2 records"), "{text}");
    }
}

#[test]
fn offsets_that_go_back_are_told() {
    let segment = Segment::of(&[
        &batch(10, 3, Compression::None),
        &batch(12, 1, Compression::None),
    ]);
    let (text, whole) = segment.dump(&segment.args());
    assert!(
        !whole && text.contains("BAD: its first offset is 12"),
        "{text}"
    );
}

#[test]
fn an_empty_file_is_whole() {
    let segment = Segment::of(&[]);
    let (text, whole) = segment.dump(&segment.args());
    assert!(whole);
    assert_eq!(text, "0 batches, 0 records, 0 B (0 bytes); whole\n");
}

fn entry(relative: u32, position: u32) -> Vec<u8> {
    [relative.to_be_bytes(), position.to_be_bytes()].concat()
}

#[test]
fn an_index_is_compared_with_its_log() {
    let first = batch(10, 3, Compression::None);
    let segment = Segment::of(&[&first, &batch(13, 2, Compression::None)]);
    let at = u32::try_from(first.len()).unwrap();
    segment.write("index", &[&entry(2, 0), &entry(4, at), &[0; 32]]);
    let (text, whole) = segment.index("index", IndexKind::Offset);
    assert!(whole, "{text}");
    assert_eq!(
        text,
        format!("offset 12 position 0\noffset 14 position {at}\n2 entries; whole\n")
    );
    segment.write(
        "index",
        &[&entry(2, 0), &entry(9, at), &entry(8, at + 1), &[1, 2]],
    );
    let (text, whole) = segment.index("index", IndexKind::Offset);
    assert!(!whole);
    assert!(
        text.contains("BAD: the batch there has offsets 13 to 14"),
        "{text}"
    );
    assert!(
        text.contains("offset 18") && text.contains("doesn't come after"),
        "{text}"
    );
    assert!(
        text.contains("BAD: 2 bytes after the last entry") && text.contains("3 BAD"),
        "{text}"
    );
}

#[test]
fn a_time_index_must_not_go_back() {
    let segment = Segment::of(&[]);
    let entry =
        |time: i64, relative: u32| [&time.to_be_bytes()[..], &relative.to_be_bytes()].concat();
    segment.write("timeindex", &[&entry(5, 1), &entry(9, 4)]);
    let (text, whole) = segment.index("timeindex", IndexKind::Time);
    assert!(whole);
    assert!(
        text.starts_with("timestamp 5 offset 11\ntimestamp 9 offset 14\n"),
        "{text}"
    );
    segment.write("timeindex", &[&entry(5, 1), &entry(4, 4)]);
    assert!(!segment.index("timeindex", IndexKind::Time).1);
}
