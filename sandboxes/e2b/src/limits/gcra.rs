//! A rate limit with a burst (GCRA): computes when the next call may start. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// One rate limit.
#[derive(Debug, Clone)]
pub(crate) struct Gcra {
    /// Time between two calls in the long run.
    interval: Duration,
    /// Calls that may start at once after a quiet time.
    burst: u32,
    /// When the next call would be due at the long-run rate. In the past: the whole burst is available.
    due: Instant,
    /// No call starts before this.
    held_until: Instant,
}

impl Gcra {
    /// Returns a limit of `limit` calls in any window of this length, bursts included.
    pub(crate) fn new(limit: u32, window: Duration, burst: u32, now: Instant) -> Self {
        let limit = limit.max(1);
        let burst = burst.clamp(1, limit);
        // After a burst at the start of the window, `n` calls take `(n - burst) * interval`, which must be the whole
        // window for `limit + 1`. Rounded up: one nanosecond less would allow one call too many.
        let steps = u128::from(limit - burst + 1);
        Self { interval: nanos(window.as_nanos().div_ceil(steps)), burst, due: now, held_until: now }
    }

    /// Starts a call now.
    ///
    /// # Errors
    /// No call may start now. Returns the time from which the next one may.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let next = self.next(now);
        if next > now {
            return Err(next);
        }
        self.due = self.due.max(now) + self.interval;
        Ok(())
    }

    /// Returns when the next call may start: `now` or later.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let early = self.due.saturating_duration_since(now).saturating_sub(self.burst_time());
        self.held_until.max(now + early)
    }

    /// Lets no call start before `until`, and none in a burst then. A longer hold remains.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(until);
        self.due = self.due.max(until + self.burst_time());
    }

    /// Changes the time between two calls from now on. The available part of the burst stays the same.
    pub(crate) fn set_interval(&mut self, interval: Duration, now: Instant) {
        let from = self.held_until.max(now);
        let backlog = self.due.saturating_duration_since(from).as_nanos();
        self.due = from + nanos((backlog * interval.as_nanos()).div_ceil(self.interval.as_nanos().max(1)));
        self.interval = interval;
    }

    /// Returns how many calls could start now.
    pub(crate) fn available(&self, now: Instant) -> u32 {
        if self.held_until > now {
            return 0;
        }
        let free = (self.burst_time() + self.interval).saturating_sub(self.due.saturating_duration_since(now));
        let calls = free.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(0);
        u32::try_from(calls).unwrap_or(u32::MAX)
    }

    /// Returns the earliest start of a call with `waiting` calls ahead of it.
    pub(crate) fn earliest_start(&self, waiting: usize, now: Instant) -> Instant {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let wait = self.interval.saturating_mul(waiting).min(MAX_WAIT);
        self.next(now) + wait
    }

    /// Returns the time between two calls in the long run.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the calls in a second, in the long run.
    pub(crate) fn per_second(&self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }

    fn burst_time(&self) -> Duration {
        self.interval * (self.burst - 1)
    }
}

/// The longest wait: short enough to add to an instant.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns a length in nanoseconds, at most [`MAX_WAIT`].
fn nanos(length: u128) -> Duration {
    Duration::from_nanos_u128(length.min(MAX_WAIT.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the most starts in any window of this length.
    fn fullest(starts: &[Instant], window: Duration) -> usize {
        let ends = starts.iter().enumerate();
        ends.map(|(at, first)| starts[at..].partition_point(|start| *start < *first + window)).max().unwrap_or(0)
    }

    #[test]
    fn no_window_has_more_calls_than_the_limit_however_often_they_are_tried() {
        for (limit, window, burst) in [(1, 1, 1), (5, 1, 1), (7, 1, 5), (600, 60, 60), (20_000, 30, 2_000)] {
            let window = SECOND * window;
            let mut now = Instant::now();
            let mut gcra = Gcra::new(limit, window, burst, now);
            let mut starts = Vec::new();
            for turn in 0..limit * 3 {
                match gcra.take(now) {
                    Ok(()) => starts.push(now),
                    Err(next) => now = next,
                }
                // A pause now and then restores the burst.
                if turn % limit == limit / 2 {
                    now += window / 3;
                }
            }
            assert!(fullest(&starts, window) <= limit as usize, "{limit} in {window:?}");
            assert!(starts.len() >= limit as usize);
        }
    }

    #[test]
    fn a_hold_lasts_through_changes_of_the_interval_and_ends_without_a_burst() {
        let now = Instant::now();
        let mut gcra = Gcra::new(60, SECOND * 60, 10, now);
        gcra.hold(now + SECOND * 20);
        gcra.hold(now + SECOND);
        gcra.set_interval(SECOND * 4, now + SECOND);
        gcra.set_interval(SECOND / 2, now + SECOND * 2);
        assert_eq!(gcra.take(now + SECOND * 19), Err(now + SECOND * 20));
        assert_eq!(gcra.available(now + SECOND * 19), 0);
        let then = now + SECOND * 20;
        assert_eq!((gcra.available(then), gcra.take(then)), (1, Ok(())));
        assert_eq!(gcra.take(then), Err(then + SECOND / 2));
    }

    #[test]
    fn a_longer_interval_gives_no_larger_burst() {
        let now = Instant::now();
        let mut gcra = Gcra::new(60, SECOND * 60, 10, now);
        assert!((0..6).all(|_| gcra.take(now).is_ok()));
        gcra.set_interval(SECOND * 30, now);
        assert_eq!(gcra.available(now), 4);
        gcra.set_interval(SECOND, now);
        assert_eq!(gcra.available(now), 4);
    }
}
