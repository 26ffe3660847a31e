//! Timestamps that obey a paused runtime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock: an origin, and tokio's time since then. Under a paused runtime it stands still with it.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    origin: SystemTime,
    started: Instant,
}

impl WallClock {
    /// The machine's own clock. Call it inside a runtime, once, at assembly.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine what time it is")]
    pub fn real() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// A clock that begins at `origin`, for simulations.
    pub fn starting_at(origin: SystemTime) -> Self {
        Self { origin, started: Instant::now() }
    }

    pub fn now(&self) -> SystemTime {
        self.origin + self.started.elapsed()
    }

    /// What time it is at a moment of the runtime's.
    pub fn at(&self, moment: Instant) -> SystemTime {
        match moment.checked_duration_since(self.started) {
            Some(after) => self.origin + after,
            None => self.origin - self.started.saturating_duration_since(moment),
        }
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(&self) -> u64 {
        let since: Duration = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
