//! The form of messages between the shards of two nodes.
//!
//! Both sides of a connection first say [`Hello`]. Then each sends frames: a length, then messages one after
//! the other, each a kind, a fixed layout of little-endian fields, and for records their bytes as they are
//! in the log. A sender gathers the layouts in one buffer and hands the record bytes to the socket beside
//! them, but for very short ones ([`FrameWriter`]); a receiver slices them out of the frame's refcounted buffer ([`messages`]).
//!
//! A partition is named by topic id and index in a `Follow`, together with a number that the follower
//! chooses; everything after names the number. Numbers of a connection grow and are never used again, so
//! the connection's serial number ([`Hello::connection`]) above the partition's number makes the
//! [`session`](crate::Sender::session) of what a follower says.
//!
//! Whatever the bytes, decoding never panics, and takes no memory of a size that it was only told.

mod frame;
mod hello;
mod layout;
#[cfg(test)]
mod tests;

pub use frame::{
    FRAME_HEAD_LEN, FRAME_MAX_BYTES, Frame, FrameWriter, Message, Messages, frame_len, messages,
};
pub use hello::{HELLO_MAX_BYTES, Hello, PROTOCOL_VERSION, hello_len};

/// Why bytes are not what this protocol sends. The connection is of no more use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first bytes of a connection are not those of a hello.
    #[error(
        "the peer does not speak the replication protocol; is the address a broker's internal one?"
    )]
    NotReplication,
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {theirs} of the replication protocol, this node speaks {PROTOCOL_VERSION}"
    )]
    Version {
        /// The peer's version.
        theirs: u16,
    },
    /// A frame or hello is longer than allowed.
    #[error("a frame of {bytes} bytes is longer than allowed")]
    TooLong {
        /// The length it gives.
        bytes: u32,
    },
    /// A message goes on beyond its frame.
    #[error("a message ends beyond its frame")]
    CutShort,
    /// No message has this kind.
    #[error("there is no message of kind {0}")]
    UnknownKind(u8),
    /// A field has a value it can't have.
    #[error("the field {0} has a value it can't have")]
    BadField(&'static str),
}
