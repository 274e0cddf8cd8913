//! The open segment files and loaded indexes of a drive: both bounded, the least used go first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::{Rc, Weak};

use rt::file::DirectFile;

use crate::segment::Segment;

/// Most bytes of index files of one drive that are held in memory.
const INDEX_BYTES_MAX: usize = 32 << 20;

/// Open files and loaded indexes of one drive.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    open: RefCell<VecDeque<Weak<Segment>>>,
    indexes: RefCell<VecDeque<(Weak<Segment>, usize)>>,
    index_bytes: Cell<usize>,
}

impl OpenFiles {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            open: RefCell::default(),
            indexes: RefCell::default(),
            index_bytes: Cell::new(0),
        }
    }

    /// The segment's file, opened if it isn't.
    pub(crate) async fn get(&self, segment: &Rc<Segment>) -> io::Result<DirectFile> {
        if let Some(file) = segment.open_file() {
            return Ok(file);
        }
        // Another segment may have its name since.
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        if segment.state().removed {
            return Err(gone());
        }
        let opened = DirectFile::open(segment.path()).await?;
        // Somebody else may have opened it meanwhile.
        if let Some(file) = segment.open_file() {
            return Ok(file);
        }
        if segment.state().removed {
            return Err(gone());
        }
        self.insert(segment, opened.clone());
        Ok(opened)
    }

    /// Takes in a file that was just made.
    pub(crate) fn insert(&self, segment: &Rc<Segment>, file: DirectFile) {
        segment.set_file(Some(file));
        let mut open = self.open.borrow_mut();
        open.push_back(Rc::downgrade(segment));
        // Each is passed over once at most, so this ends.
        let mut second_chances = open.len();
        while open.len() > self.limit {
            let Some(oldest) = open.pop_front() else {
                return;
            };
            let Some(alive) = oldest.upgrade() else {
                continue;
            };
            if second_chances > 0 && alive.take_used() {
                second_chances -= 1;
                open.push_back(oldest);
            } else {
                alive.set_file(None);
            }
        }
    }

    /// Notes that a segment's indexes of so many bytes are now in memory.
    pub(crate) fn loaded(&self, segment: &Rc<Segment>, bytes: usize) {
        let mut indexes = self.indexes.borrow_mut();
        indexes.push_back((Rc::downgrade(segment), bytes));
        self.index_bytes.set(self.index_bytes.get() + bytes);
        while self.index_bytes.get() > INDEX_BYTES_MAX && indexes.len() > 1 {
            let Some((oldest, bytes)) = indexes.pop_front() else {
                return;
            };
            self.index_bytes.set(self.index_bytes.get() - bytes);
            if let Some(oldest) = oldest.upgrade() {
                let mut state = oldest.state();
                state.indexes.offsets.unload();
                state.indexes.times.unload();
            }
        }
    }
}
