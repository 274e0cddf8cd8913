//! The last offset of each key, in memory of a fixed size. Pure.
//!
//! A key is known by 128 bits that are drawn from it with secrets of the process, so that nobody can make
//! keys that are taken for each other.

use std::hash::{BuildHasher, RandomState};

/// Words of an entry: two of the key, and its offset plus one; zero where there is none.
const WORDS: usize = 3;
/// Bytes that an entry takes.
pub(crate) const ENTRY_BYTES: usize = WORDS * size_of::<u64>();
/// How often another place is tried that has nothing to do with the last one, before it is the next one.
const JUMPS: u64 = 64;

/// What stands for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u64, u64);

/// How keys are hashed in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyHasher {
    first: RandomState,
    second: RandomState,
}

impl KeyHasher {
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.first.hash_one(key), self.second.hash_one(key))
    }
}

/// Keys and their last offsets.
#[derive(Debug, Default)]
pub(crate) struct KeyMap {
    words: Vec<u64>,
    slots: usize,
    /// Entries it takes before it counts as full.
    most: usize,
    len: usize,
    latest: Option<i64>,
}

impl KeyMap {
    /// A map of at most `bytes`, full when `load` of its places are taken, and no larger than is needed for
    /// `wanted` keys.
    pub(crate) fn new(bytes: usize, load: f64, wanted: u64) -> Self {
        let load = load.clamp(0.01, 0.95);
        let most_slots = (bytes / ENTRY_BYTES).max(16);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let slots = ((wanted as f64 / load) as usize)
            .saturating_add(16)
            .min(most_slots);
        Self {
            // Zeros cost nothing until they are touched.
            words: vec![0; slots * WORDS],
            slots,
            most: ((slots as f64 * load) as usize).max(1),
            len: 0,
            latest: None,
        }
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many it takes.
    pub(crate) fn capacity(&self) -> usize {
        self.most
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// The last offset of what was noted; records behind it are not covered.
    pub(crate) fn latest(&self) -> Option<i64> {
        self.latest
    }

    /// Notes that everything up to `offset` is covered.
    pub(crate) fn covered(&mut self, offset: i64) {
        self.latest = self.latest.max(Some(offset));
    }

    /// Notes the offset of a key, which is greater than all before. False, and nothing done, if there is no
    /// room.
    pub(crate) fn put(&mut self, key: KeyHash, offset: i64) -> bool {
        let at = self.find(key);
        let entry = &mut self.words[at * WORDS..(at + 1) * WORDS];
        if entry[2] == 0 {
            if self.len >= self.most {
                return false;
            }
            self.len += 1;
        }
        entry.copy_from_slice(&[key.0, key.1, offset.unsigned_abs() + 1]);
        true
    }

    /// The last offset of a key, if it occurs in what was noted.
    pub(crate) fn get(&self, key: KeyHash) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        let noted = self.words[self.find(key) * WORDS + 2].checked_sub(1)?;
        i64::try_from(noted).ok()
    }

    /// Where the key is, or would be. There is always a free place.
    fn find(&self, key: KeyHash) -> usize {
        let mut at = self.place(key, 0);
        for jump in 1.. {
            let entry = &self.words[at * WORDS..(at + 1) * WORDS];
            if entry[2] == 0 || (entry[0], entry[1]) == (key.0, key.1) {
                break;
            }
            at = if jump < JUMPS {
                self.place(key, jump)
            } else {
                (at + 1) % self.slots
            };
        }
        at
    }

    fn place(&self, key: KeyHash, jump: u64) -> usize {
        let mixed = key.0.wrapping_add(jump.wrapping_mul(key.1 | 1));
        ((u128::from(mixed) * self.slots as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_takes_no_more_than_it_was_given_and_no_more_than_it_needs() {
        let map = KeyMap::new(1 << 20, 0.9, u64::MAX);
        assert!(map.bytes() <= 1 << 20 && map.bytes() > (1 << 20) - ENTRY_BYTES);
        assert_eq!(map.capacity(), (1 << 20) / ENTRY_BYTES * 9 / 10);
        let small = KeyMap::new(1 << 20, 0.9, 9);
        assert!(small.capacity() >= 9 && small.bytes() < 1000);
        let mut tiny = KeyMap::new(0, 2.0, 0);
        assert!(tiny.put(KeyHasher::default().hash(b"key"), 7));
    }

    #[test]
    fn a_full_map_still_takes_keys_it_knows() {
        let hasher = KeyHasher::default();
        let mut map = KeyMap::new(100 * ENTRY_BYTES, 0.9, u64::MAX);
        let key = |n: i64| hasher.hash(&n.to_be_bytes());
        for offset in 0..90 {
            assert!(map.put(key(offset), offset));
        }
        assert!(!map.put(key(90), 90));
        assert_eq!(map.get(key(90)), None);
        assert!(map.put(key(3), 91));
        assert_eq!((map.get(key(3)), map.len()), (Some(91), 90));
    }

    #[test]
    fn an_empty_one_knows_nothing() {
        let map = KeyMap::default();
        assert_eq!(map.get(KeyHasher::default().hash(b"key")), None);
    }

    proptest! {
        #[test]
        fn it_is_a_map(keys in proptest::collection::vec(0_u16..300, 1..1000), slots in 320_usize..1000) {
            let hasher = KeyHasher::default();
            let mut map = KeyMap::new(slots * ENTRY_BYTES, 0.95, u64::MAX);
            let mut model = BTreeMap::new();
            for (offset, key) in (0..).zip(keys) {
                prop_assert!(map.put(hasher.hash(&key.to_be_bytes()), offset));
                model.insert(key, offset);
            }
            for key in 0..400_u16 {
                prop_assert_eq!(map.get(hasher.hash(&key.to_be_bytes())), model.get(&key).copied());
            }
            prop_assert_eq!(map.len(), model.len());
        }
    }
}
