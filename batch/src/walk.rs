//! The walk over uncompressed record bytes. Allocates nothing.

use crate::error::RecordFault;
use crate::varint;

/// One record as its bytes give it; offsets and timestamps are still deltas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) header_count: i32,
    /// The headers' bytes, walked once already: they hold exactly `header_count`.
    pub(crate) headers: &'a [u8],
}

/// Takes one record off the front of `input`, all its lengths checked.
#[inline]
pub(crate) fn take_record<'a>(input: &mut &'a [u8]) -> Result<RawRecord<'a>, RecordFault> {
    let length = varint::take_i32(input)?;
    let Ok(size) = usize::try_from(length) else {
        return Err(RecordFault::Length(length));
    };
    let Some((mut body, rest)) = input.split_at_checked(size) else {
        return Err(RecordFault::CutShort);
    };
    *input = rest;
    let body = &mut body;
    // The record's own attribute byte has no bits that mean anything.
    take_bytes(body, 1)?;
    let timestamp_delta = varint::take_i64(body)?;
    let offset_delta = varint::take_i32(body)?;
    let key = take_nullable(body)?;
    let value = take_nullable(body)?;
    let header_count = varint::take_i32(body)?;
    // A header takes two bytes at least, so this bounds the loop by the bytes that are there.
    if usize::try_from(header_count).is_ok_and(|count| count > body.len() / 2) || header_count < 0 {
        return Err(RecordFault::HeaderCount(header_count));
    }
    let headers = *body;
    for _ in 0..header_count {
        take_header(body)?;
    }
    if !body.is_empty() {
        return Err(RecordFault::LeftOver(body.len()));
    }
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        key,
        value,
        header_count,
        headers,
    })
}

/// Takes one header (key, value) off the front of `input`.
pub(crate) fn take_header<'a>(
    input: &mut &'a [u8],
) -> Result<(&'a [u8], Option<&'a [u8]>), RecordFault> {
    let Some(key) = take_nullable(input)? else {
        return Err(RecordFault::Length(-1));
    };
    Ok((key, take_nullable(input)?))
}

#[inline]
fn take_nullable<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    let length = varint::take_i32(input)?;
    if length == -1 {
        return Ok(None);
    }
    let Ok(size) = usize::try_from(length) else {
        return Err(RecordFault::Length(length));
    };
    if size > input.len() {
        return Err(RecordFault::Length(length));
    }
    take_bytes(input, size).map(Some)
}

#[inline]
fn take_bytes<'a>(input: &mut &'a [u8], size: usize) -> Result<&'a [u8], RecordFault> {
    let Some((taken, rest)) = input.split_at_checked(size) else {
        return Err(RecordFault::CutShort);
    };
    *input = rest;
    Ok(taken)
}
