//! Who runs next: a fair queue before a tier's slots.
//!
//! Classes come first (high, normal, low); a request gains a class per [`Config::ageing`] in which its user was given
//! nothing, so nobody starves.
//! Inside a class users take turns, and a user's own requests keep their order. A newcomer joins behind the users that
//! already wait, so many names give no advantage over those who were there before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::request::Priority;
use crate::route::TierName;

/// The queue of one tier.
pub struct FairQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most programs that run at once.
    pub slots: usize,
    /// Most programs of one user that run at once.
    pub per_user: usize,
    /// Most requests that wait.
    pub length: usize,
    /// Longest that a request waits.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// A waiting request gains a class each time this has passed. Zero: never.
    #[serde(with = "humantime_serde")]
    pub ageing: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 6, per_user: 2, length: 1000, patience: Duration::from_secs(30), ageing: Duration::from_secs(5) }
    }
}

/// The right to run one program now. Dropping it gives it to whoever is next.
#[must_use = "a slot is held for as long as the program runs"]
pub struct Slot {
    shared: Arc<Shared>,
    user: Arc<str>,
    priority: Priority,
    ticket: u64,
    since: Instant,
}

/// There is no slot to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the queue is full")]
    Full { retry_after: Duration },
    #[error("no slot was free within {waited:?}")]
    Late { waited: Duration, retry_after: Duration },
}

/// How busy a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub running: usize,
    pub queued: usize,
    pub slots: usize,
}

struct Shared {
    /// Whose queue this is, for the log.
    tier: TierName,
    config: Config,
    /// Protects who runs and who waits; held for a few instructions and never over an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    queued: usize,
    /// Counts tickets and turns.
    next: u64,
    /// Users that run or wait, none besides.
    users: BTreeMap<Arc<str>, Line>,
    /// How long a slot is usually held.
    usual: Duration,
}

/// One user's requests.
#[derive(Default)]
struct Line {
    running: usize,
    /// The smallest goes first.
    turn: u64,
    /// When it was last given a slot.
    served: Option<Instant>,
    /// By class, then by arrival.
    waiting: [VecDeque<Place>; 3],
}

struct Place {
    ticket: u64,
    since: Instant,
    granted: oneshot::Sender<()>,
}

