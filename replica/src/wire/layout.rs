//! The fixed layouts.

use zerocopy::byteorder::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Declares layouts that lie in the bytes as they are written here.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident: $len:literal { $($(#[$note:meta])* $field:ident: $kind:ty,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
            #[repr(C)]
            pub(super) struct $name {
                $($(#[$note])* pub(super) $field: $kind,)+
            }

            const _: () = assert!(size_of::<$name>() == $len);
        )+
    };
}

layouts! {
    /// The part of a hello before the cluster id.
    RawHello: 36 {
        magic: [u8; 8],
        version: U16,
        /// Bytes of the cluster id, which follows.
        cluster_id_len: U16,
        from_node: I32,
        from_broker_epoch: I64,
        from_shard: U16,
        to_shard: U16,
        to_node: I32,
        connection: U32,
    }
    RawFollow: 44 {
        number: U32,
        topic: [u8; 16],
        index: I32,
        leader_epoch: I32,
        partition_epoch: I32,
        last_epoch: I32,
        end: I64,
    }
    RawProgress: 24 {
        number: U32,
        leader_epoch: I32,
        stable_end: I64,
        log_start: I64,
    }
    RawUnfollow: 4 {
        number: U32,
    }
    /// What every answer begins with.
    RawAnswer: 20 {
        number: U32,
        leader_epoch: I32,
        last_epoch: I32,
        end: I64,
    }
    RawFollowing: 16 {
        high_watermark: I64,
        log_start: I64,
    }
    RawDiverged: 12 {
        epoch: I32,
        end: I64,
    }
    RawOutOfRange: 8 {
        log_start: I64,
    }
    RawRefused: 1 {
        refusal: u8,
    }
    RawRecords: 44 {
        number: U32,
        leader_epoch: I32,
        base_offset: I64,
        next_offset: I64,
        high_watermark: I64,
        log_start: I64,
        /// Bytes of records, which follow.
        len: U32,
    }
    RawMoved: 24 {
        number: U32,
        leader_epoch: I32,
        high_watermark: I64,
        log_start: I64,
    }
    RawCredit: 8 {
        bytes: U64,
    }
}
