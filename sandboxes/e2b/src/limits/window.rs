//! A rate limit as the provider may count it: by the arrival of calls, which is not seen here. Pure: the time is an
//! argument.
//!
//! A call arrives at some moment between its start and its end. So each call occupies one of as many positions as the
//! window allows, from its start until a whole window after its end. Two calls in the same position then arrive at
//! least a window apart, however long each was in flight, and no window has more arrivals than there are positions.
//! With starts alone, two calls that started a second apart arrive closer together whenever the first was slower than
//! the second.
//!
//! The cost is the duration of a call: one creation of 0.5 s a second becomes one in 1.5 s. A fixed margin would cost
//! about as much, and would be too small for the first call that is slower than all before. For long windows the cost
//! is negligible:
//! 0.1 s of 30 s.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The calls of one window.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    length: Duration,
    in_flight: usize,
    /// When positions of ended calls become free, in order, and how many at that time.
    ended: VecDeque<(Instant, usize)>,
    /// The sum of `ended`.
    ended_count: usize,
}

/// Why no call may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A position becomes free then.
    Until(Instant),
    /// All positions belong to calls in flight: one of them has to end first.
    ForEnd,
}

/// In windows with more positions than this, ends within this part of the window are stored as one, so the list stays
/// short.
const MAX_ENTRIES: u32 = 1024;

impl Window {
    /// Returns a limit of `limit` arrivals in any window of this length.
    pub(crate) fn new(limit: usize, length: Duration) -> Self {
        Self { limit: limit.max(1), length, in_flight: 0, ended: VecDeque::new(), ended_count: 0 }
    }

    /// Checks whether one more call may start now.
    ///
    /// # Errors
    /// No call may start now. Returns what to wait for.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Wait> {
        while let Some((_, count)) = self.ended.pop_front_if(|(at, _)| *at <= now) {
            self.ended_count -= count;
        }
        if self.in_flight + self.ended_count < self.limit {
            return Ok(());
        }
        Err(self.ended.front().map_or(Wait::ForEnd, |(at, _)| Wait::Until(*at)))
    }

    /// Records the start of a call that [`Window::check`] has allowed.
    pub(crate) fn start(&mut self) {
        self.in_flight += 1;
    }

    /// Records the end of a call. It has arrived by now, if at all.
    pub(crate) fn end(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let free = now + self.length;
        self.ended_count += 1;
        match self.ended.back_mut() {
            // The last entry was rounded up beyond this end.
            Some((at, count)) if *at >= free => *count += 1,
            _ => self.ended.push_back((free + self.rounding(), 1)),
        }
    }

    fn rounding(&self) -> Duration {
        if self.limit > MAX_ENTRIES as usize { self.length / MAX_ENTRIES } else { Duration::ZERO }
    }

    /// Returns how many calls could start now.
    pub(crate) fn available(&mut self, now: Instant) -> usize {
        // Forgets the positions that are free by now.
        let _ = self.check(now);
        self.limit.saturating_sub(self.in_flight + self.ended_count)
    }

    /// Returns the earliest start of a call with `waiting` calls ahead of it.
    pub(crate) fn earliest_start(&mut self, waiting: usize, now: Instant) -> Instant {
        let mut ahead = waiting;
        let free = self.available(now);
        if ahead < free {
            return now;
        }
        ahead -= free;
        for (at, count) in &self.ended {
            if ahead < *count {
                return *at;
            }
            ahead -= count;
        }
        // Calls in flight have yet to end, and calls ahead of it have to start and end too.
        let rounds = u32::try_from(ahead / self.limit).unwrap_or(u32::MAX).saturating_add(1);
        now + self.length.saturating_mul(rounds).min(super::gcra::MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_position_is_free_a_window_after_its_call_has_ended_and_no_sooner() {
        let now = Instant::now();
        let mut window = Window::new(1, SECOND);
        assert_eq!(window.check(now), Ok(()));
        window.start();
        assert_eq!(window.check(now + SECOND * 5), Err(Wait::ForEnd));
        let end = now + SECOND * 6;
        window.end(end);
        assert_eq!(window.check(end), Err(Wait::Until(end + SECOND)));
        assert_eq!(window.check(end + SECOND), Ok(()));
    }

    #[test]
    fn the_earliest_start_behind_others_counts_them() {
        let now = Instant::now();
        let mut window = Window::new(3, SECOND * 10);
        assert_eq!(window.earliest_start(2, now), now);
        (0..3).for_each(|_| window.start());
        window.end(now);
        window.end(now + SECOND);
        let at = now + SECOND;
        assert_eq!(window.earliest_start(0, at), now + SECOND * 10);
        assert_eq!(window.earliest_start(1, at), now + SECOND * 11);
        assert_eq!(window.earliest_start(2, at), at + SECOND * 10, "one is in flight");
        assert_eq!(window.earliest_start(5, at), at + SECOND * 20);
    }

    #[test]
    fn the_list_of_ends_stays_short_however_many_there_are() {
        let mut now = Instant::now();
        let mut window = Window::new(40_000, SECOND * 60);
        for _ in 0..40_000 {
            window.start();
            now += Duration::from_micros(1500);
            window.end(now);
        }
        assert!(window.ended.len() <= MAX_ENTRIES as usize + 1, "{}", window.ended.len());
        assert!(window.ended_count <= 40_000);
        assert_eq!(window.available(now + SECOND * 61), 40_000);
    }
}