impl FairQueue {
    pub fn new(tier: TierName, config: Config) -> Self {
        let config = Config { slots: config.slots.max(1), per_user: config.per_user.max(1), ..config };
        let state = State { usual: Duration::from_secs(1), ..State::default() };
        Self { shared: Arc::new(Shared { tier, config, state: Mutex::new(state) }) }
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// The queue is full, or the wait was too long; both say when to come back.
    pub async fn slot(&self, user: &Arc<str>, priority: Priority) -> Result<Slot, Refusal> {
        let now = Instant::now();
        let (granted, mut grant) = oneshot::channel();
        // From here on the slot is the guard: dropped while it waits, it leaves; dropped later, it gives back.
        let mut slot = self.shared.join(user, priority, now, granted)?;
        if grant.try_recv().is_ok() {
            return Ok(slot);
        }
        let tier = self.shared.tier.as_str();
        tracing::info!(target: "e2b_metrics", event = "request_queued", tier, user = &**user, "[E2B_METRICS]");
        match timeout_at(now + self.shared.config.patience, grant).await {
            Ok(_) => {
                slot.since = Instant::now();
                Ok(slot)
            }
            Err(_) => {
                let retry_after = self.shared.state().retry_after(&self.shared.config);
                Err(Refusal::Late { waited: now.elapsed(), retry_after })
            }
        }
    }

    pub fn load(&self) -> Load {
        let state = self.shared.state();
        Load { running: state.running, queued: state.queued, slots: self.shared.config.slots }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.shared.state();
        state.leave(self, now);
        state.grant(&self.shared.config, now);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(
        self: &Arc<Self>,
        user: &Arc<str>,
        priority: Priority,
        now: Instant,
        granted: oneshot::Sender<()>,
    ) -> Result<Slot, Refusal> {
        let mut state = self.state();
        // A request that could start at once is not turned away because others wait for their own limits.
        let could_start = state.running < self.config.slots
            && state.users.get(user).is_none_or(|line| line.running < self.config.per_user && line.is_idle());
        if state.queued >= self.config.length && !could_start {
            return Err(Refusal::Full { retry_after: state.retry_after(&self.config) });
        }
        let ticket = state.count();
        let line = state.users.entry(user.clone()).or_default();
        if line.is_idle() {
            line.turn = ticket;
        }
        line.waiting[priority as usize].push_back(Place { ticket, since: now, granted });
        state.queued += 1;
        state.grant(&self.config, now);
        Ok(Slot { shared: self.clone(), user: user.clone(), priority, ticket, since: now })
    }
}

impl State {
    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Gives every slot that is free to whoever is next.
    fn grant(&mut self, config: &Config, now: Instant) {
        while self.running < config.slots && self.queued > 0 {
            let Some((user, class)) = self.next_up(config, now) else { return };
            let turn = self.count();
            let Some(line) = self.users.get_mut(&user) else { return };
            let Some(place) = line.waiting[class].pop_front() else { return };
            line.turn = turn;
            line.served = Some(now);
            line.running += 1;
            self.running += 1;
            self.queued -= 1;
            // A waiter that leaves at this very moment gives the slot back when it drops its guard.
            let _ = place.granted.send(());
        }
    }

    /// The user whose turn it is, and which of its requests.
    fn next_up(&self, config: &Config, now: Instant) -> Option<(Arc<str>, usize)> {
        let (_, _, class, user) = self
            .users
            .iter()
            .filter(|(_, line)| line.running < config.per_user)
            .filter_map(|(user, line)| {
                let (_, _, class, since) = line.best(config, now)?;
                // Against others only that time counts in which the user got nothing: a long line of one's own gives no
                // advantage over those who wait for their first.
                let since = line.served.map_or(since, |served| served.max(since));
                Some((aged(class, since, config, now), line.turn, class, user))
            })
            .min_by_key(|(aged, turn, ..)| (*aged, *turn))?;
        Some((user.clone(), class))
    }

    fn leave(&mut self, slot: &Slot, now: Instant) {
        let Some(line) = self.users.get_mut(&slot.user) else { return };
        let places = &mut line.waiting[slot.priority as usize];
        if let Ok(at) = places.binary_search_by_key(&slot.ticket, |place| place.ticket) {
            places.remove(at);
            self.queued -= 1;
        } else {
            line.running -= 1;
            self.running -= 1;
            // A moving average over about eight programs.
            self.usual = (self.usual * 7 + (now - slot.since)) / 8;
        }
        if line.running == 0 && line.is_idle() {
            self.users.remove(&slot.user);
        }
    }

    /// When a slot may be free for one more than those who wait.
    fn retry_after(&self, config: &Config) -> Duration {
        let ahead = u32::try_from(self.queued + 1).unwrap_or(u32::MAX);
        let slots = u32::try_from(config.slots).unwrap_or(u32::MAX);
        (self.usual.saturating_mul(ahead) / slots).clamp(Duration::from_millis(100), Duration::from_secs(60))
    }
}

impl Line {
    /// Nobody waits.
    fn is_idle(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// The request that goes first: its class after ageing, its ticket, its class of origin, since when it waits.
    fn best(&self, config: &Config, now: Instant) -> Option<(usize, u64, usize, Instant)> {
        let heads = self.waiting.iter().enumerate().filter_map(|(class, places)| Some((class, places.front()?)));
        heads.map(|(class, place)| (aged(class, place.since, config, now), place.ticket, class, place.since)).min()
    }
}

/// The class of a request that has waited since then.
fn aged(class: usize, since: Instant, config: &Config, now: Instant) -> usize {
    let gained = (now - since).as_nanos().checked_div(config.ageing.as_nanos()).unwrap_or(0);
    class.saturating_sub(usize::try_from(gained).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
