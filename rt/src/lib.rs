//! The runtime surface of the broker, and the only crate that names glommio.
//!
//! It owns executors (one thread, one io_uring reactor each), their tasks and
//! timers, direct files, TCP streams, and the lanes between executors. Every
//! sharp edge of the runtime underneath is blunted here, so that it can be
//! patched or replaced in one place.
//!
//! It must never know what a record, a partition or a request is, and no type
//! of glommio may appear in its public surface.
//!
//! Nothing here is shared between executors except what says so: a
//! [`lane::MeshEnd`], a [`lane::MailboxSender`] and a [`lane::Mailbox`] travel
//! between threads, everything else stays on the executor that made it.

mod bell;
pub mod executor;
pub mod file;
pub mod fs;
pub mod host;
pub mod lane;
mod local;
mod pool;
mod relay;
pub mod sync;
pub mod task;
pub mod tcp;
pub mod time;
