//! How many idle sandboxes recent demand is worth.

use std::time::Duration;

use tokio::time::Instant;

/// Time after which an arrival counts only 1/e. Shorter would forget between two requests of a busy minute, longer would
/// keep sandboxes for requests that no longer come.
const MEMORY: Duration = Duration::from_secs(30);
/// Idle sandboxes are kept for the arrivals in this many opening times: on average one arrives while its sandbox opens
/// for each that is kept fourfold, and arrivals come in groups.
const OPENINGS_AHEAD: f64 = 4.0;
/// The opening time until one has been measured: E2B's.
const FIRST_OPEN_TIME: Duration = Duration::from_millis(500);
/// The share of the newest opening in the average.
const NEWEST_SHARE: f64 = 0.25;

/// The arrivals of the recent past, and how long openings take.
pub(super) struct Demand {
    /// The number of arrivals, each of which counts less with its age.
    weight: f64,
    /// When `weight` was computed.
    at: Instant,
    open_time: Duration,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self { weight: 0.0, at: now, open_time: FIRST_OPEN_TIME }
    }

    pub(super) fn record_arrival(&mut self, now: Instant) {
        self.weight = self.weight_at(now) + 1.0;
        self.at = now;
    }

    pub(super) fn record_opening(&mut self, took: Duration) {
        self.open_time = self.open_time.mul_f64(1.0 - NEWEST_SHARE) + took.mul_f64(NEWEST_SHARE);
    }

    /// Returns how many idle sandboxes to keep: the arrivals that are expected in four opening times, rounded.
    pub(super) fn sandboxes(&self, now: Instant) -> usize {
        let per_second = self.weight_at(now) / MEMORY.as_secs_f64();
        (per_second * self.open_time.as_secs_f64() * OPENINGS_AHEAD).round() as usize
    }

    fn weight_at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at);
        self.weight * (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the sandboxes wanted after `seconds` of arrivals at this rate, and how long after the last one some are
    /// wanted.
    fn after(per_second: f64, seconds: f64, open_time: Duration) -> (usize, u64) {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        (0..50).for_each(|_| demand.record_opening(open_time));
        let mut last = start;
        for at in 0..(per_second * seconds) as u32 {
            last = start + Duration::from_secs_f64(f64::from(at) / per_second);
            demand.record_arrival(last);
        }
        let wanted = demand.sandboxes(last);
        let longer = (0..).find(|seconds| demand.sandboxes(last + Duration::from_secs(*seconds)) == 0).unwrap();
        (wanted, longer)
    }

    #[test]
    fn a_trickle_keeps_nothing_and_a_stream_keeps_what_arrives_in_four_opening_times() {
        let half = Duration::from_millis(500);
        // Five a minute, for an hour.
        assert_eq!(after(5.0 / 60.0, 3600.0, half), (0, 0));
        assert_eq!(after(1.0, 300.0, half), (2, 43));
        assert_eq!(after(4.0, 300.0, half).0, 8);
        // A service that is slower to open a sandbox needs more of them.
        assert_eq!(after(1.0, 300.0, Duration::from_secs(2)).0, 8);
        // A single burst is over when it has been answered.
        assert_eq!(after(1000.0, 0.006, half).0, 0);
    }
}
