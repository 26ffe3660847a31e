//! The sandboxes that exist: how they are created, paused, resumed and ended, and what is counted meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::counts::Counts;
use crate::rate::{RateExceeded, TokenBucket};
use crate::sandbox::Sandbox;
use crate::settings::Settings;

pub(crate) struct Sandboxes {
    settings: Settings,
    /// Held for a few instructions.
    inner: Mutex<Inner>,
}

struct Inner {
    entries: BTreeMap<String, SandboxEntry>,
    counts: Counts,
    creation_rate: Option<TokenBucket>,
    execution_rate: Option<TokenBucket>,
}

/// A sandbox that runs or is paused.
#[derive(Clone)]
pub(crate) struct SandboxEntry {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) state: SandboxState,
    pub(crate) ends: Instant,
    /// When it was last created or resumed.
    running_since: Instant,
    /// Sends a new end to its timer. Dropped, it stops the timer.
    timer: watch::Sender<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SandboxState {
    Running,
    Paused,
}

/// Why a sandbox ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// A client ended it.
    Killed,
    /// Its time-out passed.
    Expired,
    /// A fault ended it without notice.
    Vanished,
    /// The stand-in is closed.
    Closed,
}

/// What a new end does to the one that a sandbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Set,
    /// Never makes it earlier.
    Extend,
}

/// Why a sandbox was not created, or not resumed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CreateError {
    Rate(RateExceeded),
    /// As many sandboxes run as the plan allows.
    TooMany {
        limit: u64,
    },
}

impl Sandboxes {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let creation_rate = settings.plan.creations_per_second().map(|rate| TokenBucket::new(rate, f64::from(rate)));
        let rates = &settings.rates;
        let execution_rate =
            rates.executions_per_minute.map(|rate| TokenBucket::new(rates.burst, f64::from(rate) / 60.0));
        let inner = Inner { entries: BTreeMap::new(), counts: Counts::default(), creation_rate, execution_rate };
        Arc::new(Self { settings, inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.inner().counts);
    }

    pub(crate) fn counts(&self) -> Counts {
        let inner = self.inner();
        let mut counts = inner.counts.clone();
        let running = inner.entries.values().filter(|entry| entry.state == SandboxState::Running);
        counts.sandbox_seconds += running.map(|entry| entry.running_since.elapsed().as_secs_f64()).sum::<f64>();
        counts
    }

    /// Sets the counts to zero; sandboxes that exist count as created now.
    pub(crate) fn reset_counts(&self) {
        let mut inner = self.inner();
        let (running, paused_now) = (inner.counts.running, inner.counts.paused_now);
        let created = running + paused_now;
        inner.counts = Counts { created, running, paused_now, max_running: running, ..Counts::default() };
        for entry in inner.entries.values_mut() {
            entry.running_since = Instant::now();
        }
    }

    /// Counts an execution against its rate.
    pub(crate) fn take_execution(&self) -> Result<(), RateExceeded> {
        self.inner().execution_rate.as_mut().map_or(Ok(()), TokenBucket::take)
    }

    /// Counts a creation against its rate.
    pub(crate) fn take_creation(&self) -> Result<(), CreateError> {
        self.inner().creation_rate.as_mut().map_or(Ok(()), TokenBucket::take).map_err(CreateError::Rate)
    }

    /// Checks whether one more sandbox may run now. [`Sandboxes::add`] checks again.
    pub(crate) fn check_limit(&self) -> Result<(), CreateError> {
        self.inner().check_limit(&self.settings)
    }

    /// Adds a new sandbox.
    pub(crate) fn add(self: &Arc<Self>, sandbox: Sandbox, lifetime: Duration) -> Result<SandboxEntry, CreateError> {
        // The same moment as in the sandbox, so that the wire shows exactly the requested lifetime.
        let now = sandbox.started;
        let (timer, ends) = watch::channel(now + lifetime);
        let sandbox = Arc::new(sandbox);
        let id = sandbox.id.clone();
        let state = SandboxState::Running;
        let entry = SandboxEntry { sandbox, state, ends: now + lifetime, running_since: now, timer };
        let mut inner = self.inner();
        inner.check_limit(&self.settings)?;
        inner.counts.created += 1;
        inner.count_start();
        inner.entries.insert(id.clone(), entry.clone());
        drop(inner);
        tokio::spawn(run_timer(Arc::downgrade(self), id, ends));
        Ok(entry)
    }

    pub(crate) fn get(&self, id: &str) -> Option<SandboxEntry> {
        self.inner().entries.get(id).cloned()
    }

    /// Returns the sandbox with this id, if it runs.
    pub(crate) fn running(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.get(id).filter(|entry| entry.state == SandboxState::Running).map(|entry| entry.sandbox)
    }

    /// Returns all sandboxes, the newest first.
    pub(crate) fn all(&self) -> Vec<SandboxEntry> {
        let mut all: Vec<SandboxEntry> = self.inner().entries.values().cloned().collect();
        all.sort_by(|a, b| b.sandbox.started.cmp(&a.sandbox.started).then_with(|| a.sandbox.id.cmp(&b.sandbox.id)));
        all
    }

