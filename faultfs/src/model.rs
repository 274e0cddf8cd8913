//! The file system without FUSE: what each operation does, and which rules it obeys.
//!
//! Owns inodes, handles, capacity, rules and counts. One lock is around all of it and is held only for the length of
//! one operation. Must never sleep, touch a file of the host, nor call into the mounted tree.

use crate::command::{Command, PowerCut};
use crate::content::{BLOCK, Content, Torn};
use crate::faults::{Op, Rules, Stats};
use crate::names::{Names, Place, ROOT};
use crate::seed::Rng;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

/// An errno.
pub(crate) type Errno = i32;

/// What `statfs` tells when no capacity was set.
const UNLIMITED_BLOCKS: u64 = (1 << 40) / BLOCK;
/// O_DIRECT wants offsets and lengths to be multiples of this, as ext4 and XFS do on most drives.
const SECTOR: u64 = 512;

/// Who owns an inode and what may be done with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

#[derive(Debug)]
struct Inode {
    owner: Owner,
    changed: SystemTime,
    handles: u32,
    /// `None` for a directory.
    content: Option<Content>,
}

/// What `stat` tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) ino: u64,
    pub(crate) owner: Owner,
    pub(crate) is_dir: bool,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) links: u32,
    pub(crate) changed: SystemTime,
}

/// An entry of a directory: number, whether it is a directory, name.
pub(crate) type Listed = (u64, bool, OsString);

#[derive(Debug)]
struct Handle {
    ino: u64,
    /// A directory's names as they were when it was opened.
    listing: Vec<Listed>,
}

/// The whole file system.
#[derive(Debug)]
pub(crate) struct Model {
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    handles: BTreeMap<u64, Handle>,
    next: u64,
    rules: Rules,
    stats: Stats,
    capacity_blocks: Option<u64>,
    /// Blocks of all files that have a name or a handle.
    used_blocks: u64,
}

impl Model {
    pub(crate) fn new(owner: Owner) -> Self {
        let root = Inode {
            owner,
            changed: SystemTime::now(),
            handles: 0,
            content: None,
        };
        Self {
            names: Names::new(),
            inodes: BTreeMap::from([(ROOT, root)]),
            handles: BTreeMap::new(),
            next: ROOT + 1,
            rules: Rules::default(),
            stats: Stats::default(),
            capacity_blocks: None,
            used_blocks: 0,
        }
    }

    // -- what a test controls ----------------------------------------------------------------------------------

    /// Carries out a test's command; the counts are those after it.
    pub(crate) fn execute(&mut self, command: Command) -> Stats {
        match command {
            Command::Capacity(bytes) => self.capacity_blocks = bytes.map(|b| b / BLOCK),
            Command::Inject(fault) => self.rules.add(fault),
            Command::Heal => self.rules.clear(),
            Command::Latency(op, latency) => self.rules.set_latency(op, latency),
            Command::PowerCut(cut) => self.power_cut(&cut),
            Command::Stats => {}
        }
        let mut stats = self.stats.clone();
        stats.unsynced_bytes = self.contents().map(Content::unsynced).sum();
        stats.used_bytes = self.used_blocks * BLOCK;
        stats
    }

    fn contents(&self) -> impl Iterator<Item = &Content> {
        self.inodes
            .values()
            .filter_map(|inode| inode.content.as_ref())
    }

