//! Answers that come later: one thread that sleeps so that the file system's own never does.
//!
//! Owns the waiting answers. Must never look into the file system.

use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{cmp, io};

type Answer = Box<dyn FnOnce() + Send>;

struct Waiting {
    due: Instant,
    /// Answers due at the same time leave in order.
    number: u64,
    answer: Answer,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// Where answers are left to be given later; dropping it gives the waiting ones at once and ends the thread.
#[derive(Debug)]
pub(crate) struct Delays {
    to_thread: Sender<(Instant, Answer)>,
}

impl Delays {
    pub(crate) fn start() -> io::Result<Self> {
        let (to_thread, from_file_system) = channel();
        thread::Builder::new()
            .name("faultfs-delays".into())
            .spawn(move || serve(&from_file_system))?;
        Ok(Self { to_thread })
    }

    /// Gives the answer after `wait`; at once when that is nothing.
    pub(crate) fn after(&self, wait: Duration, answer: impl FnOnce() + Send + 'static) {
        if wait.is_zero() {
            return answer();
        }
        // The thread ends only after this sender; should it have panicked, an answer late by nothing is right enough.
        if let Err(returned) = self
            .to_thread
            .send((Instant::now() + wait, Box::new(answer)))
        {
            (returned.0.1)();
        }
    }
}

fn serve(from_file_system: &Receiver<(Instant, Answer)>) {
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    for number in 0.. {
        while waiting
            .peek()
            .is_some_and(|first| first.due <= Instant::now())
        {
            if let Some(first) = waiting.pop() {
                (first.answer)();
            }
        }
        let idle = waiting.peek().map_or(Duration::from_secs(3600), |first| {
            first.due - Instant::now()
        });
        match from_file_system.recv_timeout(idle) {
            Ok((due, answer)) => waiting.push(Waiting {
                due,
                number,
                answer,
            }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    while let Some(first) = waiting.pop() {
        (first.answer)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_when_due_not_in_the_order_asked() {
        let delays = Delays::start().unwrap();
        let (said, heard) = channel();
        let began = Instant::now();
        for (wait, word) in [(80, "last"), (40, "second"), (0, "first")] {
            let said = said.clone();
            delays.after(Duration::from_millis(wait), move || {
                said.send(word).unwrap();
            });
        }
        let words: Vec<_> = (0..3).map(|_| heard.recv().unwrap()).collect();
        assert_eq!(words, ["first", "second", "last"]);
        assert!(began.elapsed() >= Duration::from_millis(80));
    }
}
