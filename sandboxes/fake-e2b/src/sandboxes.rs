//! The sandboxes that exist, and how they come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::counts::Counts;
use crate::quota::{Bucket, Empty};
use crate::sandbox::Sandbox;
use crate::settings::Settings;

pub(crate) struct Fleet {
    settings: Settings,
    /// Protects who is there, the counts and the rates; held for a few instructions.
    state: Mutex<State>,
}

struct State {
    held: BTreeMap<String, Held>,
    counts: Counts,
    creations: Option<Bucket>,
    executions: Option<Bucket>,
}

/// A sandbox that runs or is paused.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) standing: Standing,
    pub(crate) ends: Instant,
    /// When it began to run, the last time.
    since: Instant,
    /// Tells its timer of a new end. Dropped, it ends the timer.
    timer: watch::Sender<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Running,
    Paused,
}

/// How a sandbox ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Expired,
    Vanished,
    Closed,
}

/// Why there is no new sandbox.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    Rate(Empty),
    /// So many run, and no more may.
    Cap(u64),
}

impl Fleet {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let creations = settings.plan.creations_per_second().map(|rate| Bucket::new(rate, f64::from(rate)));
        let rates = &settings.rates;
        let executions = rates.executions_per_minute.map(|rate| Bucket::new(rates.burst, f64::from(rate) / 60.0));
        let state = State { held: BTreeMap::new(), counts: Counts::default(), creations, executions };
        Arc::new(Self { settings, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.state().counts);
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        let mut counts = state.counts.clone();
        let running = state.held.values().filter(|held| held.standing == Standing::Running);
        counts.sandbox_seconds += running.map(|held| held.since.elapsed().as_secs_f64()).sum::<f64>();
        counts
    }

    /// Begins to count anew; what is there counts as made now.
    pub(crate) fn reset_counts(&self) {
        let mut state = self.state();
        let (running, paused_now) = (state.counts.running, state.counts.paused_now);
        let created = running + paused_now;
        state.counts = Counts { created, running, paused_now, most_running: running, ..Counts::default() };
        for held in state.held.values_mut() {
            held.since = Instant::now();
        }
    }

    /// Takes from the rate of executions.
    pub(crate) fn may_execute(&self) -> Result<(), Empty> {
        self.state().executions.as_mut().map_or(Ok(()), Bucket::take)
    }

    /// Takes from the rate of creations.
    pub(crate) fn may_create(&self) -> Result<(), Refusal> {
        self.state().creations.as_mut().map_or(Ok(()), Bucket::take).map_err(Refusal::Rate)
    }

    /// Asks for room without taking it: the answer may be another when the sandbox is there.
    pub(crate) fn room(&self) -> Result<(), Refusal> {
        self.state().room(&self.settings)
    }

