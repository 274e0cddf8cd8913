//! Executors, tasks, blocking calls and timers, on real executors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use rt::executor::{self, ExecutorConfig, ExecutorError};
use rt::task::{self, Class};
use rt::time;

fn config() -> ExecutorConfig {
    ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 256 << 10,
        ..Default::default()
    }
}

fn on_executor<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    make: impl FnOnce() -> Fut + Send + 'static,
) -> T {
    executor::run(config(), make).unwrap()
}

/// Sets a flag when it is dropped.
struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn gives_back_what_the_main_task_gives() {
    let answer = on_executor(|| async {
        let shared = Rc::new(Cell::new(40));
        let theirs = Rc::clone(&shared);
        task::spawn(async move { theirs.set(theirs.get() + 2) }).await;
        shared.get()
    });
    assert_eq!(answer, 42);
}

#[test]
fn a_panic_in_any_task_is_reported() {
    let error = executor::run(config(), || async {
        task::spawn(async { panic!("the roof is on fire") }).detach();
        pending::<()>().await;
    })
    .unwrap_err();
    let ExecutorError::Panicked(panicked) = error else {
        panic!("{error}")
    };
    assert_eq!(panicked.name, "test");
    assert!(
        panicked.message.contains("the roof is on fire"),
        "{panicked}"
    );
}

#[test]
fn a_core_that_is_not_there_is_an_error() {
    let cfg = ExecutorConfig {
        core: Some(100_000),
        ..config()
    };
    let error = executor::spawn(cfg, || async {}).unwrap_err();
    assert!(
        matches!(error, ExecutorError::Core { core: 100_000, .. }),
        "{error}"
    );
}

#[test]
fn a_pinned_executor_keeps_its_blocking_calls_off_its_core() {
    let cores = executor::available_cores();
    let core = *cores.last().unwrap();
    let cfg = ExecutorConfig {
        core: Some(core),
        ..config()
    };
    let (own, blocking) = executor::run(cfg, || async {
        let own = executor::available_cores();
        (
            own,
            task::blocking(executor::available_cores).await.unwrap(),
        )
    })
    .unwrap();
    assert_eq!(own, [core]);
    assert_eq!(blocking, cores);
}

#[test]
fn spawning_does_not_poll() {
    on_executor(|| async {
        let value = Rc::new(RefCell::new(0));
        let held = value.borrow_mut();
        let theirs = Rc::clone(&value);
        let first = task::spawn(async move { *theirs.borrow_mut() += 1 });
        let theirs = Rc::clone(&value);
        let second = task::spawn_in(Class::Serve, async move { *theirs.borrow_mut() += 1 });
        drop(held);
        first.await;
        second.await;
        assert_eq!(*value.borrow(), 2);
    });
}

#[test]
fn every_class_runs() {
    let seen = on_executor(|| async {
        let mut seen = HashSet::new();
        for class in [Class::Serve, Class::Tail, Class::Cold, Class::Background] {
            seen.insert(task::spawn_in(class, async move { class }).await);
        }
        seen
    });
    assert_eq!(seen.len(), 4);
}

#[test]
fn dropping_a_task_cancels_it_and_cancel_waits_for_that() {
    on_executor(|| async {
        let dropped = Rc::new(Cell::new(false));
        let guard = OnDrop(Rc::clone(&dropped));
        drop(task::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        task::yield_now().await;
        assert!(
            dropped.get(),
            "dropped, the task goes when the executor next runs"
        );

        let dropped = Rc::new(Cell::new(false));
        let guard = OnDrop(Rc::clone(&dropped));
        let running = task::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        task::yield_now().await;
        assert!(running.cancel().await.is_none());
        assert!(dropped.get());

        let done = task::spawn(async { 7 });
        task::yield_now().await;
        assert_eq!(done.cancel().await, Some(7));
    });
}

#[test]
fn a_detached_task_goes_on() {
    on_executor(|| async {
        let ran = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&ran);
        task::spawn(async move { theirs.set(true) }).detach();
        task::yield_now().await;
        assert!(ran.get());
    });
}

#[test]
fn a_busy_task_that_yields_lets_outside_wakes_in() {
    on_executor(|| async {
        let stop = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&stop);
        // Ends only if the blocking thread's answer gets through to us.
        let busy = task::spawn_in(Class::Background, async move {
            while !theirs.get() {
                task::yield_if_needed().await;
            }
        });
        task::spawn_in(Class::Serve, async { task::blocking(|| ()).await })
            .await
            .unwrap();
        stop.set(true);
        busy.await;
    });
}

#[test]
fn a_panic_in_a_blocking_call_is_an_error_and_the_next_call_works() {
    on_executor(|| async {
        for round in 0..5 {
            let panicked = task::blocking(move || -> u8 { panic!("round {round}") }).await;
            assert_eq!(panicked.unwrap_err().message, format!("round {round}"));
            assert_eq!(task::blocking(move || round).await.unwrap(), round);
        }
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        rt::fs::write_atomic(dir.path().join("a"), b"x".to_vec())
            .await
            .unwrap();
        rt::fs::rename(dir.path().join("a"), dir.path().join("b"))
            .await
            .unwrap();
    });
}

#[test]
fn many_blocking_calls_all_come_back() {
    let sum = on_executor(|| async {
        let calls: Vec<_> = (0..500u64)
            .map(|n| task::spawn(task::blocking(move || n)))
            .collect();
        let mut sum = 0;
        for call in calls {
            sum += call.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 499 * 500 / 2);
}

#[test]
fn an_executor_that_ends_waits_for_its_blocking_calls() {
    let done = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&done);
    let (leave, is_leaving) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let running = executor::spawn(config(), move || async move {
        {
            let mut call = pin!(task::blocking(move || {
                released.recv().unwrap();
                theirs.store(true, Ordering::SeqCst);
            }));
            poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            // The future is dropped here, with the call still to be made.
        }
        leave.send(()).unwrap();
    })
    .unwrap();
    is_leaving.recv().unwrap();
    release.send(()).unwrap();
    running.join().unwrap();
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_nothing_else() {
    on_executor(|| async {
        let short = Duration::from_millis(1);
        let elapsed = time::timeout(short, pending::<()>()).await.unwrap_err();
        assert_eq!(elapsed.after, short);
        assert_eq!(time::timeout(Duration::ZERO, async { 1 }).await.unwrap(), 1);
        let slow = async {
            time::sleep(short).await;
            2
        };
        assert_eq!(time::timeout(Duration::MAX, slow).await.unwrap(), 2);
    });
}

#[test]
fn the_wall_clock_is_in_milliseconds() {
    let years = time::wall_ms() / 1000 / 3600 / 24 / 365;
    assert!((50..200).contains(&years), "{years} years since 1970");
}
