//! Direct files and file system calls, on the disk under the target directory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rt::executor::{self, ExecutorConfig};
use rt::file::{self, BLOCK, DirectFile, WriteBuffer, disarm_iopoll};
use rt::fs::{self, DirLock, DirLockError};

fn on_executor<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    make: impl FnOnce(PathBuf) -> Fut + Send + 'static,
) -> T {
    // Not /tmp: that may be memory, which knows no direct I/O.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().to_owned();
    let cfg = ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 1 << 20,
        ..Default::default()
    };
    executor::run(cfg, move || make(path)).unwrap()
}

/// Bytes that tell where they stand.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 + at % 251) as u8).collect()
}

async fn write(file: &DirectFile, bytes: &[u8], pos: u64) {
    let mut buffer = WriteBuffer::alloc(bytes.len());
    buffer.as_mut_slice().copy_from_slice(bytes);
    file.write_at(buffer, pos).await.unwrap();
}

#[test]
fn an_empty_file_made_first_can_be_written_and_read() {
    on_executor(|dir| async move {
        // Without the call the empty file would switch polling on, and every
        // read after it would fail.
        disarm_iopoll(&dir).await.unwrap();
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        assert_eq!(file.read_at(0, 100).await.unwrap().len(), 0);
        let bytes = pattern(5 * BLOCK);
        write(&file, &bytes, 0).await;
        file.fdatasync().await.unwrap();
        assert_eq!(*file.read_at(0, 5 * BLOCK).await.unwrap(), bytes[..]);
        file.close().await.unwrap();
        let file = DirectFile::open_read(dir.join("log")).await.unwrap();
        assert_eq!(*file.read_at(4000, 200).await.unwrap(), bytes[4000..4200]);
    });
}

#[test]
fn a_file_system_not_disarmed_is_refused() {
    on_executor(|dir| async move {
        let error = DirectFile::create(dir.join("log")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("disarm_iopoll"), "{error}");
        assert!(!dir.join("log").exists());
    });
}

#[test]
fn several_executors_disarm_the_same_directory_at_once() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let running: Vec<_> = (0..3)
        .map(|index| {
            let path = dir.path().to_owned();
            let cfg = ExecutorConfig {
                io_memory: 1 << 20,
                ..Default::default()
            };
            executor::spawn(cfg, move || async move {
                disarm_iopoll(&path).await.unwrap();
                let file = DirectFile::create(path.join(index.to_string()))
                    .await
                    .unwrap();
                write(&file, &pattern(BLOCK), 0).await;
                file.read_at(0, BLOCK).await.unwrap().to_vec()
            })
            .unwrap()
        })
        .collect();
    for executor in running {
        assert_eq!(executor.join().unwrap(), pattern(BLOCK));
    }
}

#[test]
fn a_read_across_the_end_gives_only_what_is_there() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let bytes = pattern(4196);
        std::fs::write(dir.join("log"), &bytes).unwrap();
        let file = DirectFile::open_read(dir.join("log")).await.unwrap();
        // The runtime's own read gives a hundred bytes here, half of them junk.
        assert_eq!(*file.read_at(4146, 1000).await.unwrap(), bytes[4146..]);
        for pos in [0, 1, 99, 4095, 4096, 4097, 4195, 4196, 4197, 1 << 40] {
            for len in [0, 1, 50, 100, 4096, 4097, 8192, 100_000] {
                let read = file.read_at(pos, len).await.unwrap();
                let from = bytes.len().min(usize::try_from(pos).unwrap());
                let to = bytes.len().min(from + len);
                assert_eq!(*read, bytes[from..to], "{len} bytes at {pos}");
            }
        }
    });
}

