//! The bytes of one file, twice: as they read now, and as they would read after a power cut.
//!
//! Owns pages, sizes and the room set aside. A page not there reads as zeros. What differs between now and durable is
//! exactly the pages in `dirty`, and the size and extents; `sync` closes the gap, `cut` opens it the other way.
//! Must never know names, handles, capacity limits or faults.

use crate::extents::Extents;
use crate::seed::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The block size: of accounting, of pages, and what `statfs` and `stat` tell.
pub(crate) const BLOCK: u64 = 4096;
const PAGE: usize = BLOCK as usize;

type Page = Arc<[u8; PAGE]>;

/// What a drive that lost its power had kept of what nobody synced.
#[derive(Debug, Clone)]
pub(crate) struct Torn {
    pub(crate) rng: Rng,
    /// 512 or 4096: a sector is kept or lost as a whole.
    pub(crate) sector: usize,
}

#[derive(Debug, Default, Clone)]
struct State {
    size: u64,
    pages: BTreeMap<u64, Page>,
    extents: Extents,
}

/// The content of one file.
#[derive(Debug, Default)]
pub(crate) struct Content {
    now: State,
    durable: State,
    dirty: BTreeSet<u64>,
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        self.now.size
    }

    /// Blocks with room set aside, written or not.
    pub(crate) fn blocks(&self) -> u64 {
        self.now.extents.len()
    }

    /// Bytes in pages that a power cut would take back.
    pub(crate) fn unsynced(&self) -> u64 {
        self.dirty.len() as u64 * BLOCK
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.now.size.min(offset.saturating_add(len as u64));
        let mut out = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let within = (at % BLOCK) as usize;
            let take = (PAGE - within).min((end - at) as usize);
            match self.now.pages.get(&(at / BLOCK)) {
                Some(page) => out.extend_from_slice(&page[within..within + take]),
                None => out.resize(out.len() + take, 0),
            }
            at += take as u64;
        }
        out
    }

    /// How many of `len` bytes at `offset` can be written with `room` more blocks.
    pub(crate) fn fits(&self, offset: u64, len: usize, room: u64) -> usize {
        let end = offset + len as u64;
        let all = offset / BLOCK..end.div_ceil(BLOCK);
        if self.now.extents.missing(&all) <= room {
            return len;
        }
        let mut left = room;
        for block in all {
            if self.now.extents.missing(&(block..block + 1)) == 1 {
                if left == 0 {
                    return (block * BLOCK).saturating_sub(offset) as usize;
                }
                left -= 1;
            }
        }
        len
    }

    /// Writes; tells how many blocks that took.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> u64 {
        if data.is_empty() {
            return 0;
        }
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let within = (at % BLOCK) as usize;
            let take = (PAGE - within).min(rest.len());
            let (head, tail) = rest.split_at(take);
            self.page_mut(at / BLOCK)[within..within + take].copy_from_slice(head);
            at += take as u64;
            rest = tail;
        }
        self.now.size = self.now.size.max(at);
        self.now.extents.insert(offset / BLOCK..at.div_ceil(BLOCK))
    }

    fn page_mut(&mut self, number: u64) -> &mut [u8; PAGE] {
        self.dirty.insert(number);
        let page = self
            .now
            .pages
            .entry(number)
            .or_insert_with(|| Arc::new([0; PAGE]));
        // Copied only where the durable state holds the same page.
        Arc::make_mut(page)
    }

    /// Sets the size; tells how many blocks that gave back.
    pub(crate) fn truncate(&mut self, size: u64) -> u64 {
        let shrinks = size < self.now.size;
        self.now.size = size;
        if !shrinks {
            return 0;
        }
        self.dirty.extend(
            self.now
                .pages
                .range(size.div_ceil(BLOCK)..)
                .map(|(number, _)| *number),
        );
        self.now.cut_pages_at(size);
        if !size.is_multiple_of(BLOCK) && self.now.pages.contains_key(&(size / BLOCK)) {
            self.page_mut(size / BLOCK)[(size % BLOCK) as usize..].fill(0);
        }
        self.now.extents.remove(size.div_ceil(BLOCK)..u64::MAX)
    }

    /// How many blocks setting aside this range would take.
    pub(crate) fn missing(&self, offset: u64, len: u64) -> u64 {
        self.now
            .extents
            .missing(&(offset / BLOCK..(offset + len).div_ceil(BLOCK)))
    }

    /// Sets room aside; the size grows over it unless `keep_size`. Tells how many blocks that took.
    pub(crate) fn allocate(&mut self, offset: u64, len: u64, keep_size: bool) -> u64 {
        if !keep_size {
            self.now.size = self.now.size.max(offset + len);
        }
        self.now
            .extents
            .insert(offset / BLOCK..(offset + len).div_ceil(BLOCK))
    }

    /// Makes a range read as zeros and gives its whole blocks back; tells how many.
    pub(crate) fn punch(&mut self, offset: u64, len: u64) -> u64 {
        let end = offset.saturating_add(len).min(self.now.size);
        let mut at = offset;
        while at < end {
            let within = (at % BLOCK) as usize;
            let take = (PAGE - within).min((end - at) as usize);
            if self.now.pages.contains_key(&(at / BLOCK)) {
                self.page_mut(at / BLOCK)[within..within + take].fill(0);
            }
            at += take as u64;
        }
        let whole = offset.div_ceil(BLOCK)..offset.saturating_add(len) / BLOCK;
        for number in whole.clone().take_while(|n| n * BLOCK < end) {
            self.now.pages.remove(&number);
        }
        self.now.extents.remove(whole)
    }

    /// What fsync and fdatasync do: a power cut no longer takes anything of this file.
    pub(crate) fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            match self.now.pages.get(&number) {
                Some(page) => self.durable.pages.insert(number, Arc::clone(page)),
                None => self.durable.pages.remove(&number),
            };
        }
        self.durable.size = self.now.size;
        self.durable.extents = self.now.extents.clone();
    }

    /// A power cut: back to what is durable, or, when torn, to that with some of the unsynced sectors.
    ///
    /// The size (and with it the room set aside) comes back old or new as a whole, apart from the data, as a journalling
    /// file system's does.
    pub(crate) fn cut(&mut self, torn: Option<&mut Torn>) {
        if let Some(torn) = torn {
            if torn.rng.coin() {
                self.durable.size = self.now.size;
                self.durable.extents = self.now.extents.clone();
            }
            let dirty: Vec<u64> = self.dirty.iter().copied().collect();
            for number in dirty {
                self.tear(number, torn);
            }
            let size = self.durable.size;
            self.durable.cut_pages_at(size);
            if let Some(page) = self.durable.pages.get_mut(&(size / BLOCK)) {
                Arc::make_mut(page)[(size % BLOCK) as usize..].fill(0);
            }
        }
        self.now = self.durable.clone();
        self.dirty.clear();
    }

    /// Takes a random part of one page's sectors over into the durable state.
    fn tear(&mut self, number: u64, torn: &mut Torn) {
        let new = self.now.pages.get(&number).map_or([0; PAGE], |page| **page);
        let old = self
            .durable
            .pages
            .entry(number)
            .or_insert_with(|| Arc::new([0; PAGE]));
        let old = Arc::make_mut(old);
        for (to, from) in old
            .chunks_exact_mut(torn.sector)
            .zip(new.chunks_exact(torn.sector))
        {
            if torn.rng.coin() {
                to.copy_from_slice(from);
            }
        }
    }
}

