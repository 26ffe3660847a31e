//! The log of what machines reach.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most lines of one machine within [`WINDOW`]: a program decides how often it connects.
const MAX_LINES: u32 = 60;
/// Most lines of all machines within [`WINDOW`]: a caller decides how many machines it has one after the other.
const MAX_ALL_LINES: u32 = 1200;
const WINDOW: Duration = Duration::from_secs(60);

/// The log of one machine's connections.
pub(crate) struct EgressLog {
    machine: String,
    lines: Mutex<Lines>,
    all: AllLines,
}

/// The lines of all machines.
#[derive(Debug, Clone)]
pub(crate) struct AllLines(Arc<Mutex<Lines>>);

impl Default for AllLines {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Lines::new(MAX_ALL_LINES))))
    }
}

#[derive(Debug)]
struct Lines {
    since: Instant,
    /// Most within the window.
    most: u32,
    written: u32,
    /// That were not written, since the last one that was.
    left_out: u64,
}

impl Lines {
    fn new(most: u32) -> Self {
        Self { since: Instant::now(), most, written: 0, left_out: 0 }
    }

    /// Returns how many lines were left out before this one; `None` if this one is left out as well.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.written) = (now, 0);
        }
        if self.written == self.most {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl EgressLog {
    /// `all`: the lines of all machines, to which its own are added.
    pub(crate) fn new(machine: &str, all: &AllLines) -> Self {
        Self { machine: machine.to_owned(), lines: Mutex::new(Lines::new(MAX_LINES)), all: all.clone() }
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

    /// Returns how many lines of this machine and of others were left out before this one; `None` if this one is left out as well.
    fn next(&self) -> Option<u64> {
        let of = |lines: &Mutex<Lines>| lines.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        let own = of(&self.lines)?;
        let others = of(&self.all.0);
        if others.is_none() {
            self.all.0.lock().unwrap_or_else(PoisonError::into_inner).left_out += own;
        }
        others.map(|others| own + others)
    }
}

impl Drop for EgressLog {
    /// The next line of another machine counts what this one has left out.
    fn drop(&mut self) {
        let own = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner).left_out;
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).left_out += own;
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
        let log = EgressLog::new("m", &AllLines::default());
        let written = (0..1000).filter(|_| log.next().is_some()).count();
        assert_eq!(written, MAX_LINES as usize);
        tokio::time::advance(WINDOW).await;
        assert_eq!(log.next(), Some(940));
        assert_eq!(log.next(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn machines_one_after_the_other_write_a_bounded_number_of_lines() {
        let all = AllLines::default();
        let of_one = || {
            let log = EgressLog::new("m", &all);
            (0..1000).filter(|_| log.next().is_some()).count()
        };
        assert_eq!((0..100).map(|_| of_one()).sum::<usize>(), MAX_ALL_LINES as usize);
        tokio::time::advance(WINDOW).await;
        // Those of the first twenty, which wrote all lines, are counted by the machine after each.
        assert_eq!(EgressLog::new("m", &all).next(), Some(80 * 1000 + 940));
    }
}
