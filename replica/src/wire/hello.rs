//! The first words on a connection.

use zerocopy::{FromBytes, IntoBytes};

use super::WireError;
use super::layout::RawHello;

/// The version of the protocol that this node speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// The longest hello.
pub const HELLO_MAX_BYTES: usize = size_of::<RawHello>() + CLUSTER_ID_MAX;

const MAGIC: [u8; 8] = *b"OTTLARPL";
const CLUSTER_ID_MAX: usize = 64;

/// Who speaks, and whom it takes the other side for. Whoever dials says it first; the other side answers
/// with its own, and either closes the connection if it isn't who was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster's id, at most 64 bytes.
    pub cluster_id: String,
    /// The speaker's node.
    pub node: i32,
    /// The epoch of its registration, -1 while it has none.
    pub broker_epoch: i64,
    /// Its shard.
    pub shard: u16,
    /// The node it means to speak to.
    pub to_node: i32,
    /// The shard it means to speak to.
    pub to_shard: u16,
    /// Which connection of the dialling process it is: grows with each. The answer repeats it.
    pub connection: u32,
}

impl Hello {
    /// Appends its bytes.
    ///
    /// # Errors
    /// [`WireError::BadField`] if the cluster id is too long; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let too_long = WireError::BadField("cluster_id");
        let len = u16::try_from(self.cluster_id.len()).map_err(|_| too_long)?;
        if usize::from(len) > CLUSTER_ID_MAX {
            return Err(too_long);
        }
        let raw = RawHello {
            magic: MAGIC,
            version: PROTOCOL_VERSION.into(),
            cluster_id_len: len.into(),
            from_node: self.node.into(),
            from_broker_epoch: self.broker_epoch.into(),
            from_shard: self.shard.into(),
            to_shard: self.to_shard.into(),
            to_node: self.to_node.into(),
            connection: self.connection.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(self.cluster_id.as_bytes());
        Ok(())
    }

    /// Reads it from as many bytes as [`hello_len`] asked for.
    ///
    /// # Errors
    /// Any [`WireError`]: the peer is not one to speak with.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let whole = hello_len(bytes)?.ok_or(WireError::CutShort)?;
        let bytes = bytes.get(..whole).ok_or(WireError::CutShort)?;
        let (raw, id) = RawHello::read_from_prefix(bytes).map_err(|_| WireError::CutShort)?;
        let cluster_id = str::from_utf8(id).map_err(|_| WireError::BadField("cluster_id"))?;
        Ok(Self {
            cluster_id: cluster_id.to_owned(),
            node: raw.from_node.get(),
            broker_epoch: raw.from_broker_epoch.get(),
            shard: raw.from_shard.get(),
            to_node: raw.to_node.get(),
            to_shard: raw.to_shard.get(),
            connection: raw.connection.get(),
        })
    }
}

/// How many bytes the hello that begins with `bytes` has; `None` while too few of them are there to say.
///
/// # Errors
/// [`WireError::NotReplication`], [`WireError::Version`], [`WireError::TooLong`].
pub fn hello_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let magic = bytes.len().min(MAGIC.len());
    if bytes.get(..magic) != MAGIC.get(..magic) {
        return Err(WireError::NotReplication);
    }
    let Ok((raw, _)) = RawHello::ref_from_prefix(bytes) else {
        return Ok(None);
    };
    if raw.version.get() != PROTOCOL_VERSION {
        return Err(WireError::Version {
            theirs: raw.version.get(),
        });
    }
    let len = usize::from(raw.cluster_id_len.get());
    if len > CLUSTER_ID_MAX {
        return Err(WireError::TooLong {
            bytes: raw.cluster_id_len.get().into(),
        });
    }
    Ok(Some(size_of::<RawHello>() + len))
}