    /// Takes a new sandbox in.
    pub(crate) fn add(self: &Arc<Self>, sandbox: Sandbox, lifetime: Duration) -> Result<Held, Refusal> {
        // One moment for both, so that the wire shows the whole lifetime.
        let now = sandbox.started;
        let (timer, ends) = watch::channel(now + lifetime);
        let sandbox = Arc::new(sandbox);
        let id = sandbox.id.clone();
        let held = Held { sandbox, standing: Standing::Running, ends: now + lifetime, since: now, timer };
        let mut state = self.state();
        state.room(&self.settings)?;
        state.counts.created += 1;
        state.starts();
        state.held.insert(id.clone(), held.clone());
        drop(state);
        tokio::spawn(watch_end(Arc::downgrade(self), id, ends));
        Ok(held)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Held> {
        self.state().held.get(id).cloned()
    }

    /// The sandbox, if it runs.
    pub(crate) fn running(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.get(id).filter(|held| held.standing == Standing::Running).map(|held| held.sandbox)
    }

    /// All, the newest first.
    pub(crate) fn all(&self) -> Vec<Held> {
        let mut all: Vec<Held> = self.state().held.values().cloned().collect();
        all.sort_by(|a, b| b.sandbox.started.cmp(&a.sandbox.started).then_with(|| a.sandbox.id.cmp(&b.sandbox.id)));
        all
    }

    /// Ends a sandbox. False: there is none.
    pub(crate) async fn end(&self, id: &str, how: End) -> bool {
        let Some(held) = self.take(id, how) else { return false };
        held.sandbox.end().await;
        true
    }

    /// As `end`; its processes end a little later.
    pub(crate) fn end_soon(&self, id: &str, how: End) {
        if let Some(held) = self.take(id, how) {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { held.sandbox.end().await })),
                // Outside a runtime, dropping it is what can be done.
                Err(_) => drop(held),
            }
        }
    }

    fn take(&self, id: &str, how: End) -> Option<Held> {
        let mut state = self.state();
        let held = state.held.remove(id)?;
        match held.standing {
            Standing::Running => state.stops(&held),
            Standing::Paused => state.counts.paused_now -= 1,
        }
        match how {
            End::Killed => state.counts.killed += 1,
            End::Expired => state.counts.expired += 1,
            End::Vanished => state.counts.vanished += 1,
            End::Closed => state.counts.closed += 1,
        }
        Some(held)
    }

    /// Sets when a running sandbox ends. False: none runs.
    pub(crate) fn set_end(&self, id: &str, from_now: Duration, only_extend: bool) -> bool {
        let mut state = self.state();
        let Some(held) = state.held.get_mut(id).filter(|held| held.standing == Standing::Running) else {
            return false;
        };
        let ends = Instant::now() + from_now;
        if !only_extend || ends > held.ends {
            held.ends = ends;
            held.timer.send_replace(ends);
        }
        true
    }

    /// Pauses a sandbox. `None`: there is none; false: it is paused already.
    pub(crate) fn pause(&self, id: &str) -> Option<bool> {
        let mut state = self.state();
        let held = state.held.get_mut(id)?;
        if held.standing == Standing::Paused {
            return Some(false);
        }
        held.standing = Standing::Paused;
        let held = held.clone();
        state.stops(&held);
        state.counts.paused += 1;
        state.counts.paused_now += 1;
        drop(state);
        held.sandbox.pause();
        Some(true)
    }

    /// Lets a paused sandbox run again. `None`: there is none.
    pub(crate) fn resume(&self, id: &str, lifetime: Duration) -> Option<Result<Held, Refusal>> {
        let mut state = self.state();
        if state.held.get(id)?.standing == Standing::Running {
            return state.held.get(id).cloned().map(Ok);
        }
        if let Err(refusal) = state.room(&self.settings) {
            return Some(Err(refusal));
        }
        let held = state.held.get_mut(id)?;
        held.standing = Standing::Running;
        held.since = Instant::now();
        held.ends = held.since + lifetime;
        held.timer.send_replace(held.ends);
        let held = held.clone();
        state.counts.paused_now -= 1;
        state.counts.resumed += 1;
        state.starts();
        Some(Ok(held))
    }

    /// The time of a sandbox that runs is over.
    async fn expire(&self, id: &str) {
        let Some(held) = self.get(id).filter(|held| held.standing == Standing::Running) else { return };
        if held.ends > Instant::now() {
            return;
        }
        if held.sandbox.auto_pause {
            self.pause(id);
        } else {
            self.end(id, End::Expired).await;
        }
    }
}

impl State {
    fn room(&self, settings: &Settings) -> Result<(), Refusal> {
        match settings.plan.concurrent() {
            Some(most) if self.counts.running >= most => Err(Refusal::Cap(most)),
            _ => Ok(()),
        }
    }

    fn starts(&mut self) {
        self.counts.running += 1;
        self.counts.most_running = self.counts.most_running.max(self.counts.running);
    }

    fn stops(&mut self, held: &Held) {
        self.counts.running -= 1;
        self.counts.sandbox_seconds += held.since.elapsed().as_secs_f64();
    }
}

/// A sandbox's timer: it lasts as long as the sandbox.
async fn watch_end(fleet: std::sync::Weak<Fleet>, id: String, mut ends: watch::Receiver<Instant>) {
    loop {
        let end = *ends.borrow_and_update();
        tokio::select! {
            () = sleep_until(end) => match fleet.upgrade() {
                Some(fleet) => fleet.expire(&id).await,
                None => return,
            },
            changed = ends.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        }
        // Paused, it waits here for a new end.
        if ends.changed().await.is_err() {
            return;
        }
    }
}
