//! The lifetime of a session: its end, and whether it runs, is paused or has ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::messages::AtEnd;
use crate::clock::WallClock;

/// Whether a session can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    Running,
    /// Its state is kept; it must be resumed before its next use.
    Paused,
    Ended,
}

/// The state of one session and the time at which it ends.
pub struct Lifetime {
    wall: WallClock,
    started: Instant,
    at_end: AtEnd,
    /// Held for a few instructions.
    times: Mutex<Times>,
    state: watch::Sender<SessionState>,
}

struct Times {
    ends: Instant,
    used: Instant,
}

impl Lifetime {
    pub(super) fn new(wall: WallClock, timeout: Duration, at_end: AtEnd) -> Self {
        let now = Instant::now();
        let times = Mutex::new(Times { ends: now + timeout, used: now });
        Self { wall, started: now, at_end, times, state: watch::Sender::new(SessionState::Running) }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state, after ending or pausing a running session whose time is over.
    pub fn state(&self) -> SessionState {
        self.expire();
        *self.state.borrow()
    }

    fn expire(&self) {
        let ends = self.times().ends;
        if *self.state.borrow() == SessionState::Running && ends <= Instant::now() {
            self.transition_to(match self.at_end {
                AtEnd::Kill => SessionState::Ended,
                AtEnd::Pause => SessionState::Paused,
            });
        }
    }

    /// Changes the state. Returns false if it is in that state already or has ended.
    pub(super) fn transition_to(&self, next: SessionState) -> bool {
        self.state.send_if_modified(|now| {
            let changes = *now != SessionState::Ended && *now != next;
            if changes {
                *now = next;
            }
            changes
        })
    }

    /// Sets the end to `time` from now.
    pub fn set_timeout(&self, time: Duration) {
        self.times().ends = Instant::now() + time;
        self.wake_waiters();
    }

    /// Sets the end to `time` from now, unless it is later than that.
    pub fn extend(&self, time: Duration) {
        let mut times = self.times();
        times.ends = times.ends.max(Instant::now() + time);
        drop(times);
        self.wake_waiters();
    }

    /// Makes tasks that wait for the end read its time again.
    fn wake_waiters(&self) {
        self.state.send_modify(|_| {});
    }

    /// Records a use.
    pub(super) fn touch(&self) {
        self.times().used = Instant::now();
    }

    /// Returns the time since the last use.
    pub(super) fn idle(&self) -> Duration {
        self.times().used.elapsed()
    }

    /// Returns when the session was created.
    pub fn started_at(&self) -> SystemTime {
        self.wall.at(self.started)
    }

    /// Returns when its time is over.
    pub fn ends_at(&self) -> SystemTime {
        self.wall.at(self.times().ends)
    }

    /// Resolves when the session is paused or has ended.
    pub async fn stopped(&self) {
        self.until(|state| state != SessionState::Running).await;
    }

    /// Resolves when the session is not paused.
    pub(super) async fn resumed(&self) {
        self.until(|state| state != SessionState::Paused).await;
    }

    /// Resolves when the session has ended.
    pub async fn ended(&self) {
        self.until(|state| state == SessionState::Ended).await;
    }

    async fn until(&self, reached: impl Fn(SessionState) -> bool) {
        let mut changes = self.state.subscribe();
        loop {
            if reached(self.state()) {
                return;
            }
            changes.mark_unchanged();
            if reached(*changes.borrow_and_update()) {
                return;
            }
            let running = *self.state.borrow() == SessionState::Running;
            let ends = self.times().ends;
            tokio::select! {
                biased;
                () = sleep_until(ends), if running => {}
                _ = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn lifetime(at_end: AtEnd) -> Lifetime {
        Lifetime::new(WallClock::starting_at(std::time::UNIX_EPOCH), Duration::from_secs(10), at_end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_timeout_counts_from_now_and_extending_never_shortens() {
        let life = lifetime(AtEnd::Kill);
        advance(Duration::from_secs(9)).await;
        life.extend(Duration::from_secs(5));
        advance(Duration::from_secs(4)).await;
        assert_eq!(life.state(), SessionState::Running);
        life.extend(Duration::from_millis(1));
        assert_eq!(life.ends_at(), std::time::UNIX_EPOCH + Duration::from_secs(14));
        life.set_timeout(Duration::from_millis(10));
        advance(Duration::from_millis(11)).await;
        assert_eq!(life.state(), SessionState::Ended);
        life.set_timeout(Duration::from_secs(10));
        assert_eq!(life.state(), SessionState::Ended);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_end_resolves_at_its_time_however_often_that_was_changed() {
        let life = std::sync::Arc::new(lifetime(AtEnd::Pause));
        let (waiting, began) = (life.clone(), Instant::now());
        let stopped = tokio::spawn(async move {
            waiting.stopped().await;
            began.elapsed()
        });
        advance(Duration::from_secs(5)).await;
        life.set_timeout(Duration::from_secs(20));
        assert_eq!(stopped.await.unwrap(), Duration::from_secs(25));
        assert_eq!(life.state(), SessionState::Paused);
        assert!(life.transition_to(SessionState::Running) && !life.transition_to(SessionState::Running));
        assert!(life.transition_to(SessionState::Ended) && !life.transition_to(SessionState::Running));
    }
}
