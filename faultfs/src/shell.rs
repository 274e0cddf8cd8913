//! The file system as FUSE asks for it: each request goes to the model, each answer back, later when so asked.
//!
//! Owns nothing but the way. Nothing is cached by the kernel: attributes and names are good for no time, files are
//! opened past the page cache. So what the model holds is what programs see, after a power cut too.

use crate::delays::Delays;
use crate::faults::Op;
use crate::model::{Attributes, Errno, Model, Owner};
use crate::names::Place;
use fuser::consts::FOPEN_DIRECT_IO;
use fuser::{
    FileAttr, FileType, Filesystem, KernelConfig, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
};
use std::ffi::OsStr;
use std::os::raw::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Nothing may be cached.
const NO_TIME: Duration = Duration::ZERO;
const MAX_WRITE: u32 = 1 << 20;
const NAME_MAX: u32 = 255;

pub(crate) struct Shell {
    model: Arc<Mutex<Model>>,
    delays: Delays,
}

/// The model, also after a panic under its lock: a test that failed must not hang the ones using the tree.
pub(crate) fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shell {
    pub(crate) fn new(model: Arc<Mutex<Model>>, delays: Delays) -> Self {
        Self { model, delays }
    }

    /// Does it now, and gives the result to `answer` after this kind of operation's latency.
    fn run<T: Send + 'static>(
        &self,
        op: Op,
        act: impl FnOnce(&mut Model) -> Result<T, Errno>,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        let (wait, result) = {
            let mut model = lock(&self.model);
            (model.latency(op), act(&mut model))
        };
        self.delays.after(wait, move || answer(result));
    }

    fn answer_empty(
        &self,
        op: Op,
        reply: ReplyEmpty,
        act: impl FnOnce(&mut Model) -> Result<(), Errno>,
    ) {
        self.run(op, act, move |result| match result {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        });
    }
}

