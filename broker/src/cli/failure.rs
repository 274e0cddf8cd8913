//! Why a command ended without doing what it was asked, as one line for a person and an exit code
//! for a script.

use std::fmt;
use std::io;

use net::client::ClientError;

use super::exit;

/// A command's failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told on stderr.
    Told {
        /// What, why, and what to do.
        text: String,
        /// The exit code.
        code: u8,
    },
    /// Nobody reads the output any more (`ottla consume t | head`): no failure of ours.
    NobodyReads,
}

impl Failure {
    /// The command could not do what it was asked.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::with(exit::FAILED, text)
    }

    /// The command line or a setting is wrong.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::with(exit::USAGE, text)
    }

    pub(crate) fn with(code: u8, text: impl fmt::Display) -> Self {
        // One line, whatever a broker or the system put into its words.
        let text = text
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        Self::Told { text, code }
    }

    /// The same failure, told with what had been done before it.
    pub(crate) fn after(self, done: impl fmt::Display) -> Self {
        match self {
            Self::Told { text, code } => Self::with(code, format!("{text}; {done}")),
            Self::NobodyReads => Self::NobodyReads,
        }
    }

    /// A file or directory that could not be used.
    pub(crate) fn file(path: impl AsRef<std::path::Path>, error: &io::Error) -> Self {
        Self::failed(format!("{}: {error}", path.as_ref().display()))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoBroker { .. } => Self::with(
                exit::UNREACHABLE,
                format!("{error} Start one with `ottla`, or name another with --brokers"),
            ),
            ClientError::Io { .. } | ClientError::Closed { .. } | ClientError::TimedOut { .. } => {
                Self::with(exit::UNREACHABLE, error)
            }
            ClientError::NoBootstrap | ClientError::Address { .. } => Self::usage(error),
            other => Self::failed(other),
        }
    }
}

/// An error of standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::failed(format!("standard output: {error}")),
        }
    }
}
