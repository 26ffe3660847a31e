//! The log of what machines reach.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most lines of one machine within [`WINDOW`]: a program decides how often it connects.
const MAX_LINES: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// The log of one machine's connections.
pub(crate) struct EgressLog {
    machine: String,
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    since: Instant,
    written: u32,
    /// That were not written, since the last one that was.
    left_out: u64,
}

impl Lines {
    /// Returns how many lines were left out before this one; `None` if this one is left out as well.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.written) = (now, 0);
        }
        if self.written == MAX_LINES {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl EgressLog {
    pub(crate) fn new(machine: &str) -> Self {
        let lines = Lines { since: Instant::now(), written: 0, left_out: 0 };
        Self { machine: machine.to_owned(), lines: Mutex::new(lines) }
    }

    /// Writes that a connection was opened or refused. `target`: the host and port that the program has asked for.
    pub(crate) fn decided(&self, target: &str, decision: &Result<std::net::SocketAddr, String>) {
        let Some(left_out) = self.next() else { return };
        // It is a text of the program's, and so is a part of the reason.
        let target = shortened(target);
        let machine = self.machine.as_str();
        match decision {
            Ok(address) => {
                tracing::info!(machine, ?target, %address, left_out, "egress: a machine's connection is open");
            }
            Err(why) => tracing::info!(
                machine,
                ?target,
                why = shortened(why),
                left_out,
                "egress: a machine's connection is refused"
            ),
        }
    }

    /// Writes that a connection has ended, with the bytes in both directions.
    pub(crate) fn ended(&self, target: &str, sent: u64, received: u64) {
        if let Some(left_out) = self.next() {
            let target = shortened(target);
            let machine = self.machine.as_str();
            tracing::info!(machine, ?target, sent, received, left_out, "egress: a machine's connection has ended");
        }
    }

    fn next(&self) -> Option<u64> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now())
    }
}

/// Returns the beginning of a text: a host's name and a port, or a sentence with them, are not longer.
fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_machine_writes_a_bounded_number_of_lines_and_the_next_one_counts_the_others() {
        let log = EgressLog::new("m");
        let written = (0..1000).filter(|_| log.next().is_some()).count();
        assert_eq!(written, MAX_LINES as usize);
        tokio::time::advance(WINDOW).await;
        assert_eq!(log.next(), Some(940));
        assert_eq!(log.next(), Some(0));
    }
}
