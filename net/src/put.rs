//! Writing the protocol's primitive types.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

use crate::take::Form;

pub(crate) fn uvarint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// The length of an array, or of bytes.
pub(crate) fn length(out: &mut BytesMut, form: Form, length: usize) {
    // A response is far smaller than 2 GiB; see `Writer::finish`.
    match form {
        Form::Flexible => uvarint(out, length as u32 + 1),
        Form::Fixed => out.put_i32(length as i32),
    }
}

/// The length of an array that is null.
pub(crate) fn null(out: &mut BytesMut, form: Form) {
    match form {
        Form::Flexible => out.put_u8(0),
        Form::Fixed => out.put_i32(-1),
    }
}

/// A text. The fixed form has room for 32767 bytes; what is beyond them is left out.
pub(crate) fn string(out: &mut BytesMut, form: Form, text: &str) {
    match form {
        Form::Flexible => {
            uvarint(out, text.len() as u32 + 1);
            out.put_slice(text.as_bytes());
        }
        Form::Fixed => {
            let end = cut_at(text, i16::MAX as usize);
            out.put_i16(end as i16);
            out.put_slice(&text.as_bytes()[..end]);
        }
    }
}

/// A text that may be null.
pub(crate) fn nullable_string(out: &mut BytesMut, form: Form, text: Option<&str>) {
    match (text, form) {
        (Some(text), _) => string(out, form, text),
        (None, Form::Flexible) => out.put_u8(0),
        (None, Form::Fixed) => out.put_i16(-1),
    }
}

pub(crate) fn uuid(out: &mut BytesMut, id: Uuid) {
    out.put_slice(id.as_bytes());
}

/// The end of a structure that has no tagged fields.
pub(crate) fn no_tags(out: &mut BytesMut, form: Form) {
    if form == Form::Flexible {
        out.put_u8(0);
    }
}

/// The greatest place up to `most` where a text can be cut.
fn cut_at(text: &str, most: usize) -> usize {
    (0..=most.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}
