//! Single flight: of equal requests one runs, the others wait for how it lands.

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
use super::memory::{Evidence, Memory};
use super::verification::{Judgement, Verification};
use super::{CacheStatus, Config, Stored, StoredResult};

pub(super) struct Shared {
    /// Protects what is kept and who flies; held for a look-up and never over an await.
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    verification: Verification,
    bars: Bars,
    counts: Counts,
    flights: HashMap<Fingerprint, Running>,
    /// Requests whose last result could not be shared: their equals do not wait for each other.
    unshared: LruCache<Fingerprint, ()>,
    next: u64,
}

/// What is run for several requests.
struct Running {
    /// Whose request leads: it waits for its turn among this user's other requests.
    user: Arc<str>,
    /// The leader's program runs. Before that, no request of another user waits for it.
    started: bool,
    /// By the order in which they came.
    followers: BTreeMap<u64, Follower>,
}

struct Follower {
    user: Arc<str>,
    landing: oneshot::Sender<FlightEnd>,
}

/// How a flight ends for a follower.
pub(super) enum FlightEnd {
    Shared(Arc<StoredResult>),
    /// The leader is gone without a result: it is your turn.
    Leader(Flight),
    /// The result holds for the leader only.
    Alone,
}

/// What the cache did since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Results that wait, or waited, for an independent run that agrees.
    pub candidates: u64,
    /// Results that an independent run agreed with.
    pub verified: u64,
    /// Stored results that were run again beside a hit.
    pub rechecked: u64,
    /// Results of one request that differed.
    pub differences: u64,
}

/// What a request finds when it comes.
pub(super) enum FlightStart {
    Kept(Arc<StoredResult>),
    Leader(Flight),
    Follower(FollowerHandle),
    Alone,
    /// Its program, or its class and rule, gave different results.
    Barred,
}

/// A run that the cache hears of. Dropped without landing, it lets the next equal request run.
#[must_use = "a flight that is dropped at once shares nothing"]
pub struct Flight {
    shared: Arc<Shared>,
    key: Fingerprint,
    subject: Subject,
    role: Role,
}

enum Role {
    /// Others may follow.
    Leader,
    /// Nobody follows; the result may be kept.
    Alone,
    /// The cache is left out.
    Bypass,
    /// The result is not stored.
    Barred,
    Landed,
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

    pub fn status(&self) -> CacheStatus {
        if matches!(self.role, Role::Bypass) { CacheStatus::Bypass } else { CacheStatus::Miss }
    }

    /// The interpreter that this run must not take place in to be a witness: that of the only run so far.
    pub fn avoid_interpreter(&self) -> Option<InterpreterId> {
        match self.role {
            Role::Leader | Role::Alone => self.shared.state().verification.candidate(&self.key, Instant::now()),
            Role::Bypass | Role::Barred | Role::Landed => None,
        }
    }

    /// The program runs: from here on requests of other users may wait for its result too.
    pub fn start(&self) {
        if matches!(self.role, Role::Leader)
            && let Some(running) = self.shared.state().flights.get_mut(&self.key)
        {
            running.started = true;
        }
    }

    /// The run is over. What may be stored is, and is given to all who follow; else they run by themselves. Returns what
    /// became of the result.
    pub fn land(mut self, finding: Finding) -> Stored {
        let role = std::mem::replace(&mut self.role, Role::Landed);
        let leads = match role {
            Role::Bypass | Role::Barred | Role::Landed => return Stored::No,
            Role::Alone => false,
            Role::Leader => true,
        };
        let mut state = self.shared.state();
        let stored = state.take(self.key, &self.subject, finding, Instant::now());
        let kept = match &stored {
            StoreOutcome::Kept(kept, _) => {
                state.unshared.pop(&self.key);
                Some(kept.clone())
            }
            StoreOutcome::Candidate | StoreOutcome::No => {
                state.unshared.put(self.key, ());
                None
            }
        };
        let running = if leads { state.flights.remove(&self.key) } else { None };
        drop(state);
        for follower in running.into_iter().flat_map(|running| running.followers.into_values()) {
            // A follower that left needs no landing.
            let _ = follower.landing.send(kept.clone().map_or(FlightEnd::Alone, FlightEnd::Shared));
        }
        match stored {
            StoreOutcome::Kept(_, true) => Stored::Kept,
            StoreOutcome::Candidate => Stored::Candidate,
            StoreOutcome::Kept(_, false) | StoreOutcome::No => Stored::No,
        }
    }
}

/// What became of a result.
enum StoreOutcome {
    /// It may be given to those who follow; and whether it is stored.
    Kept(Arc<StoredResult>, bool),
    Candidate,
    No,
}

impl State {
    fn take(&mut self, key: Fingerprint, subject: &Subject, finding: Finding, now: Instant) -> StoreOutcome {
        match finding {
            Finding::Unique => StoreOutcome::No,
            _ if self.bars.has(subject) => StoreOutcome::No,
            Finding::Observed(kept) => self.keep(key, subject, kept, Evidence::Observed, now),
            Finding::Proven(kept, interpreter) => match self.verification.judge(key, &kept, interpreter, now) {
                Judgement::Agrees => {
                    self.counts.verified += 1;
                    self.keep(key, subject, kept, Evidence::Agreed { rechecks: 0 }, now)
                }
                Judgement::Candidate => {
                    self.counts.candidates += 1;
                    self.memory.put(key, subject.clone(), Arc::new(kept), Evidence::Candidate, now);
                    StoreOutcome::Candidate
                }
                Judgement::Differs(earlier) => {
                    let earlier = (earlier, self.memory.peek(&key).filter(|earlier| earlier.tier == kept.tier));
                    self.differ(key, subject, earlier, &kept, now);
                    StoreOutcome::No
                }
            },
        }
    }

