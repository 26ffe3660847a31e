//! The wall clock, which stops with a paused Tokio runtime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A wall clock: an origin, and Tokio's time since then.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    origin: SystemTime,
    started: Instant,
}

impl WallClock {
    /// Returns a clock that starts at the system time. Call it inside a runtime, once, at assembly.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system time")]
    pub fn real() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// Returns a clock that starts at `origin`, for simulations.
    pub fn starting_at(origin: SystemTime) -> Self {
        Self { origin, started: Instant::now() }
    }

    /// Returns the current time.
    pub fn now(&self) -> SystemTime {
        self.origin + self.started.elapsed()
    }

    /// Returns the wall time at an instant of the runtime.
    pub fn at(&self, moment: Instant) -> SystemTime {
        match moment.checked_duration_since(self.started) {
            Some(after) => self.origin + after,
            None => self.origin - self.started.saturating_duration_since(moment),
        }
    }

    /// Returns the current time in milliseconds since the Unix epoch.
    pub fn unix_millis(&self) -> u64 {
        let since: Duration = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
