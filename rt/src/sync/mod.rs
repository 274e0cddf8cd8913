//! Waiting between tasks of one executor: notices, single values, credit.
//!
//! Everything here is `Rc`, serves waiters in the order they came, and may be
//! dropped while waiting without losing a wake-up or a permit. None of it
//! crosses threads; [`crate::lane`] does.

mod credit;
mod notify;
pub mod oneshot;

pub use credit::{Acquire, Credit, Permit};
pub use notify::{Notified, Notify};
pub use oneshot::oneshot;
