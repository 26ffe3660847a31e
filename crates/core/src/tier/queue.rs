//! A fair queue for the slots of a tier.
//!
//! Within a priority (high, normal, low) users take turns, and each user's requests keep their order. A new user joins
//! behind the users that already wait, so using many names gives no advantage over earlier users. Requests of a higher
//! priority go first, with two exceptions that prevent starvation: a user overtakes another user's request of normal or
//! high priority only once before that request's turn, and a request is promoted by one priority for each
//! [`Config::ageing_interval`] in which its user was granted nothing.
//!
//! No user can exclude the others. Without extra slots, one user never holds all slots. With extra slots, a program
//! that has run for longer than [`Config::time_slice`] no longer delays a user that has no program running: that user
//! gets one of [`Config::extra_slots`]. If the queue is full, the user with the most waiting requests loses its newest
//! one to a user with fewer.
//!
//! Tiers can share [overall limits](Overall). A request then waits for its tier's limit and the shared limit at once,
//! so it never holds one while it waits for the other.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{duration, rounded};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::request::Priority;
use crate::route::TierName;
use state::{GrantSender, State};

/// The queue of one tier.
pub struct FairQueue {
    shared: Arc<Shared>,
    /// Index of the tier among those that share limits.
    lane: usize,
    /// For the log.
    tier: TierName,
    wait_timeout: Duration,
}

/// How many programs run at once and how requests are queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Programs that run at once, not counting those in extra slots. In a local tier at most the number of its worker
    /// processes for programs.
    pub slots: usize,
    /// Programs of one user that run at once; without extra slots always fewer than `slots`, if that is at least 2.
    pub per_user: usize,
    /// Requests that may wait; 0: none. If the queue is full, a new request replaces the newest one of the user with
    /// the most waiting requests, if its own user has fewer.
    pub length: usize,
    /// Requests of one user that may wait, even if no other user waits. Not set: as many as `length`.
    pub length_per_user: Option<usize>,
    /// Longest time that a request waits for a slot before it is refused.
    #[serde(with = "duration")]
    pub wait_timeout: Duration,
    /// A waiting request is promoted by one priority after each such interval; 0: never.
    #[serde(with = "duration")]
    pub ageing_interval: Duration,
    /// A program that has run for longer than this does not delay users that have no program running, as long as extra
    /// slots are free.
    #[serde(with = "duration")]
    pub time_slice: Duration,
    /// Programs that run in addition to `slots`, each of a user that had no other program running when it started, at
    /// most 1024; 0: none. In a local tier each is one more worker process.
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

/// The time after which a request may be repeated that was refused because the process ends: another process may have
/// taken its place by then.
const RESTART: Duration = Duration::from_secs(1);

/// Upper limit of `extra_slots`: in a local tier each is a worker process.
const MAX_EXTRA_SLOTS: usize = 1024;

impl Config {
    /// Returns the first invalid setting: a message that starts with its name. `None` if all are valid.
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
        (self.extra_slots > MAX_EXTRA_SLOTS)
            .then(|| format!("extra_slots is {}: it must be at most {MAX_EXTRA_SLOTS}", self.extra_slots))
    }
}

/// Limits for all tiers together, in addition to those of each tier. Programs in extra slots count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overall {
    /// Programs that run at once in all tiers together. Not set: only the tiers' own limits.
    pub slots: Option<usize>,
    /// Programs of one user that run at once in all tiers together; always fewer than `slots`, if that is at least 2.
    /// Not set: only the tiers' own limits.
    pub per_user: Option<usize>,
}

impl Overall {
    /// Returns whether any limit is set.
    pub fn is_set(&self) -> bool {
        self.slots.is_some() || self.per_user.is_some()
    }

    /// Returns the first invalid setting: a message that starts with its name. `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        let zero = |name: &str| Some(format!("{name} must be at least 1: with 0 nothing would ever run"));
        match (self.slots, self.per_user) {
            (Some(0), _) => zero("slots"),
            (_, Some(0)) => zero("per_user"),
            _ => None,
        }
    }
}

/// Permission to run one program now. Dropping it frees the slot for the next request.
#[must_use = "a slot is held for as long as the program runs"]
pub struct Slot {
    shared: Arc<Shared>,
    lane: usize,
    user: Arc<str>,
    priority: Priority,
    ticket: u64,
}

/// Why a request got no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotRefusal {
    /// The queue is full and no user has more waiting requests than this one, or this request was replaced by one of a
    /// user with fewer. `share`: how many requests of one user may wait now, given the other users that wait.
    #[error("the queue is full: at most {length} requests may wait, {share} per user while other users wait")]
    QueueFull { length: usize, share: usize, retry_after: Duration },
    /// The user's own limit on waiting requests is reached.
    #[error("too many waiting requests of this user: at most {allowed} may wait")]
    UserQueueFull { allowed: usize, retry_after: Duration },
    #[error("no slot was free within {}", rounded(*.waited))]
    TimedOut { waited: Duration, retry_after: Duration },
    /// The process ends: only what runs already goes on.
    #[error("the server is shutting down")]
    ShuttingDown { retry_after: Duration },
}