impl State {
    /// Drops the pages that lie wholly beyond `size`.
    fn cut_pages_at(&mut self, size: u64) {
        self.pages.split_off(&size.div_ceil(BLOCK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torn(seed: u64, sector: usize) -> Torn {
        Torn {
            rng: Rng::new(seed),
            sector,
        }
    }

    #[test]
    fn what_is_not_synced_is_lost_by_a_cut() {
        let mut file = Content::default();
        file.write(0, b"synced");
        file.sync();
        file.write(3, b"other and longer");
        file.truncate(10_000);
        assert_eq!(file.unsynced(), BLOCK);
        file.cut(None);
        assert_eq!(file.read(0, 100), b"synced");
        assert_eq!(file.unsynced(), 0);
    }

    #[test]
    fn truncation_not_synced_is_undone() {
        let mut file = Content::default();
        file.write(0, &[7; 10_000]);
        file.sync();
        file.truncate(5000);
        file.truncate(10_000);
        assert_eq!(file.read(0, 10_000), [[7; 5000], [0; 5000]].concat());
        file.cut(None);
        assert_eq!(file.read(0, 10_000), [7; 10_000]);
        file.truncate(5000);
        file.sync();
        file.cut(None);
        assert_eq!(file.size(), 5000);
        assert_eq!(file.blocks(), 2);
    }

    #[test]
    fn a_torn_cut_keeps_whole_sectors_and_never_what_was_synced() {
        let (mut mixed, mut lost_size) = (0, 0);
        for seed in 0..64 {
            let mut file = Content::default();
            file.write(0, &[1; 8192]);
            file.sync();
            file.write(4096, &[2; 8192]);
            file.cut(Some(&mut torn(seed, 512)));
            let bytes = file.read(0, 20_000);
            assert!(
                bytes.len() == 8192 || bytes.len() == 12_288,
                "a size that never was: {}",
                bytes.len()
            );
            lost_size += usize::from(bytes.len() == 8192);
            assert_eq!(bytes[..4096], [1; 4096], "synced and not written again");
            for sector in bytes[4096..].chunks(512) {
                assert!(
                    sector.iter().all(|b| *b == sector[0]),
                    "a sector torn within"
                );
            }
            let second: Vec<u8> = bytes[4096..8192].iter().step_by(512).copied().collect();
            mixed += usize::from(second.contains(&1) && second.contains(&2));
        }
        assert!(mixed > 32, "only {mixed} of 64 cuts tore the page");
        assert!(
            (10..54).contains(&lost_size),
            "the size was lost in {lost_size} of 64 cuts"
        );
    }

    #[test]
    fn a_torn_cut_by_pages_keeps_or_loses_each_page_whole() {
        let mut file = Content::default();
        file.allocate(0, 1 << 20, false);
        file.sync();
        file.write(0, &[3; 1 << 20]);
        file.cut(Some(&mut torn(5, 4096)));
        let bytes = file.read(0, 1 << 20);
        let kept = bytes.chunks(4096).filter(|page| page[0] == 3).count();
        assert!((64..192).contains(&kept), "{kept} of 256 pages kept");
        assert!(
            bytes
                .chunks(4096)
                .all(|page| page.iter().all(|b| *b == page[0]))
        );
        let mut again = Content::default();
        again.allocate(0, 1 << 20, false);
        again.sync();
        again.write(0, &[3; 1 << 20]);
        again.cut(Some(&mut torn(5, 4096)));
        assert_eq!(
            again.read(0, 1 << 20),
            bytes,
            "the same seed tears the same way"
        );
    }

    #[test]
    fn room_is_counted_in_blocks() {
        let mut file = Content::default();
        assert_eq!(file.allocate(0, 64 << 10, true), 16);
        assert_eq!((file.size(), file.blocks()), (0, 16));
        assert_eq!(file.write(0, &[1; 4096]), 0, "room already set aside");
        assert_eq!(file.fits(60 << 10, 16 << 10, 2), 12 << 10);
        assert_eq!(file.fits(60 << 10, 16 << 10, 3), 16 << 10);
        assert_eq!(file.punch(0, 8192), 2);
        assert_eq!(file.read(0, 4096), [0; 4096]);
        assert_eq!(file.truncate(0), 14, "all that was still set aside");
    }
}
