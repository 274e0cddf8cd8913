//! The records of `__consumer_offsets`, in Kafka's schemas. The version that a key begins with says what it
//! is a key of.

pub(crate) mod classic;
pub(crate) mod offset;

use coordinator::wire::{Malformed, Reader};

/// What the version of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `OffsetCommitKey`, 0 and 1.
    Offset,
    /// `GroupMetadataKey`, 2.
    Group,
    /// Another: those of consumer, share and streams groups.
    Other(i16),
}

/// What a key is of, and its fields.
pub(crate) fn kind_of(key: &[u8]) -> Result<(Kind, Reader<'_>), Malformed> {
    let mut fields = Reader::new(key);
    let kind = match fields.i16()? {
        0 | 1 => Kind::Offset,
        2 => Kind::Group,
        other => Kind::Other(other),
    };
    Ok((kind, fields))
}

/// Why a record can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Its bytes aren't what they should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The version of its value isn't known.
    #[error("version {0} of the value is not known to this broker; it is from a newer one")]
    Version(i16),
    /// The version of its key isn't known.
    #[error("records of kind {0} are not known to this broker; they are from a newer one")]
    Kind(i16),
}
