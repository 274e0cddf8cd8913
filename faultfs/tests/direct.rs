//! Direct I/O through io_uring, by the runtime the broker uses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use faultfs::{Fault, FaultFs, Op, PowerCut};
use rt::executor::{ExecutorConfig, run};
use rt::file::{BLOCK, DirectFile, WriteBuffer, disarm_iopoll};
use std::path::PathBuf;

fn filled(len: usize, with: u8) -> WriteBuffer {
    let mut buffer = WriteBuffer::alloc(len);
    buffer.as_mut_slice().fill(with);
    buffer
}

/// Runs on an executor; the file system is served by another thread of this process.
fn on_executor<Fut: Future<Output = ()> + 'static>(
    make: impl FnOnce(PathBuf) -> Fut + Send + 'static,
) -> (tempfile::TempDir, FaultFs) {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::mount(dir.path()).unwrap();
    rt::host::prepare().unwrap();
    let path = tree.path().to_owned();
    run(ExecutorConfig::default(), move || async move {
        disarm_iopoll(&path).await.unwrap();
        make(path).await;
    })
    .unwrap();
    (dir, tree)
}

#[test]
fn preallocated_files_are_written_and_read_in_blocks() {
    let (_dir, tree) = on_executor(|dir| async move {
        let file = DirectFile::create(dir.join("0.log")).await.unwrap();
        file.preallocate(64 << 20).await.unwrap();
        assert_eq!(file.size().unwrap(), 64 << 20);
        for number in 0..64u8 {
            let len = BLOCK * (1 + usize::from(number) % 64);
            file.write_at(filled(len, number), u64::from(number) << 20)
                .await
                .unwrap();
        }
        file.write_at(filled(1 << 20, 200), 10 << 20).await.unwrap();
        file.fdatasync().await.unwrap();
        let read = file.read_at((10 << 20) + 100, 300_000).await.unwrap();
        assert_eq!(read.len(), 300_000);
        assert!(read.iter().all(|b| *b == 200));
        assert!(
            file.read_at(BLOCK as u64, BLOCK)
                .await
                .unwrap()
                .iter()
                .all(|b| *b == 0)
        );
        file.truncate(5000).await.unwrap();
        assert_eq!(file.read_at(4096, 100_000).await.unwrap().len(), 904);
        file.close().await.unwrap();
        rt::fs::sync_dir(&dir).await.unwrap();
    });
    assert_eq!(
        std::fs::metadata(tree.path().join("0.log")).unwrap().len(),
        5000
    );
    let syncs = tree.controls().stats().unwrap().asked(Op::Sync);
    assert!(
        (2..=3).contains(&syncs),
        "the file's and the directory's, and what disarming did: {syncs}"
    );
}

#[test]
fn many_writes_are_under_way_at_once() {
    let (_dir, tree) = on_executor(|dir| async move {
        let file = DirectFile::create(dir.join("0.log")).await.unwrap();
        file.preallocate(32 << 20).await.unwrap();
        let writes: Vec<_> = (0..128u64)
            .map(|number| {
                let file = file.clone();
                rt::task::spawn(async move {
                    file.write_at(filled(64 << 10, number as u8), number * (64 << 10))
                        .await
                        .unwrap();
                })
            })
            .collect();
        for write in writes {
            write.await;
        }
        for number in (0..128u64).rev() {
            let read = file.read_at(number * (64 << 10), 64 << 10).await.unwrap();
            assert!(read.iter().all(|b| *b == number as u8));
        }
        file.close().await.unwrap();
    });
    let written = tree.controls().stats().unwrap().bytes_written;
    assert!(
        (8 << 20..(8 << 20) + 8192).contains(&written),
        "the data, and what disarming wrote: {written}"
    );
}

#[test]
fn errors_arrive_as_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let tree = FaultFs::mount(dir.path()).unwrap();
    let controls = tree.controls();
    rt::host::prepare().unwrap();
    let path = tree.path().to_owned();
    run(ExecutorConfig::default(), move || async move {
        disarm_iopoll(&path).await.unwrap();
        let file = DirectFile::create(path.join("0.log")).await.unwrap();
        file.preallocate(1 << 20).await.unwrap();
        file.write_at(filled(BLOCK, 1), 0).await.unwrap();
        file.fdatasync().await.unwrap();
        controls.inject(Fault::eio(&[Op::Write])).unwrap();
        let failed = file.write_at(filled(BLOCK, 2), 0).await.unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(libc::EIO), "{failed}");
        controls.heal().unwrap();
        controls.inject(Fault::eio(&[Op::Sync])).unwrap();
        assert!(file.fdatasync().await.is_err());
        controls.heal().unwrap();
        controls.set_capacity(Some(1 << 20)).unwrap();
        let full = file.preallocate(2 << 20).await.unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC), "{full}");
        let full = file.write_at(filled(BLOCK, 3), 1 << 20).await.unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC), "{full}");
        let space = rt::fs::space(&path).await.unwrap();
        assert_eq!(space.available, 0);
        file.write_at(filled(BLOCK, 4), 4096).await.unwrap();
        controls.power_cut(&PowerCut::clean()).unwrap();
        assert!(file.write_at(filled(BLOCK, 5), 0).await.is_err());
        let _closed = file.close().await;
        let file = DirectFile::open(path.join("0.log")).await.unwrap();
        let read = file.read_at(0, 2 * BLOCK).await.unwrap();
        assert!(read[..BLOCK].iter().all(|b| *b == 1) && read[BLOCK..].iter().all(|b| *b == 0));
        file.close().await.unwrap();
    })
    .unwrap();
}
