//! Single flight: of equal requests one runs, the others wait for how it lands.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fingerprint::Fingerprint;
use super::memory::Memory;
use super::{CacheStatus, Config, Kept};

pub(super) struct Shared {
    /// Protects what is kept and who flies; held for a look-up and never over an await.
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    flights: HashMap<Fingerprint, Followers>,
    /// Requests whose last result could not be shared: their equals do not wait for each other.
    unshared: LruCache<Fingerprint, ()>,
    next: u64,
}

/// By the order in which they came.
type Followers = BTreeMap<u64, oneshot::Sender<Landing>>;

/// How a flight ends for a follower.
pub(super) enum Landing {
    Shared(Arc<Kept>),
    /// The leader is gone without a result: it is your turn.
    Leads(Flight),
    /// The result holds for the leader only.
    Alone,
}

/// What a request finds when it comes.
pub(super) enum Boarding {
    Kept(Arc<Kept>),
    Leads(Flight),
    Follows(Seat),
    Alone,
}

/// A run that the cache hears of. Dropped without landing, it lets the next equal request run.
#[must_use = "a flight that is dropped at once shares nothing"]
pub struct Flight {
    shared: Arc<Shared>,
    key: Fingerprint,
    role: Role,
}

enum Role {
    /// Others may follow.
    Leads,
    /// Nobody follows; the result may be kept.
    Alone,
    /// The cache is left out.
    Bypass,
    Landed,
}

impl Flight {
    pub(super) fn alone(shared: &Arc<Shared>, key: &Fingerprint) -> Self {
        Self { shared: shared.clone(), key: *key, role: Role::Alone }
    }

    pub(super) fn bypass(shared: &Arc<Shared>, key: &Fingerprint) -> Self {
        Self { shared: shared.clone(), key: *key, role: Role::Bypass }
    }

    fn leads(shared: &Arc<Shared>, key: &Fingerprint) -> Self {
        Self { shared: shared.clone(), key: *key, role: Role::Leads }
    }

    pub fn status(&self) -> CacheStatus {
        if matches!(self.role, Role::Bypass) { CacheStatus::Bypass } else { CacheStatus::Miss }
    }

    /// The run is over. What may be kept is kept and given to all who follow; else they run by themselves.
    pub fn land(mut self, kept: Option<Kept>) {
        let role = std::mem::replace(&mut self.role, Role::Landed);
        let leads = match role {
            Role::Bypass | Role::Landed => return,
            Role::Alone => false,
            Role::Leads => true,
        };
        let kept = kept.map(Arc::new);
        let mut state = self.shared.state();
        match &kept {
            Some(kept) => {
                state.unshared.pop(&self.key);
                state.memory.put(self.key, kept.clone(), Instant::now());
            }
            None => {
                state.unshared.put(self.key, ());
            }
        }
        let followers = if leads { state.flights.remove(&self.key).unwrap_or_default() } else { Followers::new() };
        drop(state);
        for follower in followers.into_values() {
            // A follower that left needs no landing.
            let _ = follower.send(kept.clone().map_or(Landing::Alone, Landing::Shared));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if matches!(self.role, Role::Leads) {
            self.role = Role::Landed;
            self.shared.pass_on(&self.key);
        }
    }
}

/// A follower's place.
pub(super) struct Seat {
    shared: Arc<Shared>,
    key: Fingerprint,
    ticket: u64,
    landing: oneshot::Receiver<Landing>,
}

impl Seat {
    pub(super) async fn landing(mut self) -> Landing {
        (&mut self.landing).await.unwrap_or(Landing::Alone)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(followers) = self.shared.state().flights.get_mut(&self.key) {
            followers.remove(&self.ticket);
        }
    }
}

impl Shared {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let unshared = LruCache::new(NonZeroUsize::new(config.entries).unwrap_or(NonZeroUsize::MIN));
        let state = State { memory: Memory::new(config), flights: HashMap::new(), unshared, next: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn board(self: &Arc<Self>, key: &Fingerprint) -> Boarding {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(kept) = state.memory.get(key, Instant::now()) {
            return Boarding::Kept(kept);
        }
        if state.unshared.get(key).is_some() {
            return Boarding::Alone;
        }
        let Some(followers) = state.flights.get_mut(key) else {
            state.flights.insert(*key, Followers::new());
            return Boarding::Leads(Flight::leads(self, key));
        };
        let (landed, landing) = oneshot::channel();
        state.next += 1;
        followers.insert(state.next, landed);
        Boarding::Follows(Seat { shared: self.clone(), key: *key, ticket: state.next, landing })
    }

    /// The leader is gone: the first follower that is still there leads.
    fn pass_on(self: &Arc<Self>, key: &Fingerprint) {
        loop {
            let next = {
                let mut state = self.state();
                match state.flights.get_mut(key).and_then(BTreeMap::pop_first) {
                    Some((_, next)) => next,
                    None => {
                        state.flights.remove(key);
                        return;
                    }
                }
            };
            match next.send(Landing::Leads(Flight::leads(self, key))) {
                Ok(()) => return,
                // It left in this moment. Its lead must not pass itself on: this loop does.
                Err(Landing::Leads(mut lead)) => lead.role = Role::Landed,
                Err(Landing::Shared(_) | Landing::Alone) => {}
            }
        }
    }

    pub(super) fn kept(&self) -> usize {
        self.state().memory.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().flights.len()
    }
}
