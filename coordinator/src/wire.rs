//! The pieces that coordinators' records are made of, in Kafka's encoding: big-endian numbers, and
//! strings, bytes and arrays with their lengths before them, in the old and in the compact form.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends within a field.
    #[error("the record ends within a field")]
    Short,
    /// A length is out of bounds, or a field that must be there is null.
    #[error("a length of {0} is out of bounds")]
    Length(i64),
    /// A string isn't UTF-8.
    #[error("a string is not UTF-8")]
    Text,
    /// There is more than the fields.
    #[error("{0} bytes follow the last field")]
    Rest(usize),
}

/// Writes fields one after another.
#[derive(Debug, Default)]
pub struct Writer {
    out: BytesMut,
}

impl Writer {
    /// Of a key or value of this version.
    pub fn of_version(version: i16) -> Self {
        let mut writer = Self::default();
        writer.i16(version);
        writer
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    /// A UUID.
    pub fn uuid(&mut self, value: Uuid) {
        self.out.put_slice(value.as_bytes());
    }

    /// A number in the fewest bytes.
    pub fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    /// A string of at most 32,767 bytes, in the old form. A longer one is cut.
    pub fn string(&mut self, value: &str) {
        let mut length = value.len().min(i16::MAX as usize);
        while !value.is_char_boundary(length) {
            length -= 1;
        }
        self.out.put_i16(length as i16);
        self.out.put_slice(&value.as_bytes()[..length]);
    }

    /// A string that may be null, in the old form.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None => self.out.put_i16(-1),
        }
    }

    /// Bytes in the old form.
    pub fn bytes(&mut self, value: &[u8]) {
        self.array(value.len());
        self.out.put_slice(value);
    }

    /// Bytes that may be null, in the old form.
    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytes(value),
            None => self.i32(-1),
        }
    }

    /// The length of an array in the old form; its elements follow.
    pub fn array(&mut self, length: usize) {
        self.out.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
    }

    /// A string in the compact form.
    pub fn compact_string(&mut self, value: &str) {
        self.compact_bytes(value.as_bytes());
    }

    /// A string that may be null, in the compact form.
    pub fn compact_nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.compact_string(value),
            None => self.varint(0),
        }
    }

    /// Bytes in the compact form.
    pub fn compact_bytes(&mut self, value: &[u8]) {
        self.compact_array(value.len());
        self.out.put_slice(value);
    }

    /// The length of an array in the compact form; its elements follow.
    pub fn compact_array(&mut self, length: usize) {
        self.varint(u32::try_from(length).unwrap_or(u32::MAX - 1) + 1);
    }

    /// The end of a structure with these tagged fields, in order of their tags.
    pub fn tagged(&mut self, fields: &[(u32, Bytes)]) {
        self.varint(fields.len() as u32);
        for (tag, value) in fields {
            self.varint(*tag);
            self.varint(value.len() as u32);
            self.out.put_slice(value);
        }
    }
}

