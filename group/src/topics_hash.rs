//! A hash of the topics that a group is about: another one means another assignment.

use coordinator::{Topic, World};

/// 64-bit FNV-1a.
struct Hasher(u64);

impl Hasher {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// The hash of those of the topics that there are, in the order that they are given in; 0 for none.
pub(crate) fn topics_hash<'a>(world: &World<'_>, names: impl Iterator<Item = &'a String>) -> i64 {
    let mut hasher = Hasher::new();
    let mut any = false;
    for name in names {
        if let Some(Topic { id, partitions }) = world.topics.by_name(name) {
            hasher.put(&(name.len() as u64).to_be_bytes());
            hasher.put(name.as_bytes());
            hasher.put(id.as_bytes());
            hasher.put(&partitions.to_be_bytes());
            any = true;
        }
    }
    if any { hasher.0.cast_signed() } else { 0 }
}