    fn keep(
        &mut self,
        key: Fingerprint,
        subject: &Subject,
        kept: StoredResult,
        evidence: Evidence,
        now: Instant,
    ) -> StoreOutcome {
        let kept = Arc::new(kept);
        let stored = self.memory.put(key, subject.clone(), kept.clone(), evidence, now);
        StoreOutcome::Kept(kept, stored)
    }

    /// Two runs of one request had different results: an alert, and nothing of this is stored again before somebody looked.
    fn differ(
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
        let Self { memory, bars, .. } = self;
        memory.remove_all(|subject| bars.has(subject));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if matches!(self.role, Role::Leader) {
            self.role = Role::Landed;
            self.shared.pass_on(&self.key, &self.subject);
        }
    }
}

/// A follower's place.
pub(super) struct FollowerHandle {
    shared: Arc<Shared>,
    key: Fingerprint,
    ticket: u64,
    landing: oneshot::Receiver<FlightEnd>,
}

impl FollowerHandle {
    pub(super) async fn landing(mut self) -> FlightEnd {
        (&mut self.landing).await.unwrap_or(FlightEnd::Alone)
    }
}

impl Drop for FollowerHandle {
    fn drop(&mut self) {
        if let Some(running) = self.shared.state().flights.get_mut(&self.key) {
            running.followers.remove(&self.ticket);
        }
    }
}

impl Shared {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let unshared = LruCache::new(NonZeroUsize::new(config.max_entries).unwrap_or(NonZeroUsize::MIN));
        let state = State {
            memory: Memory::new(config),
            verification: Verification::new(config.max_digests, config.ttl),
            bars: Bars::default(),
            counts: Counts::default(),
            flights: HashMap::new(),
            unshared,
            next: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `observed`: the sandbox that comes first sees what the program asks for.
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
        if let Some(kept) = state.memory.get(key, now) {
            return FlightStart::Kept(kept);
        }
        // What is not verified is not shared with those who come while it runs either.
        let unverified = !observed && !state.verification.is_verified(key, now);
        if unverified || state.unshared.get(key).is_some() {
            return FlightStart::Alone;
        }
        let Some(running) = state.flights.get_mut(key) else {
            let running = Running { user: user.clone(), started: false, followers: BTreeMap::new() };
            state.flights.insert(*key, running);
            return FlightStart::Leader(Flight::new(self, key, subject, Role::Leader));
        };
        // Else one user's line of requests would hold up another's.
        if !running.started && running.user != *user {
            return FlightStart::Alone;
        }
        let (landed, landing) = oneshot::channel();
        state.next += 1;
        running.followers.insert(state.next, Follower { user: user.clone(), landing: landed });
        FlightStart::Follower(FollowerHandle { shared: self.clone(), key: *key, ticket: state.next, landing })
    }

    /// The leader is gone: the first follower that is still there leads, those of its user follow it, and the others run by
    /// themselves.
    fn pass_on(self: &Arc<Self>, key: &Fingerprint, subject: &Subject) {
        loop {
            let (next, others) = {
                let mut state = self.state();
                let Some(running) = state.flights.get_mut(key) else { return };
                let Some((_, next)) = running.followers.pop_first() else {
                    state.flights.remove(key);
                    return;
                };
                (running.user, running.started) = (next.user.clone(), false);
                let others: Vec<_> = running.followers.extract_if(.., |_, other| other.user != next.user).collect();
                (next, others)
            };
            for (_, other) in others {
                let _left = other.landing.send(FlightEnd::Alone);
            }
            match next.landing.send(FlightEnd::Leader(Flight::new(self, key, subject, Role::Leader))) {
                Ok(()) => return,
                // It left in this moment. Its lead must not pass itself on: this loop does.
                Err(FlightEnd::Leader(mut lead)) => lead.role = Role::Landed,
                Err(FlightEnd::Shared(_) | FlightEnd::Alone) => {}
            }
        }
    }

    /// A stored result was run again beside a hit.
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
            state.memory.confirm(key);
        } else if let Some(again) = again {
            let earlier = (ResultDigest::of(stored), Some(stored.clone()));
            state.differ(*key, subject, earlier, again, Instant::now());
        }
    }

    pub(super) fn is_to_be_rechecked(&self, key: &Fingerprint) -> bool {
        self.state().memory.is_to_be_rechecked(key)
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(super) fn bars(&self) -> Status {
        self.state().bars.status()
    }

    pub(super) fn lift_bars(&self) -> usize {
        self.state().bars.lift()
    }

    pub(super) fn remove_expired(&self) {
        self.state().memory.remove_expired(Instant::now());
    }

    pub(super) fn kept(&self) -> usize {
        self.state().memory.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().flights.len()
    }
}
