//! Who runs next: a fair queue before a tier's slots.
//!
//! Inside a class (high, normal, low) users take turns, and a user's own requests keep their order. A newcomer joins behind
//! the users that already wait, so many names give no advantage over those who were there before. A better class goes first,
//! but a user passes another that did not ask for a low class only once before it is that one's turn; and a request gains a
//! class per [`Config::ageing_interval`] in which its user was given nothing. So nobody starves.
//!
//! No user keeps the others out. Without extra slots one user never has every slot. With extra slots a program that has run
//! for longer than [`Config::time_slice`] no longer keeps a user waiting who has no program running: that user gets one of
//! [`Config::extra_slots`]. And where the queue is full, the longest line gives way to a shorter one.
//!
//! Several tiers can have [limits in common](Overall). Their requests then wait in one place for both, so that nobody holds the
//! one and waits for the other.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::rounded;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::request::Priority;
use crate::route::TierName;
use state::State;

/// The queue of one tier.
pub struct FairQueue {
    shared: Arc<Shared>,
    /// Which of the tiers that share the limits.
    lane: usize,
    /// Whose queue this is, for the log.
    tier: TierName,
    wait_timeout: Duration,
}

/// How many programs run at once and how requests wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Programs that run at once, those in extra slots not counted. In a local tier no more than it has worker processes
    /// for programs.
    pub slots: usize,
    /// Programs of one user that run at once; without extra slots always fewer than `slots`, where that is two or more.
    pub per_user: usize,
    /// Requests that wait; 0: none may. In a full queue the newest request of the longest line is refused for a request of
    /// a shorter one.
    pub length: usize,
    /// Requests of one user that wait, also while no other user does. Not set: as many as `length`.
    pub length_per_user: Option<usize>,
    /// Longest time that a request waits for a slot; then it is refused.
    #[serde(with = "humantime_serde")]
    pub wait_timeout: Duration,
    /// A waiting request gains a priority each time this has passed; 0: never.
    #[serde(with = "humantime_serde")]
    pub ageing_interval: Duration,
    /// A program that has run for longer than this no longer delays users who have none running, while there are extra
    /// slots.
    #[serde(with = "humantime_serde")]
    pub time_slice: Duration,
    /// Programs that run beyond `slots`, each of a user who had no other running when it began, at most 1024; 0: none. In a
    /// local tier each is one more worker process.
    pub extra_slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 6,
            per_user: 2,
            length: 1000,
            length_per_user: None,
            wait_timeout: Duration::from_secs(30),
            ageing_interval: Duration::from_secs(5),
            time_slice: Duration::from_millis(250),
            extra_slots: 0,
        }
    }
}

/// Most extra slots that can be set: each is a worker process.
const MOST_EXTRA_SLOTS: usize = 1024;

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.slots == 0 {
            return Some("slots must be at least 1: with 0 nothing would ever run".to_owned());
        }
        if self.per_user == 0 {
            return Some("per_user must be at least 1: with 0 nothing would ever run".to_owned());
        }
        if self.length_per_user == Some(0) {
            return Some("length_per_user must be at least 1 (length = 0 lets no request wait)".to_owned());
        }
        (self.extra_slots > MOST_EXTRA_SLOTS)
            .then(|| format!("extra_slots is {}: it must be at most {MOST_EXTRA_SLOTS}", self.extra_slots))
    }
}

/// Limits over several tiers together. They hold beside those of each tier, and extra slots count in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overall {
    /// Programs that run at once in all tiers together. Not set: only the tiers' own limits.
    pub slots: Option<usize>,
    /// Programs of one user that run at once in all tiers together; always fewer than `slots`, where that is two or more.
    /// Not set: only the tiers' own limits.
    pub per_user: Option<usize>,
}

impl Overall {
    /// Whether anything is limited.
    pub fn is_set(&self) -> bool {
        self.slots.is_some() || self.per_user.is_some()
    }

    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        let zero = |name: &str| Some(format!("{name} must be at least 1: with 0 nothing would ever run"));
        match (self.slots, self.per_user) {
            (Some(0), _) => zero("slots"),
            (_, Some(0)) => zero("per_user"),
            _ => None,
        }
    }
}

/// The right to run one program now. Dropping it gives it to whoever is next.
#[must_use = "a slot is held for as long as the program runs"]
pub struct Slot {
    shared: Arc<Shared>,
    lane: usize,
    user: Arc<str>,
    priority: Priority,
    ticket: u64,
}

