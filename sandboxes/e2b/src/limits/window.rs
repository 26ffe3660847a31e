//! A rate as its provider may count it: by arrivals, which we do not see. Pure: it is given the time.
//!
//! A call arrives at some moment between its grant and its end, and nobody here knows when. So a call takes one of as many
//! places as the window allows, from its grant until a whole window after its end. Two calls that follow each other in one
//! place then arrive at least a window apart, however long each was under way, and in no window do more arrive than there are
//! places. Counted from grants alone, two calls that were granted a second apart arrive closer together whenever the
//! first was slower on its way than the second.
//!
//! The cost is the time that a call itself takes: one creation of 0.5 s a second becomes one in 1.5 s. A fixed margin
//! instead would cost about as much, and would be too small for the first call that is slower than every one before. For
//! the long windows the cost is nothing: 0.1 s of 30 s.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The calls of one window.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    length: Duration,
    /// Calls that are under way.
    under_way: usize,
    /// When places are free again, the first one first, and how many then.
    cooling: VecDeque<(Instant, usize)>,
    /// All of `cooling`.
    cooled_later: usize,
}

/// Why no call may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A place is free then.
    Until(Instant),
    /// Every place belongs to a call that is under way: one of them has to end first.
    ForOne,
}

/// Where there are more places than this, ends that lie within this part of a window are kept as one: the list stays short.
const GRAIN: u32 = 1024;

impl Window {
    /// At most `most` calls arrive in any window of this length.
    pub(crate) fn new(most: usize, length: Duration) -> Self {
        Self { most: most.max(1), length, under_way: 0, cooling: VecDeque::new(), cooled_later: 0 }
    }

    /// Whether one more may start now.
    ///
    /// # Errors
    /// None may; says what to wait for.
    pub(crate) fn room(&mut self, now: Instant) -> Result<(), Wait> {
        while let Some((_, count)) = self.cooling.pop_front_if(|(at, _)| *at <= now) {
            self.cooled_later -= count;
        }
        if self.under_way + self.cooled_later < self.most {
            return Ok(());
        }
        Err(self.cooling.front().map_or(Wait::ForOne, |(at, _)| Wait::Until(*at)))
    }

    /// A call starts, for which there is room.
    pub(crate) fn start(&mut self) {
        self.under_way += 1;
    }

    /// A call has ended, or has been given up: it has arrived by now, if it ever does.
    pub(crate) fn end(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        let free = now + self.length;
        self.cooled_later += 1;
        match self.cooling.back_mut() {
            // This one ended before the moment that the last ones were rounded up to.
            Some((at, count)) if *at >= free => *count += 1,
            _ => self.cooling.push_back((free + self.grain(), 1)),
        }
    }

    fn grain(&self) -> Duration {
        if self.most > GRAIN as usize { self.length / GRAIN } else { Duration::ZERO }
    }

    /// How many could start now.
    pub(crate) fn available(&mut self, now: Instant) -> usize {
        // Lets go of what has cooled.
        let _ = self.room(now);
        self.most.saturating_sub(self.under_way + self.cooled_later)
    }

    /// The earliest moment at which one could start that has `waiting` before it.
    pub(crate) fn behind(&mut self, waiting: usize, now: Instant) -> Instant {
        let mut ahead = waiting;
        let free = self.available(now);
        if ahead < free {
            return now;
        }
        ahead -= free;
        for (at, count) in &self.cooling {
            if ahead < *count {
                return *at;
            }
            ahead -= count;
        }
        // What is under way has yet to end, and those that start before have to run their own course too.
        let rounds = u32::try_from(ahead / self.most).unwrap_or(u32::MAX).saturating_add(1);
        now + self.length.saturating_mul(rounds).min(super::gcra::FAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_place_is_free_a_window_after_its_call_has_ended_and_no_sooner() {
        let now = Instant::now();
        let mut window = Window::new(1, SECOND);
        assert_eq!(window.room(now), Ok(()));
        window.start();
        assert_eq!(window.room(now + SECOND * 5), Err(Wait::ForOne));
        let end = now + SECOND * 6;
        window.end(end);
        assert_eq!(window.room(end), Err(Wait::Until(end + SECOND)));
        assert_eq!(window.room(end + SECOND), Ok(()));
    }

    #[test]
    fn who_waits_behind_others_is_told_the_earliest_moment() {
        let now = Instant::now();
        let mut window = Window::new(3, SECOND * 10);
        assert_eq!(window.behind(2, now), now);
        (0..3).for_each(|_| window.start());
        window.end(now);
        window.end(now + SECOND);
        let at = now + SECOND;
        assert_eq!(window.behind(0, at), now + SECOND * 10);
        assert_eq!(window.behind(1, at), now + SECOND * 11);
        assert_eq!(window.behind(2, at), at + SECOND * 10, "one is under way");
        assert_eq!(window.behind(5, at), at + SECOND * 20);
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
        assert!(window.cooling.len() <= GRAIN as usize + 1, "{}", window.cooling.len());
        assert!(window.cooled_later <= 40_000);
        assert_eq!(window.available(now + SECOND * 61), 40_000);
    }
}
