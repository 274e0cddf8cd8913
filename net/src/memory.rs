//! The memory of requests while they come in.
//!
//! A size is a claim, and costs whoever makes it nothing; so it must hold nothing either. A request
//! holds as much of the shard's budget as has come of it, and a step more. Requests that have come
//! in part can then hold the whole budget between them with none able to go on. Where it has come
//! to that, one of them, and never more than one, goes on without.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use rt::sync::{Credit, Permit};
use rt::time::timeout;

use crate::recycle::FramePool;

/// How often a request that waits for memory looks whether anybody can give some back.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The memory of a shard's connections. Clones share the budgets.
#[derive(Debug, Clone)]
pub struct FrameMemory {
    /// For requests as far as they have come, until the handler lets go of them. Waited for.
    pub requests: Credit,
    /// For receive buffers beyond the small one that every connection has. Never waited
    /// for: without it a connection goes on with its small buffer.
    pub buffers: Credit,
    arriving: Rc<Arriving>,
    pool: Rc<FramePool>,
}

/// The requests of a shard that have come in part.
#[derive(Debug, Default)]
struct Arriving {
    /// What they hold of the budget.
    held: Cell<usize>,
    /// Whether a request lives that went on without.
    excepted: Cell<bool>,
}

/// The memory promised for one request; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the memory back at once"]
pub struct RequestCredit {
    held: Option<Permit>,
    amount: usize,
    arriving: Rc<Arriving>,
    /// Whether its bytes are still coming.
    partial: bool,
    excepted: bool,
}

impl FrameMemory {
    /// With these budgets.
    pub fn new(requests: Credit, buffers: Credit) -> Self {
        Self {
            requests,
            buffers,
            arriving: Rc::default(),
            pool: Rc::default(),
        }
    }

    /// An empty buffer with room for `bytes` bytes, one that was used before if there is one.
    pub(crate) fn buffer(&self, bytes: usize) -> BytesMut {
        self.pool.take(bytes)
    }

    /// Lets go of buffers that are not used any more. To be called now and then, some seconds apart.
    pub fn trim(&self) {
        self.pool.trim();
    }

    /// For a request of which nothing has come.
    pub(crate) fn begin(&self) -> RequestCredit {
        RequestCredit {
            held: None,
            amount: 0,
            arriving: Rc::clone(&self.arriving),
            partial: true,
            excepted: false,
        }
    }

    /// Makes `credit` stand for `bytes`, or for the whole budget where that is less, if there is as
    /// much and nobody waits for it.
    pub(crate) fn try_grow(&self, credit: &mut RequestCredit, bytes: usize) -> bool {
        let more = self.missing(credit, bytes);
        if more == 0 {
            return true;
        }
        let permit = self.requests.try_acquire(more);
        permit.map(|permit| credit.take(permit)).is_some()
    }

    /// The same, waiting for it.
    pub(crate) async fn grow(&self, credit: &mut RequestCredit, bytes: usize) {
        if self.try_grow(credit, bytes) {
            return;
        }
        let mut acquire = pin!(self.requests.acquire(self.missing(credit, bytes)));
        loop {
            match timeout(LOOK_AGAIN, acquire.as_mut()).await {
                Ok(permit) => return credit.take(permit),
                Err(_elapsed) if self.is_stuck() => {
                    self.arriving.excepted.set(true);
                    credit.excepted = true;
                    return;
                }
                Err(_elapsed) => {}
            }
        }
    }

    fn missing(&self, credit: &RequestCredit, bytes: usize) -> usize {
        if credit.excepted {
            return 0;
        }
        bytes
            .min(self.requests.total())
            .saturating_sub(credit.amount)
    }

    /// Whether all that is held is held by requests that are not whole.
    fn is_stuck(&self) -> bool {
        !self.arriving.excepted.get() && self.requests.in_use() <= self.arriving.held.get()
    }
}

impl RequestCredit {
    fn take(&mut self, permit: Permit) {
        let amount = permit.amount();
        self.amount += amount;
        self.arriving.held.set(self.arriving.held.get() + amount);
        match &mut self.held {
            // Both are of the one budget, so that nothing comes back.
            Some(held) => drop(held.merge(permit)),
            None => self.held = Some(permit),
        }
    }

    /// All of the request has come.
    pub(crate) fn arrived(&mut self) {
        if std::mem::take(&mut self.partial) {
            let held = self.arriving.held.get();
            self.arriving.held.set(held - self.amount);
        }
    }
}

impl Drop for RequestCredit {
    fn drop(&mut self) {
        self.arrived();
        if self.excepted {
            self.arriving.excepted.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_an_executor<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
        rt::executor::run(rt::executor::ExecutorConfig::default(), test).unwrap();
    }

    fn memory(requests: usize) -> FrameMemory {
        FrameMemory::new(Credit::new(requests), Credit::new(0))
    }

    #[test]
    fn a_request_holds_what_it_grew_to_and_gives_it_back() {
        let memory = memory(100);
        let mut credit = memory.begin();
        assert_eq!(memory.requests.in_use(), 0);
        for (bytes, held) in [(10, 10), (10, 10), (60, 60), (1000, 100)] {
            assert!(memory.try_grow(&mut credit, bytes));
            assert_eq!(memory.requests.in_use(), held);
        }
        assert!(!memory.try_grow(&mut memory.begin(), 1));
        credit.arrived();
        assert_eq!(memory.requests.in_use(), 100);
        drop(credit);
        assert_eq!(
            (memory.requests.in_use(), memory.arriving.held.get()),
            (0, 0)
        );
    }

    #[test]
    fn who_waits_for_whole_requests_waits_until_they_are_done() {
        on_an_executor(async || {
            let memory = memory(100);
            let mut whole = memory.begin();
            memory.grow(&mut whole, 60).await;
            whole.arrived();
            let mut waits = memory.begin();
            let early = timeout(LOOK_AGAIN * 4, memory.grow(&mut waits, 50)).await;
            assert!(early.is_err() && !waits.excepted);
            drop(whole);
            memory.grow(&mut waits, 50).await;
            assert_eq!((memory.requests.in_use(), waits.excepted), (50, false));
        });
    }

    #[test]
    fn of_those_that_block_each_other_one_goes_on() {
        on_an_executor(async || {
            let memory = memory(100);
            let (mut one, mut other) = (memory.begin(), memory.begin());
            memory.grow(&mut one, 60).await;
            memory.grow(&mut other, 40).await;
            memory.grow(&mut one, 90).await;
            assert!(one.excepted);
            // Once, and not again for as long as that one lives.
            memory.grow(&mut one, 1000).await;
            let early = timeout(LOOK_AGAIN * 4, memory.grow(&mut other, 90)).await;
            assert!(early.is_err() && !other.excepted);
            one.arrived();
            drop(one);
            memory.grow(&mut other, 90).await;
            assert_eq!((memory.requests.in_use(), other.excepted), (90, false));
        });
    }
}
