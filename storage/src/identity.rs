//! Who a drive is: the file `drive.properties` in its folder. Pure.

use uuid::Uuid;

use crate::name::{id_text, parse_id};
use crate::sealed::{Sealed, SealedError};

/// The file's name.
pub(crate) const IDENTITY_FILE: &str = "drive.properties";
/// Present exactly while the drive is closed and was closed with nothing left to recover.
pub(crate) const CLEAN_FILE: &str = ".clean-shutdown";
/// The format of everything on a drive.
pub(crate) const FORMAT: u32 = 1;

/// A drive's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) directory_id: Uuid,
}

/// Why an identity was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(transparent)]
    Sealed(#[from] SealedError),
    #[error("its directory.id is not an id")]
    NotAnId,
    #[error("it has format {0}")]
    Newer(u32),
}

impl Identity {
    pub(crate) fn encode(self) -> Vec<u8> {
        Sealed::default()
            .with("format.version", FORMAT)
            .with("directory.id", id_text(self.directory_id))
            .encode()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let file = Sealed::decode(bytes)?;
        let format = file.number("format.version")?;
        if format > FORMAT {
            return Err(IdentityError::Newer(format));
        }
        let directory_id = parse_id(file.text("directory.id")?).ok_or(IdentityError::NotAnId)?;
        Ok(Self { directory_id })
    }
}

/// Kafka's `partition.metadata` of a topic id.
pub(crate) fn encode_metadata(topic_id: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {}", id_text(topic_id)).into_bytes()
}

/// The topic id of Kafka's `partition.metadata`.
pub(crate) fn decode_metadata(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    if lines.next()?.trim() != "version: 0" {
        return None;
    }
    parse_id(lines.next()?.strip_prefix("topic_id: ")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_and_a_damaged_one_is_refused() {
        let identity = Identity {
            directory_id: Uuid::from_u128(0x1234_5678_9abc),
        };
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes), Ok(identity));
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(Identity::decode(&bytes).is_err(), "byte {at}");
        }
        let newer = Sealed::default().with("format.version", 2).encode();
        assert_eq!(Identity::decode(&newer), Err(IdentityError::Newer(2)));
    }

    #[test]
    fn kafkas_metadata_is_read_and_written() {
        let id = Uuid::from_u128(77);
        assert_eq!(decode_metadata(&encode_metadata(id)), Some(id));
        let kafkas = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";
        assert_eq!(decode_metadata(kafkas), Some(Uuid::from_u128(1)));
        assert_eq!(encode_metadata(Uuid::from_u128(1)), kafkas);
        assert_eq!(decode_metadata(b"version: 1\ntopic_id: x"), None);
        assert_eq!(decode_metadata(b""), None);
    }
}
