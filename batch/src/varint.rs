//! Zigzag variable-length numbers, as records use them.

use crate::error::RecordFault;

/// Takes a 32-bit number off the front of `input`.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Result<i32, RecordFault> {
    if let Some(raw) = take_short(input) {
        return Ok(unzigzag_32(raw));
    }
    let raw = take(input, 5)?;
    u32::try_from(raw)
        .map(unzigzag_32)
        .map_err(|_| RecordFault::Varint)
}

/// Takes a 64-bit number off the front of `input`.
#[inline]
pub(crate) fn take_i64(input: &mut &[u8]) -> Result<i64, RecordFault> {
    let raw = match take_short(input) {
        Some(raw) => u64::from(raw),
        None => take(input, 10)?,
    };
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Takes a number of one or two bytes off, as nearly all numbers in a record are; `None`, and nothing
/// taken, if it is longer.
#[inline]
fn take_short(input: &mut &[u8]) -> Option<u32> {
    match *input {
        [first, rest @ ..] if *first < 0x80 => {
            *input = rest;
            Some(u32::from(*first))
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *input = rest;
            Some(u32::from(first & 0x7f) | u32::from(*second) << 7)
        }
        _ => None,
    }
}

#[inline]
fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline(never)]
fn take(input: &mut &[u8], longest: usize) -> Result<u64, RecordFault> {
    let mut value = 0_u64;
    for (place, byte) in input.iter().take(longest).enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * place;
        // The tenth byte has room for one bit only.
        if shift == 63 && part > 1 {
            return Err(RecordFault::Varint);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            *input = &input[place + 1..];
            return Ok(value);
        }
    }
    if input.len() >= longest {
        Err(RecordFault::Varint)
    } else {
        Err(RecordFault::CutShort)
    }
}

/// Appends a 32-bit number.
pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    put(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a 64-bit number.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: i32, b: i64) {
            let mut out = Vec::new();
            put_i32(&mut out, a);
            put_i64(&mut out, b);
            let mut input = out.as_slice();
            prop_assert_eq!(take_i32(&mut input), Ok(a));
            prop_assert_eq!(take_i64(&mut input), Ok(b));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn known_bytes() {
        for (value, bytes) in [
            (0, vec![0_u8]),
            (-1, vec![1]),
            (1, vec![2]),
            (63, vec![126]),
            (-64, vec![127]),
            (64, vec![0x80, 1]),
            (i32::MAX, vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            put_i32(&mut out, value);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn too_long_is_refused() {
        assert_eq!(
            take_i32(&mut [0x80; 5].as_slice()),
            Err(RecordFault::Varint)
        );
        assert_eq!(
            take_i32(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()),
            Err(RecordFault::Varint)
        );
        assert_eq!(
            take_i32(&mut [0x80; 4].as_slice()),
            Err(RecordFault::CutShort)
        );
        assert_eq!(
            take_i64(&mut [0x80; 10].as_slice()),
            Err(RecordFault::Varint)
        );
        let mut past = [0xff; 10];
        past[9] = 2;
        assert_eq!(take_i64(&mut past.as_slice()), Err(RecordFault::Varint));
    }
}
