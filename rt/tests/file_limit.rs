//! Short writes, made by the limit on the length of files. A process of its
//! own, since the limit is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rt::executor::{self, ExecutorConfig};
use rt::file::{BLOCK, DirectFile, WriteBuffer, disarm_iopoll};

#[test]
fn a_short_write_is_gone_on_with_and_never_taken_for_whole() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().to_owned();
    // SAFETY: sets how a signal is handled; no other thread runs yet.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let (error, size) = executor::run(ExecutorConfig::default(), move || async move {
        disarm_iopoll(&path).await.unwrap();
        let file = DirectFile::create(path.join("log")).await.unwrap();
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the kernel writes one rlimit.
        unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
        limit.rlim_cur = 2 * BLOCK as u64;
        // SAFETY: the kernel reads one rlimit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let mut buffer = WriteBuffer::alloc(4 * BLOCK);
        buffer.as_mut_slice().fill(7);
        let error = file.write_at(buffer, 0).await.unwrap_err();
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let read = file.read_at(0, 4 * BLOCK).await.unwrap();
        assert!(read.iter().all(|&byte| byte == 7));
        (error, file.size().unwrap())
    })
    .unwrap();
    // The kernel took two blocks and said so; the second write met the limit.
    assert_eq!(error.raw_os_error(), Some(libc::EFBIG), "{error}");
    assert_eq!(size, 2 * BLOCK as u64);
}
