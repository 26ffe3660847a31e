//! A rate with a burst (GCRA): when the next one may start. Pure: it is told what time it is.

use std::time::Duration;

use tokio::time::Instant;

/// One rate. In every window of the length it was made for, no more start than it was made for.
#[derive(Debug, Clone)]
pub(crate) struct Gcra {
    /// Time between two in the long run.
    every: Duration,
    /// How many may start at once after a quiet time.
    burst: u32,
    /// When the next one would be due at the long-run rate; past: the whole burst is there.
    due: Instant,
    /// Nothing starts before this.
    held: Instant,
}

impl Gcra {
    /// No more than `most` in any window of this length, bursts included.
    pub(crate) fn new(most: u32, window: Duration, burst: u32, now: Instant) -> Self {
        let most = most.max(1);
        let burst = burst.clamp(1, most);
        // A burst may open the window: `n` of them then take `(n - burst) * every`, which must be the whole window for
        // `most + 1`. Rounded up, for a nanosecond too little lets one too many in.
        let steps = u128::from(most - burst + 1);
        Self { every: nanos(window.as_nanos().div_ceil(steps)), burst, due: now, held: now }
    }

    /// Lets one start now.
    ///
    /// # Errors
    /// When the next one may start.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let next = self.next(now);
        if next > now {
            return Err(next);
        }
        self.due = self.due.max(now) + self.every;
        Ok(())
    }

    /// When the next one may start: `now`, or later.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let early = self.due.saturating_duration_since(now).saturating_sub(self.ahead());
        self.held.max(now + early)
    }

    /// Nothing starts before `until`, and then there is no burst. A hold that lasts longer stays.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.held = self.held.max(until);
        self.due = self.due.max(until + self.ahead());
    }

    /// Another time between two from now on. What is there stays there: a slower rate gives no larger burst.
    pub(crate) fn pace(&mut self, every: Duration, now: Instant) {
        let from = self.held.max(now);
        let backlog = self.due.saturating_duration_since(from).as_nanos();
        self.due = from + nanos((backlog * every.as_nanos()).div_ceil(self.every.as_nanos().max(1)));
        self.every = every;
    }

    /// How many could start now.
    pub(crate) fn available(&self, now: Instant) -> u32 {
        if self.held > now {
            return 0;
        }
        let room = (self.ahead() + self.every).saturating_sub(self.due.saturating_duration_since(now));
        let tokens = room.as_nanos().checked_div(self.every.as_nanos()).unwrap_or(0);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// When one could start that has `waiting` before it.
    pub(crate) fn behind(&self, waiting: usize, now: Instant) -> Instant {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let wait = self.every.saturating_mul(waiting).min(FAR);
        self.next(now) + wait
    }

    /// The time between two in the long run.
    pub(crate) fn interval(&self) -> Duration {
        self.every
    }

    /// How many start in a second, in the long run.
    pub(crate) fn per_second(&self) -> f64 {
        1.0 / self.every.as_secs_f64()
    }

    fn ahead(&self) -> Duration {
        self.every * (self.burst - 1)
    }
}

/// Longer than anybody waits, and short enough to add to an instant.
pub(crate) const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// A length in nanoseconds, as far as [`FAR`].
fn nanos(length: u128) -> Duration {
    Duration::from_nanos_u128(length.min(FAR.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The most starts in any window of this length.
    fn fullest(starts: &[Instant], window: Duration) -> usize {
        let ends = starts.iter().enumerate();
        ends.map(|(at, first)| starts[at..].partition_point(|start| *start < *first + window)).max().unwrap_or(0)
    }

    #[test]
    fn no_window_holds_more_than_the_most_however_greedy_the_asker() {
        for (most, window, burst) in [(1, 1, 1), (5, 1, 1), (7, 1, 5), (600, 60, 60), (20_000, 30, 2_000)] {
            let window = SECOND * window;
            let mut now = Instant::now();
            let mut gcra = Gcra::new(most, window, burst, now);
            let mut starts = Vec::new();
            for turn in 0..most * 3 {
                match gcra.take(now) {
                    Ok(()) => starts.push(now),
                    Err(next) => now = next,
                }
                // Now and then the asker rests, and the burst comes back.
                if turn % most == most / 2 {
                    now += window / 3;
                }
            }
            assert!(fullest(&starts, window) <= most as usize, "{most} in {window:?}");
            assert!(starts.len() >= most as usize);
        }
    }

    #[test]
    fn a_hold_lasts_whatever_happens_to_the_pace_and_ends_without_a_burst() {
        let now = Instant::now();
        let mut gcra = Gcra::new(60, SECOND * 60, 10, now);
        gcra.hold(now + SECOND * 20);
        gcra.hold(now + SECOND);
        gcra.pace(SECOND * 4, now + SECOND);
        gcra.pace(SECOND / 2, now + SECOND * 2);
        assert_eq!(gcra.take(now + SECOND * 19), Err(now + SECOND * 20));
        assert_eq!(gcra.available(now + SECOND * 19), 0);
        let then = now + SECOND * 20;
        assert_eq!((gcra.available(then), gcra.take(then)), (1, Ok(())));
        assert_eq!(gcra.take(then), Err(then + SECOND / 2));
    }

    #[test]
    fn a_slower_pace_gives_no_larger_burst() {
        let now = Instant::now();
        let mut gcra = Gcra::new(60, SECOND * 60, 10, now);
        assert!((0..6).all(|_| gcra.take(now).is_ok()));
        gcra.pace(SECOND * 30, now);
        assert_eq!(gcra.available(now), 4);
        gcra.pace(SECOND, now);
        assert_eq!(gcra.available(now), 4);
    }
}
