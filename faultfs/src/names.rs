//! The names: directories, and which changes of theirs a power cut could take back.
//!
//! Owns two trees, the one seen now and the durable one, and between them the changes in the order they happened. As
//! in a journalling file system the order holds: syncing a directory makes durable all changes up to its last one,
//! and a torn cut keeps a beginning of the rest. Must never know contents, handles or faults.

use crate::seed::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// The number of the root directory, as FUSE wants it.
pub(crate) const ROOT: u64 = 1;

type Entries = BTreeMap<OsString, u64>;

/// One name in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: u64,
    pub(crate) name: OsString,
}

impl Place {
    pub(crate) fn new(dir: u64, name: &OsStr) -> Self {
        Self {
            dir,
            name: name.to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Link(Place, u64),
    MakeDir(Place, u64),
    Remove(Place),
    Rename(Place, Place),
}

impl Change {
    fn touches(&self, dir: u64) -> bool {
        match self {
            Self::Link(at, _) | Self::MakeDir(at, _) | Self::Remove(at) => at.dir == dir,
            Self::Rename(from, to) => from.dir == dir || to.dir == dir,
        }
    }
}

/// A tree of names; only directories have an entry of their own.
#[derive(Debug, Clone)]
struct Tree {
    dirs: BTreeMap<u64, Entries>,
}

impl Tree {
    fn new() -> Self {
        Self {
            dirs: BTreeMap::from([(ROOT, Entries::new())]),
        }
    }

    fn get(&self, at: &Place) -> Option<u64> {
        self.dirs.get(&at.dir)?.get(&at.name).copied()
    }

    fn put(&mut self, at: &Place, ino: u64) {
        // A directory that is gone by now took the change with it.
        if let Some(entries) = self.dirs.get_mut(&at.dir) {
            entries.insert(at.name.clone(), ino);
        }
    }

    fn take(&mut self, at: &Place) -> Option<u64> {
        self.dirs.get_mut(&at.dir)?.remove(&at.name)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link(at, ino) => self.put(at, *ino),
            Change::MakeDir(at, ino) => {
                self.put(at, *ino);
                self.dirs.insert(*ino, Entries::new());
            }
            Change::Remove(at) => {
                if let Some(ino) = self.take(at) {
                    self.dirs.remove(&ino);
                }
            }
            Change::Rename(from, to) => {
                if let Some(ino) = self.take(from) {
                    if let Some(replaced) = self.get(to) {
                        self.dirs.remove(&replaced);
                    }
                    self.put(to, ino);
                }
            }
        }
    }
}

/// All names of the file system.
#[derive(Debug)]
pub(crate) struct Names {
    now: Tree,
    durable: Tree,
    pending: Vec<Change>,
    /// Where each linked inode is now; for paths.
    places: BTreeMap<u64, Place>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            now: Tree::new(),
            durable: Tree::new(),
            pending: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, at: &Place) -> Option<u64> {
        self.now.get(at)
    }

    pub(crate) fn is_dir(&self, ino: u64) -> bool {
        self.now.dirs.contains_key(&ino)
    }

    /// The names in a directory; `None` when it isn't one.
    pub(crate) fn entries(&self, dir: u64) -> Option<&Entries> {
        self.now.dirs.get(&dir)
    }

    /// The directory that holds this one; the root holds itself.
    pub(crate) fn parent(&self, dir: u64) -> u64 {
        self.places.get(&dir).map_or(ROOT, |at| at.dir)
    }

    pub(crate) fn is_linked(&self, ino: u64) -> bool {
        ino == ROOT || self.places.contains_key(&ino)
    }

    /// The path from the root, without a leading slash; empty for the root and for what has no name any more.
    pub(crate) fn path(&self, ino: u64) -> String {
        let mut parts = Vec::new();
        let mut at = ino;
        while let Some(place) = self.places.get(&at) {
            parts.push(place.name.to_string_lossy());
            at = place.dir;
        }
        parts.reverse();
        parts.join("/")
    }

    pub(crate) fn link(&mut self, at: Place, ino: u64) {
        self.change(Change::Link(at.clone(), ino));
        self.places.insert(ino, at);
    }

    pub(crate) fn make_dir(&mut self, at: Place, ino: u64) {
        self.change(Change::MakeDir(at.clone(), ino));
        self.places.insert(ino, at);
    }

    /// Takes a name away; gives what it named.
    pub(crate) fn remove(&mut self, at: Place) -> Option<u64> {
        let ino = self.now.get(&at)?;
        self.places.remove(&ino);
        self.change(Change::Remove(at));
        Some(ino)
    }