fn file_attr(attributes: &Attributes) -> FileAttr {
    let time = attributes.changed;
    FileAttr {
        ino: attributes.ino,
        size: attributes.size,
        blocks: attributes.blocks * (crate::content::BLOCK / 512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: if attributes.is_dir {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: (attributes.owner.mode & 0o7777) as u16,
        nlink: attributes.links,
        uid: attributes.owner.uid,
        gid: attributes.owner.gid,
        rdev: 0,
        blksize: crate::content::BLOCK as u32,
        flags: 0,
    }
}

fn owner(request: &Request<'_>, mode: u32, umask: u32) -> Owner {
    Owner {
        mode: mode & !umask,
        uid: request.uid(),
        gid: request.gid(),
    }
}

fn is_direct(flags: i32) -> bool {
    flags & libc::O_DIRECT != 0
}

/// FUSE's offsets are signed; the kernel checked that they aren't negative.
fn unsigned(offset: i64) -> u64 {
    offset.unsigned_abs()
}

impl Filesystem for Shell {
    fn init(&mut self, _: &Request<'_>, config: &mut KernelConfig) -> Result<(), c_int> {
        config.set_max_write(MAX_WRITE).map_err(|_| libc::EINVAL)?;
        // Several direct requests of one file under way at once; without it the kernel sends one after the other.
        config
            .add_capabilities(fuser::consts::FUSE_ASYNC_DIO)
            .map_err(|_| libc::EPROTO)
    }

    fn lookup(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEntry) {
        match lock(&self.model).lookup(&Place::new(parent, name)) {
            Ok(found) => reply.entry(&NO_TIME, &file_attr(&found), 0),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&mut self, _: &Request<'_>, ino: u64, _: Option<u64>, reply: ReplyAttr) {
        match lock(&self.model).attributes(ino) {
            Ok(found) => reply.attr(&NO_TIME, &file_attr(&found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &mut self,
        _: &Request<'_>,
        ino: u64,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<u64>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<u32>,
        reply: ReplyAttr,
    ) {
        let act = move |model: &mut Model| {
            if let Some(size) = size {
                model.truncate(ino, size)?;
            }
            model.set_owner(ino, |owner| {
                owner.mode = mode.unwrap_or(owner.mode);
                owner.uid = uid.unwrap_or(owner.uid);
                owner.gid = gid.unwrap_or(owner.gid);
            })?;
            match mtime {
                Some(TimeOrNow::SpecificTime(time)) => model.set_changed(ino, time)?,
                Some(TimeOrNow::Now) => model.set_changed(ino, SystemTime::now())?,
                None => {}
            }
            model.attributes(ino)
        };
        self.run(Op::Truncate, act, move |result| match result {
            Ok(found) => reply.attr(&NO_TIME, &file_attr(&found)),
            Err(errno) => reply.error(errno),
        });
    }

    fn mkdir(
        &mut self,
        request: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let (at, owner) = (Place::new(parent, name), owner(request, mode, umask));
        self.run(
            Op::Names,
            move |model| model.make_dir(&at, owner),
            move |result| match result {
                Ok(made) => reply.entry(&NO_TIME, &file_attr(&made), 0),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn create(
        &mut self,
        request: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let (at, owner) = (Place::new(parent, name), owner(request, mode, umask));
        self.run(
            Op::Names,
            move |model| model.create(&at, owner),
            move |result| match result {
                Ok((made, handle)) => {
                    reply.created(&NO_TIME, &file_attr(&made), 0, handle, FOPEN_DIRECT_IO);
                }
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn unlink(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let at = Place::new(parent, name);
        self.answer_empty(Op::Names, reply, |model| model.remove(&at, false));
    }

    fn rmdir(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        let at = Place::new(parent, name);
        self.answer_empty(Op::Names, reply, |model| model.remove(&at, true));
    }

    fn rename(
        &mut self,
        _: &Request<'_>,
        parent: u64,
        name: &OsStr,
        new_parent: u64,
        new_name: &OsStr,
        flags: u32,
        reply: ReplyEmpty,
    ) {
        if flags & !libc::RENAME_NOREPLACE != 0 {
            return reply.error(libc::EINVAL);
        }
        let (from, to) = (Place::new(parent, name), Place::new(new_parent, new_name));
        self.answer_empty(Op::Names, reply, |model| {
            model.rename(&from, &to, flags != 0)
        });
    }

    fn open(&mut self, _: &Request<'_>, ino: u64, _: i32, reply: ReplyOpen) {
        self.run(
            Op::Open,
            move |model| model.open(ino),
            move |result| match result {
                Ok(handle) => reply.opened(handle, FOPEN_DIRECT_IO),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        _: u64,
        handle: u64,
        offset: i64,
        size: u32,
        flags: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        let act = |model: &mut Model| model.read(handle, unsigned(offset), size, is_direct(flags));
        self.run(Op::Read, act, move |result| match result {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        });
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        _: u64,
        handle: u64,
        offset: i64,
        data: &[u8],
        _: u32,
        flags: i32,
        _: Option<u64>,
        reply: ReplyWrite,
    ) {
        let act = |model: &mut Model| model.write(handle, unsigned(offset), data, is_direct(flags));
        self.run(Op::Write, act, move |result| match result {
            Ok(written) => reply.written(written),
            Err(errno) => reply.error(errno),
        });
    }

    fn flush(&mut self, _: &Request<'_>, _: u64, _: u64, _: u64, reply: ReplyEmpty) {
        // Closing makes nothing durable.
        reply.ok();
    }

    fn fsync(&mut self, _: &Request<'_>, _: u64, handle: u64, _: bool, reply: ReplyEmpty) {
        self.answer_empty(Op::Sync, reply, |model| model.sync(handle));
    }

    fn fsyncdir(&mut self, _: &Request<'_>, _: u64, handle: u64, _: bool, reply: ReplyEmpty) {
        self.answer_empty(Op::Sync, reply, |model| model.sync(handle));
    }

    fn fallocate(
        &mut self,
        _: &Request<'_>,
        _: u64,
        handle: u64,
        offset: i64,
        length: i64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (offset, length) = (unsigned(offset), unsigned(length));
        self.answer_empty(Op::Allocate, reply, |model| {
            model.allocate(handle, offset, length, mode)
        });
    }

    fn release(
        &mut self,
        _: &Request<'_>,
        _: u64,
        handle: u64,
        _: i32,
        _: Option<u64>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.model).release(handle);
        reply.ok();
    }

    fn opendir(&mut self, _: &Request<'_>, ino: u64, _: i32, reply: ReplyOpen) {
        match lock(&self.model).open_dir(ino) {
            Ok(handle) => reply.opened(handle, 0),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &mut self,
        _: &Request<'_>,
        _: u64,
        handle: u64,
        offset: i64,
        mut reply: ReplyDirectory,
    ) {
        let model = lock(&self.model);
        let listing = match model.listing(handle) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(errno),
        };
        let from = usize::try_from(offset).unwrap_or(0);
        for (number, (ino, is_dir, name)) in listing.iter().enumerate().skip(from) {
            let kind = if *is_dir {
                FileType::Directory
            } else {
                FileType::RegularFile
            };
            // The offset of an entry is where reading goes on after it.
            if reply.add(*ino, number as i64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&mut self, _: &Request<'_>, _: u64, handle: u64, _: i32, reply: ReplyEmpty) {
        lock(&self.model).release(handle);
        reply.ok();
    }

    fn statfs(&mut self, _: &Request<'_>, _: u64, reply: ReplyStatfs) {
        let (total, free) = lock(&self.model).space();
        let block = crate::content::BLOCK as u32;
        reply.statfs(total, free, free, 1 << 20, 1 << 20, block, NAME_MAX, block);
    }
}
