//! Doing the same to many partitions: several at once, since each waits for its drive a few times, and
//! not all at once, since each takes files and memory while it is at it.

use std::collections::VecDeque;
use std::future::Future;

/// As many at the same time.
const AT_ONCE: usize = 16;

/// Does all of it, and gives what came of each, in order.
pub(super) async fn several<T, F>(work: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let mut running = VecDeque::new();
    let mut done = Vec::new();
    for one in work {
        if running.len() == AT_ONCE
            && let Some(first) = running.pop_front()
        {
            done.push(first.await);
        }
        running.push_back(rt::task::spawn(one));
    }
    for task in running {
        done.push(task.await);
    }
    done
}
