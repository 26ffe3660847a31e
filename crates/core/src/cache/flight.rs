//! Single flight: of equal requests one runs (the leader), and the others (its followers) wait for its result.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde::Serialize;
use switchtower_contract::InterpreterId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::bars::{Bars, Difference, Status, Subject};
use super::compare::{ResultDigest, first_difference};
use super::finding::Finding;
use super::fingerprint::Fingerprint;
use super::store::{Evidence, ResultStore};
use super::verification::{Comparison, Verification};
use super::{CacheStatus, Config, Stored, StoredResult};

/// The state of a cache, shared by its flights.
pub(super) struct Shared {
    /// Held for one operation, never over an await.
    state: Mutex<State>,
}

struct State {
    store: ResultStore,
    verification: Verification,
    bars: Bars,
    counts: CacheCounts,
    flights: HashMap<Fingerprint, ActiveFlight>,
    /// Requests whose last result could not be shared: equal requests do not wait for each other.
    unshared: LruCache<Fingerprint, ()>,
    next_ticket: u64,
}

/// A run with a leader, and the requests that wait for its result.
struct ActiveFlight {
    /// The leader's user, behind whose other requests the leader is queued.
    user: Arc<str>,
    /// Whether the leader's program runs. Before that, no request of another user waits for it.
    started: bool,
    /// By ticket, in order of arrival.
    followers: BTreeMap<u64, Follower>,
}

struct Follower {
    user: Arc<str>,
    end: oneshot::Sender<FlightEnd>,
}

/// How a flight ends for a follower.
pub(super) enum FlightEnd {
    Shared(Arc<StoredResult>),
    /// The leader was dropped without a result: the follower leads now.
    Leader(Flight),
    /// The leader's result cannot be shared: the follower runs itself.
    Alone,
}

/// Counts since the cache was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CacheCounts {
    /// Results that became candidates.
    pub candidates: u64,
    /// Results that an independent run agreed with.
    pub verified: u64,
    /// Rechecks: hits whose program was run again.
    pub rechecked: u64,
    /// Pairs of different results of one request.
    pub differences: u64,
}

/// How a request starts.
pub(super) enum FlightStart {
    /// There is a stored result.
    Stored(Arc<StoredResult>),
    Leader(Flight),
    Follower(FollowerHandle),
    /// It runs, and no other request waits for it.
    Alone,
    /// It runs, and its result is not stored: its program, or its class and rule, had different results.
    Barred,
}

/// A run whose result may go into the cache. Dropping the leader before [`complete`](Self::complete) makes the next follower
/// the leader.
#[must_use = "a flight that is dropped at once shares nothing"]
pub struct Flight {
    shared: Arc<Shared>,
    key: Fingerprint,
    subject: Subject,
    role: Role,
}

enum Role {
    /// Other requests may wait for the result.
    Leader,
    /// No other request waits; the result may be stored.
    Alone,
    /// The cache is not used.
    Bypass,
    /// The result is not stored.
    Barred,
    /// The flight has ended.
    Completed,
}

impl Flight {
    fn new(shared: &Arc<Shared>, key: &Fingerprint, subject: &Subject, role: Role) -> Self {
        Self { shared: shared.clone(), key: *key, subject: subject.clone(), role }
    }

    pub(super) fn alone(shared: &Arc<Shared>, key: &Fingerprint, subject: &Subject) -> Self {
        Self::new(shared, key, subject, Role::Alone)
    }

    pub(super) fn bypass(shared: &Arc<Shared>, key: &Fingerprint, subject: &Subject) -> Self {
        Self::new(shared, key, subject, Role::Bypass)
    }

    pub(super) fn barred(shared: &Arc<Shared>, key: &Fingerprint, subject: &Subject) -> Self {
        Self::new(shared, key, subject, Role::Barred)
    }

    /// Returns the status of the answer: `Bypass` or `Miss`.
    pub fn status(&self) -> CacheStatus {
        if matches!(self.role, Role::Bypass) { CacheStatus::Bypass } else { CacheStatus::Miss }
    }

    /// Returns the interpreter of the first run of a candidate: this run must use another one to be independent.
    pub fn avoid_interpreter(&self) -> Option<InterpreterId> {
        match self.role {
            Role::Leader | Role::Alone => self.shared.state().verification.candidate(&self.key, Instant::now()),
            Role::Bypass | Role::Barred | Role::Completed => None,
        }
    }

    /// Records that the program runs: from now on requests of other users may wait for its result too.
    pub fn start(&self) {
        if matches!(self.role, Role::Leader)
            && let Some(flight) = self.shared.state().flights.get_mut(&self.key)
        {
            flight.started = true;
        }
    }

