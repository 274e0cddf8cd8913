//! How a line of text becomes a record: headers, key, value.

use std::borrow::Cow;

/// How lines are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineFormat {
    /// What ends the headers a line begins with.
    pub(crate) headers_end: Option<Vec<u8>>,
    /// What ends the key.
    pub(crate) key_end: Option<Vec<u8>>,
    /// What stands for no key or no value.
    pub(crate) null: Option<Vec<u8>>,
}

/// A header's name and value.
pub(crate) type LineHeader<'a> = (Cow<'a, str>, Option<&'a [u8]>);

/// A line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) headers: Vec<LineHeader<'a>>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("has no key separator; every line needs one with --key-separator")]
    NoKey,
    #[error("has no headers separator; every line needs one with --headers-separator")]
    NoHeaders,
    #[error("has a header that isn't name=value")]
    Header,
}

impl LineFormat {
    /// Takes a line apart: headers, key, value.
    pub(crate) fn parse<'a>(&self, line: &'a [u8]) -> Result<Line<'a>, LineError> {
        let (headers, rest) = match &self.headers_end {
            None => (Vec::new(), line),
            Some(end) => {
                let (headers, rest) = split(line, end).ok_or(LineError::NoHeaders)?;
                (parse_headers(headers)?, rest)
            }
        };
        let (key, value) = match &self.key_end {
            None => (None, rest),
            Some(end) => {
                let (key, value) = split(rest, end).ok_or(LineError::NoKey)?;
                (self.unless_null(key), value)
            }
        };
        Ok(Line {
            headers,
            key,
            value: self.unless_null(value),
        })
    }

    fn unless_null<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (self.null.as_deref() != Some(text)).then_some(text)
    }
}

fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..found], &text[found + at.len()..]))
}

/// `name=value,name=value`; nothing is no headers.
fn parse_headers(text: &[u8]) -> Result<Vec<LineHeader<'_>>, LineError> {
    let parts = text
        .split(|byte| *byte == b',')
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = split(part, b"=").ok_or(LineError::Header)?;
            Ok((String::from_utf8_lossy(name), Some(value)))
        })
        .collect()
}

/// A separator as it is written on a command line: `\t`, `\n`, `\0`, `\\` and `\xNN` stand for
/// single bytes.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('t') => bytes.push(b'\t'),
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok();
                let byte = byte.filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or("\\x needs two hexadecimal digits")?);
            }
            _ => return Err("after \\ comes one of t n r 0 \\ xNN".to_owned()),
        }
    }
    Ok(bytes)
}

/// The same, for what must not be empty.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>, String> {
    let bytes = unescape(text)?;
    if bytes.is_empty() {
        Err("a separator has at least one character".to_owned())
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(headers: Option<&[u8]>, key: Option<&[u8]>, null: Option<&[u8]>) -> LineFormat {
        LineFormat {
            headers_end: headers.map(<[u8]>::to_vec),
            key_end: key.map(<[u8]>::to_vec),
            null: null.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn a_plain_line_is_a_value() {
        let plain = LineFormat::default();
        assert_eq!(plain.parse(b"a\tb").unwrap().value, Some(&b"a\tb"[..]));
        assert_eq!(
            plain.parse(b"").unwrap(),
            Line {
                headers: vec![],
                key: None,
                value: Some(b"")
            }
        );
    }

    #[test]
    fn keys_headers_and_nulls_are_taken_apart() {
        let full = format(Some(b"\t"), Some(b"::"), Some(b"NULL"));
        let line = full.parse(b"a=1,b=\tk::v::w").unwrap();
        assert_eq!(
            line.headers,
            [("a".into(), Some(&b"1"[..])), ("b".into(), Some(&b""[..]))]
        );
        assert_eq!(
            (line.key, line.value),
            (Some(&b"k"[..]), Some(&b"v::w"[..]))
        );
        let line = full.parse(b"\tNULL::NULL").unwrap();
        assert_eq!(
            line,
            Line {
                headers: vec![],
                key: None,
                value: None
            }
        );
        assert_eq!(full.parse(b"k::v"), Err(LineError::NoHeaders));
        assert_eq!(full.parse(b"\tk:v"), Err(LineError::NoKey));
        assert_eq!(full.parse(b"a\tk::v"), Err(LineError::Header));
    }

    #[test]
    fn separators_may_be_escaped() {
        assert_eq!(separator("\\t").unwrap(), b"\t");
        assert_eq!(separator("\\x1f|\\\\").unwrap(), b"\x1f|\\");
        assert_eq!(separator("→").unwrap(), "→".as_bytes());
        for bad in ["", "\\", "\\q", "\\x1", "\\xzz"] {
            assert!(separator(bad).is_err(), "{bad}");
        }
    }
}
