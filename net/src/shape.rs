//! The check of a request's counts and lengths before generated code decodes it.
//!
//! The decoder of `kafka-protocol` allocates for as many elements as an array claims to have, so
//! that one request of thirty bytes from anyone who can connect would end the process. This walk
//! allocates nothing and follows the layouts of [`crate::shapes`]: what passes it claims no more
//! than its bytes hold, and has no more elements than a request may have.

use bytes::Buf;

use crate::take::{self, Elements, Form, ParseError, Width};

/// What a field is made of, as far as its length goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// This many bytes.
    Fixed(usize),
    /// Text or bytes behind a length of this width, or null.
    Held(Width),
    /// An array, or null.
    List(&'static Self),
    /// Fields, and tagged fields behind them.
    Struct(&'static [Field]),
    /// A byte that says whether there is one, and a structure.
    NullableStruct(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    kind: Kind,
    first: i16,
    last: i16,
}

impl Field {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            first: 0,
            last: i16::MAX,
        }
    }

    pub(crate) const fn since(mut self, version: i16) -> Self {
        self.first = version;
        self
    }

    pub(crate) const fn until(mut self, version: i16) -> Self {
        self.last = version;
        self
    }

    pub(crate) fn kind_in(&self, version: i16) -> Option<&Kind> {
        (self.first..=self.last)
            .contains(&version)
            .then_some(&self.kind)
    }
}

/// Walks over one request; what follows it is left alone, as Kafka does.
pub(crate) fn check(
    shape: &Kind,
    body: &[u8],
    version: i16,
    flexible: bool,
) -> Result<(), ParseError> {
    let mut walk = Walk {
        version,
        form: Form::of(flexible),
        elements: Elements::new(),
    };
    walk.skip(shape, &mut { body })
}

const WHAT: &str = "the request";

struct Walk {
    version: i16,
    form: Form,
    elements: Elements,
}

impl Walk {
    fn skip(&mut self, kind: &Kind, input: &mut &[u8]) -> Result<(), ParseError> {
        match kind {
            Kind::Fixed(size) => skip_bytes(input, *size),
            Kind::Held(width) => {
                let length = take::length_held(input, self.form, *width, WHAT)?;
                skip_bytes(input, length.unwrap_or(0))
            }
            Kind::List(element) => {
                let count = take::count(input, self.form, 1, WHAT)?.unwrap_or(0);
                self.elements.spend(count)?;
                (0..count).try_for_each(|_| self.skip(element, input))
            }
            Kind::Struct(fields) => self.skip_fields(fields, input),
            Kind::NullableStruct(fields) => {
                let there = input.try_get_i8().map_err(|_| ParseError::CutShort(WHAT))?;
                if there < 0 {
                    Ok(())
                } else {
                    self.skip_fields(fields, input)
                }
            }
        }
    }

    fn skip_fields(&mut self, fields: &[Field], input: &mut &[u8]) -> Result<(), ParseError> {
        for field in fields {
            if let Some(kind) = field.kind_in(self.version) {
                self.skip(kind, input)?;
            }
        }
        let tags = take::skip_tags(input, self.form)?;
        self.elements.spend(tags)
    }
}

fn skip_bytes(input: &mut &[u8], size: usize) -> Result<(), ParseError> {
    *input = input.get(size..).ok_or(ParseError::CutShort(WHAT))?;
    Ok(())
}