    /// Ends the flight: stores the result and shares it with the followers if the finding allows it, else lets the followers
    /// run themselves. Returns whether the result was stored.
    pub fn complete(mut self, finding: Finding) -> Stored {
        let role = std::mem::replace(&mut self.role, Role::Completed);
        let leads = match role {
            Role::Bypass | Role::Barred | Role::Completed => return Stored::No,
            Role::Alone => false,
            Role::Leader => true,
        };
        let mut state = self.shared.state();
        let outcome = state.apply(self.key, &self.subject, finding, Instant::now());
        let shared_result = match &outcome {
            StoreOutcome::Shared { result, .. } => {
                state.unshared.pop(&self.key);
                Some(result.clone())
            }
            StoreOutcome::Candidate | StoreOutcome::No => {
                state.unshared.put(self.key, ());
                None
            }
        };
        let flight = if leads { state.flights.remove(&self.key) } else { None };
        drop(state);
        for follower in flight.into_iter().flat_map(|flight| flight.followers.into_values()) {
            // Fails for a follower that has stopped waiting.
            let _ = follower.end.send(shared_result.clone().map_or(FlightEnd::Alone, FlightEnd::Shared));
        }
        match outcome {
            StoreOutcome::Shared { stored: true, .. } => Stored::Kept,
            StoreOutcome::Candidate => Stored::Candidate,
            StoreOutcome::Shared { stored: false, .. } | StoreOutcome::No => Stored::No,
        }
    }
}

/// How the store took a result.
enum StoreOutcome {
    /// Followers may have it. `stored` is false if the store has no space for it.
    Shared {
        result: Arc<StoredResult>,
        stored: bool,
    },
    Candidate,
    No,
}

impl State {
    fn apply(&mut self, key: Fingerprint, subject: &Subject, finding: Finding, now: Instant) -> StoreOutcome {
        match finding {
            Finding::Unique => StoreOutcome::No,
            _ if self.bars.has(subject) => StoreOutcome::No,
            Finding::Observed(result) => self.store_result(key, subject, result, Evidence::Observed, now),
            Finding::Proven(result, interpreter) => match self.verification.compare(key, &result, interpreter, now) {
                Comparison::Agrees => {
                    self.counts.verified += 1;
                    self.store_result(key, subject, result, Evidence::Agreed { rechecks: 0 }, now)
                }
                Comparison::Candidate => {
                    self.counts.candidates += 1;
                    self.store.put(key, subject.clone(), Arc::new(result), Evidence::Candidate, now);
                    StoreOutcome::Candidate
                }
                Comparison::Differs(earlier) => {
                    let earlier = (earlier, self.store.peek(&key).filter(|earlier| earlier.tier == result.tier));
                    self.record_difference(key, subject, earlier, &result, now);
                    StoreOutcome::No
                }
            },
        }
    }

    fn store_result(
        &mut self,
        key: Fingerprint,
        subject: &Subject,
        result: StoredResult,
        evidence: Evidence,
        now: Instant,
    ) -> StoreOutcome {
        let result = Arc::new(result);
        let stored = self.store.put(key, subject.clone(), result.clone(), evidence, now);
        StoreOutcome::Shared { result, stored }
    }

    /// Records that two runs of one request had different results: logs an error, bars the program, and removes the results
    /// of everything that is barred.
    fn record_difference(
        &mut self,
        key: Fingerprint,
        subject: &Subject,
        (digest, earlier): (ResultDigest, Option<Arc<StoredResult>>),
        later: &StoredResult,
        now: Instant,
    ) {
        self.counts.differences += 1;
        let mut difference = Difference::new(subject, &later.tier, [digest, ResultDigest::of(later)], now);
        if let Some(earlier) = earlier {
            let first = first_difference(&earlier, later);
            difference = difference.with_outputs(first, [&earlier.output.stdout, &later.output.stdout]);
        }
        tracing::error!(
            program = difference.program,
            tier = later.tier.as_str(),
            class = difference.class,
            rule = &*difference.rule,
            results = ?difference.results,
            part = difference.first.as_ref().map(|first| first.part.as_str()),
            offset = difference.first.as_ref().map(|first| first.offset),
            "two runs of one program gave different results; it is no longer cached"
        );
        if self.bars.add(subject, difference) {
            tracing::error!(
                class = subject.class.name(),
                rule = &*subject.rule,
                "several programs of this class and rule gave different results; none of them is cached any more"
            );
        }
        self.verification.forget(&key);
        let Self { store, bars, .. } = self;
        store.remove_all(|subject| bars.has(subject));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if matches!(self.role, Role::Leader) {
            self.role = Role::Completed;
            self.shared.promote_follower(&self.key, &self.subject);
        }
    }
}

/// A follower's entry in a flight, removed when it is dropped.
pub(super) struct FollowerHandle {
    shared: Arc<Shared>,
    key: Fingerprint,
    ticket: u64,
    end: oneshot::Receiver<FlightEnd>,
}

