//! How long a session lives, and whether it does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::asked::AtEnd;
use crate::clock::Wall;

/// Whether a session can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Running,
    /// Kept as it is; it must be resumed first.
    Paused,
    Ended,
}

/// The life of one session.
pub(super) struct Life {
    wall: Wall,
    started: Instant,
    at_end: AtEnd,
    /// Protects the times; held for a few instructions.
    state: Mutex<State>,
    standing: watch::Sender<Standing>,
}

struct State {
    ends: Instant,
    used: Instant,
}

impl Life {
    pub(super) fn new(wall: Wall, lasts: Duration, at_end: AtEnd) -> Self {
        let now = Instant::now();
        let state = Mutex::new(State { ends: now + lasts, used: now });
        Self { wall, started: now, at_end, state, standing: watch::Sender::new(Standing::Running) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its time is over and nobody has said so yet, it is over.
    pub(super) fn standing(&self) -> Standing {
        self.expire();
        *self.standing.borrow()
    }

    fn expire(&self) {
        let ends = self.state().ends;
        if *self.standing.borrow() == Standing::Running && ends <= Instant::now() {
            self.becomes(match self.at_end {
                AtEnd::Kill => Standing::Ended,
                AtEnd::Pause => Standing::Paused,
            });
        }
    }

    /// False: it was so already, or has ended.
    pub(super) fn becomes(&self, standing: Standing) -> bool {
        self.standing.send_if_modified(|now| {
            let changes = *now != Standing::Ended && *now != standing;
            if changes {
                *now = standing;
            }
            changes
        })
    }

    /// It ends so long from now.
    pub(super) fn lasts(&self, time: Duration) {
        self.state().ends = Instant::now() + time;
        // Whoever waits for the end looks again.
        self.standing.send_modify(|_| {});
    }

    /// It lives at least so long from now.
    pub(super) fn extends(&self, time: Duration) {
        let mut state = self.state();
        state.ends = state.ends.max(Instant::now() + time);
        drop(state);
        self.standing.send_modify(|_| {});
    }

    pub(super) fn touch(&self) {
        self.state().used = Instant::now();
    }

    /// How long nobody has used it.
    pub(super) fn idle(&self) -> Duration {
        self.state().used.elapsed()
    }

    pub(super) fn started_at(&self) -> SystemTime {
        self.wall.at(self.started)
    }

    pub(super) fn ends_at(&self) -> SystemTime {
        self.wall.at(self.state().ends)
    }

    /// Resolves when it does not run any more.
    pub(super) async fn stopped(&self) {
        self.until(|standing| standing != Standing::Running).await;
    }

    /// Resolves when it is not paused any more.
    pub(super) async fn resumed(&self) {
        self.until(|standing| standing != Standing::Paused).await;
    }

    /// Resolves when it has ended.
    pub(super) async fn ended(&self) {
        self.until(|standing| standing == Standing::Ended).await;
    }

    async fn until(&self, reached: impl Fn(Standing) -> bool) {
        let mut standing = self.standing.subscribe();
        loop {
            if reached(self.standing()) {
                return;
            }
            standing.mark_unchanged();
            if reached(*standing.borrow_and_update()) {
                return;
            }
            let running = *self.standing.borrow() == Standing::Running;
            let ends = self.state().ends;
            tokio::select! {
                () = sleep_until(ends), if running => {}
                _ = standing.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn life(at_end: AtEnd) -> Life {
        Life::new(Wall::starting_at(std::time::UNIX_EPOCH), Duration::from_secs(10), at_end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_set_anew_counts_from_now_and_extending_never_shortens() {
        let life = life(AtEnd::Kill);
        advance(Duration::from_secs(9)).await;
        life.extends(Duration::from_secs(5));
        advance(Duration::from_secs(4)).await;
        assert_eq!(life.standing(), Standing::Running);
        life.extends(Duration::from_millis(1));
        assert_eq!(life.ends_at(), std::time::UNIX_EPOCH + Duration::from_secs(14));
        life.lasts(Duration::from_millis(10));
        advance(Duration::from_millis(11)).await;
        assert_eq!(life.standing(), Standing::Ended);
        life.lasts(Duration::from_secs(10));
        assert_eq!(life.standing(), Standing::Ended);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_end_hears_of_it_at_its_time_however_often_that_was_moved() {
        let life = std::sync::Arc::new(life(AtEnd::Pause));
        let (waiting, began) = (life.clone(), Instant::now());
        let stopped = tokio::spawn(async move {
            waiting.stopped().await;
            began.elapsed()
        });
        advance(Duration::from_secs(5)).await;
        life.lasts(Duration::from_secs(20));
        assert_eq!(stopped.await.unwrap(), Duration::from_secs(25));
        assert_eq!(life.standing(), Standing::Paused);
        assert!(life.becomes(Standing::Running) && !life.becomes(Standing::Running));
        assert!(life.becomes(Standing::Ended) && !life.becomes(Standing::Running));
    }
}