    /// Renames; gives what the new name stood for before.
    pub(crate) fn rename(&mut self, from: Place, to: Place) -> Option<u64> {
        let ino = self.now.get(&from)?;
        let replaced = self.now.get(&to).filter(|other| *other != ino);
        if let Some(other) = replaced {
            self.places.remove(&other);
        }
        self.places.insert(ino, to.clone());
        self.change(Change::Rename(from, to));
        replaced
    }

    fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.pending.push(change);
    }

    /// What fsync of a directory does.
    pub(crate) fn sync(&mut self, dir: u64) {
        if let Some(last) = self.pending.iter().rposition(|change| change.touches(dir)) {
            self.commit(last + 1);
        }
    }

    fn commit(&mut self, count: usize) {
        for change in self.pending.drain(..count) {
            self.durable.apply(&change);
        }
    }

    /// A power cut. `keep_all` is a file system that never loses a name; with `rng` a random beginning of what is
    /// not synced is kept, else nothing of it.
    pub(crate) fn cut(&mut self, keep_all: bool, rng: Option<&mut Rng>) {
        let kept = match (keep_all, rng) {
            (true, _) => self.pending.len(),
            (false, Some(rng)) => rng.up_to(self.pending.len()),
            (false, None) => 0,
        };
        self.commit(kept);
        self.pending.clear();
        self.now = self.durable.clone();
        self.places = self
            .now
            .dirs
            .iter()
            .flat_map(|(dir, entries)| {
                entries
                    .iter()
                    .map(|(name, ino)| (*ino, Place::new(*dir, name)))
            })
            .collect();
    }

    /// Every inode that a name stands for now, or could after a power cut.
    pub(crate) fn reachable(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Link(_, ino) | Change::MakeDir(_, ino) => Some(*ino),
            Change::Remove(_) | Change::Rename(..) => None,
        });
        let named = |tree: &Tree| -> Vec<u64> {
            tree.dirs
                .values()
                .flat_map(|e| e.values().copied())
                .collect()
        };
        let mut all: BTreeSet<u64> = named(&self.now)
            .into_iter()
            .chain(named(&self.durable))
            .chain(pending)
            .collect();
        all.insert(ROOT);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dir: u64, name: &str) -> Place {
        Place::new(dir, OsStr::new(name))
    }

    #[test]
    fn a_name_not_synced_is_lost_and_a_synced_one_stays() {
        let mut names = Names::new();
        names.make_dir(at(ROOT, "topic"), 2);
        names.sync(ROOT);
        names.link(at(2, "a.log"), 3);
        names.sync(2);
        names.link(at(2, "b.log"), 4);
        assert_eq!(names.path(4), "topic/b.log");
        names.cut(false, None);
        assert_eq!(names.get(&at(2, "a.log")), Some(3));
        assert_eq!(names.get(&at(2, "b.log")), None);
        assert!(!names.is_linked(4));
    }

    #[test]
    fn a_rename_is_there_whole_or_not_at_all() {
        let mut names = Names::new();
        names.link(at(ROOT, "file"), 2);
        names.sync(ROOT);
        names.link(at(ROOT, "file.tmp"), 3);
        assert_eq!(
            names.rename(at(ROOT, "file.tmp"), at(ROOT, "file")),
            Some(2)
        );
        assert!(
            names.reachable().contains(&2),
            "a cut can bring the old file back"
        );
        names.cut(false, None);
        assert_eq!(names.get(&at(ROOT, "file")), Some(2));
        assert_eq!(names.get(&at(ROOT, "file.tmp")), None);
    }

    #[test]
    fn a_torn_cut_keeps_a_beginning_of_the_changes() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut names = Names::new();
            for ino in 2..7 {
                names.link(at(ROOT, &ino.to_string()), ino);
            }
            names.cut(false, Some(&mut Rng::new(seed)));
            let kept: Vec<u64> = names
                .entries(ROOT)
                .map(|e| e.values().copied().collect())
                .unwrap_or_default();
            assert_eq!(kept, (2..2 + kept.len() as u64).collect::<Vec<_>>());
            seen.insert(kept.len());
        }
        assert_eq!(seen.len(), 6, "every length from none to all");
    }

    #[test]
    fn removal_not_synced_is_undone_only_when_names_can_be_lost() {
        for (keep_all, left) in [(true, None), (false, Some(2))] {
            let mut names = Names::new();
            names.link(at(ROOT, "file"), 2);
            names.sync(ROOT);
            assert_eq!(names.remove(at(ROOT, "file")), Some(2));
            names.cut(keep_all, None);
            assert_eq!(names.get(&at(ROOT, "file")), left);
        }
    }
}