#[test]
fn writes_and_reads_at_any_place_agree() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        let mut model = vec![0; 64 * BLOCK];
        file.preallocate(model.len() as u64).await.unwrap();
        for (round, (at, blocks)) in [(3, 2), (0, 1), (10, 16), (9, 3), (60, 4)]
            .iter()
            .enumerate()
        {
            let bytes: Vec<u8> = pattern(blocks * BLOCK)
                .iter()
                .map(|byte| byte.wrapping_add(round as u8))
                .collect();
            write(&file, &bytes, (at * BLOCK) as u64).await;
            model[at * BLOCK..(at + blocks) * BLOCK].copy_from_slice(&bytes);
        }
        for (pos, len) in [
            (0, 64 * BLOCK),
            (12_287, 2),
            (5000, 40_000),
            (63 * BLOCK, BLOCK),
        ] {
            let read = file.read_at(pos as u64, len).await.unwrap();
            assert!(*read == model[pos..pos + len], "{len} bytes at {pos}");
            assert!(*read.clone() == *read);
        }
    });
}

#[test]
fn what_is_not_aligned_is_refused() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        // 512 is what sysfs says of many devices; we never go below a block.
        let error = file
            .write_at(WriteBuffer::alloc(BLOCK), 512)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for len in [0, 1, 512, BLOCK + 1] {
            let alloc = std::panic::catch_unwind(|| WriteBuffer::alloc(len));
            assert!(alloc.is_err(), "{len}");
        }
        assert_eq!(file.size().unwrap(), 0);
    });
}

#[test]
fn preallocating_grows_with_zeroes_and_never_shrinks() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        file.preallocate(0).await.unwrap();
        file.preallocate(1 << 20).await.unwrap();
        assert_eq!(file.size().unwrap(), 1 << 20);
        write(&file, &pattern(BLOCK), 0).await;
        file.preallocate(8192).await.unwrap();
        assert_eq!(file.size().unwrap(), 1 << 20);
        file.preallocate(2 << 20).await.unwrap();
        assert_eq!(file.size().unwrap(), 2 << 20);
        assert!(file.read_at(0, BLOCK).await.unwrap()[..] == pattern(BLOCK));
        let rest = file.read_at(BLOCK as u64, 1 << 20).await.unwrap();
        assert!(rest.iter().all(|&byte| byte == 0));
        file.truncate(5000).await.unwrap();
        assert_eq!(file.size().unwrap(), 5000);
        assert_eq!(file.read_at(4990, 100).await.unwrap().len(), 10);
    });
}

#[test]
fn the_size_is_that_of_the_open_file_not_of_the_name() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        write(&file, &pattern(BLOCK), 0).await;
        std::fs::rename(dir.join("log"), dir.join("log.deleted")).unwrap();
        assert_eq!(file.size().unwrap(), BLOCK as u64);
        std::fs::remove_file(dir.join("log.deleted")).unwrap();
        assert_eq!(file.size().unwrap(), BLOCK as u64);
        assert!(file.read_at(0, BLOCK).await.unwrap()[..] == pattern(BLOCK));
        file.truncate(100).await.unwrap();
        assert_eq!(file.size().unwrap(), 100);
    });
}

#[test]
fn create_refuses_what_exists_and_open_what_does_not() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let path = dir.join("log");
        assert_eq!(
            DirectFile::open(&path).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let file = DirectFile::create(&path).await.unwrap();
        let again = DirectFile::create(&path).await.unwrap_err();
        assert_eq!(
            again.raw_os_error(),
            Some(17),
            "EEXIST keeps its number: {again}"
        );
        // A handle keeps it open.
        let other = file.clone();
        file.close().await.unwrap();
        write(&other, &pattern(BLOCK), 0).await;
        let read_only = DirectFile::open_read(&path).await.unwrap();
        let refused = read_only
            .write_at(WriteBuffer::alloc(BLOCK), 0)
            .await
            .unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(9), "{refused}");
    });
}

