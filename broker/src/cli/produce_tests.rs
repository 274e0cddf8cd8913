//! Lines as they are read, and the pace.

use super::*;

fn read(input: &[u8], max_line: usize) -> Result<Vec<Vec<u8>>, String> {
    let input = Input {
        reader: Box::new(io::Cursor::new(input.to_vec())),
        name: "in".to_owned(),
        total: None,
        typed: false,
    };
    let mut lines = Vec::new();
    for chunk in read_in_background(input, max_line) {
        match chunk {
            Ok(more) => lines.extend(more),
            Err(Failure::Told { text, .. }) => return Err(text),
            Err(Failure::NobodyReads) => return Err("nobody reads".to_owned()),
        }
    }
    Ok(lines)
}

#[test]
fn lines_come_byte_for_byte_without_their_newline() {
    let lines = read(b"a\n\nb\r\n\xff\x00\nlast", 100).unwrap();
    assert_eq!(lines, [&b"a"[..], b"", b"b\r", b"\xff\x00", b"last"]);
    assert_eq!(read(b"", 100).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(read(b"\n", 100).unwrap(), [b""]);
}

#[test]
fn a_line_too_long_is_named_and_what_came_before_it_is_kept() {
    assert_eq!(read(b"12345\n12345\n", 5).unwrap().len(), 2);
    let refused = read(b"12345\n123456\n", 5).unwrap_err();
    assert!(
        refused.starts_with("in: line 2 is longer than 5 bytes"),
        "{refused}"
    );
    assert!(read(b"123456", 5).is_err());
}

#[test]
fn many_lines_come_in_bounded_chunks() {
    let text = "0123456789\n".repeat(100_000);
    let input = Input {
        reader: Box::new(io::Cursor::new(text.into_bytes())),
        name: "in".to_owned(),
        total: None,
        typed: false,
    };
    let mut count = 0;
    for chunk in read_in_background(input, 100) {
        let chunk = chunk.unwrap();
        assert!(chunk.iter().map(Vec::len).sum::<usize>() <= CHUNK_BYTES + 100);
        count += chunk.len();
    }
    assert_eq!(count, 100_000);
}

#[test]
fn a_pace_waits_in_proportion() {
    let mut pace = Pace::new(10);
    assert!(pace.wait().is_zero());
    let wait = pace.wait();
    assert!(
        wait <= Duration::from_millis(100) && wait > Duration::from_millis(20),
        "{wait:?}"
    );
}
