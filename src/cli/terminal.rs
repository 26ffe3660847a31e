//! Writing for people: a reader that is gone is no reason to fail, colours only on a terminal.

use std::io::{IsTerminal as _, Write as _};

/// To standard output, at once.
pub(super) fn out(text: &str) {
    let mut to = std::io::stdout().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// To standard error, at once.
pub(super) fn err(text: &str) {
    let mut to = std::io::stderr().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// A line of ours on standard error, dim where that can be shown.
pub(super) fn note(text: &str) {
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let (dim, reset) = if plain { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
    err(&format!("{dim}switchtower: {text}{reset}\n"));
}
