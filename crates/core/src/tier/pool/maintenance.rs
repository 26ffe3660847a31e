//! Maintenance of idle sandboxes: checks that they are alive, ends surplus ones, puts them to sleep.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use switchtower_contract::Maintenance;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::entry::PoolEntry;
use super::{Config, Inner, PoolCounts};

/// Longest time to check one sandbox.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Most and least time between two looks for surplus sandboxes.
const SURPLUS_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(250)..=Duration::from_secs(10);

/// Checks the idle sandboxes at every interval and when a check is requested, and ends surplus ones. Ends when the pool
/// is dropped.
pub(super) async fn run(pool: Weak<Inner>, config: Config) {
    let every = |time: Duration| {
        let mut tick = interval(time);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick
    };
    let (least, most) = SURPLUS_INTERVALS.into_inner();
    let mut surplus = every((config.surplus_idle / 4).clamp(least, most));
    let mut tick = every(config.maintenance_interval.max(Duration::from_millis(10)));
    tick.tick().await;
    let mut monitor = WarmUseMonitor::default();
    loop {
        let Some(inner) = pool.upgrade() else { return };
        tokio::select! {
            biased;
            _ = surplus.tick() => {
                inner.end_surplus();
                continue;
            }
            _ = tick.tick() => monitor.check(&inner),
            () = inner.check_requested.notified() => {}
        }
        let round_start = Instant::now();
        inner.end_surplus();
        while let Some(entry) = inner.take_unchecked(round_start) {
            inner.check(entry).await;
        }
        inner.fill();
    }
}

impl Inner {
    /// Ends the idle sandboxes that are more than are kept.
    fn end_surplus(&self) {
        let mut removed = Vec::new();
        let mut state = self.state();
        let now = Instant::now();
        while let Some(at) = state.first_surplus(now, &self.config) {
            state.counts.retired += 1;
            removed.push(state.warm.remove(at));
        }
        drop(state);
        drop(removed);
    }

    /// Takes the next idle sandbox that has not been checked in this round.
    fn take_unchecked(&self, round_start: Instant) -> Option<PoolEntry> {
        let mut state = self.state();
        let at = state.warm.iter().position(|entry| entry.checked_at < round_start)?;
        Some(state.warm.remove(at))
    }

    async fn check(self: &Arc<Self>, mut entry: PoolEntry) {
        let now = Instant::now();
        if entry.age(now) >= self.config.max_age {
            self.state().counts.retired += 1;
            return;
        }
        let may_sleep = !self.config.sleep_after.is_zero() && entry.idle(now) >= self.config.sleep_after;
        let how = if may_sleep || entry.is_asleep() { Maintenance::Asleep } else { Maintenance::Awake };
        match timeout(CHECK_TIMEOUT, entry.maintain(how)).await {
            Ok(Ok(())) => self.make_available(entry),
            Ok(Err(_)) | Err(_) => self.state().counts.evicted += 1,
        }
    }
}

/// Detects a pool whose warm sandboxes are never used although requests arrive.
#[derive(Default)]
struct WarmUseMonitor {
    taken: u64,
    reused: u64,
    /// Since when every request has had to wait for a sandbox although warm ones were idle.
    unused_since: Option<Instant>,
}

/// Time after which an unused pool is logged.
const UNUSED_WARNING_AFTER: Duration = Duration::from_secs(60);

impl WarmUseMonitor {
    fn check(&mut self, inner: &Arc<Inner>) {
        let state = inner.state();
        let (counts, warm) = (state.counts, state.warm.len());
        drop(state);
        if self.is_unused(&counts, warm, inner.config.maintenance_interval) {
            let PoolCounts { taken, reused, .. } = counts;
            tracing::warn!(
                target: "e2b_metrics", event = "pool_unused", tier = inner.tier.as_str(), warm, taken, reused,
                "[E2B_METRICS]"
            );
        }
    }

    /// Returns whether to log a warning: in all checks of the last minute, `every` apart, sandboxes were taken and none
    /// of them was warm.
    fn is_unused(&mut self, counts: &PoolCounts, warm: usize, every: Duration) -> bool {
        let unused = counts.taken > self.taken && counts.reused == self.reused && warm > 0;
        (self.taken, self.reused) = (counts.taken, counts.reused);
        if !unused {
            self.unused_since = None;
            return false;
        }
        let since = *self.unused_since.get_or_insert_with(Instant::now);
        let warn = since.elapsed() + every >= UNUSED_WARNING_AFTER;
        if warn {
            self.unused_since = None;
        }
        warn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_logged_if_requests_use_no_warm_sandbox_for_a_minute() {
        let every = Duration::from_secs(30);
        let counts = |taken, reused| PoolCounts { taken, reused, ..PoolCounts::default() };
        let mut monitor = WarmUseMonitor::default();
        assert!(!monitor.is_unused(&counts(3, 0), 3, every));
        tokio::time::advance(every).await;
        assert!(monitor.is_unused(&counts(5, 0), 3, every));
        // No warning: a warm sandbox was used, nothing was requested, or no sandbox was warm.
        for (taken, reused, warm) in [(7, 1, 3), (7, 1, 3), (9, 1, 0)] {
            tokio::time::advance(every).await;
            assert!(!monitor.is_unused(&counts(taken, reused), warm, every));
        }
    }
}
