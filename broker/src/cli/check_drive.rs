//! What `ottla check` finds out about a data directory: its file system, whether direct I/O works
//! there, how long a small write and making it durable take, and how much room there is.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::check::{Finding, State};
use super::table::sized;
use crate::config::amount::Amount;

/// What direct I/O is aligned to.
const BLOCK: usize = 4096;
/// How many writes are timed.
const WRITES: usize = 64;
/// The file that is written; it never outlives the check.
const PROBE_FILE: &str = ".ottla-check";
/// A write or sync that takes this long at the median is not that of a drive for logs.
const SLOW_WRITE: Duration = Duration::from_millis(5);
const SLOW_SYNC: Duration = Duration::from_millis(30);

/// Looks at one data directory; where it isn't there yet, at the directory it would be made in.
pub(crate) fn look(dir: &Path, reserve: Amount) -> Vec<Finding> {
    let what = dir.display().to_string();
    let mut findings = Vec::new();
    let there = match existing(dir) {
        Ok(there) => there,
        Err(error) => {
            let advice = "give a data directory that this user can make and write to";
            return vec![Finding::bad(what, State::Unfit, error.to_string(), advice)];
        }
    };
    findings.push(file_system(&what, &there));
    findings.push(room(&what, &there, reserve));
    findings.extend(direct_io(&what, &there));
    findings
}