    fn power_cut(&mut self, cut: &PowerCut) {
        self.stats.power_cuts += 1;
        let mut torn = cut.torn.map(|(seed, sector)| Torn {
            rng: Rng::new(seed),
            sector: sector.bytes(),
        });
        self.names
            .cut(!cut.lose_names, torn.as_mut().map(|t| &mut t.rng));
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
            if let Some(content) = &mut inode.content {
                content.cut(torn.as_mut());
            }
        }
        // What was open belongs to a process that lost its power too: its handles only give errors from here on.
        self.handles.clear();
        self.forget_unreachable();
        self.used_blocks = self.contents().map(Content::blocks).sum();
    }

    /// How long this kind of operation waits before its answer.
    pub(crate) fn latency(&self, op: Op) -> Duration {
        self.rules.latency(op)
    }

    /// Counts the operation, and fails it if a rule says so.
    fn obey(&mut self, op: Op, path: impl FnOnce(&Names) -> String) -> Result<(), Errno> {
        *self.stats.asked.entry(op).or_default() += 1;
        if self.rules.is_empty() {
            return Ok(());
        }
        match self.rules.verdict(op, &path(&self.names)) {
            None => Ok(()),
            Some(errno) => {
                *self.stats.failed.entry(op).or_default() += 1;
                Err(errno)
            }
        }
    }

    fn obey_at(&mut self, at: &Place) -> Result<(), Errno> {
        self.obey(Op::Names, |names| {
            let dir = names.path(at.dir);
            let name = at.name.to_string_lossy();
            if dir.is_empty() {
                name.into_owned()
            } else {
                format!("{dir}/{name}")
            }
        })
    }

    // -- inodes and handles ------------------------------------------------------------------------------------

    fn content(&self, ino: u64) -> Result<&Content, Errno> {
        let inode = self.inodes.get(&ino).ok_or(libc::ESTALE)?;
        inode.content.as_ref().ok_or(libc::EISDIR)
    }

    /// The content, to be changed: the file's time is now.
    fn content_mut(&mut self, ino: u64) -> Result<&mut Content, Errno> {
        let inode = self.inodes.get_mut(&ino).ok_or(libc::ESTALE)?;
        inode.changed = SystemTime::now();
        inode.content.as_mut().ok_or(libc::EISDIR)
    }

    /// The inode of a handle; a handle from before a power cut is no more.
    fn held(&self, handle: u64) -> Result<u64, Errno> {
        self.handles.get(&handle).map(|h| h.ino).ok_or(libc::EIO)
    }

    pub(crate) fn attributes(&self, ino: u64) -> Result<Attributes, Errno> {
        let inode = self.inodes.get(&ino).ok_or(libc::ESTALE)?;
        let (size, blocks) = inode
            .content
            .as_ref()
            .map_or((BLOCK, 1), |c| (c.size(), c.blocks()));
        let is_dir = inode.content.is_none();
        let links = u32::from(self.names.is_linked(ino)) * if is_dir { 2 } else { 1 };
        Ok(Attributes {
            ino,
            owner: inode.owner,
            is_dir,
            size,
            blocks,
            links,
            changed: inode.changed,
        })
    }

    pub(crate) fn lookup(&self, at: &Place) -> Result<Attributes, Errno> {
        self.attributes(self.names.get(at).ok_or(libc::ENOENT)?)
    }

    pub(crate) fn set_owner(
        &mut self,
        ino: u64,
        change: impl FnOnce(&mut Owner),
    ) -> Result<(), Errno> {
        change(&mut self.inodes.get_mut(&ino).ok_or(libc::ESTALE)?.owner);
        Ok(())
    }

    pub(crate) fn set_changed(&mut self, ino: u64, changed: SystemTime) -> Result<(), Errno> {
        self.inodes.get_mut(&ino).ok_or(libc::ESTALE)?.changed = changed;
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn new_handle(&mut self, ino: u64, listing: Vec<Listed>) -> u64 {
        let handle = self.take_number();
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.handles += 1;
        }
        self.handles.insert(handle, Handle { ino, listing });
        handle
    }

    pub(crate) fn open(&mut self, ino: u64) -> Result<u64, Errno> {
        self.obey(Op::Open, |names| names.path(ino))?;
        self.content(ino)?;
        Ok(self.new_handle(ino, Vec::new()))
    }

    pub(crate) fn open_dir(&mut self, ino: u64) -> Result<u64, Errno> {
        let entries = self.names.entries(ino).ok_or(libc::ENOTDIR)?;
        let dots = [
            (ino, true, OsString::from(".")),
            (self.names.parent(ino), true, OsString::from("..")),
        ];
        let names = entries
            .iter()
            .map(|(name, ino)| (*ino, self.names.is_dir(*ino), name.clone()));
        let listing = dots.into_iter().chain(names).collect();
        Ok(self.new_handle(ino, listing))
    }

    pub(crate) fn listing(&self, handle: u64) -> Result<&[Listed], Errno> {
        self.handles
            .get(&handle)
            .map(|h| h.listing.as_slice())
            .ok_or(libc::EIO)
    }

    pub(crate) fn release(&mut self, handle: u64) {
        let Some(Handle { ino, .. }) = self.handles.remove(&handle) else {
            return;
        };
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.handles -= 1;
        }
        self.give_back(ino);
    }

    /// After a name or a handle went: when it was the last, the file's room is free again.
    fn give_back(&mut self, ino: u64) {
        let Some(inode) = self.inodes.get(&ino) else {
            return;
        };
        if inode.handles > 0 || self.names.is_linked(ino) {
            return;
        }
        if let Some(content) = &inode.content {
            self.used_blocks -= content.blocks();
        }
        self.forget_unreachable();
    }

    /// Drops the inodes that no name, handle or power cut can bring back.
    fn forget_unreachable(&mut self) {
        let reachable = self.names.reachable();
        self.inodes
            .retain(|ino, inode| inode.handles > 0 || reachable.contains(ino));
    }

    // -- names -------------------------------------------------------------------------------------------------

    fn add(&mut self, at: &Place, owner: Owner, content: Option<Content>) -> Result<u64, Errno> {
        self.obey_at(at)?;
        if !self.names.is_dir(at.dir) {
            return Err(libc::ENOENT);
        }
        if self.names.get(at).is_some() {
            return Err(libc::EEXIST);
        }
        let ino = self.take_number();
        if content.is_some() {
            self.names.link(at.clone(), ino);
        } else {
            self.names.make_dir(at.clone(), ino);
        }
        self.inodes.insert(
            ino,
            Inode {
                owner,
                changed: SystemTime::now(),
                handles: 0,
                content,
            },
        );
        Ok(ino)
    }

    pub(crate) fn create(&mut self, at: &Place, owner: Owner) -> Result<(Attributes, u64), Errno> {
        let ino = self.add(at, owner, Some(Content::default()))?;
        Ok((self.attributes(ino)?, self.new_handle(ino, Vec::new())))
    }

    pub(crate) fn make_dir(&mut self, at: &Place, owner: Owner) -> Result<Attributes, Errno> {
        let ino = self.add(at, owner, None)?;
        self.attributes(ino)
    }

    /// unlink and rmdir.
    pub(crate) fn remove(&mut self, at: &Place, wants_dir: bool) -> Result<(), Errno> {
        self.obey_at(at)?;
        let ino = self.names.get(at).ok_or(libc::ENOENT)?;
        match (self.names.entries(ino), wants_dir) {
            (Some(_), false) => return Err(libc::EISDIR),
            (None, true) => return Err(libc::ENOTDIR),
            (Some(entries), true) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        self.names.remove(at.clone());
        self.give_back(ino);
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: &Place,
        to: &Place,
        keep_existing: bool,
    ) -> Result<(), Errno> {
        self.obey_at(from)?;
        let ino = self.names.get(from).ok_or(libc::ENOENT)?;
        if let Some(other) = self.names.get(to) {
            if keep_existing {
                return Err(libc::EEXIST);
            }
            match (self.names.is_dir(ino), self.names.entries(other)) {
                (true, None) => return Err(libc::ENOTDIR),
                (false, Some(_)) => return Err(libc::EISDIR),
                (true, Some(entries)) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
                _ => {}
            }
        }
        if let Some(replaced) = self.names.rename(from.clone(), to.clone()) {
            self.give_back(replaced);
        }
        Ok(())
    }

    // -- contents ----------------------------------------------------------------------------------------------

    fn free_blocks(&self) -> u64 {
        self.capacity_blocks
            .unwrap_or(UNLIMITED_BLOCKS)
            .saturating_sub(self.used_blocks)
    }

    /// Total and free blocks.
    pub(crate) fn space(&self) -> (u64, u64) {
        (
            self.capacity_blocks.unwrap_or(UNLIMITED_BLOCKS),
            self.free_blocks(),
        )
    }

    pub(crate) fn read(
        &mut self,
        handle: u64,
        offset: u64,
        len: u32,
        direct: bool,
    ) -> Result<Vec<u8>, Errno> {
        let ino = self.held(handle)?;
        self.obey(Op::Read, |names| names.path(ino))?;
        aligned(offset, u64::from(len), direct)?;
        let bytes = self.content(ino)?.read(offset, len as usize);
        self.stats.bytes_read += bytes.len() as u64;
        Ok(bytes)
    }

    /// Writes as much as there is room for, in whole blocks; ENOSPC when that is nothing.
    pub(crate) fn write(
        &mut self,
        handle: u64,
        offset: u64,
        data: &[u8],
        direct: bool,
    ) -> Result<u32, Errno> {
        let ino = self.held(handle)?;
        self.obey(Op::Write, |names| names.path(ino))?;
        aligned(offset, data.len() as u64, direct)?;
        let room = self.free_blocks();
        let content = self.content_mut(ino)?;
        let fits = content.fits(offset, data.len(), room);
        if fits == 0 && !data.is_empty() {
            return Err(libc::ENOSPC);
        }
        let taken = content.write(offset, &data[..fits]);
        self.used_blocks += taken;
        self.stats.bytes_written += fits as u64;
        u32::try_from(fits).map_err(|_| libc::EINVAL)
    }

    pub(crate) fn truncate(&mut self, ino: u64, size: u64) -> Result<(), Errno> {
        self.obey(Op::Truncate, |names| names.path(ino))?;
        let freed = self.content_mut(ino)?.truncate(size);
        self.used_blocks -= freed;
        Ok(())
    }

    pub(crate) fn allocate(
        &mut self,
        handle: u64,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<(), Errno> {
        let ino = self.held(handle)?;
        self.obey(Op::Allocate, |names| names.path(ino))?;
        let room = self.free_blocks();
        let content = self.content_mut(ino)?;
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 if content.missing(offset, len) > room => Err(libc::ENOSPC),
            0 => {
                let taken = content.allocate(offset, len, keep_size);
                self.used_blocks += taken;
                Ok(())
            }
            libc::FALLOC_FL_PUNCH_HOLE if keep_size => {
                let freed = content.punch(offset, len);
                self.used_blocks -= freed;
                Ok(())
            }
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    pub(crate) fn sync(&mut self, handle: u64) -> Result<(), Errno> {
        let ino = self.held(handle)?;
        self.obey(Op::Sync, |names| names.path(ino))?;
        if self.names.is_dir(ino) {
            self.names.sync(ino);
        } else {
            self.content_mut(ino)?.sync();
        }
        Ok(())
    }
}

fn aligned(offset: u64, len: u64, direct: bool) -> Result<(), Errno> {
    if direct && !(offset | len).is_multiple_of(SECTOR) {
        return Err(libc::EINVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    const OWNER: Owner = Owner {
        mode: 0o644,
        uid: 0,
        gid: 0,
    };

    fn at(dir: u64, name: &str) -> Place {
        Place::new(dir, OsStr::new(name))
    }

    #[test]
    fn room_comes_back_when_the_last_handle_of_a_removed_file_goes() {
        let mut model = Model::new(OWNER);
        model.execute(Command::Capacity(Some(8 * BLOCK)));
        let (_, handle) = model.create(&at(ROOT, "a"), OWNER).unwrap();
        model.allocate(handle, 0, 6 * BLOCK, 0).unwrap();
        assert_eq!(model.allocate(handle, 0, 9 * BLOCK, 0), Err(libc::ENOSPC));
        assert_eq!(
            model.write(handle, 4 * BLOCK, &[1; 8 * BLOCK as usize], true),
            Ok(4 * BLOCK as u32)
        );
        assert_eq!(
            model.write(handle, 8 * BLOCK, &[1; 4096], true),
            Err(libc::ENOSPC)
        );
        model.remove(&at(ROOT, "a"), false).unwrap();
        assert_eq!(model.space(), (8, 0), "still open");
        model.release(handle);
        assert_eq!(model.space(), (8, 8));
    }

    #[test]
    fn a_power_cut_ends_handles_and_recounts_room() {
        let mut model = Model::new(OWNER);
        let (made, handle) = model.create(&at(ROOT, "a"), OWNER).unwrap();
        model.write(handle, 0, &[1; 8192], false).unwrap();
        model.sync(handle).unwrap();
        model.write(handle, 8192, &[1; 8192], false).unwrap();
        let stats = model.execute(Command::PowerCut(PowerCut::clean()));
        assert_eq!(
            (stats.power_cuts, stats.used_bytes, stats.unsynced_bytes),
            (1, 8192, 0)
        );
        assert_eq!(model.read(handle, 0, 10, false), Err(libc::EIO));
        assert_eq!(model.attributes(made.ino).unwrap().size, 8192);
        model.release(handle);
        let again = model.open(made.ino).unwrap();
        assert_eq!(model.read(again, 0, 4, false).unwrap(), [1; 4]);
    }

    #[test]
    fn inodes_nobody_can_reach_are_dropped() {
        let mut model = Model::new(OWNER);
        let (_, handle) = model.create(&at(ROOT, "a"), OWNER).unwrap();
        let root = model.open_dir(ROOT).unwrap();
        model.sync(root).unwrap();
        model.remove(&at(ROOT, "a"), false).unwrap();
        model.release(handle);
        assert_eq!(
            model.inodes.len(),
            2,
            "a cut that loses names brings it back"
        );
        model.sync(root).unwrap();
        model.release(root);
        let (_, handle) = model.create(&at(ROOT, "b"), OWNER).unwrap();
        model.remove(&at(ROOT, "b"), false).unwrap();
        model.sync_root_for_test();
        model.release(handle);
        assert_eq!(model.inodes.len(), 1);
    }

    impl Model {
        fn sync_root_for_test(&mut self) {
            let root = self.open_dir(ROOT).unwrap();
            self.sync(root).unwrap();
            self.release(root);
        }
    }

    #[test]
    fn direct_access_must_be_aligned() {
        let mut model = Model::new(OWNER);
        let (_, handle) = model.create(&at(ROOT, "a"), OWNER).unwrap();
        assert_eq!(model.write(handle, 100, &[0; 512], true), Err(libc::EINVAL));
        assert_eq!(model.write(handle, 512, &[0; 100], true), Err(libc::EINVAL));
        assert_eq!(model.write(handle, 512, &[0; 512], true), Ok(512));
        assert_eq!(model.read(handle, 1, 512, true), Err(libc::EINVAL));
    }
}
