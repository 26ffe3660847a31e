//! Output for people: a closed reader is no error, and colours are used on a terminal only.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

/// The first error of a write to standard output; a closed reader is none.
static OUTPUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output and flushes. After an error it writes nothing more, and [`output_error`] returns the error.
pub(super) fn out(text: &str) {
    if output_error().is_none() {
        let mut to = io::stdout().lock();
        record_output(to.write_all(text.as_bytes()).and_then(|()| to.flush()));
    }
}

/// Records the result of a write to standard output.
pub(super) fn record_output(written: io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            // Only the first error is kept.
            let _ = OUTPUT_ERROR.set(error);
        }
        _ => {}
    }
}

/// Returns the first error of a write to standard output; `None` if all succeeded or the reader closed it.
pub(super) fn output_error() -> Option<&'static io::Error> {
    OUTPUT_ERROR.get()
}

/// Writes to standard error and flushes.
pub(super) fn err(text: &str) {
    let mut to = io::stderr().lock();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Writes a line to standard error, dim if the terminal can show it.
pub(super) fn note(text: &str) {
    let plain = !io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let (dim, reset) = if plain { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
    err(&format!("{dim}switchtower: {text}{reset}\n"));
}