/// The directory itself or the nearest one above it.
fn existing(dir: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(dir)?;
    for above in absolute.ancestors() {
        match fs::metadata(above) {
            Ok(about) if about.is_dir() => return Ok(above.to_owned()),
            Ok(_) => {
                return Err(io::Error::other(format!(
                    "{} is not a directory",
                    above.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn file_system(what: &str, dir: &Path) -> Finding {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let canonical = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    judge_file_system(what, file_system_of(&mounts, &canonical))
}

/// The type of the file system a path lies on: that of the longest mount point above it, the last
/// mounted where there are several.
fn file_system_of(mounts: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(point), Some(kind)) = (fields.nth(1), fields.next()) else {
            continue;
        };
        let point = PathBuf::from(point.replace("\\040", " "));
        let depth = point.components().count();
        if path.starts_with(&point) && best.is_none_or(|(deepest, _)| depth >= deepest) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

fn judge_file_system(what: &str, kind: Option<String>) -> Finding {
    let advice = "use XFS or ext4 on a drive of its own";
    match kind.as_deref() {
        Some(kind @ ("xfs" | "ext4")) => Finding::good(what, format!("file system {kind}")),
        Some(kind @ ("tmpfs" | "ramfs")) => Finding::bad(
            what,
            State::Poor,
            format!("file system {kind}: nothing survives a restart"),
            advice,
        ),
        Some(kind) => Finding::bad(
            what,
            State::Poor,
            format!("file system {kind}: not tried"),
            advice,
        ),
        None => Finding::bad(what, State::Poor, "file system unknown", advice),
    }
}

fn room(what: &str, dir: &Path, reserve: Amount) -> Finding {
    let (total, available) = match space(dir) {
        Ok(space) => space,
        Err(error) => {
            return Finding::bad(
                what,
                State::Poor,
                format!("free space unknown: {error}"),
                "check with df",
            );
        }
    };
    let found = format!("{} free of {}", sized(available), sized(total));
    if available <= reserve.of(total) {
        let advice = format!(
            "writes are refused below {reserve} of free space: make room, or lower --drive-reserve"
        );
        return Finding::bad(what, State::Unfit, found, advice);
    }
    if available < total / 10 {
        return Finding::bad(
            what,
            State::Poor,
            found,
            "less than a tenth is free: make room, or keep less (retention)",
        );
    }
    Finding::good(what, found)
}

/// Total and available bytes of the file system.
fn space(dir: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero byte, and the kernel writes one statvfs, which is plain
    // numbers.
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init()
    };
    Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}

/// Removes the probe's file however the probe ends.
struct Probe {
    path: PathBuf,
    file: File,
}

impl Probe {
    fn create(dir: &Path) -> io::Result<Self> {
        // The process id keeps two checks at once apart.
        let path = dir.join(format!("{PROBE_FILE}-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let options = options
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_DIRECT);
        let file = options.open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It is a few hundred kilobytes with a name that says whose it is; there is nothing else
        // to do.
        let _left_behind = fs::remove_file(&self.path);
    }
}

fn direct_io(what: &str, dir: &Path) -> Vec<Finding> {
    match timed_writes(dir) {
        Ok(times) => times.judge(what),
        Err(error) => {
            let advice = match error.kind() {
                io::ErrorKind::PermissionDenied => "let the user that runs the node write there",
                _ => "direct I/O (O_DIRECT) must work there: use XFS or ext4 on a local drive",
            };
            vec![Finding::bad(
                what,
                State::Unfit,
                format!("direct writes fail: {error}"),
                advice,
            )]
        }
    }
}

/// Median and worst-but-one-in-a-hundred of writes and syncs.
struct Times {
    write: (Duration, Duration),
    sync: (Duration, Duration),
}

impl Times {
    fn judge(&self, what: &str) -> Vec<Finding> {
        let shown = |(median, high): (Duration, Duration)| {
            format!("p50 {} µs, p99 {} µs", median.as_micros(), high.as_micros())
        };
        let one = |name: &str, times: (Duration, Duration), slow: Duration, advice: &str| {
            let found = format!("{name} {}", shown(times));
            if times.0 > slow {
                Finding::bad(what, State::Poor, found, advice)
            } else {
                Finding::good(what, found)
            }
        };
        vec![
            one(
                "direct write of 4 KiB",
                self.write,
                SLOW_WRITE,
                "a local SSD or NVMe drive is what a log is for",
            ),
            one(
                "fdatasync",
                self.sync,
                SLOW_SYNC,
                "topics with flush.messages=1 will be slow; a drive with power-loss protection syncs at once",
            ),
        ]
    }
}

fn timed_writes(dir: &Path) -> io::Result<Times> {
    let probe = Probe::create(dir)?;
    // Room for one aligned block, wherever the allocation lies.
    let memory = vec![0x5a_u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = memory
        .get(start..start + BLOCK)
        .ok_or_else(|| io::Error::other("no aligned memory"))?;
    // Blocks that were never written are slower, and a log's are allocated ahead.
    for at in 0..WRITES {
        probe.file.write_all_at(block, (at * BLOCK) as u64)?;
    }
    probe.file.sync_data()?;
    let (mut writes, mut syncs) = (Vec::with_capacity(WRITES), Vec::with_capacity(WRITES));
    for at in 0..WRITES {
        let begun = Instant::now();
        probe.file.write_all_at(block, (at * BLOCK) as u64)?;
        writes.push(begun.elapsed());
        let begun = Instant::now();
        probe.file.sync_data()?;
        syncs.push(begun.elapsed());
    }
    Ok(Times {
        write: percentiles(writes),
        sync: percentiles(syncs),
    })
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    (at(50), at(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /mnt/a\\040b xfs rw 0 0
overlay /mnt/c overlay rw 0 0
/dev/vdc /mnt/c xfs rw 0 0
";

    #[test]
    fn the_file_system_is_that_of_the_deepest_and_latest_mount() {
        let of = |path: &str| file_system_of(MOUNTS, Path::new(path));
        assert_eq!(of("/var/lib").as_deref(), Some("ext4"));
        assert_eq!(of("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(of("/tmpx").as_deref(), Some("ext4"));
        assert_eq!(of("/mnt/a b/c").as_deref(), Some("xfs"));
        assert_eq!(of("/mnt/c/d").as_deref(), Some("xfs"));
        assert_eq!(file_system_of("", Path::new("/")), None);
        assert_eq!(judge_file_system("d", of("/var")).state, State::Good);
        assert_eq!(judge_file_system("d", of("/tmp")).state, State::Poor);
    }

    #[test]
    fn a_directory_yet_to_be_made_is_judged_by_the_one_above_and_left_as_it_was() {
        let folder = tempfile::TempDir::new().unwrap();
        let wanted = folder.path().join("a/b");
        assert_eq!(existing(&wanted).unwrap(), folder.path());
        let findings = look(&wanted, Amount::Share(0));
        assert!(findings.len() >= 3, "{findings:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(
            look(&file.join("d"), Amount::Share(0))[0].state,
            State::Unfit
        );
    }

    #[test]
    fn too_little_room_is_unfit() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(
            room("d", folder.path(), Amount::Share(10_000)).state,
            State::Unfit
        );
        assert_ne!(
            room("d", folder.path(), Amount::Bytes(1)).state,
            State::Unfit
        );
    }

    #[test]
    fn slow_drives_are_told() {
        let fast = (Duration::from_micros(50), Duration::from_micros(90));
        let slow = (Duration::from_millis(40), Duration::from_millis(90));
        let states = |write, sync| {
            Times { write, sync }
                .judge("d")
                .iter()
                .map(|f| f.state)
                .collect::<Vec<_>>()
        };
        assert_eq!(states(fast, fast), [State::Good, State::Good]);
        assert_eq!(states(slow, slow), [State::Poor, State::Poor]);
    }
}
