//! Asking whoever sits at a terminal.

use std::io::{self, IsTerminal, Write};

/// Whether the answer to `question` is yes; nobody is asked, and it is, where no terminal is there.
pub(crate) fn confirmed(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let mut ask = io::stderr();
    write!(ask, "{question} [y/N] ")?;
    ask.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