impl FollowerHandle {
    /// Waits until the flight has ended for this follower.
    pub(super) async fn end(mut self) -> FlightEnd {
        (&mut self.end).await.unwrap_or(FlightEnd::Alone)
    }
}

impl Drop for FollowerHandle {
    fn drop(&mut self) {
        if let Some(flight) = self.shared.state().flights.get_mut(&self.key) {
            flight.followers.remove(&self.ticket);
        }
    }
}

impl Shared {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let unshared = LruCache::new(NonZeroUsize::new(config.max_entries).unwrap_or(NonZeroUsize::MIN));
        let state = State {
            store: ResultStore::new(config),
            verification: Verification::new(config.max_digests, config.ttl),
            bars: Bars::default(),
            counts: CacheCounts::default(),
            flights: HashMap::new(),
            unshared,
            next_ticket: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a request, or adds it to the flight of an equal one. `observed`: the first sandbox of its route observes the
    /// program's effects.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &Fingerprint,
        subject: &Subject,
        user: &Arc<str>,
        observed: bool,
    ) -> FlightStart {
        let mut state = self.state();
        let state = &mut *state;
        let now = Instant::now();
        if state.bars.has(subject) {
            return FlightStart::Barred;
        }
        if let Some(result) = state.store.get(key, now) {
            return FlightStart::Stored(result);
        }
        // An unverified result is not shared with equal requests in flight either.
        let unverified = !observed && !state.verification.is_verified(key, now);
        if unverified || state.unshared.get(key).is_some() {
            return FlightStart::Alone;
        }
        let Some(flight) = state.flights.get_mut(key) else {
            let flight = ActiveFlight { user: user.clone(), started: false, followers: BTreeMap::new() };
            state.flights.insert(*key, flight);
            return FlightStart::Leader(Flight::new(self, key, subject, Role::Leader));
        };
        // Otherwise one user's queue would delay another user's request.
        if !flight.started && flight.user != *user {
            return FlightStart::Alone;
        }
        let (sender, end) = oneshot::channel();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        flight.followers.insert(ticket, Follower { user: user.clone(), end: sender });
        FlightStart::Follower(FollowerHandle { shared: self.clone(), key: *key, ticket, end })
    }

    /// Replaces a leader that was dropped: the first follower that still waits leads, the other followers of its user follow
    /// it, and the rest run themselves.
    fn promote_follower(self: &Arc<Self>, key: &Fingerprint, subject: &Subject) {
        loop {
            let (next, others) = {
                let mut state = self.state();
                let Some(flight) = state.flights.get_mut(key) else { return };
                let Some((_, next)) = flight.followers.pop_first() else {
                    state.flights.remove(key);
                    return;
                };
                (flight.user, flight.started) = (next.user.clone(), false);
                let others: Vec<_> = flight.followers.extract_if(.., |_, other| other.user != next.user).collect();
                (next, others)
            };
            for (_, other) in others {
                // Fails for a follower that has stopped waiting.
                let _ = other.end.send(FlightEnd::Alone);
            }
            match next.end.send(FlightEnd::Leader(Flight::new(self, key, subject, Role::Leader))) {
                Ok(()) => return,
                // The follower stopped waiting just now. Dropping its flight as a leader would call this function again.
                Err(FlightEnd::Leader(mut lead)) => lead.role = Role::Completed,
                Err(FlightEnd::Shared(_) | FlightEnd::Alone) => {}
            }
        }
    }

    /// Compares a stored result with that of a recheck; `None`: the recheck has no comparable result.
    pub(super) fn recheck(
        &self,
        key: &Fingerprint,
        subject: &Subject,
        stored: &Arc<StoredResult>,
        again: Option<&StoredResult>,
    ) {
        let mut state = self.state();
        state.counts.rechecked += 1;
        let equal = again.is_some_and(|again| first_difference(stored, again).is_none());
        if equal {
            state.store.confirm(key);
        } else if let Some(again) = again {
            let earlier = (ResultDigest::of(stored), Some(stored.clone()));
            state.record_difference(*key, subject, earlier, again, Instant::now());
        }
    }

    pub(super) fn must_recheck(&self, key: &Fingerprint) -> bool {
        self.state().store.must_recheck(key)
    }

    pub(super) fn counts(&self) -> CacheCounts {
        self.state().counts
    }

    pub(super) fn bars(&self) -> Status {
        self.state().bars.status()
    }

    pub(super) fn lift_bars(&self) -> usize {
        self.state().bars.lift()
    }

    pub(super) fn remove_expired(&self) {
        self.state().store.remove_expired(Instant::now());
    }

    pub(super) fn stored_results(&self) -> usize {
        self.state().store.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().flights.len()
    }
}
