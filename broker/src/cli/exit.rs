//! The exit codes of `ottla`: a promise to scripts and service managers.

/// The command did what it was asked.
pub const OK: u8 = 0;
/// It did not: the broker refused, a file could not be read, `check` found the host unfit.
pub const FAILED: u8 = 1;
/// The command line or a setting is wrong; nothing was done.
pub const USAGE: u8 = 2;
/// The node can't run on this host; `ottla check` says what to change.
pub const UNFIT_HOST: u8 = 3;
/// The node can't listen where it was told to.
pub const ADDRESS: u8 = 4;
/// A data directory can't be used: another node has it, or its drive failed.
pub const DATA_DIR: u8 = 5;
/// The node's metadata can't be read.
pub const METADATA: u8 = 6;
/// No broker answered.
pub const UNREACHABLE: u8 = 7;
/// A file is corrupt.
pub const CORRUPT: u8 = 8;
/// The node stopped itself because of a fault in its own code.
pub const PANIC: u8 = 70;
/// A signal ended the command before it was done.
pub const INTERRUPTED: u8 = 130;

/// Every code with its meaning, for the documentation.
pub const ALL: &[(u8, &str)] = &[
    (OK, "done"),
    (
        FAILED,
        "not done: refused by the broker, a file that can't be read, or an unfit host (`check`)",
    ),
    (USAGE, "wrong command line or setting; nothing was done"),
    (
        UNFIT_HOST,
        "`serve`: the node can't run on this host; `ottla check` says what to change",
    ),
    (
        ADDRESS,
        "`serve`: it can't listen on the address it was given",
    ),
    (DATA_DIR, "`serve`: a data directory can't be used"),
    (METADATA, "`serve`: the metadata can't be read"),
    (UNREACHABLE, "no broker answered"),
    (CORRUPT, "`log dump`: the file is corrupt"),
    (PANIC, "`serve`: stopped by a fault of its own"),
    (INTERRUPTED, "ended by a signal before it was done"),
];
