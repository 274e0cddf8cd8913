//! A run's directory: results.json, the histograms, and the page. Each file is replaced as a whole, so that
//! a reader never sees half of one and a full disk leaves what was there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{figures, hdr, html};
use crate::results::{HistogramError, Line, Measured, Results, SCHEMA};

/// Where the figures are.
const RESULTS: &str = "results.json";
/// The page.
const PAGE: &str = "index.html";
/// Where the histograms are.
const HISTOGRAMS: &str = "histograms";

/// Results that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// No space.
    #[error(
        "the disk is full: {path} ({size}) could not be written; what stood there before is unchanged. \
         Free some space there, or have the results written to another disk"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// How much it would have been.
        size: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another trouble with writing.
    #[error(
        "{path} could not be written: {source}; see that its directory exists and may be written"
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("{path} could not be read: {source}; name a directory that a run has written")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else, or was cut.
    #[error("{path} is not the results of a run, or is damaged: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error(
        "{path} has schema {found}, and this loadgen knows {SCHEMA}: read it with the version that wrote it"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// A histogram in it is damaged.
    #[error("{path}: line {line} on {system}: {source}")]
    Histogram {
        /// The file.
        path: PathBuf,
        /// The line's id.
        line: String,
        /// The system.
        system: String,
        /// What is wrong with it.
        source: HistogramError,
    },
    /// A chart could not be drawn.
    #[error("the page's charts could not be drawn: {0}; results.json is whole")]
    Chart(String),
}

/// Where files go.
trait Place {
    /// Puts a file at a path, replacing what is there as a whole.
    fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Takes away a file, or a directory with all that is in it; what isn't there is no failure.
    fn take_away(&mut self, path: &Path) -> io::Result<()>;
}

/// The file system.
struct Disk;

impl Place for Disk {
    fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let unfinished = path.with_file_name(name);
        let written = (|| {
            let mut file = fs::File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            fs::File::open(folder)?.sync_all()
        })();
        if written.is_err() {
            // Half a file helps nobody and takes the space that is missing.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn take_away(&mut self, path: &Path) -> io::Result<()> {
        let taken = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        match taken {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            taken => taken,
        }
    }
}

/// Writes everything about a run into a directory, made if it isn't there. What was there of an earlier
/// state of the run is replaced, file by file; the figures come first, as everything can be made from them.
pub fn write(dir: &Path, results: &Results) -> Result<(), ReportError> {
    write_to(&mut Disk, dir, results)
}

/// Writes the figures only, where there is no room for everything: the page and the histograms are taken away for it,
/// as [`write`] makes them from the figures again, elsewhere or later.
pub fn write_figures(dir: &Path, results: &Results) -> Result<(), ReportError> {
    write_figures_to(&mut Disk, dir, results)
}

fn write_figures_to(
    place: &mut dyn Place,
    dir: &Path,
    results: &Results,
) -> Result<(), ReportError> {
    for path in [dir.join(PAGE), dir.join(HISTOGRAMS)] {
        place
            .take_away(&path)
            .map_err(|source| ReportError::Write { path, source })?;
    }
    put_figures(place, dir, results)
}

fn put_figures(place: &mut dyn Place, dir: &Path, results: &Results) -> Result<(), ReportError> {
    let path = dir.join(RESULTS);
    let mut json = serde_json::to_vec_pretty(results).map_err(|source| ReportError::Parse {
        path: path.clone(),
        source,
    })?;
    json.push(b'\n');
    put(place, path, &json)
}

fn write_to(place: &mut dyn Place, dir: &Path, results: &Results) -> Result<(), ReportError> {
    put_figures(place, dir, results)?;
    let mut names = BTreeSet::new();
    for line in &results.lines {
        let Some(measured) = line.outcome.measured() else {
            continue;
        };
        let name = file_name(line, &mut names);
        write_histograms(place, &dir.join(HISTOGRAMS), &name, results, line, measured)?;
    }
    put(place, dir.join(PAGE), html::page(results)?.as_bytes())
}

fn write_histograms(
    place: &mut dyn Place,
    dir: &Path,
    name: &str,
    results: &Results,
    line: &Line,
    measured: &Measured,
) -> Result<(), ReportError> {
    let mut any = false;
    for (kind, latency) in hdr::kinds(measured) {
        let path = dir.join(format!("{name}.{kind}.hgrm"));
        let histogram = latency.decode();
        let histogram = histogram.map_err(|source| ReportError::Histogram {
            path: path.clone(),
            line: line.id.clone(),
            system: line.system.name.clone(),
            source,
        })?;
        put(place, path, hdr::hgrm(&histogram).as_bytes())?;
        any = true;
    }
    if any {
        let path = dir.join(format!("{name}.hlog"));
        put(place, path, hdr::hlog(results, line, measured).as_bytes())?;
    }
    Ok(())
}

