//! Timestamps that stand still with a paused clock.

use std::time::SystemTime;

use tokio::time::Instant;

/// The machine's clock as it was once, and tokio's time since then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wall {
    origin: SystemTime,
    started: Instant,
}

impl Wall {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine what time it is")]
    pub(crate) fn new() -> Self {
        Self { origin: SystemTime::now(), started: Instant::now() }
    }

    /// A moment as the control plane writes it.
    pub(crate) fn zulu(&self, at: Instant) -> String {
        self.stamp(at).map_or_else(|| "1970-01-01T00:00:00Z".to_owned(), |stamp| stamp.to_string())
    }

    /// Now, as the interpreter writes it.
    pub(crate) fn offset(&self) -> String {
        let zulu = self.zulu(Instant::now());
        format!("{}+00:00", zulu.trim_end_matches('Z'))
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> i64 {
        self.stamp(Instant::now()).map_or(0, jiff::Timestamp::as_second)
    }

    fn stamp(&self, at: Instant) -> Option<jiff::Timestamp> {
        let stamp = jiff::Timestamp::try_from(self.origin + at.saturating_duration_since(self.started)).ok()?;
        stamp.round(jiff::Unit::Microsecond).ok()
    }
}
