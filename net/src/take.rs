//! Reading the protocol's primitive types off the front of a request, and never believing one.
//!
//! All of them work on contiguous buffers (`&[u8]`, `Bytes`, `BytesMut`) and leave the buffer
//! anywhere after an error: a request that failed to parse is not looked at again.

use bytes::Buf;
use uuid::Uuid;

/// Why the bytes of a request are not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the field does.
    #[error("the request ends inside {0}")]
    CutShort(&'static str),
    /// A length or count that cannot be, or that the bytes left over cannot hold.
    #[error("{what} has a length of {length}, and {left} bytes are left")]
    Length {
        /// The field.
        what: &'static str,
        /// Its length as read.
        length: i64,
        /// Bytes there are after it.
        left: usize,
    },
    /// A null where the protocol has none.
    #[error("{0} is null")]
    Null(&'static str),
    /// Text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// A variable-length number of more than five bytes, or more than 32 bits.
    #[error("a variable-length number is too long in {0}")]
    Varint(&'static str),
    /// More elements than any honest request has.
    #[error("the request has more than {0} elements")]
    TooMany(usize),
    /// A version that is not served.
    #[error("version {version} of {api} is not served")]
    Version {
        /// The API.
        api: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The message's own decoder refused it.
    #[error("the request cannot be decoded: {0}")]
    Decode(String),
}

/// How one version of a message writes lengths: as fixed numbers, or as variable-length ones with
/// tagged fields behind each structure (KIP-482).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Fixed,
    Flexible,
}

impl Form {
    pub(crate) fn of(flexible: bool) -> Self {
        if flexible {
            Self::Flexible
        } else {
            Self::Fixed
        }
    }
}

pub(crate) fn i16(input: &mut impl Buf, what: &'static str) -> Result<i16, ParseError> {
    input.try_get_i16().map_err(|_| ParseError::CutShort(what))
}

pub(crate) fn i32(input: &mut impl Buf, what: &'static str) -> Result<i32, ParseError> {
    input.try_get_i32().map_err(|_| ParseError::CutShort(what))
}

pub(crate) fn uuid(input: &mut impl Buf, what: &'static str) -> Result<Uuid, ParseError> {
    let raw = input
        .try_get_u128()
        .map_err(|_| ParseError::CutShort(what))?;
    Ok(Uuid::from_u128(raw))
}

/// An unsigned variable-length number of 32 bits.
pub(crate) fn uvarint(input: &mut impl Buf, what: &'static str) -> Result<u32, ParseError> {
    let mut value = 0_u64;
    for place in 0..5 {
        let byte = input.try_get_u8().map_err(|_| ParseError::CutShort(what))?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return u32::try_from(value).map_err(|_| ParseError::Varint(what));
        }
    }
    Err(ParseError::Varint(what))
}

/// The width of the fixed form of a length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    /// Strings.
    Two,
    /// Bytes and arrays.
    Four,
}

/// A length in either form; `None` is null. Not yet compared with what is left.
pub(crate) fn length(
    input: &mut impl Buf,
    form: Form,
    width: Width,
    what: &'static str,
) -> Result<Option<usize>, ParseError> {
    let length = match (form, width) {
        (Form::Flexible, _) => i64::from(uvarint(input, what)?) - 1,
        (Form::Fixed, Width::Two) => i64::from(i16(input, what)?),
        (Form::Fixed, Width::Four) => i64::from(i32(input, what)?),
    };
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(ParseError::Length {
            what,
            length,
            left: input.remaining(),
        }),
    }
}

/// The length of bytes that must all be there.
pub(crate) fn length_held(
    input: &mut impl Buf,
    form: Form,
    width: Width,
    what: &'static str,
) -> Result<Option<usize>, ParseError> {
    match length(input, form, width, what)? {
        Some(length) if length > input.remaining() => {
            let left = input.remaining();
            Err(ParseError::Length {
                what,
                length: length as i64,
                left,
            })
        }
        length => Ok(length),
    }
}

/// A count of elements that each take `least` bytes.
pub(crate) fn count(
    input: &mut impl Buf,
    form: Form,
    least: usize,
    what: &'static str,
) -> Result<Option<usize>, ParseError> {
    match length(input, form, Width::Four, what)? {
        Some(count) if count > input.remaining() / least.max(1) => {
            let left = input.remaining();
            Err(ParseError::Length {
                what,
                length: count as i64,
                left,
            })
        }
        count => Ok(count),
    }
}

/// A text that may be null.
pub(crate) fn nullable_string(
    input: &mut impl Buf,
    form: Form,
    what: &'static str,
) -> Result<Option<String>, ParseError> {
    let Some(length) = length_held(input, form, Width::Two, what)? else {
        return Ok(None);
    };
    // Held, and the buffer contiguous.
    let text = input
        .chunk()
        .get(..length)
        .ok_or(ParseError::CutShort(what))?;
    let text = std::str::from_utf8(text)
        .map_err(|_| ParseError::Utf8(what))?
        .to_owned();
    input.advance(length);
    Ok(Some(text))
}

/// A text.
pub(crate) fn string(
    input: &mut impl Buf,
    form: Form,
    what: &'static str,
) -> Result<String, ParseError> {
    nullable_string(input, form, what)?.ok_or(ParseError::Null(what))
}

/// Skips what lies behind a structure: nothing, or tagged fields, none of which is known here.
/// Gives back how many there were.
pub(crate) fn skip_tags(input: &mut impl Buf, form: Form) -> Result<usize, ParseError> {
    const WHAT: &str = "tagged fields";
    if form == Form::Fixed {
        return Ok(0);
    }
    let tags = uvarint(input, WHAT)? as usize;
    for _ in 0..tags {
        uvarint(input, WHAT)?;
        let size = uvarint(input, WHAT)? as usize;
        if size > input.remaining() {
            return Err(ParseError::CutShort(WHAT));
        }
        input.advance(size);
    }
    Ok(tags)
}

/// How many structures a request may be made of in all. Each costs more memory decoded than it has
/// bytes, which the memory promised for a frame must not be exceeded by much; no cluster has as
/// many partitions.
pub(crate) const MAX_ELEMENTS: usize = 256 * 1024;

/// Counts the structures of one request.
#[derive(Debug)]
pub(crate) struct Elements(usize);

impl Elements {
    pub(crate) fn new() -> Self {
        Self(MAX_ELEMENTS)
    }

    pub(crate) fn spend(&mut self, count: usize) -> Result<(), ParseError> {
        self.0 = self
            .0
            .checked_sub(count)
            .ok_or(ParseError::TooMany(MAX_ELEMENTS))?;
        Ok(())
    }
}
