//! Output for people: a closed reader is no error, and colours are used on a terminal only.

use std::io::{IsTerminal as _, Write as _};

/// Writes to standard output and flushes.
pub(super) fn out(text: &str) {
    let mut to = std::io::stdout().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Writes to standard error and flushes.
pub(super) fn err(text: &str) {
    let mut to = std::io::stderr().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Writes a line to standard error, dim if the terminal can show it.
pub(super) fn note(text: &str) {
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let (dim, reset) = if plain { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
    err(&format!("{dim}switchtower: {text}{reset}\n"));
}