impl SlotRefusal {
    /// Returns the refusal of what waits when the process ends.
    pub(super) fn shutting_down() -> Self {
        Self::ShuttingDown { retry_after: RESTART }
    }

    /// Returns an estimate of the time until a slot may be free.
    pub fn retry_after(&self) -> Duration {
        let (Self::QueueFull { retry_after, .. }
        | Self::UserQueueFull { retry_after, .. }
        | Self::TimedOut { retry_after, .. }
        | Self::ShuttingDown { retry_after }) = self;
        *retry_after
    }
}

/// The load of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Running programs, including those in extra slots.
    pub running: usize,
    /// Waiting requests.
    pub queued: usize,
    /// Configured slots, without extra slots.
    pub slots: usize,
}

/// The queues of tiers that share limits.
pub struct Queues(Arc<Shared>);

impl Queues {
    pub fn new(overall: &Overall) -> Self {
        let (state, changed, shutting_down) =
            (Mutex::new(State::new(overall)), Notify::new(), watch::Sender::new(false));
        Self(Arc::new(Shared { state, changed, shutting_down }))
    }

    /// Adds a queue under the shared limits.
    pub fn queue(&self, tier: TierName, config: Config) -> FairQueue {
        let wait_timeout = config.wait_timeout;
        let lane = self.0.state().add(config);
        FairQueue { shared: Arc::clone(&self.0), lane, tier, wait_timeout }
    }
}

struct Shared {
    /// Held for a few instructions and never over an await.
    state: Mutex<State>,
    /// Wakes the task that grants extra slots after a request has joined or left.
    changed: Notify,
    /// Whether no request may wait any more.
    shutting_down: watch::Sender<bool>,
}

impl FairQueue {
    /// Returns a queue without shared limits.
    pub fn new(tier: TierName, config: Config) -> Self {
        Queues::new(&Overall::default()).queue(tier, config)
    }

    /// Waits for a slot. Dropping the future removes the request from the queue.
    ///
    /// # Errors
    /// Too many requests wait, no slot was free within `wait_timeout`, or [`refuse_waiting`](Self::refuse_waiting) was
    /// called; with the time after which to retry.
    pub async fn slot(&self, user: &Arc<str>, priority: Priority) -> Result<Slot, SlotRefusal> {
        let joined = Instant::now();
        let (sender, mut granted) = oneshot::channel();
        // The slot is a guard from here on: dropped before the grant, it leaves the queue; dropped later, it frees the
        // slot.
        let slot = self.shared.join(self.lane, user, priority, joined, sender)?;
        if granted.try_recv().is_ok() {
            return Ok(slot);
        }
        let tier = self.tier.as_str();
        tracing::info!(target: "e2b_metrics", event = "request_queued", tier, user = &**user, "[E2B_METRICS]");
        let mut shutting_down = self.shared.shutting_down.subscribe();
        let granted = async {
            tokio::select! {
                biased;
                granted = granted => granted,
                _ = shutting_down.wait_for(|shutting_down| *shutting_down) => {
                    Ok(Err(SlotRefusal::shutting_down()))
                }
            }
        };
        match timeout(self.wait_timeout, granted).await {
            Ok(Ok(Err(refusal))) => Err(refusal),
            // The sender is dropped only with the queue's state, which this guard keeps alive.
            Ok(Ok(Ok(())) | Err(_)) => Ok(slot),
            Err(_) => {
                let retry_after = self.shared.state().retry_after(self.lane);
                Err(SlotRefusal::TimedOut { waited: joined.elapsed(), retry_after })
            }
        }
    }

    /// Refuses every request that waits for a slot, now and from now on, in all queues that share limits with this one.
    pub fn refuse_waiting(&self) {
        self.shared.shutting_down.send_replace(true);
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
        self.shared.notify(&state);
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
        sender: GrantSender,
    ) -> Result<Slot, SlotRefusal> {
        let mut state = self.state();
        let ticket = state.join(lane, user, priority, now, sender)?;
        state.grant(now);
        if state.may_grant_extra_slots() && !state.has_extra_slot_task {
            state.has_extra_slot_task = true;
            tokio::spawn(grant_extra_slots(Arc::clone(self)));
        }
        self.notify(&state);
        Ok(Slot { shared: Arc::clone(self), lane, user: Arc::clone(user), priority, ticket })
    }

    /// Wakes the task that grants extra slots, if it runs.
    fn notify(&self, state: &State) {
        if state.has_extra_slot_task {
            self.changed.notify_one();
        }
    }
}

/// Grants extra slots when programs have used up their time slice. Ends when no request waits for an extra slot.
async fn grant_extra_slots(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut state = shared.state();
            let now = Instant::now();
            state.grant(now);
            if !state.may_grant_extra_slots() {
                state.has_extra_slot_task = false;
                return;
            }
            state.next_extra_slot(now)
        };
        let slice_ends = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = slice_ends => {}
            () = shared.changed.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
