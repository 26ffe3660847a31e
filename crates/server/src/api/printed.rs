//! What a program printed and how it ended, as the texts of the service that this one replaces.

use switchtower_contract::Exit;
use switchtower_core::router::Answer;

/// Returns all that the program printed.
pub(super) fn streams(answer: &Answer) -> String {
    format!("{}{}", answer.output.stdout, answer.output.stderr)
}

/// Returns the program's failure, or the limit that it exceeded; "" if it ended by itself.
pub(super) fn end(answer: &Answer) -> &str {
    match (&answer.output.error, answer.outcome.exit) {
        (Some(failure), _) => failure.traceback.as_str(),
        (None, Exit::TimedOut) => "the program exceeded its time limit",
        (None, Exit::OutOfMemory) => "the program exceeded its memory limit",
        (None, Exit::Killed) => "the program was ended by a signal, or destroyed its own interpreter",
        (None, Exit::Finished(_) | Exit::Raised) => "",
    }
}

/// Returns that a part of the output is missing; "" if none is.
pub(super) fn cut(answer: &Answer) -> &'static str {
    if answer.outcome.truncated { "the output is longer than what is kept: its rest was left out" } else { "" }
}

/// Returns what the program needed and no configured tier provides; "" for nothing.
pub(super) fn note(answer: &Answer) -> &str {
    answer.note.as_deref().unwrap_or("")
}

/// Joins texts, each on lines of its own. The replaced service omits the last newline.
pub(super) fn lines(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() && !text.ends_with('\n') && !part.is_empty() {
            text.push('\n');
        }
        text.push_str(part);
    }
    if text.ends_with('\n') {
        text.pop();
    }
    text
}
