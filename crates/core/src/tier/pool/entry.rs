//! One sandbox of a pool, with its age and usage.

use std::time::Duration;

use serde::Serialize;
use switchtower_contract::{Fault, Maintenance, Sandbox, SandboxLabel, Spec};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Config;

pub(super) struct PoolEntry {
    sandbox: Box<dyn Sandbox>,
    /// Declared after the sandbox, so that the sandbox is dropped before its capacity is released.
    permit: OwnedSemaphorePermit,
    spec: Spec,
    pub(super) runs: u32,
    /// Time awake before `awake_since`.
    awake_before: Duration,
    /// `None` while it is asleep.
    awake_since: Option<Instant>,
    idle_since: Instant,
    pub(super) checked_at: Instant,
}

/// A snapshot of an idle sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxStatus {
    #[serde(flatten)]
    pub label: SandboxLabel,
    pub runs: u32,
    /// Milliseconds awake.
    pub age_ms: u64,
    /// Milliseconds since its last run.
    pub idle_ms: u64,
    /// Milliseconds since it was last found alive: by a check, or by a run and the reset after it.
    pub checked_ms: u64,
    pub asleep: bool,
}

impl PoolEntry {
    pub(super) fn new(sandbox: Box<dyn Sandbox>, permit: OwnedSemaphorePermit, spec: Spec) -> Self {
        let now = Instant::now();
        let (awake_before, awake_since) = (Duration::ZERO, Some(now));
        Self { sandbox, permit, spec, runs: 0, awake_before, awake_since, idle_since: now, checked_at: now }
    }

    /// Returns what the sandbox was opened for.
    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns the time that the sandbox has been awake.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.awake_before + self.awake_since.map_or(Duration::ZERO, |since| now - since)
    }

    /// Returns whether a run of at most `wall` ends before the sandbox reaches its maximum age. For runs longer than
    /// half of that age, a remaining lifetime of half of it is enough.
    pub(super) fn can_serve(&self, now: Instant, wall: Duration, config: &Config) -> bool {
        self.age(now) + wall.min(config.max_age / 2) <= config.max_age
    }

    /// Drops the sandbox and returns its permit.
    pub(super) fn into_permit(self) -> OwnedSemaphorePermit {
        drop(self.sandbox);
        self.permit
    }

    /// Returns the sandbox and releases its permit.
    pub(super) fn into_sandbox(self) -> Box<dyn Sandbox> {
        self.sandbox
    }

    /// Returns the time since the last run.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now - self.idle_since
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.awake_since.is_none()
    }

    /// Records that the sandbox is leased for a run. The run wakes it if it is asleep.
    pub(super) fn begin_run(&mut self) {
        self.runs += 1;
        self.awake_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn sandbox(&mut self) -> &mut dyn Sandbox {
        self.sandbox.as_mut()
    }

    /// Removes everything that the last run left in the sandbox.
    ///
    /// # Errors
    /// The backend's fault; the sandbox must not be used again.
    pub(super) async fn reset(&mut self) -> Result<(), Fault> {
        self.sandbox.reset().await?;
        let now = Instant::now();
        (self.idle_since, self.checked_at) = (now, now);
        Ok(())
    }

    /// Checks the sandbox and keeps it awake or asleep.
    ///
    /// # Errors
    /// The backend's fault; the sandbox must not be used again.
    pub(super) async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        self.sandbox.maintain(how).await?;
        let now = Instant::now();
        self.checked_at = now;
        if how == Maintenance::Asleep
            && let Some(since) = self.awake_since.take()
        {
            self.awake_before += now - since;
        }
        Ok(())
    }

    pub(super) fn status(&self, now: Instant) -> SandboxStatus {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        SandboxStatus {
            label: self.sandbox.label(),
            runs: self.runs,
            age_ms: millis(self.age(now)),
            idle_ms: millis(self.idle(now)),
            checked_ms: millis(now - self.checked_at),
            asleep: self.is_asleep(),
        }
    }
}
