//! Small text files of ours: `key=value` lines, closed by a line with the checksum of those
//! before it. Pure. A file that a person can read, and that is never half believed.

use std::fmt::Write as _;

const SEAL: &str = "crc32c=";

/// Why a sealed file was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealedError {
    #[error("it is not text of `key=value` lines")]
    NotText,
    #[error("its last line is not a checksum")]
    NoSeal,
    #[error("its checksum does not fit its text")]
    WrongSeal,
    #[error("`{0}` is missing or not a number")]
    Missing(&'static str),
}

/// The lines of a sealed file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed(Vec<(String, String)>);

impl Sealed {
    /// Adds a line.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        for (key, value) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key}={value}");
        }
        let crc = crc32c::crc32c(text.as_bytes());
        let _ = writeln!(text, "{SEAL}{crc:08x}");
        text.into_bytes()
    }

    /// Reads a file's bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SealedError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SealedError::NotText)?;
        let body_len = text
            .trim_end_matches('\n')
            .rfind('\n')
            .map_or(0, |at| at + 1);
        let (body, seal) = text.split_at(body_len);
        let seal = seal.trim_end_matches('\n').strip_prefix(SEAL);
        let seal = seal.ok_or(SealedError::NoSeal)?;
        let seal = u32::from_str_radix(seal, 16).map_err(|_| SealedError::NoSeal)?;
        if seal != crc32c::crc32c(body.as_bytes()) {
            return Err(SealedError::WrongSeal);
        }
        let pair = |line: &str| {
            let (key, value) = line.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let lines = body.lines().map(pair).collect::<Option<Vec<_>>>();
        Ok(Self(lines.ok_or(SealedError::NotText)?))
    }

    /// The text of a line.
    pub(crate) fn text(&self, key: &'static str) -> Result<&str, SealedError> {
        let found = self.0.iter().find(|(name, _)| name == key);
        let (_, value) = found.ok_or(SealedError::Missing(key))?;
        Ok(value)
    }

    /// The number of a line.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, SealedError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| SealedError::Missing(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_survive() {
        let file = Sealed::default().with("version", 1).with("name", "a=b");
        let read = Sealed::decode(&file.encode()).unwrap();
        assert_eq!(read, file);
        assert_eq!(read.number::<u32>("version"), Ok(1));
        assert_eq!(read.text("name"), Ok("a=b"));
        assert_eq!(
            read.number::<u32>("name"),
            Err(SealedError::Missing("name"))
        );
        assert_eq!(read.text("other"), Err(SealedError::Missing("other")));
    }

    #[test]
    fn what_is_not_sealed_is_refused() {
        assert_eq!(Sealed::decode(b""), Err(SealedError::NoSeal));
        assert_eq!(Sealed::decode(b"version=1\n"), Err(SealedError::NoSeal));
        assert_eq!(Sealed::decode(&[0xff, 0]), Err(SealedError::NotText));
    }

    proptest! {
        #[test]
        fn every_cut_and_every_flip_is_seen(at in 0_usize..200, bit in 0_u8..8, cut: bool) {
            let file = Sealed::default().with("version", 1).with("segment", 123_456).with("position", 789);
            let mut bytes = file.encode();
            let at = at % bytes.len();
            if cut { bytes.truncate(at); } else { bytes[at] ^= 1 << bit; }
            // A lost last newline and a capital letter in the seal change nothing that counts.
            if let Ok(read) = Sealed::decode(&bytes) { prop_assert_eq!(read, file); }
        }
    }
}