/// Reads fields one after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// The bytes end.
    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// The bytes end.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// The bytes end.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// The bytes end.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A UUID.
    ///
    /// # Errors
    /// The bytes end.
    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        self.fixed().map(Uuid::from_bytes)
    }

    /// A number in at most five bytes.
    ///
    /// # Errors
    /// The bytes end, or it has more.
    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Length(i64::from(value)))
    }

    fn text(bytes: &'a [u8]) -> Result<&'a str, Malformed> {
        std::str::from_utf8(bytes).map_err(|_| Malformed::Text)
    }

    /// A string in the old form.
    ///
    /// # Errors
    /// It is null, cut off, or not UTF-8.
    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        self.nullable_string()?.ok_or(Malformed::Length(-1))
    }

    /// A string that may be null, in the old form.
    ///
    /// # Errors
    /// It is cut off, or not UTF-8.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| Malformed::Length(i64::from(length)))?;
                self.take(length).and_then(Self::text).map(Some)
            }
        }
    }

    /// Bytes in the old form.
    ///
    /// # Errors
    /// They are null or cut off.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.array()?;
        self.take(length)
    }

    /// Bytes that may be null, in the old form.
    ///
    /// # Errors
    /// They are cut off.
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let mut ahead = *self;
        if ahead.i32()? == -1 {
            *self = ahead;
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    /// The length of an array in the old form: at most as many elements as bytes are left.
    ///
    /// # Errors
    /// It is null, or can't be that long.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        let length = self.i32()?;
        self.bounded(i64::from(length))
    }

    fn bounded(&self, length: i64) -> Result<usize, Malformed> {
        match usize::try_from(length) {
            Ok(bounded) if bounded <= self.rest.len() => Ok(bounded),
            _ => Err(Malformed::Length(length)),
        }
    }

    /// A string in the compact form.
    ///
    /// # Errors
    /// It is null, cut off, or not UTF-8.
    pub fn compact_string(&mut self) -> Result<&'a str, Malformed> {
        self.compact_bytes().and_then(Self::text)
    }

    /// A string that may be null, in the compact form.
    ///
    /// # Errors
    /// It is cut off, or not UTF-8.
    pub fn compact_nullable_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        let mut ahead = *self;
        if ahead.varint()? == 0 {
            *self = ahead;
            return Ok(None);
        }
        self.compact_string().map(Some)
    }

    /// Bytes in the compact form.
    ///
    /// # Errors
    /// They are null or cut off.
    pub fn compact_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.compact_array()?;
        self.take(length)
    }

    /// The length of an array in the compact form: at most as many elements as bytes are left.
    ///
    /// # Errors
    /// It is null, or can't be that long.
    pub fn compact_array(&mut self) -> Result<usize, Malformed> {
        let length = self.varint()?;
        self.bounded(i64::from(length) - 1)
    }

    /// The end of a structure: calls `each` with its tagged fields.
    ///
    /// # Errors
    /// They are cut off, or what `each` says.
    pub fn tagged(
        &mut self,
        mut each: impl FnMut(u32, Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()?;
            each(tag, Reader::new(self.take(length as usize)?))?;
        }
        Ok(())
    }

    /// The end of a structure whose tagged fields are of no interest.
    ///
    /// # Errors
    /// They are cut off.
    pub fn no_tagged(&mut self) -> Result<(), Malformed> {
        self.tagged(|_, _| Ok(()))
    }

    /// The end of the record.
    ///
    /// # Errors
    /// Something follows.
    pub fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            rest => Err(Malformed::Rest(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::of_version(3);
        writer.i8(-1);
        writer.i64(1 << 40);
        writer.uuid(Uuid::from_u128(7));
        writer.varint(300);
        writer.string("old");
        writer.nullable_string(None);
        writer.bytes(b"bytes");
        writer.nullable_bytes(None);
        writer.nullable_bytes(Some(b""));
        writer.compact_string("compact");
        writer.compact_nullable_string(None);
        writer.compact_nullable_string(Some(""));
        writer.tagged(&[(2, Bytes::from_static(b"\0\0\0\x05"))]);
        let bytes = writer.finish();

        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i16(), Ok(3));
        assert_eq!(reader.i8(), Ok(-1));
        assert_eq!(reader.i64(), Ok(1 << 40));
        assert_eq!(reader.uuid(), Ok(Uuid::from_u128(7)));
        assert_eq!(reader.varint(), Ok(300));
        assert_eq!(reader.string(), Ok("old"));
        assert_eq!(reader.nullable_string(), Ok(None));
        assert_eq!(reader.bytes(), Ok(&b"bytes"[..]));
        assert_eq!(reader.nullable_bytes(), Ok(None));
        assert_eq!(reader.nullable_bytes(), Ok(Some(&b""[..])));
        assert_eq!(reader.compact_string(), Ok("compact"));
        assert_eq!(reader.compact_nullable_string(), Ok(None));
        assert_eq!(reader.compact_nullable_string(), Ok(Some("")));
        let mut seen = Vec::new();
        reader
            .tagged(|tag, mut field| {
                seen.push((tag, field.i32()?));
                field.end()
            })
            .unwrap();
        assert_eq!(seen, [(2, 5)]);
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn lengths_are_never_believed() {
        assert_eq!(
            Reader::new(b"\x7f\xff\xff\xff").array(),
            Err(Malformed::Length(0x7fff_ffff))
        );
        assert_eq!(
            Reader::new(b"\xff\xff").string(),
            Err(Malformed::Length(-1))
        );
        assert_eq!(
            Reader::new(b"\xff\xfe").string(),
            Err(Malformed::Length(-2))
        );
        assert_eq!(
            Reader::new(b"\x05ab").compact_string(),
            Err(Malformed::Length(4))
        );
        assert_eq!(
            Reader::new(b"\0").compact_string(),
            Err(Malformed::Length(-1))
        );
        assert_eq!(
            Reader::new(b"\x02\xff").compact_string(),
            Err(Malformed::Text)
        );
        assert!(Reader::new(b"\xff\xff\xff\xff\xff\xff").varint().is_err());
        assert_eq!(Reader::new(b"ab").end(), Err(Malformed::Rest(2)));
        assert_eq!(Reader::new(b"a").i16(), Err(Malformed::Short));
    }
}