    /// Ends a sandbox and waits for its processes. Returns `false` where there is none.
    pub(crate) async fn end(&self, id: &str, reason: EndReason) -> bool {
        let Some(entry) = self.remove(id, reason) else { return false };
        entry.sandbox.end().await;
        true
    }

    /// As [`Sandboxes::end`], without waiting for the processes.
    pub(crate) fn end_soon(&self, id: &str, reason: EndReason) {
        if let Some(entry) = self.remove(id, reason) {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { entry.sandbox.end().await })),
                // Outside a runtime, dropping it is all that can be done.
                Err(_) => drop(entry),
            }
        }
    }

    fn remove(&self, id: &str, reason: EndReason) -> Option<SandboxEntry> {
        let mut inner = self.inner();
        let entry = inner.entries.remove(id)?;
        match entry.state {
            SandboxState::Running => inner.count_stop(&entry),
            SandboxState::Paused => inner.counts.paused_now -= 1,
        }
        match reason {
            EndReason::Killed => inner.counts.killed += 1,
            EndReason::Expired => inner.counts.expired += 1,
            EndReason::Vanished => inner.counts.vanished += 1,
            EndReason::Closed => inner.counts.closed += 1,
        }
        Some(entry)
    }

    /// Sets when a running sandbox ends. Returns `false` where none runs.
    pub(crate) fn set_end(&self, id: &str, from_now: Duration, deadline: Deadline) -> bool {
        let mut inner = self.inner();
        let entry = inner.entries.get_mut(id).filter(|entry| entry.state == SandboxState::Running);
        let Some(entry) = entry else { return false };
        let ends = Instant::now() + from_now;
        if deadline == Deadline::Set || ends > entry.ends {
            entry.ends = ends;
            entry.timer.send_replace(ends);
        }
        true
    }

    /// Pauses a sandbox. Returns `None` where there is none, `false` where it is paused already.
    pub(crate) fn pause(&self, id: &str) -> Option<bool> {
        let mut inner = self.inner();
        let entry = inner.entries.get_mut(id)?;
        if entry.state == SandboxState::Paused {
            return Some(false);
        }
        entry.state = SandboxState::Paused;
        let entry = entry.clone();
        inner.count_stop(&entry);
        inner.counts.paused += 1;
        inner.counts.paused_now += 1;
        drop(inner);
        entry.sandbox.pause();
        Some(true)
    }

    /// Resumes a paused sandbox. Returns `None` where there is none.
    pub(crate) fn resume(&self, id: &str, lifetime: Duration) -> Option<Result<SandboxEntry, CreateError>> {
        let mut inner = self.inner();
        if inner.entries.get(id)?.state == SandboxState::Running {
            return inner.entries.get(id).cloned().map(Ok);
        }
        if let Err(error) = inner.check_limit(&self.settings) {
            return Some(Err(error));
        }
        let entry = inner.entries.get_mut(id)?;
        entry.state = SandboxState::Running;
        entry.running_since = Instant::now();
        entry.ends = entry.running_since + lifetime;
        entry.timer.send_replace(entry.ends);
        let entry = entry.clone();
        inner.counts.paused_now -= 1;
        inner.counts.resumed += 1;
        inner.count_start();
        Some(Ok(entry))
    }

    /// Ends or pauses a running sandbox whose time-out has passed.
    async fn expire(&self, id: &str) {
        let Some(entry) = self.get(id).filter(|entry| entry.state == SandboxState::Running) else { return };
        if entry.ends > Instant::now() {
            return;
        }
        if entry.sandbox.auto_pause {
            self.pause(id);
        } else {
            self.end(id, EndReason::Expired).await;
        }
    }
}

impl Inner {
    fn check_limit(&self, settings: &Settings) -> Result<(), CreateError> {
        match settings.plan.max_concurrent() {
            Some(limit) if self.counts.running >= limit => Err(CreateError::TooMany { limit }),
            _ => Ok(()),
        }
    }

    fn count_start(&mut self) {
        self.counts.running += 1;
        self.counts.max_running = self.counts.max_running.max(self.counts.running);
    }

    fn count_stop(&mut self, entry: &SandboxEntry) {
        self.counts.running -= 1;
        self.counts.sandbox_seconds += entry.running_since.elapsed().as_secs_f64();
    }
}

/// Expires a sandbox at its end. Returns when the sandbox is gone.
async fn run_timer(sandboxes: std::sync::Weak<Sandboxes>, id: String, mut ends: watch::Receiver<Instant>) {
    loop {
        let end = *ends.borrow_and_update();
        tokio::select! {
            biased;
            () = sleep_until(end) => match sandboxes.upgrade() {
                Some(sandboxes) => sandboxes.expire(&id).await,
                None => return,
            },
            changed = ends.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        }
        // A paused sandbox gets a new end when it is resumed.
        if ends.changed().await.is_err() {
            return;
        }
    }
}