fn put(place: &mut dyn Place, path: PathBuf, bytes: &[u8]) -> Result<(), ReportError> {
    place.put(&path, bytes).map_err(|source| {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => ReportError::Full {
                size: figures::bytes(bytes.len() as u64),
                path,
                source,
            },
            _ => ReportError::Write { path, source },
        }
    })
}

/// A name for a line's files: what it is, in letters that are safe anywhere, and never the same twice.
fn file_name(line: &Line, taken: &mut BTreeSet<String>) -> String {
    let safe = |text: &str| -> String {
        let letters = text.chars().map(|c| match c {
            c if c.is_ascii_alphanumeric() || "-_".contains(c) => c,
            _ => '-',
        });
        letters.take(80).collect()
    };
    let repeat = line.repeat + 1;
    let name = format!("{}.{}.{repeat}", safe(&line.id), safe(&line.system.name));
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}.{number}");
        number += 1;
    }
    free
}

/// Reads the results in a directory (or the file itself).
pub fn load(dir: &Path) -> Result<Results, ReportError> {
    #[derive(Deserialize)]
    struct Numbered {
        schema: u32,
    }
    let path = if dir.is_file() {
        dir.to_owned()
    } else {
        dir.join(RESULTS)
    };
    let bytes = fs::read(&path).map_err(|source| ReportError::Read {
        path: path.clone(),
        source,
    })?;
    let parse = |source| ReportError::Parse {
        path: path.clone(),
        source,
    };
    let numbered: Numbered = serde_json::from_slice(&bytes).map_err(parse)?;
    if numbered.schema != SCHEMA {
        return Err(ReportError::Schema {
            path,
            found: numbered.schema,
        });
    }
    let results: Results = serde_json::from_slice(&bytes).map_err(parse)?;
    for line in &results.lines {
        let Some(measured) = line.outcome.measured() else {
            continue;
        };
        for (_, latency) in hdr::kinds(measured) {
            if let Err(source) = latency.decode() {
                return Err(ReportError::Histogram {
                    path,
                    line: line.id.clone(),
                    system: line.system.name.clone(),
                    source,
                });
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Machine;

    /// A place that is full after so many bytes.
    struct Small {
        free: usize,
        held: Vec<PathBuf>,
        error: i32,
    }

    impl Place for Small {
        fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            if bytes.len() > self.free {
                return Err(io::Error::from_raw_os_error(self.error));
            }
            self.free -= bytes.len();
            self.held.push(path.to_owned());
            Ok(())
        }

        fn take_away(&mut self, path: &Path) -> io::Result<()> {
            self.held.retain(|held| !held.starts_with(path));
            Ok(())
        }
    }

    fn nothing() -> Results {
        Results {
            schema: SCHEMA,
            suite: "s".to_owned(),
            version: "1".to_owned(),
            command: Vec::new(),
            started: String::new(),
            machine: Machine::default(),
            partial: None,
            lines: Vec::new(),
        }
    }

    #[test]
    fn a_full_disk_is_called_that() {
        let mut place = Small {
            free: 1000,
            held: Vec::new(),
            error: libc::ENOSPC,
        };
        let error = write_to(&mut place, Path::new("/out"), &nothing()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the disk is full"), "{text}");
        assert!(text.contains("/out/index.html"), "{text}");
        assert!(text.contains("Free some space"), "{text}");
        // The figures were written before the page had no room.
        assert_eq!(place.held, [Path::new("/out/results.json")]);
    }

    #[test]
    fn figures_take_the_room_of_what_can_be_made_again() {
        let mut place = Small {
            free: 1000,
            held: ["index.html", "histograms/a.hlog", "notes"]
                .map(|name| Path::new("/out").join(name))
                .into(),
            error: libc::ENOSPC,
        };
        write_figures_to(&mut place, Path::new("/out"), &nothing()).unwrap();
        let left = ["notes", "results.json"].map(|name| Path::new("/out").join(name));
        assert_eq!(place.held, left);
    }

    #[test]
    fn another_trouble_is_not_called_full() {
        let mut place = Small {
            free: 0,
            held: Vec::new(),
            error: libc::EACCES,
        };
        let error = write_to(&mut place, Path::new("/out"), &nothing()).unwrap_err();
        assert!(matches!(error, ReportError::Write { .. }), "{error}");
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        Disk.put(&path, b"old").unwrap();
        // Nothing can be made at a name that a directory has.
        fs::create_dir(dir.path().join("results.json.tmp")).unwrap();
        assert!(Disk.put(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
