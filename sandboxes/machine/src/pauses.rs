//! Waits for processes that were killed, in threads that do nothing else.

use std::time::Duration;

/// Pauses until it was done often enough, after about five seconds.
#[derive(Debug, Default)]
pub(crate) struct Pauses(u32);

impl Pauses {
    /// Pauses. Returns false where that was done often enough.
    pub(crate) fn next(&mut self) -> bool {
        const MOST: u32 = 1000;
        self.0 += 1;
        // Processes end in less than a millisecond, most of the time.
        let time = if self.0 < 20 { Duration::from_micros(250) } else { Duration::from_millis(5) };
        #[allow(clippy::disallowed_methods, reason = "a thread that only cleans up")]
        std::thread::sleep(time);
        self.0 < MOST
    }
}
