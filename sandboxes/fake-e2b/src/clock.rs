//! The wall clock, which stops with tokio's paused clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The machine's time at the start, plus tokio's time since then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    origin: SystemTime,
    started: Instant,
}

impl WallClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub(crate) fn new() -> Self {
        Self { origin: SystemTime::now(), started: Instant::now() }
    }

    /// Returns a moment as wall time, to the microsecond: E2B writes no more digits.
    pub(crate) fn at(&self, moment: Instant) -> SystemTime {
        let time = self.origin + moment.saturating_duration_since(self.started);
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        UNIX_EPOCH + std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.at(Instant::now())
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> i64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}