/// There is no slot to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many wait as may, and no line is longer than this one; or this was the longest line, and a request of a shorter one
    /// came. `share`: how many of one user may wait now, beside the others that do.
    #[error("the queue is full: at most {length} requests wait, {share} of each user while others wait too")]
    Full { length: usize, share: usize, retry_after: Duration },
    /// As many requests of this user wait as may.
    #[error("too many requests of this user wait: at most {allowed} may")]
    Line { allowed: usize, retry_after: Duration },
    #[error("no slot was free within {}", rounded(*.waited))]
    Late { waited: Duration, retry_after: Duration },
}

impl Refusal {
    pub fn retry_after(&self) -> Duration {
        let (Self::Full { retry_after, .. } | Self::Line { retry_after, .. } | Self::Late { retry_after, .. }) = self;
        *retry_after
    }
}

/// How busy a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Programs that run, those in extra slots too.
    pub running: usize,
    pub queued: usize,
    pub slots: usize,
}

/// Queues of several tiers with limits in common.
pub struct Queues(Arc<Shared>);

impl Queues {
    pub fn new(overall: &Overall) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::new(overall)), changed: Notify::new() }))
    }

    /// One more queue under the common limits.
    pub fn queue(&self, tier: TierName, config: Config) -> FairQueue {
        let wait_timeout = config.wait_timeout;
        let lane = self.0.state().add(config);
        FairQueue { shared: Arc::clone(&self.0), lane, tier, wait_timeout }
    }
}

struct Shared {
    /// Protects who runs and who waits; held for a few instructions and never over an await.
    state: Mutex<State>,
    /// Somebody came or left: the task that waits for programs to become long ones looks again.
    changed: Notify,
}

impl FairQueue {
    /// A queue with no limits but its own.
    pub fn new(tier: TierName, config: Config) -> Self {
        Queues::new(&Overall::default()).queue(tier, config)
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// Too many wait, or the wait was too long; each says when to come back.
    pub async fn slot(&self, user: &Arc<str>, priority: Priority) -> Result<Slot, Refusal> {
        let came = Instant::now();
        let (granted, mut grant) = oneshot::channel();
        // From here on the slot is the guard: dropped while it waits, it leaves; dropped later, it gives back.
        let slot = self.shared.join(self.lane, user, priority, came, granted)?;
        if grant.try_recv().is_ok() {
            return Ok(slot);
        }
        let tier = self.tier.as_str();
        tracing::info!(target: "e2b_metrics", event = "request_queued", tier, user = &**user, "[E2B_METRICS]");
        match timeout(self.wait_timeout, grant).await {
            Ok(Ok(Err(gave_way))) => Err(gave_way),
            // The sender is dropped with the queue alone, and this guard holds that.
            Ok(Ok(Ok(())) | Err(_)) => Ok(slot),
            Err(_) => {
                let retry_after = self.shared.state().retry_after(self.lane);
                Err(Refusal::Late { waited: came.elapsed(), retry_after })
            }
        }
    }

    pub fn load(&self) -> Load {
        self.shared.state().load(self.lane)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.shared.state();
        state.leave(self.lane, &self.user, self.priority, self.ticket, now);
        state.grant(now);
        self.shared.tell(&state);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(
        self: &Arc<Self>,
        lane: usize,
        user: &Arc<str>,
        priority: Priority,
        now: Instant,
        granted: oneshot::Sender<Result<(), Refusal>>,
    ) -> Result<Slot, Refusal> {
        let mut state = self.state();
        let ticket = state.join(lane, user, priority, now, granted)?;
        state.grant(now);
        if state.wants_watch() && !state.is_watched {
            state.is_watched = true;
            tokio::spawn(watch(Arc::clone(self)));
        }
        self.tell(&state);
        Ok(Slot { shared: Arc::clone(self), lane, user: Arc::clone(user), priority, ticket })
    }

    fn tell(&self, state: &State) {
        if state.is_watched {
            self.changed.notify_one();
        }
    }
}

/// Grants extra slots when programs become long ones. Ends when nobody waits for one.
async fn watch(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut state = shared.state();
            let now = Instant::now();
            state.grant(now);
            if !state.wants_watch() {
                state.is_watched = false;
                return;
            }
            state.next_long(now)
        };
        let becomes_long = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = becomes_long => {}
            () = shared.changed.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
