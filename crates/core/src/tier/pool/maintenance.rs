//! Looks after the sandboxes that nobody uses: whether they live, whether there are too many, whether they may sleep.

use std::sync::{Arc, Weak};
use std::time::Duration;

use switchtower_contract::Maintenance;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::entry::PoolEntry;
use super::{Counts, Inner};

/// Longest that a look at a sandbox may take.
const LOOK: Duration = Duration::from_secs(20);

/// Looks every `every`, and when it is asked to, for as long as the pool is there.
pub(super) async fn upkeep(pool: Weak<Inner>, every: Duration) {
    let mut tick = interval(every.max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut use_of_it = Use::default();
    loop {
        let Some(inner) = pool.upgrade() else { return };
        tokio::select! {
            _ = tick.tick() => use_of_it.look(&inner),
            () = inner.look.notified() => {}
        }
        let began = Instant::now();
        while let Some(entry) = inner.due(began) {
            inner.look_at(entry).await;
        }
        inner.fill();
    }
}

impl Inner {
    /// The next one that was not looked at since; those beyond the target that have been idle go without a look.
    fn due(&self, began: Instant) -> Option<PoolEntry> {
        let mut state = self.state();
        let extra = state.warm.len().saturating_sub(state.aim(began, &self.config));
        if extra > 0
            && let Some(at) = state.warm.iter().position(|entry| entry.idle(began) >= self.config.maintenance_interval)
        {
            state.counts.retired += 1;
            let gone = state.warm.remove(at);
            drop(state);
            drop(gone);
            return self.due(began);
        }
        let at = state.warm.iter().position(|entry| entry.looked_at < began)?;
        Some(state.warm.remove(at))
    }

    async fn look_at(&self, mut entry: PoolEntry) {
        let now = Instant::now();
        if entry.age(now) >= self.config.max_age {
            self.state().counts.retired += 1;
            return;
        }
        let sleeps = !self.config.sleep_after.is_zero() && entry.idle(now) >= self.config.sleep_after;
        let how = if sleeps || entry.is_asleep() { Maintenance::Asleep } else { Maintenance::Awake };
        match timeout(LOOK, entry.maintain(how)).await {
            Ok(Ok(())) => self.offer(entry),
            Ok(Err(_)) | Err(_) => self.state().counts.evicted += 1,
        }
    }
}

/// Whether what is kept warm is used at all.
#[derive(Default)]
struct Use {
    taken: u64,
    reused: u64,
    /// Since when sandboxes were taken, none of them warm, while warm ones stood there.
    unused_since: Option<Instant>,
}

/// So long a pool may stand unused beside its work before it is told.
const UNUSED: Duration = Duration::from_secs(60);

impl Use {
    fn look(&mut self, inner: &Arc<Inner>) {
        let state = inner.state();
        let (counts, warm) = (state.counts, state.warm.len());
        drop(state);
        if self.stands_unused(&counts, warm, inner.config.maintenance_interval) {
            let Counts { taken, reused, .. } = counts;
            tracing::warn!(
                target: "e2b_metrics", event = "pool_unused", tier = inner.tier.as_str(), warm, taken, reused,
                "[E2B_METRICS]"
            );
        }
    }

    /// Whether it is time to tell: for a minute of looks, `every` apart, sandboxes were lent and none of them was warm.
    fn stands_unused(&mut self, counts: &Counts, warm: usize, every: Duration) -> bool {
        let unused = counts.taken > self.taken && counts.reused == self.reused && warm > 0;
        (self.taken, self.reused) = (counts.taken, counts.reused);
        if !unused {
            self.unused_since = None;
            return false;
        }
        let since = *self.unused_since.get_or_insert_with(Instant::now);
        let told = since.elapsed() + every >= UNUSED;
        if told {
            self.unused_since = None;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pool_that_stands_warm_beside_its_work_for_a_minute_is_told_of() {
        let every = Duration::from_secs(30);
        let counts = |taken, reused| Counts { taken, reused, ..Counts::default() };
        let mut seen = Use::default();
        assert!(!seen.stands_unused(&counts(3, 0), 3, every));
        tokio::time::advance(every).await;
        assert!(seen.stands_unused(&counts(5, 0), 3, every));
        // One that is used, one with nothing to do, and one that is empty are as they should be.
        for (taken, reused, warm) in [(7, 1, 3), (7, 1, 3), (9, 1, 0)] {
            tokio::time::advance(every).await;
            assert!(!seen.stands_unused(&counts(taken, reused), warm, every));
        }
    }
}