#[test]
fn buffers_past_the_pool_come_from_the_heap_and_are_counted() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let before = file::buffer_stats();
        let held: Vec<_> = (0..40).map(|_| WriteBuffer::alloc(64 << 10)).collect();
        let stats = file::buffer_stats();
        let (pooled, heap) = (stats.pooled - before.pooled, stats.heap - before.heap);
        assert_eq!(pooled + heap, 40);
        // A pool of 1 MiB has room for less than 16 of them.
        assert!((1..16).contains(&pooled), "{stats:?}");
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        for (mut buffer, at) in held.into_iter().zip(0u8..) {
            buffer.as_mut_slice().fill(at);
            file.write_at(buffer, u64::from(at) << 16).await.unwrap();
        }
        for at in 0u8..40 {
            let read = file.read_at(u64::from(at) << 16, 64 << 10).await.unwrap();
            assert!(read.iter().all(|&byte| byte == at), "buffer {at}");
        }
        let again = WriteBuffer::alloc(64 << 10);
        assert_eq!(
            file::buffer_stats().heap,
            stats.heap,
            "the pool is free again"
        );
        assert_eq!(again.len(), 64 << 10);
    });
}

#[test]
fn buffers_are_registered_where_memory_may_be_locked() {
    let report = rt::host::probe();
    if report.ipc_lock || report.memlock.soft >= 64 << 20 {
        assert!(on_executor(|_| async { file::registered() }));
    }
}

#[test]
fn many_writes_may_be_under_way_at_once() {
    on_executor(|dir| async move {
        disarm_iopoll(&dir).await.unwrap();
        let file = DirectFile::create(dir.join("log")).await.unwrap();
        file.preallocate(64 * BLOCK as u64).await.unwrap();
        let writes: Vec<_> = (0u8..64)
            .map(|at| {
                let file = file.clone();
                rt::task::spawn(async move {
                    let mut buffer = WriteBuffer::alloc(BLOCK);
                    buffer.as_mut_slice().fill(at);
                    file.write_at(buffer, u64::from(at) * BLOCK as u64).await
                })
            })
            .collect();
        for write in writes {
            write.await.unwrap();
        }
        let read = file.read_at(0, 64 * BLOCK).await.unwrap();
        assert!(
            read.iter()
                .enumerate()
                .all(|(at, &byte)| usize::from(byte) == at / BLOCK)
        );
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    on_executor(|dir| async move {
        let top = dir.join("a/b");
        fs::create_dir_all(&top).await.unwrap();
        fs::create_dir_all(top.join("dir")).await.unwrap();
        fs::write_atomic(top.join("z"), b"zz".to_vec())
            .await
            .unwrap();
        fs::write_atomic(top.join("k"), b"old".to_vec())
            .await
            .unwrap();
        fs::write_atomic(top.join("k"), b"new one".to_vec())
            .await
            .unwrap();
        fs::sync_dir(&top).await.unwrap();
        let entries = fs::list(&top).await.unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.name.as_str(), e.is_dir))
            .collect();
        assert_eq!(seen, [("dir", true), ("k", false), ("z", false)]);
        assert_eq!((entries[1].len, entries[2].len), (7, 2));
        assert_eq!(fs::read(top.join("k")).await.unwrap(), b"new one");
        fs::rename(top.join("k"), top.join("l")).await.unwrap();
        fs::remove_file(top.join("z")).await.unwrap();
        assert_eq!(
            fs::read(top.join("k")).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::remove_dir_all(dir.join("a")).await.unwrap();
        assert_eq!(
            fs::list(&top).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let space = fs::space(&dir).await.unwrap();
        assert!(
            space.available > 0 && space.available <= space.total,
            "{space:?}"
        );
    });
}

#[test]
fn a_directory_is_locked_once() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lock = DirLock::acquire(dir.path()).unwrap();
    assert_eq!(lock.path(), dir.path().join(".lock"));
    let refused = DirLock::acquire(dir.path()).unwrap_err();
    assert!(matches!(refused, DirLockError::Held { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains(&dir.path().display().to_string()),
        "{refused}"
    );
    drop(lock);
    drop(DirLock::acquire(dir.path()).unwrap());
    let missing = DirLock::acquire(Path::new("/no/such/directory")).unwrap_err();
    assert!(matches!(missing, DirLockError::Io { .. }), "{missing}");
}
